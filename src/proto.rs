//! The generated code of `proto/waypost/v1`. Only [`crate::grpc`], [`crate::client`] and the command line name these
//! types.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

mod codec;

pub use codec::SmallBuffers;

/// The messages, clients and servers of package `waypost.v1`.
pub mod v1 {
    tonic::include_proto!("waypost.v1");
}

/// The descriptors of `waypost.v1` and of everything that it imports, for reflection and the JSON mapping.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/waypost.v1.binpb"));
