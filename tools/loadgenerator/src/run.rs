//! One run from the first look at the shop to the last answer.

use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use boutique_service::Env;
use http::{Method, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Client, Cookies, TIMEOUT};
use crate::grpc::{ADDRESSES, Caller, Clients};
use crate::load::{Load, PRODUCTS};
use crate::options::{Check, Options};
use crate::page;
use crate::price_list::PriceList;
use crate::profile::Profile;
use crate::progress::Progress;
use crate::report::Report;
use crate::scheduler::Scheduler;
use crate::shopper::Shopper;
use crate::stats::Stats;
use crate::target::{Target, check_owned};

/// The default time of a try of the capacity search.
const TRY: Duration = Duration::from_secs(10);
/// The number of users who fill their carts at a time, before the load begins.
const FILLING: usize = 8;
/// The precision of the capacity search.
const PRECISION: f64 = 1.05;

/// Runs, and reports what happened; an error means that it did not begin.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Report> {
    let interrupted = interruption()?;
    tokio::pin!(interrupted);
    let opened = tokio::select! {
        opened = open(options) => opened?,
        () = &mut interrupted => anyhow::bail!("interrupted before the shop opened"),
    };
    let seed = options.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let load = Rc::new(opened.load);
    let mut users = start(&load, options, seed, opened.clients.as_ref());
    if load.scheduler.is_open() {
        until_idle(&load, options.users(), TIMEOUT).await;
    }
    load.stats.begin();
    let progress = Progress::begin(load.clone(), options.users());
    let mut capacity = None;
    let was_interrupted = {
        let drive = drive(&load, options, &mut users, &mut capacity);
        tokio::select! {
            driven = drive => { driven?; false }
            () = &mut interrupted => true,
        }
    };
    if was_interrupted {
        load.scheduler.abandon();
    }
    load.scheduler.end();
    // What is in flight ends with its answer; whoever interrupts twice does not wait for that.
    tokio::select! {
        _ = tokio::time::timeout(TIMEOUT, async { while users.join_next().await.is_some() {} }) => {}
        () = &mut interrupted => {}
    }
    progress.end();
    Ok(Report::new(&load, options, seed, was_interrupted, capacity))
}

/// Returns at SIGINT or SIGTERM, as often as it is asked.
fn interruption() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(std::future::poll_fn(move |cx| {
        let interrupted = interrupt.poll_recv(cx).is_ready();
        let terminated = terminate.poll_recv(cx).is_ready();
        if interrupted || terminated {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    }))
}

struct Opened {
    load: Load,
    /// The clients of a profile that speaks gRPC.
    clients: Option<Clients>,
}

/// Waits for the shop, and learns what it charges.
async fn open(options: &Options) -> anyhow::Result<Opened> {
    let prices = PriceList::try_new(options.rates()?.as_deref())?;
    let checks_pages = options.check == Check::Full;
    let (target, clients) = match options.profile {
        Profile::CheckoutGrpc => (Target::nowhere(), Some(grpc_clients(options).await?)),
        Profile::Shop | Profile::Browse | Profile::Checkout | Profile::Page(_) => {
            (frontend(options).await?, None)
        }
    };
    let client = Client::new(target, tls(options)?)?;
    let prices = match &clients {
        Some(clients) => {
            let learnt = async || clients.learn(prices.clone()).await.map_err(Refused::NotYet);
            Some(wait(options, "the services", learnt).await?)
        }
        None => {
            wait(options, "the shop", async || first_page(&client).await).await?;
            let has_orders = matches!(options.profile, Profile::Shop | Profile::Checkout);
            let learnt =
                if checks_pages && has_orders { learn(&client, prices).await } else { Ok(None) };
            learnt.unwrap_or_else(|error| {
                println!("totals are not checked: the shop's prices cannot be learnt: {error:#}");
                None
            })
        }
    };
    let scheduler = if options.rps.is_empty() {
        Scheduler::closed(options.tasks)
    } else {
        Scheduler::open(options.tasks)
    };
    let load = Load {
        client,
        scheduler,
        stats: Stats::new(),
        verdict: Default::default(),
        profile: options.profile,
        checks_pages,
        prices,
        items: options.items,
        refusals: options.refusals,
        wait: options.wait_min..=options.wait_max,
        this_year: this_year(),
        filling: Semaphore::new(FILLING),
    };
    Ok(Opened { load, clients })
}

