//! What the runtime asks of a timer index, and how that can fail.

use std::io;
use std::path::PathBuf;

use crate::domain::ids::PartitionId;
use crate::store::timers::chunk::ChunkError;
use crate::store::timers::entry::{SlotNo, TimerEntry};

/// Durable timers by slot. One thread owns it; nothing here is on the path of an event.
///
/// An *epoch* is the generation of a partition's checkpoint; it grows with every checkpoint of the partition.
pub trait TimerIndex: Send {
    /// Writes the timers of one checkpoint, in any order, and answers what each slot got. Nothing is durable before
    /// [`sync`](Self::sync). An epoch at or below one already begun (a checkpoint that a crash cut short) is
    /// replaced: the partition's chunks of this epoch and later ones are deleted first.
    fn write(
        &mut self,
        partition: PartitionId,
        epoch: u64,
        entries: &[TimerEntry],
    ) -> Result<Vec<SlotWritten>, TimerIndexError>;

    /// The latest epoch of the partition that was begun, if any. One before that of the partition's snapshot shows
    /// that the index has lost chunks: forget the partition and write it anew from its rows.
    fn latest_epoch(&mut self, partition: PartitionId) -> Result<Option<u64>, TimerIndexError>;

    /// Puts `entries` in the place of all chunks of the partition in that slot, atomically (compaction). `epoch` is that
    /// of the partition's published checkpoint; chunks of a later one (a checkpoint in flight) stay.
    fn replace_slot(
        &mut self,
        partition: PartitionId,
        slot: SlotNo,
        epoch: u64,
        entries: &[TimerEntry],
    ) -> Result<(), TimerIndexError>;

    /// All timers of the partition in that slot, merged over epochs, sorted and without repeats. Stale ones included.
    fn load(&mut self, partition: PartitionId, slot: SlotNo) -> Result<Vec<TimerEntry>, TimerIndexError>;

    /// Deletes the partition's slots before `before`: all their firings are durable and in a snapshot.
    fn drop_slots(&mut self, partition: PartitionId, before: SlotNo) -> Result<(), TimerIndexError>;

    /// Deletes everything of the partition, its latest epoch too, before it is written anew from the rows.
    fn forget_partition(&mut self, partition: PartitionId) -> Result<(), TimerIndexError>;

    /// Makes everything before it durable, against loss of power too.
    fn sync(&mut self) -> Result<(), TimerIndexError>;

    /// Throws the whole index away and starts empty: after [`TimerIndexError::Broken`] or a failed sync. Then every
    /// partition must be rebuilt from its rows.
    fn start_over(&mut self) -> Result<(), TimerIndexError>;

    /// What it has done since the start.
    fn stats(&self) -> TimerIndexStats;
}

/// What a slot got from a [`TimerIndex::write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotWritten {
    /// The slot.
    pub slot: SlotNo,
    /// Timers written to it.
    pub timer_count: u32,
}

/// Why the timer index can't answer. Rows are the truth, so none of these loses a timer.
#[derive(Debug, thiserror::Error)]
pub enum TimerIndexError {
    /// A chunk is damaged: forget this partition and write it anew from its rows.
    #[error("timer chunk {part} of partition {partition}, {slot:?}, epoch {epoch} is damaged: {cause}")]
    Damaged {
        /// Whose.
        partition: PartitionId,
        /// Which slot.
        slot: SlotNo,
        /// Which epoch.
        epoch: u64,
        /// Which part.
        part: u32,
        /// What is wrong.
        cause: ChunkError,
    },
    /// sled failed or panicked; every call fails from now on. Start over and rebuild all partitions.
    #[error("timer index is broken: {reason}")]
    Broken {
        /// What sled said.
        reason: String,
    },
    /// A sync failed; what it covered may be lost. Never retried: start over and rebuild all partitions.
    #[error("sync of the timer index failed: {0}")]
    SyncFailed(#[source] io::Error),
    /// The directory can't be used; the operator must act (permissions, space).
    #[error("timer index can't use {}: {cause}", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Another holder has the directory locked: a second process, or one that has not ended yet.
    #[error("timer index in {} is locked by another process", path.display())]
    Locked {
        /// Where.
        path: PathBuf,
    },
}

/// How a timer index came up, for the log. What decides whether a partition is rebuilt from its rows is
/// [`TimerIndex::latest_epoch`] beside the epoch of its snapshot: that also holds when a crash cut a rebuild short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// There was none; it is empty.
    Fresh,
    /// It is there, and what was checked of it is sound.
    Recovered,
    /// It was damaged and is now empty: every partition must be rebuilt from its rows.
    Rebuilt {
        /// What was wrong.
        reason: String,
        /// Where the damaged one was moved, for examination.
        moved_to: PathBuf,
    },
}

/// Counters since the start, for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerIndexStats {
    /// Chunks written.
    pub chunks_written: u64,
    /// Chunks read.
    pub chunks_read: u64,
    /// Chunks deleted.
    pub chunks_dropped: u64,
    /// Timers written.
    pub timers_written: u64,
    /// Syncs done.
    pub syncs: u64,
}
