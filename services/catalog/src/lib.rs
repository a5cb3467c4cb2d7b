#![doc = include_str!("../README.md")]
//! Lists, finds and searches products.

mod config;
mod domain;
mod grpc;
mod store;

use std::sync::Arc;

use boutique_proto::product_catalog_service::{self, GetProduct};
use boutique_proto::{ListIds, ListShared, Sharing};
use boutique_service::{App, Env, Service};

/// The workload's name, default port and address setting, as upstream has them.
pub const SERVICE: Service =
    Service { name: "productcatalogservice", port: 3550, addr_key: "PRODUCT_CATALOG_SERVICE_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env) -> anyhow::Result<App> {
    let config = config::Config::from_env(env)?;
    let store = Arc::new(store::Store::open(config.file)?);
    store::obey_signals(store.clone())?;
    let catalog = grpc::ProductCatalog::new(store, config.extra_latency);
    let (server, mut handlers) = product_catalog_service::answered_by(catalog.clone());
    let catalog = Arc::new(catalog);
    handlers.insert::<Sharing<GetProduct>, _>(&catalog);
    handlers.insert::<ListShared, _>(&catalog);
    handlers.insert::<ListIds, _>(&catalog);
    Ok(App::grpc((server, handlers)))
}
