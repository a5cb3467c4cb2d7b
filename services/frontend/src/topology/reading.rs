//! The counters of one process at one moment, read from the text of its admin port.

use std::collections::{BTreeMap, BTreeSet};

use boutique_service::Sample;
use serde::Deserialize;

/// The histograms that tell calls, the label of their operation, and that of whom they call.
const HISTOGRAMS: [(&str, &str, Option<&str>); 4] = [
    ("http_server_request_duration_seconds", "http_route", None),
    ("rpc_server_call_duration_seconds", "rpc_method", None),
    ("rpc_client_call_duration_seconds", "rpc_method", Some("service_peer_name")),
    ("db_client_operation_duration_seconds", "db_operation_name", Some("db_system_name")),
];
/// The gRPC status codes for which the server is to blame; the alerts count the same ones.
const SERVER_ERRORS: [&str; 5] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// The service that counts calls, the one that it calls, and the operation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) service: String,
    /// The service or the store that is called; `None` for calls that the service itself answers.
    pub(crate) peer: Option<String>,
    /// A route, `package.Service/Method`, or a command.
    pub(crate) operation: String,
}

/// The number of calls, and their durations.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Calls {
    pub(crate) count: f64,
    pub(crate) errors: f64,
    /// The calls that took at most so many seconds, in the order of the bounds.
    buckets: Vec<(f64, f64)>,
}

impl Calls {
    /// Adds other calls.
    pub(crate) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        for (bound, count) in &other.buckets {
            self.add_bucket(*bound, *count);
        }
    }

    fn add_bucket(&mut self, bound: f64, count: f64) {
        match self.buckets.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
            Ok(at) => self.buckets[at].1 += count,
            Err(at) => self.buckets.insert(at, (bound, count)),
        }
    }

    /// Returns the calls since an earlier moment; all of them if the process was started after it.
    pub(crate) fn since(&self, earlier: Option<&Self>) -> Self {
        let Some(earlier) = earlier.filter(|earlier| earlier.count <= self.count) else {
            return self.clone();
        };
        let difference = |(now, before): (&(f64, f64), &(f64, f64))| (now.0, now.1 - before.1);
        Self {
            count: self.count - earlier.count,
            errors: (self.errors - earlier.errors).max(0.0),
            buckets: self.buckets.iter().zip(&earlier.buckets).map(difference).collect(),
        }
    }

    /// Returns the seconds that this share of the calls took at most, as Prometheus estimates them; the largest bound
    /// for those that took longer than all.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let rank = share * total;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= rank && count > &below {
                let inside = (rank - below) / (count - below);
                return Some(if bound.is_finite() {
                    lower + (bound - lower) * inside
                } else {
                    lower
                });
            }
            (below, lower) = (*count, *bound);
        }
        Some(lower)
    }
}

/// A fault that is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ActiveFault {
    /// The service that has it.
    pub(crate) service: String,
    pub(crate) name: String,
    /// Its effects, as in `delay`.
    pub(crate) effects: String,
}

/// The counters of one process at one moment.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) calls: BTreeMap<Key, Calls>,
    /// True for each service of the process that is SERVING.
    pub(crate) serving: BTreeMap<String, bool>,
    pub(crate) version: Option<String>,
    pub(crate) faults: BTreeSet<ActiveFault>,
}

#[derive(Deserialize)]
struct Faults {
    faults: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    name: String,
    on: bool,
    /// `None` if all services of the process have it.
    service: Option<String>,
    effects: Vec<String>,
}

impl Reading {
    /// Reads the metrics of a process as text, and its faults as JSON. What is not known is left out; pages about the
    /// topology are not counted.
    pub(crate) fn parse(metrics: &str, faults: &str) -> Self {
        let mut reading = Self::default();
        for sample in metrics.lines().filter_map(Sample::parse) {
            reading.add(&sample);
        }
        let faults = serde_json::from_str(faults).unwrap_or(Faults { faults: Vec::new() });
        for fault in faults.faults.into_iter().filter(|fault| fault.on) {
            let has_it =
                |service: &&String| fault.service.as_ref().is_none_or(|own| own == *service);
            reading.faults.extend(reading.serving.keys().filter(has_it).map(|service| {
                ActiveFault {
                    service: service.clone(),
                    name: fault.name.clone(),
                    effects: fault.effects.join(", "),
                }
            }));
        }
        reading
    }

    fn add(&mut self, sample: &Sample<'_>) {
        let Some(service) = sample.label("service_name") else { return };
        match sample.name {
            "server_serving" => _ = self.serving.insert(service.to_owned(), sample.value > 0.0),
            "target_info" => self.version = sample.label("service_version").map(str::to_owned),
            _ => self.add_calls(service, sample),
        }
    }

