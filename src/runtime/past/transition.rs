//! A step in its context: what set it off, where its instance came from, whether it stayed. All of it follows from the
//! order of the steps in their record, so records need not hold it.

use std::sync::Arc;

use smol_str::{SmolStr, format_smolstr};

use crate::domain::catalog::Catalog;
use crate::domain::event::PROFILE_UPDATE;
use crate::domain::ids::{Millis, NodeNo};
use crate::domain::journey::program::{Arm, NodeKind, Program};
use crate::domain::step::{Entrance, ExitReason, Failure, Path, Step, StepKind};
use crate::runtime::projection::{HistoryEntry, HistoryEvent};

/// A step of an entry, in its context.
#[derive(Clone, Debug)]
pub struct Transition<'e> {
    /// Its place in the entry.
    pub index: usize,
    /// What was recorded.
    pub step: &'e Step,
    /// The version it happened in.
    pub program: &'e Arc<Program>,
    /// What set it off.
    pub cause: Cause<'e>,
    /// For an arrival: the node the instance left for it, and by which path.
    pub came_from: Option<(NodeNo, Path)>,
    /// Where it comes from an older version: its last step there.
    pub came_over: Option<&'e Step>,
    /// For an arrival: whether the instance stayed at the node.
    pub stays: bool,
    /// What a jump came to in the other journey: the step there that is its doing; none if its entry filter was false.
    pub jumped: Option<StepKind>,
    /// For an entrance by the entry's event: how many others of this version the event came to before. With supplemental
    /// ids there is one for each.
    pub nth_entrance: usize,
    /// What was noted with it: the text of an error.
    pub note: Option<&'e str>,
}

impl Transition<'_> {
    /// Whether this is what the event of its entry came to where it might have entered, and no pause had kept it.
    pub(super) fn is_own_entrance(&self, entry: &HistoryEntry) -> bool {
        is_entrance(self.step) && matches!(self.cause, Cause::Event(_)) && !was_let_in(&entry.steps[..self.index])
    }
}

/// What set a step off.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause<'e> {
    /// The entry's event.
    Event(&'e HistoryEvent),
    /// A jump from another journey, with the id of the event it made.
    Jump(SmolStr),
    /// Time, an operator or a provider.
    Other,
}

impl Cause<'_> {
    /// Id of the event, if it was one.
    pub fn event_id(&self) -> Option<&str> {
        match self {
            Self::Event(event) => Some(&event.id),
            Self::Jump(id) => Some(id),
            Self::Other => None,
        }
    }
}

/// The steps of an entry in order, each in its context.
pub fn transitions<'e>(entry: &'e HistoryEntry, catalog: &'e Catalog) -> Vec<Transition<'e>> {
    // An update only changes the document: its steps are those of timers that were due.
    let event = entry.event.as_ref().filter(|event| event.kind != PROFILE_UPDATE);
    let is_it = |kind: &str| event.is_some_and(|event| may_be(event, kind, catalog));
    let mut has_event_begun = false;
    let mut told = Vec::with_capacity(entry.steps.len());
    for (index, step) in entry.steps.iter().enumerate() {
        let program = catalog.program(step.version);
        let before = &entry.steps[..index];
        let jump = jump_before(step, before, catalog);
        if event.is_some() {
            // ORDER: due timers fire first, so once the event has begun all is its doing.
            has_event_begun |= jump.is_none() && begins_with_event(step, before, program, &is_it);
        }
        let own = before.iter().rev().find(|other| is_of_one_instance(other, step));
        let came_from = match (step.kind, own) {
            (StepKind::Arrived, Some(Step { kind: StepKind::Left(path), node, .. })) => Some((*node, *path)),
            _ => None,
        };
        let is_migrated = step.kind == StepKind::Entered(Entrance::Migrated);
        let came_over = own.filter(|_| is_migrated);
        let next = entry.steps[index + 1..].iter().find(|other| is_of_one_instance(other, step));
        let note = entry.notes.iter().find(|(of, _)| *of == index).map(|(_, text)| text.as_str());
        let cause = match (jump, event) {
            (Some(id), _) => Cause::Jump(id),
            (None, Some(event)) if has_event_begun => Cause::Event(event),
            (None, _) => Cause::Other,
        };
        let stays = step.kind == StepKind::Arrived && stays(step, next, program, entry.at, &is_it);
        let jumped = jumped_to(step, before);
        let same = |t: &&Transition<'_>| t.step.version == step.version && t.is_own_entrance(entry);
        let nth_entrance = told.iter().filter(same).count();
        told.push(Transition { index, step, program, cause, came_from, came_over, stays, jumped, nth_entrance, note });
    }
    told
}

/// Whether an event is of this type, or may be recognised as one of it by a rule.
pub(super) fn may_be(event: &HistoryEvent, kind: &str, catalog: &Catalog) -> bool {
    let rule = || catalog.events.get(kind).and_then(|declared| declared.rule.as_ref());
    event.kind == kind || rule().is_some_and(|rule| rule.of.value == event.kind)
}

fn is_of_one_instance(one: &Step, other: &Step) -> bool {
    one.ordinal == other.ordinal && one.ordinal != 0
}

