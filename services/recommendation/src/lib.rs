#![doc = include_str!("../README.md")]
//! Suggests other products.

mod clients;
mod domain;
mod grpc;

use boutique_proto::recommendation_service;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::RECOMMENDATION;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env, registry: &Registry) -> anyhow::Result<Router> {
    let catalog = clients::Catalog::from_env(env, registry)?;
    Ok(Router::grpc(recommendation_service::into_server(grpc::Recommendation::new(catalog))))
}
