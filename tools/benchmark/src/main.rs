#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, reason = "its report is what a benchmark prints")]

mod baseline;
mod growth;
mod plan;
mod process;
mod report;
mod system;
mod workload;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use boutique_proto::services::SERVICES;
use clap::{Args, Parser, Subcommand};

use crate::plan::{Sample, Session, median};
use crate::process::{Machine, Meter, Running, free_ports};
use crate::report::{Figure, Report, Row};
use crate::system::{Settings, System};
use crate::workload::{HOME, ORDER, SHOP_MIX};

/// RPCs of the shop mix per HTTP request, counted in upstream's source and its load's weights.
const LEGS: f64 = 11.12;
const ROUND_TRIPS: u32 = 50_000;

#[derive(Parser)]
#[command(version, about = "Measures what a request costs")]
struct Options {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Starts our shop in all its forms and the baselines, and measures them beside each other.
    Run {
        #[command(flatten)]
        how: How,
        /// Measure the growth curves too.
        #[arg(long)]
        growth: bool,
    },
    /// Measures a shop that is running, whoever made it.
    Measure {
        #[command(flatten)]
        how: How,
        /// Name in the table.
        #[arg(long, default_value = "other")]
        label: String,
        /// Its address, as host:port.
        #[arg(long)]
        target: String,
        /// Source of its parts' CPU figures: name=PID or name=FOLDER of a cgroup; as often as there are parts.
        #[arg(long = "meter", required = true)]
        meters: Vec<String>,
        /// The same of its Redis, which is counted apart.
        #[arg(long)]
        redis_meter: Option<String>,
    },
    /// Runs one stand-in of the baselines; `run` starts them.
    #[command(hide = true)]
    Baseline { kind: String, address: Option<String> },
}

