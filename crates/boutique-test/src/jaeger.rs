//! A real Jaeger, the trace store of the compose profile.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::collector::{Attributes, Span};
use crate::visitor::{PATIENCE, Visitor};
use crate::{free_address, until_open};

/// The options for the ports that no test uses.
const OTHER_PORTS: [&str; 5] = [
    "admin.http",
    "collector.grpc-server",
    "collector.http-server",
    "collector.otlp.http",
    "query.grpc-server",
];

/// A Jaeger that keeps traces in memory. Dropping it ends it.
pub struct Jaeger {
    _child: Child,
    client: Visitor,
    /// The address at which it takes OTLP over gRPC.
    pub address: String,
}

impl Jaeger {
    /// Starts `jaeger` as the compose profile does.
    pub async fn start() -> anyhow::Result<Self> {
        // Jaeger does not say which ports it was given.
        let (address, pages) = (free_address()?.to_string(), free_address()?.to_string());
        let child = Command::new("jaeger")
            .arg(format!("--collector.otlp.grpc.host-port={address}"))
            .arg(format!("--query.http-server.host-port={pages}"))
            .args(OTHER_PORTS.map(|option| format!("--{option}.host-port=127.0.0.1:0")))
            .env("MEMORY_MAX_TRACES", "20000")
            // Of its own requests.
            .env("OTEL_TRACES_SAMPLER", "always_off")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("no jaeger: tests/delivery/install compiles it")?;
        until_open(&address).await?;
        until_open(&pages).await?;
        Ok(Self { _child: child, client: Visitor::new(format!("http://{pages}")), address })
    }

    /// Returns the spans of all traces in which this service has one.
    async fn spans(&self, service: &str) -> anyhow::Result<Vec<Span>> {
        let path = format!("/api/traces?service={service}&limit=1000");
        let answer: Value = serde_json::from_str(&self.client.clone().get(&path).await.body)?;
        ensure!(answer["errors"].is_null(), "{answer}");
        let traces = answer["data"].as_array().into_iter().flatten();
        traces.flat_map(spans).collect::<Option<_>>().context("a span is not whole")
    }

    /// Waits until the spans of all traces in which this service has one pass a check: Jaeger keeps what it takes a moment
    /// later.
    pub async fn until(
        &self,
        service: &str,
        check: impl Fn(&[Span]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let result = check(&self.spans(service).await?);
            if result.is_ok() || began.elapsed() > PATIENCE {
                return result.context("Jaeger never has it");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Returns the spans of a trace as its API has it; `None` in the place of one that lacks something.
fn spans(trace: &Value) -> Vec<Option<Span>> {
    let spans = trace["spans"].as_array().into_iter().flatten();
    spans.map(|span| read(span, &trace["processes"])).collect()
}

fn read(span: &Value, processes: &Value) -> Option<Span> {
    let (begin, duration) = (span["startTime"].as_u64()?, span["duration"].as_u64()?);
    let references = span["references"].as_array()?;
    let of_kind = |kind: &str, id: &str| {
        let own = references.iter().filter(|reference| reference["refType"] == kind);
        own.map(|reference| bytes(&reference[id])).collect::<Option<Vec<_>>>()
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let tags = span["tags"].as_array()?.iter();
    let attributes: Attributes = tags
        .filter_map(|tag| Some((tag["key"].as_str()?.to_owned(), text(&tag["value"]))))
        .collect();
    Some(Span {
        service: processes[span["processID"].as_str()?]["serviceName"].as_str()?.to_owned(),
        name: span["operationName"].as_str()?.to_owned(),
        trace: bytes(&span["traceID"])?,
        id: bytes(&span["spanID"])?,
        parent: of_kind("CHILD_OF", "spanID")?.into_iter().next().unwrap_or_default(),
        time: (begin * 1000, (begin + duration) * 1000),
        is_error: attributes.get("error").is_some_and(|error| error == "true"),
        attributes,
        links: of_kind("FOLLOWS_FROM", "traceID")?,
    })
}

/// Reads an id of hexadecimal digits.
fn bytes(id: &Value) -> Option<Vec<u8>> {
    let digits = id.as_str()?;
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}
