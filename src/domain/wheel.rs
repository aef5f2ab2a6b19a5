//! A hierarchical timer wheel: what is due soon, in memory, one per shard.
//!
//! Owns no truth: an entry counts only if the row it speaks of still names the same instance, generation and due
//! instant ([`WheelEntry::names`]). So nothing is cancelled here one by one; stale entries are popped and ignored, and
//! where they are many, [`Wheel::compact`] drops them, some at a time. Knows no clock: time comes as the argument of
//! [`Wheel::advance`].
//!
//! Eleven levels of 64 buckets cover every instant of 64 bits, so there is no overflow list. An entry lies at the
//! level of the highest group of six bits in which its due instant differs from the wheel's time:
//!
//! ```text
//! level 0: 1 ms a bucket   1: 64 ms   2: 4 s   3: 4 min   4: 4.7 h   5: 12 d   6: 2 y   ...   10: all there is
//! ```
//!
//! INVARIANT: at every level the occupied buckets come after the bucket of the wheel's time, and whatever lies at a
//! level is due before everything at the levels above. So the earliest entries are in the first occupied bucket of the
//! lowest occupied level, and time may jump there at once, over any number of empty buckets.
//!
//! INVARIANT: entries of one due instant always share one bucket and keep their order of insertion in it, because
//! a bucket is moved down as a whole, into buckets that are empty. Hence the order (due, insertion) needs no sequence.

mod compact;

use compact::Walk;

use crate::domain::ids::{Millis, PartitionId, ProfileKey};

/// Bits of the due instant that one level resolves.
const LEVEL_BITS: u32 = 6;
/// Buckets of a level.
const BUCKET_COUNT: usize = 1 << LEVEL_BITS;
/// Levels: enough for 64 bits.
const LEVEL_COUNT: usize = u64::BITS.div_ceil(LEVEL_BITS) as usize;
/// Entries of one chunk: 2.5 KB. Buckets grow by chunks, so no growth copies a full bucket.
const CHUNK_ENTRIES: usize = 64;
/// Emptied chunks kept for reuse: as many as one level can hold in first chunks.
const SPARE_CHUNKS_MAX: usize = BUCKET_COUNT;

/// One timer: which instance of which profile, at which of its moves, and when. 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WheelEntry {
    key_high: u64,
    key_low: u64,
    /// When it is due.
    pub due: Millis,
    /// Entry ordinal of the instance in its profile.
    pub ordinal: u32,
    /// Generation of the instance when the timer was set.
    pub generation: u32,
    /// Partition of the profile.
    pub partition: PartitionId,
}

const _: () = assert!(size_of::<WheelEntry>() <= 40);

impl WheelEntry {
    /// A timer of the instance `ordinal` of the profile `key`.
    pub fn new(partition: PartitionId, key: ProfileKey, ordinal: u32, generation: u32, due: Millis) -> Self {
        Self { key_high: (key.0 >> 64) as u64, key_low: key.0 as u64, due, ordinal, generation, partition }
    }

    /// The profile. Held in halves, because an aligned `u128` would make the entry 48 bytes.
    pub fn key(&self) -> ProfileKey {
        ProfileKey(u128::from(self.key_high) << 64 | u128::from(self.key_low))
    }

    /// Whether a row's instance is the one this timer was set for: same ordinal, generation and due instant.
    pub fn names(&self, ordinal: u32, generation: u32, due: Millis) -> bool {
        self.ordinal == ordinal && self.generation == generation && self.due == due
    }

    fn instant(&self) -> u64 {
        instant_of(self.due)
    }
}

/// The wheel. Its time only moves forward.
#[derive(Debug)]
pub struct Wheel {
    /// Everything due at or before this has been popped, save what was inserted late.
    time: u64,
    levels: Vec<Level>,
    /// Entries that were due already when they came.
    late: Vec<WheelEntry>,
    entry_count: usize,
    spare_chunks: Vec<Vec<WheelEntry>>,
    walk: Walk,
}

#[derive(Debug)]
struct Level {
    /// Bit `i`: bucket `i` holds something.
    occupied: u64,
    buckets: [Bucket; BUCKET_COUNT],
}

#[derive(Debug)]
struct Bucket {
    chunks: Vec<Vec<WheelEntry>>,
    /// Earliest due instant in it; `u64::MAX` while empty.
    earliest: u64,
}

impl Bucket {
    const EMPTY: Self = Self { chunks: Vec::new(), earliest: u64::MAX };
}

impl Wheel {
    /// An empty wheel whose time is `now`.
    pub fn new(now: Millis) -> Self {
        let levels = (0..LEVEL_COUNT).map(|_| Level { occupied: 0, buckets: [Bucket::EMPTY; BUCKET_COUNT] }).collect();
        Self {
            time: instant_of(now),
            levels,
            late: Vec::new(),
            entry_count: 0,
            spare_chunks: Vec::new(),
            walk: Walk::default(),
        }
    }

    /// The instant up to which everything has been popped.
    pub fn time(&self) -> Millis {
        millis_of(self.time)
    }

    /// Timers in the wheel, stale ones included.
    pub fn len(&self) -> usize {
        self.entry_count
    }

