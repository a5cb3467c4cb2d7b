//! What a service answers ([`App`]), one running service ([`Running`]), and the layer around every
//! request: trace, deadline, panic isolation, and the one place where a failure is logged.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::MatchedPath;
use boutique_proto::health::health_check_response::ServingStatus;
use boutique_proto::health::health_server::HealthServer;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status as SpanStatus, Tracer as _};
use opentelemetry_sdk::trace::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::{Service as TowerService, ServiceExt as _};

use crate::call::{Call, Identity, Trace};
use crate::connection::{self, Lifetime};
use crate::env::{Env, EnvError};
use crate::health::ServiceHealth;
use crate::telemetry::Tracing;

/// A service's identity: its workload name, default port, and the setting that holds its address,
/// all as upstream has them.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The workload, as in `service.name`.
    pub name: &'static str,
    /// Where it listens when `PORT` says nothing.
    pub port: u16,
    /// The setting by which others find it.
    pub addr_key: &'static str,
}

/// What a service answers, before it is served.
#[derive(Debug, Clone)]
pub struct App {
    router: axum::Router,
    names: Vec<&'static str>,
    reflection: bool,
}

impl App {
    /// Answers gRPC.
    pub fn grpc<S>(service: S) -> Self
    where
        S: TowerService<Request<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        let router = Routes::new(service).into_axum_router();
        Self { router, names: vec![S::NAME], reflection: false }
    }

    /// Answers HTTP.
    pub fn http(router: axum::Router) -> Self {
        Self { router, names: Vec::new(), reflection: false }
    }

    /// With gRPC reflection on unless `GRPC_REFLECTION` turns it off.
    #[must_use]
    pub fn with_reflection(self) -> Self {
        Self { reflection: true, ..self }
    }

    fn with_health(self, health: HealthServer<ServiceHealth>) -> Self {
        let health =
            health.map_request(|request: Request<Body>| request.map(tonic::body::Body::new));
        Self {
            router: self.router.route_service("/grpc.health.v1.Health/{*method}", health),
            ..self
        }
    }

    fn with_reflection_if(self, wanted: Option<bool>) -> anyhow::Result<Self> {
        if !wanted.unwrap_or(self.reflection) {
            return Ok(self);
        }
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(boutique_proto::FILE_DESCRIPTOR_SET)
        };
        let reflection = Routes::new(builder().build_v1()?).add_service(builder().build_v1alpha()?);
        let router = self.router.merge(reflection.into_axum_router().reset_fallback());
        Ok(Self { router, ..self })
    }
}

/// A service's routes with the layer around them; what a connection or an `inproc:` call talks to.
pub(crate) struct Served {
    router: axum::Router,
    pub(crate) identity: Arc<Identity>,
}

/// A service that runs until it is stopped. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    identity: Arc<Identity>,
    address: Option<SocketAddr>,
    health: Option<watch::Sender<ServingStatus>>,
    drain: Drain,
    lifetime: Lifetime,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy)]
struct Drain {
    delay: Duration,
    timeout: Duration,
}

impl Drain {
    fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self {
            delay: env.duration("DRAIN_DELAY")?.unwrap_or_default(),
            // Inside the five seconds of grace that upstream's manifests give a pod.
            timeout: env.duration("DRAIN_TIMEOUT")?.unwrap_or(Duration::from_secs(4)),
        })
    }
}

/// Binds `PORT` (or the service's own port) on `LISTEN_ADDR` (or every address) and serves `app`
/// there with health and reflection.
pub async fn spawn(service: Service, env: &Env, app: App) -> anyhow::Result<Running> {
    let (listener, address) = bind(service.port, env)?;
    let (served, health) = serve(service, env, app)?;
    let lifetime = Lifetime::default();
    let accepting = tokio::spawn(connection::accept(
        listener,
        env.workers.clone(),
        served.clone(),
        lifetime.clone(),
    ));
    tracing::info!(service.name = service.name, server.address = %address, "listening on {address}");
    Ok(Running {
        identity: served.identity.clone(),
        address: Some(address),
        health: Some(health),
        drain: Drain::from_env(env)?,
        lifetime,
        accepting: Some(accepting),
    })
}

/// Serves `app` inside this process alone, and sets the service's address in `env` so that those
/// who are opened after it find it.
pub fn inproc(service: Service, env: &mut Env, app: App) -> anyhow::Result<Running> {
    let (served, health) = serve(service, env, app)?;
    env.inproc.insert(service.name, served.clone());
    env.set(service.addr_key, format!("inproc:{}", service.name));
    Ok(Running {
        identity: served.identity.clone(),
        address: None,
        health: Some(health),
        drain: Drain { delay: Duration::ZERO, ..Drain::from_env(env)? },
        lifetime: Lifetime::default(),
        accepting: None,
    })
}

