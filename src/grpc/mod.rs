//! The gRPC edge: the one place that knows generated types and [`tonic::Status`].
//!
//! [`edge()`] puts the layers around the [`Router`], and what it returns is served by [`crate::server::Http2`].
pub mod auth;
pub mod edge;
mod from_proto;
pub mod health;
pub mod layers;
pub mod limits;
mod merchant_service;
mod pace;
mod redirect_service;
mod resolve_stream;
pub mod router;
pub mod status;
mod to_proto;

pub use auth::Authentication;
pub use edge::{Edge, edge};
pub use health::Health;
pub use layers::deadline::deadline;
pub use limits::Limits;
pub use merchant_service::Merchants;
pub use redirect_service::Redirects;
pub use router::Router;
pub use to_proto::judged;
