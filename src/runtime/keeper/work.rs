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
use crate::store::journal::Note;
use crate::store::snapshot::{PublishedGeneration, SnapshotKind};
use crate::store::timers::{SlotNo, TimerIndexError};

/// How often snapshots are asked for because the disk is full.
const MAKE_SPACE: Duration = Duration::from_secs(1);
/// How often it is noted how far the journal is durable.
const NOTE: Duration = Duration::from_secs(1);
/// Cuts in progress at once: bounds the pages in memory.
const CUTS_MAX: usize = 16;
/// Finished cuts published with one manifest.
const PUBLISH_MAX: usize = 32;

/// A cut whose pages are still coming.
struct Coming {
    cut: Box<Cut>,
    pages: Vec<(u32, Vec<u8>)>,
}

/// Where the space set aside for a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReserveState {
    /// In its file (or nobody could put it there).
    Held,
    /// With the disk's free space.
    Released,
}

/// What the keeper does, step by step.
#[expect(missing_debug_implementations, reason = "holds trait objects")]
pub struct Work {
    parts: KeeperParts,
    coming: HashMap<PartitionId, Coming>,
    asked: HashSet<PartitionId>,
    finished: Vec<Coming>,
    last_round: Duration,
    reserve: ReserveState,
    /// When snapshots were last asked for because the disk is full.
    made_space: Duration,
    /// When it was last noted how far the journal is durable.
    noted: Duration,
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
            reserve: ReserveState::Released,
            made_space: Duration::ZERO,
            noted: Duration::ZERO,
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
        self.note_durable(now);
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

    /// Lets the next start know how far the journal is durable, should all that came since be damaged.
    fn note_durable(&mut self, now: Duration) {
        if now.saturating_sub(self.noted) >= NOTE {
            self.noted = now;
            self.parts.journal.note_durable(Note::Written);
        }
    }

