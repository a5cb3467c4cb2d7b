//! Answers that are made once and handed to many.

use std::ops::Deref;
use std::sync::Arc;

use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};

use crate::Rpc;

/// A message behind a counter: its clones are one message. On the wire it is as if the counter were not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shared<M>(Arc<M>);

impl<M> Clone for Shared<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> Deref for Shared<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0
    }
}

impl<M> From<M> for Shared<M> {
    fn from(message: M) -> Self {
        Self(Arc::new(message))
    }
}

impl<M: Message + Clone + Default> Message for Shared<M> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.0.encode_raw(buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        Arc::make_mut(&mut self.0).merge_field(tag, wire_type, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A call for who only reads its answer, and so need not have it to himself.
#[derive(Debug, Clone, Copy)]
pub struct Sharing<R>(pub R);

impl<R: Rpc<Response: Clone>> Rpc for Sharing<R> {
    const PATH: &'static str = R::PATH;
    type Request = R::Request;
    type Response = Shared<R::Response>;
}
