//! Traces: the W3C context that goes with every call, and spans over OTLP when `ENABLE_TRACING=1`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{
    SpanContext, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use crate::env::{Env, EnvError};

/// The bound of the last export of a process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

const TRACE_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

/// The W3C trace context of a request, if it has one; shared, because every call of the request carries it.
#[derive(Clone, Default)]
pub(crate) struct TraceContext(Option<Arc<Parts>>);

/// `traceparent`, `tracestate` and `baggage` as received, and this service's own span if it records one.
#[derive(Clone, Default)]
struct Parts {
    headers: [Option<HeaderValue>; 3],
    span: Option<SpanContext>,
}

impl TraceContext {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let headers = TRACE_HEADERS.map(|name| headers.get(name).cloned());
        let is_present = headers.iter().any(Option::is_some);
        Self(is_present.then(|| Arc::new(Parts { headers, span: None })))
    }

    /// Returns the same trace with `span` as the parent of what follows.
    pub(crate) fn with_span(self, span: SpanContext) -> Self {
        let mut parts = self.0.unwrap_or_default();
        Arc::make_mut(&mut parts).span = Some(span);
        Self(Some(parts))
    }

    /// Writes the context for the next service: the own span if there is one, else the headers as received.
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) {
        let Some(parts) = &self.0 else { return };
        for (name, value) in TRACE_HEADERS.iter().zip(&parts.headers) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        if let Some(span) = &parts.span {
            inject(span, headers);
        }
    }

    /// Returns the trace id as 32 hexadecimal digits.
    pub(crate) fn id(&self) -> Option<String> {
        match self.span() {
            Some(span) => Some(span.trace_id().to_string()),
            // version-traceid-spanid-flags
            None => Some(self.header("traceparent")?.split('-').nth(1)?.to_owned()),
        }
    }

    /// Returns the parent of a new span: the own span, or the caller's.
    fn parent(&self) -> Context {
        match self.span() {
            Some(span) => Context::new().with_remote_span_context(span.clone()),
            None => {
                TraceContextPropagator::new().extract_with_context(&Context::new(), &Received(self))
            }
        }
    }

    fn span(&self) -> Option<&SpanContext> {
        self.0.as_ref()?.span.as_ref()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let index = TRACE_HEADERS.iter().position(|header| header == name)?;
        self.0.as_ref()?.headers[index].as_ref()?.to_str().ok()
    }
}

/// The received headers, as the propagator reads them.
struct Received<'a>(&'a TraceContext);

impl Extractor for Received<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.header(key)
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}

fn inject(span: &SpanContext, headers: &mut HeaderMap) {
    struct Headers<'a>(&'a mut HeaderMap);
    impl Injector for Headers<'_> {
        fn set(&mut self, key: &str, value: String) {
            let name = HeaderName::from_bytes(key.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                self.0.insert(name, value);
            }
        }
    }
    let context = Context::new().with_remote_span_context(span.clone());
    TraceContextPropagator::new().inject_context(&context, &mut Headers(headers));
}

/// The recorder of one service's spans.
#[derive(Debug)]
pub(crate) struct ServiceTracer {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl ServiceTracer {
    /// Makes a recorder under the service's own name if `ENABLE_TRACING` is on. It exports to
    /// `COLLECTOR_SERVICE_ADDR` (host:port) or to where the standard `OTEL_EXPORTER_OTLP_*` settings say; the SDK
    /// reads the other `OTEL_*` settings itself.
    pub(crate) fn from_env(service: &str, env: &Env) -> anyhow::Result<Option<Self>> {
        if env.flag("ENABLE_TRACING")? != Some(true) {
            return Ok(None);
        }
        let mut exporter = SpanExporter::builder().with_tonic();
        if let Some(collector) = env.get("COLLECTOR_SERVICE_ADDR") {
            let has_scheme = collector.contains("://");
            let endpoint =
                if has_scheme { collector.to_owned() } else { format!("http://{collector}") };
            exporter = exporter.with_endpoint(endpoint);
        }
        let exporter = exporter
            .build()
            .map_err(|_| EnvError::new("COLLECTOR_SERVICE_ADDR", "must be host:port"))?;
        let name = env.get("OTEL_SERVICE_NAME").unwrap_or(service).to_owned();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name(name).build())
            .build();
        Ok(Some(Self { tracer: provider.tracer("boutique-service"), provider }))
    }

    /// Starts a span below `trace`.
    pub(crate) fn start(
        &self,
        name: String,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
        trace: &TraceContext,
    ) -> Span {
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        self.tracer.build_with_context(builder, &trace.parent())
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
