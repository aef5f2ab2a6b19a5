//! The sweep: ends the instances of stopped versions, some rows a turn, so that no stop is a pause for others.

use crate::domain::ids::{PartitionId, ProfileKey};
use crate::runtime::partition::decide::Circumstances;
use crate::runtime::shard::{Seat, Shard};

/// Rows looked at in one turn for instances of stopped versions: about 100 µs.
const SWEEP_ROWS: usize = 4_096;

impl Shard {
    /// Ends instances of stopped versions, some rows a turn.
    pub(super) fn sweep_some(&mut self) {
        let Some((versions, index, from)) = self.sweep.take() else { return };
        if !self.has_room() {
            self.sweep = Some((versions, index, from));
            return;
        }
        let Some(seat) = self.seats.get(usize::from(index)) else { return };
        let mut keys = Vec::new();
        let next = match seat.open() {
            Some(partition) => partition.table.inside(&versions, from, SWEEP_ROWS, &mut keys),
            None => None,
        };
        for key in keys {
            self.decide_due(PartitionId(index), key);
        }
        self.sweep = Some(match next {
            Some(slot) => (versions, index, slot),
            None => (versions, index + 1, 0),
        });
    }

    /// Fires what is due of a profile.
    pub(super) fn decide_due(&mut self, id: PartitionId, key: ProfileKey) {
        let now = self.now;
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.0)) else { return };
        // Where the clock went back, time stands still: no wait may begin before what the partition has journaled.
        let now = now.max(partition.engine_time);
        let about = Circumstances { config: &self.config.decide, catalog: &self.catalog, now };
        let decided = partition.decide_due(key, about, &mut self.draught);
        if let Err(error) = decided {
            self.corrupt(id, &error);
        }
        self.take_draught();
        self.lower_next_slot(id);
    }
}
