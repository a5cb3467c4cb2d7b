//! One checkout is one connected trace of the nine services it touches, one product page one with
//! adservice in it: in one process and in ten, each service under its own name.

use std::collections::BTreeSet;

use boutique_service::Env;

use crate::collector::{Collector, Span};
use crate::open;
use boutique_test::Visitor;
use boutique_test::{Processes, settings};

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

async fn shop(visitor: &mut Visitor) {
    visitor.add("OLJCESPC7Z", 2).await;
    visitor.add("6E92ZMYYFZ", 1).await;
    assert_eq!(visitor.get("/product/9SIQT8TOJO").await.status, 200);
    assert_eq!(visitor.check_out(&[]).await.status, 200);
}

fn services(trace: &[Span]) -> BTreeSet<&str> {
    trace.iter().map(|span| span.service.as_str()).collect()
}

/// Every span but one has its parent in the same trace.
fn assert_connected(trace: &[Span]) {
    let ids: BTreeSet<_> = trace.iter().map(|span| &span.id).collect();
    assert_eq!(ids.len(), trace.len(), "each span has an id of its own");
    let orphans: Vec<_> = trace.iter().filter(|span| !ids.contains(&span.parent)).collect();
    assert_eq!(orphans.len(), 1, "{orphans:#?}");
    assert!(orphans[0].parent.is_empty() && orphans[0].service == "frontend", "{orphans:#?}");
}

fn assert_traced(collector: &Collector) {
    let checkouts = collector.traces_with("POST /cart/checkout");
    assert_eq!(checkouts.len(), 1);
    assert_connected(&checkouts[0]);
    assert_eq!(services(&checkouts[0]), BTreeSet::from(CHECKOUT));
    let servers = |name: &str| checkouts[0].iter().filter(|span| span.name == name).count();
    // Two products and a quote, each call seen by its caller and by its callee.
    assert_eq!(servers("hipstershop.CurrencyService/Convert"), 2 * 3);
    assert_eq!(servers("hipstershop.PaymentService/Charge"), 2);

    let pages = collector.traces_with("GET /product/{id}");
    assert_eq!(pages.len(), 1);
    assert_connected(&pages[0]);
    assert!(services(&pages[0]).contains("adservice"));
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

    shop(&mut visitor).await;
    open.close().await;

    assert_traced(&collector);
    Ok(())
}

#[tokio::test]
async fn ten_processes_trace_as_one_shop() -> anyhow::Result<()> {
    let (collector, address, _running) = Collector::start().await?;
    let settings =
        settings([("ENABLE_TRACING", "1"), ("COLLECTOR_SERVICE_ADDR", address.as_str())]);
    let mut processes = Processes::ten(&settings).await?;

    shop(&mut processes.visitor).await;
    processes.stop().await?;

    assert_traced(&collector);
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
    let hex: String = traces[0][0].trace.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, trace);
    Ok(())
}
