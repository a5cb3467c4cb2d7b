//! The metrics that the layers of one service record.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use boutique_proto::services::Criticality;
use http::{Method, StatusCode};
use parking_lot::RwLock;
use prometheus_client::metrics::gauge::Gauge;
use tonic::Code;

use super::families::{Histogram, Histograms, Metrics};
use super::labels::{Exemplar, Labels, of_service};
use super::meter::{Counter, CounterBy, Meter};
use crate::grpc::code_name;

/// The number of gRPC's status codes.
const CODES: usize = 17;

/// The value of a label where the true one is not in a table of ours.
const OTHER: &str = "_OTHER";

/// The metrics of a running service.
pub(crate) struct ServiceMetrics {
    service: &'static str,
    metrics: Arc<Metrics>,
    /// Requests in flight.
    pub(crate) active: Gauge,
    methods: Vec<(&'static str, Calls)>,
    other: Calls,
    pages: ByLabels<PageKey>,
    operations: ByLabels<OperationKey>,
    shed: CounterBy,
}

/// The durations of one method's calls, by status code.
pub(crate) struct Calls {
    family: Histograms,
    labels: Labels,
    by_code: [OnceLock<Histogram>; CODES],
    /// Of calls to another service: those left out because the caller was overloaded.
    shed: Option<Counter>,
}

/// The metrics of a service's calls to one other.
pub(crate) struct PeerMetrics {
    metrics: Arc<Metrics>,
    methods: Vec<(&'static str, Arc<Calls>)>,
    pub(crate) retries: Counter,
    ejections: Counter,
    ejected: Gauge,
}

/// An endpoint that is not called because it does not answer, until this is dropped.
pub(crate) struct Ejected(Gauge);

impl Drop for Ejected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(PartialEq, Eq)]
struct PageKey {
    method: &'static str,
    route: Option<String>,
    /// `None` if the client went away.
    status: Option<StatusCode>,
}

#[derive(PartialEq, Eq)]
struct OperationKey {
    system: &'static str,
    name: &'static str,
    error: Option<&'static str>,
}

/// Durations by labels that are few, and found faster in a list than in a map of label sets.
struct ByLabels<K> {
    family: Histograms,
    known: RwLock<Vec<(K, Histogram)>>,
}

impl ServiceMetrics {
    /// Makes the metrics of a service with these gRPC methods.
    pub(crate) fn new(
        metrics: &Arc<Metrics>,
        service: &'static str,
        is_http: bool,
        methods: &[&'static str],
    ) -> Self {
        let meter = Meter::new(metrics.clone(), service);
        let (name, help) = if is_http {
            ("http.server.active_requests", "HTTP requests in flight")
        } else {
            ("rpc.server.active_requests", "RPCs in flight")
        };
        let active = metrics.gauges(name, help).get_or_create_owned(&of_service(service));
        let calls =
            metrics.histograms("rpc.server.call.duration", "RPCs that the service answered");
        let of_method = |path: &'static str| Calls::new(&calls, of_service(service), path);
        Self {
            service,
            metrics: metrics.clone(),
            active,
            methods: methods.iter().map(|path| (*path, of_method(path))).collect(),
            other: of_method(OTHER),
            pages: ByLabels::new(metrics.histograms(
                "http.server.request.duration",
                "HTTP requests that the service answered",
            )),
            operations: ByLabels::new(
                metrics.histograms("db.client.operation.duration", "Commands to a store"),
            ),
            shed: meter.counter_by(
                "server.shed",
                "Requests refused because the service was overloaded or had no memory for them",
                "criticality",
                &[
                    Criticality::Sheddable.as_str(),
                    Criticality::Critical.as_str(),
                    Criticality::CriticalPlus.as_str(),
                ],
            ),
        }
    }

    /// Returns true while requests are measured.
    pub(crate) fn is_measuring(&self) -> bool {
        self.metrics.is_measuring()
    }

    /// Records an RPC that was answered.
    pub(crate) fn answered_rpc(
        &self,
        path: &str,
        code: Code,
        took: Duration,
        exemplar: Option<Exemplar>,
    ) {
        let known = self.methods.iter().find(|(known, _)| *known == path);
        known.map_or(&self.other, |(_, calls)| calls).observe(code, took, exemplar);
    }

    /// Records an HTTP request that was answered; without a status, one whose client went away.
    pub(crate) fn answered_http(
        &self,
        method: &Method,
        route: Option<&str>,
        status: Option<StatusCode>,
        took: Duration,
        exemplar: Option<Exemplar>,
    ) {
        let method = known_method(method);
        let is_same = |key: &PageKey| {
            key.method == method && key.status == status && key.route.as_deref() == route
        };
        let make = || PageKey { method, route: route.map(str::to_owned), status };
        let labels = || {
            let mut labels = of_service(self.service);
            labels.push(("http_request_method", method.into()));
            if let Some(route) = route {
                labels.push(("http_route", route.to_owned().into()));
            }
            let code = status.map(|status| status.as_u16().to_string());
            if let Some(code) = &code {
                labels.push(("http_response_status_code", code.clone().into()));
            }
            if status.is_none_or(|status| status.is_server_error()) {
                labels.push(("error_type", code.map_or("cancelled".into(), Into::into)));
            }
            labels
        };
        self.pages.observe(is_same, make, labels, took, exemplar);
    }

    /// Records a command to a store; `error` is a kind from a table of ours.
    pub(crate) fn operated(
        &self,
        system: &'static str,
        name: &'static str,
        error: Option<&'static str>,
        took: Duration,
        exemplar: Option<Exemplar>,
    ) {
        let is_same =
            |key: &OperationKey| key.system == system && key.name == name && key.error == error;
        let labels = || {
            let mut labels = of_service(self.service);
            labels.push(("db_system_name", system.into()));
            labels.push(("db_operation_name", name.into()));
            labels.extend(error.map(|error| ("error_type", error.into())));
            labels
        };
        let make = || OperationKey { system, name, error };
        self.operations.observe(is_same, make, labels, took, exemplar);
    }

    /// Counts a request that was refused because of overload.
    pub(crate) fn shed(&self, criticality: Criticality) {
        self.shed.increment(criticality.as_str());
    }

    /// Makes the metrics of this service's calls to another.
    pub(crate) fn peer(
        &self,
        peer: &'static str,
        paths: impl Iterator<Item = &'static str>,
    ) -> PeerMetrics {
        let mut of_peer = of_service(self.service);
        of_peer.push(("service_peer_name", peer.into()));
        let counter = |name, help| {
            Counter::of(self.metrics.counters(name, help).get_or_create_owned(&of_peer))
        };
        let calls = self.metrics.histograms("rpc.client.call.duration", "RPCs to other services");
        let shed = counter("rpc.client.shed", "Calls left out because the caller was overloaded");
        let of_method = |path| {
            let calls = Calls::new(&calls, of_peer.clone(), path);
            (path, Arc::new(Calls { shed: Some(shed.clone()), ..calls }))
        };
        let ejected = "Endpoints that are not called because they do not answer";
        PeerMetrics {
            metrics: self.metrics.clone(),
            methods: paths.map(of_method).collect(),
            retries: counter("rpc.client.retries", "Calls that were made once more"),
            ejections: counter("rpc.client.ejections", "Endpoints that were found not to answer"),
            ejected: self
                .metrics
                .gauges("rpc.client.endpoints.ejected", ejected)
                .get_or_create_owned(&of_peer),
        }
    }
}

impl std::fmt::Debug for ServiceMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ServiceMetrics").field(&self.service).finish()
    }
}

