//! A shard: a thread's worth of partitions. Synchronous and steppable: no I/O, no clock, no thread of its own; the
//! actor on top, the simulator and the tests drive it through [`Shard::take`] and [`Shard::turn`].
//!
//! ORDER: decide, commit, act (design §4 rule 1). What an input decided is written to the draught; the draught is
//! sealed into a block; acks, answers and sends wait in `releases` until the block is durable.

pub mod acks;
pub mod checkpoints;
mod events;
pub mod input;
mod mail;
pub mod moves;
pub mod releases;
mod reports;
mod sweep;
#[cfg(test)]
mod tests;
pub mod timers;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::apply::Firing;
use crate::domain::catalog::Catalog;
use crate::domain::ids::{Millis, PartitionId, Pseq, ShardId, VersionId};
use crate::domain::limits;
use crate::domain::wheel::{Wheel, WheelEntry};
use crate::planted::{Bug, is_planted};
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::{Circumstances, DecideConfig, Draught};
use crate::runtime::ticket::Ticket;
use crate::store::timers::SlotNo;
use crate::wire::cursor::WireError;

use acks::{Ack, Acks};
use checkpoints::Checkpoints;
use input::{Ports, RoutedEvent, SealedBlock, ShardInput};
use mail::Correspondence;
use moves::Leaving;
use releases::{Release, Releases};

/// What a shard is made with.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Which shard.
    pub id: ShardId,
    /// Partitions of the data directory.
    pub partitions: u16,
    /// How partitions decide.
    pub decide: DecideConfig,
    /// Bytes at which a block is full.
    pub block_bytes_max: usize,
    /// Pages copied in one turn for each cut in progress.
    pub pages_per_turn: usize,
}

/// A place for a partition.
#[derive(Debug, Default)]
enum Seat {
    /// Another shard's.
    #[default]
    Absent,
    /// On its way: its inputs wait here, in order.
    Expected(VecDeque<Waiting>),
    /// Here.
    Open(Box<Partition>),
}

/// An input that waits for its partition.
#[derive(Debug)]
enum Waiting {
    Event(RoutedEvent, Arc<Ticket>),
    Other(Box<WaitingInput>),
}

/// Inputs other than events keep their own shape.
struct WaitingInput(ShardInput);

impl std::fmt::Debug for WaitingInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WaitingInput(..)")
    }
}

/// One shard.
#[expect(missing_debug_implementations, reason = "holds ports and closures")]
pub struct Shard {
    config: ShardConfig,
    catalog: Arc<Catalog>,
    seats: Vec<Seat>,
    system: Option<Box<Partition>>,
    now: Millis,
    wheel: Wheel,
    /// Wall clock: popped from the wheel and not handled yet (paced catch-up).
    due: VecDeque<WheelEntry>,
    /// Wall clock: when the wheel is looked at next.
    look_again: Millis,
    /// Wall clock: the time of the last turn, and turns since a look during which it stood.
    stood: (Millis, u32),
    /// The first slot any partition may have to open (a lower bound).
    next_slot: SlotNo,
    /// Wall clock: slots before this one were opened, or are being read.
    slots_open_until: SlotNo,
    inbox: VecDeque<ShardInput>,
    draught: Draught,
    releases: Releases,
    /// Acknowledgements that the draught covers.
    open_acks: Vec<Ack>,
    /// Those of sealed blocks.
    acks: Arc<Acks>,
    checkpoints: Checkpoints,
    /// Partitions that leave once their last block is durable.
    leaving: Vec<Leaving>,
    /// Rows came back from a channel: offer them again.
    offer_again: bool,
    /// The partition whose rows are next.
    offer_from: usize,
    /// Versions whose instances are being ended, moved or woken: partition index and slot to go on from.
    sweep: Option<(Vec<VersionId>, u16, usize)>,
    /// Pauses that ended with a stop by then are swept.
    stops_swept_until: Millis,
    /// Events' clock: what an answer led to may be due at an instant that has passed.
    has_answered: bool,
    /// The last block filled up before time had its turn.
    time_is_owed: bool,
    mail: Correspondence,
    failed: bool,
    ports: Box<dyn Ports>,
}

