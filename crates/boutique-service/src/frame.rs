//! gRPC's framing of a unary call's one message, in and out: a compression flag, a length, and the bytes.

use std::error::Error as StdError;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::Body;
use http_body_util::{BodyExt as _, Collected, Limited};
use prost::Message;

/// A compression flag and a length stand before each message.
pub(crate) const HEADER: usize = 5;
/// What gRPC's implementations take by default.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// A message as it stands on the wire.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEADER + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A buffer takes everything.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

/// All of a body, if it is no larger than a message may be; the error of a larger one is a
/// `LengthLimitError`.
pub(crate) async fn collect<B>(body: B) -> Result<Collected<Bytes>, Box<dyn StdError + Send + Sync>>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>>,
{
    Limited::new(body, HEADER + MAX_MESSAGE).collect().await
}

/// The length that the first message of a body has by its header, if all of the header is there.
pub(crate) fn announced(body: &[u8]) -> Option<usize> {
    let length = body.get(1..HEADER)?.try_into().ok()?;
    Some(u32::from_be_bytes(length) as usize)
}
