//! A whole process: its runtimes, its signals, and what it leaves behind as an exit code: 0 when it
//! was asked to stop and did, 1 when it failed, 2 when a setting is wrong.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use boutique_proto::services::{MethodSpec, ServiceSpec, Threads};
use boutique_proto::{Rpc as _, UnaryChannel as _};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::client::{channel, set_worker};
use crate::env::{Env, EnvError};
use crate::health::Check;
use crate::log;
use crate::server::{App, Running, port, spawn};

/// The service's health as `healthcheck` calls it. No process has a setting of this name.
const HEALTH: ServiceSpec = ServiceSpec {
    methods: &[MethodSpec {
        path: Check::PATH,
        timeout_key: "HEALTH_TIMEOUT",
        timeout: Duration::from_secs(1),
        idempotent: true,
    }],
    ..ServiceSpec::unlisted("health", "healthcheck")
};

/// Runs one service as a process until SIGTERM or SIGINT. With `healthcheck` as first argument it
/// asks the running one instead, and succeeds if that is SERVING.
pub fn run(
    service: ServiceSpec,
    routes: impl AsyncFnOnce(&Env) -> anyhow::Result<App>,
) -> ExitCode {
    let env = Env::from_process();
    let workers = match service.threads {
        Threads::One => 1,
        Threads::PerCore => cores(),
    };
    match std::env::args().nth(1).as_deref() {
        None => process(service.name, env, workers, async |env| {
            let app = routes(env).await?;
            Ok(vec![spawn(service, env, app).await?])
        }),
        Some("healthcheck") => exit_code(service.name, healthcheck(service, env)),
        Some(_) => {
            eprintln!("usage: {} [healthcheck]", service.name);
            ExitCode::from(2)
        }
    }
}

/// Runs what `open` starts until SIGTERM or SIGINT, then stops it, the last started first. A second
/// signal leaves at once. `workers` current-thread runtimes share the connections, unless
/// `TOKIO_WORKER_THREADS` says how many; `None` takes one per core.
pub fn process(
    name: &'static str,
    env: Env,
    workers: impl Into<Option<usize>>,
    open: impl AsyncFnOnce(&mut Env) -> anyhow::Result<Vec<Running>>,
) -> ExitCode {
    exit_code(name, try_process(env, workers.into().unwrap_or_else(cores), open))
}

fn exit_code(name: &str, outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("{name}: {error:#}");
    match error.downcast_ref::<EnvError>() {
        Some(_) => ExitCode::from(2),
        None => ExitCode::FAILURE,
    }
}

fn try_process(
    mut env: Env,
    workers: usize,
    open: impl AsyncFnOnce(&mut Env) -> anyhow::Result<Vec<Running>>,
) -> anyhow::Result<()> {
    log::install(&env)?;
    let allowed = "a number of threads, 1 to 1024";
    let workers = env.parse("TOKIO_WORKER_THREADS", allowed)?.unwrap_or(workers);
    if !(1..=1024).contains(&workers) {
        return Err(EnvError::new("TOKIO_WORKER_THREADS", format_args!("must be {allowed}")).into());
    }
    let over = CancellationToken::new();
    for index in 1..workers {
        env.workers.push(start_worker(index, over.clone())?);
    }
    let runtime = current_thread()?;
    log::let_wait();
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut running = open(&mut env).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let stop = async {
            while let Some(last) = running.pop() {
                last.stop().await;
            }
            Ok(())
        };
        tokio::select! {
            stopped = stop => stopped,
            _ = terminate.recv() => Err(anyhow::anyhow!("left at once, at the second signal")),
            _ = interrupt.recv() => Err(anyhow::anyhow!("left at once, at the second signal")),
        }
    });
    log::flush();
    over.cancel();
    // A name look-up or an export may hang in a blocking thread; nobody waits for it.
    runtime.shutdown_background();
    outcome
}

fn start_worker(index: usize, over: CancellationToken) -> anyhow::Result<tokio::runtime::Handle> {
    let runtime = current_thread()?;
    let handle = runtime.handle().clone();
    let work = move || {
        set_worker(index);
        log::let_wait();
        runtime.block_on(over.cancelled());
        log::flush();
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(work)
        .context("cannot start a worker thread")?;
    Ok(handle)
}

fn current_thread() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().on_thread_park(log::parked).build().context("cannot make a runtime")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Asks the service of this name on this machine, at the port that `PORT` gives it.
fn healthcheck(service: ServiceSpec, mut env: Env) -> anyhow::Result<()> {
    let port = port(service.port, &env)?;
    let ip = match env.parse("LISTEN_ADDR", "an IP address")? {
        Some(ip) if !IpAddr::is_unspecified(&ip) => ip,
        Some(_) | None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    env.set(HEALTH.addr_key, SocketAddr::new(ip, port).to_string());
    current_thread()?.block_on(async {
        let health = channel(&env, &HEALTH)?;
        let check = health.unary::<Check>(HealthCheckRequest::default());
        let answer = tokio::time::timeout(Duration::from_secs(2), check).await;
        let status = answer.context("no answer")?.map_err(|status| {
            anyhow::anyhow!("not healthy: {:?} {}", status.code(), status.message())
        })?;
        match status.status() {
            ServingStatus::Serving => Ok(()),
            ServingStatus::NotServing | ServingStatus::Unknown | ServingStatus::ServiceUnknown => {
                Err(anyhow::anyhow!("not serving"))
            }
        }
    })
}
