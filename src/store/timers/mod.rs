//! The timer index: durable timers of wait steps that are due beyond the horizon, as sorted chunks in sled.
//!
//! Owns the chunks and nothing else: the row of a profile is the truth about its timers, and the whole index can be
//! thrown away and written anew from the rows. It must never be on the path of an event: checkpoints write it, opening
//! a slot reads it.
//!
//! The order that makes it safe: the timers and the snapshot of a partition share one cut. Chunks are written and
//! [synced](TimerIndex::sync) first; the snapshot of that cut is published after. A crash between leaves chunks of an
//! epoch that no snapshot knows: the same timers are set again by the replayed records, and writing the same epoch again
//! replaces them. Slots are dropped only when their firings are durable and in a snapshot.

mod chunk;
mod entry;
mod index;
mod memory;
mod opening;
mod sled_index;
#[cfg(test)]
mod tests;

pub use chunk::{CHUNK_ENTRIES_MAX, ChunkError, VALUE_BYTES_MAX};
pub use entry::{SLOT_MS, SlotNo, TimerEntry};
pub use index::{Opened, SlotWritten, TimerIndex, TimerIndexError, TimerIndexStats};
pub use memory::MemoryTimers;
pub use opening::TimerIndexConfig;
pub use sled_index::SledTimers;
