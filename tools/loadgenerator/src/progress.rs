//! Progress while it runs: on a terminal one line that changes every second, elsewhere the table
//! every ten.

use std::io::{IsTerminal as _, Write as _};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::load::Load;
use crate::report::text;
use crate::stats::Point;

/// Every how many seconds the table is printed.
const TABLE_EVERY: u64 = 10;

pub(crate) struct Progress {
    load: Rc<Load>,
    watching: JoinHandle<()>,
    is_live: bool,
}

impl Progress {
    pub(crate) fn begin(load: Rc<Load>, users: usize) -> Self {
        let is_live = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        let watching = tokio::task::spawn_local(watch(load.clone(), users, is_live));
        Self { load, watching, is_live }
    }

    pub(crate) fn end(self) {
        self.watching.abort();
        self.load.stats.last_tick();
        if self.is_live {
            eprintln!();
        }
    }
}

async fn watch(load: Rc<Load>, users: usize, is_live: bool) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    for second in 1.. {
        seconds.tick().await;
        let point = load.stats.tick();
        if is_live {
            // Nobody is left to tell when the terminal is gone.
            let _ = write!(std::io::stderr(), "\r\x1b[2K{}", line(&load, users, point));
        } else if second % TABLE_EVERY == 0 {
            print!("{}", text::table(&load.stats.snapshot(), load.stats.took()));
        }
    }
}

fn line(load: &Load, users: usize, point: Point) -> String {
    let rate = point.requests as f64 / point.seconds.max(1e-9);
    let orders = load.verdict.orders();
    format!(
        "{:>5.0} s  {users} users  {rate:.0} requests/s  p50 {:.1} ms  p99 {:.1} ms  \
         {} failed  {} orders, {} wrong",
        point.at,
        point.p50 as f64 / 1e3,
        point.p99 as f64 / 1e3,
        load.stats.failures(),
        orders.acknowledged,
        orders.wrong,
    )
}
