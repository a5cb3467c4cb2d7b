//! A real OpenTelemetry Collector, between the shop and Jaeger.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::{Child, Command};

use crate::visitor::PATIENCE;
use crate::{free_address, until_open};

/// The configuration that the compose profile has.
const CONFIG: &str = include_str!("../../../observability/compose/collector.yaml");

/// A collector that hands on what it takes. Dropping it ends it.
pub struct Relay {
    child: Child,
    /// The address at which it takes OTLP over gRPC.
    pub address: String,
    _folder: tempfile::TempDir,
}

impl Relay {
    /// Starts `otelcol`, which hands spans on to the Jaeger at this address.
    pub async fn start(jaeger: &str) -> anyhow::Result<Self> {
        // The collector does not say which port it was given.
        let address = free_address()?.to_string();
        let mut config = CONFIG.to_owned();
        for (ours, here) in [
            ("0.0.0.0:4317", address.as_str()),
            ("jaeger:4317", jaeger),
            // Its own metrics would have the same port in every test.
            ("service:\n", "service:\n  telemetry: {metrics: {level: none}}\n"),
        ] {
            ensure!(config.contains(ours), "the configuration has no {ours}");
            config = config.replace(ours, here);
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("collector.yaml");
        std::fs::write(&file, config)?;
        let child = Command::new("otelcol")
            .arg(format!("--config={}", file.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("no otelcol: tests/delivery/install compiles it")?;
        until_open(&address).await?;
        Ok(Self { child, address, _folder: folder })
    }

    /// Ends it, after it has handed on what it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("the collector is gone")?;
        let sent = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        ensure!(sent.success(), "cannot stop the collector");
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ensure!(ended.context("the collector does not end")??.success(), "the collector failed");
        Ok(())
    }
}
