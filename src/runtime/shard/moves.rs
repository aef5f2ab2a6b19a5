//! Partitions come and go, and their messages leave. A move changes only the thread: the last block of the old owner is
//! durable before the new owner's first, and the new owner begins with a record of its ownership.

use std::collections::VecDeque;

use crate::domain::apply::Firing;
use crate::domain::effect::OutboxState;
use crate::domain::ids::{DeliveryId, Millis, OwnershipEpoch, PartitionId, ShardId};
use crate::domain::journey::program::Channel;
use crate::planted::{Bug, is_planted};
use crate::runtime::delivery::{CallJob, Job, Sender, Standing};
use crate::runtime::horizon::open_until;
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::Circumstances;
use crate::runtime::partition::outbox::Hand;
use crate::runtime::shard::input::{Origin, ShardInput};
use crate::runtime::shard::releases::Release;
use crate::runtime::shard::{Seat, Shard, Waiting, WaitingInput};
use crate::store::timers::SlotNo;

/// A partition on its way out.
#[derive(Debug)]
pub(super) struct Leaving {
    partition: Box<Partition>,
    to: ShardId,
    covered_by: u64,
}

impl Shard {
    /// Gives `input` back if its partition is here; else keeps it until the partition comes.
    pub(super) fn waits(&mut self, id: PartitionId, input: ShardInput) -> Option<ShardInput> {
        match self.seats.get_mut(usize::from(id.0)) {
            Some(Seat::Expected(waiting)) => {
                if waiting.is_empty() {
                    self.ports.want(id);
                }
                waiting.push_back(Waiting::Other(Box::new(WaitingInput(input))));
                None
            }
            // Of a partition that is not here: dropped, so that who asked is told by the closed channel.
            Some(Seat::Absent) => None,
            Some(Seat::Open(_)) | None => Some(input),
        }
    }

    pub(super) fn expect(&mut self, id: PartitionId) {
        match self.seats.get_mut(usize::from(id.0)) {
            Some(seat @ Seat::Absent) => *seat = Seat::Expected(VecDeque::new()),
            // On its way here, to go on from here (the release waits before this), and to come back.
            Some(Seat::Expected(waiting)) => {
                waiting.push_back(Waiting::Other(Box::new(WaitingInput(ShardInput::Expect(id)))));
            }
            Some(Seat::Open(_)) | None => {}
        }
    }

    /// A partition is here: its near timers go to the wheel, its open messages to their channels, and what waited for
    /// it is handled first.
    pub(super) fn arrive(&mut self, mut partition: Box<Partition>, origin: Origin) {
        let id = partition.id;
        if origin == Origin::Moved {
            let epoch = OwnershipEpoch(partition.epoch.0 + 1);
            let now = match self.config.decide.firing {
                Firing::Engine => self.now.max(partition.engine_time),
                // The owner before may have been behind: the partition's own timers still come at their own time.
                Firing::Due => partition.engine_time,
            };
            let about = Circumstances { config: &self.config.decide, catalog: &self.catalog, now };
            partition.decide_ownership(epoch, about, &mut self.draught);
        }
        if id == PartitionId::SYSTEM {
            self.system = Some(partition);
            return;
        }
        self.open_near(&mut partition);
        match origin {
            Origin::Opened if is_planted(Bug::OutboxForgottenAtStart) => {}
            Origin::Moved if is_planted(Bug::OutboxForgottenAtMove) => {}
            Origin::Opened => {
                partition.outbox.take_all_back();
                self.ports.rows_added(partition.outbox.len() as isize);
            }
            Origin::Moved => partition.outbox.take_ours_back(),
        }
        self.offer_again = true;
        let owes_sweep = self.owes_sweep(&partition);
        let Some(seat) = self.seats.get_mut(usize::from(id.0)) else { return };
        let before = std::mem::replace(seat, Seat::Open(partition));
        self.deliver_again(id, origin);
        if let Seat::Expected(waiting) = before {
            self.handle_waiting(waiting);
        }
        if owes_sweep && !is_planted(Bug::SweepForgottenAtStart) {
            self.sweep_again();
        }
    }

    /// Puts what is due in opened slots into the wheel.
    fn open_near(&mut self, partition: &mut Partition) {
        let until = match self.config.decide.firing {
            Firing::Engine => open_until(self.now),
            // On the events' clock slots open as its time comes to them. The owner before may have been behind.
            Firing::Due if self.now == Millis::MIN => partition.horizon.opened_until(),
            Firing::Due => SlotNo::of(self.now).next(),
        };
        let near = partition.horizon.open_from_rows(until, partition.table.timers());
        for timer in near {
            self.wheel.insert(timer.in_wheel(partition.id));
        }
        if let Some(slot) = partition.horizon.first_live_slot() {
            self.next_slot = self.next_slot.min(slot);
        }
    }

    fn handle_waiting(&mut self, mut waiting: VecDeque<Waiting>) {
        if is_planted(Bug::SeatReordered) && waiting.iter().all(|input| matches!(input, Waiting::Event(..))) {
            waiting.make_contiguous().reverse();
        }
        let mut events_of = Vec::new();
        for input in waiting {
            match input {
                Waiting::Event(routed, ticket) => {
                    let settled = self.handle_event(routed, &ticket);
                    events_of.push((ticket, settled));
                }
                Waiting::Other(other) => {
                    let unfinished = self.handle(other.0);
                    assert!(unfinished.is_none(), "only events and time wait for room");
                }
            }
        }
        for (ticket, settled) in events_of.into_iter().filter(|(_, settled)| *settled > 0) {
            self.release_when_durable(Release::Settle(ticket, settled));
        }
    }

