//! Metrics and log records pushed over OTLP where `OTEL_METRICS_EXPORTER` and `OTEL_LOGS_EXPORTER` say so, on a thread of
//! its own.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bytes::Bytes;
use opentelemetry_sdk::Resource;
use prost::Message as _;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::collector::{Collector, LOGS, METRICS, Signal, is_wanted};
use crate::env::{Env, EnvError};
use crate::log::{self, Lines};
use crate::metrics::Metrics;

/// The interval of exports where `OTEL_METRIC_EXPORT_INTERVAL` has none; OpenTelemetry's.
const METRICS_INTERVAL: Duration = Duration::from_secs(60);
/// The time that log lines wait for others where `OTEL_BLRP_SCHEDULE_DELAY` has none; OpenTelemetry's.
const LOGS_DELAY: Duration = Duration::from_secs(1);
/// The longest time of what is pushed once the process ends.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before an export that failed is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The signals that can be pushed.
pub(crate) struct Signals {
    /// The name of the process, for log lines of no service.
    pub(crate) process: &'static str,
    pub(crate) metrics: Arc<Metrics>,
    /// The lines to export, if they are wanted.
    pub(crate) lines: Option<Lines>,
}

/// Pushes what is wanted until `over`, and once more then. The thread is returned, to be waited for.
pub(crate) fn start(
    env: &Env,
    signals: Signals,
    runtime: impl FnOnce() -> anyhow::Result<Runtime>,
    over: CancellationToken,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    // A reader of the admin port needs no exporter, and stdout has the lines in any case.
    for (setting, other) in [(METRICS, "prometheus"), (LOGS, "console")] {
        let known = |exporter: &str| ["otlp", "none", other].contains(&exporter);
        if env.get(setting).is_some_and(|list| !list.split(',').map(str::trim).all(known)) {
            env.warn_ignored(setting, "there are otlp and none");
        }
    }
    let Signals { process, metrics, lines } = signals;
    let metrics = is_wanted(env, METRICS).then_some(metrics);
    if metrics.is_none() && lines.is_none() {
        return Ok(None);
    }
    let interval = milliseconds(env, "OTEL_METRIC_EXPORT_INTERVAL")?;
    let interval = interval.unwrap_or(METRICS_INTERVAL).max(Duration::from_millis(100));
    let delay = milliseconds(env, "OTEL_BLRP_SCHEDULE_DELAY")?.unwrap_or(LOGS_DELAY);
    let runtime = runtime()?;
    let entered = runtime.enter();
    let to_metrics = Collector::from_env(env, Signal::Metrics)?;
    let to_logs = Collector::from_env(env, Signal::Logs)?;
    drop(entered);
    let push = move || {
        log::on_exporter_thread();
        runtime.block_on(async {
            let metrics = metrics.map(|metrics| push_metrics(to_metrics, metrics, interval, &over));
            let lines = lines.map(|lines| push_lines(to_logs, process, lines, delay, &over));
            let pushes = async { tokio::join!(when_some(metrics), when_some(lines)) };
            let end = async {
                over.cancelled().await;
                tokio::time::sleep(LAST_TIMEOUT).await;
            };
            tokio::select! {
                _ = pushes => {}
                () = end => tracing::warn!("gave up on pushing the last telemetry"),
            }
        });
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("push".to_owned()).spawn(push);
    Ok(Some(thread.context("cannot start the thread that pushes telemetry")?))
}

fn milliseconds(env: &Env, setting: &'static str) -> Result<Option<Duration>, EnvError> {
    Ok(env.parse(setting, "a number of milliseconds")?.map(Duration::from_millis))
}

async fn when_some(work: Option<impl Future<Output = ()>>) {
    if let Some(work) = work {
        work.await;
    }
}

async fn push_metrics(
    collector: Collector,
    metrics: Arc<Metrics>,
    interval: Duration,
    over: &CancellationToken,
) {
    let (started, mut outage) = (SystemTime::now(), Outage::of("metrics"));
    loop {
        let is_last = over.run_until_cancelled(tokio::time::sleep(interval)).await.is_none();
        let request = metrics.to_otlp(resource, started).encode_to_vec();
        outage.note(collector.export(request.into()).await.is_ok());
        if is_last {
            return;
        }
    }
}

/// Pushes log lines. A batch that the collector does not take is tried again, and further lines wait behind it.
async fn push_lines(
    collector: Collector,
    process: &str,
    mut lines: Lines,
    delay: Duration,
    over: &CancellationToken,
) {
    let (mut pending, mut outage) = (None, Outage::of("log lines"));
    loop {
        let wait = async {
            match pending {
                Some(_) => tokio::time::sleep(RETRY_DELAY).await,
                None => lines.wait(delay).await,
            }
        };
        let is_last = over.run_until_cancelled(wait).await.is_none();
        let mut next = || Some(Bytes::from(lines.take(process, resource)?.encode_to_vec()));
        while let Some(request) = pending.take().or_else(&mut next) {
            let is_taken = collector.export(request.clone()).await.is_ok();
            outage.note(is_taken);
            if !is_taken {
                pending = Some(request);
                break;
            }
        }
        if is_last {
            return;
        }
    }
}

/// Logs once that the collector does not take a signal, and once that it does again.
struct Outage {
    signal: &'static str,
    is_out: bool,
}

impl Outage {
    fn of(signal: &'static str) -> Self {
        Self { signal, is_out: false }
    }

    fn note(&mut self, is_taken: bool) {
        if is_taken == self.is_out {
            let signal = self.signal;
            if is_taken {
                tracing::info!("the collector takes {signal} again");
            } else {
                tracing::warn!("the collector takes no {signal} for now");
            }
        }
        self.is_out = !is_taken;
    }
}

/// The attributes of a service's resource: its name, and those of `OTEL_RESOURCE_ATTRIBUTES`.
fn resource(service: &str) -> Vec<(String, String)> {
    let resource = Resource::builder().with_service_name(service.to_owned()).build();
    resource.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}
