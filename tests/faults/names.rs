//! Names that lead to many addresses, to others every moment, or to none: looked up by the system's own resolver, in a
//! mount namespace with a file of hosts that the test writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use boutique_test::{Process, Processes, Visitor, binary, settings};

use crate::{ALONE, NOTE};

/// A frontend whose catalog is `catalog.test`, and the file that says where that is.
struct Named {
    frontend: Process,
    visitor: Visitor,
    hosts: PathBuf,
    _folder: tempfile::TempDir,
}

impl Named {
    async fn start(shop: &Processes, port: u16, addresses: &[String]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let hosts = folder.path().join("hosts");
        lead(&hosts, addresses)?;
        let mut unshare = Command::new("unshare");
        // Only root may make such a namespace; others are given a namespace where they are root.
        if Command::new("id").arg("-u").output()?.stdout != b"0\n" {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$1\""]);
        unshare.arg(&hosts).arg(binary("frontend")?);
        let mut settings: BTreeMap<String, String> = shop.addresses.clone();
        settings.insert("PRODUCT_CATALOG_SERVICE_ADDR".to_owned(), format!("catalog.test:{port}"));
        settings.insert("TOKIO_WORKER_THREADS".to_owned(), "1".to_owned());
        let mut frontend = Process::start_as("frontend", unshare, &settings)?;
        let visitor = Visitor::new(format!("http://{}", frontend.address().await?));
        Ok(Self { frontend, visitor, hosts, _folder: folder })
    }

    /// Returns the number of open connections of the frontend to this port.
    fn connections(&self, port: u16) -> anyhow::Result<usize> {
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.frontend.pid()))?;
        let peer = format!(":{port:04X}");
        let is_open = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.len() > 3 && fields[2].ends_with(&peer) && fields[3] == "01"
        };
        Ok(table.lines().filter(is_open).count())
    }
}

/// Leads the name to these addresses from now on.
fn lead(hosts: &PathBuf, addresses: &[String]) -> std::io::Result<()> {
    let lines: String = addresses.iter().map(|ip| format!("{ip} catalog.test\n")).collect();
    // In place, because the namespace has this file.
    std::fs::write(hosts, lines)
}

/// A catalog at one address of loopback, or at all of them, on this port or on a free one.
async fn catalog(ip: &str, port: u16) -> anyhow::Result<(Process, u16)> {
    let port = port.to_string();
    let mut process =
        Process::start("productcatalogservice", &settings([("LISTEN_ADDR", ip), ("PORT", &port)]))?;
    let address = process.address().await?;
    let port = address.rsplit(':').next().unwrap_or_default().parse()?;
    Ok((process, port))
}

async fn becomes_whole(visitor: &mut Visitor) -> anyhow::Result<()> {
    let whole = async {
        loop {
            let page = visitor.get("/").await;
            if page.status == 200 && !page.body.contains(NOTE) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(15), whole).await?)
}

#[tokio::test]
async fn name_with_a_thousand_addresses_is_called_at_a_bounded_number() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let shop = Processes::ten(&settings([])).await?;
    let (_catalog, port) = catalog("0.0.0.0", 0).await?;
    let many: Vec<_> = (0..1_000).map(|n| format!("127.1.{}.{}", n / 250, 1 + n % 250)).collect();
    let mut named = Named::start(&shop, port, &many).await?;
    for _ in 0..100 {
        assert_eq!(named.visitor.get("/").await.status, 200);
    }
    let open = named.connections(port)?;
    assert!((2..=64).contains(&open), "{open} connections");
    Ok(())
}

#[tokio::test]
async fn name_that_leads_elsewhere_every_moment_loses_no_call() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let shop = Processes::ten(&settings([])).await?;
    let (_first, port) = catalog("127.0.0.2", 0).await?;
    let (_second, _) = catalog("127.0.0.3", port).await?;
    let homes = ["127.0.0.2", "127.0.0.3"].map(str::to_owned);
    let mut named = Named::start(&shop, port, &homes[..1]).await?;
    for round in 0..40 {
        lead(&named.hosts, &homes[round % 2..=round % 2])?;
        let until = tokio::time::Instant::now() + Duration::from_millis(300);
        while tokio::time::Instant::now() < until {
            let page = named.visitor.get("/").await;
            assert!(page.status == 200 && !page.body.contains(NOTE), "round {round}");
        }
    }
    let open = named.connections(port)?;
    assert!(open <= 4, "{open} connections");
    Ok(())
}

/// A name that nobody knows is a clear error at once, and is called soon after it is known.
#[tokio::test]
async fn name_is_called_once_it_is_known() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let shop = Processes::ten(&settings([])).await?;
    let (first, port) = catalog("127.0.0.2", 0).await?;
    let mut named = Named::start(&shop, port, &[]).await?;
    let page = named.visitor.get("/").await;
    assert_eq!(page.status, 503);
    lead(&named.hosts, &["127.0.0.2".to_owned()])?;
    becomes_whole(&mut named.visitor).await?;

    // It moves: the old one is gone, and the name leads to the new one a moment later.
    first.signal("-KILL");
    first.wait().await?;
    let page = named.visitor.get("/").await;
    assert!(page.status == 200 && page.body.contains(NOTE), "from a copy");
    let (_second, _) = catalog("127.0.0.3", port).await?;
    lead(&named.hosts, &["127.0.0.3".to_owned()])?;
    becomes_whole(&mut named.visitor).await?;
    // A name that cannot be looked up any more stays where it was.
    lead(&named.hosts, &[])?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    becomes_whole(&mut named.visitor).await?;
    Ok(())
}
