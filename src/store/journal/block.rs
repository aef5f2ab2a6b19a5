//! What shards hand to the journal, and where it went.

use crate::domain::ids::{PartitionId, Pseq, ShardId};

/// One shard's sealed records of some partitions of one lane. The journal does not look inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Whose block.
    pub shard: ShardId,
    /// The shard's own counter: it finds its block again by this number.
    pub number: u64,
    /// The lane of all partitions in it.
    pub lane: u16,
    /// The records.
    pub bytes: Vec<u8>,
    /// The last pseq of each partition in it, each partition once.
    pub spans: Vec<(PartitionId, Pseq)>,
    /// CRC-32 of `bytes`, computed by the shard, so that the writer thread need not read them.
    pub checksum: u32,
}

impl Block {
    /// A block with its checksum.
    pub fn new(shard: ShardId, number: u64, lane: u16, bytes: Vec<u8>, spans: Vec<(PartitionId, Pseq)>) -> Self {
        let checksum = crc32fast::hash(&bytes);
        Self { shard, number, lane, bytes, spans, checksum }
    }
}

/// Where a group is. Ordered within one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The lane.
    pub lane: u16,
    /// Counts the groups of the lane from 1, without gaps, over all restarts.
    pub sequence: u64,
    /// The segment's incarnation.
    pub segment: u64,
    /// Byte offset of the group in the segment.
    pub offset: u64,
}

/// Where a block is that recovery found: valid until its segment is recycled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockAt {
    /// The lane.
    pub lane: u16,
    /// The segment's incarnation.
    pub segment: u64,
    /// Byte offset of the block's bytes in the segment.
    pub offset: u64,
    /// Bytes.
    pub len: u32,
    /// CRC-32 of the bytes.
    pub checksum: u32,
}
