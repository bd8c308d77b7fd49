//! Waypost answers one question: the buyer has finished (or left) paying; where does the browser go now, and why?
//!
//! # The path of one request
//!
//! ```text
//! server        an accept loop deals connections to one single-threaded worker per core; TLS
//! grpc          layers (observe, explain, catch panics, shed, deadline, authenticate), router, service -> from_proto
//! app           resolve_redirect: load session and settings, ask the core
//! redirect      PURE: select -> render -> append (and sign) -> check -> decide
//! grpc          to_proto, or the one place that turns an error into a status
//! ```
//!
//! A buyer's browser takes the same path by [`pages`] instead of [`grpc`]. What happens on it is counted in
//! [`telemetry::metrics`] and told by [`ops`].
//!
//! Whoever has read [`grpc::Redirects`], [`app::App::resolve_redirect`], [`redirect`] and [`store::Store`] has seen the
//! system.
//!
//! # What holds everywhere
//!
//! - **Pure core.** [`model`] and [`redirect`] do no I/O, hold no clock, no randomness, no `async`, no logging.
//! - **One wire.** Only [`grpc`], [`client`] and the command line name generated types and `tonic::Status`.
//! - **Stages by type.** Only the check makes a [`redirect::CheckedUrl`], and only that is answered.
//! - **Compile at create.** A template is read once, and what is known is bound; resolving fills what is left.
//! - **One contract for stores.** Numbered clauses on [`store::Store`]; one suite runs every clause on every store.
//! - **Tenants by type.** A use case comes to a session or to settings only with the [`model::Tenants`] that it acts for;
//!   what belongs to others is not there.
//! - **Acknowledged means durable** on every store but memory.
//! - **Everything has a maximum**, with its reason: [`model::limits`], [`server::Limits`], [`grpc::Limits`],
//!   [`pages::limits`], [`callers::limits`], `cli::config::limits`.
//! - **Signed is what is said.** A [`redirect::Claims`] is signed and never a URL; a merchant whose returns are signed is
//!   never sent a buyer without a token, and no preview has one that verifies.
//! - **Never logged**: URLs, query values, secrets, keys, customer data.
//!
//! # Where the next thing goes
//!
//! What services call with: [`client`], where a new method of the contract gets its line in `client::method`, which says
//! whether it may be repeated; the command line uses the same client. What buyers see: [`pages`]. A rule about
//! redirects: [`redirect`], with a case in `tests/core_cases.rs`. A field of the contract: the proto, then
//! `grpc::from_proto` and `to_proto`. A method: its line in [`grpc::auth`], which says what it asks of its caller. A use
//! case: a file in [`app`]. A store: an implementation of [`store::Store`] and a line in `tests/store_contract.rs`. What
//! buyers read: `pages::words`, in every language. An option of the server: a field of `cli::serve::Serve` with its
//! group; variable, key, schema and tables come of it. A number for those who run it: [`telemetry::metrics`], and a line
//! where it happens.

// Whoever reads this code reads the private parts too: `cargo doc --document-private-items`.
#![allow(rustdoc::private_intra_doc_links)]

pub mod model;
pub mod redirect;
pub mod store;
pub mod app;
pub mod callers;
pub mod grpc;
pub mod pages;
pub mod ops;
pub mod server;
pub mod client;
pub mod cli;
pub mod followed;
pub mod telemetry;
pub mod proto;
