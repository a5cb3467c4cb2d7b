//! The services and routes of a server, before it is served: any number of gRPC services beside HTTP routes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::routing::any;
use boutique_proto::Handlers;
use boutique_proto::services::ServiceSpec;
use futures_util::future::BoxFuture;
use http::{Method, Request, StatusCode};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;

use super::health::Health;
use crate::faults::ExtraLatency;
use crate::tls::ServerTls;

/// The services and routes that a server answers.
#[derive(Clone, Default)]
pub struct Router {
    pub(super) routes: axum::Router,
    pub(super) handlers: Handlers,
    /// The gRPC services that it has.
    pub(super) names: Vec<&'static str>,
    /// The HTTP paths that tell health.
    pub(super) probes: Vec<String>,
    /// The HTTP requests that are refused last.
    pub(super) critical: Vec<(Method, String)>,
    /// True if HTTP routes answer what is not gRPC, or is of another service.
    pub(super) is_http: bool,
    reflection: bool,
    ready: Option<watch::Receiver<bool>>,
    /// The HTTP path that tells readiness.
    ready_path: Option<String>,
    /// Names of health with a status of their own.
    statuses: Vec<(&'static str, watch::Receiver<bool>)>,
    background: Option<Background>,
    extra_latency: Option<ExtraLatency>,
}

/// Makes a task that runs beside requests.
type Background = Arc<dyn Fn(Stopping) -> BoxFuture<'static, ()> + Send + Sync>;

/// A graceful shutdown, as a task beside requests sees it.
#[derive(Debug, Clone, Default)]
pub struct Stopping {
    /// Cancelled when it begins: no new work.
    pub begun: CancellationToken,
    /// Cancelled when all requests and detached work are finished, or are given up: the task has a second to end.
    pub given_up: CancellationToken,
}

impl Router {
    /// Answers one gRPC service, as `into_server` of its generated module makes it.
    pub fn grpc<S>(service: (S, Handlers)) -> Self
    where
        S: Service<Request<tonic::body::Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        Self::default().add_grpc(service)
    }

    /// Answers HTTP.
    pub fn http(routes: axum::Router) -> Self {
        Self { routes, is_http: true, ..Self::default() }
    }

    /// Adds a gRPC service. Its unary methods can be called inside the process without being encoded.
    #[must_use]
    pub fn add_grpc<S>(mut self, (server, handlers): (S, Handlers)) -> Self
    where
        S: Service<Request<tonic::body::Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.handlers.extend(handlers);
        self.add_service(server)
    }

    /// Adds a gRPC service that tonic generated, with methods of any kind.
    #[must_use]
    pub fn add_service<S>(mut self, server: S) -> Self
    where
        S: Service<Request<tonic::body::Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        // Its fallback is that of the HTTP routes, if there are any.
        let routes = Routes::new(server).into_axum_router().reset_fallback();
        Self { routes: self.routes.merge(routes), ..self }
    }

    /// Declares an HTTP path as a health check: it is not traced, and answers without TLS too.
    #[must_use]
    pub fn with_probe(mut self, path: String) -> Self {
        self.probes.push(path);
        self
    }

    /// Declares HTTP requests as those that are refused last where there are too many.
    #[must_use]
    pub fn refused_last(mut self, method: Method, path: String) -> Self {
        self.critical.push((method, path));
        self
    }

    /// Turns gRPC reflection on unless `GRPC_REFLECTION` turns it off.
    #[must_use]
    pub fn with_reflection(self) -> Self {
        Self { reflection: true, ..self }
    }

    /// Makes health SERVING from the moment on that `ready` is true. From then on it is not asked again: what all
    /// replicas share would take all of them out at once.
    #[must_use]
    pub fn ready_when(self, ready: watch::Receiver<bool>) -> Self {
        Self { ready: Some(ready), ..self }
    }

    /// Answers an HTTP path with 200 while the service is SERVING, and with 503 before that and from the start of a
    /// graceful shutdown on.
    #[must_use]
    pub fn with_readiness(self, path: String) -> Self {
        Self { ready_path: Some(path), ..self }
    }

    /// Adds a name of health that is SERVING while `is_well` is true. It does not count for that of the service.
    #[must_use]
    pub fn with_status(mut self, name: &'static str, is_well: watch::Receiver<bool>) -> Self {
        self.statuses.push((name, is_well));
        self
    }

    /// Runs a task beside requests, until a graceful shutdown has ended.
    #[must_use]
    pub fn with_background<F>(self, task: impl Fn(Stopping) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { background: Some(Arc::new(move |stopping| Box::pin(task(stopping)))), ..self }
    }

    /// Delays every request on purpose, as a fault under the name of the setting that asks for it.
    #[must_use]
    pub fn with_extra_latency(self, setting: &'static str, delay: Duration) -> Self {
        let extra_latency = (!delay.is_zero()).then_some(ExtraLatency { setting, delay });
        Self { extra_latency, ..self }
    }

    pub(crate) fn extra_latency(&self) -> Option<ExtraLatency> {
        self.extra_latency
    }

    /// Makes the task that runs beside requests, if there is one.
    pub(crate) fn background(&self, stopping: Stopping) -> Option<BoxFuture<'static, ()>> {
        self.background.as_ref().map(|make| make(stopping))
    }

    /// Returns the names of health with a status of their own.
    pub(crate) fn statuses(&self) -> &[(&'static str, watch::Receiver<bool>)] {
        &self.statuses
    }

    /// Returns what the service waits for before it is ready, if anything.
    pub(crate) fn pending(&self) -> Option<watch::Receiver<bool>> {
        self.ready.clone().filter(|ready| !*ready.borrow())
    }

    /// Returns true if it has HTTP routes.
    pub(crate) fn is_http(&self) -> bool {
        self.is_http
    }

    /// The paths of its gRPC methods that the table of services or a handler has.
    pub(crate) fn methods(&self) -> Vec<&'static str> {
        let specs = self.names.iter().filter_map(|name| ServiceSpec::of_grpc(name));
        let methods = specs.flat_map(|spec| spec.methods);
        let own = methods.filter(|method| self.names.contains(&method.grpc_service()));
        let mut paths: Vec<&'static str> = own.map(|method| method.path).collect();
        paths.extend(self.handlers.paths());
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// The names of its gRPC services.
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The default TLS mode where there are a certificate and roots: browsers have no certificates.
    pub(crate) fn default_tls(&self) -> ServerTls {
        if self.is_http { ServerTls::Tls } else { ServerTls::MutualTls }
    }

    pub(crate) fn with_health(mut self, health: &Health) -> Self {
        if let Some(path) = self.ready_path.take() {
            let is_serving = health.is_serving();
            let answer = move || {
                std::future::ready(if *is_serving.borrow() {
                    (StatusCode::OK, "ok")
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "not ready")
                })
            };
            self.routes = self.routes.route(&path, any(answer));
            self.probes.push(path);
        }
        self.add_service(health.server())
    }

    /// Adds reflection where `wanted`, or by its own choice.
    pub(crate) fn with_reflection_if(self, wanted: Option<bool>) -> anyhow::Result<Self> {
        if !wanted.unwrap_or(self.reflection) {
            return Ok(self);
        }
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(boutique_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        Ok(self.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Router").field(&self.names).finish()
    }
}
