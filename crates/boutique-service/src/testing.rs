//! A service on a free loopback port for as long as a test holds it.

use crate::client::{Channel, channel};
use crate::env::Env;
use crate::server::{App, Running, Service, spawn};

/// Serves `routes` on loopback and calls it over the wire. Where the process's environment holds
/// the service's address, as in `CART_SERVICE_ADDR=localhost:7070 cargo test -p cartservice`, the
/// same cases run against whatever listens there, and nothing is started.
pub async fn loopback(
    service: Service,
    env: &Env,
    routes: impl AsyncFnOnce(&Env) -> anyhow::Result<App>,
) -> anyhow::Result<(Channel, Option<Running>)> {
    let mut calling = env.clone();
    if let Some(address) = Env::from_process().get(service.addr_key) {
        calling.set(service.addr_key, address);
        return Ok((channel(&calling, service.addr_key)?, None));
    }
    let running = serve(service, env, routes).await?;
    if let Some(address) = running.address() {
        calling.set(service.addr_key, address.to_string());
    }
    Ok((channel(&calling, service.addr_key)?, Some(running)))
}

/// Serves `routes` on a free loopback port.
pub async fn serve(
    service: Service,
    env: &Env,
    routes: impl AsyncFnOnce(&Env) -> anyhow::Result<App>,
) -> anyhow::Result<Running> {
    let mut env = env.clone();
    env.set("LISTEN_ADDR", "127.0.0.1");
    env.set("PORT", "0");
    let app = routes(&env).await?;
    spawn(service, &env, app).await
}
