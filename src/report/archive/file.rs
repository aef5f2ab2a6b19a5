//! A file of the archive: many partitions' chunks, written once and never changed.
//!
//! ```text
//! archive-<number, 16 hex digits>.soj, all numbers little-endian
//!   magic "SOJARC01"
//!   chunks       each: entries, LZ4 block · filter bits
//!   directory    n × 72 B, sorted by (partition, first pseq):
//!                partition u16 · 0 u16 · entry count u32 · offset u64 · stored bytes u32 · raw bytes u32 ·
//!                crc32 of stored u32 · filter bytes u32 · crc32 of filter u32 · first pseq u64 · last pseq u64 ·
//!                earliest i64 · latest i64 · crc32 of the 68 bytes before u32
//!   watermarks   m × 10 B: partition u16 · pseq u64, of every partition ever fed
//!   trailer      64 B: directory offset u64 · chunk count u32 · watermark count u32 · entry count u64 ·
//!                earliest i64 · latest i64 · crc32 of watermarks u32 · 0 u32 · 0 u32 ·
//!                crc32 of the 52 bytes before u32 · magic "SOJAREND"
//! ```
//!
//! Opening reads the trailer only, and of the newest file the watermarks. A file comes into being by sync, rename and
//! sync of its directory, so one under its final name is whole; whatever ends in `.tmp` is not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::domain::ids::{Millis, PartitionId, ProfileKey, Pseq};
use crate::report::archive::chunk::{Chunk, Extent, filter_has};
use crate::wire::cursor::{Cursor, WireError};

const MAGIC: &[u8; 8] = b"SOJARC01";
const MAGIC_END: &[u8; 8] = b"SOJAREND";
const PLACE_BYTES: usize = 72;
const WATERMARK_BYTES: usize = 10;
const TRAILER_BYTES: usize = 64;
/// Longest chunk a reader makes room for: a full one and one more event of the largest size.
const RAW_BYTES_MAX: u32 = 8 << 20;

/// A file, opened or just written: what is kept of it in memory.
#[derive(Clone, Debug)]
pub(super) struct ArchiveFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) trailer: Trailer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    directory_offset: u64,
    chunk_count: u32,
    watermark_count: u32,
    pub(super) entry_count: u64,
    pub(super) earliest: Millis,
    pub(super) latest: Millis,
    watermarks_crc: u32,
}

/// Where a chunk lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) extent: Extent,
    offset: u64,
    stored_bytes: u32,
    raw_bytes: u32,
    stored_crc: u32,
    filter_bytes: u32,
    filter_crc: u32,
}

/// Why a file, or a part of one, can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("can't be read: {0}")]
    Io(#[from] io::Error),
    #[error("{0} is damaged")]
    Damaged(&'static str),
    #[error("entries are damaged: {0}")]
    Entries(#[from] WireError),
}

/// Path of a file.
pub(super) fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("archive-{number:016x}.soj"))
}

/// The number in a file's name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("archive-")?.strip_suffix(".soj")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Writes a file; when this returns it is durable.
pub(super) fn write<'a>(
    directory: &Path,
    number: u64,
    chunks: impl Iterator<Item = &'a Chunk>,
    watermarks: &BTreeMap<PartitionId, Pseq>,
    now: Millis,
) -> io::Result<ArchiveFile> {
    let path = path_of(directory, number);
    let unfinished = path.with_extension("tmp");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    out.write_all(MAGIC)?;
    let mut offset = MAGIC.len() as u64;
    let mut places = Vec::new();
    for chunk in chunks {
        let place = write_chunk(&mut out, chunk, offset)?;
        offset += u64::from(place.stored_bytes) + u64::from(place.filter_bytes);
        places.push(place);
    }
    let mut tail = Vec::new();
    for place in &places {
        put_place(&mut tail, place);
    }
    let watermarks_start = tail.len();
    for (partition, pseq) in watermarks {
        tail.extend_from_slice(&partition.0.to_le_bytes());
        tail.extend_from_slice(&pseq.0.to_le_bytes());
    }
    let extents = || places.iter().map(|place| &place.extent);
    let trailer = Trailer {
        directory_offset: offset,
        chunk_count: places.len() as u32,
        watermark_count: watermarks.len() as u32,
        entry_count: extents().map(|extent| u64::from(extent.entry_count)).sum(),
        // A file with nothing but watermarks ages from the time it was written at.
        earliest: extents().map(|extent| extent.earliest).min().unwrap_or(now),
        latest: extents().map(|extent| extent.latest).max().unwrap_or(now),
        watermarks_crc: crc32fast::hash(&tail[watermarks_start..]),
    };
    put_trailer(&mut tail, &trailer);
    out.write_all(&tail)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    // ORDER: content, then name, then directory; only then may a watermark advance over what is in it.
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    File::open(directory)?.sync_all()?;
    Ok(ArchiveFile { number, path, bytes: offset + tail.len() as u64, trailer })
}

