//! The layer around every request, by whatever way it comes: trace, deadline, panic isolation, and
//! the one place where a failure is logged.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use boutique_proto::{Handlers, Rpc};
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body_util::LengthLimitError;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status as SpanStatus, Tracer as _};
use opentelemetry_sdk::trace::Span;
use tokio::time::Instant;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::call::{Call, Identity, Trace};
use crate::deadline::{Late, within};
use crate::frame;

/// How long a message may take to arrive, whatever time its call has.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A service's routes with the layer around them; what a connection or an `inproc:` call talks to.
pub(crate) struct Served {
    pub(crate) router: axum::Router,
    pub(crate) handlers: Handlers,
    pub(crate) identity: Arc<Identity>,
}

impl Served {
    /// Answers one request; whatever happens inside, there is an answer.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.version() == Version::HTTP_11 && !has_one_host(request.headers()) {
            return plain(StatusCode::BAD_REQUEST);
        }
        let about = About::of(&request);
        let left = timeout_of(request.headers());
        let deadline = left.map(|left| about.began + left);
        let trace = Trace::from_headers(request.headers());

        // A call that ends soon by itself needs no other limit for its message.
        let soon =
            left.is_none_or(|left| left > MESSAGE_TIMEOUT).then(|| about.began + MESSAGE_TIMEOUT);
        let is_unary = about.is_unary();
        let work = pin!(async {
            let request = match is_unary {
                true => within(soon, one_message(request)).await.unwrap_or_else(|Late| {
                    Err(Status::deadline_exceeded("the message took too long"))
                }),
                false => Ok(request),
            };
            match request {
                Ok(request) => match self.router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                Err(status) => status.into_http(),
            }
        });
        self.around(about, deadline, trace, work).await
    }

    /// Answers a call from inside the process, the way it would be answered over the wire.
    pub(crate) async fn call<R: Rpc>(
        &self,
        message: R::Request,
        began: Instant,
        deadline: Instant,
        trace: Trace,
    ) -> Result<R::Response, Status> {
        let work = pin!(async {
            let Some(handler) = self.handlers.get::<R>() else {
                return Err(Status::unimplemented(""));
            };
            handler.handle(tonic::Request::new(message)).await
        });
        let answer = self.around(About::of_rpc(R::PATH, began), Some(deadline), trace, work).await;
        match answer {
            Ok(answer) => Ok(answer.into_inner()),
            // What led to it stays on this side.
            Err(status) => Err(Status::new(status.code(), status.message())),
        }
    }

    /// What surrounds the work for every answer.
    async fn around<T: Answer>(
        &self,
        about: About,
        deadline: Option<Instant>,
        mut trace: Trace,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> T {
        let span = about.start_span(&self.identity, &trace);
        if let Some(span) = &span {
            trace = trace.under(span.span_context().clone());
        }
        let call = Call { identity: self.identity.clone(), deadline, trace };
        let work = AssertUnwindSafe(work).catch_unwind();
        let answered = async {
            let answer = match within(deadline, work).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_panic)) => T::failure(&about, Status::internal("internal error")),
                Err(Late) => T::failure(&about, Status::deadline_exceeded("deadline exceeded")),
            };
            answer.finish(&about, span);
            answer
        };
        call.scope(answered).await
    }
}

/// An answer in one of its forms.
trait Answer {
    /// The answer to a request that did not finish by itself.
    fn failure(about: &About, status: Status) -> Self;
    /// Logs the request once and ends its span.
    fn finish(&self, about: &About, span: Option<Box<Span>>);
}

