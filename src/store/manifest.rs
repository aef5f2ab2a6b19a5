//! The manifest: which files make up each partition's two restorable points. Encoding and checking, no decisions.
//!
//! There are two copies, `snapshots/manifest-0` and `-1`, written in turn; the valid one with the higher version counts, so
//! a damaged newest one costs one round of snapshots and the journal still reaches back that far. All numbers are
//! little-endian.
//!
//! ```text
//! magic "SJMF" 4, format 4, version 8, count of partitions 4
//! a partition: number 2, newest generation 8, older generation 8 (0 = none), count of files 4
//! a file:      generation 8, base generation 8 (0 = full), cut 8, bytes 8, next due 8, length of meta 4, meta
//! CRC-32 of all above 4
//! ```

use std::collections::BTreeMap;

use super::disk::{Disk, join, read_all, replace};
use super::error::{Operation, StoreError};
use super::fields::Fields;
use super::snapshot::SnapshotKind;
use crate::domain::ids::{Millis, PartitionId, Pseq};

/// Format of the manifest.
pub const MANIFEST_FORMAT: u32 = 1;
const MAGIC: &[u8; 4] = b"SJMF";
pub(super) const DIRECTORY: &str = "snapshots";

/// One file of a snapshot, as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub generation: u64,
    /// Full or delta.
    pub kind: SnapshotKind,
    /// The last pseq whose changes are in it.
    pub cut: Pseq,
    /// Bytes of the file.
    pub bytes: u64,
    /// When the partition's next timer was due at the cut.
    pub next_due: Millis,
    /// The caller's own; kept for restorable points only.
    pub meta: Vec<u8>,
}

/// The files kept for one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// The newest restorable point.
    pub newest: u64,
    /// The one before; 0 = none yet.
    pub older: u64,
    /// All files that these two need.
    pub files: BTreeMap<u64, Generation>,
}

/// The whole manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// One more with every publication.
    pub version: u64,
    /// By partition.
    pub partitions: BTreeMap<PartitionId, Points>,
}

impl Points {
    /// The files of a point, newest first, down to the full one. `None` if one of them is not named.
    pub fn chain(&self, generation: u64) -> Option<Vec<&Generation>> {
        let mut chain = vec![self.files.get(&generation)?];
        while let SnapshotKind::Delta { base_generation } = chain.last()?.kind {
            chain.push(self.files.get(&base_generation)?);
        }
        Some(chain)
    }
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&MANIFEST_FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&(self.partitions.len() as u32).to_le_bytes());
        for (partition, points) in &self.partitions {
            bytes.extend_from_slice(&partition.0.to_le_bytes());
            bytes.extend_from_slice(&points.newest.to_le_bytes());
            bytes.extend_from_slice(&points.older.to_le_bytes());
            bytes.extend_from_slice(&(points.files.len() as u32).to_le_bytes());
            for file in points.files.values() {
                let base = match file.kind {
                    SnapshotKind::Full => 0,
                    SnapshotKind::Delta { base_generation } => base_generation,
                };
                bytes.extend_from_slice(&file.generation.to_le_bytes());
                bytes.extend_from_slice(&base.to_le_bytes());
                bytes.extend_from_slice(&file.cut.0.to_le_bytes());
                bytes.extend_from_slice(&file.bytes.to_le_bytes());
                bytes.extend_from_slice(&file.next_due.0.to_le_bytes());
                bytes.extend_from_slice(&(file.meta.len() as u32).to_le_bytes());
                bytes.extend_from_slice(&file.meta);
            }
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8], path: &str) -> Result<Self, StoreError> {
        let damaged = || StoreError::corrupt(path, 0, "the manifest does not hold");
        let mut fields = Fields(bytes);
        if fields.bytes(MAGIC.len()) != Some(MAGIC) {
            return Err(damaged());
        }
        let format = fields.u32().ok_or_else(damaged)?;
        let (covered, checksum) = bytes.split_last_chunk().ok_or_else(damaged)?;
        if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
            return Err(damaged());
        }
        if format > MANIFEST_FORMAT {
            return Err(StoreError::NewerFormat { path: path.to_owned(), found: format, supported: MANIFEST_FORMAT });
        }
        Self::decode_body(fields).ok_or_else(damaged)
    }

    fn decode_body(mut fields: Fields<'_>) -> Option<Self> {
        let mut manifest = Self { version: fields.u64()?, partitions: BTreeMap::new() };
        for _ in 0..fields.u32()? {
            let partition = PartitionId(fields.u16()?);
            let mut points = Points { newest: fields.u64()?, older: fields.u64()?, files: BTreeMap::new() };
            for _ in 0..fields.u32()? {
                let (generation, base) = (fields.u64()?, fields.u64()?);
                let kind = if base == 0 { SnapshotKind::Full } else { SnapshotKind::Delta { base_generation: base } };
                let (cut, bytes, next_due) = (Pseq(fields.u64()?), fields.u64()?, Millis(fields.i64()?));
                let meta_length = fields.u32()? as usize;
                let meta = fields.bytes(meta_length)?.to_vec();
                // A chain leads strictly down: following it ends.
                (base < generation).then_some(())?;
                points.files.insert(generation, Generation { generation, kind, cut, bytes, next_due, meta });
            }
            manifest.partitions.insert(partition, points);
        }
        (fields.0.len() == 4).then_some(manifest)
    }

    fn name(version: u64) -> String {
        format!("manifest-{}", version % 2)
    }

    /// Where this version is.
    pub(super) fn path(version: u64) -> String {
        join(DIRECTORY, &Self::name(version))
    }

    /// Writes this version over the one before the last.
    pub(super) fn write(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        let name = Self::name(self.version);
        let written = disk.create_dir(DIRECTORY).and_then(|()| replace(disk, DIRECTORY, &name, &self.encode()));
        written.map_err(|error| StoreError::io(Operation::Write, &Self::path(self.version), error))
    }

    /// Reads both copies, the one that counts first. A damaged one is left out if the other holds.
    ///
    /// # Errors
    /// If there are copies and none holds.
    pub(super) fn read(disk: &dyn Disk) -> Result<Vec<Self>, StoreError> {
        let (mut found, mut damage) = (Vec::new(), None);
        for parity in 0..2 {
            let path = Self::path(parity);
            let bytes = match read_all(disk, &path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.map_err(|error| StoreError::io(Operation::Read, &path, error))?,
            };
            match Self::decode(&bytes, &path) {
                Ok(manifest) => found.push(manifest),
                Err(error @ StoreError::NewerFormat { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "a copy of the snapshot manifest is damaged");
                    damage = Some(error);
                }
            }
        }
        found.sort_by_key(|manifest| std::cmp::Reverse(manifest.version));
        match damage {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }
}
