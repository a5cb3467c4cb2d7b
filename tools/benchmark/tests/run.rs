//! The benchmark as a process, with binaries of whatever profile the test has: what it measures is real,
//! how fast that is does not matter here. They must be built: `cargo build --workspace`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn benchmark(arguments: &[&str]) -> (Output, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("figures.json"), folder.path().join("report.html"));
    let output = Command::new(env!("CARGO_BIN_EXE_benchmark"))
        .args(arguments)
        .args(["--rounds", "1", "--seconds", "1", "--idle", "1", "--json"])
        .arg(&json)
        .arg("--report")
        .arg(&html)
        .output()
        .unwrap();
    let figures = std::fs::read(&json).ok().and_then(|json| serde_json::from_slice(&json).ok());
    let page = std::fs::read_to_string(&html).unwrap_or_default();
    (output, figures.unwrap_or_default(), page)
}

fn said(output: &Output) -> String {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{stdout}{stderr}")
}

/// The whole shop in one process, and where it is.
fn shop() -> (Child, String) {
    let own = std::path::Path::new(env!("CARGO_BIN_EXE_benchmark"));
    let mut shop = Command::new(own.with_file_name("boutique"))
        .env_clear()
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(shop.stdout.take().unwrap()).lines();
    let open = lines.map(Result::unwrap).find(|line| line.contains("http://localhost:")).unwrap();
    let port = open.split("localhost:").nth(1).unwrap().trim_end_matches('/').to_owned();
    (shop, format!("127.0.0.1:{port}"))
}

#[test]
fn our_shop_is_measured_beside_its_baselines() {
    let (output, figures, page) = benchmark(&["run"]);
    assert!(output.status.success(), "{}", said(&output));
    let systems = figures["systems"].as_array().unwrap();
    assert_eq!(systems.len(), 6, "{figures}");
    for system in systems {
        let mix = &system["loads"]["shop mix"];
        assert!(mix["cpu_us"].as_f64() > Some(0.0), "{system}");
        assert!(system["loaded_mb"].as_f64() > Some(0.0), "{system}");
    }
    let figures = figures["figures"].as_array().unwrap();
    assert!(figures.len() >= 14 && figures.iter().all(|figure| figure["found"].is_number()));
    assert!(
        page.matches("<svg").count() == 5 && !page.contains("src="),
        "it needs nothing but itself"
    );
}

#[test]
fn any_shop_is_measured_by_its_address() {
    let (mut shop, address) = shop();
    let meter = format!("everything={}", shop.id());
    let (output, figures, _) =
        benchmark(&["measure", "--target", &address, "--label", "theirs", "--meter", &meter]);
    shop.kill().unwrap();
    shop.wait().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let system = &figures["systems"][0];
    assert_eq!(system["system"], "theirs");
    for load in ["shop mix", "home", "product", "cart of 2"] {
        assert!(system["loads"][load]["parts_us"]["everything"].as_f64() > Some(0.0), "{system}");
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    let own = format!("a={}", std::process::id());
    for (meter, saying) in [
        (own.as_str(), "did not open"),
        ("a=999999999", "/proc/999999999"),
        ("a=/nowhere", "neither a process id nor"),
        ("1", "name=pid"),
    ] {
        let arguments = ["--target", "127.0.0.1:1", "--meter", meter];
        let (output, ..) =
            benchmark(&[&["measure", "--wait-for-shop", "100ms"], &arguments[..]].concat());
        assert!(!output.status.success() && said(&output).contains(saying), "{}", said(&output));
    }
}
