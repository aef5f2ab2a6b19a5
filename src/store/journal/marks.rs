//! How far each lane was known to be durable, beside the journal: so that a start misses what is gone without a trace.
//!
//! Each group tells which groups before it were durable. So a start sees any damage but one: that which took all groups
//! since some moment, proofs and all, and looks like a journal that ended then. For this the file `DURABLE`, at the top
//! of the data directory, names a group that was durable. A lane that ends before it is damaged.
//!
//! INVARIANT: a mark names a group with blocks whose sync has returned, and is never needed: one that is behind, torn, lost or
//! removed costs only what it could have told. So it is written now and then, beside the lane, and failures are only logged.
//!
//! There are two pages for each lane, written in turn; the valid one with the higher version counts. Little-endian.
//!
//! ```text
//!  0  magic "SJDM"         4
//!  4  format               4   1
//!  8  journal id          16   of the data directory
//! 24  lane                 2
//! 26  zero                 6
//! 32  version              8   one more with every write
//! 40  sequence             8   of the last group with blocks that was durable
//! 48  CRC-32 of the above  4
//! ```

use std::sync::Arc;

use parking_lot::Mutex;

use super::group::ALIGNMENT;
use crate::store::disk::{Disk, DiskFile, read_all};
use crate::store::error::{Operation, StoreError};
use crate::store::fields::Fields;

/// The file, at the top of the data directory.
pub const MARKS_FILE: &str = "DURABLE";
/// Format of the marks.
const MARKS_FORMAT: u32 = 1;
const MAGIC: &[u8; 4] = b"SJDM";
const COVERED: usize = 48;

/// Whether a mark is to outlast a power cut at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The system writes it when it likes to.
    Written,
    /// It is durable when the call returns.
    Synced,
}

