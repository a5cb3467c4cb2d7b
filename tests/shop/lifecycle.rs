//! Processes as people and clusters handle them: started with wrong settings, asked how they are,
//! put under load, and told to stop.

use std::process::Command;
use std::time::{Duration, Instant};

use boutique_proto::services::SERVICES;
use boutique_test::connect;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use boutique_test::{Process, Processes, Visitor, allocated, binary, settings};

/// With exit code 2.
#[tokio::test]
async fn a_wrong_setting_stops_the_start_with_one_line_that_names_it() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let port = taken.local_addr()?.port().to_string();
    let everywhere: Vec<_> = SERVICES.iter().map(|service| (service.addr_key, "a:1")).collect();
    for (name, setting, value, problem) in [
        ("boutique", "PORT", "abc", "must be a port, 0 to 65535"),
        ("boutique", "PORT", "65536", "must be a port, 0 to 65535"),
        ("boutique", "PORT", &*port, "must be a free port"),
        ("boutique", "LISTEN_ADDR", "hunter2:x", "must be an IP address or a name"),
        ("boutique", "LISTEN_ADDR", "hunter2 x", "must be an IP address or a name"),
        ("frontend", "LISTEN_ADDR", "127.0.0.1:1", "must not have another port than PORT"),
        ("boutique", "LISTEN_ADDR", "203.0.113.1", "must be an address of this machine"),
        ("boutique", "ADMIN_ADDR", "hunter2:x", "must be an address of this machine with a port"),
        ("boutique", "ADMIN_ADDR", "9464", "must be an address of this machine with a port"),
        ("frontend", "ADMIN_ADDR", &*format!(":{port}"), "must be a free port"),
        ("frontend", "ADMIN_ADDR", "203.0.113.1:1", "must be an address of this machine"),
        ("boutique", "RUST_LOG", "hunter2=loud", "must be a list"),
        ("boutique", "LOG_FORMAT", "hunter2", "must be json or pretty"),
        ("boutique", "TLS_CA_FILE", "/does/not/exist", "must name a readable file"),
        ("boutique", "TLS_CERT_FILE", "/does/not/exist", ""),
        ("frontend", "AD_SERVICE_ADDR", "https://nowhere", "must be host:port"),
        ("boutique", "TOKIO_WORKER_THREADS", "0", "must be a number of threads"),
        ("boutique", "ENABLE_TRACING", "maybe", "must be 1 or true, 0 or false"),
        ("boutique", "GRPC_REFLECTION", "hunter2", "must be 1 or true, 0 or false"),
        ("boutique", "DRAIN_TIMEOUT", "hunter2", "must be a duration"),
        ("boutique", "DRAIN_DELAY", "-1s", "must be a duration"),
        ("boutique", "CATALOG_FILE", "/does/not/exist", "must name a file that can be read"),
        ("boutique", "RATES_FILE", "/does/not/exist", "must name a file"),
        ("boutique", "REDIS_ADDR", "hunter2=1", "must"),
        ("boutique", "CART_TTL", "hunter2", "must be a duration"),
        ("boutique", "SMTP_URL", "hunter2", "must be smtp://"),
        ("boutique", "BASE_URL", "no slash", "must be a path"),
        ("boutique", "ENABLE_ASSISTANT", "1", ""),
        ("boutique", "PACKAGING_SERVICE_URL", "https://x", "must be an address reached over plain"),
        ("boutique", "EXTRA_LATENCY", "hunter2", "must be a duration"),
        ("boutique", "PAYMENT_TIMEOUT", "hunter2", "must be a duration"),
        ("boutique", "SPANNER_PROJECT", "p", "must not be set"),
        ("frontend", "CART_SERVICE_ADDR", "", "is not set"),
        ("frontend", "AD_SERVICE_ADDR", "nowhere", "must be host:port"),
        ("frontend", "AD_SERVICE_ADDR", "ads:1,", "must be host:port"),
        ("frontend", "AD_SERVICE_ADDR", "https://ads:1;http://ads:2", "must be host:port"),
        ("frontend", "CLIENT_LOAD_BALANCING", "hunter2", "must be 1 or true, 0 or false"),
        ("frontend", "PRODUCT_CATALOG_SERVICE_ADDR", ":3550", "must be host:port"),
        ("frontend", "TRUST_PROXY", "hunter2", "must be 0 or false"),
        ("frontend", "MAX_CARTS_PER_ADDRESS", "0", "must be a number of carts, at least 1"),
        ("frontend", "RATE_LIMIT_PER_ADDRESS", "0", "must be a number of requests per second"),
        ("frontend", "RATE_LIMIT_PER_SESSION", "-1", "must be a number of requests per second"),
        ("frontend", "FRAME_ANCESTORS", "a;b", "must be a list of sources"),
        ("frontend", "MAX_CONNECTIONS", "0", "must be a number of connections"),
        ("frontend", "MEMORY_LIMIT", "64MB", "must be at least a mebibyte"),
        ("frontend", "READ_TIMEOUT", "hunter2", "must be a duration"),
        ("frontend", "TRACE_CONTEXT", "hunter2", "must be continue, obey or link"),
        ("checkoutservice", "EMAIL_SERVICE_ADDR", "", "is not set"),
        ("recommendationservice", "PRODUCT_CATALOG_SERVICE_ADDR", "", "is not set"),
        ("cartservice", "PORT", &*port, "must be a free port"),
        ("paymentservice", "PORT", "-1", "must be a port, 0 to 65535"),
    ] {
        let mut settings = settings([("PORT", "0"), ("LISTEN_ADDR", "127.0.0.1")]);
        settings.extend(everywhere.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        settings.insert(setting.to_owned(), value.to_owned());
        let began = Instant::now();
        let (status, output) = Process::start(name, &settings)?.wait().await?;
        assert!(began.elapsed() < Duration::from_secs(2), "{setting}: {:?}", began.elapsed());
        assert_eq!(status.code(), Some(2), "{name} {setting}={value}: {output}");
        let lines: Vec<_> = output.lines().collect();
        assert_eq!(lines.len(), 1, "{output}");
        let named = match setting {
            "TLS_CERT_FILE" => "TLS_KEY_FILE",
            "ENABLE_ASSISTANT" => "SHOPPING_ASSISTANT_SERVICE_ADDR",
            setting => setting,
        };
        assert!(lines[0].starts_with(&format!("{name}: {named} {problem}")), "{output}");
        assert!(!output.contains("hunter2"), "{output}");
    }
    Ok(())
}

