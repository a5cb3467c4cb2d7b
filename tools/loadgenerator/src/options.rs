//! Command-line options: flags, each with a setting of its own, and what they mean together.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{ArgAction, Parser, ValueEnum};

use crate::profile::Profile;

/// The default number of users who take turns in an open loop.
const OPEN_USERS: usize = 1_000;
/// The default number of users in a closed loop, as upstream has it.
const CLOSED_USERS: usize = 10;
/// More would need more ports than an address has.
const MOST_USERS: usize = 50_000;
const MOST_RPS: f64 = 1e6;
const DAY: f64 = 86_400.0;

/// Buys in a shop, and says whether every order was right.
///
/// Exits with 0 if all objectives were met, 1 if one was missed or an order was wrong, 2 if it could
/// not begin, and 130 if it was interrupted before its end.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Address of the frontend: host:port, or a URL. Not needed by checkout-grpc, which reads
    /// CART_SERVICE_ADDR, CHECKOUT_SERVICE_ADDR, PRODUCT_CATALOG_SERVICE_ADDR and SHIPPING_SERVICE_ADDR.
    #[arg(long, env = "FRONTEND_ADDR")]
    pub(crate) frontend_addr: Option<String>,
    /// Tasks of users: shop (upstream's mix), browse, checkout, checkout-grpc, or one page alone:
    /// page:home, page:product, page:cart, page:add, page:empty, page:currency.
    #[arg(long, env = "PROFILE", default_value = "shop")]
    pub(crate) profile: Profile,
    /// Number of users: those who shop at the same time (10 by default), or with --rps
    /// those who take turns (1000 by default).
    #[arg(long, env = "USERS")]
    pub(crate) users: Option<usize>,
    /// Users that arrive per second.
    #[arg(long, env = "RATE", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) rate: f64,
    /// Open loop: how many requests begin per second, whatever the shop does; latency counts from
    /// when each was due. Several rates are steps, each as long as --duration.
    #[arg(long, env = "RPS", value_delimiter = ',', allow_negative_numbers = true)]
    pub(crate) rps: Vec<f64>,
    /// Search, from the given --rps on, for the highest rate that keeps to --p99 and
    /// --max-error-ratio; each try takes --duration (10s by default).
    #[arg(long, env = "FIND_CAPACITY", action = ArgAction::SetTrue)]
    pub(crate) find_capacity: bool,
    /// Stop after this time, as in 90s or 5m; without it, only a signal stops.
    #[arg(long, env = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Stop after this many tasks.
    #[arg(long, env = "TASKS")]
    pub(crate) tasks: Option<u64>,
    /// The shortest pause between two tasks of a user in a closed loop, in seconds.
    #[arg(long, env = "WAIT_MIN", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) wait_min: f64,
    /// The longest pause, in seconds.
    #[arg(long, env = "WAIT_MAX", default_value_t = 10.0, allow_negative_numbers = true)]
    pub(crate) wait_max: f64,
    /// Number of products that go into a cart before it is bought (checkout, checkout-grpc, page:cart).
    #[arg(long, env = "ITEMS", default_value_t = 2)]
    pub(crate) items: usize,
    /// The share of orders with an expired card, which must be refused (checkout, checkout-grpc).
    #[arg(long, env = "REFUSALS", default_value_t = 0.05, allow_negative_numbers = true)]
    pub(crate) refusals: f64,
    /// Makes the same choices again.
    #[arg(long, env = "SEED")]
    pub(crate) seed: Option<u64>,
    /// Checks of a page: everything, or its status alone.
    #[arg(long, env = "CHECK", value_enum, default_value_t = Check::Full)]
    pub(crate) check: Check,
    /// The shop's rates, if they are not upstream's: a JSON object of codes and decimals.
    #[arg(long, env = "RATES_FILE")]
    pub(crate) rates_file: Option<PathBuf>,
    /// PEM certificates to trust for https, instead of the public roots.
    #[arg(long, env = "CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Longest time that the shop may take to open.
    #[arg(long, env = "WAIT_FOR_SHOP", default_value = "120s", value_parser = duration)]
    pub(crate) wait_for_shop: Duration,
    /// The share of requests that may fail.
    #[arg(long, env = "MAX_ERROR_RATIO", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) max_error_ratio: f64,
    /// Objective: the latency that 99 % of the requests must keep to, as in 250ms.
    #[arg(long, env = "P99", value_parser = duration)]
    pub(crate) p99: Option<Duration>,
    /// Write a report with plots to this file.
    #[arg(long, env = "REPORT", value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Write all figures to this file.
    #[arg(long, env = "JSON", value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Send load to a target that is neither loopback, private nor a service's name.
    #[arg(long, env = "I_OWN_THIS_TARGET", action = ArgAction::SetTrue)]
    pub(crate) i_own_this_target: bool,
}

/// The checks of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// Texts, the cart, and every order.
    Full,
    /// The status.
    Status,
}

impl Options {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let is_time = |seconds: f64| (0.0..=DAY).contains(&seconds);
        let users = 1..=MOST_USERS;
        ensure!(users.contains(&self.users()), "USERS must be 1 to {MOST_USERS}");
        ensure!(
            self.rate > 0.0 && self.rate.is_finite(),
            "RATE must be more than 0 users per second"
        );
        ensure!(
            self.rps.iter().all(|rps| *rps > 0.0 && *rps <= MOST_RPS),
            "RPS must be more than 0 and at most {MOST_RPS} requests per second"
        );
        ensure!(
            is_time(self.wait_min) && is_time(self.wait_max) && self.wait_min <= self.wait_max,
            "WAIT_MIN and WAIT_MAX must be seconds, the first not above the second"
        );
        ensure!((1..=9).contains(&self.items), "ITEMS must be 1 to 9");
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        ensure!(is_share(self.refusals), "REFUSALS must be a share, 0 to 1");
        ensure!(is_share(self.max_error_ratio), "MAX_ERROR_RATIO must be a share, 0 to 1");
        ensure!(self.duration != Some(Duration::ZERO), "DURATION must be more than 0");
        ensure!(
            self.rps.len() < 2 || self.duration.is_some(),
            "DURATION is needed: how long does each step of RPS take?"
        );
        ensure!(
            !self.find_capacity || (self.rps.len() == 1 && self.p99.is_some()),
            "FIND_CAPACITY needs one RPS to begin with, and P99 as the bound"
        );
        ensure!(
            self.profile == Profile::CheckoutGrpc || self.frontend_addr.is_some(),
            "FRONTEND_ADDR is not set"
        );
        Ok(())
    }

    /// Returns the number of users.
    pub(crate) fn users(&self) -> usize {
        let default = if self.rps.is_empty() { CLOSED_USERS } else { OPEN_USERS };
        self.users.unwrap_or(default)
    }

    /// Returns true if it ends by itself.
    pub(crate) fn has_end(&self) -> bool {
        self.duration.is_some() || self.tasks.is_some() || self.find_capacity
    }

    /// The table of rates, if one was given.
    pub(crate) fn rates(&self) -> anyhow::Result<Option<String>> {
        let read = |path| std::fs::read_to_string(path).context("cannot read RATES_FILE");
        self.rates_file.as_ref().map(read).transpose()
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    boutique_service::parse_duration(text).ok_or_else(|| "it must be as in 300ms or 90s".to_owned())
}
