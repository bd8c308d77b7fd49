//! Proves of the whole server, as a process of its own with clients over gRPC: nothing acknowledged is lost and nothing
//! is done twice, whatever is killed; and that several servers on one database are one service.
//!
//! `WAYPOST_TEST_KILLS` sets how often each store is killed (default 20). What needs PostgreSQL is skipped aloud where it
//! is not installed; under `CI=true` that is a failure.

#[path = "../support"]
mod support {
    pub mod fixture;
    pub mod postgres;
    #[allow(dead_code, reason = "shared with tests that do more")]
    pub mod process;
}

mod process;
mod writers;

mod kills;
mod moving;
mod overload;
mod rolling_restart;
mod shared_database;

use std::time::Duration;
use tokio::sync::RwLock;

/// Shared by all tests but the one that measures, which has it alone.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// Longer than anything takes that goes well, so that a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);