fn serve(
    service: Service,
    env: &Env,
    app: App,
) -> anyhow::Result<(Arc<Served>, watch::Sender<ServingStatus>)> {
    let mut names = app.names.clone();
    names.push(service.name);
    let (health, switch) = ServiceHealth::new(names);
    let app = app.with_health(health).with_reflection_if(env.flag("GRPC_REFLECTION")?)?;
    let identity = Identity {
        name: service.name,
        tracing: Tracing::from_env(service.name, env)?,
        tasks: TaskTracker::new(),
    };
    // `with_state` makes axum build the final router now instead of at every call.
    let router = app.router.with_state(());
    Ok((Arc::new(Served { router, identity: Arc::new(identity) }), switch))
}

impl Running {
    /// Where it listens; nowhere if it is reached inside the process.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Stops the way a pod has to: not ready at once, serving on for `DRAIN_DELAY`, no new
    /// connections, at most `DRAIN_TIMEOUT` for what is in flight, and the last spans out.
    pub async fn stop(mut self) {
        if let Some(health) = &self.health {
            health.send_replace(ServingStatus::NotServing);
        }
        tokio::time::sleep(self.drain.delay).await;
        // Every Watch ends with the switch.
        self.health = None;
        self.lifetime.drain();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.await;
        }
        self.identity.tasks.close();
        let in_flight = async {
            self.lifetime.connections.wait().await;
            self.identity.tasks.wait().await;
        };
        if tokio::time::timeout(self.drain.timeout, in_flight).await.is_err() {
            let left = self.lifetime.connections.len() + self.identity.tasks.len();
            tracing::warn!(service.name = self.identity.name, left, "gave up on {left} unfinished");
        }
        if let Some(tracing) = &self.identity.tracing {
            tracing.flush().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifetime.end();
    }
}

/// The port a service listens on: `PORT`, or the name that upstream's cartservice has for it.
pub(crate) fn port(default_port: u16, env: &Env) -> Result<u16, EnvError> {
    for name in ["PORT", "ASPNETCORE_HTTP_PORTS"] {
        if let Some(port) = env.parse(name, "a port, 0 to 65535")? {
            return Ok(port);
        }
    }
    Ok(default_port)
}

fn bind(default_port: u16, env: &Env) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let port = port(default_port, env)?;
    let listener = match env.parse::<IpAddr>("LISTEN_ADDR", "an IP address")? {
        Some(ip) => listen(SocketAddr::new(ip, port)),
        // Where a machine has no IPv6, its IPv4 alone will do.
        None => match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(error) if error.kind() != ErrorKind::AddrInUse => {
                listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            }
            bound => bound,
        },
    };
    let listener = listener.map_err(|error| match error.kind() == ErrorKind::AddrInUse {
        true => EnvError::new("PORT", format_args!("must be a free port: {port} is taken")),
        false => EnvError::new("PORT", format_args!("must be a port that can be bound: {error}")),
    })?;
    let address = listener.local_addr().context("cannot learn the listener's address")?;
    Ok((listener, address))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

impl Served {
    /// Answers one request; whatever happens inside, there is an answer.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.version() == Version::HTTP_11 && !has_one_host(request.headers()) {
            return plain(StatusCode::BAD_REQUEST);
        }
        let about = About::of(&request);
        let deadline = timeout_of(request.headers()).map(|left| tokio::time::Instant::now() + left);
        let mut trace = Trace::from_headers(request.headers());
        let span = about.start_span(&self.identity, &trace);
        if let Some(span) = &span {
            trace = trace.under(span.span_context().clone());
        }
        let call = Call { identity: self.identity.clone(), deadline, trace };

        let work = AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind();
        let finished = match deadline {
            None => Ok(call.clone().scope(work).await),
            Some(at) => tokio::time::timeout_at(at, call.clone().scope(work)).await,
        };
        let response = match finished {
            Ok(Ok(Ok(response))) => about.mend(response),
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_panic)) => about.failure(Status::internal("internal error")),
            Err(_elapsed) => about.failure(Status::deadline_exceeded("deadline exceeded")),
        };
        call.scope_now(|| about.finish(&response, span));
        response
    }
}

/// What is known of a request before it is answered.
struct About {
    grpc: bool,
    method: http::Method,
    path: String,
    began: Instant,
}

impl About {
    fn of(request: &Request<Body>) -> Self {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        Self {
            grpc: content_type
                .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            began: Instant::now(),
        }
    }

    /// A gRPC path without its leading slash is the method's full name.
    fn rpc(&self) -> &str {
        self.path.trim_start_matches('/')
    }

