//! Shards and time: from submissions to records, from durable records to effects.

pub mod actor;
pub mod admission;
pub mod api;
pub mod board;
pub mod clock;
pub mod conflicts;
pub mod delivery;
pub mod engine;
pub mod failure;
pub mod forecast;
pub mod handle;
pub mod horizon;
pub mod ingest;
pub mod keeper;
pub mod latency;
pub mod opener;
pub mod partition;
pub mod past;
pub mod ports;
pub mod projection;
pub mod report;
pub mod router;
pub mod shard;
pub mod stepped;
pub mod ticket;
pub mod view;
