//! An event lets a profile in, or is discarded with a reason.

use std::fmt;

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::apply::memory::{fits, kept};
use crate::domain::apply::walk::Walk;
use crate::domain::apply::world::EventInput;
use crate::domain::expression::{EvalError, Expr, Scope};
use crate::domain::ids::{Millis, VersionId};
use crate::domain::journey::program::{Program, Reentry};
use crate::domain::limits;
use crate::domain::pause::PauseMode;
use crate::domain::profile::{Context, DueKind, Extra, Instance, LastEntry};
use crate::domain::step::{DiscardReason, Entrance, Failure, Step, StepKind};
use crate::domain::value::{Map, Value};
use crate::planted::{Bug, is_planted};

impl<'w> Walk<'_, 'w> {
    pub(super) fn offer_to_entries(&mut self, event: EventInput<'_>) {
        let catalog = self.world.catalog;
        if !catalog.in_test.is_empty() {
            self.offer_to_tests(event);
        }
        if event.also.is_empty() {
            for &version in catalog.entered_by(event.kind) {
                self.offer_to_entry(self.program(version), event);
            }
            return;
        }
        // Priorities count among all journeys that the event could let into, whichever of its types they name.
        let kinds = [event.kind].into_iter().chain(event.also.iter().map(|kind| kind.as_str()));
        let mut open: Vec<(&Program, &str)> = kinds
            .flat_map(|kind| catalog.entered_by(kind).iter().map(move |version| (&**catalog.program(*version), kind)))
            .collect();
        open.sort_by_key(|(program, _)| program.precedence());
        for (program, kind) in open {
            self.offer_to_entry(program, EventInput { kind, ..event });
        }
    }

    /// Tests of drafts let test profiles in, and before what is live: there they are inside already (spec §4.7).
    #[cold]
    fn offer_to_tests(&mut self, event: EventInput<'_>) {
        let catalog = self.world.catalog;
        if !catalog.test_profiles.contains(&self.profile.identity) && !is_planted(Bug::TestTakesAnyone) {
            return;
        }
        for kind in [event.kind].into_iter().chain(event.also.iter().map(|kind| kind.as_str())) {
            for version in catalog.in_test.get(kind).into_iter().flatten() {
                self.offer_to_entry(catalog.program(*version), EventInput { kind, ..event });
            }
        }
    }

    fn offer_to_entry(&mut self, program: &'w Program, event: EventInput<'_>) {
        if !self.world.catalog.pauses.is_empty() && self.world.catalog.is_stopped(program.version, self.now) {
            return;
        }
        match self.wants(program, event) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.discard(program.version, DiscardReason::EntryFilterError, Some(&error)),
        }
        let Some(ids) = &program.supplemental_id else { return self.enter_or_discard(program, event, None) };
        match self.supplemental_ids(ids, event) {
            Ok(ids) if ids.is_empty() => self.discard(program.version, DiscardReason::NoSupplementalId, None),
            Ok(ids) => ids.into_iter().for_each(|id| self.enter_or_discard(program, event, Some(id))),
            Err(error) => self.discard(program.version, DiscardReason::EntryFilterError, Some(&error)),
        }
    }

    fn enter_or_discard(&mut self, program: &'w Program, event: EventInput<'_>, supplemental_id: Option<SmolStr>) {
        let pause = self.pause_of(program);
        if pause.is_some_and(|pause| pause.mode == PauseMode::Discard) {
            return self.discard(program.version, DiscardReason::Paused, None);
        }
        match self.refusal(program, supplemental_id.as_deref()) {
            None if pause.is_some() => drop(self.keep_entrant(program, event, supplemental_id.as_deref())),
            None => self.enter(program, event, supplemental_id),
            Some(reason) => self.refuse(program, reason),
        }
    }

    pub(super) fn entry_scope<'s>(&'s self, event: EventInput<'s>) -> Scope<'s> {
        Scope {
            event: event.properties,
            last: event.properties,
            profile: &self.profile.document,
            meta_id: event.id,
            meta_type: event.kind,
            meta_time: event.time,
            action: Map::EMPTY,
            now: self.now,
            facts: None,
        }
    }

    /// Whether the entry filter takes the event; a false one is no discard.
    pub(super) fn wants(&self, program: &Program, event: EventInput<'_>) -> Result<bool, EvalError> {
        match &program.entry.when {
            None => Ok(true),
            Some(when) => when.eval_bool(&self.entry_scope(event)),
        }
    }

    /// The supplemental ids an event lets a profile in under.
    pub(super) fn supplemental_ids(&self, ids: &Expr, event: EventInput<'_>) -> Result<Vec<SmolStr>, EvalError> {
        supplemental_ids(ids, &self.entry_scope(event))
    }

    /// Why a profile may not enter; `None` if it may.
    #[inline]
    pub(super) fn refusal(&self, program: &Program, supplemental_id: Option<&str>) -> Option<DiscardReason> {
        let has_begun = program.starts_at.is_none_or(|starts_at| starts_at <= self.now);
        if !has_begun || program.ends_at.is_some_and(|ends_at| ends_at <= self.now) {
            return Some(DiscardReason::OutsideDates);
        }
        if self.profile.running(program.journey, supplemental_id).is_some() {
            return Some(DiscardReason::AlreadyInJourney);
        }
        if let Some(previous) = self.profile.last_entry(program.journey, supplemental_id)
            && !self.may_enter_again(program, previous)
        {
            return Some(DiscardReason::ReentranceNotAllowed);
        }
        let here = self.profile.instances.iter().filter(|i| i.journey == program.journey).count();
        let is_crowded = supplemental_id.is_some() && here >= limits::SUPPLEMENTAL_INSTANCES_MAX;
        if is_crowded || self.profile.instances.len() >= limits::INSTANCES_PER_PROFILE_MAX {
            return Some(DiscardReason::TooManyInstances);
        }
        self.cap_refusal(program)
    }

    fn may_enter_again(&self, program: &Program, previous: Millis) -> bool {
        match program.reentry {
            Reentry::Never => false,
            Reentry::After(period_ms) => {
                self.now >= previous.plus(period_ms + i64::from(is_planted(Bug::ReentryOffByOne)))
            }
        }
    }

    pub(super) fn discard(&mut self, version: VersionId, reason: DiscardReason, note: Option<&dyn fmt::Display>) {
        if let Some(note) = note {
            self.out.notes.push((self.out.steps.len(), note.to_string()));
        }
        let kind = StepKind::Discarded(reason);
        self.out.steps.push(Step { version, node: Step::NO_NODE, ordinal: 0, kind, due: Millis::NEVER });
    }

    /// Notes an entry, for re-entrance, and says whether there was one before. Of supplemental ids those are kept that
    /// something may hang on.
    #[inline]
    fn note_entry(&mut self, program: &Program, supplemental_id: Option<&SmolStr>) -> Entrance {
        let journey = program.journey;
        let mut entries = std::mem::take(&mut self.profile.last_entries);
        let known = entries.len();
        entries.retain(|entry| entry.journey != journey || entry.supplemental_id.as_ref() != supplemental_id);
        let entrance = if entries.len() < known { Entrance::Again } else { Entrance::First };
        if supplemental_id.is_some() {
            let counts = |entry: &LastEntry| {
                let id = entry.supplemental_id.as_deref();
                self.profile.running(journey, id).is_some() || !self.may_enter_again(program, entry.at)
            };
            entries.retain(|entry| entry.journey != journey || counts(entry));
            let of_journey = entries.iter().filter(|entry| entry.journey == journey).count();
            if of_journey >= limits::SUPPLEMENTAL_IDS_KEPT_MAX
                && let Some(oldest) = entries.iter().position(|entry| {
                    entry.journey == journey
                        && self.profile.running(journey, entry.supplemental_id.as_deref()).is_none()
                })
            {
                entries.remove(oldest);
            }
        }
        entries.push(LastEntry { journey, supplemental_id: supplemental_id.cloned(), at: self.now });
        self.profile.last_entries = entries;
        entrance
    }

    pub(super) fn enter(&mut self, program: &'w Program, event: EventInput<'_>, supplemental_id: Option<SmolStr>) {
        let entrance = self.note_entry(program, supplemental_id.as_ref());
        self.count_entry(program);
        if program.rule_set.is_some() {
            self.entered.push(program);
        }
        let instance = self.instance_of(program, event, supplemental_id);
        let (profile, ordinal) = (&mut *self.profile, instance.ordinal);
        profile.entries = ordinal;
        profile.instances.push(instance);
        profile.changes.header = true;
        profile.changes.instance(ordinal);
        profile.changes.context(ordinal);
        let position = profile.instances.len() - 1;
        self.begin_to_move();
        self.step(position, StepKind::Entered(entrance));
        if fits(&self.profile.instances[position].context) {
            self.arrive(position);
        } else {
            self.step(position, StepKind::Arrived);
            self.fail(position, Failure::InstanceTooLarge, None);
        }
    }

    /// A new instance at its start, the next of the profile.
    #[inline]
    pub(super) fn instance_of(
        &self,
        program: &Program,
        event: EventInput<'_>,
        supplemental_id: Option<SmolStr>,
    ) -> Instance {
        let context = Context {
            event: kept(event.properties, &program.keeps_event),
            last: (!program.keeps_last.is_empty()).then(|| kept(event.properties, &program.keeps_last)),
            event_id: SmolStr::new(event.id),
            event_type: SmolStr::new(event.kind),
            event_time: event.time,
            visits: SmallVec::new(),
            extra: supplemental_id.map(|id| Box::new(Extra { supplemental_id: Some(id), ..Extra::default() })),
        };
        Instance {
            version: program.version,
            journey: program.journey,
            node: program.start,
            generation: 0,
            entered_at: self.now,
            due: program.over_at(self.now),
            due_kind: DueKind::Timeout,
            ordinal: self.profile.entries + 1,
            sends: 0,
            context,
        }
    }
}

/// The supplemental ids that `ids` names, each once: texts, or one text (spec §1.7). An event enters under them in this
/// order.
///
/// # Errors
/// The expression fails, an id is longer than identities may be, or there are too many.
pub fn supplemental_ids(ids: &Expr, scope: &Scope<'_>) -> Result<Vec<SmolStr>, EvalError> {
    let values = match ids.eval(scope)? {
        Value::List(values) => values,
        value => vec![value],
    };
    let mut found: Vec<SmolStr> = Vec::new();
    for value in &values {
        if let Value::Str(id) = value
            && !id.is_empty()
            && !found.iter().any(|known| known == id.as_str())
        {
            if id.len() > limits::IDENTITY_BYTES_MAX {
                let message = format!("a supplemental id of {} bytes passes {}", id.len(), limits::IDENTITY_BYTES_MAX);
                return Err(EvalError::Other(message));
            }
            if found.len() == limits::SUPPLEMENTAL_IDS_PER_EVENT_MAX {
                let message = format!("an event names at most {} supplemental ids", found.len());
                return Err(EvalError::Other(message));
            }
            found.push(SmolStr::new(id));
        }
    }
    Ok(found)
}
