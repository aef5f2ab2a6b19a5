//! One file of a partition's snapshot: written once, from front to back, and read whole.
//!
//! A full file holds every page of the partition; a delta holds the pages changed since its base generation. Both hold
//! all parts (small state that is always written whole). All numbers are little-endian.
//!
//! ```text
//!  0  magic "SJSN"               4
//!  4  format                     4   1
//!  8  generation                 8
//! 16  base generation            8   0 = full
//! 24  cut                        8   the last pseq whose changes are in it
//! 32  partition                  2
//! 34  zero                       2
//! 36  length of meta             4
//! 40  meta
//!     CRC-32 of all above        4
//!     sections: kind 1 (1 page, 2 parts, 3 end), zero 3, number of the page 4, length 4,
//!               CRC-32 of these 12 bytes and the section's bytes 4, bytes
//!     the section "end" holds:   count of pages 4, count of parts 4, bytes before this section 8,
//!                                CRC-32 over the CRC-32s of all sections before 4
//! ```
//!
//! A file gets its name only when it is whole and synced. Names: `snapshots/p0123/<generation>.snap`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, join, read_all};
use super::error::{Operation, StoreError};
use super::fields::Fields;
use crate::domain::ids::{Millis, PartitionId, Pseq};
use crate::planted::{Bug, is_planted};

/// Format of snapshot files.
pub const SNAPSHOT_FORMAT: u32 = 1;
const MAGIC: &[u8; 4] = b"SJSN";
const PAGE: u8 = 1;
const PARTS: u8 = 2;
const END: u8 = 3;
/// Bytes gathered before they are written: few system calls, little memory.
const WRITE_BYTES: usize = 1 << 20;

/// Full, or changes since an earlier generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// Every page.
    Full,
    /// The pages changed since that generation.
    Delta {
        /// The generation that this one builds on.
        base_generation: u64,
    },
}

/// A finished file, not yet named by the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedGeneration {
    /// Whose snapshot.
    pub partition: PartitionId,
    /// One more each time.
    pub generation: u64,
    /// Full or delta.
    pub kind: SnapshotKind,
    /// The last pseq whose changes are in it.
    pub cut: Pseq,
    /// Bytes of the file.
    pub bytes: u64,
    /// When the partition's next timer is due: partitions open lazily, and none may sleep through it.
    pub next_due: Millis,
    /// The caller's own.
    pub meta: Vec<u8>,
}

/// The directory of a partition's files.
pub(super) fn partition_directory(partition: PartitionId) -> String {
    format!("snapshots/p{:04}", partition.0)
}

/// The partition of a directory's name.
pub(super) fn partition_of(name: &str) -> Option<PartitionId> {
    name.strip_prefix('p')?.parse().ok().map(PartitionId)
}

/// The name of a generation's file.
pub(super) fn file_name(generation: u64) -> String {
    format!("{generation}.snap")
}

/// The generation in a file's name.
pub(super) fn generation_of(name: &str) -> Option<u64> {
    name.strip_suffix(".snap")?.parse().ok()
}

fn file_path(partition: PartitionId, generation: u64) -> String {
    join(&partition_directory(partition), &file_name(generation))
}

/// Writes one file. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    file: Option<Box<dyn DiskFile>>,
    path: String,
    temporary: String,
    published: PublishedGeneration,
    buffer: Vec<u8>,
    pages: u32,
    parts: u32,
    sections: crc32fast::Hasher,
}

