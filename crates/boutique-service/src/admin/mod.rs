//! The admin port: metrics and faults, apart from the service port and on a thread of its own, so that whoever reads them takes no
//! time from requests.

mod faults;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, header};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::collector;
use crate::context::ServiceContext;
use crate::env::{Env, EnvError};
use crate::faults::Faults;
use crate::listen::ListenAddress;
use crate::metrics::{Format, Metrics};
use crate::registry::Registry;
use crate::server::{ConnectionLimits, Endpoint, Listener, Router, Shutdown, accept};
use crate::tls::ServerTls;

/// The setting with the address of the admin port.
const ADDRESS: &str = "ADMIN_ADDR";
/// The most connections of the admin port.
const MAX_CONNECTIONS: usize = 64;
/// The memory in bytes that the requests of the admin port may take.
const MEMORY: usize = 16 * 1024 * 1024;
/// The time for which written metrics are good enough for another reader.
const FRESH_FOR: Duration = Duration::from_millis(100);

/// Returns true if there is an admin port.
fn is_wanted(env: &Env) -> bool {
    env.get(ADDRESS).is_some()
}

/// The metrics and the faults of this process, as its admin port shows them.
#[derive(Debug, Clone)]
pub struct AdminView {
    metrics: Arc<Metrics>,
    faults: Arc<Faults>,
    /// True if metrics leave the process, so that requests are always measured.
    are_exported: bool,
}

impl AdminView {
    /// Makes the view of the process of these services. Without an admin port and OTLP export, requests are not measured
    /// until [`measure`](Self::measure) is called. An invalid `FAULTS` is an error.
    pub fn new(env: &Env, registry: &Registry) -> Result<Self, EnvError> {
        let view = Self {
            metrics: registry.metrics().clone(),
            faults: registry.faults(env)?,
            are_exported: metrics_are_exported(env),
        };
        view.measure(false);
        Ok(view)
    }

    /// Starts measuring requests, or stops it unless there is an admin port or OTLP export.
    pub fn measure(&self, is_wanted: bool) {
        self.metrics.measure(is_wanted || self.are_exported);
    }

    /// Returns all metrics in the text format of Prometheus, which [`Sample`](crate::Sample) reads. It takes a
    /// millisecond or two to write.
    pub fn metrics(&self) -> String {
        self.metrics.encode(Format::Prometheus)
    }

    /// Returns the faults as JSON, as in `{"faults": [{"name": …, "service": …, "on": true, …}]}`.
    pub fn faults(&self) -> String {
        self.faults.to_json().to_string()
    }
}

/// Returns true if metrics leave the process, by the admin port or by OTLP.
pub(crate) fn metrics_are_exported(env: &Env) -> bool {
    is_wanted(env) || collector::is_wanted(env, collector::METRICS)
}

/// Serves the admin port on a thread of its own until `over`, if `ADMIN_ADDR` (an address and a port, or `:port`) asks
/// for one. It has no TLS.
pub(crate) fn start(
    env: &Env,
    registry: &Registry,
    runtime: impl FnOnce() -> anyhow::Result<Runtime>,
    over: CancellationToken,
) -> anyhow::Result<()> {
    let Some(address) = env.get(ADDRESS) else { return Ok(()) };
    let runtime = runtime()?;
    let endpoint = endpoint(registry.metrics().clone(), registry.faults(env)?);
    let listener = Listener {
        endpoint: Arc::new(endpoint),
        tls: registry.tls(env)?,
        mode: ServerTls::Off,
        limits: ConnectionLimits::at_most(MAX_CONNECTIONS),
        shutdown: Shutdown::default(),
    };
    let (socket, address) = {
        let _entered = runtime.enter();
        ListenAddress::parse(ADDRESS, address)?.bind()?
    };
    tracing::info!(admin.address = %address, "metrics at http://{address}/metrics");
    let serve = move || {
        let shutdown = listener.shutdown.clone();
        runtime.spawn(accept(socket, Vec::new(), listener));
        runtime.block_on(over.cancelled());
        shutdown.abort();
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(serve)
        .context("cannot start the thread of the admin port")?;
    Ok(())
}

fn endpoint(metrics: Arc<Metrics>, faults: Arc<Faults>) -> Endpoint {
    let written = Arc::new(Written::new(metrics));
    let answer = move |headers: HeaderMap| {
        let written = written.clone();
        async move {
            let format = wanted(&headers);
            ([(header::CONTENT_TYPE, format.content_type())], written.text(format)).into_response()
        }
    };
    let routes = axum::Router::new().route("/metrics", get(answer));
    let router = Router::http(routes.merge(faults::routes(faults)));
    let context = ServiceContext {
        name: "admin",
        tracer: None,
        metrics: None,
        faults: None,
        user_agent: None,
        tasks: TaskTracker::new(),
    };
    Endpoint::new(context, router, Some(MEMORY), false)
}

/// The format that a reader asks for: OpenMetrics where it knows that.
fn wanted(headers: &HeaderMap) -> Format {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut accepted = accepted.flat_map(|value| value.split(','));
    let is_open_metrics =
        accepted.any(|kind| kind.trim().starts_with("application/openmetrics-text"));
    if is_open_metrics { Format::OpenMetrics } else { Format::Prometheus }
}

/// The metrics as they were written last, by format.
struct Written {
    metrics: Arc<Metrics>,
    last: Mutex<[Option<(Instant, Bytes)>; 2]>,
}

impl Written {
    fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, last: Mutex::default() }
    }

    /// Returns the metrics as text, at most 100 ms old: so many readers cost little more than one.
    fn text(&self, format: Format) -> Bytes {
        let mut last = self.last.lock();
        let last = &mut last[usize::from(format == Format::OpenMetrics)];
        let fresh = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH_FOR);
        if let Some((_, text)) = fresh {
            return text.clone();
        }
        let text = Bytes::from(self.metrics.encode(format));
        *last = Some((Instant::now(), text.clone()));
        text
    }
}
