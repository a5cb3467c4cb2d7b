//! Every service is stopped and started again while people buy.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use boutique_proto::services::{SERVICES, ServiceSpec};
use boutique_test::{FaultyProxy, Process, RedisServer, binary, settings};

use super::ALONE;

/// The requests per second: checkouts, and what is put into the carts before each. Far below what a busy machine serves: a
/// shop that is overloaded refuses requests, rightly.
const RATE: &str = if cfg!(debug_assertions) { "15" } else { "600" };
/// The time in which callers learn that a replica is back before the other one stops.
const PACE: Duration = Duration::from_millis(700);

/// Two replicas of each service, which callers know by both addresses; the frontend's are behind a proxy, which leads new
/// connections to one of them.
struct Replicas {
    all: Vec<(&'static ServiceSpec, [Replica; 2])>,
    settings: BTreeMap<String, String>,
    proxy: FaultyProxy,
}

struct Replica {
    address: String,
    process: Option<Process>,
}

impl Replica {
    async fn start(
        spec: &'static ServiceSpec,
        settings: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let mut process = Process::start(spec.name, settings)?;
        Ok(Self { address: process.address().await?, process: Some(process) })
    }

    /// Stops it as Kubernetes does, and starts it again where it was.
    async fn restart(
        &mut self,
        spec: &'static ServiceSpec,
        settings: &BTreeMap<String, String>,
    ) -> anyhow::Result<()> {
        if let Some(process) = self.process.take() {
            process.signal("-TERM");
            let (status, said) = process.wait().await?;
            anyhow::ensure!(status.success(), "{}: {status}: {said}", spec.name);
        }
        let mut settings = settings.clone();
        let port = self.address.rsplit(':').next().unwrap_or_default();
        settings.insert("PORT".to_owned(), port.to_owned());
        *self = Self::start(spec, &settings).await?;
        Ok(())
    }
}

impl Replicas {
    async fn start(redis: &RedisServer) -> anyhow::Result<Self> {
        let mut settings = settings([
            ("PORT", "0"),
            ("LISTEN_ADDR", "127.0.0.1"),
            // Meanwhile the proxy leads new connections elsewhere, and open ones end with an answer.
            ("DRAIN_DELAY", "300ms"),
        ]);
        settings.insert("REDIS_ADDR".to_owned(), redis.address());
        let mut all = Vec::new();
        for spec in SERVICES {
            let pair =
                [Replica::start(spec, &settings).await?, Replica::start(spec, &settings).await?];
            let addresses = format!("{},{}", pair[0].address, pair[1].address);
            settings.insert(spec.addr_key.to_owned(), addresses);
            all.push((spec, pair));
        }
        let proxy = FaultyProxy::start(&all[all.len() - 1].1[0].address).await?;
        Ok(Self { all, settings, proxy })
    }

    /// Restarts every replica, one after the other.
    async fn roll(&mut self) -> anyhow::Result<()> {
        for (spec, pair) in &mut self.all {
            for index in 0..pair.len() {
                if spec.name == "frontend" {
                    self.proxy.redirect(&pair[1 - index].address);
                }
                pair[index].restart(spec, &self.settings).await?;
                tokio::time::sleep(PACE).await;
            }
        }
        Ok(())
    }
}

/// Every replica of every service is stopped and started again while people buy: no request fails, every order is right.
#[tokio::test]
async fn every_service_restarts_without_a_failed_request() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let redis = RedisServer::start(&[])?;
    let mut replicas = Replicas::start(&redis).await?;
    let mut buyers = tokio::process::Command::new(binary("loadgenerator")?);
    buyers.args(["--frontend-addr", &replicas.proxy.address(), "--profile", "checkout"]);
    buyers.args(["--rps", RATE, "--duration", "10m"]).stdout(Stdio::piped()).kill_on_drop(true);
    let buyers = buyers.spawn()?;
    replicas.roll().await?;
    let interrupt = ["-INT", &buyers.id().unwrap_or_default().to_string()];
    tokio::process::Command::new("kill").args(interrupt).status().await?;
    let report = String::from_utf8(buyers.wait_with_output().await?.stdout)?;
    println!("{report}");
    let aggregated = report.lines().rfind(|line| line.contains("Aggregated")).unwrap();
    assert!(aggregated.contains(" 0(0.00%)"), "{report}");
    assert!(report.contains("held     every order was right"), "{report}");
    Ok(())
}
