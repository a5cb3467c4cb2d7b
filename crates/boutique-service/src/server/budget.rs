//! The memory that the requests of a process may take together, whoever sends them: a share for each request, and the
//! bytes of its body while they are collected.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use boutique_proto::services::Criticality;
use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

/// The memory of an RPC beside its message: its headers, its stream, its future, its answer. 12 kB were measured.
pub(super) const RPC: usize = 16 * 1024;
/// The memory of an HTTP request beside its body, the calls that it makes among it. 64 kB of a home page were measured.
pub(super) const PAGE: usize = 64 * 1024;
/// The part of the budget that is left to the requests that matter most.
const KEPT_FOR_CRITICAL: usize = 4;
/// The part of the budget that is left to requests with little in their body.
const KEPT_FOR_SMALL: usize = 4;
/// The most bytes of a body that is little.
const SMALL: usize = 16 * 1024;
const SPENT: &str = "too many requests at a time";
/// The memory of a process whose memory is not limited.
const UNLIMITED: usize = 1024 * 1024 * 1024;

/// A number of bytes, and how many of them are taken.
#[derive(Debug)]
pub(super) struct Budget {
    max: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A quarter of the memory that the process may have.
    pub(super) fn of_process(limit: Option<usize>) -> Arc<Self> {
        let max = limit.unwrap_or(UNLIMITED) / 4;
        Arc::new(Self { max, used: AtomicUsize::new(0) })
    }

    /// Room for this many RPCs.
    pub(super) fn of_rpcs(count: usize) -> Arc<Self> {
        Arc::new(Self { max: count * RPC, used: AtomicUsize::new(0) })
    }

    /// A share that has taken nothing yet.
    pub(super) fn reserve(self: &Arc<Self>) -> Reservation {
        let (taken, body) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Reservation { budget: self.clone(), taken, body }
    }

    /// Takes the memory of a request, until the last of the reservation is dropped. A part is left to those that matter
    /// most.
    pub(super) fn admit(
        self: &Arc<Self>,
        bytes: usize,
        criticality: Criticality,
    ) -> Result<Arc<Reservation>, Status> {
        let reservation = self.reserve();
        let max = match criticality {
            Criticality::Sheddable => self.max / 2,
            Criticality::Critical => self.max - self.max / KEPT_FOR_CRITICAL,
            Criticality::CriticalPlus => self.max,
        };
        reservation.take(bytes, max)?;
        Ok(Arc::new(reservation))
    }
}

/// The share of one request.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    taken: AtomicUsize,
    body: AtomicUsize,
}

impl Reservation {
    /// Takes bytes of the body. What is large leaves a part of the budget to others.
    pub(super) fn take_body(&self, bytes: usize) -> Result<(), Status> {
        let body = self.body.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let max = self.budget.max;
        let max = if body > SMALL { max - max / KEPT_FOR_SMALL } else { max };
        self.take(bytes, max)
    }

    fn take(&self, bytes: usize, max: usize) -> Result<(), Status> {
        let used = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        if used + bytes > max { Err(Status::resource_exhausted(SPENT)) } else { Ok(()) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let taken = self.taken.load(Ordering::Relaxed);
        self.budget.used.fetch_sub(taken, Ordering::Relaxed);
    }
}

pin_project_lite::pin_project! {
    /// The body of a request, whose bytes are taken from the budget as they arrive.
    pub(super) struct Metered<B> {
        #[pin]
        body: B,
        reservation: Arc<Reservation>,
    }
}

impl<B> Metered<B> {
    pub(super) fn new(body: B, reservation: Arc<Reservation>) -> Self {
        Self { body, reservation }
    }
}

pin_project_lite::pin_project! {
    /// The body of a response that holds the share of its request until it ends.
    pub(super) struct Holding<B> {
        #[pin]
        body: B,
        reservation: Arc<Reservation>,
    }
}

impl<B> Holding<B> {
    pub(super) fn new(body: B, reservation: Arc<Reservation>) -> Self {
        Self { body, reservation }
    }
}

impl<B: Body> Body for Holding<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Body for Metered<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let frame = match ready!(this.body.poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let bytes = frame.data_ref().map_or(0, |data| data.remaining());
        Poll::Ready(Some(match this.reservation.take_body(bytes) {
            Ok(()) => Ok(frame),
            Err(spent) => Err(spent.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_have_memory_that_pages_leave() {
        let budget = Arc::new(Budget { max: 4 * PAGE, used: AtomicUsize::new(0) });
        let mut pages = Vec::new();
        while let Ok(page) = budget.admit(PAGE, Criticality::Critical) {
            pages.push(page);
        }
        assert_eq!(pages.len(), 3);
        let order = budget.admit(PAGE, Criticality::CriticalPlus);
        assert!(order.is_ok() && budget.admit(PAGE, Criticality::CriticalPlus).is_err());
        assert!(budget.admit(RPC, Criticality::Sheddable).is_err());
    }

    #[test]
    fn large_bodies_leave_room_for_small_ones() {
        let budget = Arc::new(Budget { max: 128 * 1024, used: AtomicUsize::new(0) });
        let large = budget.admit(32 * 1024, Criticality::CriticalPlus).unwrap();
        assert!(large.take_body(64 * 1024).is_ok());
        assert!(large.take_body(16 * 1024).is_err());
        drop(large);
        let mut small: Vec<_> =
            (0..3).map(|_| budget.admit(32 * 1024, Criticality::CriticalPlus).unwrap()).collect();
        for reservation in &small[..1] {
            assert!(reservation.take_body(16 * 1024).is_ok());
        }
        assert!(budget.admit(32 * 1024, Criticality::CriticalPlus).is_err());
        small.clear();
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
