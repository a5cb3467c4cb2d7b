//! The class of a request: what is known of it at a glance, before anything is done for it.

use std::borrow::Cow;
use std::sync::OnceLock;

use axum::body::Body;
use boutique_proto::services::{Criticality, ServiceSpec};
use http::{Method, Request};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::router::Router;
use crate::grpc;
use crate::layers::{Protocol, RequestInfo};
use crate::propagation::TraceContext;

/// The class of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class {
    pub(super) protocol: Protocol,
    /// The path of a gRPC method that the service has.
    method: Option<&'static str>,
    /// True if it asks for health.
    pub(super) is_probe: bool,
    pub(super) criticality: Criticality,
}

/// The rules by which the requests of a service are classified.
#[derive(Debug)]
pub(super) struct Classes {
    /// The HTTP paths that tell health.
    probes: Vec<String>,
    /// The HTTP requests that are refused last.
    critical: Vec<(Method, String)>,
    /// True if callers may say what they matter: services do, and browsers do not.
    trusts_callers: bool,
    /// The gRPC methods that the services have, and what they matter.
    methods: Vec<(&'static str, Criticality)>,
}

impl Classes {
    pub(super) fn new(router: &Router) -> Self {
        let specs = router.names.iter().filter_map(|name| ServiceSpec::of_grpc(name));
        let methods = specs.flat_map(|spec| spec.methods);
        Self {
            probes: router.probes.clone(),
            critical: router.critical.clone(),
            trusts_callers: !router.is_http,
            methods: methods.map(|method| (method.path, method.criticality)).collect(),
        }
    }

    /// Classifies a request.
    pub(super) fn of(&self, request: &Request<Body>) -> Class {
        let (path, headers) = (request.uri().path(), request.headers());
        if !grpc::is_grpc(headers) {
            let is_same =
                |(method, known): &(Method, String)| method == request.method() && known == path;
            let criticality = if self.critical.iter().any(is_same) {
                Criticality::CriticalPlus
            } else {
                Criticality::default()
            };
            let is_probe = self.probes.iter().any(|probe| probe == path);
            return Class { protocol: Protocol::Http, method: None, is_probe, criticality };
        }
        let said = headers.get(Criticality::KEY).filter(|_| self.trusts_callers);
        let said = said.and_then(|value| Criticality::parse(value.as_bytes()));
        let own = self.methods.iter().find(|(known, _)| *known == path);
        let criticality = said.or(own.map(|(_, own)| *own)).unwrap_or_default();
        let method = own.map(|(path, _)| *path);
        let is_probe = path.starts_with("/grpc.health.v1.Health/");
        Class { protocol: Protocol::Grpc, method, is_probe, criticality }
    }
}

impl Class {
    /// Makes the information of a request of this class.
    pub(super) fn info(self, request: &Request<Body>, started: Instant) -> RequestInfo {
        let headers = request.headers();
        let path = self.method.map(Cow::Borrowed);
        RequestInfo {
            protocol: self.protocol,
            method: request.method().clone(),
            is_probe: self.is_probe,
            criticality: self.criticality,
            path: path.unwrap_or_else(|| request.uri().path().to_owned().into()),
            started,
            deadline: grpc::timeout_of(headers).map(|left| started + left),
            trace: TraceContext::from_headers(headers),
            metadata: MetadataMap::new(),
            user_agent: None,
            faults: OnceLock::new(),
        }
    }
}
