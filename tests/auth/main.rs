//! Who may call and what each caller sees: a real server with a credentials file, and every byte of its answers.

mod absence;
mod binary;
mod every_rpc;
#[path = "../support/metrics.rs"]
mod metrics;
mod reload;
mod served;
