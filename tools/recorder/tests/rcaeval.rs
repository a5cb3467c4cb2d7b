//! Cases as researchers use them: recorded by the command, read by RCAEval's own loaders with pandas, and solved by one of
//! its baselines.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

fn recorder(arguments: &[&str]) -> anyhow::Result<Output> {
    let output = Command::new(env!("CARGO_BIN_EXE_recorder")).args(arguments).output()?;
    Ok(output)
}

/// The services in the order in which the baseline suspects them.
fn suspects(case: &Path) -> anyhow::Result<Vec<String>> {
    let rank = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/rcaeval/rank");
    let output = Command::new("rcaeval-python").arg(rank).arg(case).output();
    let output = output.context("no rcaeval-python: tests/delivery/install installs it")?;
    ensure!(output.status.success(), "{}", text(&output.stderr));
    Ok(text(&output.stdout).lines().map(str::to_owned).collect())
}

#[test]
fn recorded_cases_are_solved_by_a_baseline_of_rcaeval() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().to_str().context("no UTF-8")?;
    let arguments = |(service, kind, normal, faulty)| {
        let times = ["dataset", dir, "--normal", normal, "--faulty", faulty, "--repetitions", "1"];
        [&times[..], &["--services", service, "--kinds", kind]].concat()
    };
    // A delay is seen in each caller as well, and takes more seconds to be told apart.
    let cases =
        [("shippingservice", "delay", "24s", "16s"), ("productcatalogservice", "mem", "12s", "8s")];
    for recorded in cases {
        let output = recorder(&arguments(recorded))?;
        let (service, kind, ..) = recorded;
        ensure!(output.status.success(), "{}", text(&output.stderr));
        let case = folder.path().join(format!("{service}_{kind}/1"));
        let truth = std::fs::read(case.join("ground_truth.json"))?;
        let truth: serde_json::Value = serde_json::from_slice(&truth)?;
        assert_eq!((&truth["service"], &truth["fault"]), (&service.into(), &kind.into()));
        let suspects = suspects(&case)?;
        let place = suspects.iter().position(|suspect| suspect == service);
        assert!(place.is_some_and(|place| place < 3), "{service} {kind}: {suspects:?}");
    }
    // What is complete is kept.
    let began = std::time::Instant::now();
    assert!(recorder(&arguments(cases[0]))?.status.success());
    assert!(began.elapsed().as_secs() < 10);
    Ok(())
}

#[test]
fn mistaken_arguments_are_refused() -> anyhow::Result<()> {
    for arguments in [
        &["case", "--service", "cart", "--fault", "a", "--faults", "/dev/null", "x"][..],
        &["case", "--service", "cartservice", "--fault", "a_b", "--faults", "/dev/null", "x"],
        &["dataset", "x", "--kinds", "flood"],
        &["dataset", "x", "--services", "cart"],
        &["dataset"],
    ] {
        let output = recorder(arguments)?;
        assert!(!output.status.success() && !output.stderr.is_empty(), "{arguments:?}");
    }
    assert!(!Path::new("x").exists());
    Ok(())
}
