//! Bytes of the timer index: keys and values of its trees, format 1.
//!
//! ```text
//! key (22 B, big endian, so that sled keeps the chunks of a slot together and slots in order)
//!   0  slot       i64 with the sign bit flipped
//!   8  partition  u16
//!  10  epoch      u64
//!  18  part       u32
//! value (≤ 4,000 B, little endian)
//!   0  crc32      u32   over the key and everything after this field
//!   4  format     u8    1
//!   5  unused     u8    0
//!   6  count      u16   1..=124
//!   8  entries    count × 32 B, sorted by due: key u128 | ordinal u32 | generation u32 | due i64
//! ```
//!
//! Values stay at or below 4,000 bytes: sled 0.34.7 puts a leaf (up to 16 items) above 128 KiB into a file under
//! `blobs/` which it never syncs. The checksum covers the key, so a chunk under another's key is noticed too.

use crate::domain::ids::{Millis, PartitionId, ProfileKey};
use crate::store::timers::entry::{SlotNo, TimerEntry};

/// Longest value.
pub const VALUE_BYTES_MAX: usize = 4_000;
/// Entries of one chunk.
pub const CHUNK_ENTRIES_MAX: usize = (VALUE_BYTES_MAX - HEADER_BYTES) / ENTRY_BYTES;

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 8;
const ENTRY_BYTES: usize = 32;
pub(super) const KEY_BYTES: usize = 22;

const _: () = assert!(CHUNK_ENTRIES_MAX == 124);

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChunkKey {
    pub(super) slot: SlotNo,
    pub(super) partition: PartitionId,
    pub(super) epoch: u64,
    pub(super) part: u32,
}

impl ChunkKey {
    /// First possible key of a partition in a slot.
    pub(super) fn first(slot: SlotNo, partition: PartitionId, epoch: u64) -> Self {
        Self { slot, partition, epoch, part: 0 }
    }

    /// Last possible key of a partition in a slot.
    pub(super) fn last(slot: SlotNo, partition: PartitionId, epoch: u64) -> Self {
        Self { slot, partition, epoch, part: u32::MAX }
    }

    pub(super) fn encode(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[0..8].copy_from_slice(&(self.slot.0 as u64 ^ (1 << 63)).to_be_bytes());
        bytes[8..10].copy_from_slice(&self.partition.0.to_be_bytes());
        bytes[10..18].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[18..22].copy_from_slice(&self.part.to_be_bytes());
        bytes
    }

    /// `None` if the bytes are no key.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; KEY_BYTES] = bytes.try_into().ok()?;
        Some(Self {
            slot: SlotNo((u64::from_be_bytes(field(&bytes[0..8])) ^ (1 << 63)) as i64),
            partition: PartitionId(u16::from_be_bytes(field(&bytes[8..10]))),
            epoch: u64::from_be_bytes(field(&bytes[10..18])),
            part: u32::from_be_bytes(field(&bytes[18..22])),
        })
    }
}

/// Why a value is no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Its length does not fit its count, or the count is out of range.
    #[error("length of {bytes} bytes fits no chunk")]
    Length {
        /// Bytes of the value.
        bytes: usize,
    },
    /// Its checksum is another.
    #[error("checksum is {found:08x} instead of {stated:08x}")]
    Checksum {
        /// What the value states.
        stated: u32,
        /// What its bytes give.
        found: u32,
    },
    /// A newer or unknown format.
    #[error("format {0} is unknown")]
    Format(u8),
    /// An entry lies outside the slot, or the entries are not sorted.
    #[error("entries are not those of the slot")]
    Entries,
}

/// Encodes one chunk. `entries` are sorted, of the key's slot and 1..=[`CHUNK_ENTRIES_MAX`].
pub(super) fn encode(key: ChunkKey, entries: &[TimerEntry]) -> Vec<u8> {
    assert!((1..=CHUNK_ENTRIES_MAX).contains(&entries.len()), "{} entries are no chunk", entries.len());
    assert!(entries.is_sorted() && entries.iter().all(|entry| entry.slot() == key.slot), "entries are of the slot");
    let mut value = Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES);
    value.extend_from_slice(&[0, 0, 0, 0, FORMAT, 0]);
    value.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    for entry in entries {
        value.extend_from_slice(&entry.key.0.to_le_bytes());
        value.extend_from_slice(&entry.ordinal.to_le_bytes());
        value.extend_from_slice(&entry.generation.to_le_bytes());
        value.extend_from_slice(&entry.due.0.to_le_bytes());
    }
    let sum = checksum(&key.encode(), &value[4..]);
    value[0..4].copy_from_slice(&sum.to_le_bytes());
    assert!(value.len() <= VALUE_BYTES_MAX);
    value
}

