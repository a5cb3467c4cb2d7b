//! The fixed plan: the same loads on every system, in rounds that alternate, each sample with the CPU of
//! every part beside the load generator's own report.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::process::{Machine, Meter};
use crate::system::System;
use crate::workload::{WORKLOADS, Workload};

/// One load on one system for a while.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Microseconds of CPU per HTTP request (or order) by part.
    pub(crate) parts: Vec<f64>,
    /// The same of Redis.
    pub(crate) redis: f64,
    /// The same of the load generator.
    pub(crate) generator: f64,
    pub(crate) per_second: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Sample {
    /// CPU of all parts but Redis.
    pub(crate) fn cpu(&self) -> f64 {
        self.parts.iter().sum()
    }
}

/// Samples by the label of a system, and by load.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<(String, Workload), Vec<Sample>>);

impl Samples {
    /// Returns those of a system under a load; none if it cannot be put under that.
    pub(crate) fn of(&self, system: &System, workload: Workload) -> &[Sample] {
        self.0.get(&(system.label.clone(), workload)).map_or(&[], Vec::as_slice)
    }
}

/// The shared state of all measurements of one session.
pub(crate) struct Session {
    pub(crate) machine: Machine,
    pub(crate) redis: Option<Meter>,
    pub(crate) users: usize,
    pub(crate) duration: Duration,
    pub(crate) wait_for_shop: String,
}

impl Session {
    /// All loads on all systems, so many times; every other round goes the other way.
    pub(crate) fn rounds(&self, systems: &[&System], rounds: usize) -> anyhow::Result<Samples> {
        let mut samples = Samples::default();
        for round in 0..rounds {
            let mut order = systems.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            for workload in WORKLOADS {
                for system in &order {
                    if !system.answers(&workload) {
                        continue;
                    }
                    let sample =
                        self.measure(system, workload.arguments, self.users, workload.is_grpc)?;
                    eprintln!(
                        "round {} of {rounds}  {:<18} {:<18} {:>8.1} us",
                        round + 1,
                        workload.name,
                        system.label,
                        sample.cpu()
                    );
                    samples.0.entry((system.label.clone(), workload)).or_default().push(sample);
                }
            }
        }
        Ok(samples)
    }

    /// Any load by the load generator's own arguments.
    pub(crate) fn measure(
        &self,
        system: &System,
        arguments: &str,
        users: usize,
        is_grpc: bool,
    ) -> anyhow::Result<Sample> {
        let json = self.machine.scratch.join("load.json");
        let mut command = self.machine.load()?;
        command.args(arguments.split_whitespace()).args(["--frontend-addr", &system.address]);
        command.args(["--users", &users.to_string(), "--rate", "100000"]);
        command.args(["--wait-min", "0", "--wait-max", "0", "--seed", "1", "--json"]).arg(&json);
        command.args(["--duration", &format!("{}ms", self.duration.as_millis())]);
        command.args(["--check", if system.is_shop { "full" } else { "status" }]);
        command.args(["--wait-for-shop", &self.wait_for_shop]);
        command.arg("--i-own-this-target").envs(&system.addresses);
        let redis_before = self.redis.as_ref().map_or(Ok(0.0), Meter::cpu)?;
        let before = system.cpu()?;
        let output = command.stdin(Stdio::null()).output().context("cannot start the load")?;
        let after = system.cpu()?;
        let redis_after = self.redis.as_ref().map_or(Ok(0.0), Meter::cpu)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} failed under load: {said}{errors}", system.label);

        let report: Value = serde_json::from_slice(&std::fs::read(&json)?)?;
        let units = if is_grpc { orders(&report) } else { figure(&report["http_requests"]) };
        ensure!(units > 0.0, "{} answered nothing", system.label);
        let seconds = figure(&report["seconds"]);
        let micros = |cpu: f64| cpu * 1e6 / units;
        Ok(Sample {
            parts: before
                .iter()
                .zip(&after)
                .map(|(before, after)| micros(after - before))
                .collect(),
            redis: micros(redis_after - redis_before),
            generator: figure(&report["cpu_us_per_request"]),
            per_second: units / seconds,
            p50: figure(&report["latency_ms"]["p50"]),
            p99: figure(&report["latency_ms"]["p99"]),
        })
    }
}

fn figure(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

/// The number of orders placed; AddItem is part of their cost.
fn orders(report: &Value) -> f64 {
    let routes = report["routes"].as_array().map_or(&[][..], Vec::as_slice);
    let placed = routes.iter().filter(|route| route["name"] == "CheckoutService/PlaceOrder");
    placed.map(|route| figure(&route["requests"])).sum()
}

/// The middle of some figures, and half of what lies between their quarters, as a share of it.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut all: Vec<f64> = figures.collect();
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all.get((all.len() as f64 * share) as usize).copied().unwrap_or_default();
    let middle = at(0.5);
    let quarters = at(0.75) - at(0.25);
    (middle, if middle > 0.0 { quarters / 2.0 / middle } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_told_with_its_spread() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()).0, 2.0);
        assert_eq!(median([5.0; 4].into_iter()), (5.0, 0.0));
        assert_eq!(median(std::iter::empty()), (0.0, 0.0));
    }
}
