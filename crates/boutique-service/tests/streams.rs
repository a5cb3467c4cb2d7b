//! Methods of any kind, over a connection and inside the process, with the clients that tonic generates.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::{Duration, Instant};

use boutique_service::{
    Channel, Env, Registry, Router, ServerHandle, ServiceSpec, channel, spawn_inproc,
};
use boutique_test::echo::echo_client::EchoClient;
use boutique_test::echo::echo_server::EchoServer;
use boutique_test::echo::{EchoRequest, EchoService};
use boutique_test::serve_router;
use futures_util::stream::{self, TryStreamExt as _};
use tokio::sync::mpsc;
use tonic::{Code, Request};

const SPEC: ServiceSpec = ServiceSpec::unlisted("echo", "ECHO_ADDR");

type Started = (EchoClient<Channel>, ServerHandle);

async fn over_a_connection() -> anyhow::Result<Started> {
    let router = Router::default().add_service(EchoServer::new(EchoService));
    let running = serve_router(SPEC, &Env::default(), router).await?;
    let mut env = Env::default();
    env.set(SPEC.addr_key, running.address().unwrap().to_string());
    Ok((EchoClient::new(channel(&env, &Registry::default(), &SPEC)?), running))
}

async fn inside_the_process() -> anyhow::Result<Started> {
    let (mut env, mut registry) = (Env::default(), Registry::default());
    let router = Router::default().add_service(EchoServer::new(EchoService));
    let running = spawn_inproc(SPEC, &mut env, &mut registry, router).await?;
    Ok((EchoClient::new(channel(&env, &registry, &SPEC)?), running))
}

fn request(text: &str, times: u32) -> EchoRequest {
    EchoRequest { text: text.to_owned(), times }
}

async fn all_kinds_work(mut echo: EchoClient<Channel>) -> anyhow::Result<()> {
    assert_eq!(echo.unary(request("a", 1)).await?.into_inner().text, "a");
    let refused = echo.unary(request("refuse", 1)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "as told"));

    let repeated = echo.repeat(request("b", 1_000)).await?.into_inner();
    assert_eq!(
        repeated.map_ok(|response| response.text).try_collect::<Vec<_>>().await?.len(),
        1_000
    );
    assert_eq!(echo.repeat(request("refuse", 1)).await.unwrap_err().code(), Code::InvalidArgument);

    let large = "c".repeat(100_000);
    let sent = stream::iter(vec![request(&large, 1); 20]);
    assert_eq!(echo.join(sent).await?.into_inner().text.len(), 2_000_000);

    // Each answer is there before the next message is sent.
    let (sender, mut receiver) = mpsc::channel(1);
    let sent = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let mut answers = echo.each(sent).await?.into_inner();
    for text in ["d", "e"] {
        sender.send(request(text, 1)).await?;
        assert_eq!(answers.message().await?.unwrap().text, text);
    }
    sender.send(request("refuse", 1)).await?;
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
    Ok(())
}

