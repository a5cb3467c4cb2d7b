//! The process: its runtimes, its signals, and its exit code: 0 after a graceful shutdown, 1 after a failure, 2 for an
//! invalid setting.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use boutique_proto::services::{Criticality, MethodSpec, ServiceSpec, Threads};
use boutique_proto::{Rpc as _, UnaryChannel as _};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::admin;
use crate::client::{channel, set_worker};
use crate::env::{Env, EnvError};
use crate::listen::ListenAddress;
use crate::log;
use crate::push;
use crate::registry::Registry;
use crate::serve::{ServerHandle, drain_all, flush_all, spawn};
use crate::server::{Check, Router};

/// The time during which further signals count as the first one: GNU timeout and some shells send it to the process and to its group.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// A service's health as `healthcheck` calls it. No process has a setting of this name.
const HEALTH: ServiceSpec = ServiceSpec {
    methods: &[MethodSpec {
        path: Check::PATH,
        timeout_key: "HEALTH_TIMEOUT",
        timeout: Duration::from_secs(1),
        idempotent: true,
        criticality: Criticality::Critical,
    }],
    ..ServiceSpec::unlisted("health", "healthcheck")
};

/// Runs one service as a process until SIGTERM or SIGINT. With `healthcheck` as its first argument it asks the running
/// one instead, and succeeds if that is SERVING.
pub fn run(
    spec: ServiceSpec,
    routes: impl AsyncFnOnce(&Env, &Registry) -> anyhow::Result<Router>,
) -> ExitCode {
    let env = Env::from_process();
    match std::env::args().nth(1).as_deref() {
        None => run_all(spec.name, env, spec.threads, async |env, registry| {
            let router = routes(env, registry).await?;
            Ok(vec![spawn(spec, env, registry, router).await?])
        }),
        Some("healthcheck") => exit_code(spec.name, healthcheck(spec, env)),
        Some(_) => {
            eprintln!("usage: {} [healthcheck]", spec.name);
            ExitCode::from(2)
        }
    }
}

/// Runs what `start` starts until SIGTERM or SIGINT, then stops it, the last started first. A second signal
/// ends the process at once, unless it comes within a second.
pub fn run_all(
    name: &'static str,
    env: Env,
    threads: Threads,
    start: impl AsyncFnOnce(&mut Env, &mut Registry) -> anyhow::Result<Vec<ServerHandle>>,
) -> ExitCode {
    exit_code(name, try_run_all(name, env, threads, start))
}

fn exit_code(name: &str, outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("{name}: {error:#}");
    match error.downcast_ref::<EnvError>() {
        Some(_) => ExitCode::from(2),
        None => ExitCode::FAILURE,
    }
}

fn try_run_all(
    name: &'static str,
    mut env: Env,
    threads: Threads,
    start: impl AsyncFnOnce(&mut Env, &mut Registry) -> anyhow::Result<Vec<ServerHandle>>,
) -> anyhow::Result<()> {
    let lines = log::install(&env)?;
    let (mut registry, over) = (Registry::default(), CancellationToken::new());
    for index in 1..thread_count(&env, threads)? {
        registry.workers.push(start_worker(index, over.clone())?);
    }
    let runtime = current_thread()?;
    let mut serving = registry.workers.clone();
    serving.push(runtime.handle().clone());
    registry.metrics().add_process(name, serving, log::dropped_lines);
    admin::start(&env, &registry, current_thread, over.clone())?;
    let signals = push::Signals { process: name, metrics: registry.metrics().clone(), lines };
    let pushing = push::start(&env, signals, current_thread, over.clone())?;
    log::defer_writes();
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let running = start(&mut env, &mut registry).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let stop = async {
            let stopped = drain_all(running).await;
            // The last metrics and log lines are pushed at the same time as the last spans.
            over.cancel();
            flush_all(stopped).await;
        };
        let second = async {
            let began = Instant::now();
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if began.elapsed() >= SAME_SIGNAL {
                    return;
                }
            }
        };
        tokio::select! {
            () = stop => Ok(()),
            () = second => Err(anyhow::anyhow!("left at once, at the second signal")),
        }
    });
    log::flush();
    over.cancel();
    if let Some(pushing) = pushing {
        let _ = pushing.join();
        log::flush();
    }
    // A name look-up or an export may hang in a blocking thread; the process does not wait for it.
    runtime.shutdown_background();
    outcome
}

/// The number of current-thread runtimes that share the connections: `TOKIO_WORKER_THREADS`, or the service's own.
fn thread_count(env: &Env, threads: Threads) -> Result<usize, EnvError> {
    let allowed = "a number of threads, 1 to 1024";
    let by_default = match threads {
        Threads::One => 1,
        Threads::PerCore => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let count = env.parse("TOKIO_WORKER_THREADS", allowed)?.unwrap_or(by_default);
    if !(1..=1024).contains(&count) {
        return Err(EnvError::new("TOKIO_WORKER_THREADS", format_args!("must be {allowed}")));
    }
    Ok(count)
}

fn start_worker(index: usize, over: CancellationToken) -> anyhow::Result<Handle> {
    let runtime = current_thread()?;
    let handle = runtime.handle().clone();
    let work = move || {
        set_worker(index);
        log::defer_writes();
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
    builder
        .enable_all()
        .on_thread_park(log::on_thread_park)
        .build()
        .context("cannot make a runtime")
}

/// Asks the service on this machine, at the port that `PORT` gives it.
fn healthcheck(spec: ServiceSpec, mut env: Env) -> anyhow::Result<()> {
    let ListenAddress { ip, port, .. } = ListenAddress::of_service(spec.port, &env)?;
    let ip = match ip {
        Some(ip) if !ip.is_unspecified() => ip,
        Some(_) | None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    env.set(HEALTH.addr_key, SocketAddr::new(ip, port).to_string());
    current_thread()?.block_on(async {
        let health = channel(&env, &Registry::default(), &HEALTH)?;
        let check = health.unary::<Check>(tonic::Request::new(HealthCheckRequest::default()));
        let answer = tokio::time::timeout(Duration::from_secs(2), check).await;
        let status = answer.context("no answer")?.map_err(|status| {
            anyhow::anyhow!("not healthy: {:?} {}", status.code(), status.message())
        })?;
        match status.get_ref().status() {
            ServingStatus::Serving => Ok(()),
            ServingStatus::NotServing | ServingStatus::Unknown | ServingStatus::ServiceUnknown => {
                Err(anyhow::anyhow!("not serving"))
            }
        }
    })
}
