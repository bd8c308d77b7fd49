//! Waypost answers one question: the buyer has finished (or left) paying; where does the browser go now, and why?

pub mod app;
pub mod cli;
pub mod grpc;
pub mod model;
pub mod pages;
pub mod proto;
pub mod redirect;
pub mod server;
pub mod store;
pub mod telemetry;
