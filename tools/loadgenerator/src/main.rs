//! Load for a shop, made by users who check every answer: as fast as they can in a closed loop, or at
//! a rate that no answer delays in an open one. The exit code tells whether all was right.
#![expect(clippy::print_stdout, reason = "its report is what a load generator prints")]

mod buyer;
mod client;
mod grpc;
mod history;
mod load;
mod options;
mod page;
mod price_list;
mod profile;
mod progress;
mod report;
mod run;
mod scheduler;
mod shopper;
mod stats;
mod target;
mod verdict;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::LocalSet;

use crate::options::Options;
use crate::report::{Report, html, json, text};

fn main() -> ExitCode {
    let options = Options::parse();
    match load(&options) {
        Ok(report) => report.exit_code(),
        Err(error) => {
            eprintln!("loadgenerator: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn load(options: &Options) -> anyhow::Result<Report> {
    options.check()?;
    allow_connections();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    let report = runtime.block_on(LocalSet::new().run_until(run::run(options)))?;
    print!("{}", text::summary(&report));
    if let Some(path) = &options.report {
        std::fs::write(path, html::page(&report)?).context("cannot write REPORT")?;
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&json::document(&report))?;
        std::fs::write(path, text).context("cannot write JSON")?;
    }
    Ok(report)
}

/// As many as this process may have; most shells begin with fewer.
fn allow_connections() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // It does with fewer where this is not allowed.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
