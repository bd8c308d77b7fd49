//! Waypost answers one question: the buyer has finished (or left) paying; where does the browser go now, and why?
pub mod grpc;
pub mod proto;
pub mod server;
