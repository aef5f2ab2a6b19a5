//! How inputs come in. Transports translate, submit and translate back; they decide nothing and don't know each other.

pub mod client;
pub mod code;
#[cfg(test)]
mod fake;
pub mod grpc;
pub mod keys;
pub mod stream;
pub mod tcp;
