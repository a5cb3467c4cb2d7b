#![doc = include_str!("../README.md")]
//! Lists, finds and searches products.

mod config;
mod domain;
mod grpc;
mod store;

use std::sync::Arc;

use boutique_proto::product_catalog_service;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::PRODUCT_CATALOG;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env, _registry: &Registry) -> anyhow::Result<Router> {
    let config = config::Config::from_env(env)?;
    let store = Arc::new(store::Store::open(config.file)?);
    store::obey_signals(store.clone())?;
    let router =
        Router::grpc(product_catalog_service::into_server(grpc::ProductCatalog::new(store)));
    Ok(router.with_extra_latency("EXTRA_LATENCY", config.extra_latency))
}
