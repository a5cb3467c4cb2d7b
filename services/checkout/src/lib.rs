#![doc = include_str!("../README.md")]
//! Turns carts into orders.

mod clients;
mod domain;
mod grpc;
mod order;

use boutique_proto::checkout_service;
use boutique_service::{App, Env, Service};

/// The workload's name, default port and address setting, as upstream has them.
pub const SERVICE: Service =
    Service { name: "checkoutservice", port: 5050, addr_key: "CHECKOUT_SERVICE_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env) -> anyhow::Result<App> {
    let clients = clients::Clients::from_env(env)?;
    Ok(App::grpc(checkout_service::answered_by(grpc::Checkout::new(clients))))
}
