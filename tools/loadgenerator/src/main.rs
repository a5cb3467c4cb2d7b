//! Buys in the shop the way upstream's load does: so many users, each doing one task after another
//! with a pause between. Every answer is checked, and the exit code tells whether all were right.
#![expect(clippy::print_stdout, reason = "its report is what a load generator prints")]

mod buyer;
mod client;
mod report;
mod shopper;

use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use tokio::task::{JoinSet, LocalSet};

use crate::client::Client;
use crate::report::Report;
use crate::shopper::Shopper;

/// How long the shop may take to open.
const OPENING: Duration = Duration::from_secs(120);
/// How often a running summary is printed.
const SUMMARY_EVERY: Duration = Duration::from_secs(10);

/// Closed-loop load with upstream's task mix.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where the frontend is, as host:port.
    #[arg(long, env = "FRONTEND_ADDR")]
    frontend_addr: String,
    /// How many users shop at the same time.
    #[arg(long, env = "USERS", default_value_t = 10)]
    users: usize,
    /// How many users arrive per second.
    #[arg(long, env = "RATE", default_value_t = 1.0)]
    rate: f64,
    /// Stop after this many tasks; without it, only a signal stops.
    #[arg(long, env = "TASKS")]
    tasks: Option<u64>,
    /// The shortest pause between two tasks of a user, in seconds.
    #[arg(long, env = "WAIT_MIN", default_value_t = 1.0)]
    wait_min: f64,
    /// The longest pause between two tasks of a user, in seconds.
    #[arg(long, env = "WAIT_MAX", default_value_t = 10.0)]
    wait_max: f64,
    /// Makes the same choices again.
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(report) if report.failures() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadgenerator: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> anyhow::Result<Rc<Report>> {
    let is_time = |seconds: f64| (0.0..=86_400.0).contains(&seconds);
    anyhow::ensure!(options.users > 0, "USERS must be at least 1");
    anyhow::ensure!(options.rate > 0.0, "RATE must be more than 0 users per second");
    anyhow::ensure!(
        is_time(options.wait_min)
            && is_time(options.wait_max)
            && options.wait_min <= options.wait_max,
        "WAIT_MIN and WAIT_MAX must be seconds, the first not above the second"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    runtime.block_on(LocalSet::new().run_until(shop(options)))
}

async fn shop(options: &Options) -> anyhow::Result<Rc<Report>> {
    let client = Client::new(&options.frontend_addr)?;
    client.wait_until_open(OPENING).await?;
    let report = Rc::new(Report::new(options.tasks));
    let mut users = JoinSet::new();
    let seed = options.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    for number in 0..options.users {
        let shopper = Shopper::new(
            client.clone(),
            report.clone(),
            seed.wrapping_add(number as u64),
            options.wait_min..=options.wait_max,
        );
        let arrival = Duration::from_secs_f64(number as f64 / options.rate);
        users.spawn_local(async move {
            tokio::time::sleep(arrival).await;
            shopper.shop().await;
        });
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut summaries = tokio::time::interval(SUMMARY_EVERY);
    summaries.tick().await;
    loop {
        tokio::select! {
            finished = users.join_next() => if finished.is_none() { break },
            _ = summaries.tick() => print!("{report}"),
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
        }
    }
    print!("{report}");
    Ok(report)
}
