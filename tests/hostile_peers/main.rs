//! Peers that mean harm, against the real binary. Each test attacks a server of its own from raw sockets while a
//! well-behaved caller goes on asking where a buyer goes: every answer comes, about as soon as in quiet, the server's
//! memory stays bounded, and it recovers by itself.
//!
//! `docs/security.md` has the table of guards and of what happened without each. `WAYPOST_TEST_HOSTILE=full` attacks
//! harder (a million resets), with a core for the server and another for attack and caller. `WAYPOST_TEST_BINARY` names
//! another binary to attack than the one that was built with the tests, a release build: with both, the ratio of latencies
//! is asserted as it is.

mod beginnings;
mod bystander;
mod connections;
mod cores;
mod floods;
mod headers;
mod messages;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with tests that do more")]
mod process;
mod readers;
mod resets;
mod server;