/// Due timers handled in one turn before inputs get theirs again: 2 or 3 ms of work.
const TIMERS_PER_TURN: usize = 1_024;
/// The wheel is looked at this often: timers that come together share their cache misses, and nobody waits for one of
/// them as for an event.
const TIMERS_EVERY_MS: i64 = 4;
/// The wheel is looked at after so many turns in which time stood: a clock that was set back stands for hours, and what is
/// due, or is found to be due, must not wait for it.
const TURNS_STOOD: u32 = 64;
/// Pages copied in one turn for cuts in progress: about 100 µs.
pub const PAGES_PER_TURN: usize = 8;

impl Shard {
    /// A shard without partitions.
    pub fn new(config: ShardConfig, catalog: Arc<Catalog>, ports: Box<dyn Ports>) -> Self {
        let seats = (0..config.partitions).map(|_| Seat::Absent).collect();
        Self {
            config,
            catalog,
            seats,
            system: None,
            now: Millis::MIN,
            wheel: Wheel::new(Millis::MIN),
            due: VecDeque::new(),
            look_again: Millis::MIN,
            stood: (Millis::MIN, 0),
            next_slot: SlotNo(i64::MIN),
            slots_open_until: SlotNo(i64::MIN),
            inbox: VecDeque::new(),
            draught: Draught::default(),
            releases: Releases::default(),
            open_acks: Vec::new(),
            acks: Arc::default(),
            checkpoints: Checkpoints::default(),
            leaving: Vec::new(),
            offer_again: false,
            offer_from: 0,
            sweep: None,
            stops_swept_until: Millis::MIN,
            has_answered: false,
            time_is_owed: false,
            mail: Correspondence::default(),
            failed: false,
            ports,
        }
    }

    /// Lets the listener of the journal acknowledge, by sharing `acks` with it.
    #[must_use]
    pub fn with_acks(self, acks: Arc<Acks>) -> Self {
        Self { acks, ..self }
    }

    /// Takes an input in. What concerns the state of the shard at once is done at once, the rest in order by
    /// [`Shard::turn`].
    pub fn take(&mut self, input: ShardInput) {
        match input {
            ShardInput::Durable(number) => self.durable(number),
            ShardInput::Failed => self.fail(),
            other if self.failed => drop(other),
            // At once: on the events' clock the inbox may be held for this very partition.
            ShardInput::Arrive(partition, origin) => self.arrive(partition, origin),
            // On the events' clock time may wait for it, and with time the inbox.
            mail @ (ShardInput::Parcel(_) | ShardInput::Acknowledged(_))
                if self.config.decide.firing == Firing::Due =>
            {
                self.mail.come(mail);
            }
            other => self.inbox.push_back(other),
        }
    }

    /// Inputs that wait for a turn.
    pub fn backlog(&self) -> usize {
        self.inbox.len()
    }

    /// Whether everything taken in is durable and nothing is left to do now.
    pub fn is_quiet(&self) -> bool {
        let has_handled_all = self.inbox.is_empty() && self.draught.bytes.is_empty() && self.mail.is_quiet();
        has_handled_all && self.releases.is_empty() && self.leaving.is_empty()
    }

    /// Works off inputs and due timers at wall time `now` until there is nothing left, or the journal has as many
    /// blocks as it may have and the next one is full.
    pub fn turn(&mut self, now: Millis) {
        if self.failed {
            return;
        }
        if self.config.decide.firing == Firing::Engine {
            self.now = self.now.max(now);
        }
        if std::mem::take(&mut self.time_is_owed) && self.has_room() {
            self.pass_time();
        }
        self.pass_mail();
        while self.has_room() {
            let Some(input) = self.inbox.pop_front() else { break };
            if let Some(unfinished) = self.handle(input) {
                if is_planted(Bug::RestOvertaken) {
                    self.inbox.push_back(unfinished);
                } else {
                    self.inbox.push_front(unfinished);
                }
                break;
            }
        }
        self.pass_mail();
        if self.has_room() {
            self.pass_time();
        } else {
            // Under steady load every block fills with inputs: what time brings has the next one first.
            self.time_is_owed = true;
        }
        self.drop_stale_timers();
        self.capture_some();
        self.offer_some();
        self.seal();
        self.let_go();
    }

    /// What happens without an input: due timers, and ends of instances of stopped versions.
    fn pass_time(&mut self) {
        let stood = if self.stood.0 == self.now { self.stood.1 + 1 } else { 0 };
        self.stood = (self.now, stood);
        let is_time = self.now >= self.look_again || stood >= TURNS_STOOD || !self.due.is_empty();
        if self.config.decide.firing == Firing::Engine && is_time {
            self.stood.1 = 0;
            self.look_again = self.now.plus(TIMERS_EVERY_MS);
            self.fire_due();
        }
        self.fire_late();
        self.sweep_some();
    }

