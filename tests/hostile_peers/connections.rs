//! More connections than there are places, for a peer or for all, and descriptors that run out.

use crate::{
    bystander::{endures, endures_within, full},
    peer::{PREFACE, Peer, SETTINGS, frame},
    server::Server,
};
use std::time::{Duration, Instant};
use tokio::{io::AsyncReadExt, time::timeout};

/// What 10,000 connections may cost: HTTP/2 holds some 19 KiB of buffers for each, and twice as much in large pages.
const MAX_MIB_OF_CONNECTIONS: f64 = 400.0;

/// Whether the server has closed the connection. It greets those that it keeps.
async fn closed(peer: &mut Peer) -> bool {
    !matches!(timeout(Duration::from_secs(5), peer.socket.read_u8()).await, Ok(Ok(_)))
}

#[test]
fn one_address_takes_its_own_places_only() {
    let server = Server::start();
    let refused = endures("1,600 connections of one address", &server, async {
        let mut peers = Vec::new();
        for _ in 0..1_600 {
            peers.push(Peer::from([127, 0, 0, 2], server.addr).await.expect("connected"));
        }
        let mut refused = 0;
        for peer in &mut peers {
            refused += usize::from(closed(peer).await);
        }
        refused
    });
    assert_eq!(refused, 600);
}

#[test]
fn ten_thousand_connections_of_many_addresses_are_outlived() {
    let server = Server::start();
    endures_within(MAX_MIB_OF_CONNECTIONS, "10,000 connections", &server, async {
        let mut peers = Vec::new();
        // The places of everybody, less that of the well-behaved caller and the one that the accept loop holds.
        'all: for address in 2..=12 {
            for _ in 0..1_000 {
                let wanted = timeout(Duration::from_secs(2), Peer::from([127, 0, 0, address], server.addr)).await;
                let Ok(Ok(mut peer)) = wanted else { break 'all };
                let _ = peer.say(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
                peers.push(peer);
            }
        }
        assert!(peers.len() > 9_900, "{}", peers.len());
        let began = Instant::now();
        while server.descriptors() < 9_900 {
            assert!(began.elapsed() < Duration::from_secs(10), "{} descriptors", server.descriptors());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let open = server.descriptors();
        assert!(open < 10_100, "{open} descriptors, and 10,000 places");
        if full() {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    });
    // Their places are free again.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut peer = Peer::greeting(server.addr, &[]).await;
        timeout(Duration::from_secs(10), peer.hear()).await.expect("served").expect("settings");
    });
}

#[test]
fn descriptors_that_run_out_are_waited_out_without_spinning() {
    let server = Server::start_with_descriptors(64);
    let (spent, lasted) = endures("no descriptors left", &server, async {
        let mut peers = Vec::new();
        for _ in 0..100 {
            // The kernel takes them all; the server can accept some.
            let mut peer = Peer::silent(server.addr).await;
            peer.say(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.expect("said");
            peers.push(peer);
        }
        let (began, before) = (Instant::now(), server.accepting_time());
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(server.descriptors() >= 60, "{} descriptors", server.descriptors());
        (server.accepting_time() - before, began.elapsed())
    });
    assert!(spent < lasted / 10, "{spent:?} of processor time in {lasted:?} without descriptors");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut peer = Peer::greeting(server.addr, &[]).await;
        timeout(Duration::from_secs(10), peer.hear()).await.expect("accepted again").expect("settings");
    });
}
