//! An event meets the running instances: exit criteria, then the nodes that await it.

use smallvec::SmallVec;

use crate::domain::apply::memory::{fits, kept};
use crate::domain::apply::walk::{Flow, Walk};
use crate::domain::apply::world::EventInput;
use crate::domain::expression::EvalError;
use crate::domain::journey::program::{EventFilter, Program};
use crate::domain::step::{ExitReason, Failure};
use crate::planted::{Bug, is_planted};

impl Walk<'_, '_> {
    /// Exit criteria, then awaiting nodes, instance by instance in the order of entry.
    pub(super) fn offer_to_instances(&mut self, event: EventInput<'_>) {
        let ordinals: SmallVec<[u32; 4]> = self.profile.instances.iter().map(|i| i.ordinal).collect();
        for ordinal in ordinals {
            let Some(position) = self.profile.instances.iter().position(|i| i.ordinal == ordinal) else { continue };
            let program = self.program(self.profile.instances[position].version);
            match self.first_match(position, &program.exit, event) {
                Ok(true) if is_planted(Bug::ExitAfterAwaited) && self.awaits(position, program, event) => {}
                Ok(true) => {
                    self.exit(position, ExitReason::Criteria);
                    continue;
                }
                Ok(false) => {}
                Err(_) if self.profile.instances[position].is_entrant() => {}
                Err(error) => {
                    self.fail(position, Failure::Expression, Some(&error));
                    continue;
                }
            }
            let is_held = !self.world.catalog.pauses.is_empty() && self.profile.instances[position].held().is_some();
            if is_held && self.profile.instances[position].is_entrant() {
                continue;
            }
            if !program.heard.is_empty() && !self.hear(position, program, event) {
                continue;
            }
            if is_held {
                self.keep_event(position, program, event);
                continue;
            }
            let node = program.node(self.profile.instances[position].node);
            match self.way_for(position, node, event) {
                Ok(Some((then, path, slot))) => {
                    self.forget(position, slot);
                    self.remember(position, program, event);
                    if !fits(&self.profile.instances[position].context) {
                        self.fail(position, Failure::InstanceTooLarge, None);
                        continue;
                    }
                    self.advance(position, Flow::Go(then, path));
                }
                Ok(None) => {}
                Err(error) => {
                    let flow = self.fail_at(position, node, Failure::Expression, Some(&error));
                    self.advance(position, flow);
                }
            }
        }
    }

    /// Whether the node it is at takes the event.
    fn awaits(&self, position: usize, program: &Program, event: EventInput<'_>) -> bool {
        let node = program.node(self.profile.instances[position].node);
        self.way_for(position, node, event).is_ok_and(|way| way.is_some())
    }

    /// Whether one of `filters` takes `event`, with `last` = the event itself.
    pub(super) fn first_match(
        &self,
        position: usize,
        filters: &[EventFilter],
        event: EventInput<'_>,
    ) -> Result<bool, EvalError> {
        for filter in filters.iter().filter(|f| event.is(&f.event)) {
            if filter.of.is_some_and(|of| !self.is_about(position, of, event.properties)) {
                continue;
            }
            let taken = match &filter.when {
                None => true,
                Some(when) => when.eval_bool(&self.scope_with_last(position, event.properties))?,
            };
            if taken {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps of a received event what the program reads of `last`.
    pub(super) fn remember(&mut self, position: usize, program: &Program, event: EventInput<'_>) {
        if program.keeps_last.is_empty() {
            return;
        }
        let instance = &mut self.profile.instances[position];
        instance.context.last = Some(kept(event.properties, &program.keeps_last));
        let ordinal = instance.ordinal;
        self.profile.changes.context(ordinal);
    }
}
