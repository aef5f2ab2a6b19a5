//! The timer index in memory: for virtual runs, and as the model that the one in sled is tested against.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::PartitionId;
use crate::store::timers::chunk::CHUNK_ENTRIES_MAX;
use crate::store::timers::entry::{SlotNo, TimerEntry};
use crate::store::timers::index::{SlotWritten, TimerIndex, TimerIndexError, TimerIndexStats};

/// A timer index that lives as long as its value.
#[derive(Clone, Debug, Default)]
pub struct MemoryTimers {
    /// (partition, slot, epoch) → timers.
    slots: BTreeMap<(PartitionId, SlotNo, u64), BTreeSet<TimerEntry>>,
    begun: BTreeMap<PartitionId, u64>,
    stats: TimerIndexStats,
}

impl MemoryTimers {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn remove(&mut self, gone: impl Fn(PartitionId, SlotNo, u64) -> bool) {
        let dropped = &mut self.stats.chunks_dropped;
        self.slots.retain(|(partition, slot, epoch), entries| {
            let gone = gone(*partition, *slot, *epoch);
            *dropped += if gone { chunk_count(entries) } else { 0 };
            !gone
        });
    }

    fn insert(&mut self, partition: PartitionId, slot: SlotNo, epoch: u64, entries: BTreeSet<TimerEntry>) {
        self.stats.chunks_written += chunk_count(&entries);
        self.stats.timers_written += entries.len() as u64;
        if !entries.is_empty() {
            self.slots.insert((partition, slot, epoch), entries);
        }
    }
}

impl TimerIndex for MemoryTimers {
    fn write(
        &mut self,
        partition: PartitionId,
        epoch: u64,
        entries: &[TimerEntry],
    ) -> Result<Vec<SlotWritten>, TimerIndexError> {
        if self.begun.get(&partition).is_some_and(|begun| epoch <= *begun) {
            self.remove(|p, _, e| p == partition && e >= epoch);
        }
        self.begun.insert(partition, epoch);
        let mut by_slot: BTreeMap<SlotNo, BTreeSet<TimerEntry>> = BTreeMap::new();
        for entry in entries {
            by_slot.entry(entry.slot()).or_default().insert(*entry);
        }
        let written =
            by_slot.iter().map(|(slot, e)| SlotWritten { slot: *slot, timer_count: e.len() as u32 }).collect();
        for (slot, entries) in by_slot {
            self.insert(partition, slot, epoch, entries);
        }
        Ok(written)
    }

    fn latest_epoch(&mut self, partition: PartitionId) -> Result<Option<u64>, TimerIndexError> {
        Ok(self.begun.get(&partition).copied())
    }

    fn replace_slot(
        &mut self,
        partition: PartitionId,
        slot: SlotNo,
        epoch: u64,
        entries: &[TimerEntry],
    ) -> Result<(), TimerIndexError> {
        self.remove(|p, s, e| p == partition && s == slot && e <= epoch);
        self.insert(partition, slot, epoch, entries.iter().copied().collect());
        Ok(())
    }

    fn load(&mut self, partition: PartitionId, slot: SlotNo) -> Result<Vec<TimerEntry>, TimerIndexError> {
        let epochs = self.slots.range((partition, slot, 0)..=(partition, slot, u64::MAX));
        let mut merged = BTreeSet::new();
        for (_, entries) in epochs {
            self.stats.chunks_read += chunk_count(entries);
            merged.extend(entries);
        }
        Ok(merged.into_iter().collect())
    }

    fn drop_slots(&mut self, partition: PartitionId, before: SlotNo) -> Result<(), TimerIndexError> {
        self.remove(|p, s, _| p == partition && s < before);
        Ok(())
    }

    fn forget_partition(&mut self, partition: PartitionId) -> Result<(), TimerIndexError> {
        self.begun.remove(&partition);
        self.remove(|p, _, _| p == partition);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), TimerIndexError> {
        self.stats.syncs += 1;
        Ok(())
    }

    fn start_over(&mut self) -> Result<(), TimerIndexError> {
        self.slots.clear();
        self.begun.clear();
        Ok(())
    }

    fn stats(&self) -> TimerIndexStats {
        self.stats
    }
}

fn chunk_count(entries: &BTreeSet<TimerEntry>) -> u64 {
    entries.len().div_ceil(CHUNK_ENTRIES_MAX) as u64
}
