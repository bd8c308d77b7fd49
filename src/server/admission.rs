//! Who may have a connection to a listener: a limit for all peers together and one for each.
//!
//! The first makes the accept loop wait, the second closes what comes too much. Both are counted by a [`Ticket`] that
//! lives as long as its connection.

use super::limits::Places;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
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
        let peer = network(peer);
        self.peers.enter(peer).then(|| Ticket { _permit: self.permit, peers: self.peers, peer })
    }
}

/// What stands for a peer: its IPv4 address, or the /64 of its IPv6 address, as whoever has one address of a /64 has all
/// of them. An IPv4 peer of a dual-stack listener is the same peer as on an IPv4 listener.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_an_ipv4_address_or_the_64_of_an_ipv6_one() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ] {
            let network = |text: &str| network(text.parse().unwrap());
            assert_eq!(network(one) == network(other), same, "{one} and {other}");
        }
    }

    #[tokio::test]
    async fn the_addresses_of_one_64_share_its_places() {
        let two = std::num::NonZeroUsize::new(2).unwrap();
        let admission = Admission::new(&Places { max_connections_per_peer: two, ..Places::default() });
        let take = async |text: &str| admission.place().await.take(text.parse().unwrap());
        let (one, other) = (take("2001:db8::1").await, take("2001:db8::2").await);
        assert!(one.is_some() && other.is_some());
        assert!(take("2001:db8::3").await.is_none() && take("2001:db8:0:1::3").await.is_some());
        drop(one);
        assert!(take("2001:db8::3").await.is_some());
    }
}
