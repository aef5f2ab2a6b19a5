//! What a shard is told, and what it tells. One closed enum each way: one loop, one handler.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::catalog::Catalog;
use crate::domain::effect::DeliveryReport;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, Millis, PartitionId, ProfileKey, Pseq, ShardId};
use crate::runtime::delivery::{CallJob, Job, Recorded};
use crate::runtime::partition::Partition;
use crate::runtime::partition::mail::{Parcel, ParcelName};
use crate::runtime::partition::table::Extent;
use crate::runtime::ticket::{ReportTicket, Ticket};
use crate::runtime::view::Resolution;
use crate::store::timers::{SlotNo, TimerEntry};
use crate::wire::record::Mark;

/// An event on its way to its partition.
#[derive(Clone, Debug)]
pub struct RoutedEvent {
    /// The event.
    pub event: Event,
    /// Its profile.
    pub key: ProfileKey,
    /// Its partition.
    pub partition: PartitionId,
    /// What makes a repeat recognisable; for ids the expiry is set by the shard.
    pub mark: Mark,
    /// Engine time on the events' clock; [`Millis::MIN`] on the wall clock.
    pub engine_time: Millis,
    /// Its place in the submission.
    pub index: u32,
}

/// The part of a submission that goes to one shard.
#[derive(Debug)]
pub struct EventBatch {
    /// In order.
    pub events: Vec<RoutedEvent>,
    /// Whom to tell.
    pub ticket: Arc<Ticket>,
}

/// The part of a batch of reports that goes to one shard.
#[derive(Debug)]
pub struct ReportBatch {
    /// In order; each with its place in the batch.
    pub reports: Vec<(u32, DeliveryReport)>,
    /// Told once they are durable whether there were such rows.
    pub ticket: Arc<ReportTicket>,
}

impl ReportBatch {
    /// A batch of one report, and where it is told.
    pub fn of_one(report: DeliveryReport) -> (Self, oneshot::Receiver<Vec<Recorded>>) {
        let (ticket, recorded) = ReportTicket::new(1);
        (Self { reports: vec![(0, report)], ticket: Arc::new(ticket) }, recorded)
    }
}

/// A question to a shard's partitions, asked in order with events and answered once what it saw is durable.
pub type Question = Box<dyn FnOnce(&mut dyn Iterator<Item = &Partition>) -> Answer + Send>;
/// Sends the answer.
pub type Answer = Box<dyn FnOnce() + Send>;

/// Everything a shard is told.
#[expect(missing_debug_implementations, reason = "holds closures")]
pub enum ShardInput {
    /// Events.
    Events(EventBatch),
    /// Reports of channels.
    Reports(ReportBatch),
    /// An operator's decision about a delivery in doubt; told once durable whether it was in doubt.
    Resolve(DeliveryId, Resolution, oneshot::Sender<bool>),
    /// Partitions asked about (`None` = all of the shard), and the question.
    Ask(Option<PartitionId>, Question),
    /// Barrier: from here on this catalog decides.
    Catalog(Arc<Catalog>, oneshot::Sender<()>),
    /// System partition: write this catalog record; told once durable.
    WriteCatalog(Vec<u8>, oneshot::Sender<()>),
    /// Time passes: to the clock's now (wall), or to this instant through every timer (events' clock).
    Advance(Millis, Option<oneshot::Sender<()>>),
    /// Blocks up to this number are durable.
    Durable(u64),
    /// The journal failed: nothing more will be durable.
    Failed,
    /// This partition is coming: keep its inputs until it is here.
    Expect(PartitionId),
    /// It is here, opened from disk or handed over by another shard.
    Arrive(Box<Partition>, Origin),
    /// Give this partition to another shard.
    Release(PartitionId, ShardId),
    /// Cut a checkpoint of this partition.
    Checkpoint(PartitionId, Extent, Need),
    /// The timer index has lost timers of this partition.
    SuspectTimers(PartitionId),
    /// The checkpoint of this generation ended.
    CheckpointDone(PartitionId, u64, CheckpointResult),
    /// What a partition says to another.
    Parcel(Box<Parcel>),
    /// This parcel, and all before it from the same partition to the same, were taken in.
    Acknowledged(ParcelName),
    /// What the timer index holds of a slot; `None` where it is damaged.
    SlotLoaded(PartitionId, SlotNo, Option<Vec<TimerEntry>>),
}

