//! The stream of a connection that has to prove itself: until the peer has sent as many bytes as an HTTP/2 preface
//! has, reading fails at a deadline and as soon as the drain begins. After that it only passes bytes on.
//!
//! HTTP/2 libraries wait for the preface for ever, and a connection that waits for it hears no GOAWAY. An HTTP/1.1
//! request is longer than that too, as it names its host.

use super::drain::Drain;
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, RFC 9113 section 3.4.
const PREFACE_BYTES: usize = 24;

/// A stream whose peer must begin in time.
pub(super) struct Guarded<T> {
    stream: T,
    // Boxed and dropped after the preface: most of a connection's life needs none of it.
    opening: Option<Box<Opening>>,
}

struct Opening {
    missing_bytes: usize,
    timeout: Pin<Box<Sleep>>,
    drain: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<T> Guarded<T> {
    pub(super) fn new(stream: T, timeout: Duration, drain: &Drain) -> Self {
        let opening =
            Opening { missing_bytes: PREFACE_BYTES, timeout: Box::pin(sleep(timeout)), drain: Box::pin(drain.begun()) };
        Self { stream, opening: Some(Box::new(opening)) }
    }
}

impl Opening {
    /// Called when nothing can be read now: bytes that are there already always count.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.timeout.as_mut().poll(cx).is_ready() {
            return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the peer did not begin in time"));
        }
        self.drain.as_mut().poll(cx).map(|()| {
            io::Error::new(io::ErrorKind::ConnectionAborted, "the peer had not begun before the server's drain")
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let had = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let Some(opening) = &mut this.opening else { return read };
        if read.is_pending() {
            return opening.poll_over(cx).map(Err);
        }
        opening.missing_bytes = opening.missing_bytes.saturating_sub(buffer.filled().len() - had);
        if opening.missing_bytes == 0 {
            this.opening = None;
        }
        read
    }
}

/// `is_write_vectored` and `poll_write_vectored` are left to the trait's defaults, which say no: copying small frames
/// into one buffer measured faster than handing the kernel their pieces.
impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::drain::Phases, *};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_drips_bytes_gets_no_more_time() {
        let (mut peer, stream) = duplex(64);
        let phases = Phases::new();
        let mut guarded = Guarded::new(stream, TIMEOUT, &phases.subscribe());
        let drip = async {
            for _ in 0..PREFACE_BYTES - 1 {
                peer.write_all(b"P").await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        let read = async { guarded.read_exact(&mut [0; PREFACE_BYTES]).await };
        let error = tokio::select! { () = drip => panic!("not closed in time"), read = read => read.unwrap_err() };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_preface_a_peer_may_be_silent() {
        let (mut peer, stream) = duplex(64);
        let phases = Phases::new();
        let mut guarded = Guarded::new(stream, TIMEOUT, &phases.subscribe());
        peer.write_all(&[b'P'; PREFACE_BYTES]).await.unwrap();
        guarded.read_exact(&mut [0; PREFACE_BYTES]).await.unwrap();
        phases.enter(super::super::drain::Phase::Draining);
        tokio::time::timeout(TIMEOUT * 10, guarded.read_u8()).await.expect_err("still waiting");
    }
}
