//! Every maximum of a connection and of the server, in one place, each with its reason.
//!
//! [`Limits`] holds what an operator may have cause to change; the constants are what HTTP/2 is told.

use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

/// What the server takes before it says no, and how long it waits before it gives up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Worker threads. Default: one per core; more only adds switches between them, as no call blocks its thread.
    pub workers: NonZeroUsize,

    /// Connections of all listeners that have no places of their own.
    pub places: Places,

    /// Time for a TLS handshake. Default 10 s, as for the preface, which comes after it with its own: two round trips and
    /// two lost packets on a bad line. Each handshake costs us a signature, and a peer that stops in its middle costs
    /// nothing more but its place.
    pub handshake_timeout: Duration,

    /// Time for a new connection to send the 24 bytes of the HTTP/2 preface, or as many of an HTTP/1 request. Default
    /// 10 s: two lost packets on a bad line. Without it a silent peer would hold its place for ever.
    pub preface_timeout: Duration,

    /// Age at which a connection is told to go (GOAWAY) and ends with its last call, 10 % more or less so that
    /// connections that came together do not go together. Default 30 minutes: clients behind a plain TCP balancer
    /// come back to servers that were added since.
    pub max_connection_age: Duration,

    /// How long everything is still served after a drain was announced. Default 0; in production longer than the
    /// balancers' interval between health checks.
    pub lame_duck: Duration,

    /// How long calls in flight have to finish once connections are told to go. Default 30 s, the time that
    /// Kubernetes leaves a pod by default: set that one higher by [`Limits::lame_duck`] and some seconds more.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            places: Places::default(),
            handshake_timeout: Duration::from_secs(10),
            preface_timeout: Duration::from_secs(10),
            max_connection_age: Duration::from_secs(30 * 60),
            lame_duck: Duration::ZERO,
            grace: Duration::from_secs(30),
        }
    }
}

/// How many connections there may be.
#[derive(Clone, Debug)]
pub struct Places {
    /// Open connections together. At the limit nothing is accepted: peers wait in the kernel's queue until a
    /// connection closes. Default 10,000: internal callers keep a few each; the sum over all listeners has to stay
    /// below the process's limit of descriptors.
    pub max_connections: NonZeroUsize,

    /// Open connections of one IPv4 address or one /64 of IPv6 addresses. What exceeds it is closed at once, so that one client that leaks
    /// connections does not use up [`Places::max_connections`] for the others. Default 1,000: well above a proxy's
    /// pool, a tenth of the whole.
    pub max_connections_per_peer: NonZeroUsize,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            max_connections: const { NonZeroUsize::new(10_000).unwrap() },
            max_connections_per_peer: const { NonZeroUsize::new(1_000).unwrap() },
        }
    }
}

/// Calls in progress on one connection. Enough to fill several cores from one client; the defaults of others (200 in
/// hyper, 100 in grpc-go) are of the same order.
pub(super) const MAX_CONCURRENT_STREAMS: u32 = 256;

/// Streams that this side reset because of the peer's errors before the connection is closed: CVE-2024-2758 and its
/// kind. One full set of concurrent streams may go wrong at once.
pub(super) const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 256;

/// Streams that the peer opened and reset before they were looked at (rapid reset, CVE-2023-44487). A client that
/// gives up many calls at once has mostly had them looked at before, so the bound is small.
pub(super) const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 32;

/// Bytes of one call that may be under way to us. A request is far smaller; larger windows measured no gain.
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;

/// How long what is left of a request may take to come that was answered before it had come: as long as a call lasts by
/// default. Requests follow their call at once, but for those of streams, which end when their caller hears of it. A
/// connection that is told to go waits for it as for a call.
pub(super) const REST_OF_REQUEST: Duration = Duration::from_secs(5);

/// Requests whose rest a worker waits for at once; of further ones the streams are reset. As many as calls may be in
/// progress by default: a peer that never sends the rest holds a stream and a timer each.
pub(super) const MAX_UNWANTED_REQUESTS: usize = 4_096;

