//! The collector: the way to it, and what everything sent to it over OTLP bears.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use percent_encoding::percent_decode_str;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::env::{Env, EnvError};
use crate::net::Target;

/// The port of OTLP over gRPC.
const PORT: u16 = 4317;
/// The longest time of an export where no setting has one; OpenTelemetry's.
const TIMEOUT: Duration = Duration::from_secs(10);

const PLAIN_TEXT: &str = "must be reached without TLS: telemetry is exported in plain text";

/// The settings that name the exporters of a signal.
pub(crate) const METRICS: &str = "OTEL_METRICS_EXPORTER";
pub(crate) const LOGS: &str = "OTEL_LOGS_EXPORTER";

/// Returns true if a signal is sent to the collector, by the setting that names its exporters.
pub(crate) fn is_wanted(env: &Env, setting: &str) -> bool {
    env.get(setting).is_some_and(|list| list.split(',').any(|exporter| exporter.trim() == "otlp"))
}

/// A signal, as the standard settings name it: `OTEL_EXPORTER_OTLP_TRACES_HEADERS`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// The way of one signal to the collector; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    grpc: Grpc<Channel>,
    path: PathAndQuery,
    headers: HeaderMap,
    timeout: Duration,
    runtime: Handle,
}

impl Collector {
    /// Reads `COLLECTOR_SERVICE_ADDR` and the standard settings of a signal: `OTEL_EXPORTER_OTLP_ENDPOINT`, `_HEADERS` and
    /// `_TIMEOUT`, each with the signal's own before that of all. Connects when something is exported, and exports on the
    /// runtime that this is called on.
    pub(crate) fn from_env(env: &Env, signal: Signal) -> Result<Self, EnvError> {
        let standard = Standard { env, signal };
        let endpoint = match address(env)? {
            Some(endpoint) => endpoint,
            None => standard.endpoint()?,
        };
        let timeout = standard.timeout();
        standard.warn_of_others();
        let grpc = Grpc::new(endpoint.connect_timeout(timeout).connect_lazy());
        let path = PathAndQuery::from_static(match signal {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        });
        let headers = standard.headers()?;
        Ok(Self { grpc, path, headers, timeout, runtime: Handle::current() })
    }

    /// Returns the longest time of an export; 10 seconds where no setting says otherwise, as OpenTelemetry has it.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Exports the encoded message of a request, in time or not at all. The thread that waits needs no runtime.
    pub(crate) async fn export(&self, message: Bytes) -> Result<(), Status> {
        let Self { mut grpc, path, headers, timeout, runtime } = self.clone();
        let call = async move {
            grpc.ready().await.map_err(|_| Status::unavailable("cannot connect"))?;
            let metadata = MetadataMap::from_headers(headers);
            let request = Request::from_parts(metadata, Extensions::default(), message);
            grpc.unary(request, path, Encoded).await.map(Response::into_inner)
        };
        // tonic's own timeout ends with the headers of an answer.
        let in_time = async move { tokio::time::timeout(timeout, call).await };
        let late = |_| Err(Status::deadline_exceeded("not taken in time"));
        let result = AbortOnDropHandle::new(runtime.spawn(in_time)).await;
        result.map_err(|_| Status::unavailable("the process ends"))?.unwrap_or_else(late)
    }
}

/// The codec of messages that are encoded already. Of answers it is enough that they come.
#[derive(Debug, Clone, Copy)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        message.advance(message.remaining());
        Ok(Some(()))
    }
}

/// Returns `COLLECTOR_SERVICE_ADDR`, if it is set.
fn address(env: &Env) -> Result<Option<Endpoint>, EnvError> {
    let Some(collector) = env.get("COLLECTOR_SERVICE_ADDR") else { return Ok(None) };
    let wrong = |problem| EnvError::new("COLLECTOR_SERVICE_ADDR", problem);
    let target =
        Target::parse(collector, Some(PORT)).ok_or_else(|| wrong("must be host[:port]"))?;
    if target.is_tls {
        return Err(wrong(PLAIN_TEXT));
    }
    let endpoint = Endpoint::from_shared(format!("http://{}", target.authority));
    endpoint.map(Some).map_err(|_| wrong("must be host[:port]"))
}

/// The settings of OpenTelemetry for a signal.
struct Standard<'a> {
    env: &'a Env,
    signal: Signal,
}

