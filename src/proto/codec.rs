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

    /// tonic has a message in one piece, and prost reads a slice faster than tonic's buffer.
    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = message.remaining();
        let decoded = match message.chunk() {
            whole if whole.len() == bytes => U::decode(whole),
            _ => U::decode(&*message.copy_to_bytes(bytes)),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{ResolveRedirectRequest, ResolveRedirectsRequest};
    use bytes::{BufMut, Bytes, BytesMut};
    use futures_util::{FutureExt, StreamExt};
    use http_body_util::Full;
    use proptest::prelude::*;
    use tonic::Streaming;

    type Request = ResolveRedirectsRequest;

    /// What is read of that body: messages, and perhaps why there are no more.
    fn read(decoder: impl Decoder<Item = Request, Error = Status> + Send + 'static, body: Bytes) -> Vec<String> {
        let mut messages = Streaming::new_request(decoder, Full::new(body), None, None);
        let mut seen = Vec::new();
        while let Some(message) = messages.next().now_or_never().expect("the whole body is there") {
            let failed = message.is_err();
            seen.push(format!("{message:?}"));
            if failed {
                break;
            }
        }
        seen
    }

    proptest! {
        #[test]
        fn messages_are_read_as_tonic_prost_reads_them(
            messages in prop::collection::vec((any::<u64>(), "\\PC{0,20}", prop::collection::vec(any::<u8>(), 0..3)), 0..4)
        ) {
            let mut body = BytesMut::new();
            for (correlation_id, session_id, behind) in messages {
                let resolve = Some(ResolveRedirectRequest { session_id, ..ResolveRedirectRequest::default() });
                let message = Request { correlation_id, resolve }.encode_to_vec();
                body.put_u8(0);
                body.put_u32((message.len() + behind.len()) as u32);
                body.extend(message);
                body.extend(behind);
            }
            let body = body.freeze();
            let theirs = ProstCodec::<Request, Request>::raw_decoder(buffer_settings());
            prop_assert_eq!(read(SmallBuffers::<Request, Request>::default().decoder(), body.clone()), read(theirs, body));
        }
    }
}
