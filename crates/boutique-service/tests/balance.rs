//! Calls to several endpoints of one service, some of which fail.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use boutique_proto::ad_service_client::AdServiceClient;
use boutique_proto::ad_service_server::AdService;
use boutique_proto::{AdRequest, AdResponse, ad_service, services};
use boutique_service::{Channel, Env, Registry, Router, ServerHandle, client};
use boutique_test::{Fault, FaultyProxy, serve_router};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Response, Status};

type Ads = ad_service::Client<Channel>;
/// A generous bound for what is promised within 50 ms.
const AT_ONCE: Duration = Duration::from_millis(250);

/// Counts its calls, and answers with a code if it has one; while it hangs, not at all.
#[derive(Clone, Default)]
struct Counting {
    calls: Arc<AtomicUsize>,
    code: Option<Code>,
    hangs: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl AdService for Counting {
    async fn get_ads(&self, _: Request<AdRequest>) -> Result<Response<AdResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        match self.code {
            None => Ok(Response::new(AdResponse::default())),
            Some(code) => Err(Status::new(code, "as told")),
        }
    }
}

impl Counting {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A replica of the service behind a proxy.
struct Replica {
    service: Counting,
    server: ServerHandle,
    proxy: FaultyProxy,
}

impl Replica {
    async fn start(service: Counting) -> anyhow::Result<Self> {
        let app = Router::grpc(ad_service::into_server(service.clone()));
        let server = serve_router(services::AD, &Env::default(), app).await?;
        let proxy = FaultyProxy::start(server.address().unwrap()).await?;
        Ok(Self { service, server, proxy })
    }

    async fn several(count: usize) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Self::start(Counting::default()).await?);
        }
        Ok(all)
    }
}

fn call(address: impl Into<String>, timeout: &str) -> anyhow::Result<Ads> {
    let mut env = Env::from([("AD_TIMEOUT", timeout)]);
    env.set(services::AD.addr_key, address.into());
    Ok(client(&env, &Registry::default())?)
}

fn addresses(replicas: &[Replica]) -> String {
    let all: Vec<_> = replicas.iter().map(|replica| replica.proxy.address()).collect();
    all.join(",")
}

async fn get(ads: &Ads) -> Result<AdResponse, Status> {
    ads.get_ads(AdRequest::default()).await
}

/// A way to make the call.
trait Caller: Clone + Send + 'static {
    fn get(&mut self) -> impl Future<Output = Result<(), Status>> + Send;
}

impl Caller for Ads {
    async fn get(&mut self) -> Result<(), Status> {
        get(self).await.map(|_| ())
    }
}

/// tonic's own balancing channel.
impl Caller for AdServiceClient<tonic::transport::Channel> {
    async fn get(&mut self) -> Result<(), Status> {
        let mut request = Request::new(AdRequest::default());
        request.set_timeout(Duration::from_millis(300));
        self.get_ads(request).await.map(|_| ())
    }
}

/// Eight callers, each of which calls again as soon as it is answered.
struct Load {
    is_over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<(usize, usize)>>,
}

impl Load {
    fn start(ads: &impl Caller) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let caller = |_| {
            let (mut ads, is_over) = (ads.clone(), is_over.clone());
            tokio::spawn(async move {
                let (mut answered, mut failed) = (0, 0);
                while !is_over.load(Ordering::SeqCst) {
                    match ads.get().await {
                        Ok(()) => answered += 1,
                        Err(_) => failed += 1,
                    }
                    // A failure may come at once.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                (answered, failed)
            })
        };
        let callers = (0..8).map(caller).collect();
        Self { is_over, callers }
    }

    /// Returns how many calls were answered, and how many failed.
    async fn stop(self) -> (usize, usize) {
        self.is_over.store(true, Ordering::SeqCst);
        let (mut answered, mut failed) = (0, 0);
        for caller in self.callers {
            let (more, worse) = caller.await.unwrap();
            (answered, failed) = (answered + more, failed + worse);
        }
        (answered, failed)
    }
}

