//! The scenarios of `docs/scenarios.md`: each brings about the symptom that its file names, in a shop of ten processes under
//! load, and as a real Prometheus sees it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use boutique_proto::services::SERVICES;
use boutique_test::{Processes, Prometheus, Visitor, settings};

/// The time that a symptom is looked for in; people look at minutes.
const WINDOW: &str = "3s";

fn read(path: impl AsRef<std::path::Path>) -> String {
    std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The text of each scenario by its name.
fn scenarios() -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), read(&path))).collect()
}

fn symptom(scenario: &str) -> String {
    let line = scenario.lines().find_map(|line| line.strip_prefix("# symptom: "));
    line.unwrap().replace("$w", WINDOW)
}

/// Goes through the shop again and again, whatever it answers.
async fn visit(mut visitor: Visitor) {
    loop {
        visitor.get("/").await;
        visitor.get("/product/OLJCESPC7Z").await;
        visitor.add("OLJCESPC7Z", 1).await;
        visitor.get("/cart").await;
        visitor.check_out(&[]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn every_scenario_is_described() {
    let (page, found) = (read("docs/scenarios.md"), scenarios());
    assert!(found.len() >= 12);
    for (name, scenario) in &found {
        assert!(page.contains(&format!("\n## {name}\n")), "docs/scenarios.md has no {name}");
        let cause = scenario.lines().find_map(|line| line.strip_prefix("# cause: "));
        assert!(SERVICES.iter().any(|spec| Some(spec.name) == cause), "{name} has no cause");
    }
}

#[tokio::test]
async fn every_scenario_shows_its_symptom_and_ends() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("faults.yaml");
    std::fs::write(&file, "")?;
    let settings = settings([("ADMIN_ADDR", "127.0.0.1:0"), ("FAULTS", file.to_str().unwrap())]);
    let mut shop = Processes::ten(&settings).await?;
    let ports = shop.admin_addresses().await?;
    let prometheus = Prometheus::start(&ports, None).await?;
    let visitors = (0..3).map(|_| tokio::spawn(visit(Visitor::new(shop.visitor.base.clone()))));
    let visitors: Vec<_> = visitors.collect();
    // A whole window of a shop that works.
    let orders = format!("sum(increase(shop_orders_total[{WINDOW}])) > 5");
    prometheus.until_positive(&orders).await?;
    for (name, scenario) in scenarios() {
        let symptom = symptom(&scenario);
        // What the scenario before it did is over.
        prometheus.until_positive(&format!("absent({symptom})")).await?;
        std::fs::write(&file, &scenario)?;
        let shown = prometheus.until_positive(&symptom).await;
        assert!(shown.is_ok(), "{name}: {shown:?}");
        std::fs::write(&file, "")?;
        prometheus.until_positive(&orders).await?;
    }
    visitors.iter().for_each(tokio::task::JoinHandle::abort);
    shop.stop().await?;
    Ok(())
}
