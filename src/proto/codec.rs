//! How messages become bytes: as `tonic-prost` does it, with smaller buffers, and read out of one piece of memory.

use bytes::Buf;
use prost::Message;
use std::marker::PhantomData;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

/// Bytes that the buffers of a call begin with: more than nearly every message has, and the most that the allocator gives
/// out of its fastest lists. tonic's own 8 KiB would be touched anew by each of the calls in progress.
const BUFFER: usize = 1_024;

/// Bytes of a stream's answers that are collected before they are sent: tonic's default.
const SENT_TOGETHER: usize = 32 * 1_024;

/// What the generated clients and servers use.
#[derive(Debug)]
pub struct SmallBuffers<T, U>(PhantomData<(T, U)>);

/// Reads messages.
#[derive(Debug)]
pub struct OnePiece<U>(PhantomData<U>);

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
    type Decoder = OnePiece<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(buffer_settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        OnePiece(PhantomData)
    }
}

impl<U: Message + Default> Decoder for OnePiece<U> {
    type Item = U;
    type Error = Status;

    /// tonic has the whole message in one piece, and prost reads a slice twice as fast as a buffer of any kind.
    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = message.remaining();
        let decoded =
            if message.chunk().len() == bytes { U::decode(message.chunk()) } else { U::decode(&mut *message) };
        message.advance(message.remaining());
        // As tonic-prost says it.
        decoded.map(Some).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}

fn buffer_settings() -> BufferSettings {
    BufferSettings::new(BUFFER, SENT_TOGETHER)
}