async fn until(mut is_true: impl FnMut() -> bool) {
    while !is_true() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn calls_are_spread_over_all_addresses() -> anyhow::Result<()> {
    let replicas = Replica::several(3).await?;
    let ads = call(addresses(&replicas), "5s")?;
    let load = Load::start(&ads);
    let total = || replicas.iter().map(|replica| replica.service.calls()).sum::<usize>();
    until(|| total() >= 3_000).await;
    assert_eq!(load.stop().await.1, 0);
    for replica in &replicas {
        let share = 3 * replica.service.calls() * 100 / total();
        assert!((80..=120).contains(&share), "{share} % of an equal share");
    }
    Ok(())
}

/// A read is repeated on another endpoint, and one that is gone is left alone.
#[tokio::test]
async fn endpoint_that_is_gone_costs_no_call() -> anyhow::Result<()> {
    for (how, is_graceful) in [("stopped", true), ("reset", false)] {
        let mut replicas = Replica::several(2).await?;
        let ads = call(addresses(&replicas), "5s")?;
        let load = Load::start(&ads);
        until(|| replicas.iter().all(|replica| replica.service.calls() > 200)).await;
        let gone = replicas.remove(0);
        let proxy = if is_graceful {
            gone.server.stop().await;
            gone.proxy
        } else {
            gone.proxy.set(Fault::Refuse);
            gone.proxy
        };
        let before = replicas[0].service.calls();
        until(|| replicas[0].service.calls() > before + 1_000).await;
        assert_eq!(load.stop().await.1, 0, "{how}");
        drop(proxy);
    }
    Ok(())
}

/// A frozen endpoint costs a few calls their deadline, and none after that.
#[tokio::test]
async fn frozen_endpoint_is_avoided_and_used_again() -> anyhow::Result<()> {
    let replicas = Replica::several(2).await?;
    let ads = call(addresses(&replicas), "300ms")?;
    let load = Load::start(&ads);
    until(|| replicas.iter().all(|replica| replica.service.calls() > 200)).await;
    replicas[0].proxy.set(Fault::Freeze);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (answered, failed) = load.stop().await;
    println!("{failed} of {answered} calls failed in the first two seconds");
    assert!(failed <= 20, "{failed} failed of {answered}");

    let load = Load::start(&ads);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(load.stop().await.1, 0, "once it is known");

    replicas[0].proxy.set(Fault::None);
    let before = replicas[0].service.calls();
    let load = Load::start(&ads);
    until(|| replicas[0].service.calls() > before + 200).await;
    assert_eq!(load.stop().await.1, 0, "as it comes back");
    Ok(())
}

/// The same faults under tonic's balancing channel cost a part of all calls for as long as they last.
#[tokio::test]
async fn fewer_calls_fail_than_with_tonics_balance() -> anyhow::Result<()> {
    for fault in [Fault::Refuse, Fault::Freeze] {
        let replicas = Replica::several(2).await?;
        let endpoints = replicas.iter().map(|replica| {
            let endpoint = format!("http://{}", replica.proxy.address());
            tonic::transport::Endpoint::from_shared(endpoint)
        });
        let endpoints: Vec<_> = endpoints.collect::<Result<_, _>>()?;
        let channel = tonic::transport::Channel::balance_list(endpoints.into_iter());
        let ours = Load::start(&call(addresses(&replicas), "300ms")?);
        let theirs = Load::start(&AdServiceClient::new(channel));
        until(|| replicas.iter().all(|replica| replica.service.calls() > 500)).await;
        replicas[0].proxy.set(fault);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let ((answered, failed), (theirs_answered, theirs_failed)) =
            (ours.stop().await, theirs.stop().await);
        println!(
            "{fault:?}: {failed} of {answered} calls failed, with tonic {theirs_failed} of {theirs_answered}"
        );
        assert!(failed <= 20 && failed <= theirs_failed, "{fault:?}");
    }
    Ok(())
}

/// A slow endpoint is called rarely.
#[tokio::test]
async fn slow_endpoint_is_avoided() -> anyhow::Result<()> {
    let replicas = Replica::several(2).await?;
    let ads = call(addresses(&replicas), "5s")?;
    replicas[0].proxy.set(Fault::Delay(Duration::from_secs(1)));
    let load = Load::start(&ads);
    until(|| replicas[1].service.calls() > 2_000).await;
    assert_eq!(load.stop().await.1, 0);
    let calls = replicas[0].service.calls();
    assert!(calls <= 20, "{calls} calls");
    Ok(())
}

/// One that fails fast would look fast.
#[tokio::test]
async fn failing_endpoint_is_avoided() -> anyhow::Result<()> {
    for code in [Code::Unavailable, Code::Internal, Code::ResourceExhausted] {
        let failing = Replica::start(Counting { code: Some(code), ..Counting::default() }).await?;
        let replicas = [failing, Replica::start(Counting::default()).await?];
        let ads = call(addresses(&replicas), "5s")?;
        let load = Load::start(&ads);
        until(|| replicas[1].service.calls() > 2_000).await;
        let (answered, failed) = load.stop().await;
        assert!(failed <= answered / 50, "{code:?}: {failed} of {answered}");
        if code == Code::Unavailable {
            assert_eq!(failed, 0, "a read is repeated");
        }
    }
    Ok(())
}

/// While the only endpoint does not answer, calls fail at once; they succeed as soon as it does.
#[tokio::test]
async fn calls_fail_at_once_while_nothing_answers() -> anyhow::Result<()> {
    for fault in [Fault::Refuse, Fault::Freeze] {
        let replica = Replica::start(Counting::default()).await?;
        let ads = call(replica.proxy.address(), "300ms")?;
        get(&ads).await?;
        replica.proxy.set(fault);
        let load = Load::start(&ads);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let began = Instant::now();
            let status = get(&ads).await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{fault:?}: {status:?}");
            slowest = slowest.max(began.elapsed());
        }
        println!("{fault:?}: calls fail within {slowest:?}");
        assert!(slowest < AT_ONCE, "{fault:?}: {slowest:?}");
        load.stop().await;
        replica.proxy.set(Fault::None);
        let healed = Instant::now();
        while get(&ads).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("{fault:?}: the first answer {:?} after it is back", healed.elapsed());
        assert!(healed.elapsed() < Duration::from_secs(3), "{fault:?}: {:?}", healed.elapsed());
    }
    Ok(())
}

