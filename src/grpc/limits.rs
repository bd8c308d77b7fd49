//! Every maximum of a call, in one place, each with its reason.

use std::time::Duration;

/// What the edge takes before it says no, and how long a call may last.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls in progress on all connections together; further ones are refused at once. Default 4,096: at some
    /// thousand calls a second and core this is a queue of about a second, beyond which waiting helps nobody.
    pub max_calls: usize,

    /// The longest that a call may last, whatever deadline its caller set. Default 5 s: a buyer's browser waits.
    pub timeout: Duration,

    /// The same for the methods in [`MAY_WAIT`]. Default 35 s: the longest `wait` of 30 s, and the default timeout
    /// for what comes after the wait.
    pub waiting_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_calls: 4_096, timeout: Duration::from_secs(5), waiting_timeout: Duration::from_secs(35) }
    }
}

/// The methods whose request can ask to wait for something to happen.
pub const MAY_WAIT: [&str; 1] = ["/waypost.v1.RedirectService/ResolveRedirect"];

/// The methods that last as long as their caller wants and take requests meanwhile: the timeouts of [`Limits`] hold for
/// each of these requests, which the layers do not see.
pub const TAKES_MANY: [&str; 1] = ["/waypost.v1.RedirectService/ResolveRedirects"];

/// Sessions watched at once, by [fair shares](crate::app::FairPlaces) of their merchants; further ones are refused. Each holds a timer, a place in the change feed and, on stores
/// that other servers write to, a question to the store from time to time.
pub const MAX_WATCHES: usize = 4_096;

/// The longest that one watch lasts: as long as a connection, which has to end for balancers to see new servers.
pub const MAX_WATCH_AGE: Duration = Duration::from_secs(30 * 60);

/// Streams of resolves at once, by fair shares of their callers' credentials; further ones are refused. A gateway needs one or two for each of its processes. With the
/// three limits below this bounds what is in progress beside [`Limits::max_calls`], which counts a stream until it has
/// begun only: 256 x 64 requests that read the store, and 4,096 that wait.
pub const MAX_RESOLVE_STREAMS: usize = 256;

/// Requests of one stream in progress that do not wait for an outcome; no more are read from it meanwhile. On stores in
/// memory there is hardly ever one. Elsewhere this many loads at once are more than a store gains from.
pub const MAX_RESOLVES_IN_PROGRESS: usize = 64;

/// Requests of one stream that wait for an outcome; further ones are refused, as they must not hold up those that do not
/// wait. Half of what may wait on the server, which [`crate::app`] bounds, so that one stream does not take all of it.
pub const MAX_RESOLVES_WAITING_PER_STREAM: usize = 1_024;

/// The longest that a stream of resolves lasts, for the reason of [`MAX_WATCH_AGE`].
pub const MAX_RESOLVE_STREAM_AGE: Duration = MAX_WATCH_AGE;

/// Bytes of a request message. A create call with 500 line items of the longest fields that are of any use stays
/// below. It also bounds what a peer makes us reserve, as tonic reserves the length that the message's head claims.
pub const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// What a caller is told to wait after overload: calls last milliseconds, so places come free soon.
pub const RETRY_AFTER_OVERLOAD: Duration = Duration::from_millis(100);

/// What a caller is told to wait after a deadline. Longer than after overload, as something was slow for seconds.
pub const RETRY_AFTER_DEADLINE: Duration = Duration::from_millis(500);
