//! Everything as JSON: times in milliseconds, rates per second, shares 0 to 1.

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};

use super::Report;
use crate::stats::millis;

/// Latencies of some requests.
#[derive(Serialize)]
struct Latency {
    mean: f64,
    min: f64,
    p50: f64,
    p90: f64,
    p95: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

fn latency(latency: &Histogram<u64>) -> Latency {
    let at = |percentile| millis(latency, percentile);
    Latency {
        mean: latency.mean() / 1e3,
        min: latency.min() as f64 / 1e3,
        p50: at(50.0),
        p90: at(90.0),
        p95: at(95.0),
        p99: at(99.0),
        p999: at(99.9),
        max: latency.max() as f64 / 1e3,
    }
}

/// The whole report.
pub(crate) fn document(report: &Report) -> Value {
    let stats = &report.stats;
    let routes = stats.rows.iter().map(|(route, row)| {
        json!({
            "method": route.method, "name": route.name,
            "requests": row.requests(), "failures": row.failures, "latency_ms": latency(&row.latency),
        })
    });
    let steps = stats.steps.iter().map(|step| {
        json!({
            "rps": step.rps, "seconds": step.seconds, "abandoned": step.abandoned,
            "requests": step.row.requests(), "failures": step.row.failures,
            "latency_ms": latency(&step.row.latency), "goodput_rps": step.goodput(),
            "succeeded_ms": latency(&step.succeeded()), "failed_ms": latency(&step.failed),
        })
    });
    let seconds = stats.points.iter().map(|point| {
        json!({
            "at": point.at, "seconds": point.seconds,
            "requests": point.requests, "failures": point.failures,
            "p50_ms": point.p50 as f64 / 1e3, "p90_ms": point.p90 as f64 / 1e3,
            "p99_ms": point.p99 as f64 / 1e3, "max_ms": point.max as f64 / 1e3,
        })
    });
    let sent = report.http_requests.max(stats.all.requests()).max(1);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "target": report.target,
        "profile": report.profile,
        "plan": report.plan,
        "seed": report.seed,
        "seconds": report.took.as_secs_f64(),
        "interrupted": report.interrupted,
        "passed": report.is_passed(),
        "objectives": report.objectives.iter()
            .map(|(objective, held)| json!({"objective": objective, "held": held})).collect::<Vec<_>>(),
        "requests": stats.all.requests(),
        "http_requests": report.http_requests,
        "failures": stats.all.failures,
        "error_ratio": stats.all.error_ratio(),
        "rps": report.rate(),
        "latency_ms": latency(&stats.all.latency),
        "lag_ms": {
            "p99": stats.lag.value_at_percentile(99.0) as f64 / 1e3,
            "max": stats.lag.max() as f64 / 1e3,
        },
        "cpu_us_per_request": report.cpu.as_secs_f64() * 1e6 / sent as f64,
        "capacity_rps": report.capacity,
        "orders": report.orders,
        "prices_known": report.knows_prices,
        "reasons": stats.reasons,
        "routes": routes.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
        "timeline": seconds.collect::<Vec<_>>(),
    })
}
