//! What the server tells those who run it: [`log`] lines, one of them for each [`call`], and [`metrics`].
//!
//! Neither ever holds a URL, a query value, a secret, a key or anything of a customer. Counting is what the hot path can
//! afford: an addition to memory that no other thread writes to, with nothing looked up by name, formatted or allocated.
//! The names and texts of all metrics stand in one file, and `docs/metrics.md` is written from it.

pub mod call;
mod cells;
mod exposition;
pub mod log;
pub mod metrics;
mod process;
mod queue;
mod trace_context;
#[cfg(feature = "otel")]
mod traces;
#[cfg(not(feature = "otel"))]
#[path = "no_traces.rs"]
mod traces;

pub use exposition::{About, CONTENT_TYPE, Scrape, expose};
pub use log::{CannotLog, LogFormat};
pub use queue::flush;
pub use trace_context::{TRACEPARENT, TraceContext};

use metrics::PANICS;

/// Keeps telling. When this is dropped, what was told last is on its way.
#[must_use]
#[derive(Debug)]
pub struct Telling(());

impl Drop for Telling {
    fn drop(&mut self) {
        traces::finish();
        flush();
    }
}

/// Begins to tell, once for the process. `filter` is the level of the log, or a list of `module=level`.
///
/// # Errors
///
/// When the filter cannot be read, or there is no thread for the log.
pub fn start(filter: &str, format: LogFormat) -> Result<Telling, CannotLog> {
    process::started();
    log::start(filter, format)?;
    traces::start().map_err(CannotLog::Traces)?;
    // A panic ends one call, and its text may hold what the call was about: only where it happened is logged.
    std::panic::set_hook(Box::new(|panic| {
        PANICS.add([], 1);
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "a panic");
    }));
    Ok(Telling(()))
}
