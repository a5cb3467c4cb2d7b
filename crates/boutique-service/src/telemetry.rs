//! What a process tells about itself: log lines in the shape of upstream's Go services, and spans
//! over OTLP when `ENABLE_TRACING=1`.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::call::{Call, Trace};
use crate::env::{Env, EnvError};

/// How long the last spans may take on the way out.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Installs the process's log: `RUST_LOG` as a list of `target=level`, `info` by default. Where a
/// log stands already, as in tests, it stays.
pub(crate) fn install_log(env: &Env) -> Result<(), EnvError> {
    let filter = env
        .parse::<Targets>("RUST_LOG", "a list such as info or info,cartservice=debug")?
        .unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    if tracing_subscriber::registry().with(JsonLines.with_filter(filter)).try_init().is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // Only a literal is safe to print: a formatted text may hold what a customer sent.
            let text = panic.payload().downcast_ref::<&str>().unwrap_or(&"see the location");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(code.location = place, "panicked: {text}");
        }));
    }
    Ok(())
}

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

/// Writes each event as one line of JSON on stdout: `timestamp`, `severity`, `message`, then the
/// fields flat beside them.
struct JsonLines;

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _context: LayerContext<'_, S>) {
        let mut line = Map::new();
        let mut timestamp = String::new();
        if SystemTime.format_time(&mut Writer::new(&mut timestamp)).is_ok() {
            line.insert("timestamp".to_owned(), timestamp.into());
        }
        line.insert("severity".to_owned(), severity(*event.metadata().level()).into());
        line.insert("message".to_owned(), Value::Null);
        if let Some(name) = Call::peek(|call| call.identity.name) {
            line.insert("service.name".to_owned(), name.into());
        }
        if let Some(trace_id) = crate::call::trace_id() {
            line.insert("trace_id".to_owned(), trace_id.into());
        }
        event.record(&mut Fields(&mut line));

        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        // There is nobody left to tell when stdout is gone.
        let _ = std::io::stdout().lock().write_all(&bytes);
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.put(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}
