#![doc = include_str!("../README.md")]
//! Keeps carts.

mod config;
mod domain;
mod grpc;
mod store;

use std::sync::Arc;

use boutique_proto::cart_service;
use boutique_service::{App, Env, Service};

/// The workload's name, default port and address setting, as upstream has them.
pub const SERVICE: Service =
    Service { name: "cartservice", port: 7070, addr_key: "CART_SERVICE_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env) -> anyhow::Result<App> {
    let store = Arc::new(config::store(env)?);
    let ready = store::first_contact(store.clone());
    Ok(App::grpc(cart_service::answered_by(grpc::Carts::new(store))).ready_when(ready))
}
