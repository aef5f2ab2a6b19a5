//! A lane: the one writer of its segments. Steppable and synchronous: each call writes and syncs one group.
//!
//! INVARIANT: after a failed write or sync the lane is poisoned: it writes nothing more, ever. What of the failed group
//! is on the disk only the next start can tell, and it trusts nothing that no later group proves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::block::{Block, Position};
use super::group::{self, ALIGNMENT, GroupHeader};
use super::ledger::Held;
use super::marks::{Marks, Note};
use super::segment::{HEADERS_BYTES, Link, SegmentHeader, Slot, create_spare, poisoned};
use super::shared::LaneShared;
use super::spare::SpareWriter;
use super::{JournalConfig, SyncMode};
use crate::planted::{Bug, is_planted};
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::{JournalError, Operation};

/// Segments kept ready beyond the one being written; more are deleted.
pub(super) const FREE_SEGMENTS_MAX: usize = 2;

/// The writer of one lane.
#[derive(Debug)]
pub struct Lane {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) config: JournalConfig,
    pub(super) journal: u128,
    pub(super) lane: u16,
    pub(super) shared: Arc<LaneShared>,
    pub(super) marks: Arc<Marks>,
    /// `None` only while the disk is too full for any segment.
    pub(super) segment: Option<OpenSegment>,
    /// The last group written.
    pub(super) last: Link,
    /// All groups up to this sequence are durable.
    pub(super) durable: u64,
    /// The last group with blocks.
    pub(super) filled: u64,
    /// A durable group or header says that older segments than this incarnation are not needed.
    pub(super) released: u64,
    /// The oldest needed segment, as the last group written states it.
    pub(super) stated: u64,
    /// While the unproven tail is written anew: the oldest segment that may be all there is of it.
    pub(super) superseded: Option<u64>,
    pub(super) next_incarnation: u64,
    pub(super) next_slot: u64,
    /// Files that may be overwritten at once.
    pub(super) free: Vec<Slot>,
    pub(super) state: State,
    pub(super) spare: Option<SpareWriter>,
    pub(super) buffer: Vec<u8>,
}

/// The segment being written.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub file: Box<dyn DiskFile>,
    pub slot: Slot,
    pub incarnation: u64,
    /// Where the next group begins.
    pub offset: u64,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Running,
    Poisoned(JournalError),
    Stopped,
}

impl Lane {
    /// The lane's number.
    pub fn number(&self) -> u16 {
        self.lane
    }

    /// Writes and syncs these blocks as one group. When it returns they are durable.
    ///
    /// # Errors
    /// [`JournalError::DiskFull`]: nothing was written, the same call may succeed later. Any other error is final.
    pub fn write_group(&mut self, blocks: &[Block]) -> Result<Position, JournalError> {
        debug_assert!(blocks.iter().all(|block| block.lane == self.lane), "a block of another lane");
        self.running()?;
        let padded = group::padded(group::encoded_len(blocks.iter()));
        self.make_room(padded)?;
        let position = self.append(blocks, 0)?;
        if !is_planted(Bug::GroupNotSynced) {
            self.sync()?;
        }
        self.ask_for_spare();
        Ok(position)
    }

    /// Whether the lane has no segment, for want of space: nothing but [`Lane::look_for_space`] or a group gets it one.
    pub fn wants_space(&self) -> bool {
        self.segment.is_none() && matches!(self.state, State::Running)
    }

    /// Opens the segment that a start on a full disk could not, if there is space by now. To be called now and then
    /// while [`Lane::wants_space`]: ingest is refused as long, so no group would come that finds it out.
    ///
    /// # Errors
    /// As [`Lane::write_group`], but a disk that is still full is none.
    pub fn look_for_space(&mut self) -> Result<(), JournalError> {
        if !self.wants_space() {
            return Ok(());
        }
        match self.open_segment(ALIGNMENT, self.last.sequence, self.last, Room::Whole) {
            Err(JournalError::DiskFull) => Ok(()),
            opened => opened,
        }
    }

