//! Peers that ask for much and do not read it.

use crate::{
    bystander::{PATIENCE, endures, paid_session},
    peer::{
        ACK, DATA, END_STREAM, GET_SESSION, INITIAL_WINDOW_SIZE, PING, Peer, RESOLVE, SETTINGS, WINDOW_UPDATE, call,
        frame, message, setting,
    },
    server::Server,
};
use std::time::Duration;
use tokio::time::sleep;
use waypost::proto::v1::{
    GetSessionRequest, PreviewRedirectsRequest, preview_redirects_request::Source,
    redirect_service_client::RedirectServiceClient,
};

const PREVIEW: &str = "/waypost.v1.RedirectService/PreviewRedirects";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// Calls on one connection.
const CALLS: u32 = 250;

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A session with as much metadata as there may be.
fn large_session(server: &Server) -> String {
    block_on(async {
        let mut client = RedirectServiceClient::connect(format!("http://{}", server.addr)).await.expect("connected");
        paid_session(&mut client, 12 * 1_024).await
    })
}

/// The largest descriptors, asked for by the symbol that they hold.
fn reflect() -> Vec<u8> {
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};
    let symbol = MessageRequest::FileContainingSymbol("waypost.v1.RedirectService".to_owned());
    message(&ServerReflectionRequest { host: String::new(), message_request: Some(symbol) })
}

#[test]
fn answers_whose_window_stays_closed_are_bounded_and_end_their_connection() {
    let server = Server::start();
    let before = server.descriptors();
    let id = large_session(&server);
    let asks = [
        (GET_SESSION, message(&GetSessionRequest { session_id: id.clone() }), END_STREAM),
        (PREVIEW, message(&PreviewRedirectsRequest { source: Some(Source::SessionId(id)) }), END_STREAM),
        (REFLECTION, reflect(), 0),
    ];
    let mut peers = endures("closed windows", &server, async {
        let mut peers = Vec::new();
        for number in 0..12 {
            let mut peer = Peer::greeting(server.addr, &setting(INITIAL_WINDOW_SIZE, 0)).await;
            let (path, body, end) = &asks[number % asks.len()];
            for stream in (1..).step_by(2).take(CALLS as usize) {
                let ask = [call(stream, path), frame(DATA, *end, stream, body)].concat();
                // A connection that was closed already has found its guard.
                if peer.say(&ask).await.is_err() {
                    break;
                }
                // Not so fast that it is their number which matters.
                sleep(Duration::from_millis(1)).await;
            }
            peers.push(peer);
        }
        peers
    });
    // They stay well-behaved in everything but reading, and pass as alive.
    block_on(async {
        let alive = async {
            loop {
                for peer in &mut peers {
                    let _ = peer.socket.try_write(&frame(PING, 0, 0, b"notidle!"));
                }
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = alive => {}
            () = server.closed(before, Duration::from_secs(30)) => {}
        }
    });
}

/// Its worker would stand still for each of them as what nobody reads fills the memory, which takes more than a test of
/// builds for debugging can tell.
#[test]
fn memory_grows_by_small_pages() {
    assert!(!Server::start().takes_huge_pages());
}

#[test]
fn a_peer_whose_socket_is_full_is_given_up_though_it_goes_on_sending() {
    let server = Server::start();
    let before = server.descriptors();
    let mut peers = endures("full sockets", &server, async {
        let mut peers = Vec::new();
        for _ in 0..8 {
            // Every window as wide as it gets: what holds the answers up is that nobody reads the socket.
            let mut peer = Peer::greeting(server.addr, &setting(INITIAL_WINDOW_SIZE, (1 << 31) - 1)).await;
            let wide = frame(WINDOW_UPDATE, 0, 0, &((1_u32 << 31) - 1 - 65_535).to_be_bytes());
            let mut asks = [frame(SETTINGS, ACK, 0, &[]), wide].concat();
            // Some 16 MiB of answers, more than the sockets between take, and asked for slowly.
            for stream in (1..).step_by(2).take(20) {
                asks.extend(call(stream, REFLECTION));
                asks.extend(reflect().repeat(40).chunks(16_384).flat_map(|part| frame(DATA, 0, stream, part)));
            }
            for part in asks.chunks(4_096) {
                let _ = peer.say_within(part, PATIENCE).await;
                sleep(Duration::from_millis(20)).await;
            }
            peers.push(peer);
        }
        peers
    });
    block_on(async {
        let alive = async {
            loop {
                for peer in &mut peers {
                    let _ = peer.socket.try_write(&call(100_001, RESOLVE));
                }
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = alive => {}
            () = server.closed(before, Duration::from_secs(45)) => {}
        }
    });
}
