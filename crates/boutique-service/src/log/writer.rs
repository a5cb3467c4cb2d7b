//! Writes lines to stdout without ever waiting for it: a thread that serves requests collects its lines, and hands them to
//! one thread that writes. If stdout is not read, further lines are dropped and counted, and the number is logged later.

use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The most bytes that a thread collects, however busy it is.
const MAX_WAITING: usize = 16 * 1024;
/// The time that lines wait behind others that have just been written.
const MAX_DELAY: Duration = Duration::from_millis(10);
/// The most collections of lines that wait for stdout: a megabyte.
const MAX_QUEUED: usize = 64;
/// The time that a process waits for stdout before it exits.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The queue of the thread that writes.
static QUEUE: OnceLock<Queue> = OnceLock::new();

struct Queue {
    sender: SyncSender<Job>,
    /// The lines dropped since that was logged.
    dropped: AtomicU64,
    /// All lines that were dropped before.
    dropped_before: AtomicU64,
}

enum Job {
    Write(Vec<u8>),
    /// Answered once all before it is written.
    Flush(SyncSender<()>),
}

/// Starts the thread that writes. Without it lines are written where they are made, as in tests.
pub(super) fn start() {
    let (sender, jobs) = sync_channel(MAX_QUEUED);
    let work = move || write_all(&jobs);
    if std::thread::Builder::new().name("log".to_owned()).spawn(work).is_ok() {
        let _ = QUEUE.set(Queue {
            sender,
            dropped: AtomicU64::new(0),
            dropped_before: AtomicU64::new(0),
        });
    }
}

fn write_all(jobs: &Receiver<Job>) {
    IS_WRITER.set(true);
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Write(lines) => {
                log_dropped();
                write_out(&lines);
            }
            Job::Flush(done) => {
                log_dropped();
                let _ = done.try_send(());
            }
        }
    }
}

/// Logs the number of lines that were dropped since the last time.
fn log_dropped() {
    let dropped = QUEUE.get().map_or(0, |queue| queue.dropped.swap(0, Ordering::Relaxed));
    if dropped > 0 {
        if let Some(queue) = QUEUE.get() {
            queue.dropped_before.fetch_add(dropped, Ordering::Relaxed);
        }
        // This thread's own line: written at once, without the queue.
        tracing::warn!(log.dropped = dropped, "dropped {dropped} log lines: stdout was not read");
        flush_here();
    }
}

/// Returns the number of lines that were dropped since the start.
pub(crate) fn dropped_lines() -> u64 {
    let all = |queue: &Queue| {
        queue.dropped.load(Ordering::Relaxed) + queue.dropped_before.load(Ordering::Relaxed)
    };
    QUEUE.get().map_or(0, all)
}

fn write_out(lines: &[u8]) {
    // An error cannot be logged: this is the log.
    let _ = io::stdout().lock().write_all(lines);
}

/// Hands lines over, or drops them where the queue is full.
fn enqueue(lines: Vec<u8>) {
    let Some(queue) = QUEUE.get().filter(|_| !IS_WRITER.get()) else {
        return write_out(&lines);
    };
    match queue.sender.try_send(Job::Write(lines)) {
        Ok(()) => {}
        Err(
            TrySendError::Full(Job::Write(lines)) | TrySendError::Disconnected(Job::Write(lines)),
        ) => {
            let count = lines.iter().filter(|b| **b == b'\n').count() as u64;
            queue.dropped.fetch_add(count, Ordering::Relaxed);
        }
        Err(_) => {}
    }
}

/// Writes lines together with those of the same thread that follow soon; an urgent one at once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Batched {
    is_urgent: bool,
}

impl<'a> MakeWriter<'a> for Batched {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self {
        Self { is_urgent: *metadata.level() <= Level::WARN }
    }
}

impl io::Write for Batched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let kept = WAITING.try_with(|waiting| {
            let waiting = &mut *waiting.borrow_mut();
            waiting.lines.extend_from_slice(line);
            if self.is_urgent || !waiting.may_wait || waiting.lines.len() >= MAX_WAITING {
                waiting.write();
            }
        });
        if kept.is_err() {
            // At the very end of a thread nothing can wait any more.
            enqueue(line.to_vec());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that a thread collects.
struct Waiting {
    lines: Vec<u8>,
    /// True if [`on_thread_park`] writes them.
    may_wait: bool,
    /// The time of the last write.
    written: Option<Instant>,
    /// True if a task will write them.
    has_writer: bool,
}

impl Waiting {
    fn write(&mut self) {
        if !self.lines.is_empty() {
            self.written = Some(Instant::now());
            enqueue(std::mem::take(&mut self.lines));
        }
    }
}

thread_local! {
    /// True on the thread that writes.
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
    static WAITING: RefCell<Waiting> = const {
        RefCell::new(Waiting {
            lines: Vec::new(),
            may_wait: false,
            written: None,
            has_writer: false,
        })
    };
}

/// Lets this thread's lines wait for [`on_thread_park`] and [`flush`].
pub(crate) fn defer_writes() {
    WAITING.with_borrow_mut(|waiting| waiting.may_wait = true);
}

/// Writes this thread's lines when it has nothing else to do, or leaves them to a task if others have just been written:
/// a busy thread parks many thousand times a second.
pub(crate) fn on_thread_park() {
    WAITING.with_borrow_mut(|waiting| {
        if waiting.lines.is_empty() || waiting.has_writer {
            return;
        }
        if waiting.written.is_none_or(|written| written.elapsed() >= MAX_DELAY) {
            return waiting.write();
        }
        waiting.has_writer = true;
        tokio::spawn(async {
            tokio::time::sleep(MAX_DELAY).await;
            WAITING.with_borrow_mut(|waiting| {
                waiting.has_writer = false;
                waiting.write();
            });
        });
    });
}

/// Writes this thread's lines, and waits a moment until they and all before them are written.
pub(crate) fn flush() {
    flush_here();
    let Some(queue) = QUEUE.get() else { return };
    let until = Instant::now() + FLUSH_TIMEOUT;
    let (done, written) = sync_channel(1);
    let mut job = Job::Flush(done);
    while let Err(TrySendError::Full(refused)) = queue.sender.try_send(job) {
        if Instant::now() >= until {
            return;
        }
        job = refused;
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
}

fn flush_here() {
    // At the very end of a thread nothing can wait any more.
    let _ = WAITING.try_with(|waiting| waiting.borrow_mut().write());
}
