//! The timer index in sled 0.34.7.
//!
//! Never one key per timer: chunks of up to 124. Never read while events are handled. Every call into sled is
//! guarded: a panic or an error in it breaks the index for good, and the runtime starts over from the rows.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::domain::ids::PartitionId;
use crate::store::timers::chunk::{self, CHUNK_ENTRIES_MAX, ChunkKey};
use crate::store::timers::entry::{SlotNo, TimerEntry};
use crate::store::timers::index::{Opened, SlotWritten, TimerIndex, TimerIndexError, TimerIndexStats};
use crate::store::timers::opening::{self, OpenDb, TREE_COUNT, TimerIndexConfig};

/// Keys of one sled batch: bounds what sled holds back until the batch is complete.
const BATCH_KEYS_MAX: usize = 256;

/// The timer index in sled. One per process.
pub struct SledTimers {
    config: TimerIndexConfig,
    open: OpenDb,
    /// Why it is broken, once it is.
    broken: Option<String>,
    stats: TimerIndexStats,
}

impl fmt::Debug for SledTimers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledTimers").field("directory", &self.config.directory).field("stats", &self.stats).finish()
    }
}

impl SledTimers {
    /// Opens the index; a damaged one is moved aside and [`Opened::Rebuilt`] says so.
    pub fn open(config: TimerIndexConfig) -> Result<(Self, Opened), TimerIndexError> {
        let (open, opened) = opening::open(&config)?;
        Ok((Self { config, open, broken: None, stats: TimerIndexStats::default() }, opened))
    }

    /// Runs calls into sled; an error or a panic breaks the index.
    fn guarded<T>(
        &mut self,
        calls: impl FnOnce(&OpenDb, &mut TimerIndexStats) -> Result<T, sled::Error>,
    ) -> Result<T, TimerIndexError> {
        if let Some(reason) = &self.broken {
            return Err(TimerIndexError::Broken { reason: reason.clone() });
        }
        let (open, stats) = (&self.open, &mut self.stats);
        let reason = match catch_unwind(AssertUnwindSafe(|| calls(open, stats))) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("sled panicked: {}", opening::panic_text(panic.as_ref())),
        };
        self.broken = Some(reason.clone());
        Err(TimerIndexError::Broken { reason })
    }
}

impl TimerIndex for SledTimers {
    fn write(
        &mut self,
        partition: PartitionId,
        epoch: u64,
        entries: &[TimerEntry],
    ) -> Result<Vec<SlotWritten>, TimerIndexError> {
        let mut sorted = entries.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        self.guarded(|open, stats| {
            begin_epoch(open, stats, partition, epoch)?;
            let mut batches = Batches::new(tree_of(open, partition));
            let mut written = Vec::new();
            for of_slot in sorted.chunk_by(|a, b| a.slot() == b.slot()) {
                let slot = of_slot[0].slot();
                let key = ChunkKey::first(slot, partition, epoch);
                for (key, value) in encode_chunks(key, of_slot) {
                    stats.chunks_written += 1;
                    batches.insert(key, value)?;
                }
                written.push(SlotWritten { slot, timer_count: of_slot.len() as u32 });
            }
            batches.apply()?;
            stats.timers_written += sorted.len() as u64;
            Ok(written)
        })
    }

    fn latest_epoch(&mut self, partition: PartitionId) -> Result<Option<u64>, TimerIndexError> {
        self.guarded(|open, _| latest_epoch(open, partition))
    }

