//! Header blocks that are too many, too long, or become so when they are decoded.

use crate::{
    bystander::{endures, full},
    peer::{
        CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, Peer, RESOLVE, call, frame, head, literal,
        text,
    },
    server::Server,
};
use std::time::Duration;

const CLOSED_WITHIN: Duration = Duration::from_secs(20);

/// How often an attack is repeated.
fn times() -> usize {
    if full() { 20_000 } else { 100 }
}

#[test]
fn header_blocks_that_never_end_are_cut_off() {
    let server = Server::start();
    for (name, part) in [("empty continuations", Vec::new()), ("small continuations", literal(b"a", b"b"))] {
        let told = endures(name, &server, async {
            let mut told = None;
            for _ in 0..times() {
                let mut peer = Peer::greeting(server.addr, &[]).await;
                let mut flood = frame(HEADERS, 0, 1, &head(RESOLVE));
                flood.extend(frame(CONTINUATION, 0, 1, &part).repeat(10_000));
                let _ = peer.say(&flood).await;
                told = told.or(peer.closed_within(CLOSED_WITHIN).await);
            }
            told
        });
        assert_eq!(told, Some(ENHANCE_YOUR_CALM), "{name}");
    }
}

#[test]
fn one_header_field_of_many_frames_is_not_collected() {
    let server = Server::start();
    endures("a field of many frames", &server, async {
        let mut peers = Vec::new();
        for _ in 0..times() / 10 {
            let mut peer = Peer::greeting(server.addr, &[]).await;
            // Says that 100 MiB follow, and sends 4 MiB of them.
            let mut field = head(RESOLVE);
            field.extend([&[0][..], &text(b"endless"), &[127, 0x81, 0xff, 0xff, 0x31]].concat());
            let mut flood = frame(HEADERS, 0, 1, &field);
            for _ in 0..256 {
                flood.extend(frame(CONTINUATION, 0, 1, &[b'x'; 16_384]));
            }
            let _ = peer.say(&flood).await;
            peers.push(peer);
        }
        for peer in &mut peers {
            peer.closed_within(CLOSED_WITHIN).await;
        }
    });
}

#[test]
fn header_lists_that_are_too_large_are_refused_call_by_call() {
    let server = Server::start();
    endures("large header lists", &server, async {
        let mut peer = Peer::greeting(server.addr, &[]).await;
        let mut large = head(RESOLVE);
        // 20 fields of 1,000 bytes: above the 16 KiB that are taken, and below what ends the connection.
        large.extend(literal(b"filler", &[b'x'; 1_000]).repeat(20));
        let (first, rest) = large.split_at(10_000);
        for stream in (1..).step_by(2).take(times()) {
            let opened = frame(HEADERS, END_STREAM, stream, first);
            peer.say(&[opened, frame(CONTINUATION, END_HEADERS, stream, rest)].concat()).await.expect("said");
            loop {
                let (kind, _, of, payload) = peer.hear().await.expect("the connection stays");
                if (kind, of) == (HEADERS, stream) {
                    // `:status 431` in Huffman's code, then as the field that was remembered. Without a gRPC answer:
                    // no layer of ours has seen it.
                    assert!(payload.ends_with(&[131, 105, 144, 255]) || payload == [0x80 | 62], "{payload:?}");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_compression_bomb_ends_the_connection() {
    let server = Server::start();
    let told = endures("compression bombs", &server, async {
        let mut told = None;
        for _ in 0..times() {
            let mut peer = Peer::greeting(server.addr, &[]).await;
            // One field of 4,000 bytes is remembered as entry 62, and named by a byte each time: 62 MiB in a frame.
            let mut bomb = head(RESOLVE);
            bomb.extend([&[0x40][..], &text(b"b"), &text(&[b'x'; 4_000])].concat());
            peer.say(&frame(HEADERS, END_HEADERS, 1, &bomb)).await.expect("said");
            for stream in (3..).step_by(2).take(20) {
                let block = [&head(RESOLVE)[..], &[0x80 | 62; 16_000]].concat();
                if peer.say(&frame(HEADERS, END_HEADERS, stream, &block)).await.is_err() {
                    break;
                }
            }
            told = told.or(peer.closed_within(CLOSED_WITHIN).await);
        }
        told
    });
    assert_eq!(told, Some(ENHANCE_YOUR_CALM));
}

#[test]
fn calls_with_as_many_headers_as_may_be_are_answered() {
    // The limit is not so tight that it meets callers who mean well.
    let server = Server::start();
    endures("long but good", &server, async {
        let mut peer = Peer::greeting(server.addr, &[]).await;
        let mut block = head(RESOLVE);
        block.extend(literal(b"traceparent", &[b'x'; 1_000]).repeat(12));
        peer.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await.expect("said");
        while peer.hear().await.expect("the connection stays").0 != HEADERS {}
        peer.say(&call(3, RESOLVE)).await.expect("the connection stays");
    });
}
