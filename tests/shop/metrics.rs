//! Metrics as a real Prometheus reads them, and the admin port they are read at.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use boutique_proto::services::SERVICES;
use boutique_test::{Collector, Processes, Prometheus, RedisServer, Visitor, settings};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";

/// The names in the tables of `docs/metrics.md`.
fn documented() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
}

/// The name of the metric that a series belongs to.
fn metric(series: &str) -> &str {
    let parts = ["_bucket", "_sum", "_count"];
    parts
        .iter()
        .find_map(|part| series.strip_suffix(part).filter(|_| series.contains("_seconds")))
        .unwrap_or(series)
}

pub(crate) async fn scrape(address: &str, accept: &str) -> String {
    let mut scraper = Visitor::new(format!("http://{address}"));
    scraper.headers.push(("accept", accept.to_owned()));
    let answer = scraper.get("/metrics").await;
    assert_eq!(answer.status, 200);
    answer.body
}

/// The queries of the dashboards, for any service and the last minute.
fn board_queries() -> anyhow::Result<Vec<String>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/observability/dashboards");
    let mut queries = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let board: Value = serde_json::from_slice(&std::fs::read(file?.path())?)?;
        let panels = board["panels"].as_array().unwrap().iter();
        let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        queries.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    let any = |query: String| {
        query.replace("=\"$service\"", "=~\".+\"").replace("$__rate_interval", "1m")
    };
    Ok(queries.into_iter().map(any).collect())
}

/// Everything that Prometheus's own linter has to say, but for the names of OpenTelemetry that end in `_count`.
fn lint(text: &str) -> anyhow::Result<String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    promtool.stdin.take().unwrap().write_all(text.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    let said = said.concat();
    let is_news =
        |line: &&str| !(line.starts_with("process_") && line.contains("\"_count\" suffix"));
    Ok(said.lines().filter(is_news).collect())
}

