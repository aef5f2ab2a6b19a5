//! Durability: disks, the journal, partition snapshots, the timer index and the data directory that holds them.
//!
//! Knows blocks of bytes, partitions and their sequences; never what is inside a record, and never a clock.
//! `docs/durability.md` tells how the parts work together and what each failure does.

pub mod disk;
pub mod error;
mod fields;
pub mod journal;
pub mod memory;
pub mod snapshot;
pub mod timers;
