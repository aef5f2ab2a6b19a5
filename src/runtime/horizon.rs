//! Where a partition's timers go: into the shard's wheel if they are due soon, else to the timer index by the next
//! checkpoint. Bookkeeping only: no I/O, no clock; the shard and the checkpoint act on its answers.
//!
//! Time is cut into slots of one hour. Slots before `opened_until` are *opened*: their timers are in the wheel, and a
//! timer set for one of them goes to the wheel only. A timer beyond is *pending* until a checkpoint takes it (*in
//! flight*), writes it to the [index](crate::store::timers) and is done. Opening a slot merges all three: index, in flight
//! and pending, whatever a checkpoint is doing at that moment.
//!
//! # Why a crash loses no timer and fires none twice
//!
//! 1. The row is the truth. An entry counts only if the row names the same instance, generation and due instant; stale
//!    and repeated entries, from whatever crash, are popped and ignored.
//! 2. A partition's checkpoint and its snapshot share one cut ([`Horizon::take_for_checkpoint`] and
//!    [`Horizon::encode`] at the same pseq). The snapshot is published only after the chunks are synced. So
//!    whatever snapshot is recovered, the index holds every timer beyond the horizon that was set up to its cut.
//! 3. Timers set after the cut are in records after the cut. Replaying these calls [`Horizon::set`] and
//!    [`Horizon::cancel`] and rebuilds `pending`. Chunks that a cut-short checkpoint left behind hold timers of the same
//!    records: the next checkpoint has the same epoch and replaces them.
//! 4. After the replay all rows are scanned once ([`Horizon::open_from_rows`]): near timers go to the wheel, and the
//!    counts of live timers become exact. The index is not read for opened slots, so chunks may be dropped once
//!    the slot was opened at the cut of both snapshots that are kept.
//! 5. Opening compares the live timers found with the count. A mismatch, a damaged chunk, or an index whose latest epoch
//!    is before the snapshot's sets [`Horizon::needs_rebuild`]: forget the partition in the index, and
//!    [`Horizon::rebuild`] from the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::ids::{Millis, ProfileKey};
use crate::planted::{Bug, is_planted};
use crate::store::timers::{CHUNK_ENTRIES_MAX, SlotNo, TimerEntry};

/// A slot written by more checkpoints than this is rewritten: each leaves at least one chunk, mostly small ones.
const EPOCHS_PER_SLOT_MAX: u16 = 64;
/// Below this many entries a slot is not worth rewriting for its dead ones: it has one chunk anyway.
const REWRITE_ENTRIES_MIN: u32 = CHUNK_ENTRIES_MAX as u32;

/// Bookkeeping of one partition's timers.
#[derive(Debug)]
pub struct Horizon {
    /// The first slot that is not opened.
    opened_until: SlotNo,
    /// Timers beyond the horizon that no checkpoint has taken. Ordered by due instant, so by slot.
    pending: BTreeSet<TimerEntry>,
    in_flight: Option<InFlight>,
    /// Slots from `opened_until` on that have timers.
    counts: BTreeMap<SlotNo, SlotCount>,
    /// `opened_until` at the cut of the latest checkpoint that is done.
    opened_at_last_cut: Option<SlotNo>,
    suspect: bool,
}

/// A checkpoint that is being written.
#[derive(Debug)]
struct InFlight {
    epoch: u64,
    timers: Arc<[TimerEntry]>,
    opened_at_cut: SlotNo,
}

/// What is known of a slot beyond the horizon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCount {
    /// Timers in the index, dead ones included, with those of the checkpoint in flight.
    pub in_index: u32,
    /// Timers that count: rows whose instance is due in the slot.
    pub live: u32,
    /// Checkpoints that wrote to the slot since it was last rewritten.
    pub epochs: u16,
}

/// Where a timer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Into the wheel, once its record is durable.
    Wheel,
    /// Nowhere until a checkpoint takes it.
    Pending,
}

/// A slot that was opened.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenedSlot {
    /// Its live timers, by due instant: into the wheel with them.
    pub timers: Vec<TimerEntry>,
    /// Whether all that should be there was there.
    pub verdict: Verdict,
}

