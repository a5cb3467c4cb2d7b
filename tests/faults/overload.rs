//! The shop is offered more than it can do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use boutique_test::{Processes, Visitor, load_generator, settings};
use serde_json::Value;
use tokio::task::JoinSet;

use super::ALONE;

/// The load generator's report of a run.
async fn load(shop: &Visitor, arguments: &str) -> anyhow::Result<Value> {
    let arguments = format!("--frontend-addr {} --max-error-ratio 1 {arguments}", shop.base);
    let (output, report) = load_generator(&arguments, &BTreeMap::new()).await?;
    anyhow::ensure!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
    Ok(report)
}

/// Asks for health until it is dropped, and says how long the answers took.
async fn probe(mut visitor: Visitor, until: tokio::sync::oneshot::Receiver<()>) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut until = std::pin::pin!(until);
    loop {
        tokio::select! {
            _ = until.as_mut() => return took,
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        let asked = Instant::now();
        assert_eq!(visitor.get("/_healthz").await.status.as_u16(), 200);
        took.push(asked.elapsed());
    }
}

/// Offered three times what it can do, the shop does what it can, refuses the rest at once, checkouts last, and is
/// itself again as soon as the load is.
#[tokio::test]
async fn overloaded_shop_serves_what_it_can() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let shop = Processes::one(&settings([("TOKIO_WORKER_THREADS", "1")])).await?;
    let closed = "--users 12 --rate 100 --wait-min 0 --wait-max 0 --duration 5s";
    let calm = load(&shop.visitor, closed).await?;
    assert_eq!(calm["failures"], 0, "{}", calm["reasons"]);
    let capacity = calm["rps"].as_f64().unwrap();

    let open =
        format!("--users 500 --rps {:.0},{:.0} --duration 8s", 3.0 * capacity, 0.3 * capacity);
    let (over, until) = tokio::sync::oneshot::channel();
    let probes = tokio::spawn(probe(shop.visitor.clone(), until));
    let loaded = load(&shop.visitor, &open).await?;
    let _ = over.send(());

    let (heavy, light) = (&loaded["steps"][0], &loaded["steps"][1]);
    let figures = format!("capacity {capacity}: {heavy} then {light}");
    println!("{figures}");
    // A refusal costs a debug build a fifth of a page, and the load generator takes its part of the machine.
    assert!(heavy["goodput_rps"].as_f64().unwrap() > 0.25 * capacity, "{figures}");
    // Promised are 100 ms, on a machine of its own.
    assert!(heavy["failed_ms"]["p90"].as_f64().unwrap() < 1000.0, "{figures}");
    assert!(heavy["succeeded_ms"]["p99"].as_f64().unwrap() < 4000.0, "{figures}");
    assert_eq!(loaded["orders"]["wrong"], 0, "{figures}");
    let reasons = loaded["reasons"].as_object().unwrap();
    assert!(reasons.keys().any(|reason| reason == "GET /: status 503 Service Unavailable"));
    for (reason, count) in reasons {
        let is_refusal = reason.ends_with(": status 503 Service Unavailable");
        // A cart to which nothing could be added has nothing to check out.
        let has_nothing = reason == "POST /cart/checkout: status 422 Unprocessable Entity";
        assert!(is_refusal || has_nothing, "{count} x {reason}");
    }
    let routes = loaded["routes"].as_array().unwrap();
    let checkout = routes.iter().find(|route| route["name"] == "/cart/checkout").unwrap();
    let checkouts = checkout["requests"].as_u64().unwrap();
    let refused = reasons.get("POST /cart/checkout: status 503 Service Unavailable");
    let refused = refused.map_or(0, |count| count.as_u64().unwrap());
    // Promised is none; a machine that stops for long lets many come at once.
    assert!(checkouts > 20 && refused * 50 <= checkouts, "{reasons:?}");
    let late: u64 = loaded["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|second| {
            let is_late = second["at"].as_f64()? > heavy["seconds"].as_f64()? + 3.0;
            second["failures"].as_u64().filter(|_| is_late)
        })
        .sum();
    assert_eq!(late, 0, "{figures}");
    let probed = probes.await?;
    assert!(probed.len() > 20 && probed.iter().all(|took| *took < Duration::from_secs(1)));
    let said = shop.stop().await?;
    let lines = said.lines().filter(|line| line.contains("\"overloaded: refusing requests\""));
    assert!((1..=4).contains(&lines.count()), "{figures}");
    assert!(said.contains("no longer overloaded"), "{figures}");
    Ok(())
}

/// Asks for pages and sends forms for nine seconds. Returns how many forms led to a page that was shown, and to one that
/// was not, and how many other pages were refused.
async fn visit_with_forms(mut visitor: Visitor) -> [u32; 3] {
    let (mut shown, mut missing, mut refused) = (0, 0, 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(9) {
        refused += u32::from(visitor.get("/").await.status == 503);
        if visitor.post("/setCurrency", &[("currency_code", "EUR")]).await.status == 302 {
            let is_shown = visitor.get("/").await.status == 200;
            *(if is_shown { &mut shown } else { &mut missing }) += 1;
        }
    }
    [shown, missing, refused]
}

/// Whoever was let in with a form sees the page after it, although other pages are refused.
#[tokio::test]
async fn page_after_a_form_is_served_by_an_overloaded_shop() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let shop = Processes::one(&settings([("TOKIO_WORKER_THREADS", "1")])).await?;
    let closed =
        "--profile page:home --users 12 --rate 100 --wait-min 0 --wait-max 0 --duration 3s";
    let capacity = load(&shop.visitor, closed).await?["rps"].as_f64().unwrap();
    let open =
        format!("--profile page:home --users 500 --rps {:.0} --duration 10s", 3.0 * capacity);
    // Each with a connection of its own.
    let visitors: JoinSet<_> =
        (0..8).map(|_| visit_with_forms(Visitor::new(&shop.visitor.base))).collect();
    load(&shop.visitor, &open).await?;
    let visits = visitors.join_all().await;
    let [shown, missing, refused] =
        [0, 1, 2].map(|what| visits.iter().map(|v| v[what]).sum::<u32>());
    // Promised is that none is missing; a machine that stops for long lets many come at once. Half were without it.
    let figures = format!("{shown} shown, {missing} missing, {refused} refused");
    println!("{figures}");
    assert!(shown > 5 && refused > 5 && missing * 10 <= shown, "{figures}");
    shop.stop().await?;
    Ok(())
}
