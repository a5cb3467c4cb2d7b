#![doc = include_str!("../README.md")]
//! Renders order confirmations and delivers them.

mod delivery;
mod domain;
mod grpc;

use boutique_proto::email_service;
use boutique_service::{App, Env, Service};

/// The workload's name, default port and address setting, as upstream has them.
pub const SERVICE: Service =
    Service { name: "emailservice", port: 8080, addr_key: "EMAIL_SERVICE_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env) -> anyhow::Result<App> {
    let delivery = delivery::Delivery::from_env(env)?;
    Ok(App::grpc(email_service::answered_by(grpc::Email::new(delivery))))
}
