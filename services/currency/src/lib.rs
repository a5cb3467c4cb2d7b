#![doc = include_str!("../README.md")]
//! Converts money between currencies.

mod config;
mod domain;
mod grpc;

use boutique_proto::currency_service;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::CURRENCY;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env, _registry: &Registry) -> anyhow::Result<Router> {
    let rates = config::rates(env)?;
    Ok(Router::grpc(currency_service::into_server(grpc::Currency::new(rates))))
}
