#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, reason = "a command line tool tells what it does")]

mod case;
mod faults;
mod files;
mod picture;
mod record;
mod signals;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use boutique_proto::services::SERVICES;
use clap::{Parser, Subcommand};

use crate::case::{Case, Run};
use crate::faults::KINDS;
use crate::record::record;

#[derive(Parser)]
#[command(version, about = "Records cases of faults for research on root-cause analysis")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Records one case, of any faults: DIR/<service>_<fault>/<next instance>.
    Case {
        #[command(flatten)]
        run: Run,
        /// The service that is at fault.
        #[arg(long)]
        service: String,
        /// The name of the fault, without `_`.
        #[arg(long)]
        fault: String,
        /// The description of the faults, as `FAULTS` takes it.
        #[arg(long)]
        faults: PathBuf,
        /// The folder of the cases.
        dir: PathBuf,
    },
    /// Records every kind of fault in every service, again and again. Cases that exist are kept, so that it can go on later.
    Dataset {
        #[command(flatten)]
        run: Run,
        /// The number of cases of each fault in each service.
        #[arg(long, default_value_t = 3)]
        repetitions: usize,
        /// Only these services.
        #[arg(long, value_delimiter = ',')]
        services: Vec<String>,
        /// Only these kinds of faults.
        #[arg(long, value_delimiter = ',')]
        kinds: Vec<String>,
        /// The folder of the cases.
        dir: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Case { run, service, fault, faults, dir } => {
            one(&run, service, fault, &faults, &dir).await
        }
        Command::Dataset { run, repetitions, services, kinds, dir } => {
            dataset(&run, repetitions, (&services, &kinds), &dir).await
        }
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("recorder: {error:#}");
    ExitCode::FAILURE
}

async fn one(
    run: &Run,
    service: String,
    fault: String,
    faults: &Path,
    dir: &Path,
) -> anyhow::Result<()> {
    ensure!(is_service(&service), "there is no service {service}");
    ensure!(!fault.contains(['_', '/']), "RCAEval splits names at _: --fault must have none");
    let faults = std::fs::read_to_string(faults).context("cannot read --faults")?;
    let folder = dir.join(format!("{service}_{fault}"));
    let instance = (1..).find(|number| !folder.join(number.to_string()).exists());
    let folder = folder.join(instance.unwrap_or(1).to_string());
    record(run, &Case { service, fault, faults, indicator: None }, &folder).await?;
    println!("{}", folder.display());
    Ok(())
}

async fn dataset(
    run: &Run,
    repetitions: usize,
    (services, kinds): (&[String], &[String]),
    dir: &Path,
) -> anyhow::Result<()> {
    for name in services {
        ensure!(is_service(name), "there is no service {name}");
    }
    for name in kinds {
        ensure!(KINDS.iter().any(|kind| kind.name == name), "there is no kind {name}");
    }
    let is_wanted = |names: &[String], name: &str| {
        names.is_empty() || names.iter().any(|wanted| wanted == name)
    };
    let cases = (1..=repetitions).flat_map(|instance| {
        let of_service = move |service| KINDS.iter().map(move |kind| (instance, service, kind));
        SERVICES.iter().map(|spec| spec.name).flat_map(of_service)
    });
    let cases: Vec<_> = cases
        .filter(|(_, service, kind)| is_wanted(services, service) && is_wanted(kinds, kind.name))
        .collect();
    for (number, (instance, service, kind)) in cases.iter().enumerate() {
        let folder = dir.join(format!("{service}_{}", kind.name)).join(instance.to_string());
        println!("{} of {}: {}", number + 1, cases.len(), folder.display());
        if !files::is_complete(&folder) {
            record(run, &kind.case(service), &folder).await?;
        }
    }
    Ok(())
}

fn is_service(name: &str) -> bool {
    SERVICES.iter().any(|spec| spec.name == name)
}