#[derive(Args)]
struct How {
    /// Rounds: how often each load is put on each system.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Seconds without requests, to see what a system does by itself. tokio keeps the threads
    /// of a start for ten seconds.
    #[arg(long, default_value_t = 12)]
    idle: u64,
    /// Longest time that a shop may take to open, as in 30s.
    #[arg(long, default_value = "30s")]
    wait_for_shop: String,
    /// Number of connections.
    #[arg(long, default_value_t = 8)]
    users: usize,
    /// Folder of the binaries; beside this one by default.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Write a page with plots to this file.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Write all figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Options { command } = Options::parse();
    let done = match command {
        What::Run { how, growth } => run(&how, growth),
        What::Measure { how, label, target, meters, redis_meter } => {
            other(&how, &label, &target, &meters, redis_meter.as_deref())
        }
        What::Baseline { kind, address: Some(address) } if kind == "trips" => {
            baseline::round_trips(&address, ROUND_TRIPS)
        }
        What::Baseline { kind, .. } => baseline::run(&kind),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benchmark: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn session(how: &How, scratch: &Path, redis: Option<Meter>) -> anyhow::Result<Session> {
    ensure!(how.rounds > 0 && how.seconds > 0 && how.users > 0, "nothing would be measured");
    let own = std::env::current_exe()?;
    let bin =
        how.bin.clone().or_else(|| own.parent().map(Path::to_owned)).context("no binaries")?;
    // What is measured has a processor of its own, and who measures has another.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processors = (cores > 1).then_some((1, 0));
    let machine = Machine { bin, processors, scratch: scratch.to_owned() };
    Ok(Session {
        machine,
        redis,
        users: how.users,
        duration: Duration::from_secs(how.seconds),
        wait_for_shop: how.wait_for_shop.clone(),
    })
}

/// A Redis for all of our shops, on their processor.
fn start_redis(machine: &Machine) -> anyhow::Result<(Running, String)> {
    let [port] = free_ports()?;
    let mut command = machine.pinned(Path::new("redis-server"), true);
    command.args(["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"]);
    let log = std::fs::File::create(machine.scratch.join("redis"))?;
    command.stdin(Stdio::null()).stdout(log);
    let redis = Running::new(command).context("redis-server is needed")?;
    let address = format!("127.0.0.1:{port}");
    let began = Instant::now();
    while std::net::TcpStream::connect(&address).is_err() {
        ensure!(began.elapsed() < Duration::from_secs(10), "redis-server does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((redis, address))
}

fn run(how: &How, with_growth: bool) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let mut session = session(how, scratch.path(), None)?;
    let (redis, redis_address) = start_redis(&session.machine)?;
    session.redis = Some(redis.meter());
    let machine = &session.machine;
    let plain = Settings::from([("REDIS_ADDR".to_owned(), redis_address.clone())]);
    let cached: Settings = plain.clone().into_iter().chain(System::cached()).collect();
    // Those that answer all pages, and two baselines of a single page.
    let shops = [
        System::one(machine, "one process", &plain)?,
        System::one(machine, "one, cached", &cached)?,
        System::ten(machine, "ten, faithful", &plain)?,
        System::ten(machine, "ten, cached", &cached)?,
        System::baseline(machine, "L2", false)?,
        System::baseline(machine, "L2, reduced", true)?,
    ];
    let pages = [
        System::page(machine, "plain HTTP", "http", &plain)?,
        System::page(machine, "HTTP and Redis", "http-redis", &plain)?,
    ];
    let systems: Vec<&System> = shops.iter().chain(&pages).collect();
    let echo = echo(machine)?;
    let idle = idle(&systems, Duration::from_secs(how.idle))?;
    let samples = session.rounds(&systems, how.rounds)?;
    let [of_http, of_http_redis] = pages.each_ref().map(|page| samples.of(page, HOME));
    let middle = |samples: &[Sample], of: fn(&Sample) -> f64| median(samples.iter().map(of)).0;
    let http = middle(of_http, Sample::cpu);
    let generator = middle(of_http, |sample| sample.generator);
    let http_redis = middle(of_http_redis, |sample| sample.cpu() + sample.redis);
    let mut curves = Vec::new();
    if with_growth {
        let [_, _, ten, ..] = &shops;
        let promise = ("product page from 9 to 10,000 products, cached", 1.2);
        curves.extend(growth::cart_lines(&session, ten)?);
        curves.push(growth::products(&session, &plain, "ten, faithful", None)?);
        curves.push(growth::products(&session, &cached, "ten, cached", Some(promise))?);
        curves.extend(growth::users(&session, ten, &redis_address, how.rounds)?);
    }
    let rows = shops.iter().zip(idle).map(|(shop, idle)| report::row(shop, &samples, idle));
    let rows = rows.collect::<anyhow::Result<Vec<Row>>>()?;
    let mut figures = self::figures(&rows, http_redis, generator);
    figures.extend(curves.iter().filter_map(|curve| {
        let (name, at_most) = curve.promise?;
        Some(Figure::new(name, curve.growth(), at_most))
    }));
    let notes = vec![
        sizes(&session.machine)?,
        format!(
            "L0: {LEGS} round trips over loopback of {echo:.1} µs and a plain page of {http:.1} µs are {:.1} µs per HTTP request of the shop mix.",
            LEGS * echo + http
        ),
        format!(
            "A plain page with one Redis operation is {http_redis:.1} µs, Redis' own part among it. The load generator takes {generator:.1} µs a request when it is the limit."
        ),
    ];
    finish(how, &Report { rows, figures, curves, notes })
}

/// Prints the size of each binary.
fn sizes(machine: &Machine) -> anyhow::Result<String> {
    let names = SERVICES.iter().map(|service| service.name).chain(["boutique", "loadgenerator"]);
    let size = |name| {
        let bytes = std::fs::metadata(machine.bin.join(name))?.len();
        anyhow::Ok(format!("{name} {:.1}", bytes as f64 / 1e6))
    };
    Ok(format!(
        "Binaries, MB: {}.",
        names.map(size).collect::<anyhow::Result<Vec<_>>>()?.join(", ")
    ))
}

/// One round trip over loopback, both ends on one processor, in microseconds.
fn echo(machine: &Machine) -> anyhow::Result<f64> {
    let (_echo, address) = machine.baseline("echo", "L0", &Settings::new())?;
    let mut trips: Command = machine.pinned(&std::env::current_exe()?, true);
    let began = Instant::now();
    let status = trips.args(["baseline", "trips", &address]).status()?;
    ensure!(status.success(), "the round trips failed");
    Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUND_TRIPS))
}

/// Prints the idle CPU of each system, in thousandths of a core.
fn idle(systems: &[&System], duration: Duration) -> anyhow::Result<Vec<f64>> {
    let all = |systems: &[&System]| {
        systems
            .iter()
            .map(|system| Ok(system.cpu()?.iter().sum()))
            .collect::<anyhow::Result<Vec<f64>>>()
    };
    // What a start leaves to do is done by then, and the threads that did it are gone.
    std::thread::sleep(duration);
    let before = all(systems)?;
    std::thread::sleep(duration);
    let after = all(systems)?;
    Ok(before
        .iter()
        .zip(after)
        .map(|(before, after)| (after - before) / duration.as_secs_f64() * 1e3)
        .collect())
}

fn figures(rows: &[Row], http_redis: f64, generator: f64) -> Vec<Figure> {
    let [one, one_cached, ten, ten_cached, baseline, reduced] = rows else { return Vec::new() };
    let cost = |row: &Row, workload| row.cost(workload).map_or(0.0, |cost| cost.cpu);
    let with_redis = |row: &Row| row.cost(SHOP_MIX).map_or(0.0, |cost| cost.cpu + cost.redis);
    vec![
        Figure::new("shop mix, faithful / L2", cost(ten, SHOP_MIX) / cost(baseline, SHOP_MIX), 1.3),
        Figure::new(
            "shop mix, cached / L2 of the reduced graph",
            cost(ten_cached, SHOP_MIX) / cost(reduced, SHOP_MIX),
            1.5,
        ),
        Figure::new("order of 2, faithful / L2", cost(ten, ORDER) / cost(baseline, ORDER), 1.3),
        Figure::new(
            "shop mix, one process / (HTTP and one Redis operation)",
            with_redis(one) / http_redis,
            2.0,
        ),
        Figure::new(
            "shop mix, one process cached / (HTTP and one Redis operation)",
            with_redis(one_cached) / http_redis,
            2.0,
        ),
        Figure::new("one process, MB fresh", one.fresh, 12.0),
        Figure::new("one process, MB after load", one.loaded, 20.0),
        Figure::new("ten processes, MB fresh", ten.fresh, 40.0),
        Figure::new("ten processes, MB after load", ten.loaded, 40.0),
        Figure::new("one process, ms to the first page", one.opened_in.unwrap_or_default(), 15.0),
        Figure::new("ten processes, ms to the first page", ten.opened_in.unwrap_or_default(), 60.0),
        Figure::new("one process, mCPU idle", one.idle, 0.3),
        Figure::new("ten processes, mCPU idle", ten.idle, 0.3),
        Figure::new("load generator, µs of CPU per request", generator, 15.0),
    ]
}

fn other(
    how: &How,
    label: &str,
    target: &str,
    meters: &[String],
    redis: Option<&str>,
) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let session = session(how, scratch.path(), redis.map(Meter::parse).transpose()?)?;
    let system = System::other(label, target, meters)?;
    let idle = idle(&[&system], Duration::from_secs(how.idle))?;
    let samples = session.rounds(&[&system], how.rounds)?;
    let rows = vec![report::row(&system, &samples, idle.into_iter().sum())?];
    finish(how, &Report { rows, figures: Vec::new(), curves: Vec::new(), notes: Vec::new() })
}

fn finish(how: &How, report: &Report) -> anyhow::Result<()> {
    print!("{}", report.text());
    if let Some(path) = &how.report {
        std::fs::write(path, report.html()?).context("cannot write the report")?;
    }
    if let Some(path) = &how.json {
        std::fs::write(path, serde_json::to_string_pretty(&report.json())?)
            .context("cannot write the figures")?;
    }
    Ok(())
}
