//! The archive: history of events and steps, a projection tailed from durable journal blocks.
//!
//! Owns compressed files of per-partition chunks with an index of profiles, bounded by age and bytes. It is never on the
//! path of an event and never the only copy: what is not yet in a synced file is fed again from the journal after a
//! restart, from the watermark on ([`Archive::passed`]). Its lag is bounded, since feeding it blocks when its writer is
//! behind, and visible ([`Archive::stats`]). A damaged file costs its part of history, never the service.

mod chunk;
mod entry;
mod feed;
mod file;
mod query;
mod state;
#[cfg(test)]
mod tests;
mod writer;

pub use entry::{ArchivedEvent, Entry, Told};
pub use feed::{Archive, ArchiveConfig, ArchiveError};
pub use state::ArchiveStats;
