//! Profile caps: partitions claim places, a counter's home grants them, and nobody grants or takes one twice
//! ([ADR 20](../../../docs/adr/020-messages-between-partitions.md)). Every function here writes one record.
//!
//! INVARIANT: at the home, taken + granted ≤ max, and it says *spent* only when max are taken.
//! INVARIANT: a partition has one claim of a counter on its way at most, and then no places.

use crate::domain::apply::{self, Firing, World};
use crate::domain::effect::{Claim, Counter, Place};
use crate::domain::ids::{Millis, PartitionId, ProfileKey, Pseq, stable_hash};
use crate::domain::limits::TICK_MS;
use crate::planted::{Bug, is_planted};
use crate::runtime::partition::Partition;
use crate::runtime::partition::awake::Awake;
use crate::runtime::partition::decide::{Circumstances, Draught};
use crate::runtime::partition::mail::Parcel;
use crate::wire::cursor::WireError;
use crate::wire::mail::{Body, Home, Lease, MailChange, Waiter};
use crate::wire::outbox::OutboxChange;

/// The partition that counts for all.
fn home_of(counter: Counter, partitions: u16) -> PartitionId {
    let parts = [&b"cap"[..], &counter.version.0.to_le_bytes(), &counter.node.0.to_le_bytes()];
    PartitionId((stable_hash(&parts) as u64 % u64::from(partitions)) as u16)
}

impl Partition {
    /// Takes in what another partition says; nothing if it was taken in before.
    pub fn decide_parcel(&mut self, parcel: &Parcel, about: Circumstances<'_>, draught: &mut Draught) {
        if self.mail.knows(parcel.name) && !is_planted(Bug::ParcelTakenTwice) {
            return;
        }
        draught.outcome.clear();
        let pseq = self.next_pseq();
        for body in &parcel.bodies {
            match *body {
                Body::Claim { counter, max, taken, returned, wants, at } => {
                    let mut home = self.mail.home(counter);
                    home.max = home.max.max(max);
                    home.granted = home.granted.saturating_sub(taken + returned);
                    home.taken += taken;
                    if wants > 0 {
                        home.line.push((parcel.name.from, wants, at));
                    }
                    if about.config.firing == Firing::Engine {
                        serve(counter, &mut home, Millis::NEVER, pseq, draught);
                    }
                    self.change_mail(MailChange::Home(counter, home), draught);
                }
                Body::Grant { counter, places } => self.take_grant(counter, places, about, draught),
                Body::Spent { counter } => {
                    self.change_mail(MailChange::Spent(counter), draught);
                    self.change_mail(MailChange::Lease(counter, Lease::default()), draught);
                }
            }
        }
        self.change_mail(MailChange::Taken { from: parcel.name.from, pseq: parcel.name.pseq }, draught);
        self.write(None, None, None, ProfileKey::default(), about, draught);
    }

    /// Forgets parcels that were taken in.
    pub fn decide_acknowledged(
        &mut self,
        by: PartitionId,
        pseq: Pseq,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) {
        if self.mail.owes(by, pseq) {
            draught.outcome.clear();
            self.change_mail(MailChange::Gone { to: by, pseq }, draught);
            self.write(None, None, None, ProfileKey::default(), about, draught);
        }
    }

    /// On the events' clock: grants what is wanted by `tick`, which all partitions have reached.
    pub fn decide_tick(&mut self, counter: Counter, tick: Millis, about: Circumstances<'_>, draught: &mut Draught) {
        draught.outcome.clear();
        let mut home = self.mail.home(counter);
        // The order in which partitions asked at one tick hangs on threads.
        home.line.sort_by_key(|(source, _, at)| (*at, *source));
        serve(counter, &mut home, tick, self.next_pseq(), draught);
        self.change_mail(MailChange::Home(counter, home), draught);
        self.write(None, None, None, ProfileKey::default(), about, draught);
    }