impl SnapshotWriter {
    /// Begins the file of this generation (see [`SnapshotStore`](super::snapshot_store::SnapshotStore) for number and kind).
    pub fn begin(
        disk: Arc<dyn Disk>,
        partition: PartitionId,
        generation: u64,
        kind: SnapshotKind,
        cut: Pseq,
        meta: &[u8],
    ) -> Result<Self, StoreError> {
        assert!(generation > 0, "generations count from 1");
        let base = match kind {
            SnapshotKind::Full => 0,
            SnapshotKind::Delta { base_generation } => base_generation,
        };
        assert!(base < generation, "a delta builds on an earlier generation");
        let path = file_path(partition, generation);
        let temporary = format!("{path}.tmp");
        let opened = disk.create_dir(&partition_directory(partition)).and_then(|()| disk.create(&temporary));
        let file = opened.map_err(|error| StoreError::io(Operation::Open, &temporary, error))?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES + (64 << 10));
        buffer.extend_from_slice(MAGIC);
        buffer.extend_from_slice(&SNAPSHOT_FORMAT.to_le_bytes());
        buffer.extend_from_slice(&generation.to_le_bytes());
        buffer.extend_from_slice(&base.to_le_bytes());
        buffer.extend_from_slice(&cut.0.to_le_bytes());
        buffer.extend_from_slice(&partition.0.to_le_bytes());
        buffer.extend_from_slice(&[0; 2]);
        buffer.extend_from_slice(&length(meta).to_le_bytes());
        buffer.extend_from_slice(meta);
        buffer.extend_from_slice(&crc32fast::hash(&buffer).to_le_bytes());
        let (next_due, meta) = (Millis::NEVER, meta.to_vec());
        let published = PublishedGeneration { partition, generation, kind, cut, bytes: 0, next_due, meta };
        let sections = crc32fast::Hasher::new();
        Ok(Self { disk, file: Some(file), path, temporary, published, buffer, pages: 0, parts: 0, sections })
    }

    /// Whether it is to hold every page or changes.
    pub fn kind(&self) -> SnapshotKind {
        self.published.kind
    }

    /// Adds a page, replacing it in generations that build on this one.
    pub fn page(&mut self, page: u32, bytes: &[u8]) -> Result<(), StoreError> {
        self.pages += 1;
        self.section(PAGE, page, bytes)
    }

    /// Adds small state. Several calls read back as one string of bytes.
    pub fn parts(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.parts += 1;
        self.section(PARTS, 0, bytes)
    }

    /// Makes the file durable under its name. It counts once it is published.
    pub fn finish(mut self, next_due: Millis) -> Result<PublishedGeneration, StoreError> {
        let mut end = Vec::with_capacity(20);
        end.extend_from_slice(&self.pages.to_le_bytes());
        end.extend_from_slice(&self.parts.to_le_bytes());
        end.extend_from_slice(&(self.published.bytes + self.buffer.len() as u64).to_le_bytes());
        end.extend_from_slice(&self.sections.clone().finalize().to_le_bytes());
        self.section(END, 0, &end)?;
        self.write_out()?;
        let mut file = self.file.take().expect("a file is finished once");
        let directory = partition_directory(self.published.partition);
        let synced = if is_planted(Bug::SnapshotNotSynced) { Ok(()) } else { file.sync() };
        let named = synced
            .and_then(|()| self.disk.rename(&self.temporary, &self.path))
            .and_then(|()| if is_planted(Bug::SnapshotNotLinked) { Ok(()) } else { self.disk.sync_dir(&directory) });
        if let Err(error) = named {
            self.file = Some(file);
            return Err(StoreError::io(Operation::Sync, &self.path, error));
        }
        self.published.next_due = next_due;
        Ok(self.published.clone())
    }

    fn section(&mut self, kind: u8, number: u32, bytes: &[u8]) -> Result<(), StoreError> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[kind, 0, 0, 0]);
        self.buffer.extend_from_slice(&number.to_le_bytes());
        self.buffer.extend_from_slice(&length(bytes).to_le_bytes());
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&self.buffer[start..]);
        checksum.update(bytes);
        let checksum = checksum.finalize().to_le_bytes();
        self.sections.update(&checksum);
        self.buffer.extend_from_slice(&checksum);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<(), StoreError> {
        let file = self.file.as_mut().expect("a file is open until it is finished");
        let written = file.write_at(&self.buffer, self.published.bytes);
        written.map_err(|error| StoreError::io(Operation::Write, &self.temporary, error))?;
        self.published.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Whatever stays is removed by the next start.
            drop(self.disk.remove(&self.temporary));
        }
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("pages, parts and meta are far below 4 GiB")
}

/// What one file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SnapshotFile {
    pub kind: SnapshotKind,
    pub cut: Pseq,
    pub meta: Vec<u8>,
    pub pages: BTreeMap<u32, Vec<u8>>,
    pub parts: Vec<u8>,
}

