//! HTTP/2 on a connection: hyper with settings that bound what a peer can make us do.

use super::{
    connection::{End, Life, Protocol},
    guard::Guarded,
    limits,
    peer::PeerNames,
    stream::Stream,
    unread::Unread,
};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{cell::RefCell, convert::Infallible, error::Error, future::Future, pin::Pin};

/// Serves a service over HTTP/2, with prior knowledge as gRPC does, or as a TLS handshake agreed. Requests of a peer that
/// has shown a certificate have its [`PeerNames`] as an extension.
///
/// The service must always be ready: it refuses what is too much rather than wait, because a service that is not
/// ready would hold up the whole connection. `poll_ready` is not asked.
pub struct Http2<S> {
    service: S,
    builder: http2::Builder<TokioExecutor>,
}

impl<S> Http2<S> {
    /// The service is cloned once per connection.
    pub fn new(service: S) -> Self {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::MAX_CONCURRENT_STREAMS)
            .max_local_error_reset_streams(limits::MAX_LOCAL_ERROR_RESET_STREAMS)
            .max_pending_accept_reset_streams(limits::MAX_PENDING_ACCEPT_RESET_STREAMS)
            .initial_stream_window_size(limits::STREAM_WINDOW)
            .initial_connection_window_size(limits::CONNECTION_WINDOW)
            .max_send_buf_size(limits::MAX_SEND_BUFFER)
            .max_header_list_size(limits::MAX_HEADER_LIST)
            .keep_alive_interval(limits::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
            // No gRPC client reads it.
            .auto_date_header(false);
        Self { service, builder }
    }
}

impl<S, B> Protocol for Http2<S>
where
    S: tower::Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    fn serve(&self, stream: Stream, life: Life) -> Pin<Box<dyn Future<Output = End> + Send>> {
        let unread = Unread::default();
        let service = AlwaysReady { service: RefCell::new(self.service.clone()), peer: stream.peer_names() };
        let stream = Guarded::new(stream, life.preface_timeout, &life.drain);
        let connection = self.builder.serve_connection(TokioIo::new(stream), unread.count(service));
        Box::pin(async move {
            let mut connection = std::pin::pin!(connection);
            let mut unread = std::pin::pin!(unread.too_long());
            tokio::select! {
                biased;
                result = connection.as_mut() => return End::from(result),
                () = unread.as_mut() => return End::unread(),
                () = life.drain.begun() => {}
                () = tokio::time::sleep(life.max_age) => {}
            }
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                result = connection => End::from(result),
                () = unread => End::unread(),
                () = life.drain.stopped() => End::Cut,
                () = tokio::time::sleep(limits::LAST_ANSWERS) => End::Cut,
            }
        })
    }
}

impl From<hyper::Result<()>> for End {
    fn from(result: hyper::Result<()>) -> Self {
        result.map_or_else(|error| Self::Failed(error.into()), |()| Self::Closed)
    }
}

/// A tower service as hyper's, which calls by shared reference. A connection calls from one task only, so the cell is
/// never borrowed twice; cloning the service for each call would move its counters between cores.
struct AlwaysReady<S> {
    service: RefCell<S>,
    peer: Option<PeerNames>,
}

impl<S, B> hyper::service::Service<http::Request<B>> for AlwaysReady<S>
where
    S: tower::Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: http::Request<B>) -> Self::Future {
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        self.service.borrow_mut().call(request)
    }
}
