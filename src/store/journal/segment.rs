//! Segments: files of a fixed size, prewritten with zeros and used again and again. A use is an *incarnation*.
//!
//! The first two pages hold the header twice (a damaged page alone loses nothing), the groups follow. The header is
//! synced before the first group is written, so a header that no sync covered has no groups behind it.
//!
//! ```text
//!  0  magic "SJJL"                    4
//!  4  format                          4   1
//!  8  journal id                     16   of the data directory
//! 24  incarnation                     8   strictly growing in the lane, over the life of the directory
//! 32  bytes of the file               8
//! 40  the group before: incarnation   8   \
//! 48                    sequence      8    } all up to it was durable before this header was written
//! 56                    checksum      4   /
//! 60  lane                            2
//! 62  zero                            2
//! 64  rewritten until                 8   groups after "the group before" and up to this one are written anew here;
//!                                         until all of them are there, the old ones count and this segment does not
//! 72  oldest segment still needed     8   its incarnation
//! 80  CRC-32 of the above             4
//! ```
//!
//! A prewritten file that was never used begins with "SJSPARE\0". Files are `journal/lane-NN/NNNNNN.seg`; the number
//! in the name is only a name.

use std::sync::Arc;

use super::group::ALIGNMENT;
use crate::planted::{Bug, is_planted};
use crate::store::disk::{Disk, DiskFile, join};
use crate::store::error::{JournalError, Operation, StoreError, is_disk_full};
use crate::store::fields::Fields;

/// Format of segments and groups.
pub const JOURNAL_FORMAT: u32 = 1;
/// Bytes before the first group.
pub(super) const HEADERS_BYTES: u64 = 2 * ALIGNMENT;
const MAGIC: &[u8; 4] = b"SJJL";
const SPARE: &[u8; 8] = b"SJSPARE\0";
const COVERED: usize = 80;

/// Names a group so that the next one can be chained to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub incarnation: u64,
    pub sequence: u64,
    pub checksum: u32,
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub journal: u128,
    pub lane: u16,
    pub incarnation: u64,
    pub bytes: u64,
    pub previous: Link,
    pub rewritten_until: u64,
    pub oldest: u64,
}

/// What the first pages of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstPages {
    Header(SegmentHeader),
    /// Prewritten, never used.
    Spare,
    /// A newer format.
    Newer(u32),
    /// No header that holds.
    Unreadable,
}

impl SegmentHeader {
    /// Both pages.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(HEADERS_BYTES as usize);
        page.extend_from_slice(MAGIC);
        page.extend_from_slice(&JOURNAL_FORMAT.to_le_bytes());
        page.extend_from_slice(&self.journal.to_le_bytes());
        page.extend_from_slice(&self.incarnation.to_le_bytes());
        page.extend_from_slice(&self.bytes.to_le_bytes());
        page.extend_from_slice(&self.previous.incarnation.to_le_bytes());
        page.extend_from_slice(&self.previous.sequence.to_le_bytes());
        page.extend_from_slice(&self.previous.checksum.to_le_bytes());
        page.extend_from_slice(&self.lane.to_le_bytes());
        page.extend_from_slice(&[0; 2]);
        page.extend_from_slice(&self.rewritten_until.to_le_bytes());
        page.extend_from_slice(&self.oldest.to_le_bytes());
        debug_assert_eq!(page.len(), COVERED);
        page.extend_from_slice(&crc32fast::hash(&page).to_le_bytes());
        page.resize(ALIGNMENT as usize, 0);
        page.extend_from_within(..);
        page
    }

    fn decode(page: &[u8]) -> FirstPages {
        Self::fields(page).unwrap_or(FirstPages::Unreadable)
    }

    fn fields(page: &[u8]) -> Option<FirstPages> {
        let mut fields = Fields(page.strip_prefix(MAGIC)?);
        let format = fields.u32()?;
        if format > JOURNAL_FORMAT {
            return Some(FirstPages::Newer(format));
        }
        let (journal, incarnation, bytes) = (fields.u128()?, fields.u64()?, fields.u64()?);
        let previous = Link { incarnation: fields.u64()?, sequence: fields.u64()?, checksum: fields.u32()? };
        let (lane, _, rewritten_until, oldest) = (fields.u16()?, fields.u16()?, fields.u64()?, fields.u64()?);
        let checksum = fields.u32()?;
        if crc32fast::hash(&page[..COVERED]) != checksum || incarnation == 0 {
            return None;
        }
        Some(FirstPages::Header(Self { journal, lane, incarnation, bytes, previous, rewritten_until, oldest }))
    }
}

