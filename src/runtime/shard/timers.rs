//! Time passes in a shard: slots open, timers fire.
//!
//! On the wall clock what is due fires in portions between inputs; a profile's own due timers fire before its event
//! whatever the wheel is at. On the events' clock time moves through every due instant in order, so that the same
//! input gives the same decisions however it is cut into batches.

use tokio::sync::oneshot;

use crate::domain::apply::Firing;
use crate::domain::ids::{Millis, PartitionId, ProfileKey};
use crate::domain::limits;
use crate::domain::wheel::WheelEntry;
use crate::runtime::horizon::{Verdict, open_until};
use crate::runtime::partition::decide::Circumstances;
use crate::runtime::shard::input::ShardInput;
use crate::runtime::shard::releases::Release;
use crate::runtime::shard::{Seat, Shard, TIMERS_PER_TURN};
use crate::store::timers::{SlotNo, TimerEntry};

/// Events' clock: when a timer fires among others. Those due together may compete for places under a cap, so their order must
/// be one that no start or move changes; that in which they were set is none.
fn place_in_order(entry: &WheelEntry) -> (Millis, PartitionId, ProfileKey, u32) {
    (entry.due, entry.partition, entry.key(), entry.ordinal)
}

impl Shard {
    /// Wall clock: opens slots and fires what is due, at most [`TIMERS_PER_TURN`].
    pub(super) fn fire_due(&mut self) {
        self.open_slots();
        if self.due.is_empty() && self.wheel.next_due().is_some_and(|due| due <= self.now) {
            let mut popped = Vec::new();
            self.wheel.advance(self.now, &mut popped);
            self.due.extend(popped);
        }
        let mut near = 0;
        for _ in 0..TIMERS_PER_TURN {
            if self.due.is_empty() || !self.has_room() {
                return;
            }
            if near == 0 {
                near = self.approach(self.due.iter().map(|entry| (entry.partition, entry.key())));
            }
            near -= 1;
            let entry = self.due.pop_front().expect("not empty");
            self.fire(&entry, self.now);
        }
    }

    /// Whether due timers wait for their turn, and the journal takes what they decide: on the wall clock, where a turn
    /// fires some of them only.
    pub fn wants_another_turn(&self) -> bool {
        (!self.due.is_empty() || self.mail.may_serve())
            && !self.failed
            && self.releases.in_flight() < limits::BLOCKS_IN_FLIGHT_MAX
    }

    /// Timers in the wheel.
    pub fn timer_count(&self) -> usize {
        self.wheel.len() + self.due.len()
    }

    /// Frees what stale timers hold of the wheel, some at a time. What a partition that left has in it is stale too: it
    /// brings its timers along when it comes back.
    pub(super) fn drop_stale_timers(&mut self) {
        let seats = &self.seats;
        self.wheel.compact(|entry| {
            let timer =
                TimerEntry { key: entry.key(), ordinal: entry.ordinal, generation: entry.generation, due: entry.due };
            let seat = seats.get(usize::from(entry.partition.0));
            seat.and_then(Seat::open).is_some_and(|partition| partition.table.names(&timer))
        });
    }

