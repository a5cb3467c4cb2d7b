//! The recording of a case: a shop of ten processes under load, first as it should be, then with a fault.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use boutique_test::{Collector, Processes, binary, settings};

use crate::case::{Case, Run};
use crate::files::{self, Recording};

/// The time after the start that is not recorded: connections are opened and caches filled.
const WARM_UP: Duration = Duration::from_secs(3);
/// Two seconds more than is recorded, for the telemetry of the last second to arrive.
const REMAINDER: Duration = Duration::from_secs(2);

/// Records `case` into `folder`.
pub(crate) async fn record(run: &Run, case: &Case, folder: &Path) -> anyhow::Result<()> {
    let (collector, address, _serving) = Collector::start_without_raw().await?;
    let scratch = tempfile::tempdir()?;
    let faults = scratch.path().join("faults.yaml");
    std::fs::write(&faults, "")?;
    let shop = Processes::ten(&settings([
        ("FAULTS", faults.to_str().context("the folder of temporary files is not UTF-8")?),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("ENABLE_TRACING", "1"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        ("TOKIO_WORKER_THREADS", "1"),
    ]))
    .await?;
    let mut load = tokio::process::Command::new(binary("loadgenerator")?)
        .args(["--frontend-addr", &shop.visitor.base, "--users", &run.users.to_string()])
        .args(["--rate", "100", "--wait-min", "0.5", "--wait-max", "1.5"])
        .args(["--check", "status", "--max-error-ratio", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    tokio::time::sleep(WARM_UP).await;
    let began = SystemTime::now();
    tokio::time::sleep(run.normal).await;
    // Whole before it is seen.
    let whole = scratch.path().join("whole.yaml");
    std::fs::write(&whole, &case.faults)?;
    std::fs::rename(whole, &faults)?;
    let injected = SystemTime::now();
    tokio::time::sleep(run.faulty).await;
    let ended = SystemTime::now();
    tokio::time::sleep(REMAINDER).await;
    load.kill().await?;
    let said: Vec<_> = shop.all.iter().map(|process| (process.name, process.output())).collect();
    for (name, output) in said {
        // Without its fault a case would be worthless.
        anyhow::ensure!(!output.contains("the faults before it are kept"), "{name}: {output}");
    }
    // Each is killed: one that hangs would have to be waited for.
    drop(shop);
    let metrics = collector.take_metrics();
    let recording = Recording {
        metrics: crate::signals::table(&metrics, files::seconds(began), files::seconds(ended)),
        lines: collector.lines(),
        spans: collector.spans(),
        times: (began, injected, ended),
    };
    files::write(folder, case, &recording)
}