/// Reads what a file's first pages say: the first copy that holds.
pub(super) fn read_first_pages(file: &dyn DiskFile) -> std::io::Result<FirstPages> {
    let mut pages = vec![0; HEADERS_BYTES as usize];
    file.read_at(&mut pages, 0)?;
    let (first, second) = pages.split_at(ALIGNMENT as usize);
    Ok(match (SegmentHeader::decode(first), SegmentHeader::decode(second)) {
        (FirstPages::Unreadable, FirstPages::Unreadable) if first.starts_with(SPARE) => FirstPages::Spare,
        (FirstPages::Unreadable, second) => second,
        // A torn overwrite may leave one page of an earlier use: the later use counts.
        (FirstPages::Header(a), FirstPages::Header(b)) if b.incarnation > a.incarnation => FirstPages::Header(b),
        (first, _) => first,
    })
}

/// A file that may hold a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub path: String,
    pub bytes: u64,
}

/// The directory of a lane.
pub(super) fn lane_directory(lane: u16) -> String {
    format!("journal/lane-{lane:02}")
}

/// The path of the segment file numbered `number`.
pub(super) fn slot_path(lane: u16, number: u64) -> String {
    join(&lane_directory(lane), &format!("{number:06}.seg"))
}

/// The number in a segment file's name.
pub(super) fn slot_number(name: &str) -> Option<u64> {
    name.strip_suffix(".seg")?.parse().ok()
}

/// Creates a file of durable zeros, marked as spare.
pub(super) fn create_spare(disk: &Arc<dyn Disk>, lane: u16, number: u64, bytes: u64) -> Result<Slot, JournalError> {
    let path = slot_path(lane, number);
    let free = disk.free_bytes().map_err(|error| poisoned(Operation::Directory, &path, &error))?;
    if free < bytes {
        return Err(JournalError::DiskFull);
    }
    let created = (|| {
        let mut file = disk.create(&path)?;
        file.prewrite(bytes)?;
        file.write_at(SPARE, 0)?;
        file.sync()?;
        if is_planted(Bug::SegmentNotLinked) {
            return Ok(());
        }
        disk.sync_dir(&lane_directory(lane))
    })();
    match created {
        Ok(()) => Ok(Slot { path, bytes }),
        Err(error) if is_disk_full(&error) => {
            // The half of a file takes the very space that is missing; should this fail, the next start removes it.
            drop(disk.remove(&path));
            Err(JournalError::DiskFull)
        }
        Err(error) => Err(poisoned(Operation::Write, &path, &error)),
    }
}

pub(super) fn poisoned(operation: Operation, path: &str, error: &std::io::Error) -> JournalError {
    JournalError::Poisoned { operation, path: path.to_owned(), message: error.to_string() }
}

impl From<JournalError> for StoreError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Poisoned { operation, path, message } => {
                Self::Io { operation, path, source: std::io::Error::other(message) }
            }
            JournalError::DiskFull => Self::DiskFull { path: "journal".to_owned() },
            JournalError::Stopped => Self::Io {
                operation: Operation::Write,
                path: "journal".to_owned(),
                source: std::io::Error::other("the journal is stopped"),
            },
        }
    }
}