/// Bytes of all calls of a connection that may be under way to us, and thus the most it can make us hold unread.
pub(super) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of an answer that wait in memory for a peer that does not read. Answers are below 64 KiB except for
/// reflection and previews, which continue when the peer reads on.
pub(super) const MAX_SEND_BUFFER: usize = 64 * 1024;

/// Bytes of the decoded headers of a call. Callers send a token and a few trace headers.
pub(super) const MAX_HEADER_LIST: u32 = 16 * 1024;

/// Silence after which the peer is asked whether it is there. Below the idle limits of common balancers and of NAT.
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Time that the peer has to say that it is there.
pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time in which the kernel takes no byte of what a connection has to say, as its peer does not read: then the peer is
/// given up. Twice the keepalive timeout: a line that lost packets comes back before.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes that a connection is read in one go before the worker looks after the others: dozens of calls, or 500 pings,
/// which is well below a millisecond of work.
pub(super) const READ_TURN: usize = 8 * 1024;

/// The same of one that has had several turns and never came to an end: some hundred of the smallest frames, a tenth of a
/// millisecond.
pub(super) const LEAST_READ_TURN: usize = 1024;

/// How long a late worker does not look at the connections that it has read, from the first of them on: some of the calls
/// that are worth refusing others for, as long as what it lets in takes, and short enough for who is refused to be told
/// within 5 ms, when the call that goes on then and the turns of some connections come on top.
pub(super) const LATE_REST: Duration = Duration::from_millis(3);

/// The measure for answers that their peer does not read: the longest such wait is [`UNREAD_AGES`] of these, 20 s, the
/// shortest one less. Every part of an answer, 64 KiB at most for ours, has to be read in that time: 4 KiB a second.
pub(super) const UNREAD_AGE: Duration = Duration::from_secs(5);

/// See [`UNREAD_AGE`]. More of them would tell the time of waiting more exactly.
pub(super) const UNREAD_AGES: usize = 4;

/// Time for the answers in progress when a gRPC connection has reached its age. Above the longest watch of a session,
/// which is as long as a connection's age.
pub(super) const LAST_ANSWERS: Duration = Duration::from_secs(35 * 60);

/// Names of a peer that are read of its certificate. Real ones have one or two.
pub(super) const MAX_PEER_NAMES: usize = 64;

/// Time for the whole head of an HTTP/1 request, which also bounds how long an idle connection is kept. Longer than
/// browsers and proxies take between two requests of one page.
pub(super) const WEB_HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of an HTTP/1 request's head, and of what is read ahead. Browsers send below 2 KiB to a host without cookies.
pub(super) const WEB_BUFFER: usize = 16 * 1024;

/// Header fields of an HTTP/1 request. Browsers send about 20, proxies add a few.
pub(super) const WEB_HEADERS: usize = 64;

/// Requests in progress on one HTTP/2 connection of the pages: a page, its few parts and its events.
pub(super) const WEB_STREAMS: u32 = 32;

/// Time for the answers in progress when a connection has reached its age. Above the longest that a page's events
/// last, so that only a peer that does not read is cut.
pub(super) const WEB_LAST_ANSWERS: Duration = Duration::from_secs(15 * 60);

/// First pause after accept failed, doubled each time up to [`MAX_ACCEPT_PAUSE`]. Short, as descriptors come back
/// whenever a connection closes.
pub(super) const MIN_ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// Longest pause after accept failed: what a peer may wait once descriptors are back.
pub(super) const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The least time between two lines of the log about connections that were refused: a peer that comes again and again
/// must not fill the disk.
pub(super) const REFUSALS_LOGGED_EVERY: Duration = Duration::from_secs(10);

/// Time for the workers to end after connections were cut. They only drop what they have, unless a call blocks.
pub(super) const STOP: Duration = Duration::from_secs(1);
