//! Who may have a connection to a listener: a limit for all peers together and one for each.
//!
//! The first makes the accept loop wait, the second closes what comes too much. Both are counted by a [`Ticket`] that
//! lives as long as its connection.

use super::limits::Places;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts the open connections of the listeners that share it.
#[derive(Clone)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
    max: usize,
    peers: Arc<Peers>,
}

/// A free place, before it is known for whom.
pub(super) struct Place {
    permit: OwnedSemaphorePermit,
    peers: Arc<Peers>,
}

/// A place that is taken until this is dropped.
pub(super) struct Ticket {
    _permit: OwnedSemaphorePermit,
    peers: Arc<Peers>,
    peer: IpAddr,
}

struct Peers {
    open: Mutex<HashMap<IpAddr, usize>>,
    max_each: usize,
}

impl Admission {
    pub(super) fn new(places: &Places) -> Self {
        let max = places.max_connections.get();
        let max_each = places.max_connections_per_peer.get();
        Self { places: Arc::new(Semaphore::new(max)), max, peers: Arc::new(Peers { open: Mutex::default(), max_each }) }
    }

    /// Waits for a free place.
    pub(super) async fn place(&self) -> Place {
        let permit = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        Place { permit, peers: Arc::clone(&self.peers) }
    }

    /// Connections that are open, and places that accept loops hold ready (one each).
    pub(super) fn open(&self) -> usize {
        self.max - self.places.available_permits()
    }
}

impl Place {
    /// Takes the place for `peer`, or gives it back when the peer has as many as it may.
    pub(super) fn take(self, peer: IpAddr) -> Option<Ticket> {
        // An IPv4 peer of a dual-stack listener is the same peer as on an IPv4 listener.
        let peer = peer.to_canonical();
        self.peers.enter(peer).then(|| Ticket { _permit: self.permit, peers: self.peers, peer })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.peers.leave(self.peer);
    }
}

impl Peers {
    fn enter(&self, peer: IpAddr) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if *count == self.max_each {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, peer: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Removed at zero, so that the table is never larger than the number of open connections.
        if let Some(count) = open.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&peer);
            }
        }
    }
}
