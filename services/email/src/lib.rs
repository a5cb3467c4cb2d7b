#![doc = include_str!("../README.md")]
//! Renders order confirmations and delivers them.

mod delivery;
mod domain;
mod grpc;

use boutique_proto::email_service;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};
use boutique_store::{Contact, KeyStore};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::EMAIL;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env, registry: &Registry) -> anyhow::Result<Router> {
    let delivery = delivery::Delivery::from_env(env)?;
    let sent = KeyStore::from_env(env, "boutique:confirmations:")?;
    let Contact { first, now } = sent.watch();
    let email = grpc::Email::new(delivery, sent, &registry.meter(&SERVICE));
    let router = Router::grpc(email_service::into_server(email));
    Ok(router.ready_when(first).with_status("store", now))
}
