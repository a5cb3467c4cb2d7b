#![doc = include_str!("../README.md")]
//! Turns carts into orders.

mod clients;
mod domain;
mod grpc;
mod order;

use boutique_proto::checkout_service;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::CHECKOUT;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env, registry: &Registry) -> anyhow::Result<Router> {
    let clients = clients::Clients::from_env(env, registry)?;
    Ok(Router::grpc(checkout_service::into_server(grpc::Checkout::new(clients))))
}
