//! Every maximum of the pages, in one place, each with its reason. Those of their connections stand in
//! [`crate::server::Limits`].

use crate::server::Places;
use std::{num::NonZeroUsize, time::Duration};

/// Connections of the page listener. One address may have them all: buyers come through a proxy.
pub const fn places() -> Places {
    const MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
    Places { max_connections: MAX, max_connections_per_peer: MAX }
}

/// The longest that a page may take, its request's body included. Buyers do not wait longer, nor do proxies.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a page waits for an outcome when none is recorded: the buyer's browser is often back before the provider's
/// notification. A buyer who did leave looks at a blank page for that long.
pub const OUTCOME_WAIT: Duration = Duration::from_secs(2);

/// Bytes of a form. There is one field, with one word.
pub const FORM_BYTES: usize = 1_024;

/// Pages that wait for their outcome at once. Further ones load themselves again from time to time instead.
pub const MAX_WAITING: usize = 4_096;

/// The longest that a page waits on one request. Then its script asks again, perhaps another server.
pub const WAITING_AGE: Duration = Duration::from_secs(10 * 60);

/// Silence after which a waiting page is sent a byte: below the idle limits of common proxies (60 s).
pub const WAITING_KEEPALIVE: Duration = Duration::from_secs(15);

/// How often a page that waits without scripts loads itself.
pub const RELOAD_SECONDS: u64 = 15;

/// Lines of a cart that the sandbox's checkout lists.
pub const CART_LINES: usize = 50;

/// Preferences that are read of an `Accept-Language`. Browsers send a handful.
pub const LANGUAGE_RANGES: usize = 32;

/// Keys in a page key file: the one that makes links, and those whose links are still out.
pub const PAGE_KEYS: usize = 8;

/// Bytes of a page key file: the keys need a hundredth of it, and nobody names a device as one.
pub const PAGE_KEY_FILE_BYTES: u64 = 64 * 1_024;

/// How long the public keys of signed returns may be kept by whoever read them: as long as a new key has to be published
/// before it signs.
pub const JWKS_SECONDS: u64 = 300;
