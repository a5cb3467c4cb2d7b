//! Rules and alerts: by Prometheus's own tests of rules, and with a shop that fails.

use std::collections::BTreeSet;
use std::process::Command;

use boutique_proto::services::SERVICES;
use boutique_test::{Fault, FaultyProxy, Processes, Prometheus, RedisServer, settings};

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The words of a text after each `mark`.
fn after<'a>(text: &'a str, mark: &'a str) -> BTreeSet<&'a str> {
    text.split(mark).skip(1).map(|rest| rest.split(['\n', ' ', ',', '}']).next().unwrap()).collect()
}

#[test]
fn every_alert_has_a_case_and_a_runbook() {
    let rules = read("observability/rules.yaml");
    let alerts = after(&rules, "- alert: ");
    assert!(alerts.len() >= 10, "{alerts:?}");
    assert_eq!(after(&read("observability/rules_test.yaml"), "alertname: "), alerts);
    assert_eq!(after(&read("docs/runbooks.md"), "\n## "), alerts);
    for command in [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/observability");
        let output = Command::new("promtool").args(command).current_dir(folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn profile_of_compose_has_a_valid_prometheus_and_pinned_images() {
    let config = read("observability/compose/prometheus.yaml");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("prometheus.yaml"), config).unwrap();
    std::fs::write(folder.path().join("rules.yaml"), read("observability/rules.yaml")).unwrap();
    let mut promtool = Command::new("promtool");
    let output =
        promtool.args(["check", "config", "prometheus.yaml"]).current_dir(&folder).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let compose = read("compose.yaml");
    let images = compose.lines().filter_map(|line| line.trim().strip_prefix("image: docker.io/"));
    let images: Vec<_> = images.collect();
    assert_eq!(images.len(), 4, "{images:?}");
    for image in images {
        let digest = image.split_once("@sha256:").unwrap().1;
        assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{image}");
    }
    // What is mounted is there.
    for mount in after(&compose, "- ./").iter().chain(&after(&compose, "\"./")) {
        let path = mount.split(':').next().unwrap();
        assert!(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{path}");
    }
}

#[test]
fn rules_and_runbooks_ask_for_metrics_that_exist() {
    let documented = read("docs/metrics.md");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for file in ["observability/rules.yaml", "docs/runbooks.md"] {
        let text = read(file);
        let names: BTreeSet<&str> = text
            .split(|c| !is_name(c))
            .filter(|name| {
                name.ends_with("_total") || name.contains("_seconds") || name.starts_with("shop_")
            })
            .collect();
        assert!(names.len() >= 5, "{names:?}");
        for name in names {
            let metric =
                ["_bucket", "_count", "_sum"].iter().find_map(|part| name.strip_suffix(part));
            let row = format!("| `{}` |", metric.unwrap_or(name));
            assert!(
                documented.contains(&row),
                "{file} asks for {name}, which docs/metrics.md has not"
            );
        }
    }
}

/// With windows of seconds, because a test has no minutes.
#[tokio::test]
async fn alert_fires_while_redis_is_out_and_resolves() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let proxy = FaultyProxy::start(redis.address()).await?;
    let settings =
        settings([("ADMIN_ADDR", "127.0.0.1:0"), ("REDIS_ADDR", proxy.address().as_str())]);
    let mut shop = Processes::ten(&settings).await?;
    let ports = shop.admin_addresses().await?;
    let rules =
        read("observability/rules.yaml").replace("[1m]", "[2s]").replace("for: 1m", "for: 1s");
    let prometheus = Prometheus::start(&ports, Some(&rules)).await?;
    let firing =
        "ALERTS{alertname='StoreDown',alertstate='firing',service_name='cartservice'} == 1";
    let mut visitor = shop.visitor.clone();
    let visits = tokio::spawn(async move {
        loop {
            visitor.get("/cart").await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let all = format!("count(service:busy:ratio_rate5m) == {}", SERVICES.len());
    prometheus.until_positive(&all).await?;
    assert_eq!(prometheus.value("count(ALERTS{alertname='StoreDown'})").await?, 0.0);

    proxy.set(Fault::Refuse);
    prometheus.until_positive(firing).await?;
    proxy.set(Fault::None);
    prometheus.until_positive(&format!("absent({firing})")).await?;
    visits.abort();
    shop.stop().await?;
    Ok(())
}
