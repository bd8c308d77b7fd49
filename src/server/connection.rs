//! The life of one connection, whatever is spoken on it: served until its age, the drain, or the grace limit ends it.

use super::{admission::Ticket, drain::Drain, limits::Limits, stream::Stream};
use crate::telemetry::metrics::{CONNECTIONS_ACCEPTED, CONNECTIONS_ENDED, CONNECTIONS_OPEN, Listener};
use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpStream;

/// What is spoken on the connections of a listener.
pub trait Protocol: Send + Sync + 'static {
    /// Serves one connection to its end. Runs on the connection's worker, and ends soon after
    /// [`Drain::stopped`] of `life` is ready.
    fn serve(&self, stream: Stream, life: Life) -> Pin<Box<dyn Future<Output = End> + Send>>;
}

/// What a protocol needs to know to end its connection in time.
pub struct Life {
    /// How long this connection is served before it is told to go.
    pub max_age: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long the peer may take to begin, once it is connected or the handshake is done.
    pub preface_timeout: Duration,
    /// When the server ends.
    pub drain: Drain,
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// By agreement: either side said that it is done, and every call was answered.
    Closed,
    /// Against its protocol, or the network's fault.
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// By the grace limit, or long after its age.
    Cut,
}

impl End {
    /// The peer asked and did not read its answers.
    pub(super) fn unread() -> Self {
        Self::Failed("the peer did not read its answers in time".into())
    }
}

/// A connection on its way from the accept loop to its worker.
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) protocol: Arc<dyn Protocol>,
    pub(super) ticket: Ticket,
    pub(super) counted: Option<Open>,
}

/// A connection that is counted as open until this is dropped, and then by how it ended.
pub(super) struct Open {
    listener: Listener,
    end: usize,
}

impl Open {
    pub(super) fn new(listener: Listener) -> Self {
        CONNECTIONS_ACCEPTED.add([listener as usize], 1);
        CONNECTIONS_OPEN.rise([listener as usize]);
        // What is dropped before it ended was cut with its worker.
        Self { listener, end: CUT }
    }

    fn ended(&mut self, end: &End) {
        self.end = match end {
            End::Closed => 0,
            End::Failed(_) => 1,
            End::Cut => CUT,
        };
    }
}

/// The places of the ends in [`CONNECTIONS_ENDED`] are those of the variants of [`End`].
const CUT: usize = 2;

impl Drop for Open {
    fn drop(&mut self) {
        CONNECTIONS_OPEN.fall([self.listener as usize]);
        CONNECTIONS_ENDED.add([self.listener as usize, self.end], 1);
    }
}

impl Life {
    pub(super) fn new(limits: &Limits, drain: Drain) -> Self {
        Self {
            max_age: jittered(limits.max_connection_age),
            handshake_timeout: limits.handshake_timeout,
            preface_timeout: limits.preface_timeout,
            drain,
        }
    }
}

impl Accepted {
    /// Serves the connection; its place is free again when this ends, however it ends.
    pub(super) async fn serve(self, life: Life) {
        let Self { stream, protocol, ticket: _ticket, mut counted } = self;
        // Without Nagle's algorithm: with it, throughput measured a tenth.
        let registered = stream.set_nodelay(true).and_then(|()| TcpStream::from_std(stream));
        let end = match registered {
            Ok(stream) => protocol.serve(Stream::Plain(stream), life).await,
            Err(error) => End::Failed(error.into()),
        };
        if let Some(counted) = &mut counted {
            counted.ended(&end);
        }
        tracing::debug!(?end, "connection ended");
    }
}

/// Between 90 and 110 % of `age`. The hasher's keys are the standard library's one source of randomness.
fn jittered(age: Duration) -> Duration {
    let part = RandomState::new().hash_one(()) % 2_001;
    age.mul_f64(0.9 + part as f64 / 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_at_most_a_tenth() {
        let ages: Vec<_> = (0..1_000).map(|_| jittered(Duration::from_secs(1_000))).collect();
        assert!(ages.iter().all(|age| (900.0..=1_100.0).contains(&age.as_secs_f64())));
        assert!(ages.iter().any(|age| *age < Duration::from_secs(950)));
        assert!(ages.iter().any(|age| *age > Duration::from_secs(1_050)));
    }
}