impl Standard<'_> {
    /// Returns a setting and its name: the signal's own, or that of all signals.
    fn get(&self, setting: &str) -> Option<(String, &str)> {
        [format!("{:?}_{setting}", self.signal), setting.to_owned()].into_iter().find_map(|name| {
            let name = format!("OTEL_EXPORTER_OTLP_{}", name.to_uppercase());
            self.env.get(&name).map(|value| (name.clone(), value))
        })
    }

    fn endpoint(&self) -> Result<Endpoint, EnvError> {
        let Some((name, text)) = self.get("endpoint") else {
            return Ok(Endpoint::from_static("http://localhost:4317"));
        };
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let wrong = |problem| EnvError::new(&name, problem);
        if url.starts_with("https:") {
            return Err(wrong(PLAIN_TEXT));
        }
        Endpoint::from_shared(url).map_err(|_| wrong("must be a URL such as http://host:4317"))
    }

    /// A number that is none is ignored with a warning, as OpenTelemetry's specification says.
    fn timeout(&self) -> Duration {
        let Some((name, text)) = self.get("timeout") else { return TIMEOUT };
        let millis = text.trim().parse().ok().filter(|millis| *millis > 0);
        millis.map(Duration::from_millis).unwrap_or_else(|| {
            self.env.warn_ignored(&name, "it must be a number of milliseconds");
            TIMEOUT
        })
    }

    /// Names the settings that ask for what is not here.
    fn warn_of_others(&self) {
        for (setting, here) in [("protocol", "grpc"), ("compression", "none")] {
            if let Some((name, value)) = self.get(setting)
                && value != here
            {
                self.env.warn_ignored(&name, format_args!("there is {here}"));
            }
        }
    }

    /// Parses `key=value,key=value`, of which values are percent-encoded.
    fn headers(&self) -> Result<HeaderMap, EnvError> {
        let Some((name, list)) = self.get("headers") else { return Ok(HeaderMap::new()) };
        let parse = |pair: &str| {
            let (key, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((key.trim().parse::<HeaderName>().ok()?, value))
        };
        let pairs = list.split(',').filter(|pair| !pair.trim().is_empty());
        let wrong = || EnvError::new(&name, "must be a list of key=value");
        pairs.map(parse).collect::<Option<_>>().ok_or_else(wrong)
    }
}

/// The scope of metrics and log records.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "boutique-service".to_owned(), ..Default::default() }
}

/// Makes a resource of its attributes.
pub(crate) fn resource(attributes: Vec<(String, String)>) -> Resource {
    Resource { attributes: attributes.into_iter().map(attribute).collect(), ..Default::default() }
}

/// Makes an attribute that is a text.
pub(crate) fn attribute((key, value): (String, String)) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key, value, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::TcpListener;
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn settings_of_a_signal_come_before_those_of_all() {
        let env = Env::from([
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "700"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20QQ%3D%3D, tenant=shop,"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "tenant=logs"),
        ]);
        let of = |signal| Collector::from_env(&env, signal).unwrap();
        let timeouts = [Signal::Traces, Signal::Logs, Signal::Metrics].map(|s| of(s).timeout());
        assert_eq!(timeouts, [Duration::from_millis(500), Duration::from_millis(700), TIMEOUT]);
        let headers = of(Signal::Traces).headers;
        assert_eq!(headers["authorization"], "Basic QQ==");
        assert_eq!(headers["tenant"], "shop");
        assert!(!format!("{headers:?}").contains("QQ"), "a secret");
        let headers = of(Signal::Logs).headers;
        assert_eq!((headers.len(), &headers["tenant"]), (1, &HeaderValue::from_static("logs")));
    }

    #[tokio::test]
    async fn export_ends_in_time_although_its_answer_never_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // Answers with headers, and never with the message.
        let answer = |_| async {
            let nothing = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
            let answer = http::Response::builder().header("content-type", "application/grpc");
            Ok::<_, Infallible>(answer.body(StreamBody::new(nothing)).unwrap())
        };
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let connection = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            connection.await
        });
        let env = Env::from([
            ("COLLECTOR_SERVICE_ADDR", address.as_str()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
        ]);
        let collector = Collector::from_env(&env, Signal::Traces).unwrap();
        let exporting = collector.export(Bytes::new());
        let result = tokio::time::timeout(Duration::from_secs(20), exporting).await;
        assert_eq!(result.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn what_cannot_be_reached_is_refused() {
        for (name, value) in [
            ("COLLECTOR_SERVICE_ADDR", "a:b"),
            ("COLLECTOR_SERVICE_ADDR", "https://collector:4317"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "a b"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "key=%00"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a b=secret"),
        ] {
            let refusal = Collector::from_env(&Env::from([(name, value)]), Signal::Traces);
            let refusal = refusal.unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("{name} must")), "{value}: {refusal}");
            assert!(!refusal.contains("secret"), "{refusal}");
        }
        for address in ["collector:4317", "http://collector:4317", "http://collector:4317/"] {
            let env = Env::from([("OTEL_EXPORTER_OTLP_ENDPOINT", address)]);
            assert!(Collector::from_env(&env, Signal::Metrics).is_ok(), "{address}");
        }
    }
}
