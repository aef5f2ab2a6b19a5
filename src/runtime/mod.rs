//! Shards and time.

pub mod api;