fn write_chunk(out: &mut impl io::Write, chunk: &Chunk, offset: u64) -> io::Result<Place> {
    let stored = lz4_flex::block::compress(&chunk.bytes);
    let filter = chunk.filter();
    out.write_all(&stored)?;
    out.write_all(&filter)?;
    Ok(Place {
        extent: chunk.extent,
        offset,
        stored_bytes: stored.len() as u32,
        raw_bytes: chunk.bytes.len() as u32,
        stored_crc: crc32fast::hash(&stored),
        filter_bytes: filter.len() as u32,
        filter_crc: crc32fast::hash(&filter),
    })
}

fn put_place(out: &mut Vec<u8>, place: &Place) {
    let start = out.len();
    out.extend_from_slice(&place.extent.partition.0.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&place.extent.entry_count.to_le_bytes());
    out.extend_from_slice(&place.offset.to_le_bytes());
    for number in [place.stored_bytes, place.raw_bytes, place.stored_crc, place.filter_bytes, place.filter_crc] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&place.extent.first.0.to_le_bytes());
    out.extend_from_slice(&place.extent.last.0.to_le_bytes());
    out.extend_from_slice(&place.extent.earliest.0.to_le_bytes());
    out.extend_from_slice(&place.extent.latest.0.to_le_bytes());
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    assert!(out.len() - start == PLACE_BYTES);
}

fn read_place(bytes: &[u8]) -> Result<Place, FileError> {
    let damaged = FileError::Damaged("the directory");
    let (body, crc) = bytes.split_at(PLACE_BYTES - 4);
    if crc != crc32fast::hash(body).to_le_bytes() {
        return Err(damaged);
    }
    let mut cursor = Cursor::new(body);
    let partition = PartitionId(cursor.u16("partition")?);
    cursor.u16("unused")?;
    let entry_count = cursor.u32("entry count")?;
    let offset = cursor.u64("offset")?;
    let stored_bytes = cursor.u32("stored bytes")?;
    let raw_bytes = cursor.u32("raw bytes")?;
    let stored_crc = cursor.u32("crc")?;
    let filter_bytes = cursor.u32("filter bytes")?;
    let filter_crc = cursor.u32("crc")?;
    let (first, last) = (Pseq(cursor.u64("first")?), Pseq(cursor.u64("last")?));
    let (earliest, latest) = (Millis(cursor.i64("earliest")?), Millis(cursor.i64("latest")?));
    if raw_bytes > RAW_BYTES_MAX || stored_bytes > RAW_BYTES_MAX || filter_bytes > RAW_BYTES_MAX {
        return Err(damaged);
    }
    let extent = Extent { partition, entry_count, first, last, earliest, latest };
    Ok(Place { extent, offset, stored_bytes, raw_bytes, stored_crc, filter_bytes, filter_crc })
}

