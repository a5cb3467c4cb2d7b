//! Redis with more than one server: a primary that is replaced in every way that happens, sentinels, and a cluster.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use boutique_service::Env;
use boutique_test::RedisServer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::{Carts, add, behaves_as_upstreams, get, item, new_user, with};

/// Promised in two seconds, asserted with room for a busy machine.
const RECOVERY: Duration = Duration::from_secs(10);

/// A cart service that is patient with servers on a busy machine.
async fn carts(address: &str) -> anyhow::Result<(Carts, boutique_service::ServerHandle)> {
    let address = format!("{address},connectTimeout=2000,syncTimeout=2000");
    with(&Env::from([("REDIS_ADDR", address.as_str())])).await
}

fn replica_of(primary: &RedisServer) -> anyhow::Result<RedisServer> {
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &primary.port().to_string()])?;
    let began = Instant::now();
    while !replica.command(&["INFO", "replication"])?.contains("master_link_status:up") {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(20), "it does not replicate");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(replica)
}

/// Makes the replica the primary, and the old one its replica, which lives on.
fn swap(old: &RedisServer, new: &RedisServer) -> anyhow::Result<()> {
    new.command(&["REPLICAOF", "NO", "ONE"])?;
    old.command(&["REPLICAOF", "127.0.0.1", &new.port().to_string()])?;
    Ok(())
}

/// Waits until a replica has this user's cart: replication is asynchronous, and a cart that it lacks is lost with the
/// primary.
fn has_cart(replica: &RedisServer, user: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    while replica.command(&["EXISTS", user])?.trim() != "1" {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(20), "it does not replicate");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Adds until it is accepted; returns how long that took.
async fn recovers(carts: &mut Carts, user: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    while let Err(status) = add(carts, user, item("after", 1)).await {
        anyhow::ensure!(began.elapsed() < RECOVERY, "no write for {RECOVERY:?}: {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(began.elapsed())
}

#[tokio::test]
async fn of_several_endpoints_the_primary_is_found_whoever_it_is() -> anyhow::Result<()> {
    let first = RedisServer::start(&[])?;
    let second = replica_of(&first)?;
    let user = new_user();
    // The replica is named first.
    let (mut carts, _running) = carts(&format!("{},{}", second.address(), first.address())).await?;
    behaves_as_upstreams(&mut carts).await?;
    add(&mut carts, &user, item("before", 1)).await?;
    has_cart(&second, &user)?;

    swap(&first, &second)?;
    let took = recovers(&mut carts, &user).await?;
    println!("an operator's promotion: {took:?}");
    let products = get(&mut carts, &user).await?.items;
    assert_eq!(products, [item("before", 1), item("after", 1)]);
    swap(&second, &first)?;
    recovers(&mut carts, &user).await?;

    // What was added in the meantime may not have arrived; what was there before has.
    has_cart(&second, &user)?;
    drop(first);
    second.command(&["REPLICAOF", "NO", "ONE"])?;
    let took = recovers(&mut carts, &user).await?;
    println!("a primary that died: {took:?}");
    assert_eq!(get(&mut carts, &user).await?.items[0], item("before", 1));
    Ok(())
}

/// A service address leads to another server; connections to the old one, which lives on, stay.
#[tokio::test]
async fn a_service_address_that_moved_is_followed() -> anyhow::Result<()> {
    let first = RedisServer::start(&[])?;
    let second = replica_of(&first)?;
    let (to, target) = watch::channel(first.address());
    let service = TcpListener::bind("127.0.0.1:0").await?;
    let address = service.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = service.accept().await {
            let address = target.borrow().clone();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(address).await?;
                copy_bidirectional(&mut from, &mut to).await
            });
        }
    });
    let (mut carts, _running) = carts(&address).await?;
    let user = new_user();
    add(&mut carts, &user, item("before", 1)).await?;
    has_cart(&second, &user)?;

    to.send(second.address())?;
    swap(&first, &second)?;
    let took = recovers(&mut carts, &user).await?;
    println!("a service address that moved: {took:?}");
    assert_eq!(get(&mut carts, &user).await?.items, [item("before", 1), item("after", 1)]);
    Ok(())
}

/// A `redis-server --sentinel`; dropping it ends it.
struct Sentinel {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    fn start(primary: &RedisServer) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("sentinel.conf");
        let rules = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor shop 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds shop 300\nsentinel failover-timeout shop 2000\n",
            primary.port(),
        );
        std::fs::write(&file, rules)?;
        let process = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { process, address: format!("127.0.0.1:{port}"), _folder: folder })
    }

    /// Waits until it knows a replica.
    fn knows_a_replica(&self) -> anyhow::Result<()> {
        let port = self.address.split(':').nth(1).unwrap();
        let began = Instant::now();
        loop {
            let told = Command::new("redis-cli")
                .args(["-p", port, "SENTINEL", "REPLICAS", "shop"])
                .output()?;
            if String::from_utf8_lossy(&told.stdout).contains("master-link-status") {
                return Ok(());
            }
            anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "it finds no replica");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn sentinels_name_the_primary_before_and_after_a_failover() -> anyhow::Result<()> {
    let first = RedisServer::start(&[])?;
    let second = replica_of(&first)?;
    let sentinel = Sentinel::start(&first)?;
    sentinel.knows_a_replica()?;
    // A sentinel that is not there comes first.
    let address = format!("127.0.0.1:1,{},serviceName=shop", sentinel.address);
    let (mut carts, _running) = carts(&address).await?;
    behaves_as_upstreams(&mut carts).await?;
    let user = new_user();
    add(&mut carts, &user, item("before", 1)).await?;
    has_cart(&second, &user)?;

    drop(first);
    let took = recovers(&mut carts, &user).await?;
    println!("a sentinel's failover, 300 ms to notice included: {took:?}");
    assert_eq!(get(&mut carts, &user).await?.items, [item("before", 1), item("after", 1)]);

    let (mut carts, _running) = crate::with(&Env::from([(
        "REDIS_ADDR",
        &*format!("{},serviceName=nobody", sentinel.address),
    )]))
    .await?;
    assert!(add(&mut carts, &user, item("a", 1)).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_cluster_of_three_shards_is_found_out_and_used() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut shards = Vec::new();
    for _ in 0..3 {
        let bus = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let file = folder.path().join(format!("nodes-{bus}.conf"));
        let file = file.to_str().unwrap();
        let options =
            ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-config-file", file];
        shards.push(RedisServer::start(&options)?);
    }
    let addresses: Vec<_> = shards.iter().map(RedisServer::address).collect();
    let created = Command::new("redis-cli")
        .args(["--cluster", "create", "--cluster-yes"])
        .args(&addresses)
        .output()?;
    anyhow::ensure!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
    let began = Instant::now();
    // Each finds out for itself, and refuses all keys until then.
    for shard in &shards {
        while !shard.command(&["CLUSTER", "INFO"])?.contains("cluster_state:ok") {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(20), "the cluster is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    for address in [addresses[0].clone(), addresses.join(",")] {
        let (mut carts, _running) = carts(&address).await?;
        for _ in 0..20 {
            behaves_as_upstreams(&mut carts).await?;
        }
    }
    for shard in &shards {
        assert_ne!(shard.command(&["DBSIZE"])?.trim(), "0", "each shard has carts");
    }
    Ok(())
}
