//! The sentences of a story: what each step means to whoever asks why.

use smol_str::SmolStr;

use crate::domain::ids::{Millis, NodeNo};
use crate::domain::journey::duration;
use crate::domain::journey::program::{Arm, Method, NodeKind, Program, Reentry};
use crate::domain::limits;
use crate::domain::note;
use crate::domain::step::{DiscardReason, Entrance, ExitReason, Failure, MessageOutcome, Path, Step, StepKind};
use crate::runtime::past::event::channel_word;
use crate::runtime::past::pauses::LetGo;
use crate::runtime::past::rules::{Sight, draft, holds, rule};
use crate::runtime::past::transition::{Cause, Transition, arm, may_be};
use crate::runtime::past::why::{Run, Story, WhyItem, seen};
use crate::runtime::past::words::{
    caps_text, caused, dates_text, draft_of, entrance_text, exit_rule, filter_text, left_text, name, test_rule,
};
use crate::runtime::report::{discard_word, exit_word, outcome_word, path_words};

impl Story<'_> {
    /// Tells a step of the journey; `rest` are those behind it in its entry, `under` is the supplemental id, if it has one and
    /// that is known.
    pub(super) fn tell_step(
        &mut self,
        at: Millis,
        told: &Transition<'_>,
        rest: &[Transition<'_>],
        under: Option<&SmolStr>,
    ) {
        let (step, program) = (told.step, told.program);
        let node = (step.node != Step::NO_NODE).then(|| program.node(step.node).name.clone());
        // Who is let go at the entrance enters, or not, by the very next step: by time, or refused by what an event did.
        let is_refused = matches!(step.kind, StepKind::Discarded(_));
        let let_go = self.let_go.take().filter(|_| told.cause == Cause::Other || is_refused);
        let kept = let_go.as_ref().and_then(|let_go| let_go.event.as_ref());
        let item = WhyItem {
            version: Some(program.number),
            in_test: program.is_in_test,
            instance: self.instance(step.ordinal),
            supplemental_id: under.map(SmolStr::to_string),
            node: node.as_ref().map(SmolStr::to_string),
            event_id: told.cause.event_id().or(kept.map(|event| event.id.as_str())).map(str::to_owned),
            event_type: match &told.cause {
                Cause::Event(event) => Some(event.kind.to_string()),
                Cause::Jump(_) => Some(program.entry.event.to_string()),
                Cause::Other => kept.map(|event| event.kind.to_string()),
            },
            ..WhyItem::default()
        };
        if step.ordinal != 0 && !matches!(step.kind, StepKind::Entered(_)) {
            let run = self.run_of(step.ordinal);
            run.node = node.clone().unwrap_or_default();
        }
        match step.kind {
            StepKind::Entered(Entrance::Migrated) => self.tell_migrated(at, told, item),
            StepKind::Exited(ExitReason::Migrated) => {}
            StepKind::Entered(entrance) => self.tell_entered(at, told, (entrance, let_go), item),
            StepKind::Discarded(reason) => self.tell_discarded(at, told, (reason, let_go), item),
            StepKind::Arrived if told.stays => self.tell_waiting(at, told, item),
            StepKind::Arrived => {}
            StepKind::Left(path) => {
                let target = rest.iter().find(|next| next.step.ordinal == step.ordinal).map(|next| next.step.node);
                self.tell_left(at, told, path, target, item);
            }
            StepKind::Exited(reason) => self.tell_exited(at, told, reason, item),
            StepKind::Failed(failure) => {
                let note = told.note.map_or(String::new(), |note| format!(": {note}"));
                let text = format!("the run failed at `{}`: {}{note}", name(node.as_ref()), failure);
                let item = WhyItem { what: "failed".into(), reason: failure.to_string(), text, ..item };
                let culprit = self.culprit(at, told).filter(|_| failure == Failure::Expression);
                self.push(at, item, culprit.into_iter().collect());
                self.runs.remove(&step.ordinal);
            }
            StepKind::Called(status) => {
                let note = told.note.map_or(String::new(), |note| format!(": {}", note::shown(note)));
                let called = name(node.as_ref());
                let text = match program.node(step.node).kind {
                    NodeKind::Action { action, .. } if program.actions[usize::from(action)].is_source() => {
                        format!("the data source asked at `{called}` answered {status}{note}")
                    }
                    _ => format!("the action called at `{called}` ended in {status}{note}"),
                };
                let item = WhyItem { what: "called".into(), reason: status.to_string(), text, ..item };
                self.push(at, item, Vec::new());
            }
            StepKind::Message { message, outcome } => self.tell_message(at, told, message, outcome, item),
            StepKind::Held(_) => self.tell_held(at, told, item),
            StepKind::Released(_) => self.tell_released(at, told, item),
            StepKind::Kept(node) => self.tell_kept(at, told, node, item),
            StepKind::NotKept(why) => self.tell_not_kept(at, told, why, item),
        }
    }

    fn tell_entered(
        &mut self,
        at: Millis,
        told: &Transition<'_>,
        (entrance, let_go): (Entrance, Option<LetGo>),
        item: WhyItem,
    ) {
        let program = told.program;
        let lead = entrance_text(told, let_go.as_ref());
        let entry = match &told.cause {
            Cause::Other if let_go.is_some() => let_go.and_then(|let_go| let_go.event),
            Cause::Event(event) => Some(seen(event, at)),
            Cause::Jump(_) | Cause::Other => {
                let running = self.profile.instances.iter().any(|i| i.ordinal == told.step.ordinal);
                running.then(|| self.run_of(told.step.ordinal).entry.clone()).flatten()
            }
        };
        let last = entry.as_ref().map(|event| event.properties.clone());
        let run = Run { entered_at: Some(at), node: SmolStr::default(), entry, last };
        self.runs.insert(told.step.ordinal, run);
        self.previous_entry = Some(at);
        let rules: Vec<_> =
            program.entry.when.iter().map(|when| rule(when, Some(true), self.sight(told.step.ordinal, at))).collect();
        let again = if entrance == Entrance::Again { " again" } else { "" };
        let in_test = if program.is_in_test { ", in test" } else { "" };
        let text = format!("{lead} let it in{again}, version {}{in_test}", program.number);
        let reason = if entrance == Entrance::Again { "again" } else { "first" };
        self.push(at, WhyItem { what: "entered".into(), reason: reason.into(), text, ..item }, rules);
    }

    fn tell_migrated(&mut self, at: Millis, told: &Transition<'_>, item: WhyItem) {
        let number = told.program.number;
        let target = told.program.node(told.step.node).name.clone();
        let from = told.came_over.map(|step| (self.catalog.program(step.version), step.node));
        let from = from.map_or(String::new(), |(program, node)| {
            format!(" from version {}, where it was at `{}`", program.number, program.node(node).name)
        });
        let text = format!("went on in version {number} at `{target}`{from}: the migration of a newer version says so");
        self.run_of(told.step.ordinal).node = target;
        self.push(at, WhyItem { what: "migrated".into(), reason: "migrated".into(), text, ..item }, Vec::new());
    }

    fn tell_discarded(
        &mut self,
        at: Millis,
        told: &Transition<'_>,
        (reason, let_go): (DiscardReason, Option<LetGo>),
        item: WhyItem,
    ) {
        let program = told.program;
        let lead = entrance_text(told, let_go.as_ref());
        let mut until = None;
        let mut rules = Vec::new();
        let detail = match reason {
            DiscardReason::AlreadyInJourney => {
                format!("it is in the journey already{}", self.whereabouts_text(item.supplemental_id.as_deref()))
            }
            DiscardReason::ReentranceNotAllowed => {
                let (text, allowed) = self.reentrance_text(program, item.supplemental_id.as_deref(), at);
                until = allowed.map(Millis::to_iso);
                text
            }
            DiscardReason::EntryFilterError => {
                let entry = match &told.cause {
                    Cause::Event(event) => Some(seen(event, at)),
                    Cause::Jump(_) | Cause::Other => let_go.and_then(|let_go| let_go.event),
                };
                let document = &self.profile.document;
                let last = entry.as_ref().map(|event| &event.properties);
                let sight = Sight { entry: entry.as_ref(), last, document, at };
                rules.extend(program.entry.when.iter().map(|when| draft_of(when, sight)));
                format!("the entry filter failed: {}", told.note.unwrap_or("no error was noted"))
            }
            DiscardReason::TooManyInstances if program.supplemental_id.is_some() => {
                let (here, all) = (limits::SUPPLEMENTAL_INSTANCES_MAX, limits::INSTANCES_PER_PROFILE_MAX);
                format!("it had {here} runs in this journey, or {all} in all, which are the limits")
            }
            DiscardReason::TooManyInstances => {
                format!("it was in {} journeys at once, which is the limit", limits::INSTANCES_PER_PROFILE_MAX)
            }
            DiscardReason::CapReached => {
                let (set, caps) = self.rule_set_of(told);
                format!("rule set `{set}` lets it into no further journey{caps}")
            }
            DiscardReason::LowerPriority => {
                let (set, caps) = self.rule_set_of(told);
                format!("a journey of higher priority took the last place of rule set `{set}`{caps}")
            }
            DiscardReason::Paused => self.turned_away_text(at, told, let_go.as_ref(), &mut rules),
            DiscardReason::NoSupplementalId => {
                let ids = program.supplemental_id.as_ref().map_or("", |ids| ids.source());
                format!("the journey is entered under a supplemental id, and `{ids}` named none")
            }
            DiscardReason::OutsideDates => {
                until = program.starts_at.filter(|starts_at| *starts_at > at).map(Millis::to_iso);
                dates_text(program, at)
            }
        };
        let text = format!("{lead} discarded: {detail}");
        let reason = discard_word(reason).to_owned();
        self.push(at, WhyItem { what: "discarded".into(), reason, until, text, ..item }, rules);
    }

    /// Since when and where the run under this id is inside, or the only one where no id is known.
    fn whereabouts_text(&self, id: Option<&str>) -> String {
        let run = match id {
            Some(id) => {
                let is_met = |ordinal: &u32| self.ids.get(ordinal).is_some_and(|known| known == id);
                self.runs.iter().rfind(|(ordinal, _)| is_met(ordinal)).map(|(_, run)| run)
            }
            None => self.runs.values().next().filter(|_| self.runs.len() == 1),
        };
        let since = run.and_then(|run| run.entered_at).map_or(String::new(), |since| format!(", since {since}"));
        let node = run.map(|run| run.node.as_str()).filter(|node| !node.is_empty());
        since + &node.map_or(String::new(), |node| format!(", at `{node}`"))
    }

    /// Why somebody may not enter again, and from when on, if that is known.
    fn reentrance_text(&self, program: &Program, id: Option<&str>, at: Millis) -> (String, Option<Millis>) {
        let told = self.previous_entry.filter(|_| program.supplemental_id.is_none());
        let known = self.profile.last_entry(program.journey, id).filter(|entry| *entry < at);
        let previous = told.or(known.filter(|_| program.supplemental_id.is_some() == id.is_some()));
        match (program.reentry, previous) {
            (Reentry::Never, Some(entry)) => (format!("nobody enters twice, and it entered at {entry}"), None),
            (Reentry::Never, None) => ("nobody enters twice".to_owned(), None),
            (Reentry::After(period_ms), Some(entry)) => {
                let (allowed, period) = (entry.plus(period_ms), duration::print(period_ms));
                let text = format!("re-entrance is allowed again from {allowed} ({period} after the entry at {entry})");
                (text, Some(allowed))
            }
            (Reentry::After(period_ms), None) => {
                (format!("re-entrance is allowed {} after the entry before", duration::print(period_ms)), None)
            }
        }
    }

    /// The rule set of a journey, and which of its caps was full; all that it has where the record does not say.
    fn rule_set_of<'p>(&self, told: &Transition<'p>) -> (&'p str, String) {
        let set = told.program.rule_set.as_deref().unwrap_or_default();
        let caps = || self.catalog.rule_sets.get(set).map_or(String::new(), caps_text);
        (set, told.note.map_or_else(caps, |note| format!(" ({note})")))
    }

    fn tell_waiting(&mut self, at: Millis, told: &Transition<'_>, item: WhyItem) {
        let node = told.program.node(told.step.node);
        let due = told.step.due;
        let (reason, text) = match &node.kind {
            NodeKind::Event { awaited, .. } => {
                let awaited = filter_text(&awaited.filter, told.program);
                ("event", format!("waits at `{}` for an event {awaited}, until {due}", node.name))
            }
            NodeKind::FirstOf { arms } => {
                let events = arms.iter().filter_map(|(arm, _)| match arm {
                    Arm::Event(awaited) => Some(format!("an event {}", filter_text(&awaited.filter, told.program))),
                    Arm::Wait(_) => None,
                });
                let awaited: Vec<String> = events.collect();
                ("first_of", format!("waits at `{}` for {}, until {due}", node.name, awaited.join(" or ")))
            }
            NodeKind::Message { message, .. } => {
                let surface = told.program.messages[usize::from(*message)].surface.as_deref().unwrap_or("log");
                ("outbox_full", format!("waits at `{}` for room in the outbox of `{surface}`", node.name))
            }
            NodeKind::Action { .. } => ("call", format!("waits at `{}` for the answer", node.name)),
            NodeKind::ProfileCap { .. } => {
                ("profile_cap", format!("waits at `{}` to be told whether there is a place", node.name))
            }
            _ => ("wait", format!("waits at `{}` until {due}", node.name)),
        };
        let until = Some(due.to_iso());
        self.push(at, WhyItem { what: "waiting".into(), reason: reason.into(), until, text, ..item }, Vec::new());
    }

    fn tell_left(&mut self, at: Millis, told: &Transition<'_>, path: Path, target: Option<NodeNo>, item: WhyItem) {
        let (program, node) = (told.program, told.program.node(told.step.node));
        let is_by_event = match path {
            Path::EventReceived => true,
            Path::Branch(way) => matches!(arm(&node.kind, way), Some(Arm::Event(_))),
            _ => false,
        };
        if is_by_event {
            self.run_of(told.step.ordinal).last = match &told.cause {
                Cause::Event(event) => Some(seen(event, at).properties),
                // It came before, and which one it was is not recorded.
                Cause::Jump(_) | Cause::Other => None,
            };
        }
        let mut rules = Vec::new();
        let Some(what) = left_text(told, path, self.sight(told.step.ordinal, at), &mut rules) else { return };
        if path == Path::Failed {
            rules.extend(self.culprit(at, told));
        }
        let on = target.map_or(String::new(), |target| format!(": on to `{}`", program.node(target).name));
        let item = WhyItem {
            what: "went_on".into(),
            reason: path_words(path, &node.kind),
            text: format!("{what}{on}"),
            ..item
        };
        self.push(at, item, rules);
    }

    fn tell_exited(&mut self, at: Millis, told: &Transition<'_>, reason: ExitReason, item: WhyItem) {
        let (program, node) = (told.program, told.program.node(told.step.node));
        let sight = self.sight(told.step.ordinal, at);
        let mut rules = Vec::new();
        let detail = match (reason, &node.kind) {
            (ExitReason::Completed, NodeKind::Condition { branches, .. }) => {
                rules.extend(branches.iter().map(|(test, _)| test_rule(test, Some(false), program, sight)));
                "no branch held and there is no `otherwise`: completed".to_owned()
            }
            (ExitReason::Completed, NodeKind::Optimize { method: Method::Targeting { rules: all, .. } }) => {
                rules.extend(all.iter().map(|(_, when, _)| rule(when, Some(false), sight)));
                "no rule held and there is no `fallback`: completed".to_owned()
            }
            (ExitReason::Completed, _) => "completed".to_owned(),
            (ExitReason::Criteria, _) => match &told.cause {
                Cause::Event(event) => {
                    let properties = seen(event, at).properties;
                    rules.extend(exit_rule(program, |kind| may_be(event, kind, self.catalog), &properties, sight));
                    format!("{} met the exit criterion", caused(told))
                }
                Cause::Jump(_) | Cause::Other => {
                    let met = program.exit_when.iter().find(|when| holds(when, sight) == Some(true));
                    rules.extend(met.or(program.exit_when.first()).map(|when| rule(when, None, sight)));
                    "the profile met an exit criterion before the node acted".to_owned()
                }
            },
            (ExitReason::Timeout, _) => {
                format!("the journey's timeout of {} passed", duration::print(program.timeout_ms))
            }
            (ExitReason::Stopped, _) if program.is_in_test => "the test ended".to_owned(),
            (ExitReason::Stopped, _) => format!("version {} was stopped", program.number),
            (ExitReason::Ended, _) => "the journey's end date came".to_owned(),
            (ExitReason::Forced, _) => self.forced_text(at, program),
            (ExitReason::Migrated, _) => "it went on in a newer version".to_owned(),
            (ExitReason::Withdrawn, _) => "the migration of a newer version says `exit`".to_owned(),
        };
        let text = format!("left the journey at `{}`: {detail}", node.name);
        let item = WhyItem { what: "exited".into(), reason: exit_word(reason).into(), text, ..item };
        self.push(at, item, rules);
        self.runs.remove(&told.step.ordinal);
    }

    fn tell_message(&mut self, at: Millis, told: &Transition<'_>, index: u16, outcome: MessageOutcome, item: WhyItem) {
        let Some(message) = told.program.messages.get(usize::from(index)) else { return };
        let named = format!("message `{}`", message.name);
        let note = told.note.map_or(String::new(), |note| format!(": {note}"));
        let mut rules = Vec::new();
        let text = match outcome {
            MessageOutcome::Requested => {
                format!("{named} was decided and goes out by {}", channel_word(message.channel))
            }
            MessageOutcome::Excluded => {
                let email = crate::domain::expression::FieldPath {
                    root: crate::domain::expression::Root::Profile,
                    path: vec![SmolStr::new_static("email")],
                };
                rules.push(draft(
                    "profile.email holds an address".to_owned(),
                    Some(false),
                    &[email],
                    self.sight(told.step.ordinal, at),
                ));
                format!("{named} was not sent: the profile has no address")
            }
            MessageOutcome::Sent => format!("{named} was accepted by the provider"),
            MessageOutcome::Failed => format!("{named} could not be delivered{note}"),
            MessageOutcome::InDoubt => {
                format!("{named} was tried and nobody knows whether it arrived{note}")
            }
            MessageOutcome::Cancelled => format!("{named} was taken back before the first attempt: the run had ended"),
            MessageOutcome::Resolved => format!("{named} is no longer in doubt"),
            MessageOutcome::Dropped => format!("{named} was overdue at the end of a pause, and was skipped as asked"),
            MessageOutcome::Merged => {
                format!("{named} was overdue at the end of a pause, and a later one of its channel took its place")
            }
        };
        let (message, reason) = (Some(message.name.to_string()), outcome_word(outcome).to_owned());
        self.push(at, WhyItem { what: "message".into(), reason, message, text, ..item }, rules);
    }
}