    /// Stops the lane with an end mark, so that the next start has nothing to rewrite.
    ///
    /// # Errors
    /// As [`Lane::write_group`]; after any error the lane is stopped without a mark, which is safe.
    pub fn finish(&mut self) -> Result<(), JournalError> {
        self.running()?;
        let has_room = |segment: &OpenSegment| segment.offset + ALIGNMENT <= segment.slot.bytes;
        let marked = if self.segment.as_ref().is_some_and(has_room) {
            // ORDER: the mark states that all before it is durable.
            self.sync_always().and_then(|()| self.append(&[], group::END)).and_then(|_| self.sync_always())
        } else {
            Ok(())
        };
        if marked.is_ok() {
            self.marks.note(self.lane, self.shared.filled.load(Ordering::Acquire), Note::Synced);
            self.state = State::Stopped;
        }
        self.spare = None;
        marked
    }

    /// Lets a thread prewrite segments before they are needed.
    pub(super) fn prewrite_ahead(&mut self) {
        self.spare = Some(SpareWriter::start(Arc::clone(&self.disk), self.lane, self.config.segment_bytes));
    }

    fn running(&self) -> Result<(), JournalError> {
        match &self.state {
            State::Running => Ok(()),
            State::Poisoned(error) => Err(error.clone()),
            State::Stopped => Err(JournalError::Stopped),
        }
    }

    pub(super) fn poison(&mut self, operation: Operation, path: &str, error: &std::io::Error) -> JournalError {
        let error = poisoned(operation, path, error);
        self.state = State::Poisoned(error.clone());
        error
    }

    /// Opens another segment if the current one has no room for `padded` bytes.
    fn make_room(&mut self, padded: u64) -> Result<(), JournalError> {
        // The last page stays free for one empty group: the release below, or the end mark.
        let fits = |segment: &OpenSegment| segment.offset + padded + ALIGNMENT <= segment.slot.bytes;
        if self.segment.as_ref().is_some_and(fits) {
            return Ok(());
        }
        if self.config.sync == SyncMode::Off {
            // ORDER: a segment's header states that all before it is durable.
            self.sync_always()?;
        }
        if self.must_release() {
            // ORDER: a segment is overwritten only once a durable group says that it is not needed; otherwise a crash
            // in the middle of its new header would look like a lost segment.
            self.append(&[], 0)?;
            self.sync_always()?;
        }
        self.open_segment(padded, self.last.sequence, self.last, Room::Whole)?;
        self.shared.ledger.lock().settle();
        Ok(())
    }

    /// Whether overwriting a retired segment first needs a durable word that it is not needed.
    fn must_release(&self) -> bool {
        let ledger = self.shared.ledger.lock();
        let current = self.segment.as_ref().map_or(0, |segment| segment.incarnation);
        self.segment.as_ref().is_some_and(|segment| segment.offset + ALIGNMENT <= segment.slot.bytes)
            && self.free.is_empty()
            && ledger.has_retired()
            && ledger.oldest(current) > self.released
    }

    /// Opens a fresh segment with room for `padded` bytes, chained to `previous`.
    pub(super) fn open_segment(
        &mut self,
        padded: u64,
        rewritten_until: u64,
        previous: Link,
        room: Room,
    ) -> Result<(), JournalError> {
        let needed = HEADERS_BYTES + padded + ALIGNMENT;
        let bytes = match room {
            Room::Whole => needed.max(self.config.segment_bytes),
            Room::Least => needed,
        };
        let slot = match self.take_slot(bytes) {
            Ok(slot) => slot,
            Err(JournalError::DiskFull) => {
                self.shared.full.store(true, Ordering::Release);
                return Err(JournalError::DiskFull);
            }
            Err(error) => {
                self.state = State::Poisoned(error.clone());
                return Err(error);
            }
        };
        self.shared.full.store(false, Ordering::Release);
        let incarnation = self.next_incarnation;
        self.next_incarnation += u64::from(!is_planted(Bug::IncarnationReused));
        let oldest = self.oldest(incarnation);
        let (journal, lane) = (self.journal, self.lane);
        let header = SegmentHeader { journal, lane, incarnation, bytes: slot.bytes, previous, rewritten_until, oldest };
        let opened = (|| {
            let mut file = self.disk.open_write(&slot.path)?;
            file.write_at(&header.encode(), 0)?;
            if !is_planted(Bug::HeaderNotSynced) {
                file.sync()?;
            }
            Ok(file)
        })();
        let file = opened.map_err(|error| self.poison(Operation::Sync, &slot.path, &error))?;
        self.released = self.released.max(oldest);
        self.last = previous;
        let held = Held { slot: slot.clone(), incarnation, used: 0, spans: Default::default() };
        self.shared.ledger.lock().open(held);
        self.segment = Some(OpenSegment { file, slot, incarnation, offset: HEADERS_BYTES });
        Ok(())
    }