    fn fire(&mut self, entry: &WheelEntry, now: Millis) {
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(entry.partition.0)) else { return };
        let now = match self.config.decide.firing {
            Firing::Engine => now.max(partition.engine_time),
            Firing::Due => now,
        };
        let about = Circumstances { config: &self.config.decide, catalog: &self.catalog, now };
        let timer =
            TimerEntry { key: entry.key(), ordinal: entry.ordinal, generation: entry.generation, due: entry.due };
        let decided = partition.decide_timer(&timer, about, &mut self.draught);
        if let Err(error) = decided {
            self.corrupt(entry.partition, &error);
        }
        self.take_draught();
        self.lower_next_slot(entry.partition);
    }

    /// Events' clock: a decision may have set a timer in a slot before those known so far.
    pub(super) fn lower_next_slot(&mut self, id: PartitionId) {
        if self.config.decide.firing == Firing::Due
            && let Some(slot) = self.partition(id).and_then(|p| p.horizon.first_live_slot())
        {
            self.next_slot = self.next_slot.min(slot);
        }
    }

    /// Events' clock: moves time to `to` through every due instant. False if the block filled up before.
    pub(super) fn time_reaches(&mut self, to: Millis) -> bool {
        if self.config.decide.firing == Firing::Engine
            || (to <= self.now && !self.is_late(self.now) && self.mail.hold() == Millis::NEVER)
        {
            return true;
        }
        let to = to.max(self.now);
        loop {
            while let Some(entry) = self.next_late() {
                // Time stands before the tick at which somebody is to be told.
                let is_held = entry.due >= self.mail.hold();
                if is_held || !self.has_room() {
                    self.due.push_front(entry);
                    if is_held {
                        break;
                    }
                    return false;
                }
                self.fire(&entry, entry.due);
            }
            let until = to.min(self.mail.hold());
            if !self.due.is_empty() {
                break;
            }
            let due = self.wheel.next_due();
            let slot = self.next_live_slot(until);
            // A slot opens before anything in it, or at its start, can be next.
            if slot.is_some_and(|slot| slot.start() <= until && due.is_none_or(|due| slot.start() <= due)) {
                self.open_from_rows(slot.expect("just seen").next());
                continue;
            }
            match due {
                Some(due) if due <= to && due < self.mail.hold() => {
                    let mut popped = Vec::new();
                    self.wheel.advance(due, &mut popped);
                    popped.sort_unstable_by_key(place_in_order);
                    self.now = self.now.max(due);
                    self.due.extend(popped);
                }
                _ => break,
            }
        }
        if let Some(hold) = self.mail.holds_at(to) {
            self.now = self.now.max(hold);
            return false;
        }
        // "As far as there is anything" must not leave time at its end.
        if to < Millis::NEVER {
            self.now = to;
        }
        true
    }

    /// The next of what was popped. A timer set meanwhile may come before it, where a partition catches up whose owner
    /// before was behind.
    fn next_late(&mut self) -> Option<WheelEntry> {
        let next = self.due.front()?;
        if self.wheel.next_due().is_some_and(|due| due < next.due) {
            let mut popped = Vec::new();
            self.wheel.advance(next.due, &mut popped);
            self.due.extend(popped);
            self.due.make_contiguous().sort_unstable_by_key(place_in_order);
        }
        self.due.pop_front()
    }

    /// Events' clock: the instant to which everything has happened here.
    pub(super) fn reached(&self) -> Millis {
        let late = self.due.front().map(|entry| entry.due).into_iter().chain(self.wheel.next_due()).min();
        late.map_or(self.now, |late| late.min(self.now))
    }

    /// Events' clock: whether something due at or before `instant` has not fired: the block filled up, it came with a
    /// partition whose owner before was behind, or an answer set it.
    pub(super) fn is_late(&self, instant: Millis) -> bool {
        !self.due.is_empty()
            || self.wheel.next_due().is_some_and(|due| due <= instant)
            || self.next_slot.start() <= instant
    }

    /// Events' clock: an answer counts at its partition's own time, so what it leads to may be due at an instant that time
    /// has passed already. No event need ever come again, so that fires by itself.
    pub(super) fn fire_late(&mut self) {
        if self.has_answered && self.has_room() {
            self.has_answered = !self.time_reaches(self.now);
        }
    }

    /// The first slot beyond the horizon with a live timer, over all partitions, if anything in it comes by `to` and
    /// before everything in the wheel.
    fn next_live_slot(&mut self, to: Millis) -> Option<SlotNo> {
        let until = self.wheel.next_due().map_or(to, |due| due.min(to));
        if self.next_slot.start() > until {
            return None;
        }
        let first = self.seats.iter().filter_map(Seat::open).filter_map(|p| p.horizon.first_live_slot()).min();
        self.next_slot = first.unwrap_or(SlotNo(i64::MAX));
        first
    }

    /// Opens every slot before `until` from the rows.
    fn open_from_rows(&mut self, until: SlotNo) {
        for index in 0..self.seats.len() {
            let live = self.seats[index].open().and_then(|p| p.horizon.first_live_slot());
            if live.is_some_and(|slot| slot < until) {
                self.open_from_rows_of(PartitionId(index as u16), until);
            }
        }
        self.next_slot = until;
    }

    /// Time passes without an event. On the wall clock the turn does it.
    pub(super) fn handle_advance(&mut self, to: Millis, told: Option<oneshot::Sender<()>>) -> Option<ShardInput> {
        let held =
            self.config.decide.firing == Firing::Due && self.seats.iter().any(|s| matches!(s, Seat::Expected(_)));
        // ORDER: time first: others may wait for it before they let go of what is expected.
        if !self.time_reaches(to) || held {
            return Some(ShardInput::Advance(to, told));
        }
        self.mail.at_end = to == Millis::NEVER;
        if let Some(told) = told {
            self.release_when_durable(Release::Answer(Box::new(move || {
                let _ = told.send(());
            })));
        }
        None
    }

    /// Wall clock: opens slots as time comes near them. A slot still ahead is read from the index; one that time has
    /// reached already (a start after downtime) is opened from the rows, which are the truth.
    fn open_slots(&mut self) {
        let until = open_until(self.now);
        if until <= self.slots_open_until {
            return;
        }
        self.slots_open_until = until;
        for index in 0..self.seats.len() {
            self.open_slots_of(PartitionId(index as u16), until);
        }
    }

    fn open_slots_of(&mut self, id: PartitionId, until: SlotNo) {
        let now_slot = SlotNo::of(self.now);
        loop {
            let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.0)) else { return };
            let Some(slot) = partition.horizon.next_to_open(until) else { return };
            if slot <= now_slot {
                self.open_from_rows_of(id, until);
                return;
            }
            if partition.horizon.count(slot).in_index > 0 {
                self.ports.load_slot(id, slot);
                return;
            }
            self.open_slot(id, slot, Vec::new());
        }
    }

    /// Opens a partition's slots before `until` from its rows.
    fn open_from_rows_of(&mut self, id: PartitionId, until: SlotNo) {
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.0)) else { return };
        let opened = partition.horizon.opened_until();
        for timer in partition.horizon.open_from_rows(until, partition.table.timers()) {
            // What was in an opened slot before is in the wheel already.
            if timer.slot() >= opened {
                self.wheel.insert(timer.in_wheel(id));
            }
        }
    }

    /// The index answered.
    pub(super) fn slot_loaded(&mut self, id: PartitionId, slot: SlotNo, loaded: Option<Vec<TimerEntry>>) {
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.0)) else { return };
        if partition.horizon.opened_until() != slot {
            // It moved here, or was rebuilt, since it was asked for.
            return;
        }
        match loaded {
            Some(timers) => self.open_slot(id, slot, timers),
            None => {
                partition.horizon.suspect();
                self.open_from_rows_of(id, slot.next());
            }
        }
        let until = self.slots_open_until;
        self.open_slots_of(id, until);
    }

    fn open_slot(&mut self, id: PartitionId, slot: SlotNo, loaded: Vec<TimerEntry>) {
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.0)) else { return };
        let table = &partition.table;
        let opened = partition.horizon.open_slot(slot, loaded, |timer| table.names(timer));
        for timer in &opened.timers {
            self.wheel.insert(timer.in_wheel(id));
        }
        if let Verdict::Mismatch { expected, found } = opened.verdict {
            tracing::warn!(partition = id.0, slot = slot.0, expected, found, "timer index and rows differ: rebuilding");
            // The rows know better: whatever is missing of this slot goes to the wheel too; repeats do no harm.
            for timer in partition.table.timers().filter(|t| t.slot() == slot) {
                self.wheel.insert(timer.in_wheel(id));
            }
        }
    }
}
