//! The metrics of a process: families of series by name, registered when they are first asked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter as PrometheusCounter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as PrometheusGauge;
use prometheus_client::registry::{Metric, Registry, Unit};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::labels::{Exemplar, Labels, of_service, snake};
use super::otlp;
use super::process::Process;

/// The upper bounds of the buckets of a duration, in seconds: 50 µs, which a call inside the process takes, to the longest
/// deadline of a page.
const BUCKETS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

pub(super) type Histogram = HistogramWithExemplars<Exemplar>;
pub(super) type Histograms = Family<Labels, Histogram, fn() -> Histogram>;
pub(super) type FloatCounter = PrometheusCounter<f64, AtomicU64>;

/// The metrics of a process.
#[derive(Default)]
pub(crate) struct Metrics {
    families: Mutex<Families>,
    /// True while requests are not measured.
    is_paused: AtomicBool,
}

#[derive(Default)]
struct Families {
    registry: Registry,
    histograms: BTreeMap<&'static str, Histograms>,
    counters: BTreeMap<&'static str, Family<Labels, FloatCounter>>,
    gauges: BTreeMap<&'static str, Family<Labels, PrometheusGauge>>,
    /// The names of the process's own metrics.
    of_process: Vec<&'static str>,
    /// The connections of each service.
    connections: Vec<(&'static str, TaskTracker)>,
    /// The health of each service: true while it is SERVING.
    health: Vec<(&'static str, watch::Receiver<bool>)>,
}

/// A format of all metrics in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
    /// Prometheus's own, 0.0.4.
    Prometheus,
}

impl Format {
    /// The `Content-Type` of the format.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

impl Metrics {
    /// Starts or stops measuring requests.
    pub(crate) fn measure(&self, is_wanted: bool) {
        self.is_paused.store(!is_wanted, Ordering::Relaxed);
    }

    /// Returns true while requests are measured.
    pub(crate) fn is_measuring(&self) -> bool {
        !self.is_paused.load(Ordering::Relaxed)
    }

    /// Adds the metrics of the process itself, of its runtimes, and of its log, under the process's name.
    pub(crate) fn add_process(
        &self,
        name: &'static str,
        runtimes: Vec<Handle>,
        dropped_lines: fn() -> u64,
    ) {
        let collector = Process::new(name, runtimes, dropped_lines);
        let mut families = self.lock();
        families.of_process = collector.names();
        families.registry.register_collector(Box::new(collector));
    }

    /// Counts the open connections of a service.
    pub(crate) fn add_connections(&self, service: &'static str, connections: &TaskTracker) {
        self.lock().connections.push((service, connections.clone()));
    }

    /// Tells the health of a service.
    pub(crate) fn add_health(&self, service: &'static str, is_serving: watch::Receiver<bool>) {
        self.lock().health.push((service, is_serving));
    }

    /// Writes all metrics as text.
    pub(crate) fn encode(&self, format: Format) -> String {
        let open = self.gauges("server.connections", "Open connections");
        let serving = self.gauges("server.serving", "1 while the service is SERVING");
        let families = self.lock();
        for (service, connections) in &families.connections {
            let count = i64::try_from(connections.len()).unwrap_or(i64::MAX);
            open.get_or_create(&of_service(service)).set(count);
        }
        for (service, is_serving) in &families.health {
            serving.get_or_create(&of_service(service)).set(i64::from(*is_serving.borrow()));
        }
        let mut written = String::new();
        let result = match format {
            Format::OpenMetrics => text::encode(&mut written, &families.registry),
            Format::Prometheus => prometheus_text::encode(&mut written, &families.registry),
        };
        if result.is_err() {
            // Writing to a string does not fail; a metric that cannot be encoded is a defect of ours.
            tracing::error!("cannot encode the metrics");
        }
        written
    }

    /// Makes the request of an export of all metrics over OTLP; `resource` makes the attributes of a service's resource.
    pub(crate) fn to_otlp(
        &self,
        resource: impl Fn(&str) -> Vec<(String, String)>,
        started: SystemTime,
    ) -> ExportMetricsServiceRequest {
        let text = self.encode(Format::OpenMetrics);
        let names = self.names().into_iter().map(|name| (snake(name), name)).collect();
        otlp::request(&text, &names, resource, (started, SystemTime::now()))
    }

    /// The names of all families, as OpenTelemetry has them.
    fn names(&self) -> Vec<&'static str> {
        let families = self.lock();
        let Families { histograms, counters, gauges, of_process, .. } = &*families;
        let own = histograms.keys().chain(counters.keys()).chain(gauges.keys());
        own.chain(of_process).copied().collect()
    }

    /// Durations in seconds, by OpenTelemetry's name without a unit.
    pub(super) fn histograms(&self, name: &'static str, help: &'static str) -> Histograms {
        let mut families = self.lock();
        if let Some(known) = families.histograms.get(name) {
            return known.clone();
        }
        let make: fn() -> Histogram = || Histogram::new(BUCKETS.into_iter());
        let family = Histograms::new_with_constructor(make);
        families.registry.register_with_unit(snake(name), help, Unit::Seconds, family.clone());
        families.histograms.insert(name, family.clone());
        family
    }

    pub(super) fn counters(
        &self,
        name: &'static str,
        help: &'static str,
    ) -> Family<Labels, FloatCounter> {
        let mut families = self.lock();
        let Families { registry, counters, .. } = &mut *families;
        counters.entry(name).or_insert_with(|| register(registry, name, help)).clone()
    }

    pub(super) fn gauges(
        &self,
        name: &'static str,
        help: &'static str,
    ) -> Family<Labels, PrometheusGauge> {
        let mut families = self.lock();
        let Families { registry, gauges, .. } = &mut *families;
        gauges.entry(name).or_insert_with(|| register(registry, name, help)).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Families> {
        self.families.lock()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

fn register<F: Default + Clone + Metric>(registry: &mut Registry, name: &str, help: &str) -> F {
    let family = F::default();
    registry.register(snake(name), help, family.clone());
    family
}