/// Whether an opened slot held what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All live timers were found.
    Complete,
    /// The number is another: rebuild the partition from its rows. What was found may go to the wheel meanwhile.
    Mismatch {
        /// Live timers counted.
        expected: u32,
        /// Live timers found.
        found: u32,
    },
}

impl Horizon {
    /// Bookkeeping of a new partition whose slots before `opened_until` are open.
    pub fn new(opened_until: SlotNo) -> Self {
        Self {
            opened_until,
            pending: BTreeSet::new(),
            in_flight: None,
            counts: BTreeMap::new(),
            opened_at_last_cut: None,
            suspect: false,
        }
    }

    /// The first slot that is not opened.
    pub fn opened_until(&self) -> SlotNo {
        self.opened_until
    }

    /// Timers beyond the horizon that wait for a checkpoint.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// What is known of a slot beyond the horizon.
    pub fn count(&self, slot: SlotNo) -> SlotCount {
        self.counts.get(&slot).copied().unwrap_or_default()
    }

    /// Whether counts and timers have come apart: forget the partition in the index and [`rebuild`](Self::rebuild).
    pub fn needs_rebuild(&self) -> bool {
        self.suspect
    }

    /// The epoch of the checkpoint in flight. Until it is done or failed no other may begin.
    pub fn checkpoint_in_flight(&self) -> Option<u64> {
        self.in_flight.as_ref().map(|in_flight| in_flight.epoch)
    }

    /// Notes that the index has lost or damaged timers of this partition.
    pub fn suspect(&mut self) {
        self.suspect = true;
    }

    /// A timer was set: a row now names it.
    pub fn set(&mut self, timer: TimerEntry) -> Placement {
        let slot = timer.slot();
        if slot < self.opened_until {
            return Placement::Wheel;
        }
        if is_planted(Bug::TimerLostAtSlotStart) && timer.due.0 - slot.start().0 < 60_000 {
            return Placement::Pending;
        }
        if self.pending.insert(timer) {
            self.counts.entry(slot).or_default().live += 1;
        }
        Placement::Pending
    }

    /// A timer that was [`set`](Self::set) no longer counts: its instance moved, ended or was set anew. One that is still
    /// pending never reaches the index. Answers where it was.
    pub fn cancel(&mut self, timer: &TimerEntry) -> Placement {
        let slot = timer.slot();
        if slot < self.opened_until {
            return Placement::Wheel;
        }
        self.pending.remove(timer);
        match self.counts.get_mut(&slot) {
            Some(count) if count.live > 0 => count.live -= 1,
            // Too low a count would let the slot be passed over: only the rows can tell now.
            _ => self.suspect = true,
        }
        self.forget_if_empty(slot);
        Placement::Pending
    }

    /// Hands the pending timers to a checkpoint, at the cut that its snapshot shares. They stay here until the checkpoint
    /// is done, for slots that open meanwhile. One checkpoint at a time. ORDER: the index gets them only when the journal
    /// is durable past the cut, and `epoch` is one more than that of the latest checkpoint that is done.
    pub fn take_for_checkpoint(&mut self, epoch: u64) -> Arc<[TimerEntry]> {
        assert!(self.in_flight.is_none(), "a partition has one checkpoint at a time");
        let timers: Arc<[TimerEntry]> = std::mem::take(&mut self.pending).into_iter().collect();
        for of_slot in timers.chunk_by(|a, b| a.slot() == b.slot()) {
            let count = self.counts.entry(of_slot[0].slot()).or_default();
            count.in_index = count.in_index.saturating_add(of_slot.len() as u32);
            count.epochs = count.epochs.saturating_add(1);
        }
        self.in_flight = Some(InFlight { epoch, timers: Arc::clone(&timers), opened_at_cut: self.opened_until });
        timers
    }

    /// The checkpoint's chunks are synced and its snapshot is published. Answers the slot before which chunks may be
    /// dropped: both snapshots that are kept have those slots open. `None` for a checkpoint that a rebuild made void.
    pub fn checkpoint_done(&mut self, epoch: u64) -> Option<SlotNo> {
        let in_flight = self.in_flight.take_if(|in_flight| in_flight.epoch == epoch)?;
        self.opened_at_last_cut.replace(in_flight.opened_at_cut)
    }