/// The process is healthy, and its handlers hang: one call at a time finds out whether they still do.
#[tokio::test]
async fn service_that_hangs_costs_few_calls_their_deadline() -> anyhow::Result<()> {
    let replica = Replica::start(Counting::default()).await?;
    let ads = call(replica.proxy.address(), "300ms")?;
    get(&ads).await?;
    replica.service.hangs.store(true, Ordering::SeqCst);
    let load = Load::start(&ads);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = replica.service.calls();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let tried = replica.service.calls() - before;
    assert!((1..=10).contains(&tried), "{tried} calls tried");
    replica.service.hangs.store(false, Ordering::SeqCst);
    let before = replica.service.calls();
    until(|| replica.service.calls() > before + 200).await;
    load.stop().await;
    get(&ads).await?;
    Ok(())
}

/// A service that takes long is not taken for one that does not answer.
#[tokio::test]
async fn endpoint_that_is_slow_and_well_stays() -> anyhow::Result<()> {
    let replica = Replica::start(Counting::default()).await?;
    let ads = call(replica.proxy.address(), "10s")?;
    replica.proxy.set(Fault::Delay(Duration::from_millis(400)));
    let load = Load::start(&ads);
    until(|| replica.service.calls() > 60).await;
    assert_eq!(load.stop().await.1, 0);
    Ok(())
}

/// Addresses after a semicolon are called when none before it answers.
#[tokio::test]
async fn next_addresses_are_called_while_the_first_do_not_answer() -> anyhow::Result<()> {
    // Each of the callers may be waiting for one that freezes.
    for (fault, most_failed) in [(Fault::Refuse, 0), (Fault::Freeze, 8)] {
        let replicas = Replica::several(2).await?;
        let [first, second] = &replicas[..] else { unreachable!() };
        let ads = call(format!("{};{}", first.proxy.address(), second.proxy.address()), "5s")?;
        for _ in 0..20 {
            get(&ads).await?;
        }
        assert_eq!((first.service.calls(), second.service.calls()), (20, 0));
        first.proxy.set(fault);
        let load = Load::start(&ads);
        until(|| second.service.calls() > 200).await;
        first.proxy.set(Fault::None);
        until(|| first.service.calls() > 220).await;
        let failed = load.stop().await.1;
        assert!(failed <= most_failed, "{fault:?}: {failed}");
    }
    Ok(())
}

/// A name with addresses of both families is called at the one that answers.
#[tokio::test]
async fn name_is_called_at_whichever_of_its_addresses_answers() -> anyhow::Result<()> {
    let replica = Replica::start(Counting::default()).await?;
    let port = replica.server.address().unwrap().port();
    for balanced in ["1", "0"] {
        let mut env = Env::from([("CLIENT_LOAD_BALANCING", balanced)]);
        env.set(services::AD.addr_key, format!("dns:///localhost:{port}"));
        let ads: Ads = client(&env, &Registry::default())?;
        get(&ads).await?;
    }
    Ok(())
}

#[tokio::test]
async fn name_that_resolves_to_nothing_is_a_clear_error() -> anyhow::Result<()> {
    let ads = call("no-such-host.invalid:1", "20s")?;
    let status = get(&ads).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("cannot resolve no-such-host.invalid:1"), "{status:?}");
    let began = Instant::now();
    assert_eq!(get(&ads).await.unwrap_err().code(), Code::Unavailable);
    assert!(began.elapsed() < AT_ONCE);
    Ok(())
}

/// Retries never multiply the load of a service that fails.
#[tokio::test]
async fn retries_are_within_their_budget() -> anyhow::Result<()> {
    let service = Counting { code: Some(Code::Unavailable), ..Counting::default() };
    let replica = Replica::start(service).await?;
    let ads = call(replica.proxy.address(), "5s")?;
    for _ in 0..500 {
        get(&ads).await.unwrap_err();
    }
    let attempts = replica.service.calls();
    // A tenth, and three a second of ten.
    assert!((501..=580).contains(&attempts), "{attempts} attempts for 500 calls");
    Ok(())
}
