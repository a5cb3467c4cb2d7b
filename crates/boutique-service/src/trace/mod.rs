//! Spans over OTLP when `ENABLE_TRACING=1`, recorded by the OpenTelemetry SDK with its standard settings.

mod export;
mod otlp;
mod sampler;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{
    Link, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span};

use self::export::{ErrorsToo, Exporter, Outage};
use self::sampler::sampler;
use crate::collector::{Collector, Signal};
use crate::env::{Env, EnvError};
use crate::propagation::{Formats, TraceContext};

/// The bound of the last export of a process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The recorder of one service's spans.
#[derive(Debug)]
pub(crate) struct ServiceTracer {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    formats: Formats,
    outage: Arc<Outage>,
    /// True if a span of a request is the first of a trace of its own, and links to the caller's.
    links: bool,
    /// True if spans that are not sampled are recorded too, because they may fail.
    records_errors: bool,
    /// True if a trace that its caller does not sample is not sampled here either.
    obeys: bool,
}

/// The treatment of a trace that comes from outside the shop: `TRACE_CONTEXT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strangers {
    /// Goes on with the trace, and decides by itself whether it is sampled.
    Continue,
    /// Goes on with the trace and with its decision.
    Obey,
    /// Starts a trace of its own, which links to the other.
    Link,
}

impl ServiceTracer {
    /// Makes a recorder under the service's own name if `ENABLE_TRACING` is on and `OTEL_SDK_DISABLED` is not. It exports
    /// to the [`Collector`] of spans; the SDK reads the settings of its batches itself. `is_edge` is true for a service that
    /// strangers call.
    pub(crate) fn from_env(
        service: &str,
        env: &Env,
        is_edge: bool,
    ) -> anyhow::Result<Option<Self>> {
        let strangers = match env.get("TRACE_CONTEXT") {
            _ if !is_edge => Strangers::Obey,
            None | Some("continue") => Strangers::Continue,
            Some("obey") => Strangers::Obey,
            Some("link") => Strangers::Link,
            Some(_) => Err(EnvError::new("TRACE_CONTEXT", "must be continue, obey or link"))?,
        };
        let is_disabled = env.get("OTEL_SDK_DISABLED").is_some_and(is_true)
            || env.get("OTEL_TRACES_EXPORTER") == Some("none");
        if env.flag("ENABLE_TRACING")? != Some(true) || is_disabled {
            return Ok(None);
        }
        let collector = Collector::from_env(env, Signal::Traces)?;
        let name = env.get("OTEL_SERVICE_NAME").unwrap_or(service).to_owned();
        let outage = Arc::new(Outage::new(service));
        let resource = Resource::builder().with_service_name(name).build();
        let exporter = Exporter { collector, outage: outage.clone(), resource: resource.clone() };
        let batches = BatchSpanProcessor::builder(exporter).build();
        let records_errors = env.flag("TRACE_ERRORS")?.unwrap_or(false);
        let formats = formats(env);
        let sampler = sampler(env, strangers != Strangers::Obey, records_errors);
        let obeys = formats.trace_context && sampler.obeys();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(ErrorsToo(batches))
            .with_resource(resource)
            .with_sampler(sampler)
            .build();
        Ok(Some(Self {
            tracer: provider.tracer("boutique-service"),
            provider,
            formats,
            outage,
            links: strangers == Strangers::Link,
            records_errors,
            obeys,
        }))
    }

    /// Returns the formats in which the service writes its spans into headers.
    pub(crate) fn formats(&self) -> Formats {
        self.formats
    }

    /// Returns true if spans below `trace` are worth recording now. Where it is not sampled, or the collector takes
    /// none, they only cost time.
    pub(crate) fn is_wanted(&self, trace: &TraceContext) -> bool {
        let is_left_out = || trace.is_left_out() || (self.obeys && trace.is_left_out_by_caller());
        (self.records_errors || !is_left_out()) && self.outage.is_worth_it()
    }

    /// Starts a span below `trace`. Its attributes are up to the caller, who need not make them for a span that is not
    /// recorded.
    pub(crate) fn start(&self, name: &'static str, kind: SpanKind, trace: &TraceContext) -> Span {
        let starts_anew = self.links && kind == SpanKind::Server;
        let mut builder = self.tracer.span_builder(name).with_kind(kind);
        let mut parent = trace.parent(self.formats);
        if starts_anew {
            let other = parent.span().span_context().clone();
            if other.is_valid() {
                builder = builder.with_links(vec![Link::with_context(other)]);
            }
            parent = Context::new();
        }
        self.tracer.build_with_context(builder, &parent)
    }

    /// Starts a span without a parent, which links to the span with this `traceparent`, if it is one.
    pub(crate) fn start_linked(&self, name: &'static str, trace_parent: &str) -> Span {
        let mut builder = self.tracer.span_builder(name).with_kind(SpanKind::Internal);
        if let Some(other) = TraceContext::of_trace_parent(trace_parent) {
            builder = builder.with_links(vec![Link::with_context(other)]);
        }
        self.tracer.build_with_context(builder, &Context::new())
    }

    /// Exports the remaining spans, within a bound. The SDK blocks, so this runs on a blocking thread.
    pub(crate) async fn flush(&self) {
        let provider = self.provider.clone();
        let flushed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        match tokio::time::timeout(FLUSH_TIMEOUT, flushed).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) | Err(_) => tracing::warn!("gave up on exporting the last spans"),
        }
    }
}

/// The boolean settings of OpenTelemetry are `true` in any case; all else is false.
fn is_true(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("true")
}

/// The formats of `OTEL_PROPAGATORS`; unknown names are logged once and ignored, as its specification says.
fn formats(env: &Env) -> Formats {
    let Some(list) = env.get("OTEL_PROPAGATORS") else { return Formats::DEFAULT };
    let (formats, unknown) = Formats::parse(list);
    if !unknown.is_empty() {
        env.warn_ignored("OTEL_PROPAGATORS", format_args!("there is no {}", unknown.join(", ")));
    }
    formats
}
