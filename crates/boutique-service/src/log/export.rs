//! The lines of the log on their way to a collector: a queue that never makes a request wait.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use super::otlp;

/// The most lines that wait for an export, as in OpenTelemetry's batches of log records; further ones are dropped.
const MAX_QUEUED: usize = 2048;
/// The number of lines that are exported at once, without a wait for more; OpenTelemetry's.
const BATCH: usize = 512;
/// The interval at which the length of the queue is checked while lines wait for others.
const TICK: Duration = Duration::from_millis(50);

thread_local! {
    /// True on the thread that exports: its lines would lead to an export of their own, and that to further lines.
    static IS_EXPORTER: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as the one that exports. What it logs is not exported.
pub(crate) fn on_this_thread() {
    IS_EXPORTER.set(true);
}

/// Puts each line into the queue, or drops it where the queue is full.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    lines: Sender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

/// The lines that wait for an export.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: Receiver<Vec<u8>>,
    /// Those that were taken out of the queue already.
    taken: Vec<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

pub(super) fn queue() -> (Queued, Lines) {
    let (sender, receiver) = channel(MAX_QUEUED);
    let dropped = Arc::<AtomicU64>::default();
    let lines = Lines { lines: receiver, taken: Vec::new(), dropped: dropped.clone() };
    (Queued { lines: sender, dropped }, lines)
}

impl<'a> MakeWriter<'a> for Queued {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl io::Write for &Queued {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !IS_EXPORTER.get() && self.lines.try_send(line.to_vec()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Waits until there are lines, and `delay` for others, but no longer than until there are enough for a batch.
    pub(crate) async fn wait(&mut self, delay: Duration) {
        if self.taken.is_empty() {
            self.taken.extend(self.lines.recv().await);
        }
        let until = Instant::now() + delay;
        while self.lines.len() < BATCH && Instant::now() < until {
            tokio::time::sleep(TICK).await;
        }
    }

    /// Takes the lines that wait, at most a batch, as the request of an export. Lines that bear no service's name are
    /// those of `process`. `resource` makes the attributes of a service's resource. None if no line waits.
    pub(crate) fn take(
        &mut self,
        process: &str,
        resource: impl Fn(&str) -> Vec<(String, String)>,
    ) -> Option<ExportLogsServiceRequest> {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(log.dropped = dropped, "did not export {dropped} log lines");
        }
        let mut lines = std::mem::take(&mut self.taken);
        while lines.len() < BATCH
            && let Ok(line) = self.lines.try_recv()
        {
            lines.push(line);
        }
        (!lines.is_empty()).then(|| otlp::request(&lines, process, resource))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn full_queue_drops_lines_and_counts_them() {
        let (queued, mut lines) = queue();
        assert!(lines.take("a", |_| Vec::new()).is_none());
        for _ in 0..MAX_QUEUED + 3 {
            (&queued).write_all(b"{}\n").unwrap();
        }
        assert_eq!(queued.dropped.load(Ordering::Relaxed), 3);
        let taken = lines.take("a", |_| Vec::new()).unwrap();
        assert_eq!(taken.resource_logs[0].scope_logs[0].log_records.len(), BATCH);
        assert_eq!(queued.dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn exporter_does_not_export_its_own_lines() {
        let (queued, mut lines) = queue();
        let own = std::thread::spawn(move || {
            on_this_thread();
            (&queued).write_all(b"{}\n").unwrap();
        });
        own.join().unwrap();
        assert!(lines.take("a", |_| Vec::new()).is_none());
    }
}
