//! The topology at one moment: the services, the calls between them, and the faults that are on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use boutique_proto::services::SERVICES;

use super::reading::{ActiveFault, Calls, Key, Reading};

/// The processes that a view is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This process, which has all services.
    Process,
    /// The admin ports of all processes.
    Peers,
    /// This process, which calls others that are not asked.
    Own,
}

/// The processes of the shop at one moment.
pub(crate) struct Snapshot {
    pub(crate) at: Instant,
    pub(crate) scope: Scope,
    pub(crate) processes: Vec<Process>,
}

/// A process that was asked.
pub(crate) struct Process {
    /// The address that was asked; the same from moment to moment.
    pub(crate) address: String,
    /// The service that is expected there, if a setting says so.
    pub(crate) service: Option<String>,
    /// `None` if it did not answer.
    pub(crate) reading: Option<Reading>,
}

/// The calls of the last seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Traffic {
    /// Per second.
    pub(crate) rate: f64,
    /// The share of the calls that failed, 0 to 1.
    pub(crate) error_ratio: f64,
    /// In seconds; `None` if there was no call.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// A service, or a store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) is_store: bool,
    /// The replicas that were asked, of which so many are SERVING.
    pub(crate) replicas: usize,
    pub(crate) serving: usize,
    pub(crate) versions: BTreeSet<String>,
    /// `None` before the second moment, and if nobody counts its calls.
    pub(crate) traffic: Option<Traffic>,
    /// True if the calls are those that its callers count.
    pub(crate) is_seen_by_callers: bool,
    /// The names of its faults that are on.
    pub(crate) faults: Vec<String>,
}

/// The calls of one service to another, or to a store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edge {
    pub(crate) caller: String,
    pub(crate) callee: String,
    /// `None` before the second moment.
    pub(crate) traffic: Option<Traffic>,
    /// The same by operation.
    pub(crate) operations: Vec<(String, Option<Traffic>)>,
}

/// The topology at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    pub(crate) scope: Scope,
    pub(crate) services: Vec<Service>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) faults: BTreeSet<ActiveFault>,
}

/// Calls, and the time in which they were counted.
#[derive(Default)]
struct Sum {
    calls: Calls,
    rate: f64,
    /// True if they were counted at two moments at least.
    is_measured: bool,
}

impl Sum {
    fn add(&mut self, calls: &Calls, elapsed: Option<Duration>) {
        let Some(elapsed) = elapsed.filter(|elapsed| !elapsed.is_zero()) else { return };
        self.calls.add(calls);
        self.rate += calls.count / elapsed.as_secs_f64();
        self.is_measured = true;
    }

    fn merge(&mut self, other: &Self) {
        self.calls.add(&other.calls);
        self.rate += other.rate;
        self.is_measured |= other.is_measured;
    }

    fn traffic(&self) -> Option<Traffic> {
        let Calls { count, errors, .. } = self.calls;
        self.is_measured.then(|| Traffic {
            rate: self.rate,
            error_ratio: if count > 0.0 { errors / count } else { 0.0 },
            p50: self.calls.quantile(0.5),
            p99: self.calls.quantile(0.99),
        })
    }
}

impl View {
    /// Makes the view of the last moment; the calls are those since the first in which their process answered.
    pub(crate) fn new(last: &Snapshot, earlier: &[Snapshot]) -> Self {
        let mut found = Found { last, sums: BTreeMap::new(), measured: BTreeSet::new() };
        let mut faults = BTreeSet::new();
        for process in &last.processes {
            let Some(reading) = &process.reading else { continue };
            faults.extend(reading.faults.iter().cloned());
            let mut before = earlier.iter().filter_map(|past| Some((past.at, past.of(process)?)));
            let before = before.next();
            if before.is_some() {
                found.measured.extend(reading.serving.keys().map(String::as_str));
            }
            let elapsed = before.map(|(at, _)| last.at.saturating_duration_since(at));
            for (key, calls) in &reading.calls {
                let since = calls.since(before.and_then(|(_, reading)| reading.calls.get(key)));
                found.sums.entry(key).or_default().add(&since, elapsed);
            }
        }
        let edges = found.edges();
        let services = found.names(&edges).into_iter().map(|name| {
            let faults = faults.iter().filter(|fault: &&ActiveFault| fault.service == name);
            let faults = faults.map(|fault| fault.name.clone()).collect();
            Service { faults, ..found.service(name) }
        });
        Self { scope: last.scope, services: services.collect(), edges, faults }
    }
}

impl Snapshot {
    /// Returns what the same process answered.
    fn of(&self, process: &Process) -> Option<&Reading> {
        let same = self.processes.iter().find(|known| known.address == process.address)?;
        same.reading.as_ref()
    }
}

/// The findings of the last moment.
struct Found<'a> {
    last: &'a Snapshot,
    sums: BTreeMap<&'a Key, Sum>,
    /// The services whose process answered before, too.
    measured: BTreeSet<&'a str>,
}

