//! gRPC calls written straight to HTTP/2: a load that costs less than what it measures.

use bytes::{BufMut, Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::SendRequest};
use http::Request;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// A connection, driven by the runtime that this is called in.
pub async fn connect(addr: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(addr).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24)
        .handshake(stream)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

/// Begins a call whose requests and answers are streams.
pub async fn begin(connection: &mut SendRequest<Bytes>, path: &str) -> (SendStream<Bytes>, RecvStream) {
    std::future::poll_fn(|cx| connection.poll_ready(cx)).await.expect("a stream");
    let (answer, body) = connection.send_request(head(path), false).expect("a stream");
    (body, answer.await.expect("an answer").into_body())
}

/// The messages of an answer, read as they come.
pub struct Messages {
    answer: RecvStream,
    unread: BytesMut,
}

impl Messages {
    /// Nothing is read yet.
    pub fn new(answer: RecvStream) -> Self {
        Self { answer, unread: BytesMut::new() }
    }

    /// Waits for more bytes; `None` when there are no more.
    pub async fn more(&mut self) -> Option<()> {
        let data = self.answer.data().await?.expect("the answer's bytes");
        let _ = self.answer.flow_control().release_capacity(data.len());
        self.unread.put(data);
        Some(())
    }

    /// The next message of those that have come whole.
    pub fn next(&mut self) -> Option<Bytes> {
        let (head, rest) = self.unread.split_at_checked(5)?;
        let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes")) as usize;
        if rest.len() < length {
            return None;
        }
        let _ = self.unread.split_to(5);
        Some(self.unread.split_to(length).freeze())
    }
}

fn head(path: &str) -> Request<()> {
    Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

/// One unary call, which must succeed; the message of the answer.
pub async fn call(connection: &mut SendRequest<Bytes>, path: &str, message: Bytes) -> Bytes {
    let answer = try_call(connection, path, message).await;
    answer.unwrap_or_else(|refused| panic!("{path}: {}", refused.code))
}

/// The error that a call was answered.
pub struct Refused {
    /// `grpc-status`.
    pub code: String,
    /// `grpc-status-details-bin`.
    pub details: String,
}

/// One unary call; the message of the answer, or the error without one.
pub async fn try_call(connection: &mut SendRequest<Bytes>, path: &str, message: Bytes) -> Result<Bytes, Refused> {
    std::future::poll_fn(|cx| connection.poll_ready(cx)).await.expect("a stream");
    let (answer, mut body) = connection.send_request(head(path), false).expect("a stream");
    body.send_data(message, true).expect("a stream");
    let answer = answer.await.expect("an answer");
    if let Some(code) = answer.headers().get("grpc-status") {
        let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let details = answer.headers().get("grpc-status-details-bin").map(text).unwrap_or_default();
        return Err(Refused { code: text(code), details });
    }
    let mut answer = answer.into_body();
    let mut bytes = BytesMut::new();
    while let Some(data) = answer.data().await {
        let data = data.expect("the answer's bytes");
        let _ = answer.flow_control().release_capacity(data.len());
        bytes.put(data);
    }
    let trailers = answer.trailers().await.expect("trailers").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0", "{path}");
    Ok(bytes.split_off(5).freeze())
}

/// A message as gRPC puts it on the wire.
pub fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a small message"));
    framed.put_slice(message);
    framed.freeze()
}
