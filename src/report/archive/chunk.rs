//! A chunk: consecutive entries of one partition, and the filter that tells which profiles are in it.

use crate::domain::ids::{Millis, PartitionId, ProfileKey, Pseq};
use crate::report::archive::entry::{Entry, Told, next_raw, put_entry};
use crate::wire::cursor::{Cursor, WireError};

/// A chunk is full at this size, uncompressed: small enough to be read for one profile, large enough to compress.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// Bits of the filter per profile, with [`FILTER_PROBES`]: 1 % of chunks are read in vain.
const FILTER_BITS_PER_KEY: usize = 10;
const FILTER_PROBES: u64 = 5;

/// Entries of one partition, uncompressed, in memory.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) extent: Extent,
    pub(super) bytes: Vec<u8>,
}

/// What a chunk spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) partition: PartitionId,
    pub(super) entry_count: u32,
    pub(super) first: Pseq,
    pub(super) last: Pseq,
    pub(super) earliest: Millis,
    pub(super) latest: Millis,
}

impl Chunk {
    /// A chunk with one entry, in a buffer that is empty.
    pub(super) fn new(entry: &Told<'_>, buffer: Vec<u8>, scratch: &mut Vec<u8>) -> Self {
        let extent = Extent {
            partition: entry.partition,
            entry_count: 0,
            first: entry.pseq,
            last: entry.pseq,
            earliest: entry.at,
            latest: entry.at,
        };
        let mut chunk = Self { extent, bytes: buffer };
        chunk.push(entry, scratch);
        chunk
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES
    }

    /// A copy, for a reader.
    pub(super) fn copy(&self) -> Self {
        Self { extent: self.extent, bytes: self.bytes.clone() }
    }

    /// Appends an entry that comes after those in it.
    pub(super) fn push(&mut self, entry: &Told<'_>, scratch: &mut Vec<u8>) {
        assert!(entry.partition == self.extent.partition && entry.pseq >= self.extent.last, "entries come in order");
        put_entry(&mut self.bytes, scratch, entry);
        let extent = &mut self.extent;
        extent.entry_count += 1;
        extent.last = entry.pseq;
        extent.earliest = extent.earliest.min(entry.at);
        extent.latest = extent.latest.max(entry.at);
    }

    /// The filter over the profiles in it.
    pub(super) fn filter(&self) -> Vec<u8> {
        let mut keys = Vec::new();
        let mut cursor = Cursor::new(&self.bytes);
        while let Some(raw) = next_raw(&mut cursor).expect("these bytes were encoded here") {
            keys.push(raw.key);
        }
        keys.sort_unstable();
        keys.dedup();
        let mut bits = vec![0u8; (keys.len() * FILTER_BITS_PER_KEY).next_power_of_two().div_ceil(8)];
        for key in keys {
            for bit in filter_bits(key, bits.len()) {
                bits[bit / 8] |= 1 << (bit % 8);
            }
        }
        bits
    }
}

/// Whether a profile may be in the chunk of this filter.
pub(super) fn filter_has(bits: &[u8], key: ProfileKey) -> bool {
    bits.is_empty() || filter_bits(key, bits.len()).all(|bit| bits[bit / 8] & (1 << (bit % 8)) != 0)
}

/// The bits of a profile in a filter of `bytes` bytes. The key is a keyed hash already: its halves serve as two hashes.
fn filter_bits(key: ProfileKey, bytes: usize) -> impl Iterator<Item = usize> {
    let (first, second) = (key.0 as u64, (key.0 >> 64) as u64 | 1);
    let bits = bytes as u64 * 8;
    (0..FILTER_PROBES).map(move |i| (first.wrapping_add(second.wrapping_mul(i)) % bits) as usize)
}

/// Visits the entries of a chunk's bytes in order, those of `key` if one is given; an error ends it.
pub(super) fn visit(
    partition: PartitionId,
    bytes: &[u8],
    key: Option<ProfileKey>,
    mut visit: impl FnMut(Entry),
) -> Result<(), WireError> {
    let mut cursor = Cursor::new(bytes);
    while let Some(raw) = next_raw(&mut cursor)? {
        if key.is_none_or(|key| key == raw.key) {
            visit(raw.decode(partition)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_know_their_profiles_and_few_others() {
        let mut scratch = Vec::new();
        let entry = |n: u64| Entry {
            partition: PartitionId(1),
            pseq: Pseq(n + 1),
            at: Millis(n as i64),
            key: crate::domain::ids::HashKey::FIXED.profile_key(Default::default(), "crm", &n.to_string()),
            event: None,
            steps: vec![],
            notes: vec![(0, "x".into())],
        };
        let first = entry(0);
        let mut chunk = Chunk::new(&first.told(&first.happened()), Vec::new(), &mut scratch);
        for n in 1..1_000 {
            let entry = entry(n);
            chunk.push(&entry.told(&entry.happened()), &mut scratch);
        }
        let filter = chunk.filter();
        assert!((0..1_000).all(|n| filter_has(&filter, entry(n).key)));
        let wrong = (1_000..11_000).filter(|n| filter_has(&filter, entry(*n).key)).count();
        assert!(wrong < 300, "{wrong} of 10,000");
        assert_eq!((chunk.extent.first, chunk.extent.last, chunk.extent.entry_count), (Pseq(1), Pseq(1_000), 1_000));
    }
}
