//! Cuts of partitions on their way to the checkpoint thread. A cut is exact at one pseq; its pages are copied a few a
//! turn, or before a row in them changes; it is published only when the journal is durable past it.

use crate::domain::ids::{Millis, PartitionId, Pseq};
use crate::planted::{Bug, is_planted};
use crate::runtime::partition::table::Extent;
use crate::runtime::shard::input::{CheckpointMessage, CheckpointResult, Cut, Need, Rebuild};
use crate::runtime::shard::{Seat, Shard};
use crate::store::timers::{SlotNo, TimerEntry};

/// A cut that the checkpoint thread does not have whole yet.
#[derive(Debug)]
struct Active {
    partition: PartitionId,
    /// The block that holds the last record of the cut.
    covered_by: u64,
    pages_complete: bool,
}

/// Cuts in progress.
#[derive(Debug, Default)]
pub struct Checkpoints {
    active: Vec<Active>,
}

impl Shard {
    /// Cuts `id` here and now.
    pub(super) fn begin_checkpoint(&mut self, id: PartitionId, extent: Extent, need: Need) {
        if self.checkpoints.active.iter().any(|a| a.partition == id) {
            return;
        }
        let covered_by = self.covering_block();
        let due = self.partition_mut(id).filter(|p| need == Need::Always || p.pseq > p.cut);
        let Some(partition) = due else {
            self.ports.checkpoint(CheckpointMessage::Nothing(id));
            return;
        };
        partition.cut = partition.pseq;
        let mut near = Vec::new();
        let rebuild = if partition.horizon.needs_rebuild() {
            near = partition.horizon.rebuild(partition.table.timers());
            Rebuild::FromRows
        } else {
            Rebuild::No
        };
        let rewritten = rewritten_slots(partition);
        partition.generation += 1;
        let timers = partition.horizon.take_for_checkpoint(partition.generation);
        let mut parts = Vec::new();
        partition.put_parts(&mut parts);
        partition.table.begin_capture(extent);
        let cut = Cut {
            partition: id,
            generation: partition.generation,
            pseq: partition.pseq,
            extent,
            parts,
            timers,
            rewritten,
            rebuild,
            next_due: partition.table.timers().map(|t| t.due).min().unwrap_or(Millis::NEVER),
        };
        for timer in near {
            self.wheel.insert(timer.in_wheel(id));
        }
        self.ports.checkpoint(CheckpointMessage::Begin(Box::new(cut)));
        self.checkpoints.active.push(Active { partition: id, covered_by, pages_complete: false });
    }

    /// Copies some more pages of the cuts in progress.
    pub(super) fn capture_some(&mut self) {
        for index in 0..self.checkpoints.active.len() {
            if !self.checkpoints.active[index].pages_complete {
                self.capture_of(index, self.config.pages_per_turn);
            }
        }
        self.finish_checkpoints();
    }

    /// Copies the rest of the cut of a partition that leaves.
    pub(super) fn capture_rest(&mut self, id: PartitionId) {
        if let Some(index) = self.checkpoints.active.iter().position(|a| a.partition == id && !a.pages_complete) {
            self.capture_of(index, usize::MAX);
        }
    }

    fn capture_of(&mut self, index: usize, pages_max: usize) {
        let id = self.checkpoints.active[index].partition;
        let mut pages = Vec::new();
        let complete = match self.partition_mut(id) {
            Some(partition) => partition.table.capture_some(pages_max, &mut pages),
            None => true,
        };
        if !pages.is_empty() {
            self.ports.checkpoint(CheckpointMessage::Pages(id, pages));
        }
        self.checkpoints.active[index].pages_complete = complete;
    }

    /// Lets cuts be published that are whole and covered by the journal.
    pub(super) fn finish_checkpoints(&mut self) {
        let durable = self.releases.durable_number();
        let ports = &mut self.ports;
        self.checkpoints.active.retain(|active| {
            let ready =
                active.pages_complete && (active.covered_by <= durable || is_planted(Bug::SnapshotAheadOfJournal));
            if ready {
                ports.checkpoint(CheckpointMessage::Finish(active.partition));
            }
            !ready
        });
    }

    /// Whether a cut is in progress.
    pub fn has_captures(&self) -> bool {
        self.checkpoints.active.iter().any(|a| !a.pages_complete)
    }

    pub(super) fn checkpoint_done(&mut self, id: PartitionId, generation: u64, result: &CheckpointResult) {
        let Some(partition) = self.partition_mut(id) else { return };
        match result {
            CheckpointResult::Published => {
                if let Some(before) = partition.horizon.checkpoint_done(generation) {
                    self.ports.checkpoint(CheckpointMessage::DropSlots(id, before));
                }
            }
            CheckpointResult::Failed => {
                partition.horizon.checkpoint_failed(generation);
                partition.table.mark_all_dirty();
                partition.cut = Pseq(0);
            }
        }
    }

    /// Pages are copied for this many partitions that are here.
    pub fn partition_count(&self) -> usize {
        self.seats.iter().filter(|s| matches!(s, Seat::Open(_))).count()
    }
}

/// Slots of which the index holds mostly dead timers, with their live ones.
fn rewritten_slots(partition: &mut crate::runtime::partition::Partition) -> Vec<(SlotNo, Vec<TimerEntry>)> {
    let slots: Vec<SlotNo> = partition.horizon.slots_to_rewrite().collect();
    if slots.is_empty() {
        return Vec::new();
    }
    let mut rewritten: Vec<(SlotNo, Vec<TimerEntry>)> = slots.into_iter().map(|s| (s, Vec::new())).collect();
    for timer in partition.table.timers() {
        if let Ok(index) = rewritten.binary_search_by_key(&timer.slot(), |(slot, _)| *slot) {
            rewritten[index].1.push(timer);
        }
    }
    for (slot, timers) in &rewritten {
        partition.horizon.slot_rewritten(*slot, timers.len() as u32);
    }
    rewritten
}
