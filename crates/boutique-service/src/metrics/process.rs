//! The process itself: its time, memory, files and threads, the tokio runtimes that serve its requests, and its version.

use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Unit;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;

use super::labels::{Labels, of_service, snake};

/// Reads the metrics of the process when they are asked for.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    runtimes: Vec<Handle>,
    /// Returns the number of log lines that were dropped.
    dropped_lines: fn() -> u64,
    started: Instant,
}

/// One value.
enum Value {
    Counter(f64),
    Gauge(f64),
}

impl Process {
    pub(super) fn new(
        name: &'static str,
        runtimes: Vec<Handle>,
        dropped_lines: fn() -> u64,
    ) -> Self {
        Self { name, runtimes, dropped_lines, started: Instant::now() }
    }

    /// The names of its metrics in OpenTelemetry.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.values().into_iter().map(|(name, ..)| name).collect()
    }

    fn values(&self) -> Vec<(&'static str, &'static str, Option<Unit>, Value)> {
        use Value::{Counter, Gauge};
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = std::time::Duration::try_from(cpu).unwrap_or_default().as_secs_f64();
        let (memory, virtual_memory) = memory();
        let alive: usize =
            self.runtimes.iter().map(|runtime| runtime.metrics().num_alive_tasks()).sum();
        let queued: usize =
            self.runtimes.iter().map(|runtime| runtime.metrics().global_queue_depth()).sum();
        let busy = self
            .workers(|metrics, worker| metrics.worker_total_busy_duration(worker).as_secs_f64());
        let parked = self.workers(|metrics, worker| metrics.worker_park_count(worker) as f64);
        let up = self.started.elapsed().as_secs_f64();
        vec![
            ("process.cpu.time", "Time of the processor", Some(Unit::Seconds), Counter(cpu)),
            ("process.memory.usage", "Resident memory", Some(Unit::Bytes), Gauge(memory)),
            ("process.memory.virtual", "Virtual memory", Some(Unit::Bytes), Gauge(virtual_memory)),
            (
                "process.unix.file_descriptor.count",
                "Open file descriptors",
                None,
                Gauge(entries("/proc/self/fd")),
            ),
            ("process.thread.count", "Threads", None, Gauge(entries("/proc/self/task"))),
            ("process.uptime", "Time since the start", Some(Unit::Seconds), Gauge(up)),
            (
                "tokio.workers",
                "Threads that serve requests",
                None,
                Gauge(self.runtimes.len() as f64),
            ),
            ("tokio.tasks.alive", "Tasks that have not ended", None, Gauge(alive as f64)),
            (
                "tokio.queue.depth",
                "Tasks that wait in the queue of a runtime",
                None,
                Gauge(queued as f64),
            ),
            (
                "tokio.worker.busy.duration",
                "Time in which a thread that serves requests was busy",
                Some(Unit::Seconds),
                Counter(busy),
            ),
            (
                "tokio.worker.parks",
                "Times that a thread that serves requests had nothing to do",
                None,
                Counter(parked),
            ),
            (
                "log.lines.dropped",
                "Log lines that were dropped because stdout was not read",
                None,
                Counter((self.dropped_lines)() as f64),
            ),
        ]
    }

    fn workers(&self, value: impl Fn(&tokio::runtime::RuntimeMetrics, usize) -> f64) -> f64 {
        let of_runtime = |runtime: &Handle| -> f64 {
            let metrics = runtime.metrics();
            (0..metrics.num_workers()).map(|worker| value(&metrics, worker)).sum()
        };
        self.runtimes.iter().map(of_runtime).sum()
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let labels = of_service(self.name);
        for (name, help, unit, value) in self.values() {
            let kind = match value {
                Value::Counter(_) => ConstCounter::<f64>::TYPE,
                Value::Gauge(_) => ConstGauge::<f64>::TYPE,
            };
            let name = snake(name);
            let mut metric = encoder.encode_descriptor(&name, help, unit.as_ref(), kind)?;
            let metric = metric.encode_family(&labels)?;
            match value {
                Value::Counter(value) => ConstCounter::new(value).encode(metric)?,
                Value::Gauge(value) => ConstGauge::new(value).encode(metric)?,
            }
        }
        let mut info: Labels = labels;
        info.push(("service_version", env!("CARGO_PKG_VERSION").into()));
        let (name, help) = ("target_info", "The service and its version");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(1).encode(metric.encode_family(&info)?)
    }
}

/// The resident and the virtual memory in bytes.
fn memory() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split(' ').map(|number| number.trim().parse::<f64>().unwrap_or(0.0));
    let page = rustix::param::page_size() as f64;
    let virtual_memory = pages.next().unwrap_or(0.0) * page;
    (pages.next().unwrap_or(0.0) * page, virtual_memory)
}

/// The number of entries of a folder.
fn entries(path: &str) -> f64 {
    std::fs::read_dir(path).map_or(0, Iterator::count) as f64
}
