//! A timer index that behaves as badly as sled may: what no sync covered is lost at a crash, wholly or from some point
//! on, and the whole of it may be damaged beyond use. Rows are the truth, so nothing of this may lose a timer.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::ids::PartitionId;
use crate::sim::dice::Dice;
use crate::store::timers::{
    ChunkError, MemoryTimers, SlotNo, SlotWritten, TimerEntry, TimerIndex, TimerIndexError, TimerIndexStats,
};

/// A change that no sync has covered.
#[derive(Clone, Debug)]
enum Change {
    Write(PartitionId, u64, Vec<TimerEntry>),
    Replace(PartitionId, SlotNo, u64, Vec<TimerEntry>),
    Drop(PartitionId, SlotNo),
    Forget(PartitionId),
    StartOver,
}

/// How a call to come fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexFault {
    /// The next chunk read is damaged.
    DamagedChunk,
    /// The next call breaks the index.
    Broken,
    /// The next sync fails.
    Sync,
}

#[derive(Debug, Default)]
struct Files {
    durable: MemoryTimers,
    current: MemoryTimers,
    unsynced: Vec<Change>,
    fault: Option<IndexFault>,
    /// Fails until it is started over.
    broken: bool,
}

/// The files of the index. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct IndexModel {
    files: Arc<Mutex<Files>>,
}

impl IndexModel {
    /// What a crash leaves: in sled's log later changes never survive earlier ones, and one batch is whole or not there.
    #[must_use]
    pub fn crash(&self, dice: &mut Dice) -> Self {
        let files = self.files.lock();
        let mut left = files.durable.clone();
        let kept = dice.index(files.unsynced.len() + 1);
        for change in &files.unsynced[..kept] {
            apply(&mut left, change);
        }
        if let Some(Change::Write(partition, epoch, entries)) = files.unsynced.get(kept)
            && dice.chance(50)
        {
            // The note of the epoch precedes its chunks, and each tree's batch comes by itself.
            let some = &entries[..dice.index(entries.len() + 1)];
            apply(&mut left, &Change::Write(*partition, *epoch, some.to_vec()));
        }
        Self { files: Arc::new(Mutex::new(Files { current: left.clone(), durable: left, ..Files::default() })) }
    }

    /// Everything in it is gone.
    pub fn lose_all(&self) {
        *self.files.lock() = Files::default();
    }

    /// Lets a call to come fail.
    pub fn fail(&self, fault: Option<IndexFault>) {
        self.files.lock().fault = fault;
    }

    fn change(&self, change: Change) -> Result<(), TimerIndexError> {
        let files = &mut *self.files.lock();
        files.check()?;
        apply(&mut files.current, &change);
        files.unsynced.push(change);
        Ok(())
    }
}

impl Files {
    fn check(&mut self) -> Result<(), TimerIndexError> {
        if self.fault == Some(IndexFault::Broken) {
            self.fault = None;
            self.broken = true;
        }
        if self.broken {
            return Err(TimerIndexError::Broken { reason: "injected".to_owned() });
        }
        Ok(())
    }
}

fn apply(index: &mut MemoryTimers, change: &Change) {
    let applied = match change {
        Change::Write(partition, epoch, entries) => index.write(*partition, *epoch, entries).map(drop),
        Change::Replace(partition, slot, epoch, entries) => index.replace_slot(*partition, *slot, *epoch, entries),
        Change::Drop(partition, before) => index.drop_slots(*partition, *before),
        Change::Forget(partition) => index.forget_partition(*partition),
        Change::StartOver => index.start_over(),
    };
    applied.expect("an index in memory does not fail");
}

impl TimerIndex for IndexModel {
    fn write(
        &mut self,
        partition: PartitionId,
        epoch: u64,
        entries: &[TimerEntry],
    ) -> Result<Vec<SlotWritten>, TimerIndexError> {
        self.change(Change::Write(partition, epoch, entries.to_vec())).map(|()| Vec::new())
    }

    fn latest_epoch(&mut self, partition: PartitionId) -> Result<Option<u64>, TimerIndexError> {
        let files = &mut *self.files.lock();
        files.check()?;
        files.current.latest_epoch(partition)
    }

    fn replace_slot(
        &mut self,
        partition: PartitionId,
        slot: SlotNo,
        epoch: u64,
        entries: &[TimerEntry],
    ) -> Result<(), TimerIndexError> {
        self.change(Change::Replace(partition, slot, epoch, entries.to_vec()))
    }

    fn load(&mut self, partition: PartitionId, slot: SlotNo) -> Result<Vec<TimerEntry>, TimerIndexError> {
        let files = &mut *self.files.lock();
        files.check()?;
        if files.fault == Some(IndexFault::DamagedChunk) {
            files.fault = None;
            let cause = ChunkError::Checksum { stated: 0, found: 1 };
            return Err(TimerIndexError::Damaged { partition, slot, epoch: 0, part: 0, cause });
        }
        files.current.load(partition, slot)
    }

    fn drop_slots(&mut self, partition: PartitionId, before: SlotNo) -> Result<(), TimerIndexError> {
        self.change(Change::Drop(partition, before))
    }

    fn forget_partition(&mut self, partition: PartitionId) -> Result<(), TimerIndexError> {
        self.change(Change::Forget(partition))
    }

    fn sync(&mut self) -> Result<(), TimerIndexError> {
        let files = &mut *self.files.lock();
        files.check()?;
        if files.fault == Some(IndexFault::Sync) {
            files.fault = None;
            files.broken = true;
            return Err(TimerIndexError::SyncFailed(io::Error::other("injected: sync failed")));
        }
        files.unsynced.clear();
        files.durable = files.current.clone();
        Ok(())
    }

    fn start_over(&mut self) -> Result<(), TimerIndexError> {
        self.files.lock().broken = false;
        self.change(Change::StartOver)
    }

    fn stats(&self) -> TimerIndexStats {
        self.files.lock().current.stats()
    }
}
