//! The bytes of answers on their way to a peer. They are taken from the process's budget until the socket has them, so
//! that peers who do not read cannot make the process hold any number of answers.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};
use tokio::io::AsyncWrite;

use super::budget::Budget;

/// What the HTTP library holds of a connection's answers.
#[derive(Debug)]
pub(super) struct Outgoing {
    budget: Arc<Budget>,
    unsent: AtomicUsize,
    /// Bodies that wait until something was sent.
    waiting: Mutex<Vec<Waker>>,
}

impl Outgoing {
    pub(super) fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { budget, unsent: AtomicUsize::new(0), waiting: Mutex::default() })
    }

    /// One piece of a body may always be on its way; more as long as the budget has room.
    fn has_room(&self) -> bool {
        self.unsent.load(Ordering::Relaxed) == 0 || self.budget.has_room()
    }

    fn take(&self, bytes: usize) {
        self.unsent.fetch_add(bytes, Ordering::Relaxed);
        self.budget.take(bytes);
    }

    /// Gives back what was sent, which has frames and headers among it.
    fn give_back(&self, sent: usize) {
        let less = |unsent: usize| Some(unsent.saturating_sub(sent));
        let before = self.unsent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        let given = before.unwrap_or_default().min(sent);
        if given == 0 {
            return;
        }
        self.budget.give_back(given);
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Something may have been sent meanwhile.
        if self.has_room() {
            return Poll::Ready(());
        }
        waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.budget.give_back(*self.unsent.get_mut());
    }
}

pin_project_lite::pin_project! {
    /// The body of an answer, given to the HTTP library as fast as the peer reads.
    pub(super) struct Paced<B> {
        #[pin]
        body: B,
        outgoing: Arc<Outgoing>,
    }
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, outgoing: Arc<Outgoing>) -> Self {
        Self { body, outgoing }
    }
}

impl<B: Body> Body for Paced<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        ready!(this.outgoing.poll_room(cx));
        let frame = ready!(this.body.poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.outgoing.take(data.remaining());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A writer that tells what it has sent.
pub(super) struct Sending<W> {
    pub(super) inner: W,
    pub(super) outgoing: Arc<Outgoing>,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Sending<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.outgoing.give_back(sent);
        Poll::Ready(Ok(sent))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bytes))?;
        self.outgoing.give_back(sent);
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
