//! The behavior that every service has from the bootstrap, tested on one that the test implements.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and one is told to"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use boutique_proto::ad_service_server::AdService;
use boutique_proto::{AdRequest, AdResponse, ad_service, services};
use boutique_service::{
    Channel, Env, IdempotencyKey, Registry, Router, ServerHandle, ServiceSpec, client, detach,
    spawn_inproc, time_left, was_not_processed,
};
use boutique_test::{FaultyProxy, serve_router};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};

const SERVICE: ServiceSpec = services::AD;
type Ads = ad_service::Client<Channel>;

/// Does what the first context key says.
#[derive(Clone, Default)]
struct Obedient {
    calls: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    finished: Arc<Notify>,
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tonic::async_trait]
impl AdService for Obedient {
    async fn get_ads(&self, request: Request<AdRequest>) -> Result<Response<AdResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let key = IdempotencyKey::of(&request)?;
        let order = request.get_ref().context_keys.first().map_or("", String::as_str);
        match order {
            "panic" => panic!("as told"),
            "hang" => {
                let _counted = CountDrop(self.dropped.clone());
                std::future::pending::<()>().await;
            }
            "refuse" => {
                let mut status = Status::not_found("as told");
                status.metadata_mut().insert("reason", MetadataValue::from_static("told"));
                return Err(status);
            }
            "slow" => tokio::time::sleep(Duration::from_millis(50)).await,
            "time left" => {
                let left = time_left().ok_or_else(|| Status::internal("no deadline"))?;
                return Err(Status::aborted(left.as_millis().to_string()));
            }
            "detach" => {
                let finished = self.finished.clone();
                detach(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    finished.notify_one();
                });
            }
            _ => {}
        }
        Ok(IdempotencyKey::confirm(key.as_ref(), AdResponse::default()))
    }
}

async fn over_the_wire(service: &Obedient, settings: &Env) -> anyhow::Result<(Ads, ServerHandle)> {
    let app = Router::grpc(ad_service::into_server(service.clone()));
    let running = serve_router(SERVICE, settings, app).await?;
    let mut env = settings.clone();
    env.set(SERVICE.addr_key, running.address().unwrap().to_string());
    Ok((client(&env, &Registry::default())?, running))
}

async fn inside_the_process(
    service: &Obedient,
    settings: &Env,
) -> anyhow::Result<(Ads, ServerHandle)> {
    let mut env = settings.clone();
    let mut registry = Registry::default();
    let router = Router::grpc(ad_service::into_server(service.clone()));
    let running = spawn_inproc(SERVICE, &mut env, &mut registry, router).await?;
    Ok((client(&env, &registry)?, running))
}

async fn tell(ads: &Ads, order: &str) -> Result<AdResponse, Status> {
    ads.get_ads(AdRequest { context_keys: vec![order.to_owned()] }).await
}