    /// The block that covers everything decided so far.
    fn covering_block(&self) -> u64 {
        if self.draught.bytes.is_empty() { self.releases.last_number() } else { self.releases.next_number() }
    }

    /// Whether another input may be handled now. Seals a full block if the journal takes it.
    fn has_room(&mut self) -> bool {
        if self.draught.bytes.len() >= self.config.block_bytes_max {
            self.seal();
        }
        self.draught.bytes.len() < self.config.block_bytes_max
    }

    /// Sends the draught to the journal if it takes one more block.
    fn seal(&mut self) {
        if self.draught.bytes.is_empty() || self.releases.in_flight() >= limits::BLOCKS_IN_FLIGHT_MAX {
            return;
        }
        let number = self.releases.seal();
        // ORDER: before the block is sent, or it could be durable before they are here.
        self.acks.seal(number, std::mem::take(&mut self.open_acks));
        let bytes = std::mem::replace(&mut self.draught.bytes, self.ports.buffer());
        let spans = std::mem::take(&mut self.draught.spans);
        self.ports.append(SealedBlock { number, bytes, spans });
    }

    fn durable(&mut self, number: u64) {
        self.acks.settle(number);
        let mut released = self.releases.durable(number);
        while let Some(release) = released.pop_front() {
            self.release(release);
        }
        self.finish_checkpoints();
        self.let_go();
    }

    fn release(&mut self, release: Release) {
        match release {
            Release::Settle(ticket, count) => ticket.settle(count),
            Release::Told(ticket, count) => ticket.settle(count),
            Release::Answer(answer) => answer(),
            Release::Offer(id) => {
                // One that no channel takes now is offered again in a later turn.
                let _ = self.offer(id);
            }
            Release::Post(name) => self.post_parcel(name),
            Release::Acknowledge(name) => self.ports.post(name.from, ShardInput::Acknowledged(name)),
        }
    }

    /// Does `release` once everything decided so far is durable: at once if it is.
    fn release_when_durable(&mut self, release: Release) {
        let early = is_planted(Bug::AcknowledgedWhenDecided)
            || (self.draught.bytes.is_empty() && is_planted(Bug::RepeatAcknowledgedEarly));
        if early || (self.draught.bytes.is_empty() && self.releases.in_flight() == 0) {
            self.release(release);
            return;
        }
        match release {
            Release::Settle(ticket, count) if !self.draught.bytes.is_empty() => self.open_acks.push((ticket, count)),
            release => self.releases.push(release, self.draught.bytes.is_empty()),
        }
    }

    fn fail(&mut self) {
        self.failed = true;
        self.inbox.clear();
        self.releases.clear();
        self.mail = Correspondence::default();
        self.open_acks.clear();
        self.acks.clear();
        self.leaving.clear();
        // Tickets and questions dropped here tell who waits for them.
        for seat in &mut self.seats {
            if let Seat::Expected(waiting) = seat {
                waiting.clear();
            }
        }
    }

