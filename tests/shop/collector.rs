//! An OTLP receiver in this process: takes spans and metrics the way a collector does, and keeps them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use boutique_proto::Handlers;
use boutique_service::{Env, Registry, Router, ServerHandle, ServiceSpec, spawn};
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
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics};
use tonic::{Request, Response, Status};

/// One span as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) parent: Vec<u8>,
    /// The attribute `fault.name`.
    pub(crate) fault: Option<String>,
    /// The attribute `db.system.name`.
    pub(crate) store: Option<String>,
    pub(crate) is_error: bool,
    /// The traces that it links to.
    pub(crate) links: Vec<Vec<u8>>,
}

#[derive(Clone, Default)]
pub(crate) struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<ResourceMetrics>>>,
    /// Everything received, printed, for a scan.
    raw: Arc<Mutex<String>>,
}

impl Collector {
    pub(crate) async fn start() -> anyhow::Result<(Self, String, ServerHandle)> {
        let (collector, running) = Self::start_at("127.0.0.1:0").await?;
        let address = running.address().unwrap().to_string();
        Ok((collector, address, running))
    }

    pub(crate) async fn start_at(address: &str) -> anyhow::Result<(Self, ServerHandle)> {
        let collector = Self::default();
        let service = ServiceSpec::unlisted("collector", "COLLECTOR_SERVICE_ADDR");
        let app = Router::grpc((TraceServiceServer::new(collector.clone()), Handlers::default()))
            .add_grpc((MetricsServiceServer::new(collector.clone()), Handlers::default()));
        let (host, port) = address.rsplit_once(':').unwrap();
        let env = Env::from([("LISTEN_ADDR", host), ("PORT", port)]);
        let running = spawn(service, &env, &Registry::default(), app).await?;
        Ok((collector, running))
    }

    /// The spans of every trace that has a span of this name.
    pub(crate) fn traces_with(&self, name: &str) -> Vec<Vec<Span>> {
        let spans = self.spans.lock().unwrap();
        let mut traces: Vec<_> =
            spans.iter().filter(|span| span.name == name).map(|span| span.trace.clone()).collect();
        traces.sort();
        traces.dedup();
        let of =
            |trace: Vec<u8>| spans.iter().filter(|span| span.trace == trace).cloned().collect();
        traces.into_iter().map(of).collect()
    }

    /// The metrics of a service as it sent them last, by name.
    pub(crate) fn metrics(&self, service: &str) -> BTreeMap<String, Metric> {
        let received = self.metrics.lock().unwrap();
        let own = received.iter().filter(|metrics| {
            let resource = metrics.resource.as_ref().unwrap();
            text(&resource.attributes, "service.name").as_deref() == Some(service)
        });
        let metrics = own.flat_map(|own| &own.scope_metrics).flat_map(|scope| &scope.metrics);
        metrics.map(|metric| (metric.name.clone(), metric.clone())).collect()
    }

    pub(crate) fn raw(&self) -> String {
        self.raw.lock().unwrap().clone()
    }
}

/// The text of an attribute, if it is there.
fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|pair| pair.key == key)?;
    let Value::StringValue(text) = found.value.as_ref()?.value.as_ref()? else { return None };
    Some(text.clone())
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let request = request.into_inner();
        self.raw.lock().unwrap().push_str(&format!("{request:?}\n"));
        self.metrics.lock().unwrap().extend(request.resource_metrics);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        self.raw.lock().unwrap().push_str(&format!("{request:?}\n"));
        let mut spans = self.spans.lock().unwrap();
        for resource_spans in request.resource_spans {
            let attributes = resource_spans.resource.map(|r| r.attributes).unwrap_or_default();
            let service = text(&attributes, "service.name").unwrap_or_default();
            for span in resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(Span {
                    service: service.clone(),
                    name: span.name,
                    trace: span.trace_id,
                    id: span.span_id,
                    parent: span.parent_span_id,
                    fault: text(&span.attributes, "fault.name"),
                    store: text(&span.attributes, "db.system.name"),
                    is_error: span.status.is_some_and(|status| status.code == 2),
                    links: span.links.into_iter().map(|link| link.trace_id).collect(),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