    /// The checkpoint failed: its timers are pending again, save those whose slots have opened since.
    pub fn checkpoint_failed(&mut self, epoch: u64) {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| in_flight.epoch == epoch) else { return };
        for timer in in_flight.timers.iter().filter(|timer| timer.slot() >= self.opened_until) {
            if let Some(count) = self.counts.get_mut(&timer.slot()) {
                count.in_index = count.in_index.saturating_sub(1);
            }
            self.pending.insert(*timer);
        }
    }

    /// The next slot before `until` that must be opened. Slots without live timers are passed over; `None`: all slots
    /// before `until` are open.
    pub fn next_to_open(&mut self, until: SlotNo) -> Option<SlotNo> {
        if until <= self.opened_until {
            return None;
        }
        let next = self.first_live_slot().filter(|slot| *slot < until);
        self.pass_to(next.unwrap_or(until));
        next
    }

    /// The first slot beyond the horizon with a live timer: how far a virtual clock may jump when the wheel is empty.
    pub fn first_live_slot(&self) -> Option<SlotNo> {
        self.counts.iter().find(|(_, count)| count.live > 0).map(|(slot, _)| *slot)
    }

    /// Opens the slot that [`next_to_open`](Self::next_to_open) named: merges what the index `loaded` with pending
    /// timers and those in flight. `is_current` asks the row.
    pub fn open_slot(
        &mut self,
        slot: SlotNo,
        loaded: Vec<TimerEntry>,
        mut is_current: impl FnMut(&TimerEntry) -> bool,
    ) -> OpenedSlot {
        assert!(slot == self.opened_until, "slots open in order: {slot:?} is not {:?}", self.opened_until);
        let mut timers = loaded;
        timers.extend(self.pending.iter().take_while(|timer| timer.slot() <= slot));
        if let Some(in_flight) = self.in_flight.as_ref().filter(|_| !is_planted(Bug::InFlightForgotten)) {
            timers.extend(in_flight.timers.iter().filter(|timer| timer.slot() == slot));
        }
        timers.sort_unstable();
        timers.dedup();
        timers.retain(|timer| timer.slot() == slot && is_current(timer));
        let (expected, found) = (self.count(slot).live, timers.len() as u32);
        self.pass_to(slot.next());
        let unnoticed = is_planted(Bug::IndexLossUnnoticed) || is_planted(Bug::InFlightForgotten);
        if expected == found || unnoticed {
            return OpenedSlot { timers, verdict: Verdict::Complete };
        }
        self.suspect = true;
        OpenedSlot { timers, verdict: Verdict::Mismatch { expected, found } }
    }

    /// After recovery and replay: opens all slots before `until` from the rows, and counts the live timers of the others
    /// anew. `rows` are the timers of all rows. Answers those of opened slots, by due instant.
    pub fn open_from_rows(&mut self, until: SlotNo, rows: impl IntoIterator<Item = TimerEntry>) -> Vec<TimerEntry> {
        self.pass_to(until.max(self.opened_until));
        for count in self.counts.values_mut() {
            count.live = 0;
        }
        let mut near = Vec::new();
        for timer in rows {
            if timer.slot() < self.opened_until {
                near.push(timer);
            } else {
                self.counts.entry(timer.slot()).or_default().live += 1;
            }
        }
        near.sort_unstable();
        near
    }

    /// Starts anew from the rows: everything beyond the horizon is pending. `rows` are the timers of all rows. Answers
    /// those of opened slots, by due instant; the wheel may hold them already, repeats do no harm.
    ///
    /// ORDER: forget the partition in the index after a checkpoint in flight has been written, before the next one is.
    pub fn rebuild(&mut self, rows: impl IntoIterator<Item = TimerEntry>) -> Vec<TimerEntry> {
        self.pending.clear();
        self.counts.clear();
        self.in_flight = None;
        self.suspect = false;
        let mut near = Vec::new();
        for timer in rows {
            if self.set(timer) == Placement::Wheel {
                near.push(timer);
            }
        }
        near.sort_unstable();
        near
    }

    /// Slots to load, filter by the rows and replace in the index: more dead than live, or in very many chunks.
    pub fn slots_to_rewrite(&self) -> impl Iterator<Item = SlotNo> {
        self.counts.iter().filter(|(_, count)| count.is_worth_rewriting()).map(|(slot, _)| *slot)
    }

    /// A slot was replaced in the index by `timer_count` timers, while no checkpoint was in flight.
    pub fn slot_rewritten(&mut self, slot: SlotNo, timer_count: u32) {
        assert!(self.in_flight.is_none(), "slots are rewritten between checkpoints");
        if let Some(count) = self.counts.get_mut(&slot) {
            count.in_index = timer_count;
            count.epochs = u16::from(timer_count > 0);
        }
        self.forget_if_empty(slot);
    }

    fn forget_if_empty(&mut self, slot: SlotNo) {
        if self.counts.get(&slot).is_some_and(|count| count.live == 0 && count.in_index == 0) {
            self.counts.remove(&slot);
        }
    }

    /// Moves the horizon; what is before it is the wheel's.
    fn pass_to(&mut self, until: SlotNo) {
        self.opened_until = until;
        self.counts = self.counts.split_off(&until);
        self.pending =
            self.pending.split_off(&TimerEntry { due: until.start(), key: ProfileKey(0), ordinal: 0, generation: 0 });
    }
}

