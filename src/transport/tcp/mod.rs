//! The TCP feed: length-delimited MessagePack frames, acknowledged after their commit. `docs/protocol.md` is its page.

mod connection;
mod server;
#[cfg(test)]
mod tests;

pub use server::{TcpOptions, serve};
