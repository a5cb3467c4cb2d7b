//! One checkout is one connected trace of the nine services it touches, one product page one with
//! adservice in it: in one process and in ten, each service under its own name.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use boutique_service::Env;
use tokio::net::TcpListener;

use crate::metrics::{OPEN_METRICS, scrape};
use crate::open;
use boutique_test::{
    Collector, Jaeger, Processes, RedisServer, Relay, Span, Visitor, free_address, hex, settings,
    traces_with,
};

const CHECKOUT: [&str; 9] = [
    "cartservice",
    "checkoutservice",
    "currencyservice",
    "emailservice",
    "frontend",
    "paymentservice",
    "productcatalogservice",
    "recommendationservice",
    "shippingservice",
];

async fn buy(visitor: &mut Visitor) {
    visitor.add("OLJCESPC7Z", 2).await;
    visitor.add("6E92ZMYYFZ", 1).await;
    assert_eq!(visitor.get("/product/9SIQT8TOJO").await.status, 200);
    assert_eq!(visitor.check_out(&[]).await.status, 200);
}

fn services(trace: &[Span]) -> BTreeSet<&str> {
    trace.iter().map(|span| span.service.as_str()).collect()
}

/// Every span but one has its parent in the same trace.
fn check_connected(trace: &[Span]) -> anyhow::Result<()> {
    let ids: BTreeSet<_> = trace.iter().map(|span| &span.id).collect();
    ensure!(ids.len() == trace.len(), "each span has an id of its own");
    let orphans: Vec<_> = trace.iter().filter(|span| !ids.contains(&span.parent)).collect();
    ensure!(orphans.len() == 1, "{orphans:#?}");
    ensure!(orphans[0].parent.is_empty() && orphans[0].service == "frontend", "{orphans:#?}");
    Ok(())
}

/// The checkout is one whole trace of nine services, and the product page one with adservice in it.
fn check_traced(spans: &[Span]) -> anyhow::Result<()> {
    let checkouts = traces_with(spans, "POST /cart/checkout");
    ensure!(checkouts.len() == 1, "{} checkouts", checkouts.len());
    check_connected(&checkouts[0])?;
    let found = services(&checkouts[0]);
    ensure!(found == BTreeSet::from(CHECKOUT), "{found:?}");
    for (name, expected) in [
        // Two products and a quote, each call seen by its caller and by its callee.
        ("hipstershop.CurrencyService/Convert", 2 * 3),
        ("hipstershop.PaymentService/Charge", 2),
        ("prepare the order", 1),
        ("charge", 1),
        ("ship", 1),
        ("empty the cart", 1),
        ("confirm the order", 1),
    ] {
        let count = checkouts[0].iter().filter(|span| span.name == name).count();
        ensure!(count == expected, "{name}: {count}");
    }

    let pages = traces_with(spans, "GET /product/{id}");
    ensure!(pages.len() == 1, "{} product pages", pages.len());
    check_connected(&pages[0])?;
    ensure!(services(&pages[0]).contains("adservice"), "no ads");
    Ok(())
}

