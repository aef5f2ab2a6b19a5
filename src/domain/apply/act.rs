//! Nodes that change something at once: the profile's document, or which journeys the profile is in.

use smol_str::SmolStr;

use crate::domain::apply::inputs::merge_document;
use crate::domain::apply::walk::{Flow, Walk};
use crate::domain::apply::world::EventInput;
use crate::domain::expression::{EvalError, Expr};
use crate::domain::ids::NodeNo;
use crate::domain::journey::program::{Node, NodeKind, Program};
use crate::domain::pause::PauseMode;
use crate::domain::step::{DiscardReason, Failure, Path};
use crate::domain::value::{Map, Value};

impl<'w> Walk<'_, 'w> {
    /// Sets fields of the document; the very next node sees them. All values are read before the first is set.
    pub(super) fn update_profile(
        &mut self,
        position: usize,
        node: &Node,
        fields: &[(Vec<SmolStr>, Option<Expr>)],
        then: NodeNo,
    ) -> Flow {
        let mut patch = Map::new();
        for (path, value) in fields {
            match value.as_ref().map_or(Ok(Value::Null), |value| value.eval(&self.scope(position))) {
                Ok(value) => patch.insert_path(path, value),
                Err(error) => return self.fail_at(position, node, Failure::Expression, Some(&error)),
            }
        }
        match merge_document(self.profile, &patch) {
            Ok(()) => Flow::Go(then, Path::Then),
            Err(_) => self.fail_at(position, node, Failure::DocumentTooLarge, None),
        }
    }

    /// A jump is refused. Steps of the other journey do not count for this one.
    fn discard_elsewhere(&mut self, target: &Program, reason: DiscardReason, error: Option<&EvalError>) {
        match error {
            Some(error) => self.discard(target.version, reason, Some(error)),
            None => self.refuse(target, reason),
        }
        self.moving_since += 1;
    }

    /// Lets the profile into another journey, whose first steps happen at once, and goes on. A profile that is inside
    /// already stays there, and one that its filter does not want stays out; both are no failure (spec §3.5, §16.13).
    pub(super) fn jump(&mut self, mut position: usize, program: &Program, node: &Node) -> Flow {
        let NodeKind::Jump { journey, event, with, then } = &node.kind else { unreachable!("called at a jump") };
        let mut properties = Map::new();
        for (name, value) in with {
            match value.as_ref().map_or(Ok(Value::Null), |value| value.eval(&self.scope(position))) {
                Ok(Value::Null) => {}
                Ok(value) => properties.insert(name.clone(), value),
                Err(error) => return self.fail_at(position, node, Failure::Expression, Some(&error)),
            }
        }
        let failed = |why: &str| Some(EvalError::Other(format!("journey `{journey}` {why}")));
        let target = self.world.catalog.live.get(journey).map(|version| self.program(*version));
        let is_open = |target: &&Program| {
            target.entry.event == *event && !self.world.catalog.is_stopped(target.version, self.now)
        };
        let Some(target) = target.filter(is_open) else {
            return self.fail_at(position, node, Failure::Jump, failed("takes no such entries").as_ref());
        };
        let ordinal = self.profile.instances[position].ordinal;
        let id = format!("jump:{}:{ordinal}:{}", program.name, node.name);
        let event = EventInput { id: &id, kind: event, time: self.now, properties: &properties, also: &[] };
        let ids = match self.ids_wanted(target, event) {
            Ok(Some(ids)) => ids,
            Ok(None) => return Flow::Go(*then, Path::Then),
            Err(error) => {
                self.discard_elsewhere(target, DiscardReason::EntryFilterError, Some(&error));
                return self.fail_at(position, node, Failure::Jump, failed("has a filter that failed").as_ref());
            }
        };
        if ids.is_empty() {
            self.discard_elsewhere(target, DiscardReason::NoSupplementalId, None);
            return self.fail_at(position, node, Failure::Jump, failed("needs a supplemental id").as_ref());
        }
        let mut refused = false;
        for id in ids {
            match self.refusal_of_jump(target, id.as_deref()) {
                None if self.pause_of(target).is_some() => {
                    refused |= !self.keep_entrant(target, event, id.as_deref());
                    self.moving_since += 1;
                }
                None => {
                    // Steps that the other journey takes do not count for this one.
                    let (begun, before) = (self.moving_since, self.out.steps.len());
                    self.enter(target, event, id);
                    self.moving_since = begun + (self.out.steps.len() - before);
                    // An exit criterion there may have taken others of the profile out, and this one with them.
                    let Some(place) = self.place_of(ordinal) else { return Flow::Gone };
                    position = place;
                }
                Some(reason) => {
                    self.discard_elsewhere(target, reason, None);
                    refused |= reason != DiscardReason::AlreadyInJourney;
                }
            }
        }
        match refused {
            false => Flow::Go(*then, Path::Then),
            true => self.fail_at(position, node, Failure::Jump, failed("refused the profile").as_ref()),
        }
    }

    /// Why a profile may not jump into a journey.
    fn refusal_of_jump(&self, target: &Program, id: Option<&str>) -> Option<DiscardReason> {
        match self.pause_of(target) {
            Some(pause) if pause.mode == PauseMode::Discard => Some(DiscardReason::Paused),
            _ => self.refusal(target, id),
        }
    }

    /// Under which ids a journey would take the profile, one without being none of them; `None` if its filter is false.
    fn ids_wanted(&self, target: &Program, event: EventInput<'_>) -> Result<Option<Vec<Option<SmolStr>>>, EvalError> {
        if !self.wants(target, event)? {
            return Ok(None);
        }
        Ok(Some(match &target.supplemental_id {
            None => vec![None],
            Some(ids) => self.supplemental_ids(ids, event)?.into_iter().map(Some).collect(),
        }))
    }
}