/// Whether the instance stayed where it arrived, though its record may go on: timers and the event of a record happen one
/// after the other.
fn stays(arrived: &Step, next: Option<&Step>, program: &Program, at: Millis, is_it: &dyn Fn(&str) -> bool) -> bool {
    let Some(next) = next else { return true };
    let node = &program.node(arrived.node).kind;
    match next.kind {
        StepKind::Failed(Failure::VisitLimit | Failure::StepLimit) => false,
        StepKind::Left(Path::TimedOut) | StepKind::Exited(_) => node.pauses(),
        // What came before the node was reached holds nobody up.
        StepKind::Left(Path::EventReceived | Path::Failed) | StepKind::Failed(_) => awaits(node, is_it),
        // Nor does a wait that is over at once, which has no due instant of its own.
        StepKind::Left(Path::WaitEnded) => arrived.due <= at,
        StepKind::Left(Path::Branch(way)) => match arm(node, way) {
            Some(Arm::Event(awaited)) => is_it(&awaited.filter.event),
            Some(Arm::Wait(_)) => arrived.due <= at,
            None => false,
        },
        _ => false,
    }
}

/// Whether the node waits for the event.
fn awaits(node: &NodeKind, is_it: &dyn Fn(&str) -> bool) -> bool {
    match node {
        NodeKind::Event { awaited, .. } => is_it(&awaited.filter.event),
        NodeKind::FirstOf { arms } => {
            arms.iter().any(|(arm, _)| matches!(arm, Arm::Event(awaited) if is_it(&awaited.filter.event)))
        }
        _ => false,
    }
}

/// What may happen first at the node, by its way.
pub(super) fn arm(node: &NodeKind, way: u16) -> Option<&Arm> {
    match node {
        NodeKind::FirstOf { arms } => arms.get(usize::from(way)).map(|(arm, _)| arm),
        _ => None,
    }
}

/// The id of the event that a jump made, where one let the profile in or was refused: it directly follows the arrival of
/// another instance at its jump node.
fn jump_before(step: &Step, before: &[Step], catalog: &Catalog) -> Option<SmolStr> {
    if !is_entrance(step) {
        return None;
    }
    let from = before.last().filter(|from| from.kind == StepKind::Arrived && from.ordinal != step.ordinal)?;
    let program = catalog.program(from.version);
    let node = program.node(from.node);
    matches!(node.kind, NodeKind::Jump { .. })
        .then(|| format_smolstr!("jump:{}:{}:{}", program.name, from.ordinal, node.name))
}

/// The step right behind the arrival at the node that is left now, if it is how another run begins, or does not.
fn jumped_to(step: &Step, before: &[Step]) -> Option<StepKind> {
    let is_arrival = |other: &Step| other.kind == StepKind::Arrived && is_of_one_instance(other, step);
    let first = before.get(before.iter().rposition(is_arrival)? + 1)?;
    (is_entrance(first) && first.ordinal != step.ordinal).then_some(first.kind)
}

/// Whether this is what came of an event, or of a jump, at the entrance of a journey.
pub(super) fn is_entrance(step: &Step) -> bool {
    match step.kind {
        StepKind::Entered(entrance) => entrance != Entrance::Migrated,
        StepKind::Discarded(_) => true,
        StepKind::Held(_) => step.node == Step::NO_NODE,
        _ => false,
    }
}

/// Whether this step can only be the doing of the entry's event.
fn begins_with_event(step: &Step, before: &[Step], program: &Program, is_it: &dyn Fn(&str) -> bool) -> bool {
    let previous = before.iter().rev().find(|other| is_of_one_instance(other, step));
    let has_just_arrived = previous.is_some_and(|previous| previous.kind == StepKind::Arrived);
    let node = (step.node != Step::NO_NODE).then(|| &program.node(step.node).kind);
    let is_awaited = node.is_some_and(|node| awaits(node, is_it));
    let is_exit = program.exit.iter().any(|filter| is_it(&filter.event));
    match step.kind {
        // Who waited for the end of a pause is let in, or not, by time.
        StepKind::Entered(_) | StepKind::Discarded(_) if was_let_in(before) => false,
        StepKind::Held(_) => step.node == Step::NO_NODE,
        StepKind::Kept(_) | StepKind::NotKept(_) => true,
        // Memory grows by events alone.
        StepKind::Entered(Entrance::Migrated) => false,
        StepKind::Entered(_) | StepKind::Discarded(_) | StepKind::Failed(Failure::InstanceTooLarge) => true,
        StepKind::Left(Path::EventReceived) => is_awaited,
        StepKind::Left(Path::Branch(way)) => {
            let arm = node.and_then(|node| arm(node, way));
            matches!(arm, Some(Arm::Event(awaited)) if is_it(&awaited.filter.event))
        }
        // By an attribute only where the instance was about to act.
        StepKind::Exited(ExitReason::Criteria) => is_exit && !(has_just_arrived && is_acting(program, step.node)),
        StepKind::Failed(_) => !has_just_arrived && (is_exit || is_awaited),
        StepKind::Left(Path::Failed) => !has_just_arrived && is_awaited,
        StepKind::Arrived | StepKind::Left(_) | StepKind::Exited(_) | StepKind::Message { .. } => false,
        StepKind::Called(_) | StepKind::Released(_) => false,
    }
}

/// Whether the step before let go an entrant that waited for the end of a pause.
fn was_let_in(before: &[Step]) -> bool {
    before.last().is_some_and(|step| matches!(step.kind, StepKind::Released(_)) && step.node == Step::NO_NODE)
}

/// Whether attribute exits are looked at there.
fn is_acting(program: &Program, node: NodeNo) -> bool {
    !program.exit_when.is_empty()
        && matches!(program.node(node).kind, NodeKind::Message { .. } | NodeKind::Action { .. })
}
