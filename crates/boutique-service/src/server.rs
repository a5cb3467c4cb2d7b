//! What a service answers ([`App`]), and one running service ([`Running`]): bound before it serves,
//! with health and reflection, and stopped the way a pod has to stop.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use boutique_proto::Handlers;
use boutique_proto::services::ServiceSpec;
use http::Request;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tower::{Service as TowerService, ServiceExt as _};

use crate::call::Identity;
use crate::connection::{self, Lifetime};
use crate::env::{Env, EnvError};
use crate::health::Health;
use crate::layer::Served;
use crate::telemetry::Tracing;

/// What a service answers, before it is served.
#[derive(Debug, Clone)]
pub struct App {
    router: axum::Router,
    handlers: Handlers,
    names: Vec<&'static str>,
    reflection: bool,
    ready: Option<watch::Receiver<bool>>,
}

impl App {
    /// Answers gRPC: over the wire with what tonic generated, and callers in the same process without.
    pub fn grpc<S>((server, handlers): (S, Handlers)) -> Self
    where
        S: TowerService<Request<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        let router = Routes::new(server).into_axum_router();
        Self { handlers, names: vec![S::NAME], ..Self::http(router) }
    }

    /// Answers HTTP.
    pub fn http(router: axum::Router) -> Self {
        let handlers = Handlers::default();
        Self { router, handlers, names: Vec::new(), reflection: false, ready: None }
    }

    /// With gRPC reflection on unless `GRPC_REFLECTION` turns it off.
    #[must_use]
    pub fn with_reflection(self) -> Self {
        Self { reflection: true, ..self }
    }

    /// Healthy only from the moment this says so; from then on it does not ask again, because what all
    /// replicas share would take all of them out at once.
    #[must_use]
    pub fn ready_when(self, ready: watch::Receiver<bool>) -> Self {
        Self { ready: Some(ready), ..self }
    }

    fn with_health(self, health: &Health) -> Self {
        let health = health
            .server()
            .map_request(|request: Request<Body>| request.map(tonic::body::Body::new));
        Self {
            router: self.router.route_service("/grpc.health.v1.Health/{*method}", health),
            ..self
        }
    }

    fn with_reflection_if(self, wanted: Option<bool>) -> anyhow::Result<Self> {
        if !wanted.unwrap_or(self.reflection) {
            return Ok(self);
        }
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(boutique_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let reflection = Routes::new(builder().build_v1()?).add_service(builder().build_v1alpha()?);
        let router = self.router.merge(reflection.into_axum_router().reset_fallback());
        Ok(Self { router, ..self })
    }
}

/// A service that runs until it is stopped. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    identity: Arc<Identity>,
    address: Option<SocketAddr>,
    health: Option<Health>,
    getting_ready: Option<GettingReady>,
    drain: Drain,
    lifetime: Lifetime,
    accepting: Option<JoinHandle<()>>,
}

/// Turns health on when the service says that it is ready, unless the service ends before.
type GettingReady = AbortOnDropHandle<()>;

#[derive(Debug, Clone, Copy)]
struct Drain {
    delay: Duration,
    timeout: Duration,
}

impl Drain {
    fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self {
            delay: env.duration("DRAIN_DELAY")?.unwrap_or_default(),
            // Inside the five seconds of grace that upstream's manifests give a pod.
            timeout: env.duration("DRAIN_TIMEOUT")?.unwrap_or(Duration::from_secs(4)),
        })
    }
}

/// Binds `PORT` (or the service's own port) on `LISTEN_ADDR` (or every address) and serves `app`
/// there with health and reflection.
pub async fn spawn(service: ServiceSpec, env: &Env, app: App) -> anyhow::Result<Running> {
    let (served, health, getting_ready) = serve(service, env, app).await?;
    let (listener, address) = bind(service.port, env)?;
    let lifetime = Lifetime::default();
    let accepting = tokio::spawn(connection::accept(
        listener,
        env.workers.clone(),
        served.clone(),
        lifetime.clone(),
    ));
    tracing::info!(service.name = service.name, server.address = %address, "listening on {address}");
    Ok(Running {
        identity: served.identity.clone(),
        address: Some(address),
        health: Some(health),
        getting_ready,
        drain: Drain::from_env(env)?,
        lifetime,
        accepting: Some(accepting),
    })
}

