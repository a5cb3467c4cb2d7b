//! Metrics pushed over OTLP where `OTEL_METRICS_EXPORTER` says so, on a thread of its own.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_sdk::Resource;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::collector;
use crate::env::{Env, EnvError};
use crate::metrics::Metrics;

const SETTING: &str = "OTEL_METRICS_EXPORTER";
/// The interval of exports where `OTEL_METRIC_EXPORT_INTERVAL` has none; OpenTelemetry's.
const INTERVAL: Duration = Duration::from_secs(60);
/// The longest time of an export, and of the last one of a process.
const TIMEOUT: Duration = Duration::from_secs(10);
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns true if metrics are pushed.
pub(crate) fn is_wanted(env: &Env) -> bool {
    env.get(SETTING).is_some_and(|list| list.split(',').any(|exporter| exporter.trim() == "otlp"))
}

/// Pushes all metrics until `over`, and once more then. The thread is returned, to be waited for.
pub(crate) fn start(
    env: &Env,
    metrics: &Arc<Metrics>,
    runtime: impl FnOnce() -> anyhow::Result<Runtime>,
    over: CancellationToken,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    if let Some(list) = env.get(SETTING) {
        let known = |exporter: &str| ["otlp", "none", "prometheus"].contains(&exporter.trim());
        if !list.split(',').all(known) {
            tracing::warn!("ignored a part of {SETTING}: there are otlp and none");
        }
    }
    if !is_wanted(env) {
        return Ok(None);
    }
    let interval = env.parse("OTEL_METRIC_EXPORT_INTERVAL", "a number of milliseconds")?;
    let interval = interval.map_or(INTERVAL, Duration::from_millis).max(Duration::from_millis(100));
    let wrong = |_| EnvError::new("COLLECTOR_SERVICE_ADDR", "must be host:port");
    let endpoint = Endpoint::from_shared(collector::endpoint(env)?).map_err(wrong)?;
    let (runtime, metrics) = (runtime()?, metrics.clone());
    let push = move || {
        runtime.block_on(push(endpoint, &metrics, interval, over));
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("push".to_owned()).spawn(push);
    Ok(Some(thread.context("cannot start the thread that pushes metrics")?))
}

async fn push(endpoint: Endpoint, metrics: &Metrics, interval: Duration, over: CancellationToken) {
    let mut client = MetricsServiceClient::new(endpoint.connect_lazy());
    let (started, mut was_taken) = (SystemTime::now(), true);
    loop {
        let is_last = over.run_until_cancelled(tokio::time::sleep(interval)).await.is_none();
        let timeout = if is_last { LAST_TIMEOUT } else { TIMEOUT };
        let is_taken = tokio::time::timeout(timeout, export(&mut client, metrics, started)).await;
        let is_taken = is_taken.unwrap_or(false);
        if is_taken != was_taken {
            let state = if is_taken { "takes metrics again" } else { "takes no metrics for now" };
            tracing::warn!("the collector {state}");
        }
        was_taken = is_taken;
        if is_last {
            return;
        }
    }
}

async fn export(
    client: &mut MetricsServiceClient<Channel>,
    metrics: &Metrics,
    started: SystemTime,
) -> bool {
    client.export(metrics.to_otlp(resource, started)).await.is_ok()
}

/// The attributes of a service's resource: its name, and those of `OTEL_RESOURCE_ATTRIBUTES`.
fn resource(service: &str) -> Vec<(String, String)> {
    let resource = Resource::builder().with_service_name(service.to_owned()).build();
    resource.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}
