//! Parcels between partitions, as a shard sees them: they leave behind the sync, come as inputs, are acknowledged behind the
//! sync, and are delivered again after a start or a move. On the events' clock time stands while somebody waits to be told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::domain::apply::Firing;
use crate::domain::ids::{Millis, PartitionId, Pseq};
use crate::domain::limits::TICK_MS;
use crate::planted::{Bug, is_planted};
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::Circumstances;
use crate::runtime::partition::mail::{Parcel, ParcelName};
use crate::runtime::shard::input::{Origin, ShardInput};
use crate::runtime::shard::releases::Release;
use crate::runtime::shard::{Seat, Shard};

/// Waiting profiles told in one turn before inputs get theirs again: 2 or 3 ms of work.
const TOLD_PER_TURN: usize = 1_024;

/// What a shard has to do for the mail of its partitions.
#[derive(Default)]
pub(super) struct Correspondence {
    /// Events' clock: mail that waits for a turn.
    inbox: VecDeque<ShardInput>,
    /// Partitions with profiles that can be told.
    serving: BTreeSet<PartitionId>,
    /// Events' clock: partitions that wait to be told, and the tick at which that happens.
    holds: BTreeMap<PartitionId, Millis>,
    /// Events' clock: the first of these ticks.
    hold: Option<Millis>,
    /// Events' clock: partitions that others wait for.
    homes: BTreeSet<PartitionId>,
    /// Events' clock: time has passed as far as there was anything, and nothing has come since.
    pub(super) at_end: bool,
}

impl Correspondence {
    /// Events' clock: mail has come.
    pub(super) fn come(&mut self, mail: ShardInput) {
        self.inbox.push_back(mail);
    }

    /// Whether there is nothing to do.
    pub(super) fn is_quiet(&self) -> bool {
        self.inbox.is_empty() && self.serving.is_empty()
    }

    /// Whether somebody can be told.
    pub(super) fn may_serve(&self) -> bool {
        !self.serving.is_empty()
    }

    /// Events' clock: the instant that time does not pass; [`Millis::NEVER`] if there is none.
    pub(super) fn hold(&self) -> Millis {
        self.hold.unwrap_or(Millis::NEVER)
    }

    /// Events' clock: where time stands on its way to `to`.
    pub(super) fn holds_at(&self, to: Millis) -> Option<Millis> {
        self.hold.filter(|hold| *hold <= to)
    }

    fn set_hold(&mut self, id: PartitionId, tick: Option<Millis>) {
        match tick {
            Some(tick) => drop(self.holds.insert(id, tick)),
            None => drop(self.holds.remove(&id)),
        }
        self.hold = self.holds.values().min().copied();
    }
}

impl Shard {
    /// Parcels were decided: they leave behind the sync.
    #[cold]
    pub(super) fn take_parcels(&mut self) {
        for name in std::mem::take(&mut self.draught.parcels) {
            self.releases.push(Release::Post(name), false);
            if self.config.decide.firing == Firing::Due {
                self.ports.under_way(1);
                self.hold_time(name.from);
            }
        }
    }

    /// Delivers a parcel, if its partition is here: else whoever has that delivers it again.
    pub(super) fn post_parcel(&mut self, name: ParcelName) {
        let bodies = self.partition(name.from).and_then(|partition| partition.mail.parcel(name.to, name.pseq));
        match bodies.cloned() {
            Some(bodies) => self.ports.post(name.to, ShardInput::Parcel(Box::new(Parcel { name, bodies }))),
            None if self.config.decide.firing == Firing::Due => self.ports.under_way(-1),
            None => {}
        }
    }

    /// A partition is here: what it said and nobody acknowledged is said again, and who waits is told.
    pub(super) fn deliver_again(&mut self, id: PartitionId, origin: Origin) {
        let is_due = self.config.decide.firing == Firing::Due;
        let Some(partition) = self.partition(id) else { return };
        let parcels: Vec<(PartitionId, Pseq)> = partition.mail.parcels().collect();
        if origin == Origin::Moved || !is_planted(Bug::ParcelForgottenAtStart) {
            for (to, pseq) in parcels {
                self.ports.under_way(isize::from(is_due));
                self.release_when_durable(Release::Post(ParcelName { from: id, to, pseq }));
            }
        }
        self.mail.serving.insert(id);
        if is_due {
            self.mail.homes.insert(id);
            self.hold_anew(id);
            let reached = self.reached();
            self.ports.reached(reached, false);
            self.ports.under_way(-1);
        }
    }

    /// A partition leaves.
    pub(super) fn forget_mail(&mut self, partition: &Partition) {
        self.mail.serving.remove(&partition.id);
        self.mail.homes.remove(&partition.id);
        self.mail.set_hold(partition.id, None);
        if self.config.decide.firing == Firing::Due {
            self.ports.under_way(1);
        }
    }