/// Checks one chunk and appends its entries to `out`; on an error `out` is as before.
pub(super) fn decode(key: ChunkKey, value: &[u8], out: &mut Vec<TimerEntry>) -> Result<(), ChunkError> {
    let length = ChunkError::Length { bytes: value.len() };
    if !(HEADER_BYTES..=VALUE_BYTES_MAX).contains(&value.len()) {
        return Err(length);
    }
    let stated = u32::from_le_bytes(field(&value[0..4]));
    let found = checksum(&key.encode(), &value[4..]);
    if stated != found {
        return Err(ChunkError::Checksum { stated, found });
    }
    if value[4] != FORMAT {
        return Err(ChunkError::Format(value[4]));
    }
    let count = usize::from(u16::from_le_bytes(field(&value[6..8])));
    let body = &value[HEADER_BYTES..];
    if count == 0 || body.len() != count * ENTRY_BYTES {
        return Err(length);
    }
    let start = out.len();
    out.extend(body.chunks_exact(ENTRY_BYTES).map(decode_entry));
    if !out[start..].is_sorted() || out[start..].iter().any(|entry| entry.slot() != key.slot) {
        out.truncate(start);
        return Err(ChunkError::Entries);
    }
    Ok(())
}

fn decode_entry(bytes: &[u8]) -> TimerEntry {
    TimerEntry {
        key: ProfileKey(u128::from_le_bytes(field(&bytes[0..16]))),
        ordinal: u32::from_le_bytes(field(&bytes[16..20])),
        generation: u32::from_le_bytes(field(&bytes[20..24])),
        due: Millis(i64::from_le_bytes(field(&bytes[24..32]))),
    }
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(rest);
    hasher.finalize()
}

/// The bytes of a field of known width.
fn field<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller slices by the field's width")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> (ChunkKey, Vec<TimerEntry>) {
        let key = ChunkKey { slot: SlotNo(2), partition: PartitionId(0x0102), epoch: 3, part: 4 };
        let entry = |due| TimerEntry { key: ProfileKey(0xAB), ordinal: 1, generation: 2, due: Millis(due) };
        (key, vec![entry(7_200_000), entry(7_200_001)])
    }

    /// The golden bytes of format 1.
    #[test]
    fn the_format_is_as_drawn() {
        let (key, entries) = sample();
        assert_eq!(
            key.encode(),
            [0x80, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4],
            "slot | partition | epoch | part"
        );
        let value = encode(key, &entries);
        assert_eq!(value.len(), 8 + 2 * 32);
        assert_eq!(value[4..8], [1, 0, 2, 0]);
        assert_eq!(value[8..24], 0xABu128.to_le_bytes());
        assert_eq!(value[24..40], [1, 0, 0, 0, 2, 0, 0, 0, 0x00, 0xDD, 0x6D, 0, 0, 0, 0, 0]);
        let stated = u32::from_le_bytes(field(&value[0..4]));
        assert_eq!(stated, crc32fast::hash(&[&key.encode()[..], &value[4..]].concat()));
    }

    #[test]
    fn keys_sort_as_slots_do() {
        let key = |slot, epoch| ChunkKey::first(SlotNo(slot), PartitionId(1), epoch).encode();
        assert!(key(-5, 9) < key(-4, 1) && key(-1, 9) < key(0, 1) && key(0, 1) < key(0, 2) && key(0, 2) < key(7, 0));
        assert_eq!(ChunkKey::decode(&key(-5, 9)), Some(ChunkKey::first(SlotNo(-5), PartitionId(1), 9)));
        assert_eq!(ChunkKey::decode(b"short"), None);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (key, entries) = sample();
        let value = encode(key, &entries);
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mut out = vec![];
            assert!(decode(key, &damaged, &mut out).is_err(), "bit {bit}");
            assert!(out.is_empty());
        }
        let mut out = vec![];
        let elsewhere = ChunkKey { part: 5, ..key };
        assert!(matches!(decode(elsewhere, &value, &mut out), Err(ChunkError::Checksum { .. })));
        assert_eq!(decode(key, &value[..7], &mut out), Err(ChunkError::Length { bytes: 7 }));
        assert_eq!(decode(key, &value, &mut out), Ok(()));
        assert_eq!(out, entries);
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let (key, _) = sample();
            prop_assert!(decode(key, &bytes, &mut Vec::new()).is_err());
        }
    }
}
