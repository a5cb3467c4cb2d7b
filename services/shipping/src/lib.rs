#![doc = include_str!("../README.md")]
//! Quotes parcels and numbers them.

mod domain;
mod grpc;

use boutique_proto::services::{self, ServiceSpec};
use boutique_proto::shipping_service;
use boutique_service::{Env, Registry, Router};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::SHIPPING;

/// Everything this service answers, ready to be served. Reflection is on, as upstream has it.
pub async fn routes(_env: &Env, _registry: &Registry) -> anyhow::Result<Router> {
    Ok(Router::grpc(shipping_service::into_server(grpc::Shipping)).with_reflection())
}