/// The forms that other servers take, each asked by its own health check.
#[tokio::test]
async fn an_address_to_listen_on_has_every_form() -> anyhow::Result<()> {
    for (address, expected) in [
        ("", "[::]"),
        ("*", "[::]"),
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", ""),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("0.0.0.0", "0.0.0.0"),
        ("[::]", "[::]"),
        ("::", "[::]"),
        ("127.0.0.1:{port}", "127.0.0.1"),
        ("[::1]:{port}", "[::1]"),
        (":{port}", "[::]"),
        ("*:{port}", "[::]"),
    ] {
        let port = TcpListener::bind("[::]:0").await?.local_addr()?.port().to_string();
        let mut settings = settings([]);
        settings.insert("LISTEN_ADDR".to_owned(), address.replace("{port}", &port));
        if !address.contains("{port}") {
            settings.insert("PORT".to_owned(), port.clone());
        }
        let mut service = Process::start("adservice", &settings)?;
        let bound = service.address().await?;
        assert!(bound.starts_with(expected) && bound.ends_with(&port), "{address}: {bound}");
        let mut check = Command::new(binary("adservice")?);
        let status = check.arg("healthcheck").env_clear().envs(&settings).status()?;
        assert!(status.success(), "{address}");
    }
    Ok(())
}

