//! HTTP/1 and HTTP/2 on a connection, whichever the peer begins with: for browsers and the proxies in front of them.
//!
//! [`super::Http2`] stays the protocol of gRPC: it copies less, and its peers never speak HTTP/1.

use super::{
    connection::{End, Life, Protocol},
    guard::Guarded,
    limits,
    stream::Stream,
    unread::Unread,
};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{convert::Infallible, error::Error, future::Future, pin::Pin};
use tokio::time::sleep;

/// Serves a service over HTTP/1 or HTTP/2.
pub struct Web<S> {
    service: S,
    builder: auto::Builder<TokioExecutor>,
}

impl<S> Web<S> {
    /// The service is cloned once per connection and request.
    pub fn new(service: S) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::WEB_HEAD_TIMEOUT)
            .max_buf_size(limits::WEB_BUFFER)
            .max_headers(limits::WEB_HEADERS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::WEB_STREAMS)
            .max_local_error_reset_streams(limits::MAX_LOCAL_ERROR_RESET_STREAMS)
            .max_pending_accept_reset_streams(limits::MAX_PENDING_ACCEPT_RESET_STREAMS)
            .initial_stream_window_size(limits::STREAM_WINDOW)
            .initial_connection_window_size(limits::CONNECTION_WINDOW)
            .max_send_buf_size(limits::MAX_SEND_BUFFER)
            .max_header_list_size(limits::MAX_HEADER_LIST)
            .keep_alive_interval(limits::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT);
        Self { service, builder }
    }
}

impl<S, B> Protocol for Web<S>
where
    S: tower::Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    fn serve(&self, stream: Stream, life: Life) -> Pin<Box<dyn Future<Output = End> + Send>> {
        let stream = Guarded::new(stream, life.preface_timeout, &life.drain);
        let unread = Unread::default();
        let service = unread.count(TowerToHyperService::new(self.service.clone()));
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        Box::pin(async move {
            let mut connection = std::pin::pin!(connection);
            let mut unread = std::pin::pin!(unread.too_long());
            tokio::select! {
                biased;
                result = connection.as_mut() => return ended(result),
                () = unread.as_mut() => return End::unread(),
                () = life.drain.begun() => {}
                () = sleep(life.max_age) => {}
            }
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                result = connection => ended(result),
                () = unread => End::unread(),
                () = life.drain.stopped() => End::Cut,
                () = sleep(limits::WEB_LAST_ANSWERS) => End::Cut,
            }
        })
    }
}

fn ended(result: Result<(), Box<dyn Error + Send + Sync>>) -> End {
    result.map_or_else(End::Failed, |()| End::Closed)
}
