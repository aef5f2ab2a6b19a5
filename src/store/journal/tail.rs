//! The groups that recovery found, for replay: streamed group by group, never the whole tail in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::block::BlockAt;
use super::walk::{GroupAt, read_group};
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::{Operation, StoreError};

/// The groups of one segment that count.
#[derive(Clone, Debug)]
pub(super) struct TailSegment {
    pub lane: u16,
    pub incarnation: u64,
    pub path: String,
    pub bytes: u64,
    pub groups: Vec<GroupAt>,
}

/// All blocks that were durable when the journal was opened, or that opening it has made durable.
#[derive(Debug)]
pub struct Tail {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: u128,
    pub(super) segments: Vec<TailSegment>,
}

impl Tail {
    /// Calls `each` with every block: lane after lane, in each lane in the order they were written.
    ///
    /// # Errors
    /// The first error of `each`, or of reading.
    pub fn for_each_block<E: From<StoreError>>(
        &self,
        mut each: impl FnMut(BlockAt, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = Vec::new();
        for segment in &self.segments {
            let path = &segment.path;
            let file = self.disk.open_read(path).map_err(|error| StoreError::io(Operation::Open, path, error))?;
            for group in &segment.groups {
                let read = read_group(&*file, group.offset, segment.bytes, self.journal, &mut buffer);
                let parsed = read.map_err(|error| StoreError::io(Operation::Read, path, error))?;
                let parsed = parsed.filter(|parsed| parsed.checksum == group.checksum);
                let parsed = parsed.ok_or_else(|| changed(path, group.offset))?;
                for entry in &parsed.entries {
                    let bytes = parsed.block(&buffer, entry).ok_or_else(|| changed(path, group.offset))?;
                    let at = BlockAt {
                        lane: segment.lane,
                        segment: segment.incarnation,
                        offset: group.offset + u64::from(entry.offset),
                        len: entry.len,
                        checksum: entry.checksum,
                    };
                    each(at, bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Groups found, empty ones too.
    pub fn group_count(&self) -> usize {
        self.segments.iter().map(|segment| segment.groups.len()).sum()
    }

    /// Reads single blocks later, for partitions that open lazily.
    pub fn reader(&self) -> TailReader {
        let path = |segment: &TailSegment| ((segment.lane, segment.incarnation), segment.path.clone());
        let paths = self.segments.iter().map(path).collect();
        TailReader { shared: Arc::new(Reading { disk: Arc::clone(&self.disk), paths, files: Mutex::default() }) }
    }
}

fn changed(path: &str, offset: u64) -> StoreError {
    StoreError::corrupt(path, offset, "the group here held when the journal was opened and does not now")
}

/// Reads blocks of the tail. Clones share open files; use from any thread.
///
/// A block stays readable while one of its partitions has not passed it.
#[derive(Clone)]
pub struct TailReader {
    shared: Arc<Reading>,
}

struct Reading {
    disk: Arc<dyn Disk>,
    paths: HashMap<(u16, u64), String>,
    files: Mutex<HashMap<(u16, u64), Arc<dyn DiskFile>>>,
}

impl fmt::Debug for TailReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TailReader").field("segments", &self.shared.paths.len()).finish()
    }
}

impl TailReader {
    /// The bytes of a block that [`Tail::for_each_block`] has shown.
    pub fn read(&self, at: BlockAt) -> Result<Vec<u8>, StoreError> {
        let key = (at.lane, at.segment);
        let path = self.shared.paths.get(&key).map_or("journal", String::as_str);
        let file = self.file(key, path)?;
        let mut bytes = vec![0; at.len as usize];
        let read = file.read_at(&mut bytes, at.offset).map_err(|error| StoreError::io(Operation::Read, path, error))?;
        if read < bytes.len() || crc32fast::hash(&bytes) != at.checksum {
            return Err(changed(path, at.offset));
        }
        Ok(bytes)
    }

    fn file(&self, key: (u16, u64), path: &str) -> Result<Arc<dyn DiskFile>, StoreError> {
        let mut files = self.shared.files.lock();
        if let Some(file) = files.get(&key) {
            return Ok(Arc::clone(file));
        }
        let opened = self.shared.disk.open_read(path).map_err(|error| StoreError::io(Operation::Open, path, error))?;
        let file: Arc<dyn DiskFile> = Arc::from(opened);
        files.insert(key, Arc::clone(&file));
        Ok(file)
    }
}