/// The same over the wire and by a function call.
async fn behaves(service: &Obedient, ads: Ads) -> anyhow::Result<()> {
    let panicked = tell(&ads, "panic").await.unwrap_err();
    assert_eq!((panicked.code(), panicked.message()), (Code::Internal, "internal error"));
    tell(&ads, "").await?;

    let refused = tell(&ads, "refuse").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "as told"));
    assert_eq!(refused.metadata().get("reason").unwrap(), "told");
    assert!(!was_not_processed(&refused));

    let key = IdempotencyKey::parse("key-1").unwrap();
    let answer = ads.get_ads_with_metadata(key.request(AdRequest::default())).await?;
    assert_eq!(answer.metadata().get(IdempotencyKey::METADATA).unwrap(), "key-1");
    let mut wrong = Request::new(AdRequest::default());
    wrong.metadata_mut().insert(IdempotencyKey::METADATA, "k".repeat(10_000).parse()?);
    let refused = ads.get_ads_with_metadata(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let began = Instant::now();
    let late = tell(&ads, "hang").await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(began.elapsed() < Duration::from_secs(5));
    while service.dropped.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }

    let told = tell(&ads, "time left").await.unwrap_err();
    let left: u64 = told.message().parse()?;
    assert!((1..=300).contains(&left), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_call_ends_well_or_with_the_right_code_over_the_wire() -> anyhow::Result<()> {
    let service = Obedient::default();
    let settings = Env::from([("AD_TIMEOUT", "300ms")]);
    let (ads, _running) = over_the_wire(&service, &settings).await?;
    behaves(&service, ads).await
}

#[tokio::test]
async fn a_call_ends_well_or_with_the_right_code_inside_the_process() -> anyhow::Result<()> {
    let service = Obedient::default();
    let settings = Env::from([("AD_TIMEOUT", "300ms")]);
    let (ads, _running) = inside_the_process(&service, &settings).await?;
    behaves(&service, ads).await
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unavailable_and_used_once_it_is() -> anyhow::Result<()> {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut env = Env::from([("LISTEN_ADDR", "127.0.0.1"), ("AD_TIMEOUT", "5s")]);
    env.set("PORT", free.port().to_string());
    env.set(SERVICE.addr_key, free.to_string());
    let ads: Ads = client(&env, &Registry::default())?;
    assert_eq!(tell(&ads, "").await.unwrap_err().code(), Code::Unavailable);

    let app = Router::grpc(ad_service::into_server(Obedient::default()));
    let _running = boutique_service::spawn(SERVICE, &env, &Registry::default(), app).await?;
    tell(&ads, "").await?;
    Ok(())
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_caller_who_is_silent() -> anyhow::Result<()> {
    let (ads, running) = over_the_wire(&Obedient::default(), &Env::default()).await?;
    tell(&ads, "").await?;

    let began = Instant::now();
    running.stop().await;

    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(tell(&ads, "").await.unwrap_err().code(), Code::Unavailable);
    Ok(())
}

/// A graceful stop costs no call, because what was never processed is sent again, and
/// what was processed is answered; and nothing is ever processed twice.
#[tokio::test]
async fn rolling_over_to_new_replicas_loses_no_call_and_repeats_none() -> anyhow::Result<()> {
    const STOPS: usize = 10;
    let service = Obedient::default();
    let settings = Env::from([("AD_TIMEOUT", "10s")]);
    let (_, mut running) = over_the_wire(&service, &settings).await?;
    let proxy = FaultyProxy::start(running.address().unwrap()).await?;
    let mut env = settings.clone();
    env.set(SERVICE.addr_key, proxy.address());
    let ads: Ads = client(&env, &Registry::default())?;

    let over = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (ads, over) = (ads.clone(), over.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while over.load(Ordering::SeqCst) == 0 {
                    let order = if caller % 2 == 0 { "slow" } else { "" };
                    tell(&ads, order).await?;
                    calls += 1;
                }
                Ok::<usize, Status>(calls)
            })
        })
        .collect();
    for _ in 0..STOPS {
        let (_, next) = over_the_wire(&service, &settings).await?;
        proxy.redirect(&next.address().unwrap());
        let before = service.calls.load(Ordering::SeqCst);
        while service.calls.load(Ordering::SeqCst) < before + 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        std::mem::replace(&mut running, next).stop().await;
    }
    over.store(1, Ordering::SeqCst);
    let mut answered = 0;
    for caller in callers {
        answered += caller.await??;
    }

    assert_eq!(service.calls.load(Ordering::SeqCst), answered);
    Ok(())
}

#[tokio::test]
async fn a_stop_waits_for_detached_work() -> anyhow::Result<()> {
    let service = Obedient::default();
    let (ads, running) = inside_the_process(&service, &Env::default()).await?;
    tell(&ads, "detach").await?;

    running.stop().await;

    tokio::time::timeout(Duration::from_millis(1), service.finished.notified()).await?;
    Ok(())
}

#[tokio::test]
async fn reflection_is_off_unless_it_is_asked_for() -> anyhow::Result<()> {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    for (setting, by_itself, expected) in [
        ("", false, false),
        ("1", false, true),
        ("0", false, false),
        ("", true, true),
        ("0", true, false),
    ] {
        let settings = Env::from([("GRPC_REFLECTION", setting)]);
        let app = Router::grpc(ad_service::into_server(Obedient::default()));
        let app = if by_itself { app.with_reflection() } else { app };
        let running = serve_router(SERVICE, &settings, app).await?;
        let endpoint = format!("http://{}", running.address().unwrap());
        let endpoint = tonic::transport::Endpoint::from_shared(endpoint)?;
        let mut reflection = ServerReflectionClient::new(endpoint.connect().await?);
        let list = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let asked = reflection.server_reflection_info(futures_util::stream::iter([list])).await;
        match asked {
            Ok(_) => assert!(expected, "{setting:?} {by_itself}"),
            Err(status) => {
                assert_eq!(status.code(), Code::Unimplemented);
                assert!(!expected, "{setting:?} {by_itself}");
            }
        }
    }
    Ok(())
}

