//! The accept loop of one listener. It outlives every error: what a full table of descriptors or a peer that is gone
//! already makes of `accept` is waited out, and never spun on.

use super::{
    admission::Admission,
    connection::{Accepted, Open, Protocol},
    limits::{MAX_ACCEPT_PAUSE, MIN_ACCEPT_PAUSE, REFUSALS_LOGGED_EVERY},
    worker::Dealer,
};
use crate::telemetry::metrics::{CONNECTIONS_REFUSED, Listener as Counted};
use std::{convert::Infallible, future::Future, io, net::IpAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// A bound listener, and what is spoken on its connections.
pub(super) struct Listener {
    socket: std::net::TcpListener,
    protocol: Arc<dyn Protocol>,
    admission: Admission,
    counted_as: Option<Counted>,
}

impl Listener {
    pub(super) fn new(socket: std::net::TcpListener, protocol: Arc<dyn Protocol>, admission: Admission) -> Self {
        Self { socket, protocol, admission, counted_as: None }
    }

    pub(super) fn count_as(&mut self, counted_as: Counted) {
        self.counted_as = Some(counted_as);
    }

    /// Registers the listener with this runtime and returns its loop. Dropping the loop closes the listener.
    pub(super) fn accept_loop(self, dealer: Dealer) -> io::Result<impl Future<Output = Infallible>> {
        self.socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpListener::from_std(self.socket)?;
        Ok(accept_forever(socket, self.protocol, self.admission, self.counted_as, dealer))
    }
}

async fn accept_forever(
    socket: tokio::net::TcpListener,
    protocol: Arc<dyn Protocol>,
    admission: Admission,
    counted_as: Option<Counted>,
    dealer: Dealer,
) -> Infallible {
    let mut pause = Pause::default();
    let mut refusals = Refusals::default();
    loop {
        let place = admission.place().await;
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) if concerns_one_peer(&error) => continue,
            Err(error) => {
                pause.after(&error).await;
                continue;
            }
        };
        pause = Pause::default();
        let Some(ticket) = place.take(peer.ip()) else {
            if let Some(listener) = counted_as {
                CONNECTIONS_REFUSED.add([listener as usize], 1);
            }
            refusals.tell(peer.ip());
            continue;
        };
        // The worker registers the stream with its own runtime.
        match stream.into_std() {
            Ok(stream) => dealer.deal(Accepted {
                stream,
                protocol: Arc::clone(&protocol),
                ticket,
                counted: counted_as.map(Open::new),
            }),
            Err(error) => tracing::warn!(%error, "connection lost between accept and its worker"),
        }
    }
}

/// Whether the error is about a connection that went away while it was in the queue. The next one may be fine.
fn concerns_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Waits longer after each error in a row, and logs only the first of the row: descriptors that ran out stay so for
/// many turns.
#[derive(Default)]
struct Pause(Option<Duration>);

impl Pause {
    async fn after(&mut self, error: &io::Error) {
        let length = match self.0 {
            None => {
                tracing::error!(%error, "accept failed, trying again");
                MIN_ACCEPT_PAUSE
            }
            Some(last) => MAX_ACCEPT_PAUSE.min(last * 2),
        };
        self.0 = Some(length);
        sleep(length).await;
    }
}

/// Tells of refused connections from time to time, and how many there were.
#[derive(Default)]
struct Refusals {
    untold: usize,
    last_told: Option<Instant>,
}

impl Refusals {
    fn tell(&mut self, peer: IpAddr) {
        self.untold += 1;
        if self.last_told.is_some_and(|last| last.elapsed() < REFUSALS_LOGGED_EVERY) {
            return;
        }
        tracing::warn!(%peer, refused = self.untold, "connection refused: its address has as many as it may");
        *self = Self { untold: 0, last_told: Some(Instant::now()) };
    }
}
