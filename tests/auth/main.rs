//! Who may call and what each caller sees: a real server with a credentials file, and every byte of its answers.

mod absence;
mod binary;
mod every_rpc;
#[path = "../support/metrics.rs"]
mod metrics;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with tests that do more")]
mod process;
mod reload;
mod served;
