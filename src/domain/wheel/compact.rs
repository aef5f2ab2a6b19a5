//! Dropping stale entries: a walk over the wheel, some entries at a time, begun when more are stale than live.
//!
//! The walk goes from the highest level down. What time moves out of a bucket meanwhile goes to lower levels only, so
//! a bucket opened ahead of the walk is met below, and one behind it holds nothing the walk has not seen. Within
//! a bucket live entries move up in their order, so the order (due, insertion) stays.
//!
//! Each entry is looked at once a walk, and a walk is paid for by as many insertions and cancellations as it has entries:
//! amortised a few looks for each. While it runs it keeps ahead of what is inserted, so that the wheel grows to
//! less than twice its size at the beginning.

use super::{BUCKET_COUNT, CHUNK_ENTRIES, LEVEL_COUNT, Wheel, WheelEntry};

/// Stale entries that are let be: 160 KB. Fewer are not worth a walk over the empty levels.
pub const STALE_ENTRIES_MIN: usize = 4_096;
/// Entries looked at in one call at least: about 200 µs, if each look misses the caches.
const LOOKS_PER_CALL: usize = 1_024;
/// Entries looked at for each that was inserted or became stale since the last call: keeps the walk ahead of them.
const LOOKS_PER_CHANGE: usize = 2;

/// How far the walk is, and how many entries are thought stale.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Where it goes on, while one is under way.
    place: Option<Place>,
    /// Entries in the wheel that are stale, as far as is known, less those popped whose instance has not moved yet.
    stale: i64,
    /// How many became stale since the walk began: it may have passed them.
    stale_since: i64,
    /// Insertions and cancellations since the last call.
    changes: usize,
    /// Entries became stale, nobody knows how many.
    suspected: bool,
}

/// A place in a bucket. Chunks before `write` are done and full; those between `write` and `read` are emptied.
#[derive(Clone, Copy, Debug)]
struct Place {
    level: usize,
    bucket: usize,
    read: usize,
    write: usize,
    /// Earliest due instant of the entries that stay.
    earliest: u64,
}

impl Place {
    fn at(level: usize, bucket: usize) -> Self {
        Self { level, bucket, read: 0, write: 0, earliest: u64::MAX }
    }

    /// The next bucket: of this level, or of the one below.
    fn next(self) -> Option<Self> {
        match (self.level, self.bucket + 1) {
            (level, bucket) if bucket < BUCKET_COUNT => Some(Self::at(level, bucket)),
            (0, _) => None,
            (level, _) => Some(Self::at(level - 1, 0)),
        }
    }
}

impl Walk {
    pub(super) fn changed(&mut self, count: usize) {
        self.changes += count;
    }

    /// Entries left the wheel. A live one is about to become stale, so each that leaves has been or will be counted.
    pub(super) fn popped(&mut self, count: usize) {
        self.stale -= count as i64;
    }

    /// Time took a bucket's entries away, to levels below.
    pub(super) fn bucket_opened(&mut self, level: usize, bucket: usize) {
        if self.place.is_some_and(|place| (place.level, place.bucket) == (level, bucket)) {
            self.place = Some(Place::at(level, bucket));
        }
    }
}

impl Wheel {
    /// `count` timers that were inserted no longer count: their instances moved, ended or were set anew. Of one that was
    /// popped first this is told too; so the count is right again once both have happened.
    pub fn note_stale(&mut self, count: usize) {
        self.walk.stale += count as i64;
        self.walk.stale_since += count as i64;
        self.walk.changed(count);
    }

    /// Many timers no longer count, nobody knows how many: the next walk finds out.
    pub fn suspect_stale(&mut self) {
        self.walk.suspected = true;
    }

    /// Drops stale entries if they are more than the live ones: looks at some, and drops those that `is_live` denies. Call it
    /// again and again; a wheel of mostly live entries costs nothing.
    pub fn compact(&mut self, mut is_live: impl FnMut(&WheelEntry) -> bool) {
        let changes = std::mem::take(&mut self.walk.changes);
        if self.walk.place.is_none() {
            let live = self.entry_count as i64 - self.walk.stale;
            let mostly_stale = self.walk.stale > live.saturating_add(STALE_ENTRIES_MIN as i64);
            if !mostly_stale && !self.walk.suspected {
                return;
            }
            self.walk.place = Some(Place::at(LEVEL_COUNT - 1, 0));
            self.walk.stale_since = 0;
            self.walk.suspected = false;
        }
        let mut looks_left = LOOKS_PER_CALL.saturating_add(changes.saturating_mul(LOOKS_PER_CHANGE));
        while let Some(place) = self.walk.place {
            // A bucket that was read to its end is finished at once: what comes to it next goes behind the last chunk.
            if place.read < self.levels[place.level].buckets[place.bucket].chunks.len() {
                if looks_left == 0 {
                    return;
                }
                let (place, looks) = self.compact_chunk(place, &mut is_live);
                looks_left = looks_left.saturating_sub(looks);
                self.walk.place = Some(place);
            } else {
                self.finish_bucket(place);
                self.walk.place = place.next();
            }
        }
        // Whatever else was thought stale has been seen and is not.
        self.walk.stale = self.walk.stale.clamp(0, self.walk.stale_since);
    }

    /// Moves the live entries of the next chunk up; how many were looked at.
    fn compact_chunk(&mut self, mut place: Place, mut is_live: impl FnMut(&WheelEntry) -> bool) -> (Place, usize) {
        let bucket = &mut self.levels[place.level].buckets[place.bucket];
        let mut chunk = std::mem::take(&mut bucket.chunks[place.read]);
        let looks = chunk.len();
        let mut kept = 0;
        for entry in chunk.drain(..) {
            if !is_live(&entry) {
                continue;
            }
            kept += 1;
            place.earliest = place.earliest.min(entry.instant());
            if bucket.chunks[place.write].len() == CHUNK_ENTRIES {
                place.write += 1;
            }
            let written = &mut bucket.chunks[place.write];
            if written.capacity() == 0 {
                *written = self.spare_chunks.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_ENTRIES));
            }
            written.push(entry);
        }
        self.spare(chunk);
        let dropped = looks - kept;
        self.entry_count -= dropped;
        self.walk.stale -= dropped as i64;
        place.read += 1;
        (place, looks.max(1))
    }

    /// All of a bucket was looked at: it ends with the last entry that stays.
    fn finish_bucket(&mut self, place: Place) {
        let level = &mut self.levels[place.level];
        let bucket = &mut level.buckets[place.bucket];
        if bucket.chunks.is_empty() {
            return;
        }
        bucket.earliest = place.earliest;
        let used = bucket.chunks.iter().take(place.write + 1).filter(|chunk| !chunk.is_empty()).count();
        bucket.chunks.truncate(used);
        // A million chunks must not leave their places behind.
        bucket.chunks.shrink_to(used * 2);
        if used == 0 {
            level.occupied &= !(1 << place.bucket);
        }
    }
}