    /// A file of `bytes` bytes to write a segment into: used before, or prewritten now.
    fn take_slot(&mut self, bytes: u64) -> Result<Slot, JournalError> {
        self.collect_retired();
        if let Some(index) = self.free.iter().position(|slot| slot.bytes == bytes) {
            return Ok(self.free.swap_remove(index));
        }
        if bytes == self.config.segment_bytes
            && let Some(spare) = self.spare.as_mut().and_then(SpareWriter::take)
        {
            return spare;
        }
        let number = self.next_slot;
        self.next_slot += 1;
        create_spare(&self.disk, self.lane, number, bytes)
    }

    /// Takes over what has retired. Files of another size, and more than a few, are deleted.
    fn collect_retired(&mut self) {
        while let Some(slot) = self.shared.ledger.lock().take_retired(self.released) {
            self.free.push(slot);
        }
        let mut kept = 0;
        let (disk, segment_bytes) = (&self.disk, self.config.segment_bytes);
        self.free.retain(|slot| {
            let keep = slot.bytes == segment_bytes && kept < FREE_SEGMENTS_MAX;
            kept += usize::from(keep);
            // A file that can't be removed is only space: the next start finds and removes it.
            keep || disk.remove(&slot.path).is_err()
        });
    }

    fn ask_for_spare(&mut self) {
        let Some(segment) = &self.segment else { return };
        if self.spare.is_none() || !self.free.is_empty() || segment.offset < segment.slot.bytes / 4 {
            return;
        }
        if self.shared.ledger.lock().has_retired() {
            return;
        }
        let Some(spare) = &mut self.spare else { return };
        if spare.ask(self.next_slot) {
            self.next_slot += 1;
        }
    }

    /// Incarnation of the oldest segment still needed; `next` if there is none.
    fn oldest(&self, next: u64) -> u64 {
        let held = self.shared.ledger.lock().oldest(next);
        self.superseded.map_or(held, |superseded| superseded.min(held))
    }

    /// Writes one group behind the last, without a sync.
    pub(super) fn append(&mut self, blocks: &[Block], flags: u16) -> Result<Position, JournalError> {
        let incarnation = self.segment.as_ref().map_or(0, |segment| segment.incarnation);
        let oldest = self.oldest(incarnation);
        let segment = self.segment.as_mut().expect("room was made in an open segment");
        let header = GroupHeader {
            journal: self.journal,
            lane: self.lane,
            incarnation: segment.incarnation,
            sequence: self.last.sequence + 1,
            known_durable: self.durable,
            oldest,
            previous_checksum: self.last.checksum,
            flags,
        };
        let checksum = group::encode(&mut self.buffer, &header, blocks);
        let bytes = self.buffer.len() as u64;
        assert!(segment.offset + bytes <= segment.slot.bytes, "a group never leaves its segment");
        let position = Position {
            lane: self.lane,
            sequence: header.sequence,
            segment: header.incarnation,
            offset: segment.offset,
        };
        if let Err(error) = segment.file.write_at(&self.buffer, segment.offset) {
            let path = segment.slot.path.clone();
            return Err(self.poison(Operation::Write, &path, &error));
        }
        segment.offset += bytes;
        self.last = Link { incarnation: header.incarnation, sequence: header.sequence, checksum };
        if !blocks.is_empty() {
            self.filled = header.sequence;
        }
        let spans = blocks.iter().flat_map(|block| block.spans.iter().copied());
        self.shared.ledger.lock().wrote(bytes, spans);
        self.stated = oldest;
        Ok(position)
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        match self.config.sync {
            SyncMode::Always => self.sync_always(),
            SyncMode::Off => Ok(()),
        }
    }

    /// Makes everything written durable.
    pub(super) fn sync_always(&mut self) -> Result<(), JournalError> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let mut synced = segment.file.sync();
        if synced.is_err() && is_planted(Bug::SyncRetried) {
            synced = segment.file.sync();
        }
        if let Err(error) = synced {
            let path = segment.slot.path.clone();
            return Err(self.poison(Operation::Sync, &path, &error));
        }
        self.durable = self.last.sequence;
        self.shared.filled.store(self.filled, Ordering::Release);
        self.released = self.released.max(self.stated);
        Ok(())
    }
}

/// How large a fresh segment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// The configured size, or more where needed.
    Whole,
    /// As little as needed, on a full disk.
    Least,
}
