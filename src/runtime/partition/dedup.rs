//! Repeats of a partition: the highest sequence of each producer, and ids for a stated time.
//!
//! A full table of ids defers new events rather than forget early (design §5 "Dedup").

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;

use crate::domain::ids::Millis;
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
    /// The table of ids is full.
    NoRoom,
}

/// What the partition knows of past inputs.
#[derive(Debug, Default)]
pub struct Dedup {
    producers: BTreeMap<u64, (u32, u64)>,
    ids: HashMap<u128, Millis, foldhash::fast::RandomState>,
    /// Ids in the order they expire: every id gets the same time, and engine time never goes back.
    order: VecDeque<(Millis, u128)>,
}

impl Dedup {
    /// Judges `mark` at engine time `now`.
    pub fn judge(&mut self, mark: &Mark, now: Millis, ids_max: usize) -> Novelty {
        match *mark {
            Mark::Stream { producer, epoch, sequence } => match self.producers.get(&producer) {
                Some(&highest) if (epoch, sequence) == highest && is_planted(Bug::SequenceOffByOne) => Novelty::New,
                Some(&highest) if (epoch, sequence) <= highest => Novelty::Repeated,
                _ => Novelty::New,
            },
            Mark::Id { hash, .. } => {
                self.expire(now);
                if self.ids.contains_key(&hash) {
                    Novelty::Repeated
                } else if self.ids.len() >= ids_max {
                    Novelty::NoRoom
                } else {
                    Novelty::New
                }
            }
        }
    }

    fn expire(&mut self, now: Millis) {
        while let Some(&(expires, hash)) = self.order.front()
            && expires <= now.plus(i64::from(is_planted(Bug::IdForgottenEarly)))
        {
            self.order.pop_front();
            if self.ids.get(&hash) == Some(&expires) {
                self.ids.remove(&hash);
            }
        }
    }

    /// Remembers `mark`: absolute, so that installing it again changes nothing.
    pub fn remember(&mut self, mark: &Mark) {
        match *mark {
            Mark::Stream { producer, .. }
                if is_planted(Bug::WatermarkNotRaised) && self.producers.contains_key(&producer) => {}
            Mark::Stream { producer, epoch, sequence } => {
                self.producers.insert(producer, (epoch, sequence));
            }
            Mark::Id { hash, expires } => {
                if self.ids.insert(hash, expires) != Some(expires) {
                    self.order.push_back((expires, hash));
                }
            }
        }
    }

    /// What is known at engine time `now`: the highest (epoch, sequence) of each producer, and ids with their expiry.
    pub fn known(&self, now: Millis) -> (&BTreeMap<u64, (u32, u64)>, BTreeMap<u128, Millis>) {
        (&self.producers, self.ids.iter().filter(|(_, e)| **e > now).map(|(id, e)| (*id, *e)).collect())
    }

    /// Appends all of it.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.producers.len() as u64);
        for (producer, (epoch, sequence)) in &self.producers {
            out.extend_from_slice(&producer.to_le_bytes());
            out.extend_from_slice(&epoch.to_le_bytes());
            out.extend_from_slice(&sequence.to_le_bytes());
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
            let producer = cursor.u64("producer")?;
            dedup.producers.insert(producer, (cursor.u32("epoch")?, cursor.u64("sequence")?));
        }
        for _ in 0..cursor.varint("ids")? {
            let expires = Millis(cursor.i64("expires")?);
            dedup.remember(&Mark::Id { hash: cursor.u128("id")?, expires });
        }
        Ok(dedup)
    }
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
            dedup.remember(&id(n, 100));
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
        dedup.remember(&mark(1, 0, 5));
        assert_eq!(dedup.judge(&mark(1, 0, 5), Millis(0), 0), Novelty::Repeated);
        assert_eq!(dedup.judge(&mark(1, 0, 6), Millis(0), 0), Novelty::New);
        assert_eq!(dedup.judge(&mark(1, 1, 1), Millis(0), 0), Novelty::New);
        assert_eq!(dedup.judge(&mark(2, 0, 1), Millis(0), 0), Novelty::New);
        let mut bytes = Vec::new();
        dedup.remember(&id(7, 70));
        dedup.put(&mut bytes);
        let mut read = Dedup::read(&mut Cursor::new(&bytes)).expect("reads");
        assert_eq!(read.judge(&mark(1, 0, 5), Millis(0), 9), Novelty::Repeated);
        assert_eq!(read.judge(&id(7, 70), Millis(0), 9), Novelty::Repeated);
    }
}
