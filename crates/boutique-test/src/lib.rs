//! Shared parts of tests: services on loopback, a real `redis-server`, the shop as processes, and a visitor of its pages. No
//! product binary depends on this crate.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod authority;
mod collector;
pub mod echo;
mod faulty_proxy;
mod jaeger;
mod processes;
mod prometheus;
mod redis_server;
mod relay;
mod visitor;

use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use boutique_service::{Env, Registry, Router, ServerHandle, ServiceSpec, spawn};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::visitor::PATIENCE;

pub use crate::authority::{Authority, Certificate};
pub use crate::collector::{Attributes, Collector, LogLine, Span, attributes, hex, traces_with};
pub use crate::faulty_proxy::{Fault, FaultyProxy};
pub use crate::jaeger::Jaeger;
pub use crate::processes::{Process, Processes, allocated, binary, load_generator, settings};
pub use crate::prometheus::Prometheus;
pub use crate::redis_server::RedisServer;
pub use crate::relay::Relay;
pub use crate::visitor::{Answer, FORM, Visitor};

/// Returns every file below a folder whose name has this extension, but for those that are built or Git's own.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found
}

/// Serves `routes` on loopback, and connects to it. Where the process's environment holds the service's address, as in
/// `CART_SERVICE_ADDR=localhost:7070 cargo test -p cartservice`, the same tests run against whatever listens there, and
/// nothing is started.
pub async fn loopback(
    spec: ServiceSpec,
    env: &Env,
    routes: impl AsyncFnOnce(&Env, &Registry) -> anyhow::Result<Router>,
) -> anyhow::Result<(Channel, Option<ServerHandle>)> {
    if let Some(address) = Env::from_process().get(spec.addr_key) {
        return Ok((connect(address)?, None));
    }
    let running = serve(spec, env, routes).await?;
    Ok((connect(running.address().context("it listens nowhere")?)?, Some(running)))
}

/// Returns a loopback address with a free port, for programs that cannot bind to port 0 or do not print their port. Another
/// process may take the port first.
pub fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Waits until something listens at an address.
async fn until_open(address: &str) -> anyhow::Result<()> {
    let opens = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let opened = tokio::time::timeout(PATIENCE, opens).await;
    opened.with_context(|| format!("nothing listens at {address}"))
}

/// Connects with tonic's own transport, as other programs connect to the services, at the first call.
pub fn connect(address: impl Display) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy())
}

/// Serves `routes` on a free loopback port.
pub async fn serve(
    spec: ServiceSpec,
    env: &Env,
    routes: impl AsyncFnOnce(&Env, &Registry) -> anyhow::Result<Router>,
) -> anyhow::Result<ServerHandle> {
    let router = routes(env, &Registry::default()).await?;
    serve_router(spec, env, router).await
}

/// Serves `router` on a free loopback port.
pub async fn serve_router(
    spec: ServiceSpec,
    env: &Env,
    router: Router,
) -> anyhow::Result<ServerHandle> {
    let mut env = env.clone();
    env.set("LISTEN_ADDR", "127.0.0.1");
    env.set("PORT", "0");
    spawn(spec, &env, &Registry::default(), router).await
}
