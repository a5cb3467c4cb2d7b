//! The log over OTLP: the collector gets the lines that stdout gets, with the span of each, and never slows the shop down.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use boutique_test::{Collector, Processes, hex, settings};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

/// The lines of JSON that were printed.
fn printed(output: &str) -> Vec<Map<String, Value>> {
    output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn collector_is_sent_what_is_printed() -> anyhow::Result<()> {
    let (collector, address, _running) = Collector::start().await?;
    let settings = settings([
        ("ENABLE_TRACING", "1"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=shop-1"),
        // The last ones are sent at the end.
        ("OTEL_BLRP_SCHEDULE_DELAY", "3600000"),
    ]);
    let mut shop = Processes::ten(&settings).await?;
    shop.visitor.add("OLJCESPC7Z", 2).await;
    assert_eq!(shop.visitor.check_out(&[]).await.status, 200);
    assert_eq!(shop.visitor.get("/product/NONE").await.status, 404);
    let printed = printed(&shop.stop().await?);

    let text = |line: &Map<String, Value>, name: &str| {
        line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let printed: BTreeSet<_> = printed
        .iter()
        .filter(|line| !text(line, "service.name").is_empty())
        .map(|line| {
            ["service.name", "severity", "message", "trace_id", "span_id"]
                .map(|name| text(line, name))
        })
        .collect();
    let lines = collector.lines();
    let sent: BTreeSet<_> = lines
        .iter()
        .map(|line| {
            let (trace, span) = (hex(&line.trace.0), hex(&line.trace.1));
            [line.service.clone(), line.severity.clone(), line.message.clone(), trace, span]
        })
        .collect();
    assert!(printed.len() > 10, "{printed:?}");
    let missing: Vec<_> = printed.difference(&sent).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Each line of a request belongs to a span of that service.
    let spans = collector.spans();
    let placed =
        lines.iter().find(|line| line.service == "checkoutservice" && !line.trace.1.is_empty());
    let (trace, span) = &placed.unwrap().trace;
    let is_own = |own: &boutique_test::Span| own.trace == *trace && own.id == *span;
    assert!(spans.iter().any(|own| is_own(own) && own.service == "checkoutservice"));
    assert!(lines.iter().all(|line| line.time > 1_600_000_000_000_000_000));
    assert!(collector.raw().contains("shop-1"));
    Ok(())
}

#[tokio::test]
async fn shop_does_not_wait_for_a_silent_collector() -> anyhow::Result<()> {
    // Accepts connections, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let settings = settings([
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "1"),
    ]);
    let mut shop = Processes::one(&settings).await?;
    for _ in 0..400 {
        assert_eq!(shop.visitor.get("/").await.status, 200);
    }
    let began = Instant::now();
    let said = shop.stop().await?;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(said.contains("gave up on pushing the last telemetry"), "{said}");
    Ok(())
}
