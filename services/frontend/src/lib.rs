#![doc = include_str!("../README.md")]
//! The shop window.

mod clients;
mod config;
mod deployment;
mod domain;
mod fetch;
mod http;

use boutique_service::{App, Env, Service};

/// The workload's name, default port and address setting, as upstream has them.
pub const SERVICE: Service = Service { name: "frontend", port: 8080, addr_key: "FRONTEND_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env) -> anyhow::Result<App> {
    let config = config::Config::from_env(env)?;
    let clients = clients::Clients::from_env(env)?;
    let deployment = deployment::detect(config.platform, config.pod.clone());
    Ok(App::http(http::router(config, clients, deployment)))
}