/// Reads and checks a file.
///
/// # Errors
/// [`StoreError::Corrupt`] with the place where it stops being what was written.
pub(super) fn read_file(disk: &dyn Disk, partition: PartitionId, generation: u64) -> Result<SnapshotFile, StoreError> {
    let path = file_path(partition, generation);
    let bytes = read_all(disk, &path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => StoreError::corrupt(&path, 0, "the file is missing"),
        _ => StoreError::io(Operation::Read, &path, error),
    })?;
    let mut fields = Fields(&bytes);
    let header = decode_header(&mut fields, &bytes, &path)?;
    if header.partition != partition || header.generation != generation {
        return Err(StoreError::corrupt(&path, 8, "it is the snapshot of another partition or generation"));
    }
    let (kind, cut, meta) = (header.kind, header.cut, header.meta.to_vec());
    let mut file = SnapshotFile { kind, cut, meta, pages: BTreeMap::new(), parts: Vec::new() };
    let (mut pages, mut parts, mut sections) = (0u32, 0u32, crc32fast::Hasher::new());
    loop {
        let offset = (bytes.len() - fields.0.len()) as u64;
        let torn = || StoreError::corrupt(&path, offset, "the section here does not hold");
        let section = read_section(&mut fields).ok_or_else(torn)?;
        match section.kind {
            PAGE => {
                file.pages.insert(section.number, section.bytes.to_vec());
                pages += 1;
            }
            PARTS => {
                file.parts.extend_from_slice(section.bytes);
                parts += 1;
            }
            END => {
                let mut end = Fields(section.bytes);
                let stated = (end.u32(), end.u32(), end.u64(), end.u32());
                let found = (Some(pages), Some(parts), Some(offset), Some(sections.finalize()));
                return if stated == found && fields.0.is_empty() { Ok(file) } else { Err(torn()) };
            }
            _ => return Err(torn()),
        }
        sections.update(&section.checksum.to_le_bytes());
    }
}

struct FileHeader<'a> {
    partition: PartitionId,
    generation: u64,
    kind: SnapshotKind,
    cut: Pseq,
    meta: &'a [u8],
}

fn decode_header<'a>(fields: &mut Fields<'a>, bytes: &'a [u8], path: &str) -> Result<FileHeader<'a>, StoreError> {
    let damaged = || StoreError::corrupt(path, 0, "the header does not hold");
    if fields.bytes(MAGIC.len()) != Some(MAGIC) {
        return Err(damaged());
    }
    let format = fields.u32().ok_or_else(damaged)?;
    if format > SNAPSHOT_FORMAT {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found: format, supported: SNAPSHOT_FORMAT });
    }
    let mut rest = || {
        let (generation, base, cut) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (partition, _, meta_length) = (fields.u16()?, fields.u16()?, fields.u32()?);
        let meta = fields.bytes(meta_length as usize)?;
        let covered = bytes.len() - fields.0.len();
        (fields.u32()? == crc32fast::hash(&bytes[..covered])).then_some(())?;
        let kind = if base == 0 { SnapshotKind::Full } else { SnapshotKind::Delta { base_generation: base } };
        Some(FileHeader { partition: PartitionId(partition), generation, kind, cut: Pseq(cut), meta })
    };
    rest().ok_or_else(damaged)
}

struct Section<'a> {
    kind: u8,
    number: u32,
    checksum: u32,
    bytes: &'a [u8],
}

fn read_section<'a>(fields: &mut Fields<'a>) -> Option<Section<'a>> {
    let head = fields.bytes(12)?;
    let checksum = fields.u32()?;
    let mut head_fields = Fields(head);
    let (kind, _, number) = (head_fields.u8()?, head_fields.bytes(3)?, head_fields.u32()?);
    let bytes = fields.bytes(head_fields.u32()? as usize)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(bytes);
    (hasher.finalize() == checksum || is_planted(Bug::SnapshotsNotChecked)).then_some(Section {
        kind,
        number,
        checksum,
        bytes,
    })
}