impl SlotCount {
    fn is_worth_rewriting(&self) -> bool {
        let mostly_dead = self.in_index >= REWRITE_ENTRIES_MIN && self.in_index / 2 >= self.live;
        mostly_dead || self.epochs > EPOCHS_PER_SLOT_MAX
    }
}

/// Why bytes are no horizon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HorizonDecodeError {
    /// A newer or unknown format.
    #[error("horizon format {0} is unknown")]
    Format(u8),
    /// Too short or too long.
    #[error("horizon of {0} bytes has another length than it states")]
    Length(usize),
}

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + 8 + 4;
const SLOT_BYTES: usize = 8 + 4 + 4 + 2;

impl Horizon {
    /// Appends what a snapshot needs, right after [`take_for_checkpoint`](Self::take_for_checkpoint) at the same cut.
    /// Pending timers are not in it: there are none at the cut. Little endian:
    ///
    /// ```text
    /// 0  format        u8    1
    /// 1  opened_until  i64
    /// 9  slot count    u32
    /// 13 slots         count × 18 B: slot i64 | in_index u32 | live u32 | epochs u16
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.pending.is_empty(), "a snapshot shares its cut with a checkpoint of the timers");
        out.push(FORMAT);
        out.extend_from_slice(&self.opened_until.0.to_le_bytes());
        out.extend_from_slice(&(self.counts.len() as u32).to_le_bytes());
        for (slot, count) in &self.counts {
            out.extend_from_slice(&slot.0.to_le_bytes());
            out.extend_from_slice(&count.in_index.to_le_bytes());
            out.extend_from_slice(&count.live.to_le_bytes());
            out.extend_from_slice(&count.epochs.to_le_bytes());
        }
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, HorizonDecodeError> {
        let wrong_length = HorizonDecodeError::Length(bytes.len());
        let (header, slots) = bytes.split_at_checked(HEADER_BYTES).ok_or(wrong_length)?;
        if header[0] != FORMAT {
            return Err(HorizonDecodeError::Format(header[0]));
        }
        let mut horizon = Self::new(SlotNo(i64::from_le_bytes(field(&header[1..9]))));
        let slot_count = u32::from_le_bytes(field(&header[9..13])) as usize;
        if Some(slots.len()) != slot_count.checked_mul(SLOT_BYTES) {
            return Err(wrong_length);
        }
        for slot in slots.chunks_exact(SLOT_BYTES) {
            let count = SlotCount {
                in_index: u32::from_le_bytes(field(&slot[8..12])),
                live: u32::from_le_bytes(field(&slot[12..16])),
                epochs: u16::from_le_bytes(field(&slot[16..18])),
            };
            horizon.counts.insert(SlotNo(i64::from_le_bytes(field(&slot[0..8]))), count);
        }
        Ok(horizon)
    }
}

/// The bytes of a field of known width.
fn field<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller slices by the field's width")
}

/// The first slot that stays closed at an engine time: the current slot and the next one are open.
pub fn open_until(now: Millis) -> SlotNo {
    SlotNo::of(now).next().next()
}

#[cfg(test)]
mod tests;
