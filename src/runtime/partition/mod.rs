//! A partition: the unit of state, order, move and recovery. Owns its profiles, repeats, outbox and counters.
//!
//! One input at a time becomes one record of absolute images ([`decide`]); recovery installs the same images and
//! executes nothing ([`install`]). Which shard's thread runs this is not its business: a move hands over the box.

mod answers;
mod awake;
mod caps;
pub mod counts;
pub mod decide;
pub mod dedup;
mod effects;
pub mod install;
pub mod mail;
pub mod outbox;
mod room;
pub mod table;

use crate::domain::ids::{Millis, OwnershipEpoch, PartitionId, Pseq};
use crate::runtime::horizon::Horizon;
use crate::store::timers::SlotNo;

use counts::Counts;
use dedup::Dedup;
use mail::Mail;
use outbox::Outbox;
use table::Table;

/// One partition's state.
#[derive(Debug)]
pub struct Partition {
    /// Which one.
    pub id: PartitionId,
    /// Sequence of its last record.
    pub pseq: Pseq,
    /// Engine time of its last record.
    pub engine_time: Millis,
    /// How often it changed hands.
    pub epoch: OwnershipEpoch,
    /// Its profiles.
    pub table: Table,
    /// What it knows of past inputs.
    pub dedup: Dedup,
    /// Messages decided and not answered for.
    pub outbox: Outbox,
    /// What it tells other partitions, and counts together with them.
    pub mail: Mail,
    /// What its profiles did.
    pub counts: Counts,
    /// Events accepted.
    pub events: u64,
    /// Keyed sum of its profiles' chains of decisions (design §9).
    pub hash_sum: u128,
    /// Timers beyond the wheel.
    pub horizon: Horizon,
    /// Number of its last checkpoint: the epoch of its timers in the index.
    pub generation: u64,
    /// The last record of its last checkpoint.
    pub cut: Pseq,
    /// System partition: the catalog's record. Empty elsewhere.
    pub catalog_record: Vec<u8>,
    /// Where its last pseq stands among those of the draught, if that place is its own.
    span: usize,
}

impl Partition {
    /// An empty partition.
    pub fn new(id: PartitionId) -> Self {
        Self {
            id,
            pseq: Pseq(0),
            engine_time: Millis::MIN,
            epoch: OwnershipEpoch(0),
            table: Table::default(),
            dedup: Dedup::default(),
            outbox: Outbox::default(),
            mail: Mail::default(),
            counts: Counts::default(),
            events: 0,
            hash_sum: 0,
            // Nothing is opened yet: the shard opens slots as time comes to them.
            horizon: Horizon::new(SlotNo(i64::MIN)),
            generation: 0,
            cut: Pseq(0),
            catalog_record: Vec::new(),
            span: 0,
        }
    }
}

/// A profile's share of the decision hash; nothing before its first decision. The chain hangs on the profile's
/// identity already: here it is only spread over 128 bits, so that shares can be added and taken away.
fn chain_share(chain: u64) -> u128 {
    if chain == 0 { 0 } else { u128::from(spread(chain)) << 64 | u128::from(spread(chain ^ 0x736f_6a6f_7572_6e32)) }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): one to one, every bit depends on every other.
fn spread(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests;
