//! Reads one segment file by itself: its header, and its groups as far as their chain holds.

use std::sync::Arc;

use super::SpansOf;
use super::group::{self, ALIGNMENT, Parsed};
use super::ledger::{Spans, merge};
use super::segment::{FirstPages, HEADERS_BYTES, JOURNAL_FORMAT, Link, SegmentHeader, Slot, read_first_pages};
use crate::domain::ids::{PartitionId, Pseq};
use crate::planted::{Bug, is_planted};
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::{Operation, StoreError};

/// Pieces in which a segment is searched (bytes).
const SEARCH: usize = 1 << 20;

/// A group whose every byte is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupAt {
    pub sequence: u64,
    pub checksum: u32,
    pub offset: u64,
    pub length: u32,
    pub blocks: u32,
    pub oldest: u64,
}

/// A segment as it is on the disk.
#[derive(Debug)]
pub(super) struct Walked {
    pub slot: Slot,
    pub header: SegmentHeader,
    pub groups: Vec<GroupAt>,
    /// Behind the last good group.
    pub end: u64,
    /// The sequence of the last good group, or of the one before the segment.
    pub end_sequence: u64,
    /// The highest sequence that a group or the header states to be durable.
    pub proven: u64,
    /// Spans of the groups up to `proven`.
    spans: Spans,
    /// Spans of each later group.
    later: Vec<(u64, Vec<(PartitionId, Pseq)>)>,
}

/// What a file in a lane's directory is.
#[derive(Debug)]
pub(super) enum Found {
    Segment(Walked),
    /// Prewritten, never used.
    Spare(Slot),
    /// Without a header, or with one that holds no longer; the youngest incarnation among groups that it still shows.
    Headless {
        slot: Slot,
        youngest_group: u64,
    },
}

impl Walked {
    /// The last good group, or the one before the segment.
    pub(super) fn last_sequence(&self) -> u64 {
        self.groups.last().map_or(self.header.previous.sequence, |group| group.sequence)
    }

    /// Forgets groups after `sequence`: a younger segment has taken their place.
    pub(super) fn cut(&mut self, sequence: u64) {
        self.groups.truncate(self.groups.partition_point(|group| group.sequence <= sequence));
        self.later.retain(|(of, _)| *of <= sequence);
    }

    /// Names the group with this sequence.
    pub(super) fn link(&self, sequence: u64) -> Option<Link> {
        let first = self.groups.first()?.sequence;
        let group = self.groups.get(usize::try_from(sequence.checked_sub(first)?).ok()?)?;
        Some(Link { incarnation: self.header.incarnation, sequence, checksum: group.checksum })
    }

    /// The spans of all groups up to `sequence`.
    pub(super) fn spans_until(&mut self, sequence: u64) -> Spans {
        let mut spans = std::mem::take(&mut self.spans);
        for (_, more) in self.later.drain(..).filter(|(of, _)| *of <= sequence) {
            merge(&mut spans, more);
        }
        spans
    }

    fn take(&mut self, parsed: &Parsed, offset: u64, spans: Vec<(PartitionId, Pseq)>) {
        let header = &parsed.header;
        self.later.push((header.sequence, spans));
        if header.known_durable > self.proven {
            self.proven = header.known_durable;
            let now_proven = self.later.iter().take_while(|(sequence, _)| *sequence <= self.proven).count();
            for (_, spans) in self.later.drain(..now_proven) {
                merge(&mut self.spans, spans);
            }
        }
        self.groups.push(GroupAt {
            sequence: header.sequence,
            checksum: parsed.checksum,
            offset,
            length: parsed.length,
            blocks: parsed.entries.len() as u32,
            oldest: header.oldest,
        });
        self.end = offset + group::padded(u64::from(parsed.length));
        self.end_sequence = header.sequence;
    }
}

/// Reads a file of the lane.
pub(super) fn read_file(
    disk: &Arc<dyn Disk>,
    path: &str,
    journal: u128,
    lane: u16,
    spans_of: SpansOf,
) -> Result<Found, StoreError> {
    let failed = |operation| move |error| StoreError::io(operation, path, error);
    let file = disk.open_read(path).map_err(failed(Operation::Open))?;
    let bytes = file.len().map_err(failed(Operation::Read))?;
    let slot = Slot { path: path.to_owned(), bytes };
    match read_first_pages(&*file).map_err(failed(Operation::Read))? {
        FirstPages::Newer(found) => {
            Err(StoreError::NewerFormat { path: path.to_owned(), found, supported: JOURNAL_FORMAT })
        }
        pages @ (FirstPages::Spare | FirstPages::Unreadable) => {
            let found = search(&*file, bytes, HEADERS_BYTES, journal).map_err(failed(Operation::Read))?;
            match found.iter().map(|parsed| parsed.header.incarnation).max() {
                // A header that never reached the disk leaves the spare's beginning before its groups.
                None if pages == FirstPages::Spare => Ok(Found::Spare(slot)),
                youngest => Ok(Found::Headless { slot, youngest_group: youngest.unwrap_or(0) }),
            }
        }
        FirstPages::Header(header) if header.journal != journal || header.lane != lane => {
            Err(StoreError::corrupt(path, 0, "the segment belongs to another data directory or lane"))
        }
        FirstPages::Header(header) => {
            walk(&*file, slot, header, spans_of).map(Found::Segment).map_err(failed(Operation::Read))
        }
    }
}

