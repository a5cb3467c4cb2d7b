#![doc = include_str!("../README.md")]
//! Turns carts into orders.

mod checkout;
mod clients;
mod domain;
mod fulfillment;
mod grpc;
mod metrics;
mod order;
mod outbox;
mod saga;
mod store;

use boutique_proto::checkout_service;
use boutique_proto::ext::orders;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};
use boutique_store::Contact;

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::CHECKOUT;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env, registry: &Registry) -> anyhow::Result<Router> {
    let clients = clients::Clients::from_env(env, registry)?;
    let store = store::OrderStore::from_env(env)?;
    let Contact { first, now } = store.watch();
    let checkout = checkout::Checkout::new(clients, store, &registry.meter(&SERVICE));
    let router = Router::grpc(checkout_service::into_server(checkout.clone()))
        .add_grpc(orders::into_server(checkout.clone()))
        .with_background(move |stopping| checkout.clone().look_after_orders(stopping));
    Ok(router.ready_when(first).with_status("store", now))
}
