//! What a service tells of its calls: spans over OTLP when `ENABLE_TRACING=1`, and the W3C context that
//! goes with every call.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::call::Trace;
use crate::env::{Env, EnvError};

/// How long the last spans may take on the way out.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The recorder of one service's spans.
#[derive(Debug)]
pub(crate) struct Tracing {
    pub(crate) tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl Tracing {
    /// A recorder under the service's own name if `ENABLE_TRACING` says so. It exports to
    /// `COLLECTOR_SERVICE_ADDR` (host:port) or to where the standard `OTEL_EXPORTER_OTLP_*`
    /// settings say; the SDK reads the other `OTEL_*` settings itself.
    pub(crate) fn from_env(service: &str, env: &Env) -> anyhow::Result<Option<Self>> {
        if env.flag("ENABLE_TRACING")? != Some(true) {
            return Ok(None);
        }
        let mut exporter = SpanExporter::builder().with_tonic();
        if let Some(collector) = env.get("COLLECTOR_SERVICE_ADDR") {
            let endpoint = match collector.contains("://") {
                true => collector.to_owned(),
                false => format!("http://{collector}"),
            };
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

    /// Exports what is left, within a bound. The SDK blocks, so this runs beside the runtime.
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

/// The span context a trace came with.
pub(crate) fn extract(trace: &Trace) -> Context {
    struct Headers<'a>(&'a Trace);
    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.header(key)
        }
        fn keys(&self) -> Vec<&str> {
            Vec::new()
        }
    }
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(trace))
}

/// Writes a span's context into outgoing headers.
pub(crate) fn inject(span: &SpanContext, headers: &mut HeaderMap) {
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
