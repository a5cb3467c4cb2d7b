#![doc = include_str!("../README.md")]
//! Keeps carts.

mod change;
mod config;
mod domain;
mod grpc;
mod store;

use std::sync::Arc;

use boutique_proto::cart_service;
use boutique_proto::ext::carts;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};
use boutique_store::Contact;

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::CART;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env, registry: &Registry) -> anyhow::Result<Router> {
    let store = Arc::new(config::store(env)?);
    let Contact { first, now } = store.watch();
    let service = grpc::Carts::new(store, &registry.meter(&SERVICE));
    let router = Router::grpc(cart_service::into_server(service.clone()));
    Ok(router.add_grpc(carts::into_server(service)).ready_when(first).with_status("store", now))
}
