//! The keeper's work, steppable and synchronous: cuts gather, are written, published, and let the journal recycle. Knows
//! no thread and no clock; the keeper's thread and the simulator drive it.
//!
//! ORDER of a checkpoint: the shard lets it finish only when the journal is durable past the cut; then timer chunks are
//! written and synced; then the snapshot is written, synced and published. A crash between leaves the older
//! snapshot in force, and chunks that the next checkpoint of the partition replaces.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::domain::ids::{PartitionId, Pseq};
use crate::planted::{Bug, is_planted};
use crate::runtime::keeper::{KeeperMessage, KeeperParts};
use crate::runtime::partition::table::Extent;
use crate::runtime::shard::input::{CheckpointMessage, CheckpointResult, Cut, Need, Rebuild, ShardInput};
use crate::store::error::StoreError;
use crate::store::snapshot::{PublishedGeneration, SnapshotKind};
use crate::store::timers::{SlotNo, TimerIndexError};

/// Cuts in progress at once: bounds the pages in memory.
const CUTS_MAX: usize = 16;
/// Finished cuts published with one manifest.
const PUBLISH_MAX: usize = 32;

/// A cut whose pages are still coming.
struct Coming {
    cut: Box<Cut>,
    pages: Vec<(u32, Vec<u8>)>,
}

/// What the keeper does, step by step.
#[expect(missing_debug_implementations, reason = "holds trait objects")]
pub struct Work {
    parts: KeeperParts,
    coming: HashMap<PartitionId, Coming>,
    asked: HashSet<PartitionId>,
    finished: Vec<Coming>,
    last_round: Duration,
    round: Vec<PartitionId>,
}

impl Work {
    /// With nothing begun. Its clock begins at zero.
    pub fn new(parts: KeeperParts) -> Self {
        Self {
            parts,
            coming: HashMap::new(),
            asked: HashSet::new(),
            finished: Vec::new(),
            last_round: Duration::ZERO,
            round: Vec::new(),
        }
    }

    /// How often every partition that changed is cut.
    pub fn interval(&self) -> Duration {
        self.parts.config.interval
    }

    /// Whether a finished cut waits for the next [`turn`](Self::turn).
    pub fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Whether the engine has failed: nothing more may be written.
    pub fn must_end(&self) -> bool {
        self.parts.failure.is_raised()
    }

    /// Takes in one message; publishes at once only if very much has gathered. [`KeeperMessage::Stop`] is the caller's.
    pub fn take(&mut self, message: KeeperMessage) {
        match message {
            KeeperMessage::Cut(message) => self.take_cut(message),
            KeeperMessage::LoadSlot(partition, slot) => self.load_slot(partition, slot),
            KeeperMessage::Stop => {}
        }
        if self.finished.len() >= PUBLISH_MAX {
            self.publish();
        }
    }

    /// Publishes what is finished and asks for the cuts that are due. `now` counts from the start.
    pub fn turn(&mut self, now: Duration) {
        self.publish();
        self.schedule(now);
    }

    /// Publishes what is finished, for the last time.
    pub fn finish(&mut self) {
        self.publish();
        self.parts.projection.finish();
    }

    fn take_cut(&mut self, message: CheckpointMessage) {
        match message {
            CheckpointMessage::Begin(cut) => {
                self.coming.insert(cut.partition, Coming { cut, pages: Vec::new() });
            }
            CheckpointMessage::Pages(partition, mut pages) => {
                if let Some(coming) = self.coming.get_mut(&partition) {
                    coming.pages.append(&mut pages);
                }
            }
            CheckpointMessage::Finish(partition) => self.finished.extend(self.coming.remove(&partition)),
            CheckpointMessage::Nothing(_) if is_planted(Bug::KeeperWaitsForever) => {}
            CheckpointMessage::Nothing(partition) => {
                self.asked.remove(&partition);
            }
            CheckpointMessage::DropSlots(partition, before) => {
                let dropped = self.parts.timers.drop_slots(partition, before);
                self.heal(dropped);
            }
        }
    }

    fn show_timers(&self) {
        let stats = self.parts.timers.stats();
        metrics::counter!("sojourn_timer_chunks_written_total").absolute(stats.chunks_written);
        metrics::counter!("sojourn_timer_chunks_read_total").absolute(stats.chunks_read);
        metrics::counter!("sojourn_timer_chunks_dropped_total").absolute(stats.chunks_dropped);
    }

    /// Asks for cuts: where the tail is too long, of those who hold its oldest segment; else of everyone, at intervals.
    fn schedule(&mut self, now: Duration) {
        self.show_timers();
        self.pass();
        if self.parts.journal.tail_bytes() > self.parts.config.tail_bytes {
            self.parts.projection.hurry();
            let holding: Vec<PartitionId> = self.parts.journal.oldest_needed().into_iter().map(|(id, _)| id).collect();
            for partition in holding {
                self.ask(partition, Need::Always);
            }
        }
        if now.saturating_sub(self.last_round) >= self.parts.config.interval && self.round.is_empty() {
            self.last_round = now;
            self.round = (0..self.parts.router.partition_count()).rev().map(PartitionId).collect();
            self.round.push(PartitionId::SYSTEM);
        }
        while self.asked.len() < CUTS_MAX
            && let Some(partition) = self.round.pop()
        {
            self.ask(partition, Need::IfChanged);
        }
    }

