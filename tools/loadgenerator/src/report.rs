//! What happened: counts, failures and times by request, in the table that Locust prints.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use http::Method;

/// How many different failures are told apart.
const MOST_REASONS: usize = 20;

pub(crate) struct Report {
    began: Instant,
    tasks_left: Cell<Option<u64>>,
    rows: RefCell<BTreeMap<(String, String), Row>>,
    reasons: RefCell<BTreeMap<String, u64>>,
}

#[derive(Default)]
struct Row {
    failures: u64,
    /// Milliseconds.
    times: Vec<f32>,
}

impl Report {
    /// A report of so many tasks, or of any number.
    pub(crate) fn new(tasks: Option<u64>) -> Self {
        Self {
            began: Instant::now(),
            tasks_left: Cell::new(tasks),
            rows: RefCell::default(),
            reasons: RefCell::default(),
        }
    }

    /// Takes one of the tasks that are left.
    pub(crate) fn take_task(&self) -> bool {
        match self.tasks_left.get() {
            None => true,
            Some(0) => false,
            Some(left) => {
                self.tasks_left.set(Some(left - 1));
                true
            }
        }
    }

    pub(crate) fn note(
        &self,
        method: &Method,
        name: &str,
        took: Duration,
        outcome: anyhow::Result<()>,
    ) {
        let mut rows = self.rows.borrow_mut();
        let row = rows.entry((method.to_string(), name.to_owned())).or_default();
        row.times.push(took.as_secs_f32() * 1e3);
        if let Err(error) = outcome {
            row.failures += 1;
            let mut reasons = self.reasons.borrow_mut();
            let reason = format!("{method} {name}: {error:#}");
            if reasons.len() < MOST_REASONS || reasons.contains_key(&reason) {
                *reasons.entry(reason).or_default() += 1;
            }
        }
    }

    pub(crate) fn failures(&self) -> u64 {
        self.rows.borrow().values().map(|row| row.failures).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.began.elapsed().as_secs_f64().max(1e-9);
        writeln!(
            f,
            "\n{:<8} {:<24} {:>8} {:>14} | {:>8} {:>8} {:>8} {:>8} {:>8} | {:>8}",
            "Type", "Name", "# reqs", "# fails", "Avg", "Min", "Max", "Med", "p99", "req/s"
        )?;
        let mut all = Row::default();
        for ((method, name), row) in &*self.rows.borrow() {
            line(f, method, name, row, seconds)?;
            all.failures += row.failures;
            all.times.extend(&row.times);
        }
        line(f, "", "Aggregated", &all, seconds)?;
        for (reason, count) in &*self.reasons.borrow() {
            writeln!(f, "{count:>8} x {reason}")?;
        }
        Ok(())
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    method: &str,
    name: &str,
    row: &Row,
    seconds: f64,
) -> fmt::Result {
    let mut times = row.times.clone();
    times.sort_by(f32::total_cmp);
    let count = times.len();
    let at = |share: usize| times.get((count * share / 100).min(count.saturating_sub(1)));
    let at = |share| at(share).copied().unwrap_or_default();
    let mean = times.iter().sum::<f32>() / (count.max(1) as f32);
    let percent = row.failures as f64 * 100.0 / count.max(1) as f64;
    let failures = format!("{}({percent:.2}%)", row.failures);
    writeln!(
        f,
        "{method:<8} {name:<24} {count:>8} {failures:>14} | {mean:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1} | {:>8.1}",
        at(0),
        at(100),
        at(50),
        at(99),
        count as f64 / seconds,
    )
}