#[tokio::test]
async fn a_process_tells_how_it_is() -> anyhow::Result<()> {
    let mut service = Process::start("cartservice", &settings([("PORT", "0")]))?;
    let address = service.address().await?;
    let port = address.rsplit(':').next().unwrap_or_default().to_owned();
    let healthcheck = |name: &str, port: &str| {
        let mut command = Command::new(binary(name)?);
        anyhow::Ok(command.arg("healthcheck").env_clear().env("PORT", port).output()?.status.code())
    };

    assert_eq!(healthcheck("cartservice", &port)?, Some(0));
    service.signal("-TERM");
    let (status, output) = service.wait().await?;
    assert_eq!(status.code(), Some(0), "{output}");
    assert_eq!(healthcheck("cartservice", &port)?, Some(1));
    let wrong = Command::new(binary("cartservice")?).arg("help").output()?;
    assert_eq!(wrong.status.code(), Some(2));
    Ok(())
}

#[tokio::test]
async fn log_is_readable_text_where_asked_for_and_on_a_terminal() -> anyhow::Result<()> {
    let plain = settings([("PORT", "0"), ("LISTEN_ADDR", "127.0.0.1"), ("LOG_FORMAT", "pretty")]);
    let service = Process::start("adservice", &plain)?;
    service.says(" INFO  listening on 127.0.0.1:").await?;
    service.signal("-TERM");
    let (_, output) = service.wait().await?;
    assert!(!output.contains('{') && !output.contains('\u{1b}'), "{output}");

    // A terminal of its own.
    let command = format!("timeout --foreground 1 {}", binary("adservice")?.display());
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).env_clear();
    terminal.envs([("PORT", "0"), ("LISTEN_ADDR", "127.0.0.1"), ("PATH", "/usr/bin:/bin")]);
    let output = String::from_utf8(terminal.output()?.stdout)?;
    assert!(output.contains("\u{1b}[32mINFO \u{1b}[0m listening on 127.0.0.1:"), "{output:?}");
    Ok(())
}

/// The folder that `scripts/ten` starts the shop from.
#[test]
fn table_of_services_is_printed_for_scripts() -> anyhow::Result<()> {
    let output = Command::new(binary("boutique")?).arg("services").output()?;
    let table = String::from_utf8(output.stdout)?;
    let rows: Vec<_> = table.lines().collect();
    assert_eq!((rows.len(), rows[0]), (SERVICES.len(), "adservice 9555 AD_SERVICE_ADDR"));
    assert_eq!(rows.last(), Some(&"frontend 8080 FRONTEND_ADDR"));
    assert_eq!(Command::new(binary("boutique")?).arg("service").output()?.status.code(), Some(2));
    Ok(())
}

/// Upstream's mix without a pause, promise by promise: nothing fails.
async fn nothing_fails_under_load(shop: &Processes) -> anyhow::Result<()> {
    let address = shop.visitor.base.trim_start_matches("http://");
    let load = tokio::process::Command::new(binary("loadgenerator")?)
        .args(["--frontend-addr", address, "--users", "8", "--rate", "1000", "--tasks", "2000"])
        .args(["--wait-min", "0", "--wait-max", "0", "--seed", "1"])
        .output()
        .await?;
    let report = String::from_utf8(load.stdout)?;
    assert_eq!(load.status.code(), Some(0), "{report}");
    let all = report.lines().rfind(|line| line.contains("Aggregated")).unwrap_or_default();
    assert!(all.contains(" 0(0.00%) "), "{report}");
    Ok(())
}