    fn ask(&mut self, partition: PartitionId, need: Need) {
        if self.asked.len() >= CUTS_MAX || self.asked.contains(&partition) {
            return;
        }
        let extent = match self.parts.snapshots.kind_due(partition) {
            SnapshotKind::Full => Extent::Whole,
            SnapshotKind::Delta { .. } => Extent::Dirty,
        };
        if self.parts.router.send(partition, ShardInput::Checkpoint(partition, extent, need)) {
            self.asked.insert(partition);
        }
    }

    /// Writes and publishes the finished cuts.
    fn publish(&mut self) {
        let finished = std::mem::take(&mut self.finished);
        if finished.is_empty() {
            return;
        }
        let timers = self.write_timers(&finished);
        let synced = self.heal(timers);
        let mut written = Vec::new();
        let mut results: BTreeMap<PartitionId, (u64, CheckpointResult)> = BTreeMap::new();
        for coming in &finished {
            let id = coming.cut.partition;
            results.insert(id, (coming.cut.generation, CheckpointResult::Failed));
            if synced.is_none() {
                continue;
            }
            match self.write_snapshot(coming) {
                Ok(snapshot) => written.push((id, snapshot)),
                Err(error) => tracing::error!(partition = id.0, %error, "a snapshot could not be written"),
            }
        }
        let (ids, snapshots): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        match self.parts.snapshots.publish(snapshots) {
            Ok(()) => {
                for id in ids {
                    results.get_mut(&id).expect("it is one of the finished").1 = CheckpointResult::Published;
                    metrics::counter!("sojourn_checkpoints_total").increment(1);
                }
            }
            Err(error) => tracing::error!(%error, "the manifest could not be written"),
        }
        for (id, (generation, result)) in results {
            self.asked.remove(&id);
            self.parts.router.send(id, ShardInput::CheckpointDone(id, generation, result));
        }
        self.pass();
    }

    fn write_timers(&mut self, finished: &[Coming]) -> Result<(), TimerIndexError> {
        let timers = &mut self.parts.timers;
        for Coming { cut, .. } in finished {
            if cut.rebuild == Rebuild::FromRows {
                timers.forget_partition(cut.partition)?;
            }
            for (slot, live) in &cut.rewritten {
                timers.replace_slot(cut.partition, *slot, cut.generation - 1, live)?;
            }
            timers.write(cut.partition, cut.generation, &cut.timers)?;
        }
        timers.sync()
    }

    fn write_snapshot(&self, coming: &Coming) -> Result<PublishedGeneration, StoreError> {
        let cut = &coming.cut;
        let mut writer = self.parts.snapshots.begin(cut.partition, cut.pseq, &[])?;
        if writer.kind() == SnapshotKind::Full && cut.extent == Extent::Dirty {
            // Its newest snapshot was found damaged after the cut was asked for: these pages are not all there are.
            return Err(StoreError::SnapshotDamaged {
                partition: cut.partition,
                damage: "the cut holds changes to a snapshot that can't be read; the next one holds everything"
                    .to_owned(),
            });
        }
        let mut pages: Vec<&(u32, Vec<u8>)> = coming.pages.iter().collect();
        pages.sort_unstable_by_key(|(page, _)| *page);
        for (page, bytes) in pages {
            writer.page(*page, bytes)?;
        }
        writer.parts(&cut.parts)?;
        writer.finish(cut.next_due)
    }

    /// Tells the journal what every snapshot kept and every projection has passed.
    fn pass(&self) {
        for (partition, newest) in self.parts.snapshots.all_latest() {
            let mut older_cut = self.parts.snapshots.recyclable_until(partition);
            if is_planted(Bug::RecycledTooEarly) {
                older_cut = newest.cut;
            }
            let passed = older_cut.min(self.parts.projection.passed(partition));
            if passed > Pseq(0) {
                self.parts.journal.passed(partition, passed);
            }
        }
    }

    fn load_slot(&mut self, partition: PartitionId, slot: SlotNo) {
        let loaded = self.parts.timers.load(partition, slot);
        let loaded = self.heal(loaded);
        self.parts.router.send(partition, ShardInput::SlotLoaded(partition, slot, loaded));
    }

    /// Rows are the truth: whatever the index lost is written anew from them.
    fn heal<T>(&mut self, result: Result<T, TimerIndexError>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        tracing::warn!(%error, "the timer index failed: it is rebuilt from the rows");
        metrics::counter!("sojourn_timer_index_rebuilds_total").increment(1);
        if let TimerIndexError::Damaged { partition, .. } = error {
            self.parts.router.send(partition, ShardInput::SuspectTimers(partition));
            return None;
        }
        if let Err(error) = self.parts.timers.start_over() {
            self.parts.failure.raise(&format!("the timer index can't be started over: {error}"));
            return None;
        }
        for index in 0..self.parts.router.partition_count() {
            self.parts.router.send(PartitionId(index), ShardInput::SuspectTimers(PartitionId(index)));
        }
        None
    }
}
