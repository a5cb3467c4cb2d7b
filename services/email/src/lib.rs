#![doc = include_str!("../README.md")]
//! Renders order confirmations and delivers them.

mod delivery;
mod domain;
mod grpc;

use boutique_proto::email_service;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{App, Env};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::EMAIL;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env) -> anyhow::Result<App> {
    let delivery = delivery::Delivery::from_env(env)?;
    Ok(App::grpc(email_service::into_server(grpc::Email::new(delivery))))
}
