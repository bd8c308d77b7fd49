//! Who gets a connection, and what becomes of those who do not finish the handshake.

use crate::{
    certificates::Authority,
    served::{PATIENCE, Peer, Peers, Served, etag},
};
use rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use waypost::server::Limits;

fn start(authority: &Authority) -> Served {
    start_with(authority, Limits::default())
}

fn start_with(authority: &Authority, limits: Limits) -> Served {
    Served::start(&authority.server(), &Peers::Anybody, limits)
}

#[tokio::test]
async fn tonics_client_calls_in_both_versions() {
    let authority = Authority::new("ours");
    let served = start(&authority);
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let peer = Peer::in_version(&authority, version);
        let stream = peer.connect(served.addr).await.expect("connected");
        let (_, connection) = stream.get_ref();
        assert_eq!((connection.protocol_version(), connection.alpn_protocol()), (Some(expected), Some(&b"h2"[..])));
        let channel = peer.channel(served.addr).await.expect("connected");
        for _ in 0..3 {
            assert_eq!(etag(&channel, None).await.expect("answered"), "v0", "{expected:?}");
        }
    }
}

#[tokio::test]
async fn a_client_refuses_a_server_of_another_authority() {
    let served = start(&Authority::new("theirs"));
    let error = Peer::trusting(&Authority::new("ours")).connect(served.addr).await.expect_err("not to be believed");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn who_offers_another_protocol_is_refused_in_the_handshake() {
    let authority = Authority::new("ours");
    let served = start(&authority);
    let peer = Peer::trusting(&authority);
    let error = peer.clone().offering(&[b"http/1.1"]).connect(served.addr).await.expect_err("no common protocol");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    // Some clients offer nothing and speak HTTP/2 all the same.
    let channel = peer.offering(&[]).channel(served.addr).await.expect("connected");
    assert_eq!(etag(&channel, None).await.expect("answered"), "v0");
}

#[tokio::test]
async fn who_speaks_without_tls_is_refused() {
    let authority = Authority::new("ours");
    let served = start(&authority);
    let mut socket = served.socket().await;
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    // The end, after at most an alert; a reset is an end too.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("closed");
    assert!(answer.len() < 16, "{answer:?}");
    assert!(Peer::trusting(&authority).connect(served.addr).await.is_ok(), "others are served");
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_is_closed_at_its_deadline() {
    let authority = Authority::new("ours");
    let limits =
        Limits { handshake_timeout: Duration::from_millis(300), preface_timeout: PATIENCE * 2, ..Limits::default() };
    let served = start_with(&authority, limits);
    let channel = Peer::trusting(&authority).channel(served.addr).await.expect("connected");
    // Silent; in the middle of the first record, whose header promises 512 bytes.
    for sent in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1, 252]] {
        let began = Instant::now();
        let mut socket = served.socket().await;
        socket.write_all(sent).await.expect("sent");
        let _ = timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await.expect("closed");
        assert!(began.elapsed() >= Duration::from_millis(300), "closed too soon");
    }
    assert_eq!(etag(&channel, None).await.expect("a connection that has begun goes on"), "v0");
}

#[tokio::test]
async fn after_the_handshake_the_peer_has_to_begin_in_time_as_without_tls() {
    let authority = Authority::new("ours");
    let limits =
        Limits { handshake_timeout: PATIENCE * 2, preface_timeout: Duration::from_millis(300), ..Limits::default() };
    let served = start_with(&authority, limits);
    let mut stream = Peer::trusting(&authority).connect(served.addr).await.expect("connected");
    // What the server says first, and then the end.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("closed");
}

#[tokio::test]
async fn a_drain_waits_for_calls_and_not_for_handshakes() {
    let authority = Authority::new("ours");
    // So that it is not their own time that ends them.
    let limits = Limits { handshake_timeout: PATIENCE * 2, preface_timeout: PATIENCE * 2, ..Limits::default() };
    let served = start_with(&authority, limits);
    let channel = Peer::trusting(&authority).channel(served.addr).await.expect("connected");
    etag(&channel, None).await.expect("answered");
    let mut silent = served.socket().await;
    let mut begun = served.socket().await;
    begun.write_all(&[22, 3, 1, 2, 0]).await.expect("sent");
    let mut shaken = Peer::trusting(&authority).connect(served.addr).await.expect("connected");
    shaken.read_u8().await.expect("served");
    let began = Instant::now();
    assert_eq!(served.stop().await.cut, 0);
    assert!(began.elapsed() < Limits::default().grace / 2, "{:?}", began.elapsed());
    for socket in [&mut silent, &mut begun] {
        let _ = timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await.expect("closed");
    }
}
