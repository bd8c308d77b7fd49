//! Frames that cost their sender nothing and ask for work all the same (CVE-2019-9512, 9515, 9518 and their kind).

use crate::{
    bystander::{endures, full},
    peer::{ACK, DATA, ENHANCE_YOUR_CALM, PING, Peer, RESOLVE, SETTINGS, WINDOW_UPDATE, call, frame, setting},
    readers::block_on,
    server::Server,
};
use std::time::{Duration, Instant};

const CLOSED_WITHIN: Duration = Duration::from_secs(20);

const PRIORITY: u8 = 2;

/// How long a flood lasts.
fn lasts() -> Duration {
    Duration::from_secs(if full() { 20 } else { 3 })
}

/// Says it again and again on two connections, which are opened again when they are closed, and reads what comes.
/// Gives how often they were closed.
async fn flood(server: &Server, begin: &[u8], again: &[u8]) -> usize {
    let began = Instant::now();
    let again = again.repeat((64 * 1_024 / again.len()).max(1));
    let one = || async {
        let mut closed = 0;
        while began.elapsed() < lasts() {
            let mut peer = Peer::greeting(server.addr, &[]).await;
            let mut heard = vec![0; 64 * 1_024];
            if peer.say(begin).await.is_err() {
                continue;
            }
            while began.elapsed() < lasts() {
                if peer.say_within(&again, Duration::from_secs(1)).await.is_err() {
                    closed += 1;
                    break;
                }
                while peer.socket.try_read(&mut heard).is_ok_and(|bytes| bytes > 0) {}
            }
        }
        closed
    };
    let (a, b) = tokio::join!(one(), one());
    a + b
}

#[test]
fn floods_of_control_frames_leave_the_others_their_share() {
    let server = Server::start();
    for (name, begin, again) in [
        ("pings", Vec::new(), frame(PING, 0, 0, b"floodped")),
        ("answers to pings that never were", Vec::new(), frame(PING, ACK, 0, b"floodped")),
        ("settings", Vec::new(), frame(SETTINGS, 0, 0, &setting(4, 65_535))),
        ("window updates", call(1, RESOLVE), frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("priorities", Vec::new(), frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16])),
        ("unknown frames", Vec::new(), frame(0xee, 0, 0, b"")),
    ] {
        let closed = endures(name, &server, flood(&server, &begin, &again));
        println!("hostile: {name}: closed {closed} times");
    }
}

#[test]
fn a_flood_whose_answers_are_not_read_is_not_collected_and_is_given_up() {
    let server = Server::start();
    let before = server.descriptors();
    let settings = frame(SETTINGS, 0, 0, &[]);
    let mut stuck = Vec::new();
    for (name, again) in [("pings unread", frame(PING, 0, 0, b"floodped")), ("settings unread", settings)] {
        stuck.extend(endures(name, &server, async {
            let again = again.repeat(4_096);
            let mut peers = Vec::new();
            for _ in 0..4 {
                let mut peer = Peer::greeting(server.addr, &[]).await;
                // At some time the server reads no more of it, as its own answers find no room.
                while peer.say_within(&again, Duration::from_secs(1)).await.is_ok() {}
                peers.push(peer);
            }
            peers
        }));
    }
    block_on(server.closed(before, Duration::from_secs(35)));
    drop(stuck);
}

#[test]
fn empty_and_tiny_data_frames_end_the_connection() {
    let server = Server::start();
    for (name, part) in [("empty data", &b""[..]), ("tiny data", b"x")] {
        let told = endures(name, &server, async {
            let mut told = None;
            for _ in 0..if full() { 10_000 } else { 50 } {
                let mut peer = Peer::greeting(server.addr, &[]).await;
                // To a method that there is not, which reads nothing of it.
                let mut flood = call(1, "/waypost.v1.RedirectService/None");
                flood.extend(call(3, RESOLVE));
                flood.extend(frame(DATA, 0, 3, part).repeat(60_000));
                let _ = peer.say(&flood).await;
                told = told.or(peer.closed_within(CLOSED_WITHIN).await);
            }
            told
        });
        assert_eq!(told, Some(ENHANCE_YOUR_CALM), "{name}");
    }
}
