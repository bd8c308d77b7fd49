//! Streams that are opened in order to be reset: rapid reset (CVE-2023-44487) and its kind (CVE-2025-8671).

use crate::{
    bystander::{endures, full},
    peer::{
        DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, Peer, RESOLVE, RST_STREAM, WINDOW_UPDATE,
        call, frame, head, heads_remembered,
    },
    server::Server,
};
use std::{env, time::Duration};

const CLOSED_WITHIN: Duration = Duration::from_secs(20);

const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// How many resets an attack has: a million in full, or `WAYPOST_TEST_RESETS`.
fn resets() -> u32 {
    let told = env::var("WAYPOST_TEST_RESETS").ok().and_then(|text| text.parse().ok());
    told.unwrap_or(if full() { 1_000_000 } else { 50_000 })
}

#[test]
fn streams_reset_before_they_are_looked_at_end_the_connection_soon() {
    let server = Server::start();
    let long = [head(RESOLVE), head(RESOLVE)];
    for (name, [first, later]) in [("rapid reset", long), ("rapid reset of short calls", heads_remembered(RESOLVE))] {
        let told = endures(name, &server, async {
            let mut told = None;
            let mut left = resets();
            while left > 0 {
                let mut peer = Peer::greeting(server.addr, &[]).await;
                let burst: Vec<u8> = (1..)
                    .step_by(2)
                    .take(1_000)
                    .flat_map(|stream| {
                        let head = if stream == 1 { &first } else { &later };
                        [frame(HEADERS, END_HEADERS, stream, head), frame(RST_STREAM, 0, stream, &CANCEL)].concat()
                    })
                    .collect();
                // The server may close it before it has said everything.
                let _ = peer.say(&burst).await;
                told = told.or(peer.closed_within(CLOSED_WITHIN).await);
                left = left.saturating_sub(1_000);
            }
            told
        });
        assert_eq!(told, Some(ENHANCE_YOUR_CALM), "{name}");
    }
}

#[test]
fn a_peer_that_resets_what_was_looked_at_gets_no_more_than_its_share() {
    let server = Server::start();
    endures("resets one by one", &server, async {
        let mut peer = Peer::greeting(server.addr, &[]).await;
        let mut streams = (1..).step_by(2);
        for _ in 0..(resets() / 200) {
            let some: Vec<u32> = streams.by_ref().take(200).collect();
            let open: Vec<u8> = some.iter().flat_map(|stream| call(*stream, RESOLVE)).collect();
            peer.say(&[open, frame(PING, 0, 0, b"looked??")].concat()).await.expect("it is served");
            // The answer to the ping comes after the calls were looked at.
            while peer.hear().await.expect("it is served").0 != PING {}
            let reset: Vec<u8> = some.iter().flat_map(|stream| frame(RST_STREAM, 0, *stream, &CANCEL)).collect();
            peer.say(&reset).await.expect("it is served");
        }
    });
}

#[test]
fn streams_that_the_server_is_made_to_reset_end_the_connection_soon() {
    let server = Server::start();
    let told = endures("made to reset", &server, async {
        let mut told = None;
        for _ in 0..(resets() / 1_000) {
            let mut peer = Peer::greeting(server.addr, &[]).await;
            for part in 0..20 {
                let burst: Vec<u8> = (part * 100..)
                    .take(50)
                    .map(|number| number * 2 + 1)
                    // A window of more than 2^31 - 1 is an error of the stream (RFC 9113, 6.9.1).
                    .flat_map(|stream| {
                        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(RESOLVE));
                        let much = frame(WINDOW_UPDATE, 0, stream, &((1_u32 << 31) - 1).to_be_bytes());
                        [open, much].concat()
                    })
                    .collect();
                if peer.say(&burst).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            told = told.or(peer.closed_within(CLOSED_WITHIN).await);
        }
        told
    });
    assert_eq!(told, Some(ENHANCE_YOUR_CALM));
}

#[test]
fn calls_that_are_begun_and_left_end_at_their_deadline() {
    let server = Server::start();
    endures("calls left half", &server, async {
        let mut peers = Vec::new();
        for _ in 0..12 {
            let mut peer = Peer::greeting(server.addr, &[]).await;
            let open: Vec<u8> = (1..)
                .step_by(2)
                .take(250)
                .flat_map(|stream| [call(stream, crate::peer::GET_SESSION), frame(DATA, 0, stream, &[0, 0])].concat())
                .collect();
            peer.say(&open).await.expect("said");
            peers.push(peer);
        }
        for peer in &mut peers {
            let mut ended = 0;
            while ended < 250 {
                let (kind, flags, ..) = peer.hear().await.expect("an answer to each");
                ended += u32::from(kind == HEADERS && flags & END_STREAM != 0);
            }
        }
    });
}
