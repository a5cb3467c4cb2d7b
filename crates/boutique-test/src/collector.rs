//! An OTLP receiver in this process: takes spans, metrics and log records the way a collector does, and keeps them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use boutique_proto::Handlers;
use boutique_service::{Env, Registry, Router, ServerHandle, ServiceSpec, spawn};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

const FREE_PORT: &str = "127.0.0.1:0";

/// The attributes of a span, a log record or a data point, as text.
pub type Attributes = BTreeMap<String, String>;

/// One span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// The service that sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// The id of its trace.
    pub trace: Vec<u8>,
    /// Its own id.
    pub id: Vec<u8>,
    /// The id of its parent; empty without one.
    pub parent: Vec<u8>,
    /// Its begin and end, in nanoseconds since 1970.
    pub time: (u64, u64),
    /// Its attributes.
    pub attributes: Attributes,
    /// True if its status is an error.
    pub is_error: bool,
    /// The traces that it links to.
    pub links: Vec<Vec<u8>>,
}

/// One log record as it arrived.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// The service that sent it.
    pub service: String,
    /// Its time, in nanoseconds since 1970.
    pub time: u64,
    /// Its severity, as the log has it.
    pub severity: String,
    /// Its message.
    pub message: String,
    /// Its other fields.
    pub attributes: Attributes,
    /// The ids of its trace and span; empty without one.
    pub trace: (Vec<u8>, Vec<u8>),
}

/// The receiver.
#[derive(Clone, Default)]
pub struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    lines: Arc<Mutex<Vec<LogLine>>>,
    /// By service, in the order of their arrival.
    metrics: Arc<Mutex<Vec<(String, Metric)>>>,
    /// The text of all requests, if it is kept.
    raw: Option<Arc<Mutex<String>>>,
    /// Of each request whose text is kept.
    metadata: Arc<Mutex<Vec<MetadataMap>>>,
}

impl Collector {
    /// Starts one on a free port of loopback, and returns its address as well.
    pub async fn start() -> anyhow::Result<(Self, String, ServerHandle)> {
        Self::start_at(FREE_PORT).await
    }

    /// Starts one on a free port of loopback that does not keep what [`Collector::raw`] returns.
    pub async fn start_without_raw() -> anyhow::Result<(Self, String, ServerHandle)> {
        Self::default().serve(FREE_PORT).await
    }

    /// Starts one at this address.
    pub async fn start_at(address: &str) -> anyhow::Result<(Self, String, ServerHandle)> {
        Self { raw: Some(Arc::default()), ..Self::default() }.serve(address).await
    }

    async fn serve(self, address: &str) -> anyhow::Result<(Self, String, ServerHandle)> {
        let service = ServiceSpec::unlisted("collector", "COLLECTOR_SERVICE_ADDR");
        let app = Router::grpc((TraceServiceServer::new(self.clone()), Handlers::default()))
            .add_grpc((MetricsServiceServer::new(self.clone()), Handlers::default()))
            .add_grpc((LogsServiceServer::new(self.clone()), Handlers::default()));
        let (host, port) = address.rsplit_once(':').context("no port")?;
        let env = Env::from([("LISTEN_ADDR", host), ("PORT", port)]);
        let running = spawn(service, &env, &Registry::default(), app).await?;
        let address = running.address().context("it listens nowhere")?.to_string();
        Ok((self, address, running))
    }

    fn keep<T: std::fmt::Debug>(&self, request: Request<T>) -> T {
        let (metadata, _, request) = request.into_parts();
        if let Some(raw) = &self.raw {
            self.metadata.lock().unwrap().push(metadata);
            raw.lock().unwrap().push_str(&format!("{request:?}\n"));
        }
        request
    }

    /// Returns how many requests had this value in their metadata.
    pub fn requests_with(&self, key: &str, value: &str) -> usize {
        let metadata = self.metadata.lock().unwrap();
        metadata.iter().filter(|map| map.get(key).is_some_and(|own| own == value)).count()
    }

