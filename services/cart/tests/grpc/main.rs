//! cartservice over its own wire: in memory, and with a real `redis-server`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod changes;
mod failover;
mod ready;

use std::time::{Duration, Instant};

use boutique_proto::cart_service_client::CartServiceClient;
use boutique_proto::{AddItemRequest, Cart, CartItem, EmptyCartRequest, GetCartRequest};
use boutique_service::{Env, Registry, ServerHandle};
use boutique_test::RedisServer;
use boutique_test::{connect, loopback, serve};
use cartservice::{SERVICE, routes};
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

type Carts = CartServiceClient<Channel>;

async fn in_memory() -> anyhow::Result<(Carts, Option<ServerHandle>)> {
    let (channel, running) = loopback(SERVICE, &Env::default(), routes).await?;
    Ok((CartServiceClient::new(channel), running))
}

async fn with(settings: &Env) -> anyhow::Result<(Carts, ServerHandle)> {
    let running = serve(SERVICE, settings, routes).await?;
    Ok((CartServiceClient::new(connect(running.address().unwrap())?), running))
}

async fn on_redis(redis: &RedisServer) -> anyhow::Result<(Carts, ServerHandle)> {
    with(&Env::from([("REDIS_ADDR", redis.address().as_str())])).await
}

fn item(product_id: &str, quantity: i32) -> CartItem {
    CartItem { product_id: product_id.to_owned(), quantity }
}

async fn add(carts: &mut Carts, user: &str, item: CartItem) -> Result<(), Status> {
    let request = AddItemRequest { user_id: user.to_owned(), item: Some(item) };
    carts.add_item(request).await.map(|_| ())
}

async fn get(carts: &mut Carts, user: &str) -> Result<Cart, Status> {
    let request = GetCartRequest { user_id: user.to_owned() };
    Ok(carts.get_cart(request).await?.into_inner())
}

async fn empty(carts: &mut Carts, user: &str) -> Result<(), Status> {
    carts.empty_cart(EmptyCartRequest { user_id: user.to_owned() }).await.map(|_| ())
}

fn cart(user: &str, items: &[CartItem]) -> Cart {
    Cart { user_id: user.to_owned(), items: items.to_vec() }
}

/// A user nobody else has, so that the cases can run against a store that others use too.
fn new_user() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("user-{}-{:?}", now.as_nanos(), std::thread::current().id())
}

/// Upstream's own cases, for any store.
async fn behaves_as_upstreams(carts: &mut Carts) -> anyhow::Result<()> {
    let user = new_user();
    assert_eq!(get(carts, &user).await?, Cart::default());

    add(carts, &user, item("1", 1)).await?;
    add(carts, &user, item("1", 1)).await?;
    assert_eq!(get(carts, &user).await?, cart(&user, &[item("1", 2)]));

    add(carts, &user, item("0", 10)).await?;
    add(carts, &user, item("1", 300)).await?;
    assert_eq!(get(carts, &user).await?, cart(&user, &[item("1", 302), item("0", 10)]));

    empty(carts, &user).await?;
    assert!(get(carts, &user).await?.items.is_empty());
    empty(carts, &user).await?;
    empty(carts, &new_user()).await?;

    add(carts, &user, item("2", 1)).await?;
    assert_eq!(get(carts, &user).await?, cart(&user, &[item("2", 1)]));
    Ok(())
}

#[tokio::test]
async fn a_cart_in_memory_behaves_as_upstreams() -> anyhow::Result<()> {
    let (mut carts, _running) = in_memory().await?;
    behaves_as_upstreams(&mut carts).await
}

#[tokio::test]
async fn a_cart_in_redis_behaves_as_upstreams() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (mut carts, _running) = on_redis(&redis).await?;
    behaves_as_upstreams(&mut carts).await
}

