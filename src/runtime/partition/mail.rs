//! What a partition tells others, and what it counts together with them ([ADR 20](../../../docs/adr/020-messages-between-partitions.md)).
//! State only: what is said and when is decided by [`caps`](super::caps), who delivers it is the shard.
//!
//! INVARIANT: everything here changes by [`Mail::install`] alone, so that recovery leaves what deciding left.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::domain::effect::Counter;
use crate::domain::ids::{Millis, PartitionId, Pseq};
use crate::planted::{Bug, is_planted};
use crate::wire::cursor::{Cursor, WireError, put_varint};
use crate::wire::mail::{Arrival, Body, Home, Lease, MailChange, Waiter, put_mail, read_mail};

/// Names a parcel: what one record says to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParcelName {
    /// Who says it.
    pub from: PartitionId,
    /// To whom.
    pub to: PartitionId,
    /// The record.
    pub pseq: Pseq,
}

/// A parcel on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Which.
    pub name: ParcelName,
    /// What it says, in order.
    pub bodies: Vec<Body>,
}

/// A partition's mail and counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    sent: BTreeMap<(PartitionId, Pseq), Vec<Body>>,
    taken: BTreeMap<PartitionId, Pseq>,
    waiters: BTreeMap<(Counter, Arrival), Waiter>,
    leases: BTreeMap<Counter, Lease>,
    spent: BTreeSet<Counter>,
    homes: BTreeMap<Counter, Home>,
}

impl Mail {
    /// Makes a change.
    pub fn install(&mut self, change: &MailChange) {
        match change {
            MailChange::Sent { to, pseq, bodies } => drop(self.sent.insert((*to, *pseq), bodies.clone())),
            MailChange::Gone { to, pseq } => self.sent.retain(|(known, sent), _| known != to || sent > pseq),
            MailChange::Taken { from, pseq } => drop(self.taken.insert(*from, *pseq)),
            MailChange::Waiter(counter, arrival, waiter) => drop(self.waiters.insert((*counter, *arrival), *waiter)),
            MailChange::Served(counter, arrival) => drop(self.waiters.remove(&(*counter, *arrival))),
            MailChange::Lease(counter, lease) if *lease == Lease::default() => drop(self.leases.remove(counter)),
            MailChange::Lease(counter, lease) => drop(self.leases.insert(*counter, *lease)),
            MailChange::Spent(counter) => drop(self.spent.insert(*counter)),
            MailChange::Home(counter, home) => drop(self.homes.insert(*counter, home.clone())),
        }
    }

    /// Appends all of it: the changes that make it.
    pub fn put(&self, out: &mut Vec<u8>) {
        let sent = self.sent.iter().map(|((to, pseq), bodies)| MailChange::Sent {
            to: *to,
            pseq: *pseq,
            bodies: bodies.clone(),
        });
        let taken = self.taken.iter().map(|(from, pseq)| MailChange::Taken { from: *from, pseq: *pseq });
        let waiters = self.waiters.iter().map(|((counter, arrival), w)| MailChange::Waiter(*counter, *arrival, *w));
        let leases = self.leases.iter().map(|(counter, lease)| MailChange::Lease(*counter, *lease));
        let spent = self.spent.iter().map(|counter| MailChange::Spent(*counter));
        let homes = self.homes.iter().map(|(counter, home)| MailChange::Home(*counter, home.clone()));
        let homes = homes.filter(|_| !is_planted(Bug::CountersForgotten));
        let all: Vec<MailChange> = sent.chain(taken).chain(waiters).chain(leases).chain(spent).chain(homes).collect();
        put_varint(out, all.len() as u64);
        all.iter().for_each(|change| put_mail(out, change));
    }

    /// Reads what [`Mail::put`] wrote.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, WireError> {
        let mut mail = Self::default();
        for _ in 0..cursor.varint("mail")? {
            mail.install(&read_mail(cursor)?);
        }
        Ok(mail)
    }

    /// Counters of which all places are known to be taken.
    pub fn spent(&self) -> &BTreeSet<Counter> {
        &self.spent
    }

    /// What a parcel says, while it is not acknowledged.
    pub fn parcel(&self, to: PartitionId, pseq: Pseq) -> Option<&Vec<Body>> {
        self.sent.get(&(to, pseq))
    }

    /// Parcels that are not acknowledged: to whom and which, the oldest first for each.
    pub fn parcels(&self) -> impl Iterator<Item = (PartitionId, Pseq)> {
        self.sent.keys().copied()
    }

    /// Whether a parcel to `to` up to this one is not acknowledged.
    pub fn owes(&self, to: PartitionId, pseq: Pseq) -> bool {
        self.sent.range((to, Pseq(0))..=(to, pseq)).next().is_some()
    }

    /// Whether a parcel was taken in before.
    pub fn knows(&self, name: ParcelName) -> bool {
        self.taken.get(&name.from).is_some_and(|last| name.pseq <= *last)
    }

    /// Its part in a counter.
    pub fn lease(&self, counter: Counter) -> Lease {
        self.leases.get(&counter).copied().unwrap_or_default()
    }

    /// A counter that is at home here.
    pub fn home(&self, counter: Counter) -> Home {
        self.homes.get(&counter).cloned().unwrap_or_default()
    }

    /// Those who wait for a place, in the order of arrival.
    pub fn waiters(&self, counter: Counter) -> impl Iterator<Item = (Arrival, &Waiter)> {
        let all = (counter, (Pseq(0), 0))..=(counter, (Pseq(u64::MAX), u32::MAX));
        self.waiters.range(all).map(|((_, arrival), waiter)| (*arrival, waiter))
    }

    /// The next who waits, came before `until`, and can be told. With an instant to wait for, one counter comes after the
    /// other, so that a profile at two of them does not hang on which answer came first; that all partitions have the
    /// same order keeps them from waiting for each other.
    pub fn servable(&self, until: Millis) -> Option<(Counter, Arrival, Waiter)> {
        let mut from = Bound::Unbounded;
        loop {
            let (&(counter, arrival), waiter) = self.waiters.range((from, Bound::Unbounded)).next()?;
            let can_be_told = self.spent.contains(&counter) || self.lease(counter).places > 0;
            if waiter.at < until && can_be_told {
                return Some((counter, arrival, *waiter));
            }
            if waiter.at < until && until != Millis::NEVER {
                return None;
            }
            from = Bound::Excluded((counter, (Pseq(u64::MAX), u32::MAX)));
        }
    }

    /// When the first of those who wait came.
    pub fn waits_since(&self) -> Option<Millis> {
        self.waiters.values().map(|waiter| waiter.at).min()
    }

    /// Counters at home here that somebody waits for, and since which tick, where all places granted are accounted for.
    pub fn lines(&self) -> impl Iterator<Item = (Counter, Millis)> {
        let waited = |home: &Home| home.line.iter().map(|(_, _, at)| *at).min().filter(|_| home.granted == 0);
        self.homes.iter().filter_map(move |(counter, home)| Some((*counter, waited(home)?)))
    }
}