    fn start_span(&self, identity: &Identity, trace: &Trace) -> Option<Span> {
        let tracing = identity.tracing.as_ref()?;
        if self.path.starts_with("/grpc.health.v1.") || self.path.ends_with("/_healthz") {
            return None;
        }
        let (name, attributes) = match self.grpc {
            true => (self.rpc().to_owned(), rpc_attributes(self.rpc())),
            false => {
                let method = KeyValue::new("http.request.method", self.method.to_string());
                (
                    self.method.to_string(),
                    vec![method, KeyValue::new("url.path", self.path.clone())],
                )
            }
        };
        let builder = tracing
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        Some(tracing.tracer.build_with_context(builder, &trace.parent()))
    }

    /// The answer to a request that did not finish by itself.
    fn failure(&self, status: Status) -> Response<Body> {
        if self.grpc {
            return status.into_http();
        }
        let code = match status.code() == Code::DeadlineExceeded {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = plain(code);
        response.extensions_mut().insert(status);
        response
    }

    /// Gives a message over the size limit the code that gRPC has for it; tonic has another.
    fn mend(&self, response: Response<Body>) -> Response<Body> {
        match response.extensions().get::<Status>() {
            Some(status)
                if self.grpc
                    && status.code() == Code::OutOfRange
                    && status.message().contains("message length too large") =>
            {
                Status::resource_exhausted(status.message()).into_http()
            }
            Some(_) | None => response,
        }
    }

    /// Logs the request once and ends its span.
    fn finish(&self, response: &Response<Body>, span: Option<Span>) {
        let status = response.extensions().get::<Status>();
        if self.grpc {
            self.log_rpc(status);
        } else if response.status().is_server_error()
            && let Some(status) = status
        {
            tracing::error!(
                http.route = route(response),
                error = chain(status),
                "failed to answer {} {}",
                self.method,
                route(response).unwrap_or_default(),
            );
        }
        let Some(mut span) = span else { return };
        if self.grpc {
            let code = status.map_or(Code::Ok, Status::code);
            span.set_attribute(KeyValue::new("rpc.grpc.status_code", code as i64));
            if is_our_fault(code) {
                span.set_status(SpanStatus::error(""));
            }
        } else {
            if let Some(route) = route(response) {
                span.update_name(format!("{} {route}", self.method));
                span.set_attribute(KeyValue::new("http.route", route.to_owned()));
            }
            let code = response.status();
            span.set_attribute(KeyValue::new(
                "http.response.status_code",
                i64::from(code.as_u16()),
            ));
            if code.is_server_error() {
                span.set_status(SpanStatus::error(""));
            }
        }
        span.end();
    }

    fn log_rpc(&self, status: Option<&Status>) {
        let method = self.rpc();
        let code = status.map_or(Code::Ok, Status::code);
        let duration_ms = self.began.elapsed().as_secs_f64() * 1e3;
        match status {
            Some(status) if was_logged(status) => {}
            Some(status) if is_our_fault(code) => tracing::error!(
                rpc.method = method,
                rpc.grpc.status_code = ?code,
                duration_ms,
                error = chain(status),
                "failed to answer {method}",
            ),
            // What a client got wrong is told by code alone: the text may hold what it sent.
            Some(_) => tracing::info!(
                rpc.method = method,
                rpc.grpc.status_code = ?code,
                duration_ms,
                "refused {method}",
            ),
            None => tracing::debug!(
                rpc.method = method,
                rpc.grpc.status_code = ?code,
                duration_ms,
                "answered {method}",
            ),
        }
    }
}

/// The attributes of an RPC's span, on either side.
pub(crate) fn rpc_attributes(full_method: &str) -> Vec<KeyValue> {
    let (service, method) = full_method.split_once('/').unwrap_or((full_method, ""));
    vec![
        KeyValue::new("rpc.system", "grpc"),
        KeyValue::new("rpc.service", service.to_owned()),
        KeyValue::new("rpc.method", method.to_owned()),
    ]
}

/// Whether a person on our side should look, as opposed to the caller.
fn is_our_fault(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}

/// A status whose cause has been logged where more was known about it than the shared layer knows.
#[derive(Debug, thiserror::Error)]
#[error("logged before")]
struct AlreadyLogged;

/// Marks a status as logged, so that it is not logged twice.
pub fn already_logged(mut status: Status) -> Status {
    status.set_source(Arc::new(AlreadyLogged));
    status
}

fn was_logged(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(|cause| cause.is::<AlreadyLogged>())
}

/// A failure with everything that led to it, in one line.
fn chain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn route(response: &Response<Body>) -> Option<&str> {
    response.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

fn has_one_host(headers: &HeaderMap) -> bool {
    headers.get_all(header::HOST).iter().count() == 1
}

fn plain(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

/// What a gRPC caller has left, from `grpc-timeout`: up to eight digits and a unit.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}
