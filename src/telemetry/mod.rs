//! What the server tells those who run it: [`log`] lines and [`metrics`].
//!
//! Neither ever holds a URL, a query value, a secret, a key or anything of a customer. Counting is what the hot path can
//! afford: an addition to memory that no other thread writes to, with nothing looked up by name, formatted or allocated.
//! The names and texts of all metrics stand in one file, and `docs/metrics.md` is written from it.

mod cells;
mod exposition;
pub mod log;
pub mod metrics;
mod process;

pub use exposition::{CONTENT_TYPE, Scrape, expose};
pub use log::LogFormat;

use metrics::PANICS;
use tracing_subscriber::filter::ParseError;

/// Begins to tell, once for the process. `filter` is the level of the log, or a list of `module=level`.
///
/// # Errors
///
/// When the filter cannot be read.
pub fn start(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    process::started();
    log::start(filter, format)?;
    // A panic ends one call, and its text may hold what the call was about: only where it happened is logged.
    std::panic::set_hook(Box::new(|panic| {
        PANICS.add([], 1);
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "a panic");
    }));
    Ok(())
}
