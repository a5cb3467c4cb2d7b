//! Spans of the parts of a request, and of work outside of requests.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status as SpanStatus};
use opentelemetry_sdk::trace::Span;

use crate::context::RequestContext;
use crate::propagation::TraceContext;

/// Runs `work`, a part of a request that is worth a span of its own; the calls that it makes are below it. It is marked as
/// failed where `work` fails.
pub async fn span<T, E>(
    name: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let below = |context: &RequestContext| {
        let tracer = context.service.recorder(&context.trace)?;
        let span = tracer.start(name, SpanKind::Internal, &context.trace);
        Some(within(context.clone(), span))
    };
    let Some((context, mut span)) = RequestContext::with(below).flatten() else {
        return work.await;
    };
    let result = context.scope(work).await;
    if result.is_err() {
        span.set_status(SpanStatus::error(""));
    }
    result
}

/// Runs `work` that goes on with what a request of another time began: in a trace of its own, which links to the span
/// with that `traceparent`.
pub async fn linked_span<F: Future>(name: &'static str, trace_parent: &str, work: F) -> F::Output {
    let anew = |context: &RequestContext| {
        let mut context = context.clone();
        context.trace = TraceContext::default();
        let service = context.service.clone();
        let tracer = service.recorder(&context.trace)?;
        Some(within(context, tracer.start_linked(name, trace_parent)))
    };
    match RequestContext::with(anew).flatten() {
        None => work.await,
        Some((context, _span)) => context.scope(work).await,
    }
}

/// Returns the current span as a `traceparent`, to be linked to later.
pub fn trace_parent() -> Option<String> {
    RequestContext::with(|context| context.trace.trace_parent()).flatten()
}

/// Makes the span the parent of what happens in the context. It ends when it is dropped.
fn within(mut context: RequestContext, span: Span) -> (RequestContext, Span) {
    if let Some(tracer) = &context.service.tracer {
        let trace = std::mem::take(&mut context.trace);
        let (own, is_recorded) = (span.span_context().clone(), span.is_recording());
        context.trace = trace.with_span(own, is_recorded, tracer.formats());
    }
    (context, span)
}

/// Starts the span of a command to a store.
pub(crate) fn operation(system: &'static str, name: &'static str) -> Option<Box<Span>> {
    let below = |context: &RequestContext| {
        let tracer = context.service.recorder(&context.trace)?;
        let mut span = tracer.start(name, SpanKind::Client, &context.trace);
        span.set_attribute(KeyValue::new("db.system.name", system));
        span.set_attribute(KeyValue::new("db.operation.name", name));
        Some(Box::new(span))
    };
    RequestContext::with(below).flatten()
}

/// Ends it; `error` is a kind of failure.
pub(crate) fn end_operation(mut span: Box<Span>, error: Option<&'static str>) {
    if let Some(error) = error {
        span.set_attribute(KeyValue::new("error.type", error));
        span.set_status(SpanStatus::error(""));
    }
    span.end();
}
