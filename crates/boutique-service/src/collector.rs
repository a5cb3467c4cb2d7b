//! The address of the collector.

use crate::env::{Env, EnvError};
use crate::net::Target;

/// The port of OTLP over gRPC.
const PORT: u16 = 4317;

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

/// Returns the URL for metrics: that, or what the standard settings say.
pub(crate) fn endpoint(env: &Env) -> Result<String, EnvError> {
    let standard = ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let standard = || standard.iter().find_map(|name| env.get(name)).map(str::to_owned);
    let address = address(env)?.or_else(standard);
    Ok(address.unwrap_or_else(|| format!("http://localhost:{PORT}")))
}
