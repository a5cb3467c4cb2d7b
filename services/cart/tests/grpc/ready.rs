//! Readiness of a cart service on Redis, and its answers until then.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use boutique_service::{Env, ServerHandle};
use boutique_test::connect;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::{add, cart, empty, get, item, with};
use boutique_test::RedisServer;

async fn health(running: &ServerHandle) -> anyhow::Result<HealthClient<Channel>> {
    Ok(HealthClient::new(connect(running.address().context("no address")?)?))
}

async fn status(health: &mut HealthClient<Channel>, name: &str) -> anyhow::Result<ServingStatus> {
    let request = HealthCheckRequest { service: name.to_owned() };
    Ok(health.check(request).await?.into_inner().status())
}

/// Waits until a name has a status; ten seconds are a generous bound for what is promised within three.
async fn becomes(
    health: &mut HealthClient<Channel>,
    name: &str,
    expected: ServingStatus,
) -> anyhow::Result<()> {
    let reached = async {
        while status(health, name).await? != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), reached).await?
}

#[tokio::test]
async fn it_is_ready_from_the_first_contact_on_and_alive_all_along() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (port, address) = (redis.port(), redis.address());
    drop(redis);
    let (mut carts, running) = with(&Env::from([("REDIS_ADDR", address.as_str())])).await?;
    let mut health = health(&running).await?;

    assert!(get(&mut carts, "u").await.is_err());
    assert_eq!(status(&mut health, "").await?, ServingStatus::NotServing);
    assert_eq!(status(&mut health, "hipstershop.CartService").await?, ServingStatus::NotServing);
    assert_eq!(status(&mut health, "store").await?, ServingStatus::NotServing);
    assert_eq!(status(&mut health, "liveness").await?, ServingStatus::Serving);

    let redis = RedisServer::start_on(port, &[])?;
    becomes(&mut health, "", ServingStatus::Serving).await?;
    becomes(&mut health, "store", ServingStatus::Serving).await?;
    add(&mut carts, "u", item("a", 1)).await?;

    // What all replicas share must not take all of them out; its own name tells.
    drop(redis);
    assert!(get(&mut carts, "u").await.is_err());
    becomes(&mut health, "store", ServingStatus::NotServing).await?;
    assert_eq!(status(&mut health, "").await?, ServingStatus::Serving);
    let _redis = RedisServer::start_on(port, &[])?;
    becomes(&mut health, "store", ServingStatus::Serving).await?;
    assert_eq!(status(&mut health, "").await?, ServingStatus::Serving);
    Ok(())
}

/// The user that the README of charts/redis proposes.
#[tokio::test]
async fn a_user_with_only_the_commands_in_use_is_enough() -> anyhow::Result<()> {
    let readme = include_str!("../../../../charts/redis/README.md");
    let rule = readme.split("`user cart on ").nth(1).and_then(|rest| rest.split('`').next());
    let rule = rule.context("no user in the README")?.replace("#…", ">secret").replace("\\|", "|");
    let options: Vec<&str> = ["--user", "cart", "on"].into_iter().chain(rule.split(' ')).collect();
    let redis = RedisServer::start(&options)?;
    let address = format!("redis://cart:secret@{}", redis.address());
    let (mut carts, running) = with(&Env::from([("REDIS_ADDR", address.as_str())])).await?;

    add(&mut carts, "u", item("a", 1)).await?;
    add(&mut carts, "u", item("a", 2)).await?;
    assert_eq!(get(&mut carts, "u").await?, cart("u", &[item("a", 3)]));
    empty(&mut carts, "u").await?;

    assert_eq!(get(&mut carts, "u").await?.items, []);
    assert_eq!(status(&mut health(&running).await?, "").await?, ServingStatus::Serving);
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_not_ready_and_told_in_one_line_without_it() -> anyhow::Result<()> {
    let redis = RedisServer::start(&["--user", "shop", "on", ">right", "~*", "+@all"])?;
    let mut process = Command::new(env!("CARGO_BIN_EXE_cartservice"))
        .env_clear()
        .env("PORT", "0")
        .env("LISTEN_ADDR", "127.0.0.1")
        .env("REDIS_ADDR", format!("redis://shop:hunter2@{}", redis.address()))
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = process.stdout.take().context("no stdout")?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let mut said = Vec::new();
    while said.len() < 2 {
        said.push(lines.next().context("it ended")??);
    }
    let listening = said.iter().find_map(|line| line.split("\"server.address\":\"").nth(1));
    let address = listening.and_then(|rest| rest.split('"').next()).context("no address")?;
    let mut health = HealthClient::new(connect(address)?);

    // Asked three times more, it says no more.
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert_eq!(status(&mut health, "").await?, ServingStatus::NotServing);
    let terminate = ["-TERM", &process.id().to_string()];
    anyhow::ensure!(Command::new("kill").args(terminate).status()?.success());
    // Not here, where the connection to it has to end too.
    let rest = tokio::task::spawn_blocking(move || {
        let rest: Result<Vec<String>, _> = lines.collect();
        rest.map(|rest| (rest, process.wait()))
    });
    let (rest, status) = rest.await??;
    said.extend(rest);
    assert!(status?.success());

    let told: Vec<_> = said.iter().filter(|line| line.contains("\"error\"")).collect();
    assert_eq!(told.len(), 1, "{said:#?}");
    assert!(told[0].contains("not ready: cannot reach the cart store"), "{said:#?}");
    assert!(told[0].contains("authentication failed"), "{said:#?}");
    assert!(!said.concat().contains("hunter2"), "{said:#?}");
    assert!(!said.concat().contains("gave up"), "a peer lets go when it is told to: {said:#?}");
    Ok(())
}
