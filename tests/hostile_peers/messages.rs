//! Messages that are too long, or say that they are.

use crate::{
    bystander::endures,
    peer::{DATA, END_STREAM, GET_SESSION, HEADERS, Peer, call, frame},
    server::Server,
};
use std::time::Duration;

#[test]
fn claimed_lengths_reserve_nothing() {
    let server = Server::start();
    endures("claimed lengths", &server, async {
        let mut peers = Vec::new();
        for claim in [u32::MAX, 256 * 1_024 + 1, u32::MAX / 2, 256 * 1_024 + 1, 256 * 1_024] {
            // One after the other: it is their claims that are tried, not their number.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut peer = Peer::greeting(server.addr, &[]).await;
            let head = [&[0][..], &u32::to_be_bytes(claim)].concat();
            let open: Vec<u8> = (1..)
                .step_by(2)
                .take(250)
                .flat_map(|stream| [call(stream, GET_SESSION), frame(DATA, 0, stream, &head)].concat())
                .collect();
            peer.say(&open).await.expect("said");
            peers.push((claim, peer));
        }
        // What is too long is refused before its bytes come; the others are waited for until their deadline.
        for (claim, peer) in &mut peers {
            if *claim > 256 * 1_024 {
                loop {
                    let (kind, _, _, payload) = peer.hear().await.expect("an answer");
                    if kind == HEADERS {
                        // The reason stands in the trailers, Huffman-coded: what matters here is that they came at once.
                        assert!(!payload.is_empty());
                        break;
                    }
                }
            }
        }
    });
}

#[test]
fn messages_that_are_too_long_are_refused_and_not_collected() {
    let server = Server::start();
    endures("long messages", &server, async {
        let mut peers = Vec::new();
        for _ in 0..30 {
            let mut peer = Peer::greeting(server.addr, &[]).await;
            // As much as the windows let it say, on many streams, each of a message of 1 MiB.
            let mut said = 0;
            for stream in (1..).step_by(2).take(15) {
                let mut ask = call(stream, GET_SESSION);
                ask.extend(frame(DATA, 0, stream, &[&[0, 0, 16, 0, 0][..], &[b'x'; 16_000]].concat()));
                for _ in 0..2 {
                    ask.extend(frame(DATA, 0, stream, &[b'x'; 16_000]));
                }
                ask.extend(frame(DATA, END_STREAM, stream, b"x"));
                if peer.say(&ask).await.is_err() {
                    break;
                }
                said += 1;
            }
            assert!(said > 0);
            peers.push(peer);
        }
    });
}
