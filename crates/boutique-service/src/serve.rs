//! Running services: bound before they serve, with health and reflection, and shut down the way a pod has to be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use boutique_proto::services::ServiceSpec;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic_health::ServingStatus;

use crate::admin;
use crate::context::{RequestContext, ServiceContext};
use crate::env::{Env, EnvError};
use crate::faults::ServiceFaults;
use crate::grpc;
use crate::listen::ListenAddress;
use crate::memory;
use crate::metrics::ServiceMetrics;
use crate::registry::Registry;
use crate::server::{ConnectionLimits, Endpoint, Health, Listener, Router, Shutdown, accept};
use crate::trace::ServiceTracer;

/// A running service. Dropping it aborts it.
#[derive(Debug)]
pub struct ServerHandle {
    endpoint: Arc<Endpoint>,
    address: Option<SocketAddr>,
    health: Option<Health>,
    /// Sets the service's health once it is ready, and the other names' all along, until it is stopped.
    watching: Vec<AbortOnDropHandle<()>>,
    drain: Drain,
    shutdown: Shutdown,
    accepting: Option<JoinHandle<()>>,
    /// The task beside requests.
    background: Option<JoinHandle<()>>,
}

/// The time that the task beside requests has after everything else.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(1);

/// The setting with which the shop itself shows what it measures.
const TOPOLOGY: &str = "ENABLE_TOPOLOGY";

/// The durations of a graceful shutdown.
#[derive(Debug, Clone, Copy)]
struct Drain {
    delay: Duration,
    timeout: Duration,
}

impl Drain {
    fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self {
            delay: env.duration("DRAIN_DELAY")?.unwrap_or_default(),
            // Within the five seconds of grace of upstream's manifests.
            timeout: env.duration("DRAIN_TIMEOUT")?.unwrap_or(Duration::from_secs(4)),
        })
    }
}

/// Binds `PORT` (or the service's own port) on `LISTEN_ADDR` (or every address), and serves `router` there with health
/// and reflection, over TLS where there is a certificate.
pub async fn spawn(
    spec: ServiceSpec,
    env: &Env,
    registry: &Registry,
    router: Router,
) -> anyhow::Result<ServerHandle> {
    let tls = registry.tls(env)?;
    let mode = tls.server_mode(env, router.default_tls())?;
    let limits = ConnectionLimits::from_env(env)?;
    let mut handle = start(spec, env, registry, &router).await?;
    let (socket, address) = ListenAddress::of_service(spec.port, env)?.bind()?;
    handle.become_ready(&router).await;
    registry.metrics().add_connections(spec.name, &handle.shutdown.connections);
    let listener = Listener {
        endpoint: handle.endpoint.clone(),
        tls,
        mode,
        limits,
        shutdown: handle.shutdown.clone(),
    };
    handle.accepting = Some(tokio::spawn(accept(socket, registry.workers.clone(), listener)));
    handle.address = Some(address);
    tracing::info!(service.name = spec.name, server.address = %address, "listening on {address}");
    Ok(handle)
}

/// Serves `router` inside this process alone, and sets the service's address in `env`, where those that are started
/// after it find it.
pub async fn spawn_inproc(
    spec: ServiceSpec,
    env: &mut Env,
    registry: &mut Registry,
    router: Router,
) -> anyhow::Result<ServerHandle> {
    let mut handle = start(spec, env, registry, &router).await?;
    handle.drain.delay = Duration::ZERO;
    handle.become_ready(&router).await;
    env.set(spec.addr_key, registry.insert(handle.endpoint.clone()));
    Ok(handle)
}

/// A service that is not reached by anybody yet, and NOT_SERVING.
async fn start(
    spec: ServiceSpec,
    env: &Env,
    registry: &Registry,
    router: &Router,
) -> anyhow::Result<ServerHandle> {
    let mut names = router.names().to_vec();
    names.push(spec.name);
    let others = router.statuses().iter().map(|(name, _)| *name).collect();
    let health = Health::new(names, others).await;
    registry.metrics().add_health(spec.name, health.is_serving());
    let router = router.clone().with_health(&health);
    let router = router.with_reflection_if(env.flag("GRPC_REFLECTION")?)?;
    let sheds = env.flag("LOAD_SHEDDING")?.unwrap_or(true);
    let context = ServiceContext {
        name: spec.name,
        tracer: ServiceTracer::from_env(spec.name, env, router.is_http())?,
        metrics: metrics_are_wanted(env)?.then(|| {
            let methods = router.methods();
            ServiceMetrics::new(registry.metrics(), spec.name, router.is_http(), &methods)
        }),
        faults: Some(ServiceFaults::new(
            &registry.faults(env)?,
            spec.name,
            router.extra_latency(),
            &registry.meter(&spec),
        )),
        user_agent: grpc::user_agent(spec.name),
        tasks: TaskTracker::new(),
    };
    Ok(ServerHandle {
        endpoint: Arc::new(Endpoint::new(context, router, memory::limit(env)?, sheds)),
        address: None,
        health: Some(health),
        watching: Vec::new(),
        drain: Drain::from_env(env)?,
        shutdown: Shutdown::default(),
        accepting: None,
        background: None,
    })
}

