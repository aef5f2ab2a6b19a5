//! Repeats of a partition: the highest sequence of each producer, and ids, both for a stated time.
//!
//! A full table defers events of new producers, or with new ids, rather than forget early (design §5 "Dedup").

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::HashMap;

use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::planted::{Bug, is_planted};
use crate::wire::cursor::{Cursor, WireError, put_varint};
use crate::wire::record::Mark;

/// Whether an input is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// Never seen: handle it.
    New,
    /// Handled before.
    Repeated,
    /// The table is full.
    NoRoom,
}

/// What the partition knows of past inputs. Changes only with records, by what is in them: recovery comes to the same.
#[derive(Debug, Default)]
pub struct Dedup {
    producers: BTreeMap<u64, Producer>,
    /// INVARIANT: the producers, by when they may be forgotten.
    producers_by_age: BTreeSet<(Millis, u64)>,
    ids: HashMap<u128, Millis, foldhash::fast::RandomState>,
    /// Ids in the order they expire: every id gets the same time, and engine time never goes back.
    order: VecDeque<(Millis, u128)>,
}

/// How far a producer has come here.
#[derive(Clone, Copy, Debug)]
struct Producer {
    epoch: u32,
    sequence: u64,
    /// When it may be forgotten, if nothing more comes from it.
    kept_until: Millis,
}

impl Dedup {
    /// Judges `mark` at engine time `now`, with room for so many ids.
    pub fn judge(&self, mark: &Mark, now: Millis, ids_max: usize) -> Novelty {
        match *mark {
            Mark::Stream { producer, epoch, sequence } => match self.producers.get(&producer) {
                Some(known)
                    if (epoch, sequence) == (known.epoch, known.sequence) && is_planted(Bug::SequenceOffByOne) =>
                {
                    Novelty::New
                }
                Some(known) if (epoch, sequence) <= (known.epoch, known.sequence) => Novelty::Repeated,
                Some(_) => Novelty::New,
                None => {
                    // The first to be forgotten makes room as soon as this one is remembered.
                    let next = self.producers_by_age.first().map(|(until, _)| *until);
                    room(self.producers.len(), limits::PRODUCERS_PER_PARTITION_MAX, next, now)
                }
            },
            Mark::Id { hash, .. } => match self.ids.get(&hash) {
                Some(expires) if *expires > now.plus(i64::from(is_planted(Bug::IdForgottenEarly))) => Novelty::Repeated,
                _ => room(self.ids.len(), ids_max, self.order.front().map(|(expires, _)| *expires), now),
            },
        }
    }

    fn expire(&mut self, now: Millis) {
        while let Some(&(expires, hash)) = self.order.front()
            && expires <= now
        {
            self.order.pop_front();
            if self.ids.get(&hash) == Some(&expires) {
                self.ids.remove(&hash);
            }
        }
    }

    /// Makes room for a producer not known yet, if there is none: of those whose time is over the first goes. As long as
    /// there is room all stay, since on the events' clock days pass in a moment, and a resend after a crash comes late.
    fn make_room(&mut self, now: Millis) {
        if self.producers.len() >= limits::PRODUCERS_PER_PARTITION_MAX
            && let Some(&(until, producer)) = self.producers_by_age.first()
            && until <= now
        {
            self.producers_by_age.pop_first();
            self.producers.remove(&producer);
        }
    }

    /// Remembers `mark` of a record of engine time `now`, and forgets what must go for it. Absolute, so that
    /// installing it again changes nothing.
    pub fn remember(&mut self, mark: &Mark, now: Millis) {
        self.expire(now);
        match *mark {
            Mark::Stream { producer, .. }
                if is_planted(Bug::WatermarkNotRaised) && self.producers.contains_key(&producer) => {}
            Mark::Stream { producer, epoch, sequence } => {
                if !self.producers.contains_key(&producer) {
                    self.make_room(now);
                }
                self.insert_producer(producer, Producer { epoch, sequence, kept_until: kept_until(now) });
            }
            Mark::Id { hash, expires } => self.insert_id(hash, expires),
        }
    }

    fn insert_id(&mut self, hash: u128, expires: Millis) {
        if self.ids.insert(hash, expires) != Some(expires) {
            self.order.push_back((expires, hash));
        }
    }

