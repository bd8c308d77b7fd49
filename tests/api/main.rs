//! The contract as clients see it: a real server, real calls, requests and answers as JSON.

#[path = "../support/awkward.rs"]
mod awkward;
mod bad_input;
mod busy_store;
mod flows;
mod idempotency;
mod links;
mod merchant;
#[allow(dead_code, reason = "shared with tests of worse peers, which say more")]
#[path = "../support/peer.rs"]
mod peer;
mod preview;
mod resolve_stream;
mod served;
mod signed;
mod waiting;
mod watching;
