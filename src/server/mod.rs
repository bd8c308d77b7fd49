//! Owns every connection from accept to close: listeners, workers, limits, drain.
//!
//! One accept loop per listener runs on the caller's runtime and deals connections to one worker thread per core, to the
//! one that has the fewest, each with a single-threaded runtime: a connection and its calls never change threads, which is worth twice
//! the throughput of a shared runtime. What speaks on a connection is a [`Protocol`]: [`Http2`] for gRPC, [`Web`] for
//! browsers, either of them inside of [`Encrypted`] for TLS.
//!
//! It never looks into a call, and it knows neither gRPC nor Waypost. How [late](lateness) a worker is, it keeps for those
//! who refuse calls because of that.
//!
//! ```no_run
//! # async fn example<S>(service: S, health: impl waypost::server::Announce) -> std::io::Result<()>
//! # where S: tower::Service<http::Request<waypost::server::RequestBody>, Response = http::Response<tonic::body::Body>,
//! #     Error = std::convert::Infallible, Future: Send + 'static> + Clone + Send + Sync + 'static {
//! use waypost::server::{Http2, Limits, Server};
//!
//! let mut server = Server::new(Limits::default());
//! server.listen(std::net::TcpListener::bind("127.0.0.1:0")?, Http2::new(service));
//! let drained = server.run(async { tokio::signal::ctrl_c().await.unwrap_or(()) }, &health).await?;
//! println!("{} connections were cut", drained.cut);
//! # Ok(()) }
//! ```
mod accept;
mod admission;
mod call;
mod connection;
mod drain;
mod guard;
mod http2;
mod keepalive;
mod late_rest;
pub mod lateness;
mod limits;
mod memory;
mod peer;
mod refusals;
mod request;
mod stream;
mod tls;
mod turns;
mod unread;
mod web;
mod worker;

pub use connection::{End, Life, Protocol};
pub use drain::Drain;
pub use http2::Http2;
pub use limits::{Limits, Places};
pub use memory::prefer_small_pages;
pub use peer::{PeerName, PeerNames};
pub use request::RequestBody;
pub use stream::Stream;
pub use tls::{Encrypted, Inside, TlsFiles};
pub use web::Web;

use crate::telemetry;
use accept::Listener;
use admission::Admission;
use drain::{Phase, Phases};
use futures_util::future::join_all;
use std::{future::Future, io, net::TcpListener, sync::Arc, time::Instant};
use tokio::time::timeout;
use worker::Workers;

/// Listeners that are bound, and what they serve. Nothing is accepted before [`Server::run`].
pub struct Server {
    limits: Arc<Limits>,
    listeners: Vec<Listener>,
    /// One for the listeners that share the places of [`Limits`], then one for each that has places of its own.
    admissions: Vec<Admission>,
    phases: Phases,
}

/// Is told of the steps of a drain that others than the server take part in, in this order.
pub trait Announce {
    /// Tells whoever asks that no new call should come here. Calls that come nevertheless are still served.
    fn not_serving(&self) -> impl Future<Output = ()>;

    /// Ends streams that would last as long as their connection. Every connection has had its GOAWAY by then.
    fn end_streams(&self) -> impl Future<Output = ()>;
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the grace limit, and were closed with whatever was in flight on them.
    pub cut: usize,
}

impl Server {
    /// A server without listeners.
    pub fn new(limits: Limits) -> Self {
        let admissions = vec![Admission::new(&limits.places)];
        Self { limits: Arc::new(limits), listeners: Vec::new(), admissions, phases: Phases::new() }
    }

    /// Adds a listener. The caller binds it, and so knows its port and decides what a failure to bind means.
    pub fn listen(&mut self, listener: TcpListener, protocol: impl Protocol) -> &mut Self {
        let shared = self.admissions[0].clone();
        self.listeners.push(Listener::new(listener, Arc::new(protocol), shared));
        self
    }

    /// Adds a listener with places of its own, so that its peers cannot take those of the others.
    pub fn listen_with(&mut self, listener: TcpListener, protocol: impl Protocol, places: &Places) -> &mut Self {
        let own = Admission::new(places);
        self.admissions.push(own.clone());
        self.listeners.push(Listener::new(listener, Arc::new(protocol), own));
        self
    }

    /// Counts the connections of the listener that was added last under that name, in the metrics.
    pub fn counted_as(&mut self, name: telemetry::metrics::Listener) -> &mut Self {
        if let Some(listener) = self.listeners.last_mut() {
            listener.count_as(name);
        }
        self
    }

    /// The drain as others may wait for it, for example streams of ours that end with it.
    pub fn drain(&self) -> Drain {
        self.phases.subscribe()
    }

    /// Serves until `shutdown` is ready, then drains:
    ///
    /// 1. `announce` says that nothing new should come; for the time of [`Limits::lame_duck`] everything is served as
    ///    before, while load balancers take notice.
    /// 2. Nothing is accepted any more. Every connection gets a GOAWAY and finishes its calls; those that have not
    ///    even sent their preface, or not finished their handshake, are closed.
    /// 3. `announce` ends the streams that would never end by themselves.
    /// 4. What is open after [`Limits::grace`] is cut.
    ///
    /// When this returns no call is in progress, so that the caller may flush and close what calls write to.
    /// Dropping the future instead cuts every connection.
    ///
    /// # Errors
    ///
    /// When a listener cannot be registered with the runtime or a thread cannot be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>, announce: &impl Announce) -> io::Result<Drained> {
        let Self { limits, listeners, admissions, phases } = self;
        let open = || admissions.iter().map(Admission::open).sum::<usize>();
        let workers = Workers::start(&limits, &phases)?;
        let accept_loops = listeners
            .into_iter()
            .map(|listener| listener.accept_loop(workers.dealer()))
            .collect::<io::Result<Vec<_>>>()?;

        let accepting = async {
            tokio::select! {
                () = async { shutdown.await; announce.not_serving().await; tokio::time::sleep(limits.lame_duck).await } => {}
                _ = join_all(accept_loops) => unreachable!("accept loops never end"),
            }
        };
        accepting.await;

        let began = Instant::now();
        tracing::info!(connections = open(), "draining");
        let mut ended = workers.accept_no_more();
        phases.enter(Phase::Draining);
        announce.end_streams().await;
        phases.enter(Phase::Ending);
        if timeout(limits.grace, ended.all()).await.is_ok() {
            tracing::info!(after_ms = began.elapsed().as_millis(), "drained, nothing was cut");
            return Ok(Drained { cut: 0 });
        }

        let cut = open();
        phases.enter(Phase::Stopped);
        tracing::warn!(connections = cut, grace_ms = limits.grace.as_millis(), "connections cut at the grace limit");
        if timeout(limits::STOP, ended.all()).await.is_err() {
            tracing::error!("a worker is blocked inside a call and was left behind");
        }
        Ok(Drained { cut })
    }
}
