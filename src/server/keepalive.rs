//! Asks the peer of an HTTP/2 connection that is silent whether it is there.
//!
//! It never reads: [`super::guard`] tells that something was, whatever it was. Nor does it end the connection, which is done
//! by [`super::http2`].

use super::limits::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use h2::{Ping, PingPong};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep};

/// So many times [`KEEPALIVE_TIMEOUT`] without a word are as much silence as may be, less up to one of them.
const SILENT: u32 = (KEEPALIVE_INTERVAL.as_secs() / KEEPALIVE_TIMEOUT.as_secs()) as u32 - 1;

/// Whether anything was read of a connection since it was last asked.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    /// Something was read.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Looks in each [`KEEPALIVE_TIMEOUT`] whether the peer was heard. A clock for each read would tell the time of silence more
/// exactly.
pub(super) struct Keepalive {
    pings: PingPong,
    heard: Heard,
    next_look: Pin<Box<Sleep>>,
    /// Looks since the peer was heard.
    silent: u32,
}

impl Keepalive {
    pub(super) fn new(pings: PingPong, heard: Heard) -> Self {
        Self { pings, heard, next_look: Box::pin(sleep(KEEPALIVE_TIMEOUT)), silent: 0 }
    }

    /// Ready when the peer was asked and is silent still. To be polled before its connection is, which sends the ping.
    pub(super) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.next_look.as_mut().poll(cx));
            self.next_look.as_mut().reset(Instant::now() + KEEPALIVE_TIMEOUT);
            self.silent = if self.heard.take() { 0 } else { self.silent + 1 };
            if self.silent == SILENT {
                // The last answer was heard as anything is, and only makes room for another ping.
                let _ = self.pings.poll_pong(cx);
                // A peer that has never answered the last one needs no other.
                let _ = self.pings.send_ping(Ping::opaque());
            }
            if self.silent > SILENT {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::{drain::Phases, guard::Guarded},
        *,
    };
    use bytes::Bytes;
    use std::{future::poll_fn, time::Duration};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    const LONG: Duration = KEEPALIVE_INTERVAL.saturating_mul(10);

    /// A preface with its settings.
    pub(in crate::server) const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// A frame that asks for nothing: a window that opens by a byte.
    const WORD: &[u8] = b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01";

    /// When a peer is lost that does this.
    async fn lost<F: Future<Output = ()>>(peer: impl FnOnce(DuplexStream) -> F) -> Option<Duration> {
        let ((theirs, ours), phases) = (duplex(1024), Phases::new());
        let connection = async {
            let guarded = Guarded::new(ours, LONG, &phases.subscribe());
            let heard = guarded.heard();
            let mut h2: h2::server::Connection<_, Bytes> = h2::server::handshake(guarded).await.unwrap();
            let mut keepalive = Keepalive::new(h2.ping_pong().unwrap(), heard);
            let began = Instant::now();
            let lost = poll_fn(|cx| {
                let lost = keepalive.poll_lost(cx);
                assert!(h2.poll_accept(cx).is_pending());
                lost
            });
            lost.await;
            began.elapsed()
        };
        tokio::select! {
            after = connection => Some(after),
            () = peer(theirs) => unreachable!("it goes on"),
            () = sleep(LONG) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_is_not_lost() {
        let answers = async |stream| {
            let (_requests, connection) = h2::client::handshake(stream).await.unwrap();
            connection.await.unwrap();
        };
        assert_eq!(lost(answers).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_anything_is_not_lost() {
        let speaks = async |mut stream: DuplexStream| {
            stream.write_all(BEGINNING).await.unwrap();
            loop {
                sleep(KEEPALIVE_INTERVAL * 3 / 4).await;
                stream.write_all(WORD).await.unwrap();
            }
        };
        assert_eq!(lost(speaks).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_asked_and_given_up() {
        let falls_silent = async |mut stream: DuplexStream| {
            stream.write_all(BEGINNING).await.unwrap();
            std::future::pending().await
        };
        let after = lost(falls_silent).await.expect("given up");
        assert!((KEEPALIVE_INTERVAL..=KEEPALIVE_INTERVAL + 2 * KEEPALIVE_TIMEOUT).contains(&after), "{after:?}");
    }
}