async fn stream_ends_at_its_deadline(mut echo: EchoClient<Channel>) -> anyhow::Result<()> {
    let mut endless = Request::new(request("f", 0));
    endless.set_timeout(Duration::from_millis(300));
    let began = Instant::now();
    let mut answers = echo.repeat(endless).await?.into_inner();
    assert_eq!(answers.message().await?.unwrap().text, "f");
    assert_eq!(answers.message().await.unwrap_err().code(), Code::DeadlineExceeded);
    let took = began.elapsed();
    assert!((Duration::from_millis(290)..Duration::from_secs(5)).contains(&took), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn methods_of_all_kinds_work_over_a_connection() -> anyhow::Result<()> {
    let (echo, _running) = over_a_connection().await?;
    all_kinds_work(echo).await
}

#[tokio::test]
async fn methods_of_all_kinds_work_inside_the_process() -> anyhow::Result<()> {
    let (echo, _running) = inside_the_process().await?;
    all_kinds_work(echo).await
}

#[tokio::test]
async fn stream_ends_at_its_deadline_either_way() -> anyhow::Result<()> {
    let (wire, _running) = over_a_connection().await?;
    stream_ends_at_its_deadline(wire).await?;
    let (local, _running) = inside_the_process().await?;
    stream_ends_at_its_deadline(local).await
}

/// A stream whose reader is gone is not sent on: the handler's stream is dropped with the connection's.
#[tokio::test]
async fn dropped_stream_lets_the_server_stop() -> anyhow::Result<()> {
    let (mut echo, running) = over_a_connection().await?;
    let mut answers = echo.repeat(request("g", 0)).await?.into_inner();
    assert_eq!(answers.message().await?.unwrap().text, "g");
    let pending = echo.each(stream::pending()).await?;
    drop((answers, pending));

    let began = Instant::now();
    running.stop().await;

    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    Ok(())
}

/// One port, several gRPC services and HTTP beside them.
#[tokio::test]
async fn server_has_any_number_of_services_beside_http() -> anyhow::Result<()> {
    use boutique_proto::{AdRequest, AdResponse, TypedClient as _, ad_service, services};
    use tonic::{Response, Status};

    struct Ads;
    #[tonic::async_trait]
    impl boutique_proto::ad_service_server::AdService for Ads {
        async fn get_ads(&self, _: Request<AdRequest>) -> Result<Response<AdResponse>, Status> {
            Ok(Response::new(AdResponse::default()))
        }
    }
    let pages = axum::Router::new().route("/", axum::routing::get(async || "hello"));
    let router = Router::http(pages)
        .add_grpc(ad_service::into_server(Ads))
        .add_service(EchoServer::new(EchoService));
    let running = serve_router(SPEC, &Env::default(), router).await?;
    let address = running.address().unwrap().to_string();
    let mut env = Env::default();
    env.set(services::AD.addr_key, address.as_str());
    env.set(SPEC.addr_key, address.as_str());
    let registry = Registry::default();

    let ads = ad_service::Client::new(channel(&env, &registry, &services::AD)?);
    assert_eq!(ads.get_ads(AdRequest::default()).await?, AdResponse::default());
    let mut echo = EchoClient::new(channel(&env, &registry, &SPEC)?);
    assert_eq!(echo.unary(request("a", 1)).await?.into_inner().text, "a");
    let mut visitor = boutique_test::Visitor::new(format!("http://{address}"));
    assert_eq!(visitor.get("/").await.body, "hello");
    Ok(())
}

/// A service without handlers of its own is called inside the process all the same.
#[tokio::test]
async fn unary_call_without_a_handler_goes_through_the_routes() -> anyhow::Result<()> {
    use boutique_proto::{AdRequest, AdResponse, TypedClient as _, ad_service, services};
    use tonic::{Response, Status};

    struct Ads;
    #[tonic::async_trait]
    impl boutique_proto::ad_service_server::AdService for Ads {
        async fn get_ads(
            &self,
            request: Request<AdRequest>,
        ) -> Result<Response<AdResponse>, Status> {
            match request.get_ref().context_keys.as_slice() {
                [] => Ok(Response::new(AdResponse::default())),
                [..] => Err(Status::not_found("as told")),
            }
        }
    }
    let (mut env, mut registry) = (Env::default(), Registry::default());
    let (server, _handlers) = ad_service::into_server(Ads);
    let router = Router::default().add_service(server);
    let _running = spawn_inproc(services::AD, &mut env, &mut registry, router).await?;
    let ads = ad_service::Client::new(channel(&env, &registry, &services::AD)?);

    assert_eq!(ads.get_ads(AdRequest::default()).await?, AdResponse::default());
    let refused = ads.get_ads(AdRequest { context_keys: vec![String::new()] }).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "as told"));
    Ok(())
}

/// Every value of a metadata key arrives, over a connection and inside the process.
#[tokio::test]
async fn metadata_with_several_values_arrives_whole() -> anyhow::Result<()> {
    for (mut echo, _running) in [over_a_connection().await?, inside_the_process().await?] {
        let mut request = Request::new(request("metadata x-test", 1));
        for value in ["a", "b"] {
            request.metadata_mut().append("x-test", value.parse()?);
        }
        assert_eq!(echo.unary(request).await?.into_inner().text, "a,b");
    }
    Ok(())
}
