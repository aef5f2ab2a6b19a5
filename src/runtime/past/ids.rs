//! Supplemental ids of runs. Records do not hold them: those of runs in progress are known, and those before follow from the
//! event, which enters under the ids it names in their order.

use smol_str::SmolStr;

use crate::domain::apply::supplemental_ids;
use crate::domain::expression::Root;
use crate::domain::step::{Entrance, StepKind};
use crate::runtime::past::rules::{Sight, scope};
use crate::runtime::past::transition::{Cause, Transition};
use crate::runtime::past::why::{ITEMS_MAX, Story, seen};
use crate::runtime::projection::HistoryEntry;

impl Story<'_> {
    /// The supplemental id of the run that a step is of, or would have been; `None` where there is none, or it is not known.
    pub(super) fn under(&mut self, told: &Transition<'_>, entry: &HistoryEntry) -> Option<SmolStr> {
        told.program.supplemental_id.as_ref()?;
        let ordinal = told.step.ordinal;
        let let_go = self.let_go.as_ref().and_then(|let_go| let_go.supplemental_id.clone());
        let known = match told.step.kind {
            _ if told.is_own_entrance(entry) => self.named(told, entry),
            StepKind::Discarded(_) => let_go,
            StepKind::Entered(entrance) if entrance != Entrance::Migrated => let_go,
            _ => self.ids.get(&ordinal).cloned(),
        };
        let id = known.or_else(|| {
            let running = self.profile.instances.iter().find(|instance| instance.ordinal == ordinal)?;
            running.supplemental_id().map(SmolStr::new)
        })?;
        if ordinal != 0 {
            self.ids.insert(ordinal, id.clone());
            if self.ids.len() > ITEMS_MAX {
                self.ids.pop_first();
            }
        }
        Some(id)
    }

    /// The id that the event of the entry names for this entrance. An expression that reads more than the event is not asked
    /// again: the profile may have changed since.
    fn named(&self, told: &Transition<'_>, entry: &HistoryEntry) -> Option<SmolStr> {
        let (Cause::Event(event), Some(ids)) = (&told.cause, &told.program.supplemental_id) else { return None };
        if !ids.reads().iter().all(|read| matches!(read.root, Root::Event | Root::Last | Root::Meta)) {
            return None;
        }
        let seen = seen(event, entry.at);
        let (document, at) = (&self.profile.document, entry.at);
        let sight = Sight { entry: Some(&seen), last: Some(&seen.properties), document, at };
        supplemental_ids(ids, &scope(sight)).ok()?.into_iter().nth(told.nth_entrance)
    }
}