fn walk(file: &dyn DiskFile, slot: Slot, header: SegmentHeader, spans_of: SpansOf) -> std::io::Result<Walked> {
    let bytes = slot.bytes;
    let mut walked = Walked {
        slot,
        header,
        groups: Vec::new(),
        end: HEADERS_BYTES,
        end_sequence: header.previous.sequence,
        proven: header.previous.sequence,
        spans: Spans::new(),
        later: Vec::new(),
    };
    let mut previous = header.previous;
    let mut buffer = Vec::new();
    while let Some(parsed) = read_group(file, walked.end, bytes, header.journal, &mut buffer)? {
        if !parsed.continues(header.journal, header.lane, header.incarnation, previous) {
            break;
        }
        let mut spans = Vec::new();
        for entry in &parsed.entries {
            let block = parsed.block(&buffer, entry).expect("read_group has checked the blocks");
            spans.extend(spans_of(block));
        }
        let (offset, header) = (walked.end, &parsed.header);
        previous = Link { incarnation: header.incarnation, sequence: header.sequence, checksum: parsed.checksum };
        walked.take(&parsed, offset, spans);
    }
    Ok(walked)
}

/// Reads the group at `offset` into `buffer` (without padding); `None` if there is none whose every byte holds.
pub(super) fn read_group(
    file: &dyn DiskFile,
    offset: u64,
    file_bytes: u64,
    journal: u128,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Parsed>> {
    let room = file_bytes.saturating_sub(offset);
    let Some(parsed) = read_table(file, offset, room, journal, buffer)? else { return Ok(None) };
    let length = parsed.length as usize;
    if u64::from(parsed.length) > room {
        return Ok(None);
    }
    let have = buffer.len().min(length);
    buffer.resize(length, 0);
    let read = file.read_at(&mut buffer[have..], offset + have as u64)?;
    let whole = have + read == length && parsed.entries.iter().all(|entry| parsed.block(buffer, entry).is_some());
    Ok(whole.then_some(parsed))
}

/// Reads header and table of the group at `offset`; `None` if they don't hold.
fn read_table(
    file: &dyn DiskFile,
    offset: u64,
    room: u64,
    journal: u128,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Parsed>> {
    buffer.clear();
    buffer.resize(ALIGNMENT.min(room) as usize, 0);
    file.read_at(buffer, offset)?;
    let Some(end) = group::table_end(buffer, journal) else { return Ok(None) };
    if end as u64 > room {
        return Ok(None);
    }
    let have = buffer.len();
    if end > have {
        buffer.resize(end, 0);
        file.read_at(&mut buffer[have..], offset + have as u64)?;
    }
    Ok(group::parse(buffer))
}

/// All groups of this journal from `offset` on whose header and table hold, whatever chain they belong to.
fn search(file: &dyn DiskFile, bytes: u64, offset: u64, journal: u128) -> std::io::Result<Vec<Parsed>> {
    let mut found = Vec::new();
    let mut piece = vec![0; SEARCH.min(bytes.saturating_sub(offset) as usize)];
    let mut table = Vec::new();
    let mut at = offset.next_multiple_of(ALIGNMENT);
    while at < bytes {
        let read = file.read_at(&mut piece, at)?;
        for (index, page) in piece[..read].chunks(ALIGNMENT as usize).enumerate() {
            let page_at = at + index as u64 * ALIGNMENT;
            if group::table_end(page, journal).is_some()
                && let Some(parsed) = read_table(file, page_at, bytes - page_at, journal, &mut table)?
            {
                found.push(parsed);
            }
        }
        at += SEARCH as u64;
    }
    Ok(found)
}

/// Refuses a segment whose header is that of an earlier use. A header is durable before the first group behind it is
/// written, so groups of a later use mean that the disk has lost it.
///
/// # Errors
/// [`StoreError::Corrupt`] if there are such groups.
pub(super) fn refuse_old_header(disk: &Arc<dyn Disk>, walked: &Walked) -> Result<(), StoreError> {
    let path = &walked.slot.path;
    let failed = |error| StoreError::io(Operation::Read, path, error);
    let file = disk.open_read(path).map_err(failed)?;
    let incarnation = walked.header.incarnation;
    let behind = search(&*file, walked.slot.bytes, walked.end, walked.header.journal).map_err(failed)?;
    let youngest = behind.iter().map(|parsed| parsed.header.incarnation).max().unwrap_or(0);
    if youngest > incarnation {
        let what = format!("this segment begins as its incarnation {incarnation}, yet groups of {youngest} follow");
        return Err(StoreError::corrupt(path, 0, what));
    }
    Ok(())
}

/// What stands behind the end of the chain in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// Groups of the same use whose header and table hold.
    pub groups: usize,
    /// The highest sequence that one of them states to be durable.
    pub proven: u64,
}

/// Searches behind the end of the chain in a segment.
///
/// # Errors
/// [`StoreError::Corrupt`] if a later group proves that what should stand at the end was durable.
pub(super) fn search_behind(disk: &Arc<dyn Disk>, walked: &Walked) -> Result<Behind, StoreError> {
    let path = &walked.slot.path;
    let failed = |error| StoreError::io(Operation::Read, path, error);
    let file = disk.open_read(path).map_err(failed)?;
    let header = &walked.header;
    let mut later = search(&*file, walked.slot.bytes, walked.end, header.journal).map_err(failed)?;
    later.retain(|parsed| parsed.header.incarnation == header.incarnation);
    let proven = later.iter().map(|parsed| parsed.header.known_durable).max().unwrap_or(0);
    if proven > walked.end_sequence && !is_planted(Bug::DamageTakenForEnd) {
        let what = format!(
            "the group here (sequence {}) does not hold, yet a later one proves that all up to {proven} was durable",
            walked.end_sequence + 1
        );
        return Err(StoreError::corrupt(path, walked.end, what));
    }
    Ok(Behind { groups: later.len(), proven })
}
