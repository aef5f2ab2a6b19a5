//! The sentences about pauses: who is held, which events are kept, and why somebody was turned away. That it happened is of
//! the record; which pause it was, and what else could have been the reason, of the catalog.

use smol_str::SmolStr;

use crate::domain::catalog::VersionStatus;
use crate::domain::ids::{Millis, NodeNo, VersionId};
use crate::domain::journey::program::{EventFilter, Program};
use crate::domain::pause::{Pause, PauseEnding, PauseMode};
use crate::domain::step::Unkept;
use crate::runtime::past::rules::{RuleDraft, Seen, Sight, holds, rule};
use crate::runtime::past::transition::{Cause, Transition, may_be};
use crate::runtime::past::why::{Story, WhyItem, seen};
use crate::runtime::past::words::{caused, exit_rule};

/// Somebody whom a pause had kept at the entrance and who is let go.
pub(super) struct LetGo {
    /// What brought it there, if history still has it.
    pub(super) event: Option<Seen>,
    /// The version that was live then.
    pub(super) version: VersionId,
    /// The supplemental id it was to enter under.
    pub(super) supplemental_id: Option<SmolStr>,
}

impl Story<'_> {
    pub(super) fn tell_held(&mut self, at: Millis, told: &Transition<'_>, item: WhyItem) {
        let until = self.catalog.pause_before(told.program.journey, at).map(|pause| pause.ends_at);
        let bound = until.map_or(String::new(), |until| format!(", until {until}"));
        let text = match &item.node {
            Some(node) => format!("is held at `{node}`: the journey is paused{bound}"),
            None => format!("{} is kept to enter later: the journey is paused{bound}", caused(told)),
        };
        let until = until.map(Millis::to_iso);
        if let (None, Cause::Event(event)) = (&item.node, &told.cause) {
            self.entrants.insert(told.step.ordinal, seen(event, at));
        }
        self.push(at, WhyItem { what: "held".into(), reason: "paused".into(), until, text, ..item }, Vec::new());
    }

    pub(super) fn tell_released(&mut self, at: Millis, told: &Transition<'_>, item: WhyItem) {
        let text = match &item.node {
            Some(node) => format!("is held at `{node}` no longer"),
            None => "is no longer kept at the entrance".to_owned(),
        };
        if item.node.is_none() {
            self.runs.remove(&told.step.ordinal);
            let event = self.entrants.remove(&told.step.ordinal);
            let supplemental_id = item.supplemental_id.as_deref().map(SmolStr::new);
            self.let_go = Some(LetGo { event, version: told.step.version, supplemental_id });
        }
        self.push(at, WhyItem { what: "released".into(), reason: "paused".into(), text, ..item }, Vec::new());
    }

    pub(super) fn tell_kept(&mut self, at: Millis, told: &Transition<'_>, node: NodeNo, item: WhyItem) {
        let (here, next) = (item.node.as_deref().unwrap_or_default(), &told.program.node(node).name);
        let text = format!("{} came while a pause held it at `{here}`, and is kept for `{next}`", caused(told));
        self.push(at, WhyItem { what: "kept".into(), reason: "paused".into(), text, ..item }, Vec::new());
    }

    pub(super) fn tell_not_kept(&mut self, at: Millis, told: &Transition<'_>, why: Unkept, item: WhyItem) {
        let (here, why) = (item.node.as_deref().unwrap_or_default(), why.told());
        let text = format!("{} came while a pause held it at `{here}`, and is not kept: {why}", caused(told));
        self.push(at, WhyItem { what: "not_kept".into(), reason: "paused".into(), text, ..item }, Vec::new());
    }

    /// The pause that the journey was in.
    fn pause_on(&self, program: &Program, at: Millis) -> Option<&Pause> {
        self.catalog.pause_before(program.journey, at).filter(|pause| pause.is_on(at))
    }

    /// Why a pause made somebody leave at an action.
    pub(super) fn forced_text(&self, at: Millis, program: &Program) -> String {
        match self.pause_on(program, at).map(|pause| pause.mode) {
            Some(PauseMode::Discard) => "the journey was paused in the mode `discard`, which keeps nobody",
            Some(PauseMode::Hold) => "the journey was paused, and held as many profiles as it may already",
            None => "the journey was paused, and did not keep it",
        }
        .to_owned()
    }

    /// Why a pause did not let somebody in: at once, or when it let go whom it had kept.
    pub(super) fn turned_away_text(
        &self,
        at: Millis,
        told: &Transition<'_>,
        let_go: Option<&LetGo>,
        rules: &mut Vec<RuleDraft>,
    ) -> String {
        if let Some(let_go) = let_go {
            return format!("it did not enter: {}", self.unwanted_text(at, told, let_go, rules));
        }
        match (self.pause_on(told.program, at).map(|pause| pause.mode), told.note) {
            (_, Some(note)) => format!("the journey is paused, and {note}"),
            (Some(PauseMode::Discard), None) => {
                "the journey is paused in the mode `discard`, which keeps nobody".to_owned()
            }
            (Some(PauseMode::Hold), None) => {
                "the journey is paused, and keeps as many entrants as it may already".to_owned()
            }
            (None, None) => "the journey was paused, and did not keep it".to_owned(),
        }
    }

    /// Why somebody who was kept did not enter.
    fn unwanted_text(&self, at: Millis, told: &Transition<'_>, let_go: &LetGo, rules: &mut Vec<RuleDraft>) -> String {
        let version = self.catalog.get(let_go.version);
        let held = &version.program;
        if let Some(text) = self.exit_met_text(at, held, let_go, rules) {
            return text;
        }
        let is_stopped = version.status == VersionStatus::Stopped;
        match (self.pause_on(held, at).map(|pause| pause.mode), is_stopped) {
            (Some(PauseMode::Discard), false) => {
                return "the journey was paused again, in the mode `discard`".to_owned();
            }
            (Some(PauseMode::Discard), true) => {
                let number = held.number;
                return format!("the journey was paused again, in the mode `discard`, or version {number} was stopped");
            }
            (Some(PauseMode::Hold), _) => return format!("version {} was stopped", held.number),
            (None, _) => {}
        }
        let before = self.catalog.pause_before(held.journey, at);
        if before.is_some_and(|pause| pause.ending == PauseEnding::Stop && pause.ends_at <= at) {
            return "the journey was stopped at the end of the pause".to_owned();
        }
        self.unwanted_at_the_end_text(at, told.program, let_go, rules)
    }

    /// The event of this record met an exit criterion, as far as that is known.
    fn exit_met_text(&self, at: Millis, held: &Program, let_go: &LetGo, rules: &mut Vec<RuleDraft>) -> Option<String> {
        let event = self.event.as_ref()?;
        let properties = seen(event, at).properties;
        let is_it = |kind: &str| may_be(event, kind, self.catalog);
        let sight =
            Sight { entry: let_go.event.as_ref(), last: Some(&properties), document: &self.profile.document, at };
        let may_hold =
            |filter: &&EventFilter| filter.when.as_ref().is_none_or(|when| holds(when, sight) != Some(false));
        held.exit.iter().filter(|filter| is_it(&filter.event)).find(may_hold)?;
        rules.extend(exit_rule(held, is_it, &properties, sight));
        Some(format!("event {} `{}` met an exit criterion while it waited", event.id, event.kind))
    }

    /// The pause is over, and the version that was live did not want it; or none was.
    fn unwanted_at_the_end_text(
        &self,
        at: Millis,
        program: &Program,
        let_go: &LetGo,
        rules: &mut Vec<RuleDraft>,
    ) -> String {
        let status = self.catalog.get(program.version).status;
        let closed = match status {
            VersionStatus::Stopped => format!("version {} was stopped", program.number),
            _ => "the journey takes no such entries any more".to_owned(),
        };
        let Some(when) = &program.entry.when else { return closed };
        let last = let_go.event.as_ref().map(|event| &event.properties);
        let sight = Sight { entry: let_go.event.as_ref(), last, document: &self.profile.document, at };
        // It was asked by a version that has come since, or by one that still takes entries.
        let was_asked = program.version != let_go.version || status == VersionStatus::Live;
        let held = holds(when, sight);
        if was_asked || held == Some(false) {
            rules.push(rule(when, was_asked.then_some(false), sight));
            return format!("the entry filter of version {} was asked again", program.number);
        }
        match held {
            Some(true) => closed,
            _ => format!("{closed}, or the entry filter of version {} was false then", program.number),
        }
    }
}
