//! A disk in memory that knows what was synced: the disk of replay, of tests and of the simulator.
//!
//! [`MemoryDisk::new`] keeps bytes only (fast, for replay). [`MemoryDisk::tracked`] also keeps, per sector of 512
//! bytes, what the last sync made durable, so that [`MemoryDisk::crash`] can show what a power cut leaves: each
//! unsynced write kept, lost or torn, each unsynced entry of a directory there or not. [`MemoryDisk::crash_keep_all`]
//! is `kill -9`: the page cache stays, and what was not synced is still not durable.
//!
//! After a failed sync the bytes can be read but are durable only once written *again* and synced: this is what
//! Linux does, and why a failed sync must never be retried.

mod device;
mod dice;
mod faults;
mod file;

pub use device::MemoryDisk;
pub use faults::{ReadFault, Struck, Times};

/// What the model tears at: a write is durable or not in units of this size (bytes).
pub const SECTOR: usize = 512;

#[cfg(test)]
mod tests;
