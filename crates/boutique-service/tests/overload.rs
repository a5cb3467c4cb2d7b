//! A server that is asked for more than it can do, and the criticality of requests from service to service.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use boutique_proto::ad_service_server::AdService;
use boutique_proto::payment_service_server::PaymentService;
use boutique_proto::{
    AdRequest, AdResponse, ChargeRequest, ChargeResponse, ad_service, payment_service, services,
};
use boutique_service::{
    Channel, Env, Registry, Router, ServiceSpec, channel, client, spawn_inproc,
};
use boutique_test::echo::echo_client::EchoClient;
use boutique_test::echo::echo_server::EchoServer;
use boutique_test::echo::{EchoRequest, EchoService};
use boutique_test::{connect, serve_router};
use tokio::task::JoinSet;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const SPEC: ServiceSpec = ServiceSpec::unlisted("echo", "ECHO_ADDR");

fn request(text: &str, criticality: Option<&'static str>) -> Request<EchoRequest> {
    let mut request = Request::new(EchoRequest { text: text.to_owned(), times: 1 });
    if let Some(criticality) = criticality {
        request.metadata_mut().insert("criticality", criticality.parse().unwrap());
    }
    request
}

/// Serves on a thread of its own, so that its callers take none of its time.
fn serve_on_a_thread() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let router = Router::default().add_service(EchoServer::new(EchoService));
            let running = serve_router(SPEC, &Env::default(), router).await.unwrap();
            sender.send(running.address().unwrap()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

/// Calls without a pause until `end`, and counts the answers by their code.
async fn insist(
    address: SocketAddr,
    criticality: Option<&'static str>,
    end: Instant,
) -> (Option<&'static str>, BTreeMap<String, u32>) {
    let mut echo = EchoClient::new(connect(address).unwrap());
    let mut codes = BTreeMap::new();
    while Instant::now() < end {
        let answer = echo.unary(request("busy", criticality)).await;
        let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        *codes.entry(format!("{code:?}")).or_default() += 1;
        if code != Code::Ok {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    (criticality, codes)
}

/// A thread that has more to do than it can refuses what matters least, answers health in time, and is itself again as soon
/// as it can.
#[tokio::test]
async fn overloaded_server_refuses_what_matters_least_first() -> anyhow::Result<()> {
    let address = serve_on_a_thread();
    let end = Instant::now() + Duration::from_secs(4);
    let mut callers = JoinSet::new();
    for (criticality, count) in [(Some("sheddable"), 30), (None, 150), (Some("critical_plus"), 8)] {
        for _ in 0..count {
            callers.spawn(insist(address, criticality, end));
        }
    }
    let mut health = HealthClient::new(connect(address)?);
    while Instant::now() < end {
        let asked = Instant::now();
        health.check(HealthCheckRequest::default()).await?;
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut all: BTreeMap<_, BTreeMap<String, u32>> = BTreeMap::new();
    while let Some(caller) = callers.join_next().await {
        let (criticality, codes) = caller?;
        for (code, count) in codes {
            *all.entry(criticality).or_default().entry(code).or_default() += count;
        }
    }
    let part = |criticality| {
        let codes: &BTreeMap<String, u32> = &all[&criticality];
        let of = |code: &str| f64::from(codes.get(code).copied().unwrap_or(0));
        assert!(codes.keys().all(|code| code == "Ok" || code == "ResourceExhausted"), "{codes:?}");
        of("ResourceExhausted") / (of("Ok") + of("ResourceExhausted"))
    };
    println!("{all:?}");
    assert_eq!(part(Some("critical_plus")), 0.0, "{all:?}");
    assert!(part(None) > 0.1 && part(Some("sheddable")) > part(None), "{all:?}");

    let mut echo = EchoClient::new(connect(address)?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..100 {
        echo.unary(request("busy", Some("sheddable"))).await?;
    }
    Ok(())
}

/// Refuses everything, with the criticality that the services behind it are told.
#[derive(Clone)]
struct Front(EchoClient<Channel>);

impl Front {
    async fn refuse<T>(&self) -> Result<Response<T>, Status> {
        let asked = EchoRequest { text: "metadata criticality".to_owned(), times: 1 };
        let seen = self.0.clone().unary(asked).await?.into_inner().text;
        Err(Status::aborted(seen))
    }
}

#[tonic::async_trait]
impl AdService for Front {
    async fn get_ads(&self, _: Request<AdRequest>) -> Result<Response<AdResponse>, Status> {
        self.refuse().await
    }
}

#[tonic::async_trait]
impl PaymentService for Front {
    async fn charge(&self, _: Request<ChargeRequest>) -> Result<Response<ChargeResponse>, Status> {
        self.refuse().await
    }
}

/// A call has the criticality of the request that it is made for, over connections as well as inside the process.
#[tokio::test]
async fn criticality_goes_from_service_to_service() -> anyhow::Result<()> {
    let router = Router::default().add_service(EchoServer::new(EchoService));
    let behind = serve_router(SPEC, &Env::default(), router).await?;
    let (mut env, mut registry) = (Env::default(), Registry::default());
    env.set(SPEC.addr_key, behind.address().unwrap().to_string());
    let front = Front(EchoClient::new(channel(&env, &registry, &SPEC)?));
    let router = Router::grpc(ad_service::into_server(front.clone()));
    let router = router.add_grpc(payment_service::into_server(front));
    let wire = serve_router(services::AD, &env, router.clone()).await?;
    let mut wired = env.clone();
    for spec in [services::AD, services::PAYMENT] {
        wired.set(spec.addr_key, wire.address().unwrap().to_string());
    }
    let _inside = spawn_inproc(services::AD, &mut env, &mut registry, router).await?;
    let address = env.get(services::AD.addr_key).unwrap().to_owned();
    env.set(services::PAYMENT.addr_key, address);
    for env in [wired, env] {
        let ads: ad_service::Client<Channel> = client(&env, &registry)?;
        let payment: payment_service::Client<Channel> = client(&env, &registry)?;
        let seen = ads.get_ads(AdRequest::default()).await.unwrap_err();
        assert_eq!((seen.code(), seen.message()), (Code::Aborted, "sheddable"));
        let seen = payment.charge(ChargeRequest::default()).await.unwrap_err();
        assert_eq!((seen.code(), seen.message()), (Code::Aborted, "critical_plus"));
    }
    Ok(())
}
