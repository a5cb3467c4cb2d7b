#![doc = include_str!("../README.md")]
//! Quotes parcels and numbers them.

mod domain;
mod grpc;

use boutique_proto::shipping_service;
use boutique_service::{App, Env, Service};

/// The workload's name, default port and address setting, as upstream has them.
pub const SERVICE: Service =
    Service { name: "shippingservice", port: 50051, addr_key: "SHIPPING_SERVICE_ADDR" };

/// Everything this service answers, ready to be served. Reflection is on, as upstream has it.
pub async fn routes(_env: &Env) -> anyhow::Result<App> {
    Ok(App::grpc(shipping_service::answered_by(grpc::Shipping)).with_reflection())
}
