//! What a request carries with it through a service, however deep: who is serving it, until when
//! it may take, and the trace it belongs to.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::deadline::{Late, within};
use crate::telemetry::Tracing;

tokio::task_local! {
    static CALL: Call;
}

/// A running service as its requests know it.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: &'static str,
    pub(crate) tracing: Option<Tracing>,
    /// Work that outlives the request it began in; the drain waits for it.
    pub(crate) tasks: TaskTracker,
}

/// One request being served.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) identity: Arc<Identity>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) trace: Trace,
}

impl Call {
    /// The call this task is serving, if it is serving one.
    pub(crate) fn current() -> Option<Self> {
        CALL.try_with(Self::clone).ok()
    }

    /// Runs `work` as part of this call.
    pub(crate) fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CALL.scope(self, work)
    }

    /// Reads something of the current call without cloning it.
    pub(crate) fn peek<T>(read: impl FnOnce(&Self) -> T) -> Option<T> {
        CALL.try_with(read).ok()
    }
}

/// The W3C trace context of a call, if it has one; shared, because it goes with every call.
#[derive(Clone, Default)]
pub(crate) struct Trace(Option<Arc<Parts>>);

/// `traceparent`, `tracestate` and `baggage` as they came, and this service's own span when it records one.
#[derive(Clone, Default)]
struct Parts {
    headers: [Option<HeaderValue>; 3],
    span: Option<SpanContext>,
}

const TRACE_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

impl Trace {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let headers = TRACE_HEADERS.map(|name| headers.get(name).cloned());
        let is_there = headers.iter().any(Option::is_some);
        Self(is_there.then(|| Arc::new(Parts { headers, span: None })))
    }

    /// The same trace from now on under this span.
    pub(crate) fn under(self, span: SpanContext) -> Self {
        let mut parts = self.0.unwrap_or_default();
        Arc::make_mut(&mut parts).span = Some(span);
        Self(Some(parts))
    }

    /// The context a new span's parent is read from: our own span, or the caller's.
    pub(crate) fn parent(&self) -> Context {
        match self.span() {
            Some(span) => Context::new().with_remote_span_context(span.clone()),
            None => crate::telemetry::extract(self),
        }
    }

    fn span(&self) -> Option<&SpanContext> {
        self.0.as_ref()?.span.as_ref()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let index = TRACE_HEADERS.iter().position(|header| header == name)?;
        self.0.as_ref()?.headers[index].as_ref()?.to_str().ok()
    }

    /// Writes the context for the next service: our span where there is one, else as it came.
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) {
        let Some(parts) = &self.0 else { return };
        for (name, value) in TRACE_HEADERS.iter().zip(&parts.headers) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        if let Some(span) = &parts.span {
            crate::telemetry::inject(span, headers);
        }
    }

    fn id(&self) -> Option<String> {
        match self.span() {
            Some(span) => Some(span.trace_id().to_string()),
            // version-traceid-spanid-flags
            None => Some(self.header("traceparent")?.split('-').nth(1)?.to_owned()),
        }
    }
}

/// The id of the trace the current request belongs to, if it belongs to one.
pub fn trace_id() -> Option<String> {
    Call::peek(|call| call.trace.id()).flatten()
}

/// Bounds `work` and every call it makes to `limit`, or to what the caller has left if that is
/// less.
pub async fn with_deadline<F: Future>(limit: Duration, work: F) -> Result<F::Output, Late> {
    let mut deadline = Instant::now() + limit;
    let Some(mut call) = Call::current() else {
        return within(deadline, work).await;
    };
    if let Some(sooner) = call.deadline {
        deadline = deadline.min(sooner);
    }
    call.deadline = Some(deadline);
    within(deadline, call.scope(work)).await
}

/// Starts work that goes on when its request is given up, under the same trace but without the
/// request's deadline. The drain waits for it.
pub fn detach<F>(work: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match Call::current() {
        None => tokio::spawn(work),
        Some(mut call) => {
            call.deadline = None;
            let tasks = call.identity.tasks.clone();
            tasks.spawn(call.scope(work))
        }
    }
}

/// How long the current request may still take, if somebody said.
pub fn time_left() -> Option<Duration> {
    let deadline = Call::peek(|call| call.deadline).flatten()?;
    Some(deadline.saturating_duration_since(Instant::now()))
}