/// Serves `app` inside this process alone, and sets the service's address in `env` so that those
/// who are opened after it find it.
pub async fn inproc(service: ServiceSpec, env: &mut Env, app: App) -> anyhow::Result<Running> {
    let (served, health, getting_ready) = serve(service, env, app).await?;
    env.inproc.insert(service.name, served.clone());
    env.set(service.addr_key, format!("inproc:{}", service.name));
    Ok(Running {
        identity: served.identity.clone(),
        address: None,
        health: Some(health),
        getting_ready,
        drain: Drain { delay: Duration::ZERO, ..Drain::from_env(env)? },
        lifetime: Lifetime::default(),
        accepting: None,
    })
}

async fn serve(
    service: ServiceSpec,
    env: &Env,
    app: App,
) -> anyhow::Result<(Arc<Served>, Health, Option<GettingReady>)> {
    let mut names = app.names.clone();
    names.push(service.name);
    let health = Health::new(names).await;
    let not_yet = app.ready.clone().filter(|ready| !*ready.borrow());
    let getting_ready = match not_yet {
        None => {
            health.set(ServingStatus::Serving).await;
            None
        }
        Some(mut ready) => {
            let health = health.clone();
            Some(AbortOnDropHandle::new(tokio::spawn(async move {
                if ready.wait_for(|ready| *ready).await.is_ok() {
                    health.set(ServingStatus::Serving).await;
                }
            })))
        }
    };
    let app = app.with_health(&health).with_reflection_if(env.flag("GRPC_REFLECTION")?)?;
    let identity = Identity {
        name: service.name,
        tracing: Tracing::from_env(service.name, env)?,
        tasks: TaskTracker::new(),
    };
    // `with_state` makes axum build the final router now instead of at every call.
    let router = app.router.with_state(());
    let served = Served { router, handlers: app.handlers, identity: Arc::new(identity) };
    Ok((Arc::new(served), health, getting_ready))
}

impl Running {
    /// Where it listens; nowhere if it is reached inside the process.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Stops the way a pod has to: not ready at once, serving on for `DRAIN_DELAY`, no new
    /// connections, at most `DRAIN_TIMEOUT` for what is in flight, and the last spans out.
    pub async fn stop(mut self) {
        self.getting_ready = None;
        if let Some(health) = &self.health {
            health.set(ServingStatus::NotServing).await;
        }
        self.lifetime.leave();
        tokio::time::sleep(self.drain.delay).await;
        if let Some(health) = self.health.take() {
            health.end_watches().await;
        }
        self.lifetime.drain();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.await;
        }
        self.identity.tasks.close();
        let in_flight = async {
            self.lifetime.connections.wait().await;
            self.identity.tasks.wait().await;
        };
        if tokio::time::timeout(self.drain.timeout, in_flight).await.is_err() {
            let left = self.lifetime.connections.len() + self.identity.tasks.len();
            tracing::warn!(service.name = self.identity.name, left, "gave up on {left} unfinished");
        }
        if let Some(tracing) = &self.identity.tracing {
            tracing.flush().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifetime.end();
    }
}

/// The port a service listens on: `PORT`, or the name that upstream's cartservice has for it.
pub(crate) fn port(default_port: u16, env: &Env) -> Result<u16, EnvError> {
    for name in ["PORT", "ASPNETCORE_HTTP_PORTS"] {
        if let Some(port) = env.parse(name, "a port, 0 to 65535")? {
            return Ok(port);
        }
    }
    Ok(default_port)
}

fn bind(default_port: u16, env: &Env) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let port = port(default_port, env)?;
    let listener = match env.parse::<IpAddr>("LISTEN_ADDR", "an IP address")? {
        Some(ip) => listen(SocketAddr::new(ip, port)),
        // Where a machine has no IPv6, its IPv4 alone will do.
        None => match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(error) if error.kind() != ErrorKind::AddrInUse => {
                listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            }
            bound => bound,
        },
    };
    let listener = listener.map_err(|error| match error.kind() == ErrorKind::AddrInUse {
        true => EnvError::new("PORT", format_args!("must be a free port: {port} is taken")),
        false => EnvError::new("PORT", format_args!("must be a port that can be bound: {error}")),
    })?;
    let address = listener.local_addr().context("cannot learn the listener's address")?;
    Ok((listener, address))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}