    /// Returns the spans of every trace that has a span of this name.
    pub fn traces_with(&self, name: &str) -> Vec<Vec<Span>> {
        traces_with(&self.spans.lock().unwrap(), name)
    }

    /// Returns all spans.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Returns all log records.
    pub fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap().clone()
    }

    /// Returns the metrics of a service as it sent them last, by name.
    pub fn metrics(&self, service: &str) -> BTreeMap<String, Metric> {
        let received = self.metrics.lock().unwrap();
        let own = received.iter().filter(|(sender, _)| sender == service);
        own.map(|(_, metric)| (metric.name.clone(), metric.clone())).collect()
    }

    /// Takes all metrics out, with their services, in the order of their arrival.
    pub fn take_metrics(&self) -> Vec<(String, Metric)> {
        std::mem::take(&mut *self.metrics.lock().unwrap())
    }

    /// Returns all that was received as text.
    pub fn raw(&self) -> String {
        self.raw.as_ref().map(|raw| raw.lock().unwrap().clone()).unwrap_or_default()
    }
}

/// Returns the spans of every trace that has a span of this name.
pub fn traces_with(spans: &[Span], name: &str) -> Vec<Vec<Span>> {
    let mut traces: Vec<_> =
        spans.iter().filter(|span| span.name == name).map(|span| span.trace.clone()).collect();
    traces.sort();
    traces.dedup();
    let of = |trace: Vec<u8>| spans.iter().filter(|span| span.trace == trace).cloned().collect();
    traces.into_iter().map(of).collect()
}

/// Returns the attributes as text.
pub fn attributes(pairs: &[KeyValue]) -> Attributes {
    let text = |pair: &KeyValue| {
        Some(match pair.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => text.clone(),
            Value::BoolValue(value) => value.to_string(),
            Value::IntValue(value) => value.to_string(),
            Value::DoubleValue(value) => value.to_string(),
            Value::ArrayValue(_)
            | Value::KvlistValue(_)
            | Value::BytesValue(_)
            | Value::StringValueStrindex(_) => return None,
        })
    };
    pairs.iter().filter_map(|pair| Some((pair.key.clone(), text(pair)?))).collect()
}

/// Returns an id of a trace or a span as hexadecimal digits.
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the service of a resource.
fn service(resource: Option<Resource>) -> String {
    let mut attributes = attributes(&resource.unwrap_or_default().attributes);
    attributes.remove("service.name").unwrap_or_default()
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let request = self.keep(request);
        let mut metrics = self.metrics.lock().unwrap();
        for resource in request.resource_metrics {
            let service = service(resource.resource);
            let own = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            metrics.extend(own.map(|metric| (service.clone(), metric)));
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let request = self.keep(request);
        let mut lines = self.lines.lock().unwrap();
        for resource in request.resource_logs {
            let service = service(resource.resource);
            for record in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                let body = KeyValue { value: record.body, ..Default::default() };
                let message = attributes(&[body]).into_values().next();
                lines.push(LogLine {
                    service: service.clone(),
                    time: record.time_unix_nano,
                    severity: record.severity_text,
                    message: message.unwrap_or_default(),
                    attributes: attributes(&record.attributes),
                    trace: (record.trace_id, record.span_id),
                });
            }
        }
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = self.keep(request);
        let mut spans = self.spans.lock().unwrap();
        for resource in request.resource_spans {
            let service = service(resource.resource);
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(Span {
                    service: service.clone(),
                    name: span.name,
                    trace: span.trace_id,
                    id: span.span_id,
                    parent: span.parent_span_id,
                    time: (span.start_time_unix_nano, span.end_time_unix_nano),
                    attributes: attributes(&span.attributes),
                    is_error: span.status.is_some_and(|status| status.code == 2),
                    links: span.links.into_iter().map(|link| link.trace_id).collect(),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
