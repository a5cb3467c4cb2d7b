#![doc = include_str!("../README.md")]
//! Accepts or refuses cards.

mod domain;
mod grpc;

use boutique_proto::payment_service;
use boutique_service::{App, Env, Service};

/// The workload's name and address setting, as upstream has them; the port is that of its manifest.
pub const SERVICE: Service =
    Service { name: "paymentservice", port: 50051, addr_key: "PAYMENT_SERVICE_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(_env: &Env) -> anyhow::Result<App> {
    Ok(App::grpc(payment_service::answered_by(grpc::Payment)))
}
