//! How far shards are on the events' clock, and whether anything is on its way between them: so that what is decided about
//! parcels does not hang on whose thread was faster ([ADR 20](../../docs/adr/020-messages-between-partitions.md)).

use std::sync::atomic::{AtomicI64, AtomicIsize, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::domain::ids::{Millis, ShardId};

/// The board. Shards write on it and read it; nobody waits for it.
#[derive(Debug)]
pub struct Board {
    /// Parcels decided and not yet taken in, partitions that no shard has.
    under_way: AtomicIsize,
    /// The instant to which everything has happened, by shard, and whether that is all that is to happen there.
    reached: Mutex<Vec<(Millis, bool)>>,
    /// How many want time to pass as far as there is anything anywhere.
    ending: AtomicUsize,
    /// The latest instant that shards were told to come to.
    told: AtomicI64,
}

impl Default for Board {
    fn default() -> Self {
        let told = AtomicI64::new(Millis::MIN.0);
        Self { under_way: AtomicIsize::default(), reached: Mutex::default(), ending: AtomicUsize::default(), told }
    }
}

impl Board {
    /// Shards are told to come to `at`.
    pub fn tell(&self, at: Millis) {
        self.told.fetch_max(at.0, Ordering::AcqRel);
    }

    /// The latest instant that shards were told to come to: one that is new has to come there too, or others wait for it.
    pub fn told(&self) -> Millis {
        Millis(self.told.load(Ordering::Acquire))
    }

    /// There are `count` shards; those that are new have come nowhere yet.
    pub fn set_shards(&self, count: usize) {
        self.reached.lock().resize(count, (Millis::MIN, false));
    }

    /// So many more things are on their way than before, or fewer. ORDER: more is said before what is on its way can be
    /// missed, fewer once it is taken in.
    pub fn under_way(&self, count: isize) {
        self.under_way.fetch_add(count, Ordering::AcqRel);
    }

    /// Somebody wants time to pass as far as there is anything anywhere, until this is dropped. What is submitted meanwhile may be decided in
    /// another order than without it.
    pub fn ending(&self) -> Ending<'_> {
        self.ending.fetch_add(1, Ordering::AcqRel);
        Ending(self)
    }

    /// A shard has come to `at`, and to its end if nothing is left to happen there. The instant that all have come to, if
    /// nothing is on its way: then every parcel that any of them decided before it was taken in.
    pub fn reached(&self, shard: ShardId, at: Millis, at_end: bool) -> Option<Millis> {
        let mut reached = self.reached.lock();
        *reached.get_mut(usize::from(shard.0))? = (at, at_end);
        let is_ending = self.ending.load(Ordering::Acquire) > 0;
        let all = reached.iter().filter(|(_, at_end)| !(is_ending && *at_end)).map(|(at, _)| *at).min();
        let all = all.or(Some(Millis::NEVER));
        all.filter(|_| self.under_way.load(Ordering::Acquire) == 0)
    }
}

/// Time passes as far as there is anything anywhere, until this is dropped.
#[derive(Debug)]
pub struct Ending<'b>(&'b Board);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ending.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_counts_and_nothing_may_be_on_its_way() {
        let board = Board::default();
        board.set_shards(2);
        assert_eq!(board.reached(ShardId(0), Millis(9), false), Some(Millis::MIN));
        assert_eq!(board.reached(ShardId(1), Millis(5), false), Some(Millis(5)));
        board.under_way(2);
        assert_eq!(board.reached(ShardId(1), Millis(9), false), None);
        board.under_way(-2);
        assert_eq!(board.reached(ShardId(1), Millis(9), false), Some(Millis(9)));
        assert_eq!(board.reached(ShardId(1), Millis(9), true), Some(Millis(9)));
        assert_eq!(board.reached(ShardId(0), Millis(12), false), Some(Millis(9)), "more may come to the other");
        let ending = board.ending();
        assert_eq!(board.reached(ShardId(0), Millis(12), false), Some(Millis(12)));
        drop(ending);
        assert_eq!(board.reached(ShardId(0), Millis(12), false), Some(Millis(9)));
        board.set_shards(1);
        assert_eq!(board.reached(ShardId(1), Millis(9), false), None, "it is gone");
    }
}
