//! Records a span for each request, on either side.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status as SpanStatus};
use opentelemetry_sdk::trace::Span;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::request::{Observed, Observer, is_server_error, shown};
use super::{Ending, Protocol, Reply, Request, RequestInfo};
use crate::context::{RequestContext, ServiceContext};
use crate::propagation::Formats;

/// Adds [`Trace`].
#[derive(Clone)]
pub(crate) struct TraceLayer {
    server: Option<Arc<ServiceContext>>,
}

impl TraceLayer {
    /// For the side that is called: spans of this service.
    pub(crate) fn server(context: &Arc<ServiceContext>) -> Self {
        Self { server: Some(context.clone()) }
    }

    /// For the side that calls: spans of the service whose request makes the call.
    pub(crate) const CLIENT: Self = Self { server: None };
}

/// Records a span for each request, and passes it on as the parent of the request's trace.
#[derive(Clone)]
pub(crate) struct Trace<S> {
    server: Option<Arc<ServiceContext>>,
    inner: S,
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Trace { server: self.server.clone(), inner }
    }
}

impl<S, T> Service<Request<T>> for Trace<S>
where
    S: Service<Request<T>, Response: Reply, Error = Status>,
{
    type Response = S::Response;
    type Error = Status;
    type Future = Observed<S::Future, Box<Recording>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<T>) -> Self::Future {
        let started = match &self.server {
            Some(context) => record(context, SpanKind::Server, &request.info),
            None => RequestContext::with(|current| {
                record(&current.service, SpanKind::Client, &request.info)
            })
            .flatten(),
        };
        let recording = started.and_then(|Started { span, formats, fails }| {
            let info = Arc::make_mut(&mut request.info);
            let trace = std::mem::take(&mut info.trace);
            let is_recorded = span.is_recording();
            info.trace = trace.with_span(span.span_context().clone(), is_recorded, formats);
            let info = &request.info;
            is_recorded.then(|| Box::new(Recording { span, fails, info: info.clone() }))
        });
        Observed::new(self.inner.call(request), recording)
    }
}

/// A client's span fails with every error, a server's only with its own.
fn is_error(code: Code) -> bool {
    code != Code::Ok
}

/// Starts a span, if the service records any.
fn record(context: &ServiceContext, kind: SpanKind, info: &RequestInfo) -> Option<Started> {
    let tracer = if info.is_probe { None } else { context.recorder(&info.trace) }?;
    let fails = if kind == SpanKind::Server { is_server_error } else { is_error };
    let mut span = tracer.start("", kind, &info.trace);
    if span.is_recording() {
        describe(&mut span, info);
    }
    Some(Started { span, formats: tracer.formats(), fails })
}

/// Sets the name and the attributes of a request's span.
fn describe(span: &mut Span, info: &RequestInfo) {
    match info.protocol {
        Protocol::Grpc => {
            let rpc = part_of(&info.path, |path| shown(path).trim_start_matches('/'));
            let service =
                part_of(&rpc, |rpc| rpc.split_once('/').map_or(rpc, |(service, _)| service));
            let method = part_of(&rpc, |rpc| rpc.split_once('/').map_or("", |(_, method)| method));
            span.set_attribute(KeyValue::new("rpc.system", "grpc"));
            span.set_attribute(KeyValue::new("rpc.service", service));
            span.set_attribute(KeyValue::new("rpc.method", method));
            span.update_name(rpc);
        }
        Protocol::Http => {
            span.set_attribute(KeyValue::new("http.request.method", info.method.to_string()));
            span.set_attribute(KeyValue::new("url.path", info.shown_path().to_owned()));
            span.update_name(info.method.to_string());
        }
    }
}

/// Returns a part of a text, which is copied only where the text is not static.
#[expect(clippy::ptr_arg, reason = "a &str does not say whether it is static")]
fn part_of(text: &Cow<'static, str>, part: fn(&str) -> &str) -> Cow<'static, str> {
    match text {
        Cow::Borrowed(text) => part(text).into(),
        Cow::Owned(text) => part(text).to_owned().into(),
    }
}

/// A span that has begun.
struct Started {
    span: Span,
    formats: Formats,
    fails: fn(Code) -> bool,
}

/// A span that ends with its request.
pub(crate) struct Recording {
    span: Span,
    info: Arc<RequestInfo>,
    fails: fn(Code) -> bool,
}

impl Observer for Box<Recording> {
    fn observe(mut self, ending: &Ending<'_>) {
        let failed = if let Some(status) = ending.http {
            if let Some(route) = ending.route {
                self.span.update_name(format!("{} {route}", self.info.method));
                self.span.set_attribute(KeyValue::new("http.route", route.to_owned()));
            }
            let code = i64::from(status.as_u16());
            self.span.set_attribute(KeyValue::new("http.response.status_code", code));
            status.is_server_error()
        } else {
            let code = ending.code();
            self.span.set_attribute(KeyValue::new("rpc.grpc.status_code", code as i64));
            (self.fails)(code)
        };
        if let Some(names) = self.info.faults.get() {
            self.span.set_attribute(KeyValue::new("fault.name", names.clone()));
        }
        if failed {
            self.span.set_status(SpanStatus::error(""));
        }
        self.span.end();
    }
}
