//! Every maximum of the operations listener, each with its reason.

use crate::server::Places;
use std::num::NonZeroUsize;

/// Connections: some collectors, probes and people. They have places of their own, so that neither callers nor buyers can
/// take them, and few, so that nobody can take theirs.
pub const fn places() -> Places {
    const MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();
    Places { max_connections: MAX, max_connections_per_peer: MAX }
}
