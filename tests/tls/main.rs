//! Connections with TLS: who may have one, what becomes of it, and whom a client certificate names.

mod binary;
mod certificates;
mod handshakes;
mod identities;
#[path = "../support/metrics.rs"]
mod metrics;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with tests that do more")]
mod process;
mod reload;
mod served;
