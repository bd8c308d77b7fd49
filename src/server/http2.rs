//! HTTP/2 on a connection: the crate `h2` with settings that bound what a peer can make us do.
//!
//! Each [`Call`] is a task of its own, or first looked at in the [turn](super::turns) of its connection.

use super::{
    call::Call,
    connection::{End, Life, Protocol},
    guard::Guarded,
    keepalive::Keepalive,
    limits,
    peer::PeerNames,
    request::RequestBody,
    stream::Stream,
    turns::{Arrivals, poll_turn},
    unread::Unread,
};
use bytes::Bytes;
use h2::Reason;
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tokio::time::sleep;

/// Serves a service over HTTP/2, with prior knowledge as gRPC does, or as a TLS handshake agreed. Requests of a peer that
/// has shown a certificate have its [`PeerNames`] as an extension.
///
/// The service must always be ready: it refuses what is too much rather than wait, because a service that is not
/// ready would hold up the whole connection. `poll_ready` is not asked. Its answers are sent as they are: those with
/// headers that HTTP/2 forbids, such as `connection`, are not sent, and their calls are reset.
pub struct Http2<S> {
    service: S,
    builder: h2::server::Builder,
}

impl<S> Http2<S> {
    /// The service is cloned once per connection.
    pub fn new(service: S) -> Self {
        let mut builder = h2::server::Builder::new();
        builder
            .max_concurrent_streams(limits::MAX_CONCURRENT_STREAMS)
            .max_local_error_reset_streams(Some(limits::MAX_LOCAL_ERROR_RESET_STREAMS))
            .max_pending_accept_reset_streams(limits::MAX_PENDING_ACCEPT_RESET_STREAMS)
            .initial_window_size(limits::STREAM_WINDOW)
            .initial_connection_window_size(limits::CONNECTION_WINDOW)
            .max_send_buffer_size(limits::MAX_SEND_BUFFER)
            .max_header_list_size(limits::MAX_HEADER_LIST);
        Self { service, builder }
    }
}

impl<S, B> Protocol for Http2<S>
where
    S: tower::Service<http::Request<RequestBody>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    fn serve(&self, stream: Stream, life: Life) -> Pin<Box<dyn Future<Output = End> + Send>> {
        let peer = stream.peer_names();
        let stream = Guarded::new(stream, life.preface_timeout, &life.drain);
        let heard = stream.heard();
        // Boxed, as what is moved into a future takes its place in it to the end.
        let handshake = Box::pin(self.builder.handshake(stream));
        let service = self.service.clone();
        Box::pin(async move {
            let mut h2 = match handshake.await {
                Ok(h2) => h2,
                Err(error) => return End::Failed(error.into()),
            };
            let keepalive = Keepalive::new(h2.ping_pong().expect("nobody has asked for it before"), heard);
            let unread = Unread::default();
            let mut connection = Connection { h2, keepalive, service, peer, unread: unread.clone() };
            let mut unread = pin!(unread.too_long());
            tokio::select! {
                biased;
                end = connection.serve() => return end,
                () = unread.as_mut() => return End::unread(),
                () = life.drain.begun() => {}
                () = sleep(life.max_age) => {}
            }
            connection.h2.graceful_shutdown();
            tokio::select! {
                biased;
                end = connection.serve() => end,
                () = unread => End::unread(),
                () = life.drain.stopped() => End::Cut,
                () = sleep(limits::LAST_ANSWERS) => End::Cut,
            }
        })
    }
}

/// A connection whose peer has begun.
struct Connection<S> {
    h2: h2::server::Connection<Guarded<Stream>, Bytes>,
    keepalive: Keepalive,
    service: S,
    peer: Option<PeerNames>,
    unread: Unread,
}

impl<S, B> Connection<S>
where
    S: tower::Service<http::Request<RequestBody>, Response = http::Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    /// Serves until the connection has ended. May be dropped and called again.
    async fn serve(&mut self) -> End {
        poll_fn(|cx| poll_turn(|arrivals| self.poll(cx, arrivals))).await
    }

    /// Reads, writes, and takes the calls that came. Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>, arrivals: &mut Arrivals) -> Poll<End> {
        if self.keepalive.poll_lost(cx).is_ready() {
            // It may only have been slow, and is told which of its calls were not begun, if it can be told at once.
            self.h2.abrupt_shutdown(Reason::NO_ERROR);
            let _ = self.h2.poll_closed(cx);
            return Poll::Ready(End::Failed("the peer was silent and did not answer a ping".into()));
        }
        loop {
            match ready!(self.h2.poll_accept(cx)) {
                Some(Ok((request, reply))) => {
                    let mut request = request.map(RequestBody::new);
                    if let Some(peer) = &self.peer {
                        request.extensions_mut().insert(peer.clone());
                    }
                    arrivals.arrive(Call::new(self.service.call(request), reply, self.unread.clone()));
                }
                Some(Err(error)) => return Poll::Ready(End::Failed(error.into())),
                None => return Poll::Ready(End::Closed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{drain::Phases, keepalive::tests::BEGINNING},
        *,
    };
    use http_body_util::Empty;
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    const HOUR: Duration = Duration::from_secs(3_600);

    /// The types of the frames in what a server said.
    fn types(mut said: &[u8]) -> Vec<u8> {
        let mut types = Vec::new();
        while let [a, b, c, kind, ..] = *said {
            types.push(kind);
            said = &said[9 + u32::from_be_bytes([0, a, b, c]) as usize..];
        }
        types
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_asked_and_told_to_go_and_its_connection_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        peer.write_all(BEGINNING).await.unwrap();
        let stream = Stream::Plain(listener.accept().await.unwrap().0);
        let service = tower::service_fn(async |_: http::Request<RequestBody>| {
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        });
        let drain = Phases::new();
        let life = Life { max_age: HOUR, handshake_timeout: HOUR, preface_timeout: HOUR, drain: drain.subscribe() };
        let end = Http2::new(service).serve(stream, life).await;
        assert!(matches!(&end, End::Failed(error) if error.to_string().contains("ping")), "{end:?}");
        let mut said = Vec::new();
        peer.read_to_end(&mut said).await.unwrap();
        let (ping, goaway) = (6, 7);
        assert!(types(&said).ends_with(&[ping, goaway]), "{:?}", types(&said));
    }
}
