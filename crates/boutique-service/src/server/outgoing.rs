//! Answers on their way to a peer. Every piece keeps the share of its request until the HTTP library has written or dropped
//! it, so that peers who do not read cannot make the process hold any number of answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::budget::Reservation;

/// The share of a request; `None` if it was refused.
pub(super) type Share = Option<Arc<Reservation>>;

pin_project_lite::pin_project! {
    /// The body of an answer, in pieces that keep the share of its request.
    pub(super) struct Outgoing<B> {
        #[pin]
        body: B,
        share: Share,
    }
}

impl<B> Outgoing<B> {
    pub(super) fn new(body: B, share: Share) -> Self {
        Self { body, share }
    }
}

impl<B: Body<Data = Bytes>> Body for Outgoing<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let this = self.project();
        let share = this.share;
        let keep =
            |frame: Frame<Bytes>| frame.map_data(|bytes| Piece { bytes, _share: share.clone() });
        this.body.poll_frame(cx).map_ok(keep)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of an answer.
pub(super) struct Piece {
    bytes: Bytes,
    _share: Share,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}
