//! What an answer to a call does: its row goes, and in the same record the instance that waits for it moves on.

use crate::domain::apply::{self, World};
use crate::domain::effect::{CallAnswer, OutboxRow};
use crate::runtime::partition::Partition;
use crate::runtime::partition::awake::Awake;
use crate::runtime::partition::decide::{Circumstances, Draught, profile_key};
use crate::wire::cursor::WireError;
use crate::wire::outbox::OutboxChange;

impl Partition {
    /// Takes in the answer to a call: the row goes, and in the same record the instance that waits for it moves on.
    pub(super) fn decide_answer(
        &mut self,
        row: &OutboxRow,
        answer: &CallAnswer,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) -> Result<(), WireError> {
        let key = profile_key(row, about);
        let awake = match self.table.find(key) {
            Some(slot) => {
                let mut awake = Awake::wake_slot(self, slot, draught, about)?;
                let room = |room: apply::Room<'_>| self.has_room(room, about.config);
                let world = World { room: &room, spent: self.mail.spent(), ..self.world(about) };
                apply::apply_answer(&mut awake.profile, row, answer, about.now, world, &mut draught.outcome);
                Some(awake)
            }
            None => None,
        };
        draught.outbox.push(OutboxChange::Gone(row.id));
        self.write(awake, None, None, key, about, draught);
        Ok(())
    }
}
