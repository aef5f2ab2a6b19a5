//! The gRPC feed: unary `Ingest` and the bidirectional `IngestStream` of `proto/sojourn/v1/ingest.proto`, with server
//! reflection and health. The stream keeps the same promises as the TCP feed, by the same code
//! ([`stream`](crate::transport::stream)).

mod convert;
mod service;
#[cfg(test)]
mod tests;

pub use service::{Grpc, GrpcOptions, routes};

/// What `build.rs` makes of `proto/`.
#[expect(clippy::allow_attributes, reason = "the generator writes allow")]
pub mod proto {
    tonic::include_proto!("sojourn.v1");

    /// The compiled descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sojourn.v1.bin"));
}
