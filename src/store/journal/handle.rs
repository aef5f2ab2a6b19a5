//! The journal as a whole: opening it, and telling it what has been passed. Clones share it; use from any thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::lane::Lane;
use super::marks::{Marks, Note};
use super::recovery::{Source, open_lane};
use super::shared::LaneShared;
use super::tail::Tail;
use crate::domain::ids::{PartitionId, Pseq};
use crate::domain::limits::BLOCK_BYTES_MAX;
use crate::store::disk::Disk;
use crate::store::error::StoreError;

/// Reads from a block's bytes the last pseq of each partition in it.
pub type SpansOf = fn(&[u8]) -> Vec<(PartitionId, Pseq)>;

/// Whether groups are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Each group, before it counts as durable.
    Always,
    /// Only where a segment ends: for measurements, and for replay in memory. A crash may lose what was "durable".
    Off,
}

/// How a journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Bytes of groups still needed at which [`Journal::must_wait`] says so: bounds the disk and the time of a start.
    pub tail_bytes_max: u64,
    /// Lanes: fixed for the life of a data directory.
    pub lanes: u16,
    /// Whether groups are synced.
    pub sync: SyncMode,
    /// A lane's thread closes a group at this many bytes of blocks: more would make the sync longer, not cheaper.
    pub group_bytes_max: usize,
    /// A lane's thread closes a group at this many blocks.
    pub group_blocks_max: usize,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            tail_bytes_max: 2 << 30,
            lanes: 1,
            sync: SyncMode::Always,
            group_bytes_max: 4 * BLOCK_BYTES_MAX,
            group_blocks_max: 1024,
        }
    }
}

/// The journal of a data directory.
#[derive(Clone, Debug)]
pub struct Journal {
    shared: Arc<JournalShared>,
}

#[derive(Debug)]
struct JournalShared {
    config: JournalConfig,
    lanes: Vec<Arc<LaneShared>>,
    marks: Arc<Marks>,
    idle: Mutex<Vec<Option<Lane>>>,
}

impl Journal {
    /// Opens the journal of the directory with this id. When it returns, every block of the tail is durable.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the place where durable bytes have changed or gone.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory_id: u128,
        config: JournalConfig,
        spans_of: SpansOf,
    ) -> Result<(Self, Tail), StoreError> {
        assert!(config.lanes > 0, "a journal has a lane");
        let marks = Arc::new(Marks::read(&disk, directory_id, config.lanes)?);
        let (mut lanes, mut idle, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        for lane in 0..config.lanes {
            let shared = Arc::new(LaneShared::default());
            let source = Source {
                disk: Arc::clone(&disk),
                config: config.clone(),
                journal: directory_id,
                lane,
                spans_of,
                marks: Arc::clone(&marks),
            };
            let opened = open_lane(&source, Arc::clone(&shared))?;
            lanes.push(shared);
            idle.push(Some(opened.lane));
            segments.extend(opened.tail);
        }
        marks.begin(&disk);
        let tail = Tail { disk, journal: directory_id, segments };
        let journal = Self { shared: Arc::new(JournalShared { config, lanes, marks, idle: Mutex::new(idle) }) };
        journal.note_durable(Note::Synced);
        Ok((journal, tail))
    }

    /// Notes beside the journal how far it is durable, so that a start refuses one that ends earlier. Costs the lanes
    /// nothing; call it now and then. Failures are logged.
    pub fn note_durable(&self, note: Note) {
        for (number, lane) in (0..).zip(&self.shared.lanes) {
            self.shared.marks.note(number, lane.filled.load(Ordering::Acquire), note);
        }
    }

    /// Hands out a lane, once: to be stepped, or to run on a [`LaneThread`](super::LaneThread).
    pub fn take_lane(&self, lane: u16) -> Option<Lane> {
        self.shared.idle.lock().get_mut(usize::from(lane))?.take()
    }

    /// Count of lanes.
    pub fn lane_count(&self) -> u16 {
        self.shared.config.lanes
    }

    /// The lane of a partition.
    pub fn lane_of(&self, partition: PartitionId) -> u16 {
        partition.0 % self.shared.config.lanes
    }

    /// Notes that the older snapshot, the timer index and every projection have passed `pseq` of this partition:
    /// its records up to there need not be kept.
    pub fn passed(&self, partition: PartitionId, pseq: Pseq) {
        let lane = self.lane(self.lane_of(partition));
        if lane.ledger.lock().passed(partition, pseq) {
            lane.space.notify_all();
        }
    }

    /// Bytes of groups that are still needed, over all lanes.
    pub fn tail_bytes(&self) -> u64 {
        self.shared.lanes.iter().map(|lane| lane.ledger.lock().used()).sum()
    }

    /// Segments with groups that are still needed, over all lanes.
    pub fn segment_count(&self) -> usize {
        self.shared.lanes.iter().map(|lane| lane.ledger.lock().held_count()).sum()
    }

    /// Whether the tail is so long that ingest must wait for snapshots. Never because of the segments being written:
    /// no snapshot would let go of them, so whoever waited would wait for ever.
    pub fn must_wait(&self) -> bool {
        let ledgers = || self.shared.lanes.iter().map(|lane| lane.ledger.lock());
        let used: u64 = ledgers().map(|ledger| ledger.used()).sum();
        used >= self.shared.config.tail_bytes_max && ledgers().any(|ledger| ledger.has_complete())
    }

    /// Bytes of groups at which [`Journal::must_wait`] says so.
    pub fn tail_bytes_max(&self) -> u64 {
        self.shared.config.tail_bytes_max
    }

    /// Whether a lane has no room for its next segment. Ingest is refused until it has.
    pub fn is_full(&self) -> bool {
        self.shared.lanes.iter().any(|lane| lane.full.load(Ordering::Acquire))
    }

    /// The partitions that keep the oldest segment of each lane, with the pseq that each must pass: snapshot them first.
    pub fn oldest_needed(&self) -> Vec<(PartitionId, Pseq)> {
        self.shared.lanes.iter().flat_map(|lane| lane.ledger.lock().holding_back()).collect()
    }

    fn lane(&self, lane: u16) -> &LaneShared {
        &self.shared.lanes[usize::from(lane)]
    }
}
