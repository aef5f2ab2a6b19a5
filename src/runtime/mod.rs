//! Shards and time.

pub mod api;
pub mod engine;
pub mod ingest;
pub mod view;
