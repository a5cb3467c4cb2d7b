//! A case, and what its recording takes.

use std::time::Duration;

use clap::Args;

/// A fault to record.
#[derive(Debug)]
pub(crate) struct Case {
    /// The service that is at fault.
    pub(crate) service: String,
    /// The name of the fault.
    pub(crate) fault: String,
    /// The description of the faults, as `FAULTS` takes it.
    pub(crate) faults: String,
    /// The metric that shows the fault first, if that is known.
    pub(crate) indicator: Option<String>,
}

/// The length and the load of a recording.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The time before the fault.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(crate) normal: Duration,
    /// The time with the fault.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(crate) faulty: Duration,
    /// The number of users, each of whom does something about once a second.
    #[arg(long, default_value_t = 20)]
    pub(crate) users: usize,
}

fn duration(text: &str) -> Result<Duration, String> {
    boutique_service::parse_duration(text).ok_or_else(|| "it must be as in 90s or 5m".to_owned())
}
