//! Callers: a [`Channel`] to another service, over the network or inside the process, with the
//! deadline of each edge and the trace passed on.

use std::cell::Cell;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use boutique_proto::services::ServiceSpec;
use boutique_proto::{Rpc, TypedClient, UnaryChannel};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{Collected, LengthLimitError};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status as SpanStatus, Tracer as _};
use opentelemetry_sdk::trace::Span;
use prost::Message as _;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::call::{Call, Trace};
use crate::deadline::{Late, within};
use crate::env::{Env, EnvError};
use crate::frame::{self, framed};
use crate::layer::{Served, rpc_attributes};
use crate::peer::Peer;

/// What a caller keeps of its own time for the way back, so that a late answer is told apart from
/// a lost one.
const RESERVE: Duration = Duration::from_millis(10);
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("grpc-rust-boutique/", env!("CARGO_PKG_VERSION")));
/// The limit of a call that the table does not name.
const OTHER_EDGES: Duration = Duration::from_secs(1);

thread_local! {
    /// Which of the process's runtimes this thread drives.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Tells a thread which of the process's runtimes it drives.
pub(crate) fn set_worker(index: usize) {
    WORKER.set(index);
}

/// A way to call one service; cheap to clone. Made by [`channel`].
#[derive(Clone)]
pub struct Channel {
    route: Route,
    timeouts: Arc<[(&'static str, Duration)]>,
}

#[derive(Clone)]
enum Route {
    /// One connection for each runtime of the process: calls of a page that are issued together
    /// share a connection, and no runtime waits for another.
    Network(Arc<[Peer]>),
    /// A function call.
    Inproc(Arc<Served>),
}

/// A channel to the address that the setting `addr_key` holds: `host:port`, `http://host:port`,
/// `dns:///host:port`, or `inproc:name` for a service of this process. It connects at the first
/// call, so services start in any order.
pub fn channel(env: &Env, spec: &ServiceSpec) -> Result<Channel, EnvError> {
    let addr_key = spec.addr_key;
    let address = env.require(addr_key)?;
    let route = match address.strip_prefix("inproc:") {
        Some(name) => {
            let served = env.inproc.get(name);
            Route::Inproc(served.cloned().ok_or_else(|| {
                EnvError::new(addr_key, "must name a service of this process after inproc:")
            })?)
        }
        None => network(env, addr_key, address)?,
    };
    let mut timeouts = Vec::with_capacity(spec.methods.len());
    for method in spec.methods {
        timeouts.push((method.path, env.duration(method.timeout_key)?.unwrap_or(method.timeout)));
    }
    Ok(Channel { route, timeouts: timeouts.into() })
}

fn network(env: &Env, addr_key: &str, address: &str) -> Result<Route, EnvError> {
    let authority = ["dns:///", "http://"]
        .iter()
        .find_map(|scheme| address.strip_prefix(scheme))
        .unwrap_or(address)
        .trim_end_matches('/');
    let wrong = || EnvError::new(addr_key, "must be host:port");
    let parsed: http::uri::Authority = authority.parse().map_err(|_| wrong())?;
    if parsed.port_u16().is_none() {
        return Err(wrong());
    }
    let peers = (0..=env.workers.len()).map(|_| Peer::new(parsed.clone()));
    Ok(Route::Network(peers.collect()))
}

impl UnaryChannel for Channel {
    fn unary<R: Rpc>(
        &self,
        request: R::Request,
    ) -> impl Future<Output = Result<R::Response, Status>> + Send {
        self.call::<R>(request)
    }
}

/// A client of the service that the type names, at the address that its setting holds.
pub fn client<T: TypedClient<Channel = Channel>>(env: &Env) -> Result<T, EnvError> {
    let spec = T::spec().ok_or_else(|| EnvError::new(T::GRPC_SERVICE, "is not a service"))?;
    Ok(T::new(channel(env, spec)?))
}

impl Channel {
    /// Calls a service, within the edge's limit or what the caller has left where that is less.
    async fn call<R: Rpc>(&self, message: R::Request) -> Result<R::Response, Status> {
        let method = R::PATH.trim_start_matches('/');
        let now = Instant::now();
        let timeout = self.timeout(R::PATH, now)?;
        let deadline = now + timeout;
        let (trace, span) = trace_call(method);
        let outcome = match &self.route {
            Route::Inproc(served) => served.call::<R>(message, now, deadline, trace).await,
            Route::Network(peers) => {
                let peer = &peers[WORKER.get() % peers.len()];
                // Boxed, so that calls inside the process do not carry it with them.
                let exchange = Box::pin(exchange(peer, R::PATH, framed(&message), timeout, &trace));
                match within(deadline, exchange).await {
                    Ok(Ok(answer)) => R::Response::decode(answer).map_err(|_| {
                        Status::internal(format!("cannot read what {method} answers"))
                    }),
                    Ok(Err(status)) => Err(status),
                    Err(Late) => Err(Status::deadline_exceeded(format!("{method} took too long"))),
                }
            }
        };
        if let Some(span) = span {
            finish(span, outcome.as_ref().map_or_else(Status::code, |_| Code::Ok));
        }
        outcome
    }

    fn timeout(&self, path: &str, now: Instant) -> Result<Duration, Status> {
        let edge = self.timeouts.iter().find(|(known, _)| *known == path);
        let limit = edge.map_or(OTHER_EDGES, |(_, limit)| *limit);
        let Some(deadline) = Call::peek(|call| call.deadline).flatten() else { return Ok(limit) };
        let left = deadline.saturating_duration_since(now).saturating_sub(RESERVE);
        if left.is_zero() {
            return Err(Status::deadline_exceeded(format!(
                "no time left to call {}",
                path.trim_start_matches('/')
            )));
        }
        Ok(limit.min(left))
    }
}

/// A framed message over the network, and the message of the answer. All of it is read here, so that the
/// deadline covers the whole answer and the span knows its end.
async fn exchange(
    peer: &Peer,
    path: &'static str,
    message: Bytes,
    timeout: Duration,
    trace: &Trace,
) -> Result<Bytes, Status> {
    let method = path.trim_start_matches('/');
    let head = |authority: &Authority| head(authority, path, timeout, trace);
    let answer = peer.call(head, message).await;
    let (parts, body) = answer.map_err(|cause| unreachable_peer(method, cause))?.into_parts();
    let body =
        frame::collect(body).await.map_err(|cause| match cause.is::<LengthLimitError>() {
            true => Status::resource_exhausted(format!("{method} answers more than 4 MiB")),
            false => unreachable_peer(method, cause),
        })?;
    message_of(parts.status, &parts.headers, body)
}

/// What stands before the message of a call.
fn head(
    authority: &Authority,
    path: &'static str,
    timeout: Duration,
    trace: &Trace,
) -> Result<Request<()>, http::Error> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority.clone());
    uri.path_and_query = Some(PathAndQuery::from_static(path));
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    *head.uri_mut() = Uri::from_parts(uri)?;
    let headers = head.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert("grpc-timeout", timeout_header(timeout));
    trace.write_to(headers);
    Ok(head)
}

/// The one message of an answer, or the status that says why there is none.
fn message_of(
    http: StatusCode,
    headers: &HeaderMap,
    body: Collected<Bytes>,
) -> Result<Bytes, Status> {
    let told = Status::from_header_map(body.trailers().unwrap_or(headers));
    let status = told.unwrap_or_else(|| without_status(http));
    if status.code() != Code::Ok {
        return Err(status);
    }
    let mut body = body.to_bytes();
    match frame::announced(&body) {
        Some(length) if body[0] == 0 && body.len() == frame::HEADER + length => {
            Ok(body.split_off(frame::HEADER))
        }
        Some(_) | None => Err(Status::internal("the answer is not one plain message")),
    }
}

/// What an answer means that has no `grpc-status`, as gRPC defines it: it comes from something between.
fn without_status(http: StatusCode) -> Status {
    let code = match http {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("the answer has no grpc-status; its HTTP status is {http}"))
}

fn unreachable_peer(method: &str, cause: Box<dyn StdError + Send + Sync>) -> Status {
    let mut status = Status::unavailable(format!("cannot reach {method}"));
    status.set_source(cause.into());
    status
}

/// The trace that a call goes on under, and a span of its own where this service records.
fn trace_call(method: &str) -> (Trace, Option<Box<Span>>) {
    let traced = Call::peek(|call| {
        let Some(tracing) = &call.identity.tracing else { return (call.trace.clone(), None) };
        let builder = tracing
            .tracer
            .span_builder(method.to_owned())
            .with_kind(SpanKind::Client)
            .with_attributes(rpc_attributes(method));
        let span = tracing.tracer.build_with_context(builder, &call.trace.parent());
        (call.trace.clone().under(span.span_context().clone()), Some(Box::new(span)))
    });
    traced.unwrap_or_default()
}

fn finish(mut span: Box<Span>, code: Code) {
    span.set_attribute(KeyValue::new("rpc.grpc.status_code", code as i64));
    if code != Code::Ok {
        span.set_status(SpanStatus::error(""));
    }
    span.end();
}

/// gRPC's notation has at most eight digits; microseconds hold 99 seconds, milliseconds a day.
fn timeout_header(timeout: Duration) -> HeaderValue {
    let (value, unit) = match timeout.as_micros() {
        micros @ ..=99_999_999 => (micros, 'u'),
        micros => ((micros / 1000).min(99_999_999), 'm'),
    };
    HeaderValue::try_from(format!("{value}{unit}"))
        .unwrap_or_else(|_| HeaderValue::from_static("1S"))
}
