//! Sojourn: an open, self-hosted customer-journey engine.
//!
//! The modules are layers; each may name the ones above it in this list and no other (a test enforces it):
//! `planted` (known bugs, in builds that have them), `domain` (pure decisions), `import` (definitions of other engines), `wire` (bytes), `store` (durability), `runtime` (shards and time),
//! `channel` (how effects leave), `report` (projections), `replay` (recorded events), `trial` (tests of journeys), `transport` (how inputs come),
//! `config` (settings), `server` (wiring), `demo` (a server that shows what it does), and, with the feature of that name,
//! `sim` (the same shards under a simulated world, and who judges them).

pub mod channel;
pub mod config;
pub mod demo;
pub mod domain;
pub mod import;
pub mod planted;
pub mod replay;
pub mod report;
pub mod runtime;
pub mod server;
#[cfg(feature = "sim")]
pub mod sim;
pub mod store;
pub mod transport;
pub mod trial;
pub mod wire;