    /// Tells the next who waits for a place, and came before `until`, if anybody can be told; whether that was so.
    pub fn decide_waiter(
        &mut self,
        until: Millis,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) -> Result<bool, WireError> {
        let Some((counter, arrival, waiter)) = self.mail.servable(until) else { return Ok(false) };
        draught.outcome.clear();
        let now = match about.config.firing {
            Firing::Engine => about.now,
            Firing::Due => about.now.max(waiter.at.plus(TICK_MS)),
        };
        let about = Circumstances { now, ..about };
        let mut lease = self.mail.lease(counter);
        let place = if lease.places > 0 { Place::Free } else { Place::Spent };
        let mut awake = match self.table.find(waiter.key) {
            Some(slot) => Some(Awake::wake_slot(self, slot, draught, about)?),
            None => None,
        };
        let mut went = false;
        if let Some(awake) = &mut awake {
            let room = |room: apply::Room<'_>| self.has_room(room, about.config);
            let world = World { room: &room, spent: self.mail.spent(), ..self.world(about) };
            let (ordinal, generation, max, at) = (arrival.1, waiter.generation, waiter.max, waiter.at);
            let claim = Claim { counter, max, ordinal, generation, at };
            went = apply::apply_place(&mut awake.profile, &claim, place, now, world, &mut draught.outcome);
        }
        if place == Place::Free && (went || is_planted(Bug::PlaceNotReturned)) {
            lease.places -= 1;
            lease.taken += 1;
        }
        self.change_mail(MailChange::Served(counter, arrival), draught);
        let is_last = self.mail.waiters(counter).next().is_none_or(|(_, next)| next.at >= until);
        if place == Place::Free && (is_last || lease.places == 0) {
            lease = self.report(counter, lease, waiter.max, about, draught);
        }
        self.change_mail(MailChange::Lease(counter, lease), draught);
        self.write(awake, None, None, waiter.key, about, draught);
        Ok(true)
    }

    /// An instance waits for a place: it is noted, and one is claimed unless a claim is on its way.
    pub(super) fn claim(&mut self, claim: &Claim, key: ProfileKey, about: Circumstances<'_>, draught: &mut Draught) {
        let counter = claim.counter;
        let waiter = Waiter { key, generation: claim.generation, max: claim.max, at: claim.at };
        self.change_mail(MailChange::Waiter(counter, (self.pseq, claim.ordinal), waiter), draught);
        let lease = self.mail.lease(counter);
        if lease.claimed_at == Millis::NEVER && lease.places == 0 {
            let at = claim.at.plus(TICK_MS);
            let (wants, claimed) = (self.mail.waiters(counter).count() as u64, Lease { claimed_at: at, ..lease });
            let body = Body::Claim { counter, max: claim.max, taken: 0, returned: 0, wants, at };
            post(home_of(counter, about.config.partitions), body, self.pseq, draught);
            self.change_mail(MailChange::Lease(counter, claimed), draught);
        }
    }

    /// Places that were granted: given to those who wait, or back where nobody does.
    fn take_grant(&mut self, counter: Counter, places: u64, about: Circumstances<'_>, draught: &mut Draught) {
        let lease = self.mail.lease(counter);
        let mut lease = Lease { places: lease.places + places, claimed_at: Millis::NEVER, ..lease };
        if self.mail.waiters(counter).next().is_none() {
            lease = self.report(counter, lease, 0, about, draught);
        }
        self.change_mail(MailChange::Lease(counter, lease), draught);
    }

    /// Tells the home what became of places, and how many more are wanted.
    fn report(
        &self,
        counter: Counter,
        lease: Lease,
        max: u64,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) -> Lease {
        let at = self.mail.waiters(counter).next().map_or(Millis::NEVER, |(_, waiter)| waiter.at.plus(TICK_MS));
        let wants = self.mail.waiters(counter).count() as u64;
        let Lease { places: returned, taken, .. } = lease;
        let body = Body::Claim { counter, max, taken, returned, wants, at };
        post(home_of(counter, about.config.partitions), body, self.next_pseq(), draught);
        Lease { claimed_at: at, ..Lease::default() }
    }

    /// The record that is being written next.
    fn next_pseq(&self) -> Pseq {
        Pseq(self.pseq.0 + 1)
    }

    fn change_mail(&mut self, change: MailChange, draught: &mut Draught) {
        self.mail.install(&change);
        draught.outbox.push(OutboxChange::Mail(Box::new(change)));
    }
}

/// Grants places to those in line, the first first, as far as there are any; tells all of them if there never will be.
fn serve(counter: Counter, home: &mut Home, until: Millis, pseq: Pseq, draught: &mut Draught) {
    let mut free = home.max.saturating_sub(home.taken + home.granted);
    let is_spent = home.taken >= home.max || (free == 0 && is_planted(Bug::SpentTooEarly));
    home.line.retain_mut(|(source, wants, at)| {
        if *at > until || (free == 0 && !is_spent) {
            return true;
        }
        let places = free.min(*wants);
        let body = if places == 0 { Body::Spent { counter } } else { Body::Grant { counter, places } };
        post(*source, body, pseq, draught);
        free -= places;
        home.granted += places;
        false
    });
}

/// Adds to what this record says to a partition.
fn post(to: PartitionId, body: Body, pseq: Pseq, draught: &mut Draught) {
    for change in &mut draught.outbox {
        if let OutboxChange::Mail(change) = change
            && let MailChange::Sent { to: known, bodies, .. } = &mut **change
            && *known == to
        {
            bodies.push(body);
            return;
        }
    }
    draught.outbox.push(OutboxChange::Mail(Box::new(MailChange::Sent { to, pseq, bodies: vec![body] })));
}

#[cfg(test)]
mod tests;
