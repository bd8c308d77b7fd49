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

/// Sessions watched at once; further ones are refused. Each holds a timer, a place in the change feed and, on stores
/// that other servers write to, a question to the store from time to time.
pub const MAX_WATCHES: usize = 4_096;

/// The longest that one watch lasts: as long as a connection, which has to end for balancers to see new servers.
pub const MAX_WATCH_AGE: Duration = Duration::from_secs(30 * 60);

/// Bytes of a request message. A create call with 500 line items of the longest fields that are of any use stays
/// below. It also bounds what a peer makes us reserve, as tonic reserves the length that the message's head claims.
pub const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// What a caller is told to wait after [`Limits::max_calls`]: calls last milliseconds, so places come free soon.
pub const RETRY_AFTER_OVERLOAD: Duration = Duration::from_millis(100);

/// What a caller is told to wait after a deadline. Longer than after overload, as something was slow for seconds.
pub const RETRY_AFTER_DEADLINE: Duration = Duration::from_millis(500);
