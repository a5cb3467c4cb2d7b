#![doc = include_str!("../README.md")]
//! Converts money between currencies.

mod config;
mod domain;
mod grpc;

use std::sync::Arc;

use boutique_proto::Sharing;
use boutique_proto::currency_service::{self, GetSupportedCurrencies};
use boutique_service::{App, Env, Service};

/// The workload's name and address setting, as upstream has them; the port is that of its manifest.
pub const SERVICE: Service =
    Service { name: "currencyservice", port: 7000, addr_key: "CURRENCY_SERVICE_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env) -> anyhow::Result<App> {
    let rates = config::rates(env)?;
    let currency = grpc::Currency::new(rates);
    let (server, mut handlers) = currency_service::answered_by(currency.clone());
    handlers.insert::<Sharing<GetSupportedCurrencies>, _>(&Arc::new(currency));
    Ok(App::grpc((server, handlers)))
}