    /// Handles one input; gives back what is left of it if the block is full.
    fn handle(&mut self, input: ShardInput) -> Option<ShardInput> {
        match input {
            ShardInput::Events(batch) => return self.handle_events(batch).map(ShardInput::Events),
            ShardInput::Reports(batch) => return self.handle_reports(batch).map(ShardInput::Reports),
            ShardInput::Resolve(id, resolution, told) => {
                if let Some(back) = self.waits(id.partition, ShardInput::Resolve(id, resolution, told)) {
                    let ShardInput::Resolve(id, resolution, told) = back else { unreachable!("it is what was given") };
                    self.handle_resolution(id, resolution, told);
                }
            }
            ShardInput::Ask(Some(partition), question) => {
                if let Some(back) = self.waits(partition, ShardInput::Ask(Some(partition), question)) {
                    let ShardInput::Ask(_, question) = back else { unreachable!("it is what was given") };
                    let answer = question(&mut self.partition(partition).into_iter());
                    self.release_when_durable(Release::Answer(answer));
                }
            }
            ShardInput::Ask(None, question) => {
                let mut all = self.seats.iter().filter_map(Seat::open).chain(self.system.as_deref());
                let answer = question(&mut all);
                self.release_when_durable(Release::Answer(answer));
            }
            ShardInput::Catalog(catalog, told) => self.swap_catalog(catalog, told),
            ShardInput::WriteCatalog(payload, told) => self.write_catalog(&payload, told),
            ShardInput::Advance(to, told) => return self.handle_advance(to, told),
            ShardInput::Expect(partition) => self.expect(partition),
            ShardInput::Release(partition, to) => {
                // One that is still on its way goes on when it has come, behind the inputs that wait for it.
                if self.waits(partition, ShardInput::Release(partition, to)).is_some() {
                    self.begin_leaving(partition, to);
                }
            }
            ShardInput::Checkpoint(partition, extent, need) => self.begin_checkpoint(partition, extent, need),
            ShardInput::SuspectTimers(partition) => {
                if let Some(partition) = self.partition_mut(partition) {
                    partition.horizon.suspect();
                    // Cut at the next round even if nothing else changes.
                    partition.cut = Pseq(0);
                }
            }
            ShardInput::Parcel(parcel) => self.handle_parcel(parcel),
            ShardInput::Acknowledged(name) => self.handle_acknowledged(name),
            ShardInput::SlotLoaded(partition, slot, loaded) => self.slot_loaded(partition, slot, loaded),
            ShardInput::CheckpointDone(partition, generation, result) => {
                if let Some(back) = self.waits(partition, ShardInput::CheckpointDone(partition, generation, result)) {
                    let ShardInput::CheckpointDone(_, _, result) = back else { unreachable!("it is what was given") };
                    self.checkpoint_done(partition, generation, &result);
                }
            }
            ShardInput::Durable(_) | ShardInput::Failed | ShardInput::Arrive(..) => unreachable!("taken at once"),
        }
        None
    }

    /// Puts timers into the wheel and sends behind the sync.
    fn take_draught(&mut self) {
        for (partition, timer) in self.draught.timers.drain(..) {
            self.wheel.insert(timer.in_wheel(partition));
        }
        self.wheel.note_stale(std::mem::take(&mut self.draught.stale_timers));
        match std::mem::take(&mut self.draught.rows_added) {
            0 => {}
            added => self.ports.rows_added(added),
        }
        if is_planted(Bug::OfferedWhenDecided) {
            for id in std::mem::take(&mut self.draught.sends) {
                self.offer(id);
            }
        }
        for id in self.draught.sends.drain(..) {
            self.releases.push(Release::Offer(id), false);
        }
        if !self.draught.parcels.is_empty() {
            self.take_parcels();
        }
    }

    /// From here on partitions decide with `catalog`; instances of versions that it stops, or lets somebody go from, are found.
    fn swap_catalog(&mut self, catalog: Arc<Catalog>, told: tokio::sync::oneshot::Sender<()>) {
        self.sweep_changes(&catalog);
        self.catalog = catalog;
        self.release_when_durable(Release::Answer(Box::new(move || {
            let _ = told.send(());
        })));
    }

    fn write_catalog(&mut self, payload: &[u8], told: tokio::sync::oneshot::Sender<()>) {
        let system = self.system.as_mut().expect("only the owner of the system partition is asked");
        let now = self.now.max(system.engine_time);
        let about = Circumstances { config: &self.config.decide, catalog: &self.catalog, now };
        system.decide_catalog(payload, about, &mut self.draught);
        if is_planted(Bug::CatalogToldEarly) {
            let _ = told.send(());
            return;
        }
        self.release_when_durable(Release::Answer(Box::new(move || {
            let _ = told.send(());
        })));
    }

    fn corrupt(&mut self, partition: PartitionId, error: &WireError) {
        self.ports.corrupt(partition, error.to_string());
        self.fail();
    }

    fn seat(&self, id: PartitionId) -> Option<&Seat> {
        self.seats.get(usize::from(id.0))
    }

    fn partition(&self, id: PartitionId) -> Option<&Partition> {
        if id == PartitionId::SYSTEM { self.system.as_deref() } else { self.seat(id).and_then(Seat::open) }
    }

    fn partition_mut(&mut self, id: PartitionId) -> Option<&mut Partition> {
        if id == PartitionId::SYSTEM {
            return self.system.as_deref_mut();
        }
        match self.seats.get_mut(usize::from(id.0)) {
            Some(Seat::Open(partition)) => Some(partition),
            _ => None,
        }
    }
}

impl Seat {
    fn open(&self) -> Option<&Partition> {
        match self {
            Self::Open(partition) => Some(partition),
            Self::Absent | Self::Expected(_) => None,
        }
    }
}