    fn add_calls(&mut self, service: &str, sample: &Sample<'_>) {
        let Some((name, part)) = sample.name.rsplit_once('_') else { return };
        let Some((_, operation, peer)) = HISTOGRAMS.iter().find(|(known, ..)| *known == name)
        else {
            return;
        };
        let operation = sample.label(operation).unwrap_or("other");
        if operation.contains("/topology") {
            return;
        }
        let key = Key {
            service: service.to_owned(),
            peer: peer.and_then(|peer| sample.label(peer)).map(str::to_owned),
            operation: operation.to_owned(),
        };
        let calls = self.calls.entry(key).or_default();
        match part {
            "count" => {
                calls.count += sample.value;
                calls.errors += if is_error(sample) { sample.value } else { 0.0 };
            }
            "bucket" => {
                let bound = sample.label("le").and_then(|bound| bound.parse().ok());
                calls.add_bucket(bound.unwrap_or(f64::INFINITY), sample.value);
            }
            _ => {}
        }
    }
}

/// Returns true for calls that failed, but for those that the caller got wrong.
fn is_error(sample: &Sample<'_>) -> bool {
    match sample.label("rpc_response_status_code") {
        Some(code) => SERVER_ERRORS.contains(&code),
        None => sample.label("error_type").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a process whose calls to one route took up to 10 ms, up to 20 ms, and longer.
    fn text(counts: [u32; 3], failed: u32) -> String {
        let total: u32 = counts.iter().sum();
        let name = "http_server_request_duration_seconds";
        let labels = "service_name=\"frontend\",http_route=\"/\"";
        let (first, second) = (counts[0], counts[0] + counts[1]);
        format!(
            "# HELP {name} Pages.\n\
             {name}_sum{{{labels}}} 1.5\n\
             {name}_count{{{labels}}} {total}\n\
             {name}_bucket{{le=\"0.01\",{labels}}} {first}\n\
             {name}_bucket{{le=\"0.02\",{labels}}} {second}\n\
             {name}_bucket{{le=\"+Inf\",{labels}}} {total}\n\
             {name}_count{{{labels},error_type=\"500\"}} {failed}\n\
             {name}_count{{service_name=\"frontend\",http_route=\"/topology/events\"}} 7\n\
             server_serving{{service_name=\"frontend\"}} 1\n\
             target_info{{service_name=\"frontend\",service_version=\"1.2.3\"}} 1\n"
        )
    }

    fn calls(counts: [u32; 3], failed: u32) -> Calls {
        let reading = Reading::parse(&text(counts, failed), "");
        assert_eq!(reading.calls.len(), 1, "{reading:?}");
        reading.calls.into_values().next().unwrap()
    }

    #[test]
    fn text_is_read() {
        let faults = r#"{"faults": [
            {"name": "slow", "on": true, "service": null, "effects": ["delay", "cpu"]},
            {"name": "off", "on": false, "service": null, "effects": []},
            {"name": "other", "on": true, "service": "cartservice", "effects": []}]}"#;
        let reading = Reading::parse(&text([1, 2, 3], 0), faults);
        assert_eq!(reading.version.as_deref(), Some("1.2.3"));
        assert_eq!(reading.serving, [("frontend".to_owned(), true)].into());
        let key = reading.calls.keys().next().unwrap();
        assert_eq!((key.operation.as_str(), &key.peer), ("/", &None));
        let names: Vec<_> =
            reading.faults.iter().map(|fault| (&*fault.name, &*fault.effects)).collect();
        assert_eq!(names, [("slow", "delay, cpu")]);
    }

    #[test]
    fn calls_are_those_since_an_earlier_moment() {
        let (before, now) = (calls([10, 0, 0], 1), calls([20, 10, 0], 3));
        let since = now.since(Some(&before));
        assert_eq!((since.count, since.errors), (22.0, 2.0));
        assert_eq!(since.buckets, [(0.01, 10.0), (0.02, 20.0), (f64::INFINITY, 20.0)]);
        // A process that was started again counts from nothing.
        assert_eq!(before.since(Some(&now)), before);
        assert_eq!(before.since(None), before);
    }

    #[test]
    fn quantile_is_estimated_within_its_bucket() {
        let all = calls([50, 50, 0], 0);
        assert_eq!(all.quantile(0.5), Some(0.01));
        assert_eq!(all.quantile(0.75), Some(0.015));
        assert_eq!(calls([0, 0, 4], 0).quantile(0.5), Some(0.02), "longer than all bounds");
        assert_eq!(calls([0, 0, 0], 0).quantile(0.5), None);
        assert_eq!(Calls::default().quantile(0.99), None);
    }
}