#[tokio::test]
async fn upstreams_mix_meets_no_failure_in_one_process() -> anyhow::Result<()> {
    let shop = Processes::one(&settings([])).await?;
    nothing_fails_under_load(&shop).await?;
    let said = shop.stop().await?;
    assert!(!said.contains("\"severity\":\"error\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn upstreams_mix_meets_no_failure_in_ten() -> anyhow::Result<()> {
    let shop = Processes::ten(&settings([])).await?;
    nothing_fails_under_load(&shop).await?;
    let said = shop.stop().await?;
    assert!(!said.contains("\"severity\":\"error\""), "{said}");
    Ok(())
}

/// A peer that connected and says nothing does not hold up the drain.
#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_waits_for_no_silent_peer() -> anyhow::Result<()> {
    let slow = settings([
        ("EXTRA_LATENCY", "700ms"),
        ("PRODUCT_CATALOG_TIMEOUT", "5s"),
        ("RUST_LOG", "debug"),
    ]);
    for signal in ["-TERM", "-INT"] {
        let shop = Processes::one(&slow).await?;
        let address = shop.visitor.base.trim_start_matches("http://").to_owned();
        let mut silent = TcpStream::connect(&address).await?;
        let mut visitor = shop.visitor.clone();
        let page = tokio::spawn(async move { visitor.get("/").await.status });
        shop.all[0].says("answered hipstershop.CartService/GetCart").await?;

        let began = Instant::now();
        let mut all = shop.all;
        let process = all.remove(0);
        process.signal(signal);
        let (status, output) = process.wait().await?;

        assert_eq!(status.code(), Some(0), "{output}");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}: {output}", began.elapsed());
        assert_eq!(page.await?, 200);
        assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_drain_gives_up_on_what_does_not_end() -> anyhow::Result<()> {
    let stuck = settings([
        ("EXTRA_LATENCY", "60s"),
        ("PRODUCT_CATALOG_TIMEOUT", "120s"),
        ("DRAIN_TIMEOUT", "500ms"),
        ("PORT", "0"),
    ]);
    let mut catalog = Process::start("productcatalogservice", &stuck)?;
    let channel = connect(catalog.address().await?.replace("[::]", "127.0.0.1"))?;
    let mut client =
        boutique_proto::product_catalog_service_client::ProductCatalogServiceClient::new(
            channel.clone(),
        );
    let call = tokio::spawn(async move { client.list_products(boutique_proto::Empty {}).await });
    let mut health = HealthClient::new(channel);
    health.check(HealthCheckRequest::default()).await?;

    let began = Instant::now();
    catalog.signal("-TERM");
    let (status, output) = catalog.wait().await?;

    assert_eq!(status.code(), Some(0), "{output}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(output.contains("gave up on 1 unfinished"), "{output}");
    assert!(call.await?.is_err());
    Ok(())
}

/// `/_readyz` is 503 from the start of a graceful shutdown on; `/_healthz` and the pages go on.
#[tokio::test]
async fn readiness_ends_with_the_start_of_the_drain() -> anyhow::Result<()> {
    for base in ["", "/shop"] {
        let env = settings([("DRAIN_DELAY", "30s"), ("BASE_URL", base)]);
        let mut shop = Processes::one(&env).await?;
        let (ready, alive) = (format!("{base}/_readyz"), format!("{base}/_healthz"));
        let visitor = &mut shop.visitor;
        assert_eq!(visitor.get(&ready).await.status, 200);
        shop.all[0].signal("-TERM");
        let over = async { while visitor.get(&ready).await.status != 503 {} };
        tokio::time::timeout(Duration::from_secs(10), over).await?;
        assert_eq!(visitor.get(&alive).await.status, 200);
        assert_eq!(visitor.get(&format!("{base}/")).await.status, 200);
        assert!(visitor.cookies.len() <= 1, "probes have no session");
    }
    Ok(())
}

#[tokio::test]
async fn a_second_signal_leaves_at_once() -> anyhow::Result<()> {
    let mut service =
        Process::start("adservice", &settings([("PORT", "0"), ("DRAIN_DELAY", "30s")]))?;
    let address = service.address().await?;
    let mut health = HealthClient::new(connect(address.replace("[::]", "127.0.0.1"))?);
    let mut is_serving = async || -> anyhow::Result<bool> {
        let answer = health.check(HealthCheckRequest::default()).await?.into_inner();
        Ok(answer.status() == ServingStatus::Serving)
    };
    assert!(is_serving().await?);

    let began = Instant::now();
    service.signal("-TERM");
    while is_serving().await? {}
    // Within a second it is the same signal.
    service.signal("-TERM");
    while began.elapsed() < Duration::from_millis(1100) {
        assert!(!is_serving().await?);
    }
    service.signal("-TERM");
    let (status, output) = service.wait().await?;
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("left at once"), "{output}");
    assert!(began.elapsed() < Duration::from_secs(10));
    Ok(())
}

/// As the first process of a namespace, where the kernel ignores signals that have no
/// handler.
#[tokio::test]
async fn it_stops_as_process_one_too() -> anyhow::Result<()> {
    let mut unshare = Command::new("unshare");
    // Only root may make such a namespace; others are given a namespace where they are root.
    if Command::new("id").arg("-u").output()?.stdout != b"0\n" {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--pid", "--fork", "--kill-child"]);
    unshare.arg(binary("boutique")?);
    let mut shop = Process::start_as("boutique", unshare, &settings([("PORT", "0")]))?;
    shop.address().await?;
    let children = format!("/proc/{0}/task/{0}/children", shop.pid());
    let child = std::fs::read_to_string(children)?.trim().to_owned();

    let began = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &child]).status()?.success());
    let (status, output) = shop.wait().await?;

    assert_eq!(status.code(), Some(0), "{output}");
    assert!(began.elapsed() < Duration::from_secs(6));
    Ok(())
}

