//! Faults on demand in the shop: switched at the admin port, marked in metrics and spans.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use boutique_proto::{AdRequest, ad_service, services};
use boutique_service::{Env, Registry, client};
use boutique_test::{Answer, Collector, Process, Processes, Visitor, settings};
use serde_json::Value;

use crate::open;

const SLOW: &str =
    "faults:\n- name: no cart\n  rpc: hipstershop.CartService/GetCart\n  status: INTERNAL\n";

async fn put(admin: &mut Visitor, path: &str, token: &str, body: &str) -> Answer {
    let request = admin.request("PUT", path).header("authorization", format!("Bearer {token}"));
    admin.send(request.body(body.to_owned().into()).unwrap()).await
}

async fn fault(admin: &mut Visitor) -> anyhow::Result<Value> {
    let state: Value = serde_json::from_str(&admin.get("/faults").await.body)?;
    Ok(state["faults"][0].clone())
}

#[tokio::test]
async fn faults_are_switched_at_the_admin_port() -> anyhow::Result<()> {
    let settings = settings([("ADMIN_ADDR", "127.0.0.1:0"), ("ADMIN_TOKEN", "open sesame")]);
    let mut shop = Processes::one(&settings).await?;
    let ports = shop.admin_addresses().await?;
    let mut admin = Visitor::new(format!("http://{}", ports[0]));
    assert!(admin.get("/").await.body.contains("<h1>Faults</h1>"));
    assert_eq!(admin.get("/faults").await.body, r#"{"faults":[],"can_be_changed":true}"#);
    for token in ["", "open", "open sesame!", "OPEN SESAME"] {
        assert_eq!(put(&mut admin, "/faults", token, SLOW).await.status, 401, "{token}");
    }
    assert_eq!(shop.visitor.get("/cart").await.status, 200);

    let token = "open sesame";
    assert_eq!(put(&mut admin, "/faults", token, SLOW).await.status, 200);
    assert_eq!(shop.visitor.get("/cart").await.status, 500);
    let struck = fault(&mut admin).await?;
    assert_eq!(struck["name"], "no cart");
    assert_eq!(struck["service"], "cartservice");
    assert!(struck["injected"].as_u64() >= Some(1));
    let refused = put(&mut admin, "/faults", token, "faults:\n- name: x\n  hangs: true\n").await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("unknown field `hangs`"), "{}", refused.body);
    assert!(refused.body.contains("line 3"), "{}", refused.body);
    assert_eq!(fault(&mut admin).await?["name"], "no cart");
    let metrics = admin.get("/metrics").await.body;
    let counted = "faults_injected_total{service_name=\"cartservice\",fault_name=\"no cart\"}";
    assert!(metrics.contains(counted), "{metrics}");

    let path = "/faults/no%20cart";
    for (path, body, status) in [
        ("/faults/other", r#"{"enabled": false}"#, 404),
        (path, r#"{"enabled": "off"}"#, 422),
        (path, r#"{"enabled": false}"#, 200),
    ] {
        assert_eq!(put(&mut admin, path, token, body).await.status, status, "{body}");
    }
    assert_eq!(shop.visitor.get("/cart").await.status, 200);
    assert_eq!(fault(&mut admin).await?["on"], false);
    assert_eq!(put(&mut admin, path, token, r#"{"enabled": true}"#).await.status, 200);
    assert_eq!(shop.visitor.get("/cart").await.status, 500);

    // Never at the port of the shop.
    for path in ["/faults", "/metrics"] {
        assert_eq!(shop.visitor.get(path).await.status, 404);
    }
    let said = shop.stop().await?;
    assert!(said.contains("the fault no cart was switched off"), "{said}");
    assert!(!said.contains(token));
    Ok(())
}

#[tokio::test]
async fn without_a_token_faults_are_shown_and_never_changed() -> anyhow::Result<()> {
    let settings = settings([("ADMIN_ADDR", "127.0.0.1:0"), ("FAULTS", SLOW)]);
    let mut shop = Processes::one(&settings).await?;
    let ports = shop.admin_addresses().await?;
    let mut admin = Visitor::new(format!("http://{}", ports[0]));
    assert_eq!(put(&mut admin, "/faults", "", "faults: []").await.status, 401);
    assert_eq!(
        put(&mut admin, "/faults/no%20cart", "x", r#"{"enabled": false}"#).await.status,
        401
    );
    assert_eq!(fault(&mut admin).await?["on"], true);
    shop.stop().await?;
    Ok(())
}

#[tokio::test]
async fn crash_ends_its_process_and_busy_threads_take_its_time() -> anyhow::Result<()> {
    let busy = "{faults: [{name: busy, service: adservice, busy_threads: 1}]}";
    let crash = "{faults: [{name: crash, rpc: hipstershop.AdService/GetAds, crash: true}]}";
    let ads = async |fault| {
        let own = [
            ("PORT", "0"),
            ("LISTEN_ADDR", "127.0.0.1"),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("FAULTS", fault),
        ];
        let mut process = Process::start("adservice", &settings(own))?;
        let address = process.address().await?;
        let mut env = Env::default();
        env.set(services::AD.addr_key, address);
        let ads: ad_service::Client<_> = client(&env, &Registry::default())?;
        anyhow::Ok((process, ads))
    };
    let (process, calls) = ads(crash).await?;
    assert!(calls.get_ads(AdRequest::default()).await.is_err());
    let (status, said) = process.wait().await?;
    assert_eq!(status.signal(), Some(6), "{said}");
    assert!(said.contains("crashed by the fault crash"), "{said}");

    let (mut process, calls) = ads(busy).await?;
    let mut admin = Visitor::new(format!("http://{}", process.admin_address().await?));
    let mut seconds = async || {
        let metrics = admin.get("/metrics").await.body;
        let lines =
            metrics.lines().filter(|line| line.starts_with("process_cpu_time_seconds_total{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
    };
    let before = seconds().await;
    while seconds().await < before + 0.3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    calls.get_ads(AdRequest::default()).await?;
    Ok(())
}

#[tokio::test]
async fn injected_faults_are_marked_in_spans() -> anyhow::Result<()> {
    let (collector, address, _running) = Collector::start().await?;
    let faults = "{faults: [
        {name: slow ads, rpc: hipstershop.AdService/GetAds, delay: 1ms},
        {name: slow page, route: '/product/{id}', delay: 1ms}]}";
    let settings = Env::from([
        ("ENABLE_TRACING", "1"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("FAULTS", faults),
        ("EXTRA_LATENCY", "1ms"),
    ]);
    let (mut visitor, open, ..) = open(&settings).await?;
    assert_eq!(visitor.get("/product/OLJCESPC7Z").await.status, 200);
    open.close().await;

    let traces = collector.traces_with("GET /product/{id}");
    let marked = |name: &str| {
        let spans = traces[0]
            .iter()
            .filter(|span| span.attributes.get("fault.name").is_some_and(|fault| fault == name));
        spans.map(|span| span.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(marked("slow ads"), ["hipstershop.AdService/GetAds"]);
    assert_eq!(marked("slow page"), ["GET /product/{id}"]);
    let catalog = marked("EXTRA_LATENCY");
    assert!(!catalog.is_empty());
    assert!(catalog.iter().all(|name| name.starts_with("hipstershop.ProductCatalogService/")));
    Ok(())
}
