#![doc = include_str!("../README.md")]
//! The web UI.

mod clients;
mod config;
mod copy;
mod deployment;
mod domain;
mod fetch;
mod http;
mod topology;

use ::http::Method;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};

use self::topology::Topology;

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
    let topology = Topology::of(&config, env, registry)?;
    let router = Router::http(http::router(config, clients, deployment, topology.clone()));
    let router = router.with_probe(probe).with_readiness(readiness);
    let router = router.refused_last(Method::POST, checkout);
    Ok(match topology {
        Some(topology) => router.with_background(move |stopping| topology.clone().run(stopping)),
        None => router,
    })
}
