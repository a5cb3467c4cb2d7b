#![doc = include_str!("../README.md")]
//! The web UI.

mod clients;
mod config;
mod copy;
mod deployment;
mod domain;
mod fetch;
mod http;

use ::http::Method;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::FRONTEND;

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env, registry: &Registry) -> anyhow::Result<Router> {
    let config = config::Config::from_env(env)?;
    let clients = clients::Clients::from_env(env, registry)?;
    let deployment = deployment::detect(config.platform, config.pod.clone());
    let probe = format!("{}/_healthz", config.base_url);
    let readiness = format!("{}/_readyz", config.base_url);
    let checkout = format!("{}/cart/checkout", config.base_url);
    let router = Router::http(http::router(config, clients, deployment));
    let router = router.with_probe(probe).with_readiness(readiness);
    Ok(router.refused_last(Method::POST, checkout))
}
