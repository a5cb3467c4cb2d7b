//! A real Prometheus that scrapes addresses on loopback.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::free_address;
use crate::visitor::Visitor;

/// The interval at which it scrapes.
const INTERVAL: &str = "200ms";

/// A Prometheus with a database of its own. Dropping it ends it.
pub struct Prometheus {
    child: Child,
    client: Visitor,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts `prometheus`, which scrapes `/metrics` at these addresses five times a second, and evaluates `rules` as
    /// often, a file of rules if there is one.
    pub async fn start(addresses: &[String], rules: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let rule_files = rules.map_or(String::new(), |_| "rule_files: [rules.yaml]\n".to_owned());
        std::fs::write(path("rules.yaml"), rules.unwrap_or_default())?;
        let config = format!(
            "global: {{scrape_interval: {INTERVAL}, evaluation_interval: {INTERVAL}}}\n{rule_files}\
             scrape_configs: [{{job_name: shop, static_configs: [{{targets: {addresses:?}}}]}}]\n"
        );
        std::fs::write(path("prometheus.yaml"), config)?;
        // Prometheus does not say which port it was given.
        let address = free_address()?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run prometheus")?;
        let client = Visitor::new(format!("http://{address}"));
        let prometheus = Self { child, client, _folder: folder };
        let is_open = async || tokio::net::TcpStream::connect(address).await.is_ok();
        prometheus.until("it listens", is_open).await?;
        Ok(prometheus)
    }

    /// Asks its API, as in `/api/v1/targets`, and returns the `data` of its answer.
    pub async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.client.clone().get(path).await;
        let answer: Value = serde_json::from_str(&answer.body)?;
        anyhow::ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["data"].clone())
    }

    /// Returns the value of a query that has one; 0 where it has none.
    pub async fn value(&self, query: &str) -> anyhow::Result<f64> {
        let query = form_urlencoded::byte_serialize(query.as_bytes()).collect::<String>();
        let data = self.ask(&format!("/api/v1/query?query={query}")).await?;
        let value = data["result"][0]["value"][1].as_str().unwrap_or("0");
        Ok(value.parse()?)
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let waiting = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let limit = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        limit.with_context(|| format!("Prometheus: never {what}"))
    }

    /// Waits until a query has a value that is more than 0.
    pub async fn until_positive(&self, query: &str) -> anyhow::Result<()> {
        self.until(query, async || self.value(query).await.is_ok_and(|value| value > 0.0)).await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