#[tokio::test]
async fn collector_is_sent_what_prometheus_reads() -> anyhow::Result<()> {
    let (collector, address, _running) = Collector::start().await?;
    let settings = settings([
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        // The last ones are sent at the end.
        ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=shop-1"),
    ]);
    let mut shop = Processes::one(&settings).await?;
    shop.visitor.add("OLJCESPC7Z", 2).await;
    assert_eq!(shop.visitor.check_out(&[]).await.status, 200);
    shop.stop().await?;

    let checkout = collector.metrics("checkoutservice");
    let Some(Data::Sum(orders)) = &checkout["shop.orders"].data else { panic!("no sum") };
    let value = orders.data_points[0].value.as_ref().unwrap();
    assert_eq!(*value, number_data_point::Value::AsDouble(1.0));
    let Some(Data::Histogram(calls)) = &checkout["rpc.client.call.duration"].data else {
        panic!("no histogram")
    };
    let peers = calls.data_points.iter().flat_map(|point| &point.attributes);
    assert!(peers.clone().any(|pair| pair.key == "service.peer.name"));
    let codes = peers.filter(|pair| pair.key == "rpc.response.status_code");
    assert!(codes.count() >= 6);
    for point in &calls.data_points {
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
    }
    assert!(collector.metrics("boutique").contains_key("process.cpu.time"));
    assert!(collector.raw().contains("shop-1"));
    // Under its name in OpenTelemetry, each metric that has samples here.
    let services = SERVICES.iter().map(|spec| spec.name).chain(["boutique"]);
    let sent: BTreeSet<String> = services
        .flat_map(|service| collector.metrics(service).into_values())
        .map(|metric| metric.name.replace('.', "_"))
        .collect();
    let rest = ["", "_seconds", "_bytes", "_total", "_seconds_total"];
    for name in &sent {
        let is_documented = rest.iter().any(|rest| documented().contains(&format!("{name}{rest}")));
        assert!(is_documented, "{name}");
    }
    assert!(sent.len() > 30, "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn prometheus_has_samples_of_every_documented_metric() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (_collector, collector, _running) = Collector::start().await?;
    let settings = settings([
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("REDIS_ADDR", redis.address().as_str()),
        ("ORDER_STORE_ADDR", redis.address().as_str()),
        ("ENABLE_TRACING", "1"),
        ("EXTRA_LATENCY", "1ms"),
        ("COLLECTOR_SERVICE_ADDR", collector.as_str()),
    ]);
    let mut shop = Processes::ten(&settings).await?;
    let ports = shop.admin_addresses().await?;
    let prometheus = Prometheus::start(&ports, None).await?;
    let visitor = &mut shop.visitor;
    visitor.get("/").await;
    visitor.get("/product/OLJCESPC7Z").await;
    for changed in [&[][..], &[("credit_card_expiration_year", "2001")]] {
        visitor.add("OLJCESPC7Z", 2).await;
        visitor.get("/cart").await;
        visitor.check_out(changed).await;
    }

    for (query, value) in [
        ("count(up == 1)", 10),
        ("count(target_info)", 10),
        ("sum(shop_orders_total{currency='USD'})", 1),
        ("sum(shop_mails_total{outcome='sent'})", 1),
        ("sum(shop_cards_declined_total{reason='expired'})", 1),
        ("count(faults_injected_total{fault_name='EXTRA_LATENCY'})", 1),
        ("sum(shop_carts_started_total)", 2),
        ("sum(shop_cart_additions_total)", 2),
        // Every edge between two services.
        (
            "count(group by(service_name,service_peer_name)(rpc_client_call_duration_seconds_count))",
            14,
        ),
        // Two pairs of sunglasses and their parcel.
        ("count(sum(shop_revenue_total) > 40 < 60)", 1),
    ] {
        prometheus.until_positive(&format!("{query} == bool {value}")).await?;
    }
    // Prometheus's own about each scrape.
    let own = |name: &&str| *name != "up" && !name.starts_with("scrape_");
    let names = prometheus.ask("/api/v1/label/__name__/values").await?;
    let names = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let found: BTreeSet<String> = names.filter(own).map(|name| metric(name).to_owned()).collect();
    assert_eq!(found, documented(), "left: scraped, right: docs/metrics.md");

    // Something has to fail for the panels that show failures.
    drop(redis);
    assert_eq!(shop.visitor.get("/cart").await.status, 503);
    let queries = board_queries()?;
    assert!(queries.len() > 60, "{} queries", queries.len());
    for query in queries {
        prometheus.until_positive(&format!("count({query})")).await?;
    }

    for port in &ports {
        let said = lint(&scrape(port, "text/plain").await)?;
        assert_eq!(said, "", "promtool about {port}");
        let text = scrape(port, OPEN_METRICS).await;
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
    let text = scrape(&ports[9], OPEN_METRICS).await;
    assert!(text.contains("# {trace_id=\""), "no exemplar of a sampled trace: {text}");
    shop.stop().await?;
    Ok(())
}

/// A request for which there is no memory is refused before anything is done for it: it is counted as refused, is in no
/// histogram, and has no log line of its own. Pages leave ads out for a while.
#[tokio::test]
async fn requests_without_memory_are_counted() -> anyhow::Result<()> {
    // Memory for three pages at a time.
    let limit =
        [("MEMORY_LIMIT", "1Mi"), ("EXTRA_LATENCY", "500ms"), ("ADMIN_ADDR", "127.0.0.1:0")];
    let mut shop = Processes::one(&settings(limit)).await?;
    let ports = shop.admin_addresses().await?;
    let mut pages = JoinSet::new();
    for _ in 0..12 {
        let mut visitor = Visitor::new(shop.visitor.base.clone());
        pages.spawn(async move {
            let mut refusals = 0;
            loop {
                let page = visitor.get("/").await;
                match page.status.as_u16() {
                    200 => return refusals,
                    status => assert_eq!((status, page.header("retry-after")), (503, "1")),
                }
                refusals += 1;
            }
        });
    }
    let refusals: Vec<u32> = pages.join_all().await;
    let refused: u32 = refusals.iter().sum();
    assert!(refusals.iter().filter(|refusals| **refusals > 0).count() >= 3, "{refusals:?}");
    let text = scrape(&ports[0], OPEN_METRICS).await;
    let shed = format!(
        "server_shed_total{{service_name=\"frontend\",criticality=\"critical\"}} {refused}.0\n"
    );
    assert!(text.contains(&shed), "{refused} refused: {text}");
    let of_ads =
        "rpc_client_shed_total{service_name=\"frontend\",service_peer_name=\"adservice\"} ";
    let line = text.lines().find_map(|line| line.strip_prefix(of_ads));
    assert!(line.is_some_and(|count| count != "0.0"), "ads were not left out: {text}");
    assert!(!text.contains("http_response_status_code=\"503\""), "{text}");
    let said = shop.stop().await?;
    assert_eq!(said.matches("too many requests for the memory").count(), 1, "{said}");
    assert!(!said.contains("answered GET with 503"), "{said}");
    Ok(())
}

#[tokio::test]
async fn series_are_as_many_whatever_strangers_send() -> anyhow::Result<()> {
    // A busy machine must not add codes of late answers and refusals.
    let patient = settings([
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("LOAD_SHEDDING", "0"),
        ("READ_TIMEOUT", "10s"),
        ("AD_TIMEOUT", "10s"),
        ("RECOMMENDATION_TIMEOUT", "10s"),
    ]);
    let mut shop = Processes::one(&patient).await?;
    let ports = shop.admin_addresses().await?;
    let visitor = &mut shop.visitor;
    let mut visit = async |tag: &str| {
        visitor.get(&format!("/{tag}")).await;
        visitor.get(&format!("/product/{tag}")).await;
        visitor.add(tag, 1).await;
        visitor.post("/setCurrency", &[("currency_code", tag)]).await;
        let request = visitor.request(tag, "/").body(Default::default()).unwrap();
        visitor.send(request).await;
        let request = visitor.request("POST", &format!("/hipstershop.{tag}/Get"));
        let request = request.header("content-type", "application/grpc");
        visitor.send(request.body(Default::default()).unwrap()).await;
    };
    visit("FIRST").await;
    let series = |text: String| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let before = series(scrape(&ports[0], "").await);
    for number in 0..20 {
        visit(&format!("OTHER{number}")).await;
    }
    // Older than what is kept for other readers.
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    let text = scrape(&ports[0], "").await;
    assert!(!text.contains("OTHER1") && !text.contains("FIRST"), "{text}");
    assert!(
        text.lines().all(|line| line.starts_with('#') || line.contains("{service_name=\"")),
        "{text}"
    );
    let after = series(text);
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    shop.stop().await?;
    Ok(())
}

#[tokio::test]
async fn readers_of_the_admin_port_do_not_disturb_the_shop() -> anyhow::Result<()> {
    let mut shop = Processes::one(&settings([("ADMIN_ADDR", "127.0.0.1:0")])).await?;
    let port = shop.admin_addresses().await?.remove(0);
    shop.visitor.get("/").await;
    // Some never read what they asked for, some never ask.
    let mut silent = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(&port).await?;
        if number % 2 == 0 {
            let request = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(50);
            // It may be turned away.
            let _ = stream.write_all(request.as_bytes()).await;
        }
        silent.push(stream);
    }
    let scrapes = (0..100).map(|_| {
        let mut scraper = Visitor::new(format!("http://{port}"));
        tokio::spawn(async move { scraper.get("/metrics").await.status })
    });
    for scrape in scrapes.collect::<Vec<_>>() {
        // Those that are turned away see their connection end.
        let _ = scrape.await;
    }
    for _ in 0..20 {
        assert_eq!(shop.visitor.get("/").await.status, 200);
    }
    drop(silent);
    assert!(scrape(&port, "").await.contains("http_server_request_duration_seconds"));
    // The admin port is none of the shop's, and the shop's is none of its.
    assert_eq!(shop.visitor.get("/metrics").await.status, 404);
    assert_eq!(Visitor::new(format!("http://{port}")).get("/cart").await.status, 404);
    shop.stop().await?;
    Ok(())
}