async fn frontend(options: &Options) -> anyhow::Result<Target> {
    let address = options.frontend_addr.as_deref().unwrap_or_default();
    owned(options, "FRONTEND_ADDR", address).await
}

/// The target under this setting, if load may go there.
async fn owned(options: &Options, name: &str, address: &str) -> anyhow::Result<Target> {
    let target = Target::parse(address).with_context(|| format!("{name} cannot be used"))?;
    if !options.i_own_this_target {
        check_owned(&target.host, target.port).await?;
    }
    Ok(target)
}

async fn grpc_clients(options: &Options) -> anyhow::Result<Clients> {
    let env = Env::from_process();
    for name in ADDRESSES {
        owned(options, name, env.require(name)?).await?;
    }
    Clients::from_env(&env)
}

fn tls(options: &Options) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    match &options.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path).context("cannot read CA_FILE")? {
                roots.add(certificate.context("CA_FILE is no list of PEM certificates")?)?;
            }
            ensure!(!roots.is_empty(), "CA_FILE has no certificate");
        }
    }
    let config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

/// The reason why a shop is not open.
enum Refused {
    /// It may become so.
    NotYet(anyhow::Error),
    /// It will not.
    Never(anyhow::Error),
}

/// Asks twice a second until there is an answer.
async fn wait<T>(
    options: &Options,
    what: &str,
    ask: impl AsyncFn() -> Result<T, Refused>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    let mut said = false;
    loop {
        let (error, is_final) = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(Refused::NotYet(error)) => (error, began.elapsed() > options.wait_for_shop),
            Err(Refused::Never(error)) => (error, true),
        };
        if is_final {
            return Err(error.context(format!("{what} did not open")));
        }
        if !std::mem::replace(&mut said, true) {
            println!("waiting for {what} to open: {error:#}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn first_page(client: &Client) -> Result<(), Refused> {
    match client.visit(&mut Cookies::default(), Method::GET, "/", String::new()).await {
        Ok(page) if page.status == StatusCode::OK => Ok(()),
        Ok(page) => Err(Refused::NotYet(anyhow::anyhow!("status {}", page.status))),
        Err(error) => {
            let is_garbage =
                error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
            let is_tls = error.downcast_ref::<std::io::Error>().is_some_and(|error| {
                error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
            });
            if is_garbage || is_tls {
                return Err(Refused::Never(error));
            }
            Err(Refused::NotYet(error))
        }
    }
}

/// Learns prices and the quote as any visitor could.
async fn learn(client: &Client, mut prices: PriceList) -> anyhow::Result<Option<PriceList>> {
    let visitor = &mut Cookies::default();
    let mut visit = async |method, path: &str, form: &str| {
        let page = client.visit(visitor, method, path, form.to_owned()).await?;
        ensure!(page.status.is_success(), "status {} at {path}", page.status);
        Ok(page.body)
    };
    for product in PRODUCTS {
        let json = visit(Method::GET, &format!("/product-meta/{}", product.id()), "").await?;
        prices
            .learn_json(product.id(), &json)
            .with_context(|| format!("the price of {}", product.id()))?;
    }
    let form = format!("product_id={}&quantity=1", PRODUCTS[0].id());
    let cart = visit(Method::POST, "/cart", &form).await?;
    let shipping = page::shipping(&cart).context("the cart page has no cost of shipping")?;
    prices.learn_quote_text(&shipping)?;
    visit(Method::POST, "/cart/empty", "").await?;
    Ok(Some(prices))
}

/// Starts the users: in a closed loop one after another at the given rate, in an open one at once.
fn start(load: &Rc<Load>, options: &Options, seed: u64, clients: Option<&Clients>) -> JoinSet<()> {
    let mut users = JoinSet::new();
    for number in 0..options.users() {
        let seed = seed.wrapping_add(number as u64);
        let arrival = if load.scheduler.is_open() { 0.0 } else { number as f64 / options.rate };
        let (load, clients) = (load.clone(), clients.cloned());
        users.spawn_local(async move {
            load.scheduler.pause(arrival).await;
            match clients {
                None => Box::pin(Shopper::new(load, seed).shop()).await,
                Some(clients) => Box::pin(Caller::new(load, clients, seed).buy()).await,
            }
        });
    }
    users
}

/// Lets things happen until the plan ends.
async fn drive(
    load: &Rc<Load>,
    options: &Options,
    users: &mut JoinSet<()>,
    capacity: &mut Option<f64>,
) -> anyhow::Result<()> {
    let all_gone = async { while users.join_next().await.is_some() {} };
    let plan = async {
        match (options.rps.as_slice(), options.duration) {
            ([], None) => pending().await,
            ([], Some(duration)) => tokio::time::sleep(duration).await,
            ([rps], _) if options.find_capacity => search(load, options, *rps, capacity).await?,
            (steps, duration) => {
                for rps in steps {
                    step(load, options, *rps, duration.unwrap_or(Duration::MAX)).await?;
                }
            }
        }
        Ok(())
    };
    tokio::select! {
        planned = plan => planned,
        () = all_gone => Ok(()),
    }
}

/// Waits until no user has anything to do, for so long at most.
async fn until_idle(load: &Load, users: usize, patience: Duration) {
    let idle = async {
        while load.scheduler.backlog() > 0 || load.scheduler.idle_users() < users {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(patience, idle).await;
}

/// One rate for a while, then what it left behind; whether it kept to the objectives.
async fn step(
    load: &Load,
    options: &Options,
    rps: f64,
    duration: Duration,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    load.stats.begin_step(rps);
    load.scheduler.arrivals(rps, duration).await?;
    let took = began.elapsed();
    // A search has its answer once the users do not keep up; otherwise everything due is sent.
    let patience = if options.find_capacity { Duration::from_secs(1) } else { TIMEOUT };
    until_idle(load, options.users(), patience).await;
    let abandoned = load.scheduler.abandon();
    until_idle(load, options.users(), TIMEOUT).await;
    let Some(step) = load.stats.end_step(took, abandoned) else { return Ok(false) };
    let bound = options.p99.unwrap_or(Duration::MAX).as_secs_f64() * 1e3;
    Ok(abandoned == 0
        && step.row.millis(99.0) <= bound
        && step.row.error_ratio() <= options.max_error_ratio)
}

/// Doubles the rate until it is too much, then halves the distance.
async fn search(
    load: &Load,
    options: &Options,
    first: f64,
    capacity: &mut Option<f64>,
) -> anyhow::Result<()> {
    let duration = options.duration.unwrap_or(TRY);
    let (mut rps, mut too_much) = (first, None);
    loop {
        if step(load, options, rps, duration).await? {
            *capacity = Some(rps);
        } else {
            too_much = Some(rps);
        }
        let good = capacity.unwrap_or(0.0);
        rps = match too_much {
            None => rps * 2.0,
            Some(bad) if bad < 1.0 || (good > 0.0 && bad / good < PRECISION) => return Ok(()),
            Some(bad) => f64::midpoint(good, bad),
        };
    }
}

fn this_year() -> i32 {
    /// The mean length of a year of the Gregorian calendar.
    const YEAR: f64 = 365.2425 * 24.0 * 3600.0;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    1970 + (since.as_secs_f64() / YEAR) as i32
}
