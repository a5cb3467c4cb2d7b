//! A service on a free loopback port for as long as a test holds it.

use std::fmt::Display;

use anyhow::Context as _;
use tonic::transport::{Channel, Endpoint};

use crate::env::Env;
use boutique_proto::services::ServiceSpec;

use crate::server::{App, Running, spawn};

/// Serves `routes` on loopback and calls it over the wire. Where the process's environment holds
/// the service's address, as in `CART_SERVICE_ADDR=localhost:7070 cargo test -p cartservice`, the
/// same cases run against whatever listens there, and nothing is started.
pub async fn loopback(
    service: ServiceSpec,
    env: &Env,
    routes: impl AsyncFnOnce(&Env) -> anyhow::Result<App>,
) -> anyhow::Result<(Channel, Option<Running>)> {
    if let Some(address) = Env::from_process().get(service.addr_key) {
        return Ok((connect(address)?, None));
    }
    let running = serve(service, env, routes).await?;
    Ok((connect(running.address().context("it listens nowhere")?)?, Some(running)))
}

/// A connection of plain tonic's, as others have it to our services; made at the first call.
pub fn connect(address: impl Display) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy())
}

/// Serves `routes` on a free loopback port.
pub async fn serve(
    service: ServiceSpec,
    env: &Env,
    routes: impl AsyncFnOnce(&Env) -> anyhow::Result<App>,
) -> anyhow::Result<Running> {
    let mut env = env.clone();
    env.set("LISTEN_ADDR", "127.0.0.1");
    env.set("PORT", "0");
    let app = routes(&env).await?;
    spawn(service, &env, app).await
}
