//! Peers that connect and do not begin, or never come to an end of beginning.

use crate::{
    bystander::endures,
    peer::{PREFACE, Peer},
    server::Server,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

/// The preface's time and some for a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);

/// Time between two bytes of a preface.
const DRIP: Duration = Duration::from_millis(550);

/// Connections to it, and silent. They outlast the measurement of what they do to others: the rest is a long wait, which
/// needs nobody else to stand still.
async fn silent(connections: usize, server: &Server) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..connections {
        let socket = Peer::silent(server.addr).await.socket.into_std().expect("a socket");
        socket.set_nonblocking(false).expect("set");
        sockets.push(socket);
    }
    sockets
}

/// Asserts that the server closes it in time, whatever it says before that.
fn assert_closed_within(time: Duration, mut socket: &TcpStream) {
    socket.set_read_timeout(Some(time)).expect("set");
    if let Err(error) = socket.read_to_end(&mut Vec::new()) {
        // It had bytes of ours that nobody read.
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server closes the connection");
    }
}

#[test]
fn silent_connections_are_closed_and_harm_nobody() {
    let server = Server::start();
    for socket in endures("silent connections", &server, silent(500, &server)) {
        assert_closed_within(CLOSED_WITHIN, &socket);
    }
}

#[test]
fn half_prefaces_that_drip_gain_no_time() {
    let server = Server::start();
    let (measured, rest) = PREFACE[..PREFACE.len() - 1].split_at(2);
    // Those that were closed already may well refuse it.
    let drip = |byte: u8, mut socket: &TcpStream| drop(socket.write_all(&[byte]));
    let sockets = endures("dripped prefaces", &server, async {
        let sockets = silent(200, &server).await;
        for byte in measured {
            sockets.iter().for_each(|socket| drip(*byte, socket));
            tokio::time::sleep(DRIP).await;
        }
        sockets
    });
    for byte in rest {
        sockets.iter().for_each(|socket| drip(*byte, socket));
        thread::sleep(DRIP);
    }
    // More than ten seconds have gone by, and the last bytes were sent a moment ago.
    for socket in &sockets {
        assert_closed_within(Duration::from_secs(4), socket);
    }
}
