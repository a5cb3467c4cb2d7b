//! Faults on demand, each over the wire and inside the process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use boutique_proto::ad_service_server::AdService;
use boutique_proto::{Ad, AdRequest, AdResponse, ad_service, services};
use boutique_service::{
    Channel, Env, Registry, Router, ServerHandle, ServiceSpec, client, is_unanswered, spawn,
    spawn_inproc,
};
use boutique_test::{Visitor, serve_router};
use tonic::{Code, Request, Response, Status};

const SERVICE: ServiceSpec = services::AD;
type Ads = ad_service::Client<Channel>;

/// Counts its calls, and answers one ad.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Counting {
    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[tonic::async_trait]
impl AdService for Counting {
    async fn get_ads(&self, _request: Request<AdRequest>) -> Result<Response<AdResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let ad = Ad { redirect_url: "/product/1".to_owned(), text: "x".repeat(3000) };
        Ok(Response::new(AdResponse { ads: vec![ad] }))
    }
}

fn with_fault(fault: &str) -> Env {
    let fault = format!("{{faults: [{{name: test, {fault}}}]}}");
    Env::from([("FAULTS", fault.as_str()), ("AD_TIMEOUT", "10s")])
}

async fn over_the_wire(service: &Counting, env: &Env) -> anyhow::Result<(Ads, ServerHandle)> {
    let router = Router::grpc(ad_service::into_server(service.clone()));
    let running = serve_router(SERVICE, env, router).await?;
    let mut env = env.clone();
    env.set(SERVICE.addr_key, running.address().unwrap().to_string());
    Ok((client(&env, &Registry::default())?, running))
}

async fn inside_the_process(service: &Counting, env: &Env) -> anyhow::Result<(Ads, ServerHandle)> {
    let (mut env, mut registry) = (env.clone(), Registry::default());
    let router = Router::grpc(ad_service::into_server(service.clone()));
    let running = spawn_inproc(SERVICE, &mut env, &mut registry, router).await?;
    Ok((client(&env, &registry)?, running))
}

/// Makes one call in both ways, and returns what came of each: the result, the time it took, and the calls that arrived.
async fn call(fault: &str) -> anyhow::Result<[(Result<AdResponse, Status>, Duration, usize); 2]> {
    let env = with_fault(fault);
    let (wire, inside) = (Counting::default(), Counting::default());
    let (over_wire, _running) = over_the_wire(&wire, &env).await?;
    let (in_process, _running) = inside_the_process(&inside, &env).await?;
    let began = Instant::now();
    let one = over_wire.get_ads(AdRequest::default()).await;
    let took = began.elapsed();
    let began = Instant::now();
    let other = in_process.get_ads(AdRequest::default()).await;
    Ok([(one, took, wire.calls()), (other, began.elapsed(), inside.calls())])
}

#[tokio::test]
async fn status_is_answered_in_place_of_the_service() -> anyhow::Result<()> {
    for fault in ["status: UNAVAILABLE", "status: 503"] {
        for (result, _, calls) in call(fault).await? {
            let status = result.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable);
            assert_eq!(status.message(), "injected by the fault test");
            assert_eq!(calls, 0);
        }
    }
    Ok(())
}

