#![doc = include_str!("../README.md")]
//! Accepts or refuses cards.

mod domain;
mod grpc;

use boutique_proto::payment_service;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::PAYMENT;

/// Everything this service answers, ready to be served.
pub async fn routes(_env: &Env, _registry: &Registry) -> anyhow::Result<Router> {
    Ok(Router::grpc(payment_service::into_server(grpc::Payment)))
}