fn put_trailer(out: &mut Vec<u8>, trailer: &Trailer) {
    let start = out.len();
    out.extend_from_slice(&trailer.directory_offset.to_le_bytes());
    out.extend_from_slice(&trailer.chunk_count.to_le_bytes());
    out.extend_from_slice(&trailer.watermark_count.to_le_bytes());
    out.extend_from_slice(&trailer.entry_count.to_le_bytes());
    out.extend_from_slice(&trailer.earliest.0.to_le_bytes());
    out.extend_from_slice(&trailer.latest.0.to_le_bytes());
    out.extend_from_slice(&trailer.watermarks_crc.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(MAGIC_END);
    assert!(out.len() - start == TRAILER_BYTES);
}

fn read_trailer(bytes: &[u8; TRAILER_BYTES], file_bytes: u64) -> Result<Trailer, FileError> {
    let damaged = FileError::Damaged("the trailer");
    let (body, rest) = bytes.split_at(TRAILER_BYTES - 12);
    if rest[4..] != *MAGIC_END || rest[..4] != crc32fast::hash(body).to_le_bytes() {
        return Err(damaged);
    }
    let mut cursor = Cursor::new(body);
    let trailer = Trailer {
        directory_offset: cursor.u64("directory offset")?,
        chunk_count: cursor.u32("chunk count")?,
        watermark_count: cursor.u32("watermark count")?,
        entry_count: cursor.u64("entry count")?,
        earliest: Millis(cursor.i64("earliest")?),
        latest: Millis(cursor.i64("latest")?),
        watermarks_crc: cursor.u32("crc")?,
    };
    let tail = u64::from(trailer.chunk_count) * PLACE_BYTES as u64
        + u64::from(trailer.watermark_count) * WATERMARK_BYTES as u64
        + TRAILER_BYTES as u64;
    if trailer.directory_offset.checked_add(tail) != Some(file_bytes) {
        return Err(damaged);
    }
    Ok(trailer)
}

impl ArchiveFile {
    /// Opens a file: reads and checks its trailer.
    pub(super) fn open(path: PathBuf, number: u64) -> Result<Self, FileError> {
        let file = File::open(&path)?;
        let bytes = file.metadata()?.len();
        if bytes < (MAGIC.len() + TRAILER_BYTES) as u64 {
            return Err(FileError::Damaged("its length"));
        }
        let mut magic = [0; MAGIC.len()];
        file.read_exact_at(&mut magic, 0)?;
        if magic != *MAGIC {
            return Err(FileError::Damaged("its beginning"));
        }
        let mut trailer = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer, bytes - TRAILER_BYTES as u64)?;
        Ok(Self { number, path, bytes, trailer: read_trailer(&trailer, bytes)? })
    }

    /// The watermarks at the time it was written.
    pub(super) fn watermarks(&self) -> Result<BTreeMap<PartitionId, Pseq>, FileError> {
        let mut bytes = vec![0; self.trailer.watermark_count as usize * WATERMARK_BYTES];
        let offset = self.trailer.directory_offset + u64::from(self.trailer.chunk_count) * PLACE_BYTES as u64;
        File::open(&self.path)?.read_exact_at(&mut bytes, offset)?;
        if crc32fast::hash(&bytes) != self.trailer.watermarks_crc {
            return Err(FileError::Damaged("the watermarks"));
        }
        let mut watermarks = BTreeMap::new();
        let mut cursor = Cursor::new(&bytes);
        while !cursor.is_empty() {
            watermarks.insert(PartitionId(cursor.u16("partition")?), Pseq(cursor.u64("pseq")?));
        }
        Ok(watermarks)
    }

    /// For reading chunks.
    pub(super) fn reader(&self) -> Result<FileReader, FileError> {
        Ok(FileReader { file: File::open(&self.path)?, trailer: self.trailer })
    }
}

/// Reads chunks of one file.
#[derive(Debug)]
pub(super) struct FileReader {
    file: File,
    trailer: Trailer,
}

impl FileReader {
    pub(super) fn chunk_count(&self) -> u32 {
        self.trailer.chunk_count
    }

    /// The place of chunk `index`.
    pub(super) fn place(&self, index: u32) -> Result<Place, FileError> {
        let mut bytes = [0; PLACE_BYTES];
        self.file.read_exact_at(&mut bytes, self.trailer.directory_offset + u64::from(index) * PLACE_BYTES as u64)?;
        read_place(&bytes)
    }

    /// The chunks of a partition as indices: found by halving, so that a large directory is not read whole.
    pub(super) fn chunks_of(&self, partition: PartitionId) -> Result<std::ops::Range<u32>, FileError> {
        let start = self.first_from(|p| p >= partition)?;
        let end = self.first_from(|p| p > partition)?;
        Ok(start..end)
    }

    fn first_from(&self, reached: impl Fn(PartitionId) -> bool) -> Result<u32, FileError> {
        let (mut low, mut high) = (0, self.trailer.chunk_count);
        while low < high {
            let middle = low + (high - low) / 2;
            if reached(self.place(middle)?.extent.partition) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    /// Whether the chunk may hold entries of a profile.
    pub(super) fn may_hold(&self, place: &Place, key: ProfileKey) -> Result<bool, FileError> {
        let mut filter = vec![0; place.filter_bytes as usize];
        self.file.read_exact_at(&mut filter, place.offset + u64::from(place.stored_bytes))?;
        if crc32fast::hash(&filter) != place.filter_crc {
            return Err(FileError::Damaged("a filter"));
        }
        Ok(filter_has(&filter, key))
    }

    /// The bytes of a chunk's entries.
    pub(super) fn entries(&self, place: &Place) -> Result<Vec<u8>, FileError> {
        let mut stored = vec![0; place.stored_bytes as usize];
        self.file.read_exact_at(&mut stored, place.offset)?;
        if crc32fast::hash(&stored) != place.stored_crc {
            return Err(FileError::Damaged("a chunk"));
        }
        lz4_flex::block::decompress(&stored, place.raw_bytes as usize).map_err(|_| FileError::Damaged("a chunk"))
    }
}