    fn insert_producer(&mut self, id: u64, producer: Producer) {
        let before = self.producers.insert(id, producer).map(|p| p.kept_until);
        if before == Some(producer.kept_until) {
            return;
        }
        if let Some(before) = before {
            self.producers_by_age.remove(&(before, id));
        }
        self.producers_by_age.insert((producer.kept_until, id));
    }

    /// What is known at engine time `now`: the highest (epoch, sequence) of each producer, and ids with their expiry.
    pub fn known(&self, now: Millis) -> (BTreeMap<u64, (u32, u64)>, BTreeMap<u128, Millis>) {
        (
            self.producers.iter().map(|(id, p)| (*id, (p.epoch, p.sequence))).collect(),
            self.ids.iter().filter(|(_, e)| **e > now).map(|(id, e)| (*id, *e)).collect(),
        )
    }

    /// Appends all of it: count, then producer u64 · epoch u32 · sequence u64 · kept until i64, by producer; count, then
    /// expires i64 · hash u128, in the order they expire.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.producers.len() as u64);
        for (id, Producer { epoch, sequence, kept_until }) in &self.producers {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&epoch.to_le_bytes());
            out.extend_from_slice(&sequence.to_le_bytes());
            out.extend_from_slice(&kept_until.0.to_le_bytes());
        }
        if is_planted(Bug::IdsNotInSnapshot) {
            put_varint(out, 0);
            return;
        }
        put_varint(out, self.order.len() as u64);
        for (expires, hash) in &self.order {
            out.extend_from_slice(&expires.0.to_le_bytes());
            out.extend_from_slice(&hash.to_le_bytes());
        }
    }

    /// Reads what [`Dedup::put`] wrote.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, WireError> {
        let mut dedup = Self::default();
        for _ in 0..cursor.varint("producers")? {
            let (id, epoch, sequence) = (cursor.u64("producer")?, cursor.u32("epoch")?, cursor.u64("sequence")?);
            let kept_until = Millis(cursor.i64("kept until")?);
            dedup.insert_producer(id, Producer { epoch, sequence, kept_until });
        }
        for _ in 0..cursor.varint("ids")? {
            let expires = Millis(cursor.i64("expires")?);
            dedup.insert_id(cursor.u128("id")?, expires);
        }
        Ok(dedup)
    }
}

/// Whether a table takes one more, whose first entry goes at `next`.
fn room(count: usize, max: usize, next: Option<Millis>, now: Millis) -> Novelty {
    if count < max || next.is_some_and(|next| next <= now) { Novelty::New } else { Novelty::NoRoom }
}