#[tokio::test]
async fn inside_one_process_each_service_traces_under_its_own_name() -> anyhow::Result<()> {
    let (collector, address, _running) = Collector::start().await?;
    let settings = Env::from([
        ("ENABLE_TRACING", "1"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("OTEL_SERVICE_NAME", "everything"),
    ]);
    let (mut visitor, open, ..) = open(&settings).await?;

    buy(&mut visitor).await;
    open.close().await;

    check_traced(&collector.spans())
}

/// Through an OpenTelemetry Collector and into Jaeger, as the profile of compose has them; an exemplar of the metrics
/// leads to its trace.
#[tokio::test]
async fn ten_processes_trace_as_one_shop() -> anyhow::Result<()> {
    let jaeger = Jaeger::start().await?;
    let relay = Relay::start(&jaeger.address).await?;
    let settings = settings([
        ("ENABLE_TRACING", "1"),
        ("COLLECTOR_SERVICE_ADDR", relay.address.as_str()),
        ("ADMIN_ADDR", "127.0.0.1:0"),
    ]);
    let mut processes = Processes::ten(&settings).await?;

    buy(&mut processes.visitor).await;
    let mut exemplars = BTreeSet::new();
    for address in processes.admin_addresses().await? {
        let metrics = scrape(&address, OPEN_METRICS).await;
        let ids = metrics.split("trace_id=\"").skip(1).filter_map(|rest| rest.split('"').next());
        exemplars.extend(ids.map(str::to_owned));
    }
    processes.stop().await?;
    relay.stop().await?;

    assert!(!exemplars.is_empty());
    let check = |spans: &[Span]| {
        let traces: BTreeSet<_> = spans.iter().map(|span| hex(&span.trace)).collect();
        ensure!(exemplars.is_subset(&traces), "{exemplars:?} {traces:?}");
        check_traced(spans)
    };
    jaeger.until("frontend", check).await
}

/// Without `COLLECTOR_SERVICE_ADDR`, as an operator of OpenTelemetry sets it.
#[tokio::test]
async fn all_signals_follow_the_standard_settings() -> anyhow::Result<()> {
    let (traces, to_traces, _running) = Collector::start().await?;
    let (others, to_others, _running_too) = Collector::start().await?;
    let settings = settings([
        ("ENABLE_TRACING", "1"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", to_others.as_str()),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("http://{to_traces}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20all"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "authorization=Bearer%20logs"),
    ]);
    let mut shop = Processes::one(&settings).await?;
    buy(&mut shop.visitor).await;
    let printed = shop.stop().await?;

    check_traced(&traces.spans())?;
    assert!(traces.requests_with("authorization", "Bearer all") > 0);
    assert!(!others.metrics("frontend").is_empty() && !others.lines().is_empty());
    assert!(others.spans().is_empty());
    assert!(others.requests_with("authorization", "Bearer all") > 0, "metrics");
    assert!(others.requests_with("authorization", "Bearer logs") > 0, "logs");
    assert!(!printed.contains("Bearer"));
    Ok(())
}

#[tokio::test]
async fn values_that_are_not_known_are_named_once() -> anyhow::Result<()> {
    let (collector, address, _running) = Collector::start().await?;
    let unknown = [
        ("OTEL_PROPAGATORS", "tracecontext,jaeger"),
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_METRICS_EXPORTER", "otlp,statsd"),
        ("OTEL_LOGS_EXPORTER", "otlp,files"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ];
    let mut settings =
        settings([("ENABLE_TRACING", "1"), ("COLLECTOR_SERVICE_ADDR", address.as_str())]);
    settings.extend(unknown.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut shop = Processes::one(&settings).await?;
    buy(&mut shop.visitor).await;
    let printed = shop.stop().await?;

    for (name, _) in unknown {
        assert_eq!(printed.matches(&format!("ignored {name}: ")).count(), 1, "{name}");
    }
    check_traced(&collector.spans())
}

#[tokio::test]
async fn commands_of_redis_and_mails_are_spans() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let (collector, address, _running) = Collector::start().await?;
    let settings = Env::from([
        ("ENABLE_TRACING", "1"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("REDIS_ADDR", redis.address().as_str()),
        ("ORDER_STORE_ADDR", redis.address().as_str()),
        // Nobody listens there.
        ("SMTP_URL", "127.0.0.1:1"),
    ]);
    let (mut visitor, open, ..) = open(&settings).await?;
    buy(&mut visitor).await;
    // The mail is tried after the answer.
    while !collector.raw().contains("\"smtp\"") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    open.close().await;

    let checkouts = collector.traces_with("POST /cart/checkout");
    check_connected(&checkouts[0])?;
    let systems = checkouts[0]
        .iter()
        .filter(|span| span.attributes.get("db.system.name").is_some_and(|name| name == "redis"));
    let services: BTreeSet<_> = systems.map(|span| span.service.as_str()).collect();
    let expected =
        ["cartservice", "checkoutservice", "emailservice", "paymentservice", "shippingservice"];
    assert_eq!(services, BTreeSet::from(expected));
    let mails = checkouts[0].iter().filter(|span| span.name == "smtp");
    assert!(mails.map(|span| span.is_error).next().unwrap());
    Ok(())
}

#[tokio::test]
async fn resumed_order_links_to_the_request_that_placed_it() -> anyhow::Result<()> {
    let (collector, address, _running) = Collector::start().await?;
    let fault = "{faults: [{name: lost parcels, rpc: hipstershop.ShippingService/ShipOrder, status: UNAVAILABLE, until: 2s}]}";
    let settings = Env::from([
        ("ENABLE_TRACING", "1"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("FAULTS", fault),
    ]);
    let (mut visitor, open, ..) = open(&settings).await?;
    visitor.add("OLJCESPC7Z", 1).await;
    assert_eq!(visitor.check_out(&[]).await.status, 202);
    while !visitor.get("/orders").await.body.contains(">complete<") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    open.close().await;

    let resumed = collector.traces_with("resume the order");
    let placed = collector.traces_with("POST /cart/checkout");
    let first = resumed.last().unwrap().iter().find(|span| span.name == "resume the order");
    assert_eq!(first.unwrap().links, [placed[0][0].trace.clone()]);
    assert!(resumed.iter().flatten().any(|span| span.name.ends_with("/ShipOrder")));
    Ok(())
}

#[tokio::test]
async fn failed_requests_are_exported_though_nothing_is_sampled() -> anyhow::Result<()> {
    let (collector, address, _running) = Collector::start().await?;
    let fault = "{faults: [{name: no catalog, rpc: hipstershop.ProductCatalogService/GetProduct, status: INTERNAL}]}";
    let settings = Env::from([
        ("ENABLE_TRACING", "1"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("TRACE_ERRORS", "1"),
        ("FAULTS", fault),
    ]);
    let (mut visitor, open, ..) = open(&settings).await?;
    assert_eq!(visitor.get("/cart").await.status, 200);
    assert_eq!(visitor.get("/product/OLJCESPC7Z").await.status, 500);
    open.close().await;

    assert!(collector.traces_with("GET /cart").is_empty());
    let failed = collector.traces_with("GET /product/{id}");
    check_connected(&failed[0])?;
    assert!(failed[0].iter().all(|span| span.is_error));
    assert_eq!(services(&failed[0]), BTreeSet::from(["frontend", "productcatalogservice"]));
    Ok(())
}

/// Recording is what tracing costs, so it stops while it is of no use.
#[tokio::test]
async fn spans_are_not_recorded_while_the_collector_is_out() -> anyhow::Result<()> {
    let address = free_address()?.to_string();
    let settings = settings([
        ("ENABLE_TRACING", "1"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
    ]);
    let mut shop = Processes::one(&settings).await?;
    let mut visit_until = async |line: &str| {
        let visits = async {
            while !shop.all[0].output().contains(line) {
                assert_eq!(shop.visitor.get("/").await.status, 200);
            }
        };
        tokio::time::timeout(Duration::from_secs(60), visits).await.with_context(|| line.to_owned())
    };
    visit_until("the collector takes no spans of frontend").await?;
    let (collector, _, _running) = Collector::start_at(&address).await?;
    visit_until("the collector takes spans of frontend again").await?;
    assert_eq!(shop.visitor.get("/product/OLJCESPC7Z").await.status, 200);
    shop.stop().await?;
    assert_eq!(collector.traces_with("GET /product/{id}").len(), 1);
    Ok(())
}

/// The last spans of ten services, metrics and log lines are exported together, and within a bound.
#[tokio::test]
async fn shop_ends_soon_although_the_collector_is_silent() -> anyhow::Result<()> {
    // Accepts connections, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let settings = settings([
        ("ENABLE_TRACING", "1"),
        ("COLLECTOR_SERVICE_ADDR", listener.local_addr()?.to_string().as_str()),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
    ]);
    let mut shop = Processes::one(&settings).await?;
    buy(&mut shop.visitor).await;
    let began = Instant::now();
    shop.stop().await?;
    // A pod of upstream's is killed after five seconds; it takes two.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_callers_trace_goes_on_here() -> anyhow::Result<()> {
    let (collector, address, _running) = Collector::start().await?;
    let settings =
        Env::from([("ENABLE_TRACING", "1"), ("COLLECTOR_SERVICE_ADDR", address.as_str())]);
    let (mut visitor, open, ..) = open(&settings).await?;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");

    let request = visitor.request("GET", "/").header("traceparent", parent);
    visitor.send(request.body(Default::default())?).await;
    open.close().await;

    let traces = collector.traces_with("GET /");
    assert_eq!(traces.len(), 1);
    assert_eq!(hex(&traces[0][0].trace), trace);
    Ok(())
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Visits the home page with these headers; returns the ids of the traces of its spans.
async fn visit(settings: &[(&str, &str)], headers: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
    let (collector, address, _running) = Collector::start().await?;
    let mut env = Env::from([("ENABLE_TRACING", "1"), ("COLLECTOR_SERVICE_ADDR", &*address)]);
    for (name, value) in settings {
        env.set(name, *value);
    }
    let (mut visitor, open, ..) = open(&env).await?;
    let mut request = visitor.request("GET", "/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    assert_eq!(visitor.send(request.body(Default::default())?).await.status, 200);
    open.close().await;
    Ok(collector.traces_with("GET /").iter().map(|spans| hex(&spans[0].trace)).collect())
}

#[tokio::test]
async fn a_strangers_sampling_is_not_obeyed_unless_told() -> anyhow::Result<()> {
    let unsampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    let sampled = format!("00-{TRACE}-b7ad6b7169203331-01");
    let off = ("OTEL_TRACES_SAMPLER", "parentbased_always_off");
    for (settings, parent, traces) in [
        (&[][..], &unsampled, &[TRACE][..]),
        (&[("TRACE_CONTEXT", "obey")], &unsampled, &[]),
        (&[("TRACE_CONTEXT", "obey")], &sampled, &[TRACE]),
        (&[off], &sampled, &[]),
        (&[("TRACE_CONTEXT", "obey"), off], &sampled, &[TRACE]),
        (&[("OTEL_TRACES_SAMPLER", "always_off")], &sampled, &[]),
        (
            &[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")],
            &sampled,
            &[],
        ),
        (&[("OTEL_SDK_DISABLED", "True")], &sampled, &[]),
        (&[("OTEL_TRACES_EXPORTER", "none")], &sampled, &[]),
    ] {
        let found = visit(settings, &[("traceparent", parent)]).await?;
        assert_eq!(found, traces, "{settings:?} {parent}");
    }
    let linked = visit(&[("TRACE_CONTEXT", "link")], &[("traceparent", &sampled)]).await?;
    assert!(linked.len() == 1 && linked[0] != TRACE, "{linked:?}");
    Ok(())
}

#[tokio::test]
async fn b3_is_read_where_a_setting_says_so() -> anyhow::Result<()> {
    let b3 = format!("{TRACE}-b7ad6b7169203331-1");
    let multi = [("x-b3-traceid", TRACE), ("x-b3-spanid", "b7ad6b7169203331")];
    for (list, headers, goes_on) in [
        ("b3", &[("b3", b3.as_str())][..], true),
        ("tracecontext,b3multi", &multi, true),
        ("tracecontext,baggage", &multi, false),
    ] {
        let found = visit(&[("OTEL_PROPAGATORS", list)], headers).await?;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0] == TRACE, goes_on, "{list}");
    }
    Ok(())
}

#[tokio::test]
async fn endless_trace_headers_spoil_no_page() -> anyhow::Result<()> {
    let long = "x".repeat(20_000);
    for name in ["traceparent", "tracestate", "baggage", "b3", "x-request-id"] {
        visit(&[], &[(name, &long)]).await?;
    }
    Ok(())
}

/// The needs of meshes: the ids of a request reach every service, and its log, as they came.
#[tokio::test]
async fn request_ids_and_b3_headers_reach_every_service() -> anyhow::Result<()> {
    let mut shop = Processes::ten(&settings([("RUST_LOG", "debug")])).await?;
    shop.visitor.headers =
        vec![("x-request-id", "req-4711".to_owned()), ("x-b3-traceid", TRACE.to_owned())];
    buy(&mut shop.visitor).await;
    let names: Vec<_> = shop.all.iter().map(|process| process.name).collect();
    let said = shop.stop().await?;

    for name in names {
        let line = said.lines().find(|line| {
            line.contains(&format!("\"service.name\":\"{name}\"")) && line.contains("req-4711")
        });
        let line = line.unwrap_or_else(|| panic!("{name} never says the id"));
        assert!(line.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{line}");
    }
    Ok(())
}