/// The marks of all lanes. Use from any thread.
#[derive(Debug)]
pub(super) struct Marks {
    journal: u128,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` until all lanes are open, and where it can't be written.
    file: Option<Box<dyn DiskFile>>,
    lanes: Vec<Mark>,
    /// Written since the last sync.
    is_unsynced: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    version: u64,
    sequence: u64,
}

impl Marks {
    /// Reads what there is; writes nothing.
    ///
    /// # Errors
    /// If the file can't be read, or is of a newer format. One that holds no longer only says nothing.
    pub(super) fn read(disk: &Arc<dyn Disk>, journal: u128, lanes: u16) -> Result<Self, StoreError> {
        let bytes = match read_all(&**disk, MARKS_FILE) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|error| StoreError::io(Operation::Read, MARKS_FILE, error))?,
        };
        let mut marks = vec![Mark::default(); usize::from(lanes)];
        for page in bytes.chunks(ALIGNMENT as usize) {
            let Some((lane, mark)) = Mark::decode(page, journal)? else { continue };
            if let Some(known) = marks.get_mut(usize::from(lane))
                && known.version < mark.version
            {
                *known = mark;
            }
        }
        let state = State { file: None, lanes: marks, is_unsynced: false };
        Ok(Self { journal, state: Mutex::new(state) })
    }

    /// The last group of the lane known to have been durable; 0 if nothing is known.
    pub(super) fn known(&self, lane: u16) -> u64 {
        self.state.lock().lanes[usize::from(lane)].sequence
    }

    /// Lets marks be written from now on.
    pub(super) fn begin(&self, disk: &Arc<dyn Disk>) {
        let mut state = self.state.lock();
        let bytes = 2 * ALIGNMENT * state.lanes.len() as u64;
        match open_or_create(&**disk, bytes) {
            Ok(file) => state.file = Some(file),
            Err(error) => tracing::warn!(%error, "{MARKS_FILE} can't be written: the next start knows less"),
        }
    }

    /// Notes that the lane is durable up to this group, which has blocks.
    pub(super) fn note(&self, lane: u16, sequence: u64, note: Note) {
        let mut state = self.state.lock();
        let State { file: Some(file), lanes, is_unsynced } = &mut *state else { return };
        let known = &mut lanes[usize::from(lane)];
        let mut noted = Ok(());
        if sequence > known.sequence {
            *known = Mark { version: known.version.saturating_add(1), sequence };
            let page = 2 * u64::from(lane) + known.version % 2;
            noted = file.write_at(&known.encode(lane, self.journal), page * ALIGNMENT);
            *is_unsynced = true;
        }
        if note == Note::Synced && *is_unsynced && noted.is_ok() {
            noted = file.sync();
            *is_unsynced = noted.is_err();
        }
        if let Err(error) = noted {
            tracing::warn!(%error, "{MARKS_FILE} was not written: the next start knows less");
        }
    }
}

fn open_or_create(disk: &dyn Disk, bytes: u64) -> std::io::Result<Box<dyn DiskFile>> {
    match disk.open_write(MARKS_FILE) {
        Ok(file) if file.len()? == bytes => return Ok(file),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = disk.create(MARKS_FILE)?;
    file.prewrite(bytes)?;
    disk.sync_dir("")?;
    Ok(file)
}

impl Mark {
    fn encode(self, lane: u16, journal: u128) -> Vec<u8> {
        let mut page = Vec::with_capacity(COVERED + 4);
        page.extend_from_slice(MAGIC);
        page.extend_from_slice(&MARKS_FORMAT.to_le_bytes());
        page.extend_from_slice(&journal.to_le_bytes());
        page.extend_from_slice(&lane.to_le_bytes());
        page.extend_from_slice(&[0; 6]);
        page.extend_from_slice(&self.version.to_le_bytes());
        page.extend_from_slice(&self.sequence.to_le_bytes());
        debug_assert_eq!(page.len(), COVERED);
        page.extend_from_slice(&crc32fast::hash(&page).to_le_bytes());
        page
    }

    /// The mark on a page and its lane, if one of this journal holds there.
    fn decode(page: &[u8], journal: u128) -> Result<Option<(u16, Self)>, StoreError> {
        let mut fields = Fields(page);
        let Some(covered) = fields.bytes(COVERED) else { return Ok(None) };
        if !covered.starts_with(MAGIC) || fields.u32() != Some(crc32fast::hash(covered)) {
            return Ok(None);
        }
        let mut fields = Fields(&covered[MAGIC.len()..]);
        let mut read =
            || Some((fields.u32()?, fields.u128()?, fields.u16()?, fields.bytes(6)?, fields.u64()?, fields.u64()?));
        let (format, of, lane, _, version, sequence) = read().expect("the length was checked");
        if format > MARKS_FORMAT {
            let path = MARKS_FILE.to_owned();
            return Err(StoreError::NewerFormat { path, found: format, supported: MARKS_FORMAT });
        }
        Ok((of == journal).then_some((lane, Self { version, sequence })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryDisk;

    fn known(disk: &MemoryDisk, journal: u128) -> [u64; 2] {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let marks = Marks::read(&disk, journal, 2).expect("reads");
        [marks.known(0), marks.known(1)]
    }

    fn marked(disk: &MemoryDisk) -> Marks {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let marks = Marks::read(&disk, 1, 2).expect("reads");
        marks.begin(&disk);
        marks
    }

    #[test]
    fn each_lane_has_its_mark_which_only_grows() {
        let disk = MemoryDisk::tracked();
        assert_eq!(known(&disk, 1), [0, 0]);
        let marks = marked(&disk);
        for (lane, sequence) in [(0, 5), (1, 7), (0, 9), (1, 6)] {
            marks.note(lane, sequence, Note::Synced);
        }
        assert_eq!(known(&disk.crash(1), 1), [9, 7]);
        assert_eq!(known(&disk, 2), [0, 0], "another directory's say nothing");
        marked(&disk).note(0, 10, Note::Written);
        assert_eq!(known(&disk, 1), [10, 7]);
    }

    #[test]
    fn a_damaged_page_leaves_the_mark_before() {
        let disk = MemoryDisk::tracked();
        let marks = marked(&disk);
        marks.note(0, 5, Note::Synced);
        marks.note(0, 9, Note::Synced);
        disk.corrupt(MARKS_FILE, 40, 0x10);
        assert_eq!(known(&disk, 1), [5, 0]);
        disk.corrupt(MARKS_FILE, ALIGNMENT + 40, 0x10);
        assert_eq!(known(&disk, 1), [0, 0]);
    }

    #[test]
    fn a_mark_that_can_t_be_written_is_missed_by_nobody() {
        let disk = MemoryDisk::tracked();
        disk.set_capacity(Some(100));
        let marks = marked(&disk);
        marks.note(0, 5, Note::Synced);
        disk.set_capacity(None);
        assert_eq!(known(&disk, 1), [0, 0]);
    }
}
