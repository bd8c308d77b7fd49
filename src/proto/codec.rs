//! How messages become bytes: as `tonic-prost` does it, with smaller buffers.

use prost::Message;
use std::marker::PhantomData;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Bytes that the buffers of a call begin with: more than nearly every message has, and the most that the allocator gives
/// out of its fastest lists. tonic's own 8 KiB would be touched anew by each of the calls in progress.
const BUFFER: usize = 1_024;

/// Bytes of a stream's answers that are collected before they are sent: tonic's default.
const SENT_TOGETHER: usize = 32 * 1_024;

/// What the generated clients and servers use.
#[derive(Debug)]
pub struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER, SENT_TOGETHER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER, SENT_TOGETHER))
    }
}
