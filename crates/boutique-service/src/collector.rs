//! The collector: its address, and what everything sent to it over OTLP bears.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::env::{Env, EnvError};
use crate::net::Target;

/// The port of OTLP over gRPC.
const PORT: u16 = 4317;

/// The settings that name the exporters of a signal.
pub(crate) const METRICS: &str = "OTEL_METRICS_EXPORTER";
pub(crate) const LOGS: &str = "OTEL_LOGS_EXPORTER";

/// Returns true if a signal is sent to the collector, by the setting that names its exporters.
pub(crate) fn is_wanted(env: &Env, setting: &str) -> bool {
    env.get(setting).is_some_and(|list| list.split(',').any(|exporter| exporter.trim() == "otlp"))
}

/// Returns the URL of `COLLECTOR_SERVICE_ADDR`, if it is set.
pub(crate) fn address(env: &Env) -> Result<Option<String>, EnvError> {
    let Some(collector) = env.get("COLLECTOR_SERVICE_ADDR") else { return Ok(None) };
    let wrong = |problem| EnvError::new("COLLECTOR_SERVICE_ADDR", problem);
    let target =
        Target::parse(collector, Some(PORT)).ok_or_else(|| wrong("must be host[:port]"))?;
    if target.is_tls {
        return Err(wrong("must be reached without TLS: telemetry is exported in plain text"));
    }
    Ok(Some(format!("http://{}", target.authority)))
}

/// Returns the URL for a signal: that, or what the standard settings say, of which `own` is the signal's.
pub(crate) fn endpoint(env: &Env, own: &str) -> Result<String, EnvError> {
    let standard = [own, "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let standard = || standard.iter().find_map(|name| env.get(name)).map(str::to_owned);
    let address = address(env)?.or_else(standard);
    Ok(address.unwrap_or_else(|| format!("http://localhost:{PORT}")))
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
