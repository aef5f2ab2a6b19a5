//! One group: what a lane makes durable with one sync. Encoding and checking only, no I/O.
//!
//! A group begins at a multiple of 4,096 bytes and is padded with zeros to the next one, so that writing a group
//! never touches a page of an earlier one. All numbers are little-endian.
//!
//! ```text
//!  0  magic "SJG1"                    4
//!  4  checksum                        4   CRC-32 of bytes 8.. of the header and of the table
//!  8  journal id                     16   of the data directory
//! 24  incarnation of the segment      8
//! 32  sequence                        8   1, 2, 3, … in the lane
//! 40  known durable                   8   the group up to which all is durable, as known when this was written
//! 48  oldest segment still needed     8   its incarnation: older ones may be overwritten once this is durable
//! 56  checksum of the group before    4   the chain
//! 60  count of blocks                 4
//! 64  length                          4   header, table and blocks, without padding
//! 68  flags                           2   1 = end mark of a clean stop
//! 70  lane                            2
//! 72  zero                            8
//! 80  table, 24 a block:  shard 2, zero 2, length 4, CRC-32 of the bytes 4, zero 4, shard's number 8
//!     blocks, back to back
//! ```
//!
//! The checksum covers the blocks through their checksums in the table, so the writer never reads their bytes again.
//! Bytes left by an earlier use of the segment carry another incarnation and can't continue the chain.

use super::block::Block;
use super::segment::Link;
use crate::domain::ids::ShardId;
use crate::planted::{Bug, is_planted};
use crate::store::fields::Fields;

pub(super) const ALIGNMENT: u64 = 4096;
pub(super) const HEADER: usize = 80;
const ENTRY: usize = 24;
const MAGIC: &[u8; 4] = b"SJG1";
/// Flag of the end mark.
pub(super) const END: u16 = 1;

/// The header of a group, without what the encoder computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHeader {
    pub journal: u128,
    pub lane: u16,
    pub incarnation: u64,
    pub sequence: u64,
    pub known_durable: u64,
    pub oldest: u64,
    pub previous_checksum: u32,
    pub flags: u16,
}

/// A block inside a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub shard: ShardId,
    pub number: u64,
    pub len: u32,
    pub checksum: u32,
    /// Bytes from the start of the group.
    pub offset: u32,
}

/// A group whose header and table are as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub header: GroupHeader,
    pub checksum: u32,
    pub length: u32,
    pub entries: Vec<Entry>,
}

/// Bytes on the disk of a group of `length` bytes.
pub(super) fn padded(length: u64) -> u64 {
    length.next_multiple_of(ALIGNMENT)
}

/// Bytes of the group that these blocks make, without padding.
pub(super) fn encoded_len<'a>(blocks: impl Iterator<Item = &'a Block>) -> u64 {
    blocks.fold(HEADER as u64, |sum, block| sum + (ENTRY + block.bytes.len()) as u64)
}

