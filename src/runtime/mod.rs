//! Shards and time: from submissions to records, from durable records to effects.

pub mod api;
pub mod delivery;
pub mod engine;
pub mod horizon;
pub mod partition;
pub mod shard;
pub mod ticket;
pub mod view;
