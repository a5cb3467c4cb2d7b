//! Metrics of OTLP as a table of seconds, in the names of RCAEval: `<service>_cpu` and so on.

use std::collections::{BTreeMap, BTreeSet};

use boutique_proto::services::SERVICES;
use boutique_test::attributes;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint};

/// Values by second and column.
pub(crate) type Table = BTreeMap<u64, BTreeMap<String, f64>>;

/// A figure that a process pushes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Figure {
    /// Seconds of the processor since the start.
    Cpu,
    /// Bytes.
    Memory,
    /// Open connections.
    Sockets,
    /// Requests to a service since the start.
    Calls(String),
    /// Those of them that failed.
    Errors(String),
    /// Those that took no longer than the bound with this index, and longer than the one before.
    Bucket(String, usize),
}

/// The figures of one push.
type Push = BTreeMap<Figure, f64>;

/// Makes a table of whole seconds after `began` until `ended`, in seconds since 1970. Latencies, calls and errors of a
/// service are those that its callers measure, of the frontend its own.
pub(crate) fn table(metrics: &[(String, Metric)], began: u64, ended: u64) -> Table {
    let mut bounds = Vec::new();
    let mut pushes: BTreeMap<&str, BTreeMap<u64, Push>> = BTreeMap::new();
    for (service, metric) in metrics {
        read(service, metric, pushes.entry(service).or_default(), &mut bounds);
    }
    let mut table = Table::new();
    for second in began + 1..=ended {
        let (mut row, mut calls) = (BTreeMap::new(), Push::new());
        for (service, pushes) in &pushes {
            let (Some(before), Some(now)) = (at(pushes, second - 1), at(pushes, second)) else {
                continue;
            };
            for (figure, value) in now {
                let increase = value - before.get(&figure).copied().unwrap_or_default();
                match figure {
                    Figure::Cpu => put(&mut row, service, "cpu", increase * 100.0),
                    Figure::Memory => put(&mut row, service, "mem", value),
                    Figure::Sockets => put(&mut row, service, "socket", value),
                    Figure::Calls(_) | Figure::Errors(_) | Figure::Bucket(..) => {
                        *calls.entry(figure).or_default() += increase;
                    }
                }
            }
        }
        add_calls(&mut row, &calls, &bounds);
        table.insert(second, row);
    }
    table
}

fn put(row: &mut BTreeMap<String, f64>, service: &str, column: &str, value: f64) {
    if SERVICES.iter().any(|spec| spec.name == service) {
        row.insert(format!("{service}_{column}"), value);
    }
}

fn add_calls(row: &mut BTreeMap<String, f64>, calls: &Push, bounds: &[f64]) {
    let callee = |figure: &Figure| match figure {
        Figure::Calls(callee) | Figure::Errors(callee) | Figure::Bucket(callee, _) => {
            Some(callee.clone())
        }
        Figure::Cpu | Figure::Memory | Figure::Sockets => None,
    };
    let callees: BTreeSet<_> = calls.keys().filter_map(callee).collect();
    for callee in callees {
        let value = |figure: Figure| calls.get(&figure).copied().unwrap_or_default();
        put(row, &callee, "workload", value(Figure::Calls(callee.clone())));
        put(row, &callee, "error", value(Figure::Errors(callee.clone())));
        let buckets = (0..=bounds.len()).map(|index| value(Figure::Bucket(callee.clone(), index)));
        let buckets: Vec<_> = buckets.collect();
        for (column, share) in [("latency-50", 0.5), ("latency-90", 0.9)] {
            if let Some(latency) = quantile(&buckets, bounds, share) {
                put(row, &callee, column, latency);
            }
        }
    }
}

/// Returns the latency in seconds that this share of the requests keeps to, as Prometheus estimates it; None without any.
fn quantile(buckets: &[f64], bounds: &[f64], share: f64) -> Option<f64> {
    let rank = buckets.iter().sum::<f64>() * share;
    if rank <= 0.0 {
        return None;
    }
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, upper) in buckets.iter().zip(bounds) {
        if below + count >= rank {
            return Some(lower + (upper - lower) * (rank - below) / count);
        }
        (below, lower) = (below + count, *upper);
    }
    bounds.last().copied()
}

/// Returns the figures at this second, between the pushes before and after it.
fn at(pushes: &BTreeMap<u64, Push>, second: u64) -> Option<Push> {
    let time = second * 1_000_000_000;
    let (before, first) = pushes.range(..=time).next_back()?;
    let (after, next) = pushes.range(time + 1..).next()?;
    let share = (time - before) as f64 / (after - before) as f64;
    let between = |(figure, value): (&Figure, &f64)| {
        let from = first.get(figure).copied().unwrap_or_default();
        (figure.clone(), from + (value - from) * share)
    };
    Some(next.iter().map(between).collect())
}

/// Adds what a metric of a service says to the pushes by their time.
fn read(service: &str, metric: &Metric, pushes: &mut BTreeMap<u64, Push>, bounds: &mut Vec<f64>) {
    let mut add = |time: u64, figure: Figure, value: f64| {
        *pushes.entry(time).or_default().entry(figure).or_default() += value;
    };
    match (metric.name.as_str(), &metric.data) {
        ("process.cpu.time", Some(Data::Sum(sum))) => {
            sum.data_points.iter().for_each(|p| add(p.time_unix_nano, Figure::Cpu, number(p)));
        }
        ("process.memory.usage", Some(Data::Gauge(gauge))) => {
            gauge.data_points.iter().for_each(|p| add(p.time_unix_nano, Figure::Memory, number(p)));
        }
        ("server.connections", Some(Data::Gauge(gauge))) => {
            gauge
                .data_points
                .iter()
                .for_each(|p| add(p.time_unix_nano, Figure::Sockets, number(p)));
        }
        (
            "rpc.client.call.duration" | "http.server.request.duration",
            Some(Data::Histogram(data)),
        ) => {
            for point in &data.data_points {
                bounds.clone_from(&point.explicit_bounds);
                add_point(service, point, &mut add);
            }
        }
        _ => {}
    }
}

fn add_point(service: &str, point: &HistogramDataPoint, add: &mut impl FnMut(u64, Figure, f64)) {
    let mut attributes = attributes(&point.attributes);
    let callee = attributes.remove("service.peer.name").unwrap_or_else(|| service.to_owned());
    let time = point.time_unix_nano;
    add(time, Figure::Calls(callee.clone()), point.count as f64);
    if attributes.contains_key("error.type") {
        add(time, Figure::Errors(callee.clone()), point.count as f64);
    }
    for (index, count) in point.bucket_counts.iter().enumerate() {
        add(time, Figure::Bucket(callee.clone(), index), *count as f64);
    }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(Value::AsDouble(value)) => value,
        Some(Value::AsInt(value)) => value as f64,
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_bounds() {
        let bounds = [1.0, 2.0, 4.0];
        assert_eq!(quantile(&[0.0; 4], &bounds, 0.5), None);
        assert_eq!(quantile(&[0.0, 4.0, 0.0, 0.0], &bounds, 0.5), Some(1.5));
        assert_eq!(quantile(&[0.0, 0.0, 0.0, 9.0], &bounds, 0.9), Some(4.0));
    }

    #[test]
    fn figures_of_a_second_are_those_between_two_pushes() {
        let push = |value: f64| Push::from([(Figure::Cpu, value)]);
        let pushes = [(9_500_000_000, push(1.0)), (10_500_000_000, push(3.0))].into();
        assert_eq!(at(&pushes, 10), Some(push(2.0)));
        assert_eq!(at(&pushes, 11), None);
    }
}
