//! What follows the journal: projections that are fed every durable block and say how far they have come, so that
//! no segment is recycled before they have read it.

use crate::domain::ids::{PartitionId, Pseq};

/// A projection of records, e.g. the archive of steps and events.
pub trait Projection: Send + Sync {
    /// Takes durable records. May wait: its lag is bounded by holding the journal up. Records seen before (after a
    /// start) are ignored.
    fn follow(&self, block: &[u8]);
    /// The last record of the partition that it has durably taken in.
    fn passed(&self, partition: PartitionId) -> Pseq;
}

/// Follows nothing: for runs that keep no history.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProjection;

impl Projection for NoProjection {
    fn follow(&self, _: &[u8]) {}

    fn passed(&self, _: PartitionId) -> Pseq {
        Pseq(u64::MAX)
    }
}
