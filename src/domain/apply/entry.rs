//! An event lets a profile in, or is discarded with a reason.

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::apply::memory::{fits, kept};
use crate::domain::apply::walk::Walk;
use crate::domain::apply::world::EventInput;
use crate::domain::expression::{EvalError, Scope};
use crate::domain::ids::{Millis, VersionId};
use crate::domain::journey::program::{Program, Reentry};
use crate::domain::limits;
use crate::domain::profile::{Context, DueKind, Instance};
use crate::domain::step::{DiscardReason, Failure, Step, StepKind};
use crate::planted::{Bug, is_planted};

impl Walk<'_, '_> {
    pub(super) fn offer_to_entries(&mut self, event: EventInput<'_>) {
        for &version in self.world.catalog.entered_by(event.kind) {
            let program = self.program(version);
            match self.admits(program, event) {
                Ok(None) => self.enter(program, event),
                Ok(Some(reason)) => self.discard(version, reason, None),
                Err(Some(error)) => self.discard(version, DiscardReason::EntryFilterError, Some(&error)),
                Err(None) => {}
            }
        }
    }

    /// `Ok(None)` = may enter; `Err(None)` = the filter is false, which is no discard.
    pub(super) fn admits(
        &self,
        program: &Program,
        event: EventInput<'_>,
    ) -> Result<Option<DiscardReason>, Option<EvalError>> {
        if let Some(when) = &program.entry.when {
            let scope = Scope {
                event: event.properties,
                last: event.properties,
                profile: &self.profile.document,
                meta_id: event.id,
                meta_type: event.kind,
                meta_time: event.time,
                now: self.now,
            };
            if !when.eval_bool(&scope).map_err(Some)? {
                return Err(None);
            }
        }
        let has_begun = program.starts_at.is_none_or(|starts_at| starts_at <= self.now);
        if !has_begun || program.ends_at.is_some_and(|ends_at| ends_at <= self.now) {
            return Ok(Some(DiscardReason::OutsideDates));
        }
        if self.profile.running(program.journey).is_some() {
            return Ok(Some(DiscardReason::AlreadyInJourney));
        }
        if let Some(previous) = self.profile.last_entry(program.journey) {
            let allowed = match program.reentry {
                Reentry::Never => false,
                Reentry::After(period_ms) => {
                    self.now >= previous.plus(period_ms + i64::from(is_planted(Bug::ReentryOffByOne)))
                }
            };
            if !allowed {
                return Ok(Some(DiscardReason::ReentranceNotAllowed));
            }
        }
        if self.profile.instances.len() >= limits::INSTANCES_PER_PROFILE_MAX {
            return Ok(Some(DiscardReason::TooManyInstances));
        }
        Ok(None)
    }

    pub(super) fn discard(&mut self, version: VersionId, reason: DiscardReason, error: Option<&EvalError>) {
        if let Some(error) = error {
            self.out.notes.push((self.out.steps.len(), error.to_string()));
        }
        let kind = StepKind::Discarded(reason);
        self.out.steps.push(Step { version, node: Step::NO_NODE, ordinal: 0, kind, due: Millis::NEVER });
    }

    pub(super) fn enter(&mut self, program: &Program, event: EventInput<'_>) {
        let profile = &mut *self.profile;
        profile.entries += 1;
        let ordinal = profile.entries;
        profile.last_entries.retain(|(journey, _)| *journey != program.journey);
        profile.last_entries.push((program.journey, self.now));
        let context = Context {
            event: kept(event.properties, &program.keeps_event),
            last: (!program.keeps_last.is_empty()).then(|| kept(event.properties, &program.keeps_last)),
            event_id: SmolStr::new(event.id),
            event_type: SmolStr::new(event.kind),
            event_time: event.time,
            visits: SmallVec::new(),
            extra: None,
        };
        profile.instances.push(Instance {
            version: program.version,
            journey: program.journey,
            node: program.start,
            generation: 0,
            entered_at: self.now,
            due: program.over_at(self.now),
            due_kind: DueKind::Timeout,
            ordinal,
            sends: 0,
            context,
        });
        profile.changes.header = true;
        profile.changes.instance(ordinal);
        profile.changes.context(ordinal);
        let position = profile.instances.len() - 1;
        self.begin_to_move();
        self.step(position, StepKind::Entered);
        if fits(&self.profile.instances[position].context) {
            self.arrive(position);
        } else {
            self.step(position, StepKind::Arrived);
            self.fail(position, Failure::InstanceTooLarge, None);
        }
    }
}
