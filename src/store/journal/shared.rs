//! What a lane shares with those who watch it.

use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Condvar, Mutex};

use super::ledger::Ledger;

/// Seen by the lane, by its thread and by every handle of the journal.
#[derive(Debug, Default)]
pub(super) struct LaneShared {
    pub ledger: Mutex<Ledger>,
    /// Told when a segment retires or when the journal stops: a lane waiting for space looks again.
    pub space: Condvar,
    /// The last group with blocks that is durable.
    pub filled: AtomicU64,
    /// There is no room for the next segment.
    pub full: AtomicBool,
    /// Nobody waits for space any more.
    pub stopping: AtomicBool,
}