    /// The partition leaves: from here on nothing of it is handled, and its last block decides when it goes.
    pub(super) fn begin_leaving(&mut self, id: PartitionId, to: ShardId) {
        if !is_planted(Bug::CutLeftHalfCopied) {
            self.capture_rest(id);
        }
        let partition = if id == PartitionId::SYSTEM {
            self.system.take()
        } else {
            match self.seats.get_mut(usize::from(id.0)).map(std::mem::take) {
                Some(Seat::Open(partition)) => Some(partition),
                _ => None,
            }
        };
        let partition = partition.expect("the router releases only what is here");
        self.forget_mail(&partition);
        self.wheel.suspect_stale();
        let covered_by = self.covering_block();
        self.leaving.push(Leaving { partition, to, covered_by });
    }

    /// Hands over the partitions that leave and owe the journal nothing.
    pub(super) fn let_go(&mut self) {
        let durable = self.releases.durable_number();
        let (ready, still) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition(|l| l.covered_by <= durable || is_planted(Bug::MovedTooEarly));
        self.leaving = still;
        for Leaving { partition, to, .. } in ready {
            self.ports.hand_over(to, partition);
        }
    }

    /// Offers a row to its channel, if it is still there and waits for nobody's decision; who has it then.
    pub(super) fn offer(&mut self, id: DeliveryId) -> Option<Hand> {
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.partition.0)) else { return None };
        let mut row = partition.outbox.get(id).cloned()?;
        if is_planted(Bug::KeyChangesWithAttempt) && partition.outbox.hand(id) == Some(Hand::Returned) {
            std::sync::Arc::make_mut(&mut row).id.ordinal += 100;
        }
        if is_planted(Bug::ContentNotFrozen) {
            let now = crate::domain::value::Value::Time(self.now);
            std::sync::Arc::make_mut(&mut row).input.event.insert("n", now);
        }
        if partition.outbox.hand(id) == Some(Hand::Channel) {
            return None;
        }
        let standing = match row.state {
            OutboxState::Pending => Standing::Fresh,
            OutboxState::Started if is_planted(Bug::DoubtSentAgain) => Standing::Fresh,
            OutboxState::InDoubt if is_planted(Bug::DoubtOffered) => Standing::Resumed,
            OutboxState::Started => Standing::Resumed,
            OutboxState::InDoubt => return None,
        };
        let program = self.catalog.program(row.version);
        let sender = Sender {
            journey: program.name.clone(),
            version: program.number,
            node: program.node(row.node).name.clone(),
        };
        let index = usize::from(row.message);
        let taken = if row.channel == Channel::Call {
            let action = std::sync::Arc::clone(&program.actions[index]);
            let published = self.catalog.actions.get(&action.name).cloned();
            let (cappings, timeout_ms) = (std::sync::Arc::clone(&self.catalog.cappings), program.call_timeout_ms);
            let (mut throttling, catalog) = (self.catalog.throttling().cloned(), self.catalog.version);
            if is_planted(Bug::ThrottlingNotFollowed) {
                throttling = self.catalog.throttlings.values().next().cloned();
            }
            let job = CallJob { row, action, published, cappings, throttling, catalog, timeout_ms, sender };
            self.ports.call(job).is_ok()
        } else {
            let message = std::sync::Arc::clone(&program.messages[index]);
            let surface = message.surface.as_ref().and_then(|name| self.catalog.surface(name)).cloned();
            self.ports.offer(Job { row, message, surface, sender, standing }).is_ok()
        };
        let hand = if taken { Hand::Channel } else { Hand::Returned };
        partition.outbox.set_hand(id, hand);
        if hand == Hand::Channel && is_planted(Bug::RowGoneWhenOffered) {
            partition.outbox.install(crate::wire::outbox::OutboxChange::Gone(id), |_| None);
        }
        self.offer_again |= hand == Hand::Returned;
        Some(hand)
    }

    /// Offers again what channels had no room for: some rows a turn, partition after partition.
    pub(super) fn offer_some(&mut self) {
        if !std::mem::take(&mut self.offer_again) {
            return;
        }
        let (mut left, mut refused) = (OFFERS_PER_TURN, 0);
        for _ in 0..self.seats.len() {
            let Some(Seat::Open(partition)) = self.seats.get_mut(self.offer_from) else {
                self.offer_from = (self.offer_from + 1) % self.seats.len();
                continue;
            };
            let returned = partition.outbox.take_returned(left.min(OFFERS_PER_PARTITION));
            left -= returned.len();
            for id in returned {
                refused += usize::from(self.offer(id) == Some(Hand::Returned));
            }
            self.offer_from = (self.offer_from + 1) % self.seats.len();
            // Each result of a full channel is a turn and frees one place: asking for more would be asked in vain.
            if left == 0 || refused >= REFUSALS_PER_TURN {
                break;
            }
        }
        self.offer_again = self.seats.iter().filter_map(Seat::open).any(|p| p.outbox.has_returned());
    }
}

/// Rows offered again in one turn: about 50 µs.
const OFFERS_PER_TURN: usize = 256;
/// Those of one partition.
const OFFERS_PER_PARTITION: usize = 8;
/// Refusals after which a turn offers no more. Rows of other surfaces come up in later turns, one every 2 ms at least.
const REFUSALS_PER_TURN: usize = 8;
