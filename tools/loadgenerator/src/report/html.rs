//! A page that needs nothing but itself: the figures, the plots, the routes.

use askama::Template;

use super::Report;
use super::plots::{histogram, lines};
use crate::stats::{Inner, Row};

/// Bars of the histogram, from the fastest to the slowest.
const BARS: u32 = 60;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    plots: Vec<String>,
    rows: Vec<Line>,
    steps: Vec<Line>,
}

struct Line {
    name: String,
    requests: u64,
    failures: u64,
    /// Milliseconds.
    p50: String,
    p90: String,
    p99: String,
    max: String,
}

/// The report as one page.
pub(crate) fn page(report: &Report) -> anyhow::Result<String> {
    let stats = &report.stats;
    let rows =
        stats.rows.iter().map(|(route, row)| line(format!("{} {}", route.method, route.name), row));
    let steps = stats.steps.iter().map(|step| line(format!("{} requests/s", step.rps), &step.row));
    let page = Page {
        report,
        plots: plots(stats)?,
        rows: rows.chain([line("all".to_owned(), &stats.all)]).collect(),
        steps: steps.collect(),
    };
    Ok(page.render()?)
}

fn line(name: String, row: &Row) -> Line {
    let millis = |value: f64| format!("{value:.1}");
    Line {
        name,
        requests: row.requests(),
        failures: row.failures,
        p50: millis(row.millis(50.0)),
        p90: millis(row.millis(90.0)),
        p99: millis(row.millis(99.0)),
        max: millis(row.latency.max() as f64 / 1e3),
    }
}

fn plots(stats: &Inner) -> anyhow::Result<Vec<String>> {
    let over_time = |value: fn(&crate::stats::Point) -> f64| {
        stats.points.iter().map(|point| (point.at, value(point))).collect::<Vec<_>>()
    };
    let throughput = over_time(|point| point.requests as f64 / point.seconds.max(1e-9));
    let failures = over_time(|point| point.failures as f64 / point.seconds.max(1e-9));
    let percentiles = [
        ("median", over_time(|point| point.p50 as f64 / 1e3)),
        ("p90", over_time(|point| point.p90 as f64 / 1e3)),
        ("p99", over_time(|point| point.p99 as f64 / 1e3)),
        ("max", over_time(|point| point.max as f64 / 1e3)),
    ];
    Ok(vec![
        lines("Throughput", "requests/s", &[("requests", throughput)])?,
        lines("Latency over time", "milliseconds", &percentiles)?,
        histogram("Latency", &bars(&stats.all))?,
        lines("Failures", "failures/s", &[("failures", failures)])?,
    ])
}

/// Each as wide as the last in proportion.
fn bars(row: &Row) -> Vec<(f64, f64, u64)> {
    if row.requests() == 0 {
        return Vec::new();
    }
    let (fastest, slowest) =
        (row.latency.min().max(1) as f64, row.latency.max().max(2) as f64 * 1.01);
    let ratio = (slowest / fastest).powf(1.0 / f64::from(BARS));
    let edge = |place: u32| fastest * ratio.powi(place.cast_signed());
    let bar = |place| {
        let (from, to) = (edge(place), edge(place + 1));
        let count = |up_to: f64| row.latency.count_between(0, up_to as u64);
        let before = if place == 0 { 0 } else { count(from) };
        (from / 1e3, to / 1e3, count(to) - before)
    };
    (0..BARS).map(bar).collect()
}