    /// Whether no timer is in the wheel.
    pub fn is_empty(&self) -> bool {
        self.entry_count == 0
    }

    /// Adds a timer. One that is due already is popped by the next [`advance`](Self::advance), whatever its instant.
    pub fn insert(&mut self, entry: WheelEntry) {
        self.entry_count += 1;
        self.walk.changed(1);
        if entry.instant() <= self.time {
            self.late.push(entry);
        } else {
            self.place(entry);
        }
    }

    /// Moves time to `to` and appends everything due at or before it to `out`, by (due, order of insertion). Time
    /// never goes back: an earlier `to` pops only what came late.
    pub fn advance(&mut self, to: Millis, out: &mut Vec<WheelEntry>) {
        let to = instant_of(to).max(self.time);
        let out_start = out.len();
        // Late entries are due at or before the wheel's time, so before everything in the buckets.
        self.late.sort_by_key(|entry| entry.due);
        out.append(&mut self.late);
        while let Some((level, bucket)) = self.first_occupied() {
            if bucket_start(self.time, level, bucket) > to {
                break;
            }
            self.open_bucket(level, bucket, to, out);
        }
        self.time = to;
        self.entry_count -= out.len() - out_start;
        self.walk.popped(out.len() - out_start);
    }

    /// The earliest due instant in the wheel; stale entries count, and for a while those that [`compact`](Self::compact)
    /// dropped. At or before [`time`](Self::time) if something came late.
    pub fn next_due(&self) -> Option<Millis> {
        if let Some(due) = self.late.iter().map(|entry| entry.due).min() {
            return Some(due);
        }
        self.first_occupied().map(|(level, bucket)| millis_of(self.levels[level].buckets[bucket].earliest))
    }

    /// The bucket of the earliest entries.
    fn first_occupied(&self) -> Option<(usize, usize)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// Empties a bucket whose range begins at or before `to`: pops what is due and moves the rest down.
    fn open_bucket(&mut self, level: usize, bucket: usize, to: u64, out: &mut Vec<WheelEntry>) {
        self.levels[level].occupied &= !(1 << bucket);
        self.walk.bucket_opened(level, bucket);
        let taken = std::mem::replace(&mut self.levels[level].buckets[bucket], Bucket::EMPTY);
        // Nothing is due before `earliest`, so time may jump to it and skip the levels between.
        let time = taken.earliest.min(to);
        assert!(time > self.time, "an occupied bucket lies after the wheel's time");
        self.time = time;
        for mut chunk in taken.chunks {
            for entry in chunk.drain(..) {
                if entry.instant() <= time {
                    out.push(entry);
                } else {
                    self.place(entry);
                }
            }
            self.spare(chunk);
        }
    }

    /// Keeps an emptied chunk for reuse. What a walk has moved up leaves places without a chunk behind.
    fn spare(&mut self, chunk: Vec<WheelEntry>) {
        if self.spare_chunks.len() < SPARE_CHUNKS_MAX && chunk.capacity() > 0 {
            self.spare_chunks.push(chunk);
        }
    }

    /// Puts an entry due after the wheel's time into its bucket.
    fn place(&mut self, entry: WheelEntry) {
        let instant = entry.instant();
        let level = level_of(self.time, instant);
        let index = bucket_of(level, instant);
        assert!(index > bucket_of(level, self.time), "level {level}: bucket {index} is not ahead of the wheel's time");
        let level = &mut self.levels[level];
        level.occupied |= 1 << index;
        let bucket = &mut level.buckets[index];
        bucket.earliest = bucket.earliest.min(instant);
        match bucket.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_ENTRIES => chunk.push(entry),
            _ => {
                let mut chunk = self.spare_chunks.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_ENTRIES));
                chunk.push(entry);
                bucket.chunks.push(chunk);
            }
        }
    }
}

/// Instants as unsigned numbers in the same order.
fn instant_of(at: Millis) -> u64 {
    at.0 as u64 ^ (1 << 63)
}

fn millis_of(instant: u64) -> Millis {
    Millis((instant ^ (1 << 63)) as i64)
}

/// The level of an instant seen from the wheel's time: where their highest differing bit lies.
fn level_of(time: u64, instant: u64) -> usize {
    assert!(instant > time, "only what is still ahead has a level");
    let level = ((u64::BITS - 1 - (time ^ instant).leading_zeros()) / LEVEL_BITS) as usize;
    assert!(level < LEVEL_COUNT, "64 bits fit the levels");
    level
}

/// The bucket of an instant at a level.
fn bucket_of(level: usize, instant: u64) -> usize {
    (instant >> (level as u32 * LEVEL_BITS)) as usize % BUCKET_COUNT
}

/// First instant of a bucket in the block of its level that the wheel's time is in.
fn bucket_start(time: u64, level: usize, bucket: usize) -> u64 {
    let shift = level as u32 * LEVEL_BITS;
    let block = time.checked_shr(shift + LEVEL_BITS).map_or(0, |high| high << (shift + LEVEL_BITS));
    block | (bucket as u64) << shift
}

#[cfg(test)]
mod tests;
