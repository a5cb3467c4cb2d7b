//! The table that Locust prints, and the verdict below it.

use std::fmt::Write as _;
use std::time::Duration;

use super::Report;
use crate::stats::{Inner, Row, millis};

/// Every kind of request, all of them together, and what failed.
pub(crate) fn table(stats: &Inner, took: Duration) -> String {
    let mut text = format!(
        "\n{:<8} {:<38} {:>9} {:>15} | {:>8} {:>8} {:>8} {:>8} {:>8} | {:>8}\n",
        "Type", "Name", "# reqs", "# fails", "Avg", "Min", "Max", "Med", "p99", "req/s"
    );
    for (route, row) in &stats.rows {
        line(&mut text, route.method, route.name, row, took);
    }
    line(&mut text, "", "Aggregated", &stats.all, took);
    for (reason, count) in &stats.reasons {
        let _ = writeln!(text, "{count:>8} x {reason}");
    }
    text
}

fn line(text: &mut String, method: &str, name: &str, row: &Row, took: Duration) {
    let failures = format!("{}({:.2}%)", row.failures, row.error_ratio() * 100.0);
    let _ = writeln!(
        text,
        "{method:<8} {name:<38} {:>9} {failures:>15} | {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1} | {:>8.1}",
        row.requests(),
        row.latency.mean() / 1e3,
        row.latency.min() as f64 / 1e3,
        row.latency.max() as f64 / 1e3,
        row.millis(50.0),
        row.millis(99.0),
        row.requests() as f64 / took.as_secs_f64().max(1e-9),
    );
}

/// The table, the steps, the orders, and whether the objectives were met.
pub(crate) fn summary(report: &Report) -> String {
    let mut text = table(&report.stats, report.took);
    for step in &report.stats.steps {
        let _ = writeln!(
            text,
            "step     {:>8.1} requests/s: {} requests, p50 {:.1} ms, p99 {:.1} ms, {} failed, {} given up",
            step.rps,
            step.row.requests(),
            step.row.millis(50.0),
            step.row.millis(99.0),
            step.row.failures,
            step.abandoned,
        );
        if step.row.failures > 0 {
            let succeeded = step.succeeded();
            let _ = writeln!(
                text,
                "         {:>8.1} succeeded/s: p50 {:.1} ms, p99 {:.1} ms; failures: p50 {:.1} ms, p99 {:.1} ms",
                step.goodput(),
                millis(&succeeded, 50.0),
                millis(&succeeded, 99.0),
                millis(&step.failed, 50.0),
                millis(&step.failed, 99.0),
            );
        }
    }
    if let Some(capacity) = report.capacity {
        let _ = writeln!(text, "capacity {capacity:.0} requests/s");
    }
    let orders = &report.orders;
    let unknown_prices = if report.knows_prices { "" } else { " (its prices are not known)" };
    let _ = writeln!(
        text,
        "orders   {} placed: {} totals recomputed{unknown_prices}, {} carts seen empty, {} found in lists of orders; \
         {} refused, {} unknown ({} of them found in lists), {} wrong",
        orders.acknowledged,
        orders.recomputed,
        orders.carts_checked,
        orders.listed,
        orders.refused,
        orders.unknown,
        orders.unknown_listed,
        orders.wrong,
    );
    for (objective, held) in &report.objectives {
        let _ = writeln!(text, "{:<8} {objective}", if *held { "held" } else { "MISSED" });
    }
    if report.interrupted {
        text.push_str("interrupted before its end: all this is a part\n");
    }
    text
}
