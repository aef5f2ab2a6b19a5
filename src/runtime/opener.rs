//! Opens partitions from disk: snapshot, then the records of the tail. Runs beside the shards, which keep the inputs of
//! a partition until it arrives; partitions somebody waits for come first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use tokio::sync::watch;

use crate::domain::catalog::Catalog;
use crate::domain::ids::{PartitionId, Pseq};
use crate::planted::{Bug, is_planted};
use crate::runtime::failure::Failure;
use crate::runtime::partition::Partition;
use crate::runtime::router::Router;
use crate::runtime::shard::input::{Origin, ShardInput};
use crate::store::error::StoreError;
use crate::store::journal::{BlockAt, Tail, TailReader};
use crate::store::snapshot_store::SnapshotStore;
use crate::store::timers::{TimerIndex, TimerIndexError};
use crate::wire::cursor::WireError;
use crate::wire::record::{RecordRange, records};

/// Where the tail holds records of each partition.
#[derive(Debug)]
pub struct TailIndex {
    reader: TailReader,
    places: HashMap<PartitionId, Vec<Place>>,
}

/// Where one record lies.
#[derive(Clone, Debug)]
struct Place {
    block: BlockAt,
    range: RecordRange,
    pseq: Pseq,
}

/// Why a partition could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Files can't be read, or changed since they were written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Records or pages can't be understood.
    #[error("partition {partition} can't be read: {cause}")]
    Content {
        /// Which.
        partition: PartitionId,
        /// What is wrong.
        cause: WireError,
    },
}

impl TailIndex {
    /// Walks the tail once. `each` sees every block.
    pub fn build(tail: &Tail, mut each: impl FnMut(&[u8])) -> Result<Self, OpenError> {
        let mut places: HashMap<PartitionId, Vec<Place>> = HashMap::new();
        tail.for_each_block::<OpenError>(|at, bytes| {
            for record in records(bytes) {
                let (range, record) =
                    record.map_err(|cause| OpenError::Content { partition: PartitionId::SYSTEM, cause })?;
                let place = Place { block: at, range, pseq: record.head.pseq };
                places.entry(record.head.partition).or_default().push(place);
            }
            each(bytes);
            Ok(())
        })?;
        Ok(Self { reader: tail.reader(), places })
    }

    /// Installs the partition's records of the tail that its snapshot does not hold. ORDER: those that it holds are not
    /// even read: the journal may have recycled their segments since the start, while others were opened and cut.
    fn replay(&self, partition: &mut Partition, catalog: &Catalog) -> Result<(), OpenError> {
        let id = partition.id;
        let content = |cause| OpenError::Content { partition: id, cause };
        let mut block: Option<(BlockAt, Vec<u8>)> = None;
        let cut = partition.pseq;
        let places = self.places.get(&id).map_or(&[][..], Vec::as_slice);
        for Place { block: at, range, .. } in
            places.iter().filter(|place| place.pseq > cut || is_planted(Bug::ReplayCountsTwice))
        {
            if block.as_ref().is_none_or(|(held, _)| held != at) {
                block = Some((*at, self.reader.read(*at)?));
            }
            let (_, bytes) = block.as_ref().expect("read just now");
            for record in records(&bytes[range.clone()]) {
                let (_, record) = record.map_err(content)?;
                partition.install(&record, catalog).map_err(content)?;
            }
        }
        Ok(())
    }
}

/// Opens one partition. `catalog` must be the one in force: it names the surfaces of outbox rows.
pub fn open_partition(
    id: PartitionId,
    snapshots: &SnapshotStore,
    tail: &TailIndex,
    catalog: &Catalog,
) -> Result<Partition, OpenError> {
    let mut partition = match snapshots.load(id)? {
        Some(loaded) => {
            let pages = loaded.pages.iter().map(|(page, bytes)| (*page, bytes.as_slice()));
            Partition::from_snapshot(id, &loaded.parts, pages, catalog)
                .map_err(|cause| OpenError::Content { partition: id, cause })?
        }
        None => Partition::new(id),
    };
    tail.replay(&mut partition, catalog)?;
    partition.expect_versions(catalog).map_err(|cause| OpenError::Content { partition: id, cause })?;
    Ok(partition)
}

/// The latest epoch of each partition's timers in an index; nothing where it has none.
pub type TimerEpochs = HashMap<PartitionId, u64>;

/// Asks the index how far it has come, once at a start. One that fails is started over: rows are the truth.
pub fn timer_epochs(timers: &mut dyn TimerIndex, partitions: u16) -> Result<TimerEpochs, TimerIndexError> {
    let mut epochs = HashMap::new();
    for partition in (0..partitions).map(PartitionId) {
        match timers.latest_epoch(partition) {
            Ok(Some(epoch)) => {
                epochs.insert(partition, epoch);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the timer index failed: it is rebuilt from the rows");
                timers.start_over()?;
                return Ok(HashMap::new());
            }
        }
    }
    Ok(epochs)
}

/// An index that is behind the partition's snapshot has lost timers: they are written anew from the rows.
pub fn suspect_lost_timers(partition: &mut Partition, epochs: &TimerEpochs) {
    if !is_planted(Bug::IndexLossUnnoticed)
        && partition.generation > 0
        && epochs.get(&partition.id).copied().unwrap_or(0) < partition.generation
    {
        partition.horizon.suspect();
    }
}