    fn replace_slot(
        &mut self,
        partition: PartitionId,
        slot: SlotNo,
        epoch: u64,
        entries: &[TimerEntry],
    ) -> Result<(), TimerIndexError> {
        let mut sorted = entries.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        self.guarded(|open, stats| {
            let tree = tree_of(open, partition);
            // One batch: sled recovers all of it or nothing, so the slot is never without its timers.
            let mut batch = sled::Batch::default();
            for item in tree.range(first_key(slot, partition, 0)..=last_key(slot, partition, epoch)) {
                stats.chunks_dropped += 1;
                batch.remove(item?.0);
            }
            for (key, value) in encode_chunks(ChunkKey::first(slot, partition, epoch), &sorted) {
                stats.chunks_written += 1;
                batch.insert(&key.encode()[..], value);
            }
            stats.timers_written += sorted.len() as u64;
            tree.apply_batch(batch)
        })
    }

    fn load(&mut self, partition: PartitionId, slot: SlotNo) -> Result<Vec<TimerEntry>, TimerIndexError> {
        let loaded = self.guarded(|open, stats| {
            let mut entries = Vec::new();
            let range = first_key(slot, partition, 0)..=last_key(slot, partition, u64::MAX);
            for item in tree_of(open, partition).range(range) {
                let (bytes, value) = item?;
                stats.chunks_read += 1;
                let key = decode_key(&bytes)?;
                if let Err(cause) = chunk::decode(key, &value, &mut entries) {
                    let ChunkKey { epoch, part, .. } = key;
                    return Ok(Err(TimerIndexError::Damaged { partition, slot, epoch, part, cause }));
                }
            }
            Ok(Ok(entries))
        })?;
        let mut entries = loaded?;
        entries.sort_unstable();
        entries.dedup();
        Ok(entries)
    }

    fn drop_slots(&mut self, partition: PartitionId, before: SlotNo) -> Result<(), TimerIndexError> {
        self.guarded(|open, stats| delete_chunks(open, stats, partition, before, 0))
    }

    fn forget_partition(&mut self, partition: PartitionId) -> Result<(), TimerIndexError> {
        self.guarded(|open, stats| {
            // ORDER: the note first, so that a partition that was forgotten in part is known to be incomplete.
            open.begun.remove(partition.0.to_be_bytes())?;
            delete_chunks(open, stats, partition, SlotNo(i64::MAX), 0)
        })
    }

    fn sync(&mut self) -> Result<(), TimerIndexError> {
        let path = self.config.db_path();
        let synced = self.guarded(|open, stats| {
            open.db.flush()?;
            stats.syncs += 1;
            assert!(opening::blobs_empty(&path)?, "values ≤ 4,000 bytes never go to blobs/, which sled does not sync");
            Ok(open.file.sync_data())
        })?;
        synced.map_err(|cause| {
            // What the kernel failed to write may be gone from its cache: asking again would only seem to succeed.
            self.broken = Some(format!("sync failed: {cause}"));
            TimerIndexError::SyncFailed(cause)
        })
    }

    fn start_over(&mut self) -> Result<(), TimerIndexError> {
        let fresh = opening::open_anew(&self.config)?;
        let old = std::mem::replace(&mut self.open, fresh);
        self.broken = None;
        // Closing a broken sled may panic or hang, and its files are out of the way: a thread of its own does it.
        let closing = std::thread::Builder::new()
            .name("timers-close".to_owned())
            .spawn(move || drop(catch_unwind(AssertUnwindSafe(|| drop(old)))));
        closing.map(drop).map_err(|cause| TimerIndexError::Directory { path: self.config.directory.clone(), cause })
    }

    fn stats(&self) -> TimerIndexStats {
        self.stats
    }
}

/// Notes that an epoch of a partition begins. If it, or a later one, had begun before a crash, its chunks are deleted.
///
/// ORDER: the note precedes the chunks in sled's log, so a chunk that was recovered always has its note.
fn begin_epoch(
    open: &OpenDb,
    stats: &mut TimerIndexStats,
    partition: PartitionId,
    epoch: u64,
) -> Result<(), sled::Error> {
    if latest_epoch(open, partition)?.is_some_and(|latest| epoch <= latest) {
        delete_chunks(open, stats, partition, SlotNo(i64::MAX), epoch)?;
    }
    open.begun.insert(partition.0.to_be_bytes(), &epoch.to_be_bytes()[..])?;
    Ok(())
}