impl ServerHandle {
    /// Returns where it listens; `None` if it is reached inside the process.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Sets SERVING, now or once the service is ready.
    async fn become_ready(&mut self, router: &Router) {
        if let Some(task) = router.background(self.shutdown.stopping.clone()) {
            let context = RequestContext::of_service(self.endpoint.context().clone());
            self.background = Some(tokio::spawn(context.scope(task)));
        }
        let Some(health) = &self.health else { return };
        for (name, is_well) in router.statuses() {
            let following = health.clone().follow(name, is_well.clone());
            self.watching.push(AbortOnDropHandle::new(tokio::spawn(following)));
        }
        let (health, context) = (health.clone(), self.endpoint.context().clone());
        let pending = router.pending();
        if pending.is_none() {
            health.set(status(&context)).await;
            if !can_be_unready(&context) {
                return;
            }
        }
        self.watching.push(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Some(mut ready) = pending {
                if ready.wait_for(|ready| *ready).await.is_err() {
                    return;
                }
                health.set(status(&context)).await;
            }
            let faults = context.faults.as_ref().filter(|faults| faults.are_possible());
            let Some(faults) = faults else { return };
            let mut current = status(&context);
            loop {
                faults.changed().await;
                let next = status(&context);
                if next != current {
                    health.set(next).await;
                }
                current = next;
            }
        })));
    }

    /// Shuts down gracefully: NOT_SERVING at once, serving on for `DRAIN_DELAY`, no new connections, at most
    /// `DRAIN_TIMEOUT` for what is in flight, and an export of the last spans.
    pub async fn stop(self) {
        stop_all(vec![self]).await;
    }

    /// Does the same without the spans.
    async fn drain(mut self) -> Arc<ServiceContext> {
        self.watching.clear();
        if let Some(health) = &self.health {
            health.set(ServingStatus::NotServing).await;
        }
        self.shutdown.announce();
        tokio::time::sleep(self.drain.delay).await;
        if let Some(health) = self.health.take() {
            health.end_watches().await;
        }
        self.shutdown.drain();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.await;
        }
        let context = self.endpoint.context();
        context.tasks.close();
        let in_flight = async {
            self.shutdown.connections.wait().await;
            context.tasks.wait().await;
        };
        if tokio::time::timeout(self.drain.timeout, in_flight).await.is_err() {
            let left = self.shutdown.connections.len() + context.tasks.len();
            tracing::warn!(service.name = context.name, left, "gave up on {left} unfinished");
        }
        self.shutdown.stopping.given_up.cancel();
        if let Some(background) = self.background.take() {
            let _ = tokio::time::timeout(BACKGROUND_TIMEOUT, background).await;
        }
        context.clone()
    }
}

/// Stops services as [`ServerHandle::stop`] does, the last first. Their last spans are exported together, so that a
/// collector that never answers takes its bound once.
pub async fn stop_all(services: Vec<ServerHandle>) {
    flush_all(drain_all(services).await).await;
}

/// Shuts services down gracefully, the last first.
pub(crate) async fn drain_all(mut services: Vec<ServerHandle>) -> Vec<Arc<ServiceContext>> {
    let mut stopped = Vec::new();
    while let Some(last) = services.pop() {
        stopped.push(last.drain().await);
    }
    stopped
}

/// Exports the last spans of services that are stopped.
pub(crate) async fn flush_all(stopped: Vec<Arc<ServiceContext>>) {
    join_all(stopped.iter().filter_map(|context| Some(context.tracer.as_ref()?.flush()))).await;
}

/// Returns true if metrics are exported, or shown by the shop itself; otherwise requests are not measured.
fn metrics_are_wanted(env: &Env) -> Result<bool, EnvError> {
    let is_shown = env.flag(TOPOLOGY)?.unwrap_or(false);
    Ok(is_shown || admin::metrics_are_exported(env))
}

/// The health of a service that is ready: NOT_SERVING where a fault says so.
fn status(context: &ServiceContext) -> ServingStatus {
    if context.faults.as_ref().is_some_and(ServiceFaults::is_unready) {
        ServingStatus::NotServing
    } else {
        ServingStatus::Serving
    }
}

fn can_be_unready(context: &ServiceContext) -> bool {
    context.faults.as_ref().is_some_and(ServiceFaults::are_possible)
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.shutdown.abort();
    }
}
