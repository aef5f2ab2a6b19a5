//! What a partition has room for: bounds of its outbox and of what pauses hold.

use crate::domain::apply::Room;
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::DecideConfig;

impl Partition {
    /// Whether there is room for one more.
    #[inline]
    pub(super) fn has_room(&self, room: Room<'_>, config: &DecideConfig) -> bool {
        match room {
            Room::Outbox(surface) => self.outbox.waiting(surface) < config.outbox_rows_max,
            Room::Hold => self.counts.held() < config.held_max,
            Room::Entrant => self.counts.entrants() < config.entrants_max,
        }
    }
}