impl<'a> Found<'a> {
    fn readings(&self) -> impl Iterator<Item = &'a Reading> {
        self.last.processes.iter().filter_map(|process| process.reading.as_ref())
    }

    fn edges(&self) -> Vec<Edge> {
        let mut edges: Vec<(Edge, Sum)> = Vec::new();
        // They are sorted by the caller first, and by the callee next.
        for (key, sum) in &self.sums {
            let Some(callee) = &key.peer else { continue };
            let is_same = |edge: &Edge| edge.caller == key.service && edge.callee == *callee;
            if !edges.last().is_some_and(|(edge, _)| is_same(edge)) {
                let (caller, callee) = (key.service.clone(), callee.clone());
                let edge = Edge { caller, callee, traffic: None, operations: Vec::new() };
                edges.push((edge, Sum::default()));
            }
            let Some((edge, all)) = edges.last_mut() else { continue };
            edge.operations.push((key.operation.clone(), sum.traffic()));
            all.merge(sum);
        }
        edges.into_iter().map(|(edge, sum)| Edge { traffic: sum.traffic(), ..edge }).collect()
    }

    /// The services of the table, callers first, and after them those that are in no table.
    fn names<'b>(&self, edges: &'b [Edge]) -> Vec<&'b str>
    where
        'a: 'b,
    {
        let mut names: Vec<&str> = SERVICES.iter().rev().map(|spec| spec.name).collect();
        let found = self.readings().flat_map(|reading| reading.serving.keys()).map(String::as_str);
        let expected = self.last.processes.iter().filter_map(|process| process.service.as_deref());
        let called = edges.iter().map(|edge| edge.callee.as_str());
        for name in found.chain(expected).chain(called) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn service(&self, name: &str) -> Service {
        let readings = || self.readings().filter(|reading| reading.serving.contains_key(name));
        let (answering, serving) = (readings().count(), readings().filter(|r| r.serving[name]));
        let silent = self.last.processes.iter().filter(|process| {
            process.reading.is_none() && process.service.as_deref() == Some(name)
        });
        let replicas = answering + silent.count();
        let (mut own, mut of_callers) = (Sum::default(), Sum::default());
        for (key, sum) in &self.sums {
            match &key.peer {
                None if key.service == name => own.merge(sum),
                Some(peer) if peer == name => of_callers.merge(sum),
                _ => {}
            }
        }
        // Before its first call, a service has counted nothing.
        own.is_measured |= self.measured.contains(name);
        let is_seen_by_callers = answering == 0;
        Service {
            name: name.to_owned(),
            is_store: replicas == 0 && !SERVICES.iter().any(|spec| spec.name == name),
            replicas,
            serving: serving.count(),
            versions: readings().filter_map(|reading| reading.version.clone()).collect(),
            traffic: if is_seen_by_callers { of_callers.traffic() } else { own.traffic() },
            is_seen_by_callers,
            faults: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that serves `service`, answered so many calls, and made as many to `peer`.
    fn process(address: &str, service: &str, peer: &str, count: u32) -> Process {
        let text = format!(
            "server_serving{{service_name=\"{service}\"}} 1\n\
             target_info{{service_version=\"1.0\",service_name=\"{service}\"}} 1\n\
             rpc_server_call_duration_seconds_count{{service_name=\"{service}\",rpc_method=\"a/B\",rpc_response_status_code=\"OK\"}} {count}\n\
             rpc_client_call_duration_seconds_count{{service_name=\"{service}\",service_peer_name=\"{peer}\",rpc_method=\"a/B\",rpc_response_status_code=\"UNAVAILABLE\"}} {count}\n"
        );
        Process {
            address: address.to_owned(),
            service: Some(service.to_owned()),
            reading: Some(Reading::parse(&text, "")),
        }
    }

    fn view(moments: Vec<Vec<Process>>) -> View {
        let start = Instant::now();
        let snapshots = (0u32..).zip(moments).map(|(index, processes)| {
            let at = start + index * Duration::from_secs(2);
            Snapshot { at, scope: Scope::Peers, processes }
        });
        let mut snapshots: Vec<_> = snapshots.collect();
        let last = snapshots.pop().unwrap();
        View::new(&last, &snapshots)
    }

    fn service(view: &View, name: &str) -> Service {
        view.services.iter().find(|service| service.name == name).unwrap().clone()
    }

    #[test]
    fn rates_are_those_of_all_replicas_since_they_were_seen_first() {
        let view = view(vec![
            vec![process("a:1", "checkoutservice", "cartservice", 10)],
            vec![
                process("a:1", "checkoutservice", "cartservice", 20),
                process("a:2", "checkoutservice", "cartservice", 1000),
            ],
            vec![
                process("a:1", "checkoutservice", "cartservice", 30),
                process("a:2", "checkoutservice", "cartservice", 1010),
            ],
        ]);
        let checkout = service(&view, "checkoutservice");
        assert_eq!((checkout.replicas, checkout.serving), (2, 2));
        // 20 calls in four seconds, and 10 in two.
        assert_eq!(checkout.traffic.unwrap().rate, 10.0);
        let cart = service(&view, "cartservice");
        assert!(cart.is_seen_by_callers && cart.replicas == 0 && !cart.is_store);
        assert_eq!((cart.traffic.unwrap().rate, cart.traffic.unwrap().error_ratio), (10.0, 1.0));
        let [edge] = &view.edges[..] else { panic!("{view:?}") };
        assert_eq!(
            (edge.caller.as_str(), edge.callee.as_str()),
            ("checkoutservice", "cartservice")
        );
        assert_eq!(edge.operations[0].0, "a/B");
    }

    #[test]
    fn nothing_is_measured_at_the_first_moment() {
        let view = view(vec![vec![process("a:1", "eleventhservice", "redis", 10)]]);
        let eleventh = service(&view, "eleventhservice");
        assert_eq!((eleventh.traffic, eleventh.is_store), (None, false));
        assert_eq!(eleventh.versions, ["1.0".to_owned()].into());
        assert!(service(&view, "redis").is_store);
        assert_eq!(view.edges[0].traffic, None);
        assert_eq!(view.services.len(), SERVICES.len() + 2);
    }

    #[test]
    fn silent_process_is_a_replica_that_does_not_serve() {
        let silent = Process { reading: None, ..process("a:2", "cartservice", "redis", 0) };
        let view = view(vec![vec![process("a:1", "cartservice", "redis", 0), silent]]);
        let cart = service(&view, "cartservice");
        assert_eq!((cart.replicas, cart.serving), (2, 1));
    }
}
