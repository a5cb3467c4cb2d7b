//! The codec of all clients and servers: prost, with initial buffers of the size of the shop's messages.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// The initial capacity of a buffer in bytes. Nearly every message of the shop fits; tonic's default of 8 KiB is
/// slower to allocate, and there are two such buffers at each end of a call. Buffers grow for larger messages.
const BUFFER: usize = 512;
/// The size in bytes at which buffered messages of a stream are sent; tonic's default.
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