/// Where an arriving partition comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From disk, or new.
    Opened,
    /// From another shard.
    Moved,
}

/// Whether a partition that did not change is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Yes: the older of its two snapshots holds the journal up.
    Always,
    /// No.
    IfChanged,
}

/// How a checkpoint ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointResult {
    /// Published.
    Published,
    /// Not published: its pages and timers are due again.
    Failed,
}

/// One cut on its way to the checkpoint thread.
#[derive(Debug)]
pub enum CheckpointMessage {
    /// A cut begins.
    Begin(Box<Cut>),
    /// Pages of it.
    Pages(PartitionId, Vec<(u32, Vec<u8>)>),
    /// All pages are there and the journal is durable past the cut: publish.
    Finish(PartitionId),
    /// There is nothing to cut: nothing changed, or the partition is not here now.
    Nothing(PartitionId),
    /// Slots of the partition before this one are open at both cuts that are kept: the index may drop them.
    DropSlots(PartitionId, SlotNo),
}

/// What a cut holds beside pages.
#[derive(Debug)]
pub struct Cut {
    /// Whose.
    pub partition: PartitionId,
    /// One more with every checkpoint of the partition.
    pub generation: u64,
    /// The last record in it.
    pub pseq: Pseq,
    /// Whole or changed pages.
    pub extent: Extent,
    /// The partition's parts.
    pub parts: Vec<u8>,
    /// Timers beyond the wheel set since the last cut.
    pub timers: Arc<[TimerEntry]>,
    /// Slots to write anew because most of what the index holds of them is dead: their live timers.
    pub rewritten: Vec<(SlotNo, Vec<TimerEntry>)>,
    /// Whether the index is to forget the partition first: `timers` holds all it should have.
    pub rebuild: Rebuild,
    /// Earliest timer of the partition.
    pub next_due: Millis,
}

/// Whether a checkpoint writes a partition's timers anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuild {
    /// Only what changed.
    No,
    /// Everything, from the rows.
    FromRows,
}

/// A block of records on its way to the journal.
#[derive(Debug)]
pub struct SealedBlock {
    /// The shard's own count, from 1.
    pub number: u64,
    /// Records.
    pub bytes: Vec<u8>,
    /// Last pseq of each partition in it.
    pub spans: Vec<(PartitionId, Pseq)>,
}

/// What a shard does to the world. Never blocks.
pub trait Ports: Send {
    /// To the journal writer.
    fn append(&mut self, block: SealedBlock);
    /// An emptied buffer for the next block.
    fn buffer(&mut self) -> Vec<u8>;
    /// To the checkpoint thread.
    fn checkpoint(&mut self, message: CheckpointMessage);
    /// To a channel; an error gives the job back for want of room.
    fn offer(&mut self, job: Job) -> Result<(), Job>;
    /// To the channel that calls custom actions; an error gives the job back for want of room.
    fn call(&mut self, job: CallJob) -> Result<(), CallJob>;
    /// To the timer index: answer with [`ShardInput::SlotLoaded`].
    fn load_slot(&mut self, partition: PartitionId, slot: SlotNo);
    /// To another shard; everything the partition wrote is durable.
    fn hand_over(&mut self, to: ShardId, partition: Box<Partition>);
    /// To the owner of a partition.
    fn post(&mut self, to: PartitionId, input: ShardInput);
    /// Events' clock: so many more parcels and partitions are on their way than before (or fewer).
    fn under_way(&mut self, _count: isize) {}
    /// Events' clock: this shard has come to `at`, and maybe to its end. To which instant all have; `None` while anything
    /// is on its way.
    fn reached(&mut self, at: Millis, _at_end: bool) -> Option<Millis> {
        Some(at)
    }
    /// An input waits for this partition, which is still on disk.
    fn want(&mut self, partition: PartitionId);
    /// Events of this weight were handled: room for more.
    fn handled(&mut self, weight: usize);
    /// Outboxes have so many rows more than before (or fewer). Only who bounds their sum listens.
    fn rows_added(&mut self, _count: isize) {}
    /// State can't be trusted: stop the process.
    fn corrupt(&mut self, partition: PartitionId, detail: String);
}
