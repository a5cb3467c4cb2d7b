//! The activity of a connection: bytes received, requests in flight, and idle time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, interval_at};

use super::flood::Guard;

/// The counters of a connection.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// The end of the last request, in milliseconds since it was opened.
    rested: AtomicU64,
    read: AtomicU64,
    /// The value of `read` when the last request ended.
    read_at_rest: AtomicU64,
    in_flight: AtomicUsize,
    /// Notified when the peer sends too many frames without requests.
    pub(super) flooded: Notify,
    is_flooded: AtomicBool,
    /// Notified when the connection is to be closed at once, by a fault.
    pub(super) dropped: Notify,
    /// True if the last answer leads to another page.
    pub(super) is_redirected: AtomicBool,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            opened: Instant::now(),
            rested: AtomicU64::new(0),
            read: AtomicU64::new(0),
            read_at_rest: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            flooded: Notify::new(),
            is_flooded: AtomicBool::new(false),
            dropped: Notify::new(),
            is_redirected: AtomicBool::new(false),
        }
    }
}

impl Activity {
    /// Counts a request for as long as the returned value lives.
    pub(super) fn start(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Returns since when no request is being answered, if none is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.in_flight.load(Ordering::Relaxed) == 0;
        let rested = Duration::from_millis(self.rested.load(Ordering::Relaxed));
        is_idle.then(|| self.opened + rested)
    }

    /// Returns when a header has been incomplete for this long.
    pub(super) async fn header_overdue(&self, limit: Duration) {
        self.holds_for(limit, |activity| {
            let at_rest = activity.read_at_rest.load(Ordering::Relaxed);
            (activity.read.load(Ordering::Relaxed) > at_rest).then_some(at_rest)
        })
        .await;
    }
    /// Returns when no request has come for this long.
    pub(super) async fn quiet_for(&self, limit: Duration) {
        self.holds_for(limit, |activity| Some(activity.read_at_rest.load(Ordering::Relaxed))).await;
    }

    /// Returns when `state` has had the same value for `limit`, give or take a quarter, with no request in flight.
    async fn holds_for(&self, limit: Duration, state: impl Fn(&Self) -> Option<u64>) {
        let period = limit / 4;
        let mut ticks = interval_at(Instant::now() + period, period);
        let (mut before, mut held) = (None, 0);
        while held < 4 {
            ticks.tick().await;
            let is_busy = self.in_flight.load(Ordering::Relaxed) > 0;
            let now = if is_busy { None } else { state(self) };
            held = if now.is_some() && now == before { held + 1 } else { 0 };
            before = now;
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.read_at_rest.store(self.0.read.load(Ordering::Relaxed), Ordering::Relaxed);
        let rested = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.rested.store(rested, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reader that counts its bytes, and looks at them.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) activity: Arc<Activity>,
    pub(super) guard: Guard,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        // Nothing more is read, and the connection ends soon.
        if self.activity.is_flooded.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let read = &buffer.filled()[before..];
        let total =
            read.len() as u64 + self.activity.read.fetch_add(read.len() as u64, Ordering::Relaxed);
        let since_answer = total - self.activity.read_at_rest.load(Ordering::Relaxed);
        let is_answering = self.activity.in_flight.load(Ordering::Relaxed) > 0;
        if !self.guard.allows(read, since_answer, is_answering) {
            self.activity.is_flooded.store(true, Ordering::Relaxed);
            self.activity.flooded.notify_one();
        }
        polled
    }
}
