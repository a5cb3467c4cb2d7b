#![doc = include_str!("../README.md")]
//! Converts money between currencies.

mod config;
mod domain;
mod grpc;

use boutique_proto::currency_service;
use boutique_service::{App, Env, Service};

/// The workload's name and address setting, as upstream has them; the port is that of its manifest.
pub const SERVICE: Service =
    Service { name: "currencyservice", port: 7000, addr_key: "CURRENCY_SERVICE_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env) -> anyhow::Result<App> {
    let rates = config::rates(env)?;
    Ok(App::grpc(currency_service::answered_by(grpc::Currency::new(rates))))
}
