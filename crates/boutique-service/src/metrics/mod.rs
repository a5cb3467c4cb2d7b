//! Metrics of a process, under the names of OpenTelemetry's semantic conventions as Prometheus writes them. Every series
//! bears its service's name, so that ten services of one process are told apart.

mod families;
mod labels;
mod meter;
mod otlp;
mod process;
mod service;
mod text;

pub(crate) use families::{Format, Metrics};
pub use meter::{Counter, CounterBy, Gauge, Meter};
pub(crate) use service::{Calls, PeerMetrics, ServiceMetrics};
pub use text::Sample;