/// Proxies between two services answer in their own way; each answer has one meaning.
#[tokio::test]
async fn an_answer_that_is_none_gets_the_code_that_grpc_defines_for_it() -> anyhow::Result<()> {
    let ok = http::HeaderMap::from_iter([("grpc-status".parse()?, http::HeaderValue::from(0))]);
    let busy = http::HeaderMap::from_iter([("grpc-status".parse()?, http::HeaderValue::from(8))]);
    let large = [&[0, 0, 0x50, 0, 0][..], &[0; 0x50_0000]].concat();
    for (status, body, trailers, code) in [
        (200, vec![0; 5], Some(&ok), Code::Ok),
        (200, vec![0; 5], Some(&busy), Code::ResourceExhausted),
        (200, vec![], Some(&ok), Code::Internal),
        (200, vec![0; 10], Some(&ok), Code::Internal),
        (200, vec![0, 0, 0, 0, 9, 1], Some(&ok), Code::Internal),
        (200, vec![1, 0, 0, 0, 0], Some(&ok), Code::Internal),
        (200, vec![0, 0, 0, 0, 1, 0xff], Some(&ok), Code::Internal),
        (200, large, Some(&ok), Code::ResourceExhausted),
        (200, b"<html>".to_vec(), None, Code::Unknown),
        (400, vec![], None, Code::Internal),
        (401, vec![], None, Code::Unauthenticated),
        (403, vec![], None, Code::PermissionDenied),
        (404, b"not here".to_vec(), None, Code::Unimplemented),
        (429, vec![], None, Code::Unavailable),
        (503, b"no healthy upstream".to_vec(), None, Code::Unavailable),
    ] {
        let told = format!("{status}, {} bytes, {trailers:?}", body.len());
        let trailers = trailers.cloned();
        let app = axum::Router::new().fallback(async move || {
            let body =
                axum::body::Body::from(body).with_trailers(async move { Some(Ok(trailers?)) });
            (http::StatusCode::from_u16(status).unwrap(), axum::body::Body::new(body))
        });
        let running = serve_router(SERVICE, &Env::default(), Router::http(app)).await?;
        let mut env = Env::default();
        env.set(SERVICE.addr_key, running.address().unwrap().to_string());
        let answer = tell(&client(&env, &Registry::default())?, "").await;
        assert_eq!(answer.map_or_else(|status| status.code(), |_| Code::Ok), code, "{told}");
    }
    Ok(())
}

/// A caller who opens a call and never sends its message holds nothing for long.
#[tokio::test]
async fn a_message_that_does_not_come_is_not_waited_for() -> anyhow::Result<()> {
    use hyper::body::Frame;
    use tonic::codegen::Service as _;

    let service = Obedient::default();
    let (_, running) = over_the_wire(&service, &Env::default()).await?;
    let endpoint = format!("http://{}", running.address().unwrap());
    let endpoint = tonic::transport::Endpoint::from_shared(endpoint)?;
    let mut connection = endpoint.connect().await?;
    std::future::poll_fn(|cx| connection.poll_ready(cx)).await?;
    let nothing = futures_util::stream::pending::<Result<Frame<bytes::Bytes>, Status>>();
    let body = tonic::body::Body::new(http_body_util::StreamBody::new(nothing));
    let request = http::Request::post("/hipstershop.AdService/GetAds")
        .header("content-type", "application/grpc")
        .body(body)?;

    let began = Instant::now();
    let response = connection.call(request).await?;

    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(service.calls.load(Ordering::SeqCst), 0);
    Ok(())
}

/// A kept connection is not closed under a request that is on its way. While a service that
/// is about to stop serves on, each answer tells its client that the connection ends with it.
#[tokio::test]
async fn a_kept_connection_ends_with_an_answer_once_a_stop_has_begun() -> anyhow::Result<()> {
    let settings = Env::from([("DRAIN_DELAY", "30s")]);
    let running = serve_router(SERVICE, &settings, app_over_http()).await?;
    let mut kept = TcpStream::connect(running.address().unwrap()).await?;
    let mut idle = TcpStream::connect(running.address().unwrap()).await?;
    for connection in [&mut kept, &mut idle] {
        assert!(!ask(connection).await?.contains("connection: close"));
    }

    let stop = tokio::spawn(running.stop());
    let last = loop {
        // Nothing says when the task has begun.
        let answer = ask(&mut kept).await?;
        if answer.contains("connection: close") {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert!(last.starts_with("HTTP/1.1 200 OK"), "{last}");
    assert_eq!(kept.read(&mut [0; 1]).await?, 0, "it closes after that");
    assert!(ask(&mut idle).await?.contains("connection: close"), "and so does every other");
    stop.abort();
    Ok(())
}

fn app_over_http() -> Router {
    Router::http(axum::Router::new().route("/", axum::routing::get(async || "hello")))
}

/// One request over a connection that stays, and all of its answer.
async fn ask(connection: &mut TcpStream) -> anyhow::Result<String> {
    connection.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        anyhow::ensure!(connection.read_buf(&mut answer).await? > 0, "the answer ended early");
    }
    Ok(String::from_utf8(answer)?)
}
