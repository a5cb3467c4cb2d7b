//! An answer that comes slowly.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// The size of a piece of a slow answer in bytes.
const PIECE: usize = 1024;

pin_project_lite::pin_project! {
    /// A body in pieces of 1 KiB, each of which takes some time.
    pub(crate) struct SlowBody<B> {
        #[pin]
        body: B,
        pace: Duration,
        waiting: Bytes,
        pause: Pin<Box<Sleep>>,
    }
}

impl<B> SlowBody<B> {
    /// Slows a body down to 1 KiB in each `pace`.
    pub(crate) fn new(body: B, pace: Duration) -> Self {
        Self { body, pace, waiting: Bytes::new(), pause: Box::pin(sleep(pace)) }
    }
}

/// Returns how long an answer of so many bytes takes.
pub(crate) fn slow_duration(length: usize, pace: Duration) -> Duration {
    pace.saturating_mul(u32::try_from(length.div_ceil(PIECE)).unwrap_or(u32::MAX))
}

impl<B: Body<Data = Bytes>> Body for SlowBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        while !this.waiting.has_remaining() {
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => *this.waiting = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        ready!(this.pause.as_mut().poll(cx));
        this.pause.as_mut().reset(tokio::time::Instant::now() + *this.pace);
        let piece = this.waiting.split_to(PIECE.min(this.waiting.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        !self.waiting.has_remaining() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, waiting) = (self.body.size_hint(), self.waiting.len() as u64);
        let upper = hint.upper().map(|upper| upper + waiting);
        hint.set_lower(hint.lower() + waiting);
        if let Some(upper) = upper {
            hint.set_upper(upper);
        }
        hint
    }
}
