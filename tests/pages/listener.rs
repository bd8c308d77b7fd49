//! The page listener: HTTP/1 and HTTP/2, and connections that do not behave.

use super::served::{PATIENCE, Served};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use waypost::redirect::Mode;

#[tokio::test]
async fn http_2_is_spoken_with_whoever_begins_with_it() {
    let served = Served::start(Mode::Production);
    let (client, connection) = h2::client::handshake(served.connect().await).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::get("http://x/r/none").body(()).expect("a request");
    let (response, _) = client.ready().await.expect("ready").send_request(request, true).expect("sent");
    assert_eq!(timeout(PATIENCE, response).await.expect("in time").expect("an answer").status().as_u16(), 404);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let served = Served::start(Mode::Production);
    let mut stream = served.connect().await;
    for _ in 0..3 {
        stream.write_all(b"HEAD /r/x HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
        let mut bytes = [0; 2_048];
        let length = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time").expect("an answer");
        assert!(bytes[..length].starts_with(b"HTTP/1.1 404 "));
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused() {
    let served = Served::start(Mode::Production);
    let endless = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(64 * 1_024));
    let mut stream = served.connect().await;
    // The server may close before all of it is written.
    let _ = stream.write_all(endless.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("closed");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn idle_and_silent_connections_do_not_hold_up_a_drain() {
    let served = Served::start(Mode::Production);
    let _silent = served.connect().await;
    let mut idle = served.connect().await;
    idle.write_all(b"HEAD /r/x HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
    idle.read_u8().await.expect("an answer");
    let began = Instant::now();
    assert_eq!(served.drain().await.cut, 0);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