#[tokio::test]
async fn delays_and_slow_bodies_take_their_time() -> anyhow::Result<()> {
    for fault in ["delay: 200ms", "delay: {p0: 200ms, p99: 210ms}", "slow_body: 60ms", "cpu: 200ms"]
    {
        for (result, took, _) in call(fault).await? {
            assert_eq!(result?.ads.len(), 1);
            assert!(took >= Duration::from_millis(180), "{fault}: {took:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn dropped_connection_is_lost_before_or_after_the_request_is_processed() -> anyhow::Result<()>
{
    for (fault, expected) in [("drop: request", 0), ("drop: answer", 1)] {
        // A read is made once more.
        for ((result, _, calls), attempts) in call(fault).await?.into_iter().zip([2, 1]) {
            let status = result.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable);
            assert!(is_unanswered(&status), "{fault}: {status:?}");
            assert_eq!(calls, expected * attempts, "{fault}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn hanging_request_ends_with_its_deadline() -> anyhow::Result<()> {
    let mut env = with_fault("hang: true");
    env.set("AD_TIMEOUT", "200ms");
    let service = Counting::default();
    for (ads, _running) in
        [over_the_wire(&service, &env).await?, inside_the_process(&service, &env).await?]
    {
        let status = ads.get_ads(AdRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }
    assert_eq!(service.calls(), 0);
    Ok(())
}

#[tokio::test]
async fn wrong_data_decodes() -> anyhow::Result<()> {
    let fault = "rpc: hipstershop.AdService/GetAds, wrong_data: true, slow_body: 1ms, memory: 64Ki";
    for (result, _, calls) in call(fault).await? {
        assert_eq!(result?.ads[0].redirect_url, "/product/0000000000");
        assert_eq!(calls, 1);
    }
    Ok(())
}

/// Returns which of 200 calls failed.
async fn failures(fault: &str) -> anyhow::Result<Vec<bool>> {
    let (ads, _running) = inside_the_process(&Counting::default(), &with_fault(fault)).await?;
    let mut failures = Vec::new();
    for _ in 0..200 {
        failures.push(ads.get_ads(AdRequest::default()).await.is_err());
    }
    Ok(failures)
}

#[tokio::test]
async fn seed_repeats_the_same_share_of_requests() -> anyhow::Result<()> {
    let fault = "status: ABORTED, percentage: 30, seed: 7";
    let failed = failures(fault).await?;
    assert_eq!(failed, failures(fault).await?);
    let count = failed.iter().filter(|failed| **failed).count();
    assert!((40..=80).contains(&count), "{count}");
    assert_ne!(failed, failures("status: ABORTED, percentage: 30, seed: 8").await?);
    assert!(!failures("status: ABORTED, percentage: 0").await?.contains(&true));
    Ok(())
}

/// Calls with these metadata, over the wire and inside the process.
async fn fails(
    fault: &str,
    metadata: &[(&'static str, &'static str)],
) -> anyhow::Result<[bool; 2]> {
    let env = with_fault(&format!("{fault}, status: ABORTED"));
    let service = Counting::default();
    let (over_wire, _wire) = over_the_wire(&service, &env).await?;
    let (in_process, _inside) = inside_the_process(&service, &env).await?;
    let mut results = [false; 2];
    for (result, ads) in results.iter_mut().zip([over_wire, in_process]) {
        let mut request = Request::new(AdRequest::default());
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, value.parse()?);
        }
        *result = ads.get_ads_with_metadata(request).await.is_err();
    }
    Ok(results)
}

#[tokio::test]
async fn only_matching_requests_are_affected() -> anyhow::Result<()> {
    for (fault, metadata, strikes) in [
        ("rpc: hipstershop.AdService/GetAds", &[][..], true),
        ("rpc: hipstershop.CartService/GetCart", &[], false),
        ("service: adservice", &[], true),
        ("service: cartservice", &[], false),
        ("route: /", &[], false),
        ("headers: {x-test: 'yes'}", &[("x-test", "yes")], true),
        ("headers: {x-test: 'yes'}", &[("x-test", "no")], false),
        ("headers: {x-test: 'yes'}", &[], false),
        ("caller: frontend", &[], false),
        ("from: 1h", &[], false),
        ("from: 0s, until: 1h", &[], true),
        ("until: 0s", &[], false),
        ("until: '2026-01-31T09:30:00Z'", &[], false),
        ("from: '2026-01-31T09:30:00+01:00'", &[], true),
        ("enabled: false", &[], false),
    ] {
        assert_eq!(fails(fault, metadata).await?, [strikes; 2], "{fault} {metadata:?}");
    }
    Ok(())
}

/// Answers with what the next service says.
fn front(ads: Ads) -> Router {
    let page = move || {
        let ads = ads.clone();
        async move { ads.get_ads(AdRequest::default()).await.map_or("failed", |_| "answered") }
    };
    Router::http(axum::Router::new().route("/product/{id}", axum::routing::get(page)))
}

async fn shop(fault: &str) -> anyhow::Result<(Visitor, [ServerHandle; 2])> {
    let env = with_fault(fault);
    let (ads, behind) = over_the_wire(&Counting::default(), &env).await?;
    let front = serve_router(services::FRONTEND, &env, front(ads)).await?;
    Ok((Visitor::new(format!("http://{}", front.address().unwrap())), [front, behind]))
}

#[tokio::test]
async fn caller_and_baggage_reach_the_next_service() -> anyhow::Result<()> {
    for (fault, body) in [
        ("rpc: hipstershop.AdService/GetAds, caller: frontend", "failed"),
        ("rpc: hipstershop.AdService/GetAds, caller: checkoutservice", "answered"),
        ("service: adservice, baggage: {load: synthetic}", "failed"),
        ("service: adservice, baggage: {load: organic}", "answered"),
    ] {
        let (mut visitor, _shop) = shop(&format!("{fault}, status: ABORTED")).await?;
        visitor.headers.push(("baggage", "a=b,load=synthetic;x=y".to_owned()));
        assert_eq!(visitor.get("/product/1").await.body, body, "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn routes_match_by_path_and_method() -> anyhow::Result<()> {
    for (route, status) in [
        ("GET /product/{id}", 429),
        ("/product/1", 429),
        ("/product/*", 429),
        ("POST /product/{id}", 200),
        ("/product", 200),
        ("/product/{id}/more", 200),
    ] {
        let (mut visitor, _shop) = shop(&format!("route: '{route}', status: 429")).await?;
        assert_eq!(visitor.get("/product/1").await.status, status, "{route}");
    }
    let (mut visitor, _shop) = shop("route: '/product/{id}', slow_body: 150ms").await?;
    let began = Instant::now();
    assert_eq!(visitor.get("/product/1").await.body, "answered");
    assert!(began.elapsed() >= Duration::from_millis(150));
    Ok(())
}

#[tokio::test]
async fn dropped_page_closes_its_connection() -> anyhow::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (visitor, _shop) = shop("route: '/product/{id}', drop: answer").await?;
    let address = visitor.base.trim_start_matches("http://").to_owned();
    let mut connection = tokio::net::TcpStream::connect(address).await?;
    connection.write_all(b"GET /product/1 HTTP/1.1\r\nhost: shop\r\n\r\n").await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    assert_eq!(String::from_utf8_lossy(&answer), "");
    Ok(())
}

#[tokio::test]
async fn malformed_description_is_refused_with_line_and_reason() -> anyhow::Result<()> {
    for (description, problem) in [
        (
            "faults:\n  - name: a\n    rpc: hipstershop.AdService/GetNothing\n    hang: true\n",
            "no RPC \"hipstershop.AdService/GetNothing\"",
        ),
        ("faults:\n  - name: a\n    delay: soon\n", "\"soon\" is no duration"),
        ("faults:\n  - name: a\n    delay: {p50: 2s, p99: 1s}\n", "must not fall"),
        ("faults:\n  - name: a\n    delays: 2s\n", "unknown field `delays`"),
        ("faults:\n  - name: a\n    status: GONE\n", "\"GONE\" is no status"),
        ("faults:\n  - name: a\n    status: 200\n", "200 is no HTTP status of an error"),
        ("faults:\n  - name: a\n    percentage: 101\n    hang: true\n", "101 is not 0 to 100"),
        ("faults:\n  - name: a\n    memory: 2Gi\n", "no size of at most 1Gi"),
        ("faults:\n  - name: a\n    from: later\n    hang: true\n", "\"later\" is neither"),
        ("faults:\n  - name: a\n    route: cart\n    hang: true\n", "\"cart\" is no route"),
        (
            "faults:\n  - name: a\n    service: adservices\n    hang: true\n",
            "no service \"adservices\"",
        ),
        ("faults:\n  - name: a\n    enabled: true\n", "it does nothing"),
        (
            "faults:\n  - name: a\n    hang: true\n    crash: true\n",
            "one of status, drop, hang and crash",
        ),
        ("faults:\n  - name: a\n    wrong_data: true\n", "wrong_data needs an rpc"),
        (
            "faults:\n  - name: a\n    rpc: hipstershop.CartService/AddItem\n    wrong_data: true\n",
            "no wrong data of hipstershop.CartService/AddItem",
        ),
        (
            "faults:\n  - name: a\n    rpc: hipstershop.AdService/GetAds\n    service: cartservice\n    hang: true\n",
            "is an RPC of adservice",
        ),
        ("faults:\n  - name: a\n    not_ready: true\n    percentage: 5\n", "for a process"),
        (
            "faults:\n  - name: a\n    hang: true\n  - name: a\n    hang: true\n",
            "two faults have the name \"a\"",
        ),
        ("faults:\n  - hang: true\n", "missing field `name`"),
        ("faults: [\n", "line"),
        ("\n", ""),
        ("{\"flags\": {\"adFailure\": 1}}", "line 1"),
    ] {
        let env = Env::from([("FAULTS", description)]);
        let router = Router::grpc(ad_service::into_server(Counting::default()));
        let error = serve_router(SERVICE, &env, router).await.err();
        if problem.is_empty() {
            assert!(error.is_none(), "{error:?}");
            continue;
        }
        let error = error.unwrap().to_string();
        assert!(error.starts_with("FAULTS must be a description of faults: "), "{error}");
        assert!(error.contains(problem), "{error} has no {problem}");
        let names_line = error.contains("line ") || problem.contains("two faults");
        assert!(names_line, "{error} names no line");
    }
    Ok(())
}

/// Waits until a call ends like this.
async fn comes_to(ads: &Ads, code: Code) {
    while ads.get_ads(AdRequest::default()).await.err().map_or(Code::Ok, |e| e.code()) != code {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn file_is_read_again_and_a_malformed_one_changes_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("faults.yaml");
    let write =
        |status: &str| std::fs::write(&path, format!("faults: [{{name: a, status: {status}}}]"));
    write("ABORTED")?;
    let env = Env::from([("FAULTS", path.to_str().unwrap()), ("AD_TIMEOUT", "10s")]);
    let (ads, _running) = over_the_wire(&Counting::default(), &env).await?;
    comes_to(&ads, Code::Aborted).await;
    write("[")?;
    tokio::time::sleep(Duration::from_millis(600)).await;
    comes_to(&ads, Code::Aborted).await;
    write("DATA_LOSS")?;
    comes_to(&ads, Code::DataLoss).await;
    std::fs::write(&path, "")?;
    comes_to(&ads, Code::Ok).await;

    let missing = Env::from([("FAULTS", "/nowhere/faults.yaml")]);
    let error = over_the_wire(&Counting::default(), &missing).await.err().unwrap();
    assert!(error.to_string().starts_with("FAULTS must name a file that can be read"), "{error}");
    Ok(())
}

#[tokio::test]
async fn flags_of_flagd_are_faults() -> anyhow::Result<()> {
    let flags = |state: &str, variant: &str| {
        format!(
            r#"{{"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {{
            "adManualGc": {{"state": "{state}", "defaultVariant": "{variant}", "variants": {{"on": true, "off": false}}}},
            "cartFailure": {{"state": "ENABLED", "defaultVariant": "50%", "variants": {{"off": 0, "50%": 0.5}}}},
            "kafkaQueueProblems": {{"state": "ENABLED", "defaultVariant": "on", "variants": {{"on": 100}}}}
            }}}}"#
        )
    };
    for (state, variant, is_slow) in
        [("ENABLED", "on", true), ("ENABLED", "off", false), ("DISABLED", "on", false)]
    {
        let text = flags(state, variant);
        let env = Env::from([("FAULTS", text.as_str()), ("AD_TIMEOUT", "10s")]);
        let (ads, _running) = inside_the_process(&Counting::default(), &env).await?;
        let began = Instant::now();
        ads.get_ads(AdRequest::default()).await?;
        assert_eq!(began.elapsed() >= Duration::from_millis(200), is_slow, "{state} {variant}");
    }
    Ok(())
}

#[tokio::test]
async fn service_that_is_not_ready_says_so_and_answers_on() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("faults.yaml");
    std::fs::write(&path, "faults: [{name: a, service: adservice, not_ready: true}]")?;
    let mut env = Env::from([("FAULTS", path.to_str().unwrap()), ("AD_TIMEOUT", "10s")]);
    env.set("PORT", "0");
    let router = Router::grpc(ad_service::into_server(Counting::default()));
    let running = spawn(SERVICE, &env, &Registry::default(), router.clone()).await?;
    let address = running.address().unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(boutique_test::connect(
        format!("127.0.0.1:{}", address.port()),
    )?);
    let mut status = async || {
        let answer = health.check(tonic_health::pb::HealthCheckRequest::default()).await;
        answer.unwrap().into_inner().status
    };
    assert_eq!(status().await, 2);
    std::fs::write(
        &path,
        "faults: [{name: a, service: adservice, enabled: false, not_ready: true}]",
    )?;
    while status().await != 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