/// Encodes a group into `buffer` (cleared, then padded). Returns its checksum.
pub(super) fn encode(buffer: &mut Vec<u8>, header: &GroupHeader, blocks: &[Block]) -> u32 {
    buffer.clear();
    let length = encoded_len(blocks.iter());
    buffer.reserve(padded(length) as usize);
    buffer.extend_from_slice(MAGIC);
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&header.journal.to_le_bytes());
    buffer.extend_from_slice(&header.incarnation.to_le_bytes());
    buffer.extend_from_slice(&header.sequence.to_le_bytes());
    buffer.extend_from_slice(&header.known_durable.to_le_bytes());
    buffer.extend_from_slice(&header.oldest.to_le_bytes());
    buffer.extend_from_slice(&header.previous_checksum.to_le_bytes());
    buffer.extend_from_slice(&(blocks.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&u32::try_from(length).expect("a group is far below 4 GiB").to_le_bytes());
    buffer.extend_from_slice(&header.flags.to_le_bytes());
    buffer.extend_from_slice(&header.lane.to_le_bytes());
    buffer.extend_from_slice(&[0; 8]);
    for block in blocks {
        buffer.extend_from_slice(&block.shard.0.to_le_bytes());
        buffer.extend_from_slice(&[0; 2]);
        buffer.extend_from_slice(&(block.bytes.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&block.checksum.to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&block.number.to_le_bytes());
    }
    let checksum = crc32fast::hash(&buffer[8..]);
    buffer[4..8].copy_from_slice(&checksum.to_le_bytes());
    for block in blocks {
        buffer.extend_from_slice(&block.bytes);
    }
    debug_assert_eq!(buffer.len() as u64, length);
    buffer.resize(padded(length) as usize, 0);
    checksum
}

/// The fields before the table of whatever stands in the first [`HEADER`] bytes; nothing is checked but the magic.
fn header_fields(bytes: &[u8]) -> Option<(GroupHeader, u32, u32, u32)> {
    let mut fields = Fields(bytes.strip_prefix(MAGIC)?);
    let checksum = fields.u32()?;
    let (journal, incarnation, sequence) = (fields.u128()?, fields.u64()?, fields.u64()?);
    let (known_durable, oldest) = (fields.u64()?, fields.u64()?);
    let (previous_checksum, count, length) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (flags, lane) = (fields.u16()?, fields.u16()?);
    let header = GroupHeader { journal, lane, incarnation, sequence, known_durable, oldest, previous_checksum, flags };
    Some((header, checksum, count, length))
}

/// Bytes of header and table, if these first bytes may begin a group of this journal.
pub(super) fn table_end(bytes: &[u8], journal: u128) -> Option<usize> {
    let (header, _, count, length) = header_fields(bytes)?;
    let end = (count as usize).checked_mul(ENTRY)?.checked_add(HEADER)?;
    (header.journal == journal && end <= length as usize).then_some(end)
}

/// Header and table, if they are as they were written. `bytes` must hold them whole; the blocks may be missing.
pub(super) fn parse(bytes: &[u8]) -> Option<Parsed> {
    let (header, checksum, count, length) = header_fields(bytes)?;
    let end = (count as usize).checked_mul(ENTRY)?.checked_add(HEADER)?;
    if crc32fast::hash(bytes.get(8..end)?) != checksum {
        return None;
    }
    let mut fields = Fields(&bytes[HEADER..end]);
    let mut entries = Vec::with_capacity(count as usize);
    let mut offset = u32::try_from(end).ok()?;
    for _ in 0..count {
        let (shard, _, len, checksum, _, number) =
            (fields.u16()?, fields.u16()?, fields.u32()?, fields.u32()?, fields.u32()?, fields.u64()?);
        entries.push(Entry { shard: ShardId(shard), number, len, checksum, offset });
        offset = offset.checked_add(len)?;
    }
    (offset == length).then_some(Parsed { header, checksum, length, entries })
}

impl Parsed {
    /// The bytes of a block, if they are as they were written. `group` is the whole group.
    pub(super) fn block<'a>(&self, group: &'a [u8], entry: &Entry) -> Option<&'a [u8]> {
        let start = entry.offset as usize;
        let bytes = group.get(start..start + entry.len as usize)?;
        (crc32fast::hash(bytes) == entry.checksum || is_planted(Bug::BlocksNotChecked)).then_some(bytes)
    }

    /// Whether the group continues the chain at `previous` in a segment of this incarnation.
    pub(super) fn continues(&self, journal: u128, lane: u16, incarnation: u64, previous: Link) -> bool {
        let header = &self.header;
        header.journal == journal
            && header.lane == lane
            && header.incarnation == incarnation
            && header.sequence == previous.sequence + 1
            && header.previous_checksum == previous.checksum
            && header.known_durable < header.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Link = Link { incarnation: 6, sequence: 41, checksum: 77 };

    fn header() -> GroupHeader {
        let (journal, lane, incarnation, sequence) = (9, 0, 6, 42);
        let (known_durable, oldest, previous_checksum, flags) = (41, 2, 77, 0);
        GroupHeader { journal, lane, incarnation, sequence, known_durable, oldest, previous_checksum, flags }
    }

    fn encoded(header: &GroupHeader) -> Vec<u8> {
        let blocks = [Block::new(ShardId(1), 5, 0, vec![3; 10], vec![]), Block::new(ShardId(2), 6, 0, vec![], vec![])];
        let mut buffer = Vec::new();
        encode(&mut buffer, header, &blocks);
        buffer
    }

    fn check(change: impl FnOnce(&mut GroupHeader)) -> bool {
        let mut header = header();
        change(&mut header);
        parse(&encoded(&header)).expect("valid by itself").continues(9, 0, 6, BEFORE)
    }

    #[test]
    fn only_the_next_group_of_the_same_use_continues_the_chain() {
        assert!(check(|_| ()));
        assert!(!check(|header| header.journal = 8));
        assert!(!check(|header| header.lane = 1));
        assert!(!check(|header| header.incarnation = 5));
        assert!(!check(|header| header.sequence = 41));
        assert!(!check(|header| header.sequence = 43));
        assert!(!check(|header| header.previous_checksum = 78));
        assert!(!check(|header| header.known_durable = 42));
    }

    #[test]
    fn every_flipped_bit_of_header_table_and_blocks_is_noticed() {
        let good = encoded(&header());
        let parsed = parse(&good).expect("holds");
        assert_eq!((parsed.header, parsed.entries.len(), good.len()), (header(), 2, 4096));
        for bit in 0..parsed.length as usize * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let whole = parse(&bad).is_some_and(|p| p.entries.iter().all(|entry| p.block(&bad, entry).is_some()));
            assert!(!whole, "bit {bit}");
        }
        for cut in 0..HEADER + 2 * ENTRY {
            assert_eq!(parse(&good[..cut]), None, "cut at {cut}");
        }
    }
}