fn latest_epoch(open: &OpenDb, partition: PartitionId) -> Result<Option<u64>, sled::Error> {
    let Some(bytes) = open.begun.get(partition.0.to_be_bytes())? else { return Ok(None) };
    let bytes =
        bytes.as_ref().try_into().map_err(|_| sled::Error::ReportableBug("an epoch is not 8 bytes".to_owned()))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

/// Deletes a partition's chunks of slots before `before` and of epochs from `epoch_from` on.
///
/// Skips from slot to slot, so it costs two look-ups a slot and not a scan of every partition's chunks.
fn delete_chunks(
    open: &OpenDb,
    stats: &mut TimerIndexStats,
    partition: PartitionId,
    before: SlotNo,
    epoch_from: u64,
) -> Result<(), sled::Error> {
    let tree = tree_of(open, partition);
    let mut batches = Batches::new(tree);
    let mut from = ChunkKey::first(SlotNo(i64::MIN), PartitionId(0), 0).encode();
    while let Some(item) = tree.range(from..).next() {
        let slot = decode_key(&item?.0)?.slot;
        if slot >= before {
            break;
        }
        for item in tree.range(first_key(slot, partition, epoch_from)..=last_key(slot, partition, u64::MAX)) {
            stats.chunks_dropped += 1;
            batches.remove(&item?.0)?;
        }
        // Slots are hours of 64-bit milliseconds, far from the ends of 64 bits.
        from = ChunkKey::first(slot.next(), PartitionId(0), 0).encode();
    }
    batches.apply()
}

/// The chunks of one slot's sorted timers.
fn encode_chunks(first: ChunkKey, sorted: &[TimerEntry]) -> impl Iterator<Item = (ChunkKey, Vec<u8>)> {
    sorted.chunks(CHUNK_ENTRIES_MAX).zip(0u32..).map(move |(entries, part)| {
        let key = ChunkKey { part, ..first };
        (key, chunk::encode(key, entries))
    })
}

fn tree_of(open: &OpenDb, partition: PartitionId) -> &sled::Tree {
    &open.trees[usize::from(partition.0 % TREE_COUNT)]
}

fn first_key(slot: SlotNo, partition: PartitionId, epoch: u64) -> [u8; chunk::KEY_BYTES] {
    ChunkKey::first(slot, partition, epoch).encode()
}

fn last_key(slot: SlotNo, partition: PartitionId, epoch: u64) -> [u8; chunk::KEY_BYTES] {
    ChunkKey::last(slot, partition, epoch).encode()
}

fn decode_key(bytes: &[u8]) -> Result<ChunkKey, sled::Error> {
    ChunkKey::decode(bytes).ok_or_else(|| sled::Error::ReportableBug(format!("key of {} bytes", bytes.len())))
}

/// Writes to one tree, grouped.
struct Batches<'a> {
    tree: &'a sled::Tree,
    batch: sled::Batch,
    key_count: usize,
}

impl<'a> Batches<'a> {
    fn new(tree: &'a sled::Tree) -> Self {
        Self { tree, batch: sled::Batch::default(), key_count: 0 }
    }

    fn insert(&mut self, key: ChunkKey, value: Vec<u8>) -> Result<(), sled::Error> {
        self.batch.insert(&key.encode()[..], value);
        self.count()
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), sled::Error> {
        self.batch.remove(key);
        self.count()
    }

    fn count(&mut self) -> Result<(), sled::Error> {
        self.key_count += 1;
        if self.key_count == BATCH_KEYS_MAX { self.apply() } else { Ok(()) }
    }

    fn apply(&mut self) -> Result<(), sled::Error> {
        self.key_count = 0;
        self.tree.apply_batch(std::mem::take(&mut self.batch))
    }
}
