#![doc = include_str!("../README.md")]
//! Quotes parcels and numbers them.

mod domain;
mod grpc;

use boutique_proto::services::{self, ServiceSpec};
use boutique_proto::shipping_service;
use boutique_service::{Env, Registry, Router};
use boutique_store::{Contact, KeyStore};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::SHIPPING;

/// Everything this service answers, ready to be served. Reflection is on, as upstream has it.
pub async fn routes(env: &Env, _registry: &Registry) -> anyhow::Result<Router> {
    let parcels = KeyStore::from_env(env, "boutique:parcels:")?;
    let Contact { first, now } = parcels.watch();
    let router = Router::grpc(shipping_service::into_server(grpc::Shipping::new(parcels)));
    Ok(router.with_reflection().ready_when(first).with_status("store", now))
}