    /// Handles mail, on the events' clock, and tells those who wait.
    pub(super) fn pass_mail(&mut self) {
        while self.has_room() {
            let Some(mail) = self.mail.inbox.pop_front() else { break };
            let to = match &mail {
                ShardInput::Parcel(parcel) => parcel.name.to,
                ShardInput::Acknowledged(name) => name.from,
                _ => unreachable!("no mail"),
            };
            if matches!(self.seat(to), Some(Seat::Absent)) {
                // It is not even expected yet: that comes first.
                self.mail.inbox.push_front(mail);
                break;
            }
            drop(self.handle(mail));
        }
        if self.config.decide.firing == Firing::Due {
            // Nobody is told before time has come to the tick.
            let holds = self.mail.holds.iter().filter(|(_, tick)| Some(**tick) == self.mail.holds_at(self.now));
            self.mail.serving = holds.map(|(id, _)| *id).collect();
        }
        if !self.mail.serving.is_empty() {
            self.tell_waiting();
        }
        if self.config.decide.firing == Firing::Due {
            self.pass_tick();
        }
    }

    pub(super) fn handle_parcel(&mut self, parcel: Box<Parcel>) {
        let name = parcel.name;
        let Some(ShardInput::Parcel(parcel)) = self.waits(name.to, ShardInput::Parcel(parcel)) else { return };
        let now = self.now_of_reports();
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(name.to.0)) else { return };
        let about =
            Circumstances { config: &self.config.decide, catalog: &self.catalog, now: now.max(partition.engine_time) };
        partition.decide_parcel(&parcel, about, &mut self.draught);
        self.take_draught();
        self.mail.serving.insert(name.to);
        if self.config.decide.firing == Firing::Due {
            self.mail.homes.insert(name.to);
            self.ports.under_way(-1);
        }
        self.release_when_durable(Release::Acknowledge(name));
    }

    pub(super) fn handle_acknowledged(&mut self, name: ParcelName) {
        if self.waits(name.from, ShardInput::Acknowledged(name)).is_none() {
            return;
        }
        let now = self.now_of_reports();
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(name.from.0)) else { return };
        let about =
            Circumstances { config: &self.config.decide, catalog: &self.catalog, now: now.max(partition.engine_time) };
        partition.decide_acknowledged(name.to, name.pseq, about, &mut self.draught);
        self.take_draught();
    }

    /// Tells profiles that wait what became of their places, at most [`TOLD_PER_TURN`].
    fn tell_waiting(&mut self) {
        let mut left = TOLD_PER_TURN;
        while let Some(id) = self.mail.serving.first().copied() {
            if left == 0 || !self.has_room() {
                return;
            }
            left -= 1;
            let (now, until) = (self.now_of_reports(), self.mail.hold());
            let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.0)) else {
                self.mail.serving.remove(&id);
                continue;
            };
            let about = Circumstances {
                config: &self.config.decide,
                catalog: &self.catalog,
                now: now.max(partition.engine_time),
            };
            match partition.decide_waiter(until, about, &mut self.draught) {
                Ok(true) => {}
                Ok(false) => {
                    self.mail.serving.remove(&id);
                    self.hold_anew(id);
                }
                Err(error) => {
                    self.corrupt(id, &error);
                    return;
                }
            }
            self.take_draught();
            self.lower_next_slot(id);
        }
    }

    /// Events' clock: time waits for those who wait, from the first of them on.
    fn hold_time(&mut self, id: PartitionId) {
        if !self.mail.holds.contains_key(&id) {
            self.hold_anew(id);
        }
    }

    fn hold_anew(&mut self, id: PartitionId) {
        if self.config.decide.firing == Firing::Due {
            let since = self.partition(id).and_then(|partition| partition.mail.waits_since());
            self.mail.set_hold(id, since.map(|since| since.plus(TICK_MS)));
        }
    }

    /// Events' clock: says how far this shard is, and decides at its homes the ticks that every shard has come to.
    fn pass_tick(&mut self) {
        let (reached, at_end) = (self.reached(), self.mail.at_end && self.wheel.next_due().is_none());
        let Some(reached) = self.ports.reached(reached, at_end) else { return };
        for id in self.mail.homes.clone() {
            let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.0)) else { continue };
            let waited: Vec<_> = partition.mail.lines().collect();
            if waited.is_empty() {
                self.mail.homes.remove(&id);
            }
            for (counter, tick) in waited.into_iter().filter(|(_, tick)| *tick <= reached) {
                let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.0)) else { continue };
                let now = partition.engine_time;
                let about = Circumstances { config: &self.config.decide, catalog: &self.catalog, now };
                partition.decide_tick(counter, tick, about, &mut self.draught);
                self.take_draught();
            }
        }
    }
}