/// With room for a machine that does other things too; the figure is the benchmark's.
#[tokio::test]
async fn the_shop_opens_in_no_time_and_says_where() -> anyhow::Result<()> {
    let began = Instant::now();
    let mut shop = Processes::one(&settings([])).await?;
    assert_eq!(shop.visitor.get("/").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let said = shop.stop().await?;
    assert!(said.contains("open   http://localhost:"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_log_line_has_upstreams_shape() -> anyhow::Result<()> {
    let mut shop = Processes::ten(&settings([])).await?;
    shop.visitor.add("OLJCESPC7Z", 1).await;
    shop.visitor.check_out(&[]).await;
    let said = shop.stop().await?;

    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        for field in ["timestamp", "severity", "message", "service.name"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    let access = said.lines().find(|line| line.contains("answered POST with 302")).unwrap();
    let access: serde_json::Value = serde_json::from_str(access)?;
    for (field, is_number) in [
        ("http.req.path", false),
        ("http.req.method", false),
        ("http.req.id", false),
        ("session", false),
        ("http.resp.took_ms", true),
        ("http.resp.status", true),
        ("http.resp.bytes", true),
    ] {
        assert_eq!(access[field].is_number(), is_number, "{field}: {access}");
    }
    assert!(said.contains("\"order.id\"") && said.contains("\"transaction.id\""));
    Ok(())
}

/// Nobody reads the log: a stuck log driver, a paused terminal.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_nothing_up() -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(binary("boutique")?);
    command.env_clear().env("PORT", "0").kill_on_drop(true).stdout(std::process::Stdio::piped());
    let mut shop = command.spawn()?;
    let mut log = tokio::io::BufReader::new(shop.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("http://localhost:") {
        line.clear();
        anyhow::ensure!(log.read_line(&mut line).await? > 0, "it ends");
    }
    let address = line.split("http://localhost:").nth(1).unwrap();
    let port: String = address.chars().take_while(char::is_ascii_digit).collect();

    // A megabyte and a half of lines; a pipe holds 64 kB, the queue a megabyte.
    let mut visitor = Visitor::new(format!("http://127.0.0.1:{port}"));
    for _ in 0..6_000 {
        let answer = tokio::time::timeout(Duration::from_secs(10), visitor.get("/nothing")).await?;
        assert_eq!(answer.status, 404);
    }
    let memory = allocated(shop.id().unwrap())?;
    assert!(memory < 32, "{memory} MiB");

    // Read again, it says how much is missing.
    loop {
        line.clear();
        anyhow::ensure!(log.read_line(&mut line).await? > 0, "it ends");
        if line.contains("log.dropped") {
            break;
        }
    }
    let told: serde_json::Value = serde_json::from_str(&line)?;
    assert_eq!(told["severity"], "warning");
    assert!(told["log.dropped"].as_u64().unwrap() > 0, "{line}");

    // And once more unread, it ends when it is told to.
    for _ in 0..1_000 {
        visitor.get("/nothing").await;
    }
    let status = std::process::Command::new("kill").arg(shop.id().unwrap().to_string()).status()?;
    assert!(status.success());
    let left = tokio::time::timeout(Duration::from_secs(10), shop.wait()).await??;
    assert_eq!(left.code(), Some(0));
    Ok(())
}
