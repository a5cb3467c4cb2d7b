//! How messages become bytes: prost, with buffers of the size that these messages have.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Bytes that a buffer has to begin with. Nearly every message of the shop fits; tonic's own choice of 8 KiB
/// is beyond what allocators keep at hand, and there are two such buffers at each end of a call. Larger
/// messages make their buffers grow.
const BUFFER: usize = 512;
/// Bytes after which a stream's messages are sent on, as tonic has it.
const YIELD: usize = 32 * 1024;

/// The codec of every generated client and server.
#[derive(Debug)]
pub(crate) struct ShopCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ShopCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ShopCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER, YIELD))
    }
}