async fn refuses_what_does_not_fit(carts: &mut Carts) -> anyhow::Result<()> {
    let user = new_user();
    let long = "x".repeat(129);
    let huge = "x".repeat(1 << 20);
    for (user, item) in [
        (user.as_str(), item("1", 0)),
        (&user, item("1", -1)),
        (&user, item("1", i32::MIN)),
        (&user, item("1", 1_000_001)),
        (&user, item("", 1)),
        (&user, item(&huge, 1)),
        (&user, item("a\u{0}b", 1)),
        ("", item("1", 1)),
        (&long, item("1", 1)),
        ("a\nb", item("1", 1)),
    ] {
        let refused = add(carts, user, item).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{}", refused.message());
    }
    let nothing = AddItemRequest { user_id: user.clone(), item: None };
    assert_eq!(carts.add_item(nothing).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(get(carts, &user).await?, Cart::default());

    add(carts, &user, item("full", 1_000_000)).await?;
    let refused = add(carts, &user, item("full", 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    for number in 1..500 {
        add(carts, &user, item(&number.to_string(), 1)).await?;
    }
    let refused = add(carts, &user, item("501st", 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    add(carts, &user, item("7", 1)).await?;
    let stored = get(carts, &user).await?;
    assert_eq!((stored.items.len(), &stored.items[7]), (500, &item("7", 2)));
    Ok(())
}

#[tokio::test]
async fn a_cart_in_memory_refuses_what_does_not_fit() -> anyhow::Result<()> {
    let (mut carts, _running) = in_memory().await?;
    refuses_what_does_not_fit(&mut carts).await
}

#[tokio::test]
async fn a_cart_in_redis_refuses_what_does_not_fit() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (mut carts, _running) = on_redis(&redis).await?;
    refuses_what_does_not_fit(&mut carts).await
}

/// No acknowledged add is lost, whoever else is writing, and none takes too long.
#[tokio::test]
async fn sixty_four_writers_on_two_replicas_lose_nothing() -> anyhow::Result<()> {
    const WRITERS: usize = 64;
    const ADDS: usize = 500;
    let redis = RedisServer::start(&[])?;
    let (one, _first) = on_redis(&redis).await?;
    let (two, _second) = on_redis(&redis).await?;

    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let mut carts = if writer % 2 == 0 { one.clone() } else { two.clone() };
        writers.spawn(async move {
            for _ in 0..ADDS {
                add(&mut carts, "shared", item("mug", 1)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(finished) = writers.join_next().await {
        finished??;
    }

    let stored = get(&mut one.clone(), "shared").await?;
    assert_eq!(stored, cart("shared", &[item("mug", i32::try_from(WRITERS * ADDS)?)]));
    let version: usize = redis.command(&["HGET", "shared", "ver"])?.trim().parse()?;
    assert_eq!(version, WRITERS * ADDS);
    Ok(())
}

/// The value that upstream's cartservice writes for this cart: `absexp`, `sldexp` and the protobuf message.
fn upstream_writes(redis: &RedisServer, user: &str, cart: &Cart) -> anyhow::Result<()> {
    stored(redis, user, &cart.encode_to_vec())
}

/// A hash with upstream's fields around this data.
fn stored(redis: &RedisServer, user: &str, data: &[u8]) -> anyhow::Result<()> {
    redis::cmd("HSET")
        .arg(user)
        .arg(&[("absexp", "-1".as_bytes()), ("sldexp", "-1".as_bytes()), ("data", data)])
        .exec(&mut redis.connect()?)?;
    Ok(())
}

/// Reads a value as upstream's cartservice does.
fn upstream_reads(redis: &RedisServer, user: &str) -> anyhow::Result<Cart> {
    let mut connection = redis.connect()?;
    let fields: (String, String, Vec<u8>) =
        redis::cmd("HMGET").arg(user).arg(&["absexp", "sldexp", "data"]).query(&mut connection)?;
    assert_eq!((fields.0.as_str(), fields.1.as_str()), ("-1", "-1"));
    Ok(Cart::decode(fields.2.as_slice())?)
}

#[tokio::test]
async fn upstreams_carts_are_read_and_written_in_place() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (mut carts, _running) = on_redis(&redis).await?;
    let written = cart("u", &[item("a", 1), item("b", 150), item("c", 70_000)]);
    upstream_writes(&redis, "u", &written)?;

    assert_eq!(get(&mut carts, "u").await?, written);
    add(&mut carts, "u", item("b", 1)).await?;
    add(&mut carts, "u", item("d", 1)).await?;

    let expected = cart("u", &[item("a", 1), item("b", 151), item("c", 70_000), item("d", 1)]);
    let data = expected.encode_to_vec();
    assert_eq!(upstream_reads(&redis, "u")?, expected);
    let mut connection = redis.connect()?;
    let stored: Vec<u8> = redis::cmd("HGET").arg(&["u", "data"]).query(&mut connection)?;
    assert_eq!(stored, data, "byte for byte what protobuf writes");
    assert_eq!(redis.command(&["TYPE", "u"])?.trim(), "hash");
    Ok(())
}

/// Upstream takes any quantity, forgets the user's id when it empties a cart, and breaks on a
/// product that is there twice; we read all of it, and leave it mended.
#[tokio::test]
async fn upstreams_odd_carts_are_read_and_mended() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (mut carts, _running) = on_redis(&redis).await?;
    for (items, added, expected) in [
        (vec![], item("a", 1), vec![item("a", 1)]),
        (vec![item("a", 1), item("a", 2)], item("a", 3), vec![item("a", 6)]),
        (vec![item("a", -5)], item("b", 1), vec![item("a", -5), item("b", 1)]),
        (vec![item("a", i32::MIN)], item("a", 1), vec![item("a", i32::MIN + 1)]),
        (vec![item("a", -1)], item("a", 1), vec![item("a", 0)]),
        (vec![item("é", 1), item("", 1)], item("é", 1), vec![item("é", 2), item("", 1)]),
    ] {
        upstream_writes(&redis, "u", &cart("", &items))?;
        let merged = get(&mut carts, "u").await?;
        assert_eq!(merged.user_id, "u");
        let read: i64 = merged.items.iter().map(|item| i64::from(item.quantity)).sum();
        assert_eq!(read, items.iter().map(|item| i64::from(item.quantity)).sum::<i64>());

        add(&mut carts, "u", added).await?;
        assert_eq!(upstream_reads(&redis, "u")?, cart("u", &expected), "{items:?}");
    }
    Ok(())
}

/// Protobuf's fields may come in any order, and with others between them.
#[tokio::test]
async fn a_line_that_begins_with_its_quantity_grows_too() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (mut carts, _running) = on_redis(&redis).await?;
    let (quantity, unknown, product) = (b"\x10\x05", b"\x1a\x01z", b"\x0a\x01a");
    let line = [&quantity[..], unknown, product].concat();
    stored(&redis, "u", &[&[0x12, u8::try_from(line.len())?], &line[..]].concat())?;

    assert_eq!(get(&mut carts, "u").await?, cart("u", &[item("a", 5)]));
    add(&mut carts, "u", item("a", 2)).await?;
    assert_eq!(upstream_reads(&redis, "u")?, cart("u", &[item("a", 7)]));
    Ok(())
}

/// Every size of number and text that protobuf encodes differently, ours against prost's.
#[tokio::test]
async fn the_script_writes_what_prost_reads_at_every_size() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (mut carts, _running) = on_redis(&redis).await?;
    let mut expected = vec![];
    for (length, quantity) in
        [(1, 1), (2, 127), (3, 128), (120, 16_383), (121, 16_384), (127, 999_999), (128, 1_000_000)]
    {
        let id = "é".repeat(length / 2) + &"x".repeat(length % 2);
        add(&mut carts, "sizes", item(&id, quantity)).await?;
        expected.push(item(&id, quantity));
        assert_eq!(upstream_reads(&redis, "sizes")?, cart("sizes", &expected));
    }
    Ok(())
}

#[tokio::test]
async fn emptying_keeps_the_key_as_upstream_does() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (mut carts, _running) = on_redis(&redis).await?;
    add(&mut carts, "u", item("a", 1)).await?;

    empty(&mut carts, "u").await?;

    assert_eq!(upstream_reads(&redis, "u")?, Cart::default());
    assert_eq!(get(&mut carts, "u").await?, cart("u", &[]));
    assert_eq!(redis.command(&["HGET", "u", "ver"])?.trim(), "2");
    let ttl: u64 = redis.command(&["TTL", "u"])?.trim().parse()?;
    assert!((172_700..=172_800).contains(&ttl), "{ttl}");
    Ok(())
}

#[tokio::test]
async fn a_cart_expires_when_nobody_writes_to_it() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let address = redis.address();
    let settings = Env::from([("REDIS_ADDR", address.as_str()), ("CART_TTL", "1s")]);
    let (mut carts, _running) = with(&settings).await?;
    let (mut in_memory, _memory) = with(&Env::from([("CART_TTL", "1s")])).await?;

    for carts in [&mut carts, &mut in_memory] {
        add(carts, "u", item("a", 1)).await?;
        let began = Instant::now();
        while !get(carts, "u").await?.items.is_empty() {
            assert!(began.elapsed() < Duration::from_secs(10), "it should have expired");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_an_internal_error_with_a_fixed_text()
-> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (mut carts, _running) = on_redis(&redis).await?;
    redis.command(&["SET", "string", "x"])?;
    redis.command(&["HSET", "garbage", "data", "\u{7}\u{7}"])?;

    for user in ["string", "garbage"] {
        for refused in [
            get(&mut carts, user).await.unwrap_err(),
            add(&mut carts, user, item("a", 1)).await.unwrap_err(),
        ] {
            assert_eq!(refused.code(), Code::Internal, "{user}");
            assert_eq!(refused.message(), "Can't read the stored cart.");
        }
    }
    let refused = empty(&mut carts, "string").await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    assert_eq!(redis.command(&["GET", "string"])?.trim(), "x");
    Ok(())
}

#[tokio::test]
async fn a_store_that_is_out_is_unavailable_and_a_store_that_is_back_is_used() -> anyhow::Result<()>
{
    let redis = RedisServer::start(&[])?;
    let (mut carts, _running) = on_redis(&redis).await?;
    add(&mut carts, "u", item("a", 1)).await?;
    let port = redis.port();
    drop(redis);

    for _ in 0..3 {
        let refused = get(&mut carts, "u").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(refused.message(), "Can't access cart storage.");
    }

    let _back = RedisServer::start_on(port, &[])?;
    let began = Instant::now();
    while add(&mut carts, "u", item("a", 1)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "it should be back");
    }
    assert_eq!(get(&mut carts, "u").await?, cart("u", &[item("a", 1)]));
    Ok(())
}

#[tokio::test]
async fn redis_is_reached_as_user_with_password_in_a_database_over_tls() -> anyhow::Result<()> {
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_str().unwrap_or_default().to_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    std::fs::write(&cert, certificate.cert.pem())?;
    std::fs::write(&key, certificate.signing_key.serialize_pem())?;
    let plain = RedisServer::start(&["--user", "shop", "on", ">p@ss/word", "~*", "&*", "+@all"])?;
    let tls = RedisServer::start_tls(&cert, &key)?;
    let (p, t) = (plain.port(), tls.port());

    for (address, database) in [
        (format!("127.0.0.1:{p},user=shop,password=p@ss/word,defaultDatabase=3"), "3"),
        (format!("redis://shop:p%40ss%2Fword@127.0.0.1:{p}/4"), "4"),
        (format!("localhost:{t},ssl=true,abortConnect=false"), "0"),
        (format!("rediss://localhost:{t}/5"), "5"),
    ] {
        let mut settings = Env::from([("REDIS_ADDR", address.as_str())]);
        if address.contains(&t.to_string()) {
            settings.set("REDIS_CA_FILE", cert.as_str());
        }
        let (mut carts, _running) = with(&settings).await?;
        add(&mut carts, "u", item("a", 1)).await?;
        assert_eq!(get(&mut carts, "u").await?, cart("u", &[item("a", 1)]), "{address}");
        let server = if address.contains(&p.to_string()) { &plain } else { &tls };
        assert_eq!(server.command(&["-n", database, "EXISTS", "u"])?.trim(), "1", "{address}");
    }

    // An untrusted certificate, a wrong password, a database that is not there, and
    // something that is no Redis at all.
    let web = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let not_redis = web.local_addr()?;
    for address in [
        format!("rediss://localhost:{t}"),
        format!("redis://shop:hunter2@127.0.0.1:{p}"),
        format!("127.0.0.1:{p},user=shop,password=hunter2"),
        format!("redis://shop:p%40ss%2Fword@127.0.0.1:{p}/999"),
        format!("{not_redis}"),
    ] {
        let (mut carts, _running) = with(&Env::from([("REDIS_ADDR", address.as_str())])).await?;
        let refused = get(&mut carts, "u").await.unwrap_err();
        assert_eq!(refused.message(), "Can't access cart storage.", "{address}");
        assert_eq!(refused.code(), Code::Unavailable, "{address}");
    }
    Ok(())
}

/// As far as the start can know.
#[tokio::test]
async fn a_wrong_setting_stops_the_start_and_hides_the_password() {
    for (setting, value) in [
        ("REDIS_ADDR", "a:1,password=hunter2,ssl=maybe"),
        ("REDIS_ADDR", "a:1,password=hunter2,abortConnect=true"),
        ("REDIS_ADDR", ":6379,password=hunter2"),
        ("REDIS_ADDR", "a:1,hunter2=x"),
        ("REDIS_ADDR", "http://hunter2@a:1"),
        ("REDIS_ADDR", "redis://:hunter2@a:99999"),
        ("CART_TTL", "forever"),
        ("CART_TTL", "0"),
        ("SPANNER_CONNECTION_STRING", "hunter2"),
        ("ALLOYDB_PRIMARY_IP", "10.0.0.1"),
    ] {
        let error = serve(SERVICE, &Env::from([(setting, value)]), routes).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.starts_with(&format!("{setting} must")), "{value}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let settings =
        Env::from([("REDIS_ADDR", "rediss://a:1"), ("REDIS_CA_FILE", "/does/not/exist")]);
    let error = serve(SERVICE, &settings, routes).await.unwrap_err().to_string();
    assert!(error.starts_with("REDIS_CA_FILE must name a file"), "{error}");
    let settings = Env::from([("REDIS_ADDR_FILE", "/does/not/exist")]);
    let error = serve(SERVICE, &settings, routes).await.unwrap_err().to_string();
    assert!(error.starts_with("REDIS_ADDR_FILE must name a file"), "{error}");
    let settings = Env::from([("REDIS_ADDR_FILE", "/dev/null"), ("REDIS_ADDR", "a:1")]);
    let error = serve(SERVICE, &settings, routes).await.unwrap_err().to_string();
    assert!(error.starts_with("REDIS_ADDR_FILE must not be set beside"), "{error}");
}

/// As the official images take secrets.
#[tokio::test]
async fn the_address_may_stand_in_a_file() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), format!("{}\n", redis.address()))?;
    let settings = Env::from([("REDIS_ADDR_FILE", file.path().to_str().unwrap())]);
    let (mut carts, _running) = with(&settings).await?;
    behaves_as_upstreams(&mut carts).await
}

/// A password that is changed in Redis and in the file is used by the next connection; a file that cannot be used is not.
#[tokio::test]
async fn the_address_in_a_file_is_read_again() -> anyhow::Result<()> {
    let redis = RedisServer::start(&["--requirepass", "first"])?;
    let with_password = |password: &str| format!("{},password={password}", redis.address());
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), with_password("first"))?;
    let settings = Env::from([("REDIS_ADDR_FILE", file.path().to_str().unwrap())]);
    let (mut carts, _running) = with(&settings).await?;
    add(&mut carts, "u", item("a", 1)).await?;

    let command = |password: &str, rest: &[&str]| {
        redis.command(&[&["--no-auth-warning", "-a", password], rest].concat())
    };
    command("first", &["CONFIG", "SET", "requirepass", "second"])?;
    std::fs::write(file.path(), with_password("second"))?;
    command("second", &["CLIENT", "KILL", "TYPE", "normal"])?;
    assert_eq!(get(&mut carts, "u").await?, cart("u", &[item("a", 1)]));

    for unusable in ["", "a:1,ssl=maybe", "\u{0}"] {
        std::fs::write(file.path(), unusable)?;
        command("second", &["CLIENT", "KILL", "TYPE", "normal"])?;
        assert_eq!(get(&mut carts, "u").await?, cart("u", &[item("a", 1)]), "{unusable:?}");
    }
    Ok(())
}

#[tokio::test]
async fn upstreams_name_for_the_port_is_honoured() -> anyhow::Result<()> {
    let env = Env::from([("ASPNETCORE_HTTP_PORTS", "0"), ("LISTEN_ADDR", "127.0.0.1")]);
    let registry = Registry::default();
    let router = routes(&env, &registry).await?;
    let running = boutique_service::spawn(SERVICE, &env, &registry, router).await?;
    assert_ne!(running.address().unwrap().port(), SERVICE.port);
    Ok(())
}