/// When a producer heard at `now` may be forgotten: the window, up to the next full hour, so that a busy producer
/// changes its place among the others once an hour and not with every event.
fn kept_until(now: Millis) -> Millis {
    const HOUR_MS: i64 = 3_600_000;
    let until = now.plus(limits::PRODUCER_WINDOW_MS);
    Millis(until.0.saturating_add(HOUR_MS).div_euclid(HOUR_MS).saturating_mul(HOUR_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128, expires: i64) -> Mark {
        Mark::Id { hash: n, expires: Millis(expires) }
    }

    #[test]
    fn ids_are_known_until_they_expire_and_a_full_table_defers() {
        let mut dedup = Dedup::default();
        for n in 0..3 {
            assert_eq!(dedup.judge(&id(n, 100), Millis(0), 3), Novelty::New);
            dedup.remember(&id(n, 100), Millis(0));
        }
        assert_eq!(dedup.judge(&id(1, 150), Millis(50), 3), Novelty::Repeated);
        assert_eq!(dedup.judge(&id(9, 150), Millis(99), 3), Novelty::NoRoom);
        assert_eq!(dedup.judge(&id(9, 200), Millis(100), 3), Novelty::New);
        assert_eq!(dedup.judge(&id(1, 200), Millis(100), 3), Novelty::New);
    }

    #[test]
    fn sequences_are_per_producer_and_epoch() {
        let mut dedup = Dedup::default();
        let mark = |producer, epoch, sequence| Mark::Stream { producer, epoch, sequence };
        dedup.remember(&mark(1, 0, 5), Millis(0));
        assert_eq!(dedup.judge(&mark(1, 0, 5), Millis(0), 0), Novelty::Repeated);
        assert_eq!(dedup.judge(&mark(1, 0, 6), Millis(0), 0), Novelty::New);
        assert_eq!(dedup.judge(&mark(1, 1, 1), Millis(0), 0), Novelty::New);
        assert_eq!(dedup.judge(&mark(2, 0, 1), Millis(0), 0), Novelty::New);
        let mut bytes = Vec::new();
        dedup.remember(&id(7, 70), Millis(0));
        dedup.put(&mut bytes);
        let read = Dedup::read(&mut Cursor::new(&bytes)).expect("reads");
        assert_eq!(read.judge(&mark(1, 0, 5), Millis(0), 9), Novelty::Repeated);
        assert_eq!(read.judge(&id(7, 70), Millis(0), 9), Novelty::Repeated);
    }

    fn stream(producer: u64, sequence: u64) -> Mark {
        Mark::Stream { producer, epoch: 0, sequence }
    }

    #[test]
    fn a_full_table_of_producers_defers_new_ones_until_one_was_silent_for_the_window() {
        let mut dedup = Dedup::default();
        let (start, window) = (Millis(1_000), limits::PRODUCER_WINDOW_MS);
        let all = limits::PRODUCERS_PER_PARTITION_MAX as u64;
        for producer in 0..all {
            assert_eq!(dedup.judge(&stream(producer, 1), start, 0), Novelty::New);
            dedup.remember(&stream(producer, 1), start);
        }
        assert_eq!(dedup.judge(&stream(all, 1), start, 0), Novelty::NoRoom);
        assert_eq!(dedup.judge(&stream(0, 2), start, 0), Novelty::New, "those known go on");
        let later = start.plus(window);
        dedup.remember(&stream(0, 2), later);
        assert_eq!(dedup.judge(&stream(all, 1), later, 0), Novelty::NoRoom);
        assert_eq!(dedup.judge(&stream(1, 1), later, 0), Novelty::Repeated, "kept for the window");
        let over = later.plus(3_600_000);
        assert_eq!(dedup.judge(&stream(all, 1), over, 0), Novelty::New);
        dedup.remember(&stream(all, 1), over);
        assert_eq!((dedup.producers.len(), dedup.producers_by_age.len()), (all as usize, all as usize));
        assert!(!dedup.producers.contains_key(&1) && dedup.producers.contains_key(&2), "one goes for one that comes");
    }

    #[test]
    fn days_that_pass_in_a_moment_forget_no_producer_while_there_is_room() {
        let mut dedup = Dedup::default();
        dedup.remember(&stream(1, 5), Millis(0));
        let later = Millis(100 * limits::PRODUCER_WINDOW_MS);
        dedup.remember(&stream(2, 1), later);
        dedup.remember(&id(7, later.0 + 1), later);
        assert_eq!(dedup.judge(&stream(1, 5), later, 9), Novelty::Repeated);
    }

    proptest::proptest! {
        /// Whatever was asked in between: marks alone decide what is remembered, also over a snapshot.
        #[test]
        fn recovery_remembers_the_same(
            inputs in proptest::collection::vec((0..6u64, 0..4u64, 0..90_000_000i64, proptest::bool::ANY), 1..80),
            cut in 0..80usize,
        ) {
            let (mut lived, mut recovered) = (Dedup::default(), Dedup::default());
            let mut now = Millis(0);
            for (index, (who, sequence, pause, is_id)) in inputs.into_iter().enumerate() {
                now = now.plus(pause);
                let mark = if is_id { id(u128::from(who), now.0 + 3_600_000) } else { stream(who, sequence) };
                let judged = lived.judge(&mark, now, 3);
                if judged == Novelty::New {
                    lived.remember(&mark, now);
                    recovered.remember(&mark, now);
                }
                if index == cut {
                    let mut bytes = Vec::new();
                    lived.put(&mut bytes);
                    recovered = Dedup::read(&mut Cursor::new(&bytes)).expect("reads");
                }
            }
            let image = |dedup: &Dedup| { let mut bytes = Vec::new(); dedup.put(&mut bytes); bytes };
            proptest::prop_assert_eq!(image(&lived), image(&recovered));
            proptest::prop_assert!(lived.ids.len() <= 3);
        }
    }
}
