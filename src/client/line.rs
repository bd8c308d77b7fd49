//! The connection to a server: opened when it is needed, and given up for another when it went silent.

use super::{Address, tls::Connect};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tonic::transport::{Channel, Endpoint};

/// A connection that looks after itself: one that broke is opened again by the next call.
#[derive(Debug)]
pub struct Line {
    endpoint: Endpoint,
    /// `None` without encryption.
    tls: Option<Connect>,
    current: Mutex<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    channel: Channel,
    /// Counts the connections, so that many calls which find one silent replace it once.
    number: u64,
}

/// After how much silence the other side is asked whether it is still there, calls in progress or not: well before
/// balancers and address translators forget a silent connection without a word, which they do after minutes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long it may take to say so. Calls on the connection then fail, and are made again on another.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

impl Line {
    /// Opens nothing yet. Has to be called inside a Tokio runtime.
    pub fn new(server: &Address, tls: Option<Connect>) -> Self {
        // Encrypting is our connector's business. tonic's own, if a crate beside this one switches it on, would refuse
        // `https` without a configuration of its own; so it hears of that in the requests' scheme only.
        let endpoint = Endpoint::from(server.uri_without_tls())
            .origin(server.uri().clone())
            .user_agent(concat!("waypost-client/", env!("CARGO_PKG_VERSION")))
            .expect("a name and a version are a header's value")
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let channel = open(&endpoint, tls.as_ref());
        Self { endpoint, tls, current: Mutex::new(Current { channel, number: 0 }) }
    }

    /// The connection of now, and its number.
    pub fn current(&self) -> (Channel, u64) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (current.channel.clone(), current.number)
    }

    /// Calls from now on go over another connection, unless they do already. What is in progress on the old one may end.
    pub fn give_up(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number == number {
            *current = Current { channel: open(&self.endpoint, self.tls.as_ref()), number: number + 1 };
        }
    }
}

fn open(endpoint: &Endpoint, tls: Option<&Connect>) -> Channel {
    match tls {
        Some(tls) => endpoint.connect_with_connector_lazy(tls.clone()),
        None => endpoint.connect_lazy(),
    }
}
