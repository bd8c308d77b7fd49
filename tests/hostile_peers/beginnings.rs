//! Peers that connect and do not begin, or never come to an end of beginning.

use crate::{
    bystander::endures,
    peer::{PREFACE, Peer},
    server::Server,
};
use std::time::Duration;

/// The preface's time and some for a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);

/// Both at once, as both are a long wait.
#[test]
fn silent_connections_and_half_prefaces_that_drip_are_closed_and_harm_nobody() {
    let server = Server::start();
    endures("silent connections and dripped prefaces", &server, async {
        tokio::join!(silence(&server), dripping(&server));
    });
}

async fn silence(server: &Server) {
    let mut peers = Vec::new();
    for _ in 0..500 {
        peers.push(Peer::silent(server.addr).await);
    }
    for peer in &mut peers {
        assert_eq!(peer.closed_within(CLOSED_WITHIN).await, None);
    }
}

async fn dripping(server: &Server) {
    let mut peers = Vec::new();
    for _ in 0..200 {
        peers.push(Peer::silent(server.addr).await);
    }
    for byte in &PREFACE[..PREFACE.len() - 1] {
        for peer in &mut peers {
            // Those that were closed already may well refuse it.
            let _ = peer.say(&[*byte]).await;
        }
        tokio::time::sleep(Duration::from_millis(550)).await;
    }
    // More than ten seconds have gone by, and the last bytes were sent a moment ago: they gained no time.
    for peer in &mut peers {
        peer.closed_within(Duration::from_secs(4)).await;
    }
}