impl PeerMetrics {
    /// Counts an endpoint that was found not to answer.
    pub(crate) fn eject(&self) -> Ejected {
        self.ejections.increment();
        self.ejected.inc();
        Ejected(self.ejected.clone())
    }

    /// Returns the metrics of the method at `path`, if it is known, and while calls are measured.
    pub(crate) fn method(&self, path: &str) -> Option<&Arc<Calls>> {
        if !self.metrics.is_measuring() {
            return None;
        }
        self.methods.iter().find(|(known, _)| *known == path).map(|(_, calls)| calls)
    }
}

impl Calls {
    fn new(family: &Histograms, mut labels: Labels, path: &'static str) -> Self {
        labels.push(("rpc_system_name", "grpc".into()));
        labels.push(("rpc_method", path.trim_start_matches('/').into()));
        Self { family: family.clone(), labels, by_code: Default::default(), shed: None }
    }

    /// Counts a call that is left out.
    pub(crate) fn shed(&self) {
        if let Some(shed) = &self.shed {
            shed.increment();
        }
    }

    /// Records a call that took so long.
    pub(crate) fn observe(&self, code: Code, took: Duration, exemplar: Option<Exemplar>) {
        let index = usize::try_from(code as i32).unwrap_or_default();
        let Some(known) = self.by_code.get(index) else { return };
        let histogram = known.get_or_init(|| {
            let mut labels = self.labels.clone();
            labels.push(("rpc_response_status_code", code_name(code).into()));
            if code != Code::Ok {
                labels.push(("error_type", code_name(code).into()));
            }
            self.family.get_or_create_owned(&labels)
        });
        histogram.observe(took.as_secs_f64(), exemplar, None);
    }
}

impl<K> ByLabels<K> {
    fn new(family: Histograms) -> Self {
        Self { family, known: RwLock::default() }
    }

    fn observe(
        &self,
        is_same: impl Fn(&K) -> bool,
        key: impl FnOnce() -> K,
        labels: impl FnOnce() -> Labels,
        took: Duration,
        exemplar: Option<Exemplar>,
    ) {
        let known = self.known.read();
        if let Some((_, histogram)) = known.iter().find(|(key, _)| is_same(key)) {
            return histogram.observe(took.as_secs_f64(), exemplar, None);
        }
        drop(known);
        let histogram = self.family.get_or_create_owned(&labels());
        histogram.observe(took.as_secs_f64(), exemplar, None);
        let mut known = self.known.write();
        if !known.iter().any(|(key, _)| is_same(key)) {
            known.push((key(), histogram));
        }
    }
}

/// The method of a request, where it is one that everybody knows.
fn known_method(method: &Method) -> &'static str {
    static KNOWN: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::HEAD,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
        Method::CONNECT,
    ];
    KNOWN.iter().find(|known| *known == method).map_or(OTHER, Method::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_grpc() {
        for (number, name) in
            [(0, "OK"), (4, "DEADLINE_EXCEEDED"), (15, "DATA_LOSS"), (16, "UNAUTHENTICATED")]
        {
            assert_eq!(code_name(Code::from(number)), name);
        }
        let last = i32::try_from(CODES).unwrap();
        assert_eq!(Code::from(last), Code::Unknown, "there is a code more");
    }
}