    /// Asks for cuts: where the tail is too long, of those who hold its oldest segment; else of everyone, at intervals.
    fn schedule(&mut self, now: Duration) {
        self.show_timers();
        self.pass();
        self.hold_reserve();
        let too_long = self.parts.journal.tail_bytes() > self.parts.config.tail_bytes;
        if too_long || self.must_make_space(now) {
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

    /// Takes the reserve (again) once there is room for it, and for ingest beside it.
    fn hold_reserve(&mut self) {
        if self.reserve == ReserveState::Held || self.parts.journal.is_full() {
            return;
        }
        match self.parts.reserve.hold() {
            Ok(()) => self.reserve = ReserveState::Held,
            // There is not yet twice the reserve: the next tick looks again.
            Err(StoreError::DiskFull { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, "space for a snapshot can't be set aside");
                self.reserve = ReserveState::Held;
            }
        }
    }

    /// A snapshot found no space: the reserve is there for the next attempt.
    fn release_reserve(&mut self) {
        tracing::warn!("the disk is full: the reserve is released for snapshots");
        match self.parts.reserve.release() {
            Ok(()) => self.reserve = ReserveState::Released,
            Err(error) => tracing::warn!(%error, "the reserve can't be released"),
        }
    }

    /// Whether the journal waits for space, which snapshots of those who hold its oldest segment may make. Asked at every
    /// tick, it says so once a second: what holds a segment may be something else.
    fn must_make_space(&mut self, now: Duration) -> bool {
        let due = self.parts.journal.is_full() && now.saturating_sub(self.made_space) >= MAKE_SPACE;
        if due {
            self.made_space = now;
        }
        due
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
        let mut disk_is_full = false;
        let mut results: BTreeMap<PartitionId, (u64, CheckpointResult)> = BTreeMap::new();
        for coming in &finished {
            let id = coming.cut.partition;
            results.insert(id, (coming.cut.generation, CheckpointResult::Failed));
            if synced.is_none() {
                continue;
            }
            match self.write_snapshot(coming) {
                Ok(snapshot) => written.push((id, snapshot)),
                Err(error) => {
                    disk_is_full |= matches!(error, StoreError::DiskFull { .. });
                    tracing::error!(partition = id.0, %error, "a snapshot could not be written");
                }
            }
        }
        // What a snapshot holds was durable in the journal: one that ends before is damaged.
        self.parts.journal.note_durable(Note::Synced);
        let (ids, snapshots): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        match self.parts.snapshots.publish(snapshots) {
            Ok(()) => {
                for id in ids {
                    results.get_mut(&id).expect("it is one of the finished").1 = CheckpointResult::Published;
                    metrics::counter!("sojourn_checkpoints_total").increment(1);
                }
            }
            Err(error) => {
                disk_is_full |= matches!(error, StoreError::DiskFull { .. });
                tracing::error!(%error, "the manifest could not be written");
            }
        }
        if disk_is_full && self.reserve == ReserveState::Held {
            self.release_reserve();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::ids::{HashKey, Millis};
    use crate::runtime::failure::Failure;
    use crate::runtime::handle::ShardHandle;
    use crate::runtime::keeper::KeeperConfig;
    use crate::runtime::projection::NoProjection;
    use crate::runtime::router::Router;
    use crate::store::journal::Journal;
    use crate::store::journal::JournalConfig;
    use crate::store::memory::MemoryDisk;
    use crate::store::reserve::Reserve;
    use crate::store::snapshot_store::SnapshotStore;
    use crate::store::timers::MemoryTimers;
    use crate::wire::record::spans;

    const ONLY: PartitionId = PartitionId(0);

    fn work(disk: &MemoryDisk) -> Work {
        let disk = Arc::new(disk.clone());
        let config = JournalConfig { segment_bytes: 64 << 10, ..JournalConfig::default() };
        let (journal, _) = Journal::open(disk.clone(), 1, config, spans).expect("opens");
        Work::new(KeeperParts {
            config: KeeperConfig { tail_bytes: 1 << 20, interval: Duration::from_secs(60) },
            router: Arc::new(Router::<ShardHandle>::new(HashKey::FIXED, 1)),
            journal,
            reserve: Reserve::new(disk.clone(), 32 << 10),
            snapshots: Arc::new(SnapshotStore::open(disk).expect("opens")),
            timers: Box::new(MemoryTimers::default()),
            projection: Arc::new(NoProjection),
            failure: Failure::default(),
        })
    }

    impl Work {
        fn begin(&mut self, number: u64, extent: Extent, pages: &[(u32, u8)]) {
            let cut = Cut {
                partition: ONLY,
                generation: number,
                pseq: Pseq(number),
                extent,
                parts: vec![number as u8],
                timers: Arc::new([]),
                rewritten: Vec::new(),
                rebuild: Rebuild::No,
                next_due: Millis::NEVER,
            };
            self.take_cut(CheckpointMessage::Begin(Box::new(cut)));
            let pages = pages.iter().map(|(page, byte)| (*page, vec![*byte; 9])).collect();
            self.take_cut(CheckpointMessage::Pages(ONLY, pages));
        }

        fn finish_cut(&mut self) {
            self.take_cut(CheckpointMessage::Finish(ONLY));
            self.publish();
        }
    }

    #[test]
    fn a_snapshot_found_damaged_while_a_cut_was_on_its_way_fails_that_cut_and_the_next_is_whole() {
        let disk = MemoryDisk::tracked();
        let mut work = work(&disk);
        work.begin(1, Extent::Whole, &[(0, 1), (1, 1)]);
        work.finish_cut();
        work.begin(2, Extent::Dirty, &[(1, 2)]);
        work.finish_cut();
        let snapshots = Arc::clone(&work.parts.snapshots);
        assert_eq!(snapshots.latest(ONLY).expect("published").cut, Pseq(2));
        // Asked for as changes to the second, which turns out to be damaged before they are written.
        work.begin(3, Extent::Dirty, &[(0, 3)]);
        disk.corrupt("snapshots/p0000/2.snap", 100, 0x10);
        let fallen_back = snapshots.load(ONLY).expect("loads").expect("there");
        assert_eq!(fallen_back.cut, Pseq(1));
        work.finish_cut();
        assert_eq!(snapshots.latest(ONLY).expect("there").cut, Pseq(2), "changes to nothing are not published");
        assert_eq!(snapshots.kind_due(ONLY), SnapshotKind::Full);
        work.begin(4, Extent::Whole, &[(0, 3), (1, 2)]);
        work.finish_cut();
        let loaded = snapshots.load(ONLY).expect("loads").expect("there");
        assert_eq!((loaded.cut, loaded.fell_back), (Pseq(4), None));
        assert_eq!(loaded.pages.values().map(|page| page[0]).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(snapshots.recyclable_until(ONLY), Pseq(1), "the damaged one is no point to go back to");
    }

    #[test]
    fn a_full_disk_takes_one_more_snapshot_from_the_reserve_which_is_held_again_when_there_is_room() {
        let disk = MemoryDisk::tracked();
        let mut work = work(&disk);
        let is_held = |work: &Work| work.parts.reserve.is_held().expect("asks");
        work.schedule(Duration::ZERO);
        assert!(is_held(&work), "taken as soon as it runs");
        let pages: Vec<(u32, u8)> = (0..1_000).map(|page| (page, 7)).collect();
        disk.set_capacity(Some(disk.used_bytes() + 4_096));
        work.begin(1, Extent::Whole, &pages);
        work.finish_cut();
        let snapshots = Arc::clone(&work.parts.snapshots);
        assert!(snapshots.latest(ONLY).is_none(), "30 KB do not fit 4 KB");
        assert!(!is_held(&work));
        work.begin(2, Extent::Whole, &pages);
        work.finish_cut();
        assert_eq!(snapshots.latest(ONLY).expect("published").cut, Pseq(2));
        work.schedule(Duration::ZERO);
        assert!(!is_held(&work), "there is no room for it");
        disk.set_capacity(None);
        work.schedule(Duration::ZERO);
        assert!(is_held(&work));
    }
}
