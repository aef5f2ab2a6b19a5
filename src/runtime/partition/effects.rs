//! Effects of a decision become changes of the outbox and the mail.

use crate::domain::effect::Effect;
use crate::domain::ids::{DeliveryId, InstanceId, ProfileKey};
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::{Circumstances, Draught, cancelled_step};
use crate::wire::outbox::OutboxChange;

impl Partition {
    /// Effects become changes of the outbox.
    pub(super) fn take_effects(&mut self, key: ProfileKey, about: Circumstances<'_>, draught: &mut Draught) {
        // Taken out so that the draught can be changed meanwhile, and put back for its room.
        let mut effects = std::mem::take(&mut draught.outcome.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(row) => {
                    draught.sends.push(row.id);
                    draught.outbox.push(OutboxChange::Put(row));
                }
                Effect::CancelUnattempted(instance) => self.cancel(instance, draught),
                Effect::Claim(claim) => self.claim(&claim, key, about, draught),
            }
        }
        draught.outcome.effects = effects;
    }

    fn cancel(&mut self, instance: InstanceId, draught: &mut Draught) {
        // Sends decided by this very input are in no outbox yet.
        let Draught { outbox, outcome, sends, .. } = draught;
        outbox.retain(|change| match change {
            OutboxChange::Put(row) if row.id.instance == instance => {
                outcome.steps.extend(cancelled_step(row));
                sends.retain(|id| *id != row.id);
                false
            }
            _ => true,
        });
        let any = DeliveryId { partition: self.id, instance, ordinal: 0 };
        for id in self.outbox.unattempted(any, instance) {
            let row = self.outbox.get(id).expect("listed just now").clone();
            draught.outcome.steps.extend(cancelled_step(&row));
            draught.outbox.push(OutboxChange::Gone(id));
        }
    }
}
