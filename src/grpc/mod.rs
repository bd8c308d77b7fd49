//! The gRPC edge: the one place that knows generated types and [`tonic::Status`].
//!
//! [`edge()`] puts the layers around the [`Router`], and what it returns is served by [`crate::server::Http2`].
pub mod edge;
pub mod health;
pub mod layers;
pub mod limits;
pub mod router;
pub mod status;

pub use edge::{Edge, edge};
pub use health::Health;
pub use layers::deadline::Deadline;
pub use limits::Limits;
pub use router::Router;
