#![doc = include_str!("../README.md")]
//! Accepts or refuses cards.

mod domain;
mod grpc;

use boutique_proto::ext::charges;
use boutique_proto::payment_service;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};
use boutique_store::{Contact, KeyStore};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::PAYMENT;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env, registry: &Registry) -> anyhow::Result<Router> {
    let charges = KeyStore::from_env(env, "boutique:charges:")?;
    let Contact { first, now } = charges.watch();
    let payment = grpc::Payment::new(charges, &registry.meter(&SERVICE));
    let router = Router::grpc(payment_service::into_server(payment.clone()));
    let router = router.add_grpc(charges::into_server(payment));
    Ok(router.ready_when(first).with_status("store", now))
}