/// The thread that opens all partitions.
#[derive(Debug)]
pub struct Opener {
    complete: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What the opener needs.
#[derive(Debug)]
pub struct OpenerSource {
    /// Snapshots.
    pub snapshots: Arc<SnapshotStore>,
    /// Tail.
    pub tail: TailIndex,
    /// Catalog in force at the start.
    pub catalog: Arc<Catalog>,
    /// Where partitions go.
    pub router: Arc<Router>,
    /// Raised if one can't be opened.
    pub failure: Failure,
    /// How far the timer index has come.
    pub timer_epochs: TimerEpochs,
}

impl Opener {
    /// Starts opening; `requests` names partitions that somebody waits for.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(source: OpenerSource, requests: Receiver<PartitionId>) -> std::io::Result<Self> {
        let (told, complete) = watch::channel(false);
        let thread = std::thread::Builder::new().name("opener".to_owned()).spawn(move || {
            if run(&source, &requests) {
                told.send_replace(true);
            }
        })?;
        Ok(Self { complete, thread: Some(thread) })
    }

    /// Becomes true when all partitions are open.
    pub fn complete(&self) -> watch::Receiver<bool> {
        self.complete.clone()
    }

    /// Waits for the thread.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Opens all; whether it got to the end.
fn run(source: &OpenerSource, wanted: &Receiver<PartitionId>) -> bool {
    let mut opened = HashSet::new();
    for index in 0..source.router.partition_count() {
        while let Ok(partition) = wanted.try_recv() {
            if opened.insert(partition) && !deliver(source, partition) {
                return false;
            }
        }
        let partition = PartitionId(index);
        if opened.insert(partition) && !deliver(source, partition) {
            return false;
        }
    }
    true
}

fn deliver(source: &OpenerSource, id: PartitionId) -> bool {
    if source.failure.is_raised() {
        return false;
    }
    match open_partition(id, &source.snapshots, &source.tail, &source.catalog) {
        Ok(mut partition) => {
            suspect_lost_timers(&mut partition, &source.timer_epochs);
            source.router.send(id, ShardInput::Arrive(Box::new(partition), Origin::Opened))
        }
        Err(error) => {
            source.failure.raise(&format!("partition {id} can't be opened: {error}"));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CatalogVersion, Millis, OwnershipEpoch, ProfileKey, ShardId};
    use crate::store::disk::Disk;
    use crate::store::journal::{Block, Journal, JournalConfig};
    use crate::store::memory::MemoryDisk;
    use crate::wire::record::{Head, RecordKind, put_plain_record, spans};

    const FIRST: PartitionId = PartitionId(0);
    const SECOND: PartitionId = PartitionId(1);

    fn config() -> JournalConfig {
        JournalConfig { segment_bytes: 64 << 10, ..JournalConfig::default() }
    }

    fn record(partition: PartitionId, pseq: u64) -> Vec<u8> {
        let head = Head {
            kind: RecordKind::Ownership,
            partition,
            pseq: Pseq(pseq),
            engine_time: Millis(0),
            catalog: CatalogVersion(0),
            epoch: OwnershipEpoch(0),
            key: ProfileKey(0),
        };
        let mut bytes = Vec::new();
        put_plain_record(&mut bytes, &head, &[]);
        bytes
    }

    #[test]
    fn what_the_snapshot_holds_is_not_read_from_the_tail() {
        let disk = MemoryDisk::new();
        let (journal, _) = Journal::open(Arc::new(disk.clone()), 1, config(), spans).expect("opens");
        let mut lane = journal.take_lane(0).expect("first take");
        for pseq in 1..=3 {
            let bytes = [record(FIRST, pseq), record(SECOND, pseq)].concat();
            let spans = spans(&bytes);
            lane.write_group(&[Block::new(ShardId(0), pseq, 0, bytes, spans)]).expect("writes");
        }
        let snapshots = SnapshotStore::open(Arc::new(disk.clone())).expect("opens");
        let mut second = Partition::new(SECOND);
        second.pseq = Pseq(3);
        let mut parts = Vec::new();
        second.put_parts(&mut parts);
        let mut writer = snapshots.begin(SECOND, second.pseq, &[]).expect("begins");
        writer.parts(&parts).expect("writes");
        snapshots.publish(vec![writer.finish(Millis::NEVER).expect("finishes")]).expect("publishes");
        drop(lane);

        let (_, tail) = Journal::open(Arc::new(disk.clone()), 1, config(), spans).expect("opens");
        let tail = TailIndex::build(&tail, |_| {}).expect("reads");
        let catalog = Catalog::default();
        // The first partition was opened and cut meanwhile, so nobody needs the segments any more: they are recycled.
        for name in disk.list("journal/lane-00").expect("lists") {
            disk.remove(&format!("journal/lane-00/{name}")).expect("removes");
        }
        assert!(open_partition(FIRST, &snapshots, &tail, &catalog).is_err(), "the tail is gone");
        assert_eq!(open_partition(SECOND, &snapshots, &tail, &catalog).expect("opens").pseq, Pseq(3));
    }
}