impl Answer for Response<Body> {
    fn failure(about: &About, status: Status) -> Self {
        if about.grpc {
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

    fn finish(&self, about: &About, span: Option<Box<Span>>) {
        match about.grpc {
            true => about.finish_rpc(self.extensions().get::<Status>(), span),
            false => about.finish_http(self, span),
        }
    }
}

impl<T> Answer for Result<tonic::Response<T>, Status> {
    fn failure(_about: &About, status: Status) -> Self {
        Err(status)
    }

    fn finish(&self, about: &About, span: Option<Box<Span>>) {
        about.finish_rpc(self.as_ref().err(), span);
    }
}

/// What is known of a request before it is answered.
struct About {
    grpc: bool,
    method: http::Method,
    path: Cow<'static, str>,
    began: Instant,
}

impl About {
    fn of(request: &Request<Body>) -> Self {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        Self {
            grpc: content_type
                .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")),
            method: request.method().clone(),
            path: request.uri().path().to_owned().into(),
            began: Instant::now(),
        }
    }

    fn of_rpc(path: &'static str, began: Instant) -> Self {
        Self { grpc: true, method: http::Method::POST, path: path.into(), began }
    }

    /// A gRPC path without its leading slash is the method's full name.
    fn rpc(&self) -> &str {
        self.path.trim_start_matches('/')
    }

    /// All of our calls have one message in; reflection alone has a stream.
    fn is_unary(&self) -> bool {
        self.grpc && !self.path.starts_with("/grpc.reflection.")
    }

    fn start_span(&self, identity: &Identity, trace: &Trace) -> Option<Box<Span>> {
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
                    vec![method, KeyValue::new("url.path", self.path.to_string())],
                )
            }
        };
        let builder = tracing
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        Some(Box::new(tracing.tracer.build_with_context(builder, &trace.parent())))
    }

    fn finish_rpc(&self, status: Option<&Status>, span: Option<Box<Span>>) {
        self.log_rpc(status);
        let Some(mut span) = span else { return };
        let code = status.map_or(Code::Ok, Status::code);
        span.set_attribute(KeyValue::new("rpc.grpc.status_code", code as i64));
        if is_our_fault(code) {
            span.set_status(SpanStatus::error(""));
        }
        span.end();
    }

    fn finish_http(&self, response: &Response<Body>, span: Option<Box<Span>>) {
        let route = response.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let code = response.status();
        if code.is_server_error()
            && let Some(status) = response.extensions().get::<Status>()
        {
            tracing::error!(
                http.route = route,
                error = chain(status),
                "failed to answer {} {}",
                self.method,
                route.unwrap_or_default(),
            );
        }
        let Some(mut span) = span else { return };
        if let Some(route) = route {
            span.update_name(format!("{} {route}", self.method));
            span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        }
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(code.as_u16())));
        if code.is_server_error() {
            span.set_status(SpanStatus::error(""));
        }
        span.end();
    }

    fn log_rpc(&self, status: Option<&Status>) {
        let method = self.rpc();
        let code = status.map_or(Code::Ok, Status::code);
        // Asked by whoever writes a line; the clock is not free.
        let duration_ms = || self.began.elapsed().as_secs_f64() * 1e3;
        match status {
            Some(status) if was_logged(status) => {}
            Some(status) if is_our_fault(code) => tracing::error!(
                rpc.method = method,
                rpc.grpc.status_code = ?code,
                duration_ms = duration_ms(),
                error = chain(status),
                "failed to answer {method}",
            ),
            // What a client got wrong is told by code alone: the text may hold what it sent.
            Some(_) => tracing::info!(
                rpc.method = method,
                rpc.grpc.status_code = ?code,
                duration_ms = duration_ms(),
                "refused {method}",
            ),
            None => tracing::debug!(
                rpc.method = method,
                rpc.grpc.status_code = ?code,
                duration_ms = duration_ms(),
                "answered {method}",
            ),
        }
    }
}

/// Reads the whole of a unary call's body, which must be one message of a size that gRPC allows by
/// default. tonic would answer a larger one with another code, and take the first of several.
async fn one_message(request: Request<Body>) -> Result<Request<Body>, Status> {
    let (parts, body) = request.into_parts();
    let body =
        frame::collect(body).await.map_err(|error| match error.is::<LengthLimitError>() {
            true => Status::resource_exhausted("the message is larger than 4 MiB"),
            false => Status::internal("the message did not arrive whole"),
        })?;
    let body = body.to_bytes();
    if body.len() > frame::HEADER + frame::announced(&body).unwrap_or_default() {
        return Err(Status::internal("a unary call has one message"));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
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
