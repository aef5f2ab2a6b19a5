//! One decision in progress: an instance walks from node to node until it waits or is gone.
//!
//! INVARIANT: every step taken goes through [`Walk::step`] or is a discard, and [`Walk::seal`] chains them once.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::apply::chain::chain;
use crate::domain::apply::world::{Firing, Outcome, World};
use crate::domain::effect::Effect;
use crate::domain::expression::{About, EvalError, Facts, Failed, Knows, Scope};
use crate::domain::ids::{InstanceId, Millis, NodeNo, VersionId, stable_hash};
use crate::domain::journey::definition::{Dates, SHARES};
use crate::domain::journey::program::{Node, NodeKind, Program, Test};
use crate::domain::limits;
use crate::domain::profile::{DueKind, Extra, Instance, LastEntry, Profile};
use crate::domain::step::{ExitReason, Failure, Path, Step, StepKind};
use crate::domain::value::Map;
use crate::planted::{Bug, is_planted};

/// Whether an instance went on, stays or is gone.
#[derive(Clone, Copy)]
pub(super) enum Flow {
    /// Goes to this node by this path.
    Go(NodeNo, Path),
    /// Stays at its node.
    Stay,
    /// Ended.
    Gone,
}

/// One decision in progress.
pub(super) struct Walk<'a, 'w> {
    pub(super) profile: &'a mut Profile,
    pub(super) now: Millis,
    pub(super) world: World<'w>,
    pub(super) out: &'a mut Outcome,
    steps_before: usize,
    /// Where the steps of the instance begin that is moving.
    pub(super) moving_since: usize,
    /// Journeys with a rule set that this decision let the profile into.
    pub(super) entered: SmallVec<[&'w Program; 1]>,
}

/// Steps that a node takes at most: arrived, a message's outcome, left or exited.
const NODE_STEPS: usize = 3;
/// Steps that failing at a node takes: arrived, failed.
const FAILURE_STEPS: usize = 2;

impl<'a, 'w> Walk<'a, 'w> {
    pub(super) fn new(profile: &'a mut Profile, now: Millis, world: World<'w>, out: &'a mut Outcome) -> Self {
        let steps_before = out.steps.len();
        Self { profile, now, world, out, steps_before, moving_since: steps_before, entered: SmallVec::new() }
    }

    /// Chains what was decided.
    pub(super) fn seal(self) {
        chain(self.profile, &self.out.steps[self.steps_before..], self.world.catalog);
    }

    pub(super) fn program(&self, version: VersionId) -> &'w Program {
        self.world.catalog.program(version)
    }

    pub(super) fn step(&mut self, position: usize, kind: StepKind) {
        let instance = &self.profile.instances[position];
        let due = if kind == StepKind::Arrived { instance.due } else { Millis::NEVER };
        let step = Step { version: instance.version, node: instance.node, ordinal: instance.ordinal, kind, due };
        self.out.steps.push(step);
    }

    /// The instance's timer fired.
    pub(super) fn fire(&mut self, position: usize) {
        let instance = &self.profile.instances[position];
        let program = self.program(instance.version);
        if instance.due_kind == DueKind::Node
            && !self.world.catalog.pauses.is_empty()
            && let Some(held) = instance.held()
        {
            self.let_go(position, held);
            return;
        }
        if instance.due_kind == DueKind::Timeout {
            let is_end = program.ends_at.is_some_and(|ends_at| ends_at <= instance.due);
            self.exit(position, if is_end { ExitReason::Ended } else { ExitReason::Timeout });
            return;
        }
        let flow = match &program.node(instance.node).kind {
            NodeKind::Wait { then, .. } => Flow::Go(*then, Path::WaitEnded),
            NodeKind::FirstOf { arms } => self.race_ended(position, arms),
            NodeKind::Event { then, on_timeout, .. } => Flow::Go(on_timeout.unwrap_or(*then), Path::TimedOut),
            NodeKind::Message { message, then } => self.send(position, program, *message, *then),
            NodeKind::Action { .. } => self.call(position, program, program.node(instance.node)),
            NodeKind::ProfileCap { otherwise, .. } => self.cap_tick(position, *otherwise),
            NodeKind::Condition { .. }
            | NodeKind::Split { .. }
            | NodeKind::Optimize { .. }
            | NodeKind::UpdateProfile { .. }
            | NodeKind::Jump { .. }
            | NodeKind::Lookup(_)
            | NodeKind::End => unreachable!("no instance waits at {}", program.node(instance.node).name),
        };
        self.advance(position, flow);
    }

    /// From here on steps count for one instance: how many others the input moved is no fault of its own.
    pub(super) fn begin_to_move(&mut self) {
        self.moving_since = self.out.steps.len();
    }

    /// Follows `flow` until the instance waits or is gone.
    pub(super) fn advance(&mut self, position: usize, flow: Flow) {
        match flow {
            Flow::Go(target, path) => {
                self.begin_to_move();
                if is_planted(Bug::KeptForgotten) {
                    self.change_extra(position, |extra| extra.settled = None);
                }
                self.step(position, StepKind::Left(path));
                let program = self.program(self.profile.instances[position].version);
                self.move_to(position, program, target);
                self.arrive(position);
            }
            Flow::Stay | Flow::Gone => {}
        }
    }

    #[inline]
    fn move_to(&mut self, position: usize, program: &Program, target: NodeNo) {
        let instance = &mut self.profile.instances[position];
        let from = std::mem::replace(&mut instance.node, target);
        if program.notes.previous_node {
            self.change_extra(position, |extra| extra.previous_node = Some(from));
        }
    }

    /// Where an instance is among those of the profile now.
    pub(super) fn place_of(&self, ordinal: u32) -> Option<usize> {
        self.profile.instances.iter().position(|instance| instance.ordinal == ordinal)
    }

    /// Whether an instance is at this place.
    #[inline]
    pub(super) fn is_still(&self, position: usize, ordinal: u32) -> bool {
        self.profile.instances.get(position).is_some_and(|instance| instance.ordinal == ordinal)
    }

    /// Walks from the node the instance just came to, until it waits or is gone.
    pub(super) fn arrive(&mut self, mut position: usize) {
        loop {
            let moved = self.out.steps.len() - self.moving_since;
            if moved + NODE_STEPS + FAILURE_STEPS > limits::STEPS_PER_INPUT_MAX {
                self.step(position, StepKind::Arrived);
                self.fail(position, Failure::StepLimit, None);
                return;
            }
            let instance = &mut self.profile.instances[position];
            let program: &'w Program = self.world.catalog.program(instance.version);
            instance.generation = instance.generation.wrapping_add(1);
            (instance.due, instance.due_kind) = (program.over_at(instance.entered_at), DueKind::Timeout);
            let ordinal = instance.ordinal;
            self.profile.changes.instance(ordinal);
            if !self.count_visit(position, program) {
                self.step(position, StepKind::Arrived);
                self.fail(position, Failure::VisitLimit, None);
                return;
            }
            match self.handle_node(position, program) {
                Flow::Go(target, path) => {
                    // Others may have left by what it did.
                    if !self.is_still(position, ordinal) {
                        let Some(place) = self.place_of(ordinal) else { return };
                        position = place;
                    }
                    self.step(position, StepKind::Left(path));
                    self.move_to(position, program, target);
                }
                Flow::Gone => return,
                Flow::Stay => {
                    if !self.world.catalog.pauses.is_empty() {
                        self.forget_what_is_over(position, program);
                    }
                    return;
                }
            }
        }
    }

    /// Counts a visit of a node on a cycle; false beyond the limit.
    pub(super) fn count_visit(&mut self, position: usize, program: &Program) -> bool {
        let instance = &mut self.profile.instances[position];
        if !program.node(instance.node).on_cycle {
            return true;
        }
        let visits = &mut instance.context.visits;
        let node = instance.node;
        let index = visits.iter().position(|(n, _)| *n == node).unwrap_or_else(|| {
            visits.push((node, 0));
            visits.len() - 1
        });
        visits[index].1 += 1;
        let within = visits[index].1 <= limits::NODE_VISITS_MAX;
        let ordinal = instance.ordinal;
        self.profile.changes.context(ordinal);
        within
    }

    /// Records the arrival and does what the node does.
    pub(super) fn handle_node(&mut self, position: usize, program: &'w Program) -> Flow {
        let node = program.node(self.profile.instances[position].node);
        match &node.kind {
            NodeKind::Wait { pause, then } => match self.ends_at(position, program, pause) {
                Ok(instant) => self.wait_until(position, &node.kind, instant, Flow::Go(*then, Path::WaitEnded)),
                Err(error) => self.arrive_and_fail(position, node, &error),
            },
            NodeKind::FirstOf { arms } => self.race(position, program, node, arms),
            NodeKind::Event { awaited, then, .. } if self.has_come(position, program, awaited, 0) => {
                self.step(position, StepKind::Arrived);
                Flow::Go(*then, Path::EventReceived)
            }
            NodeKind::Event { within_ms, .. } => {
                let due = within_ms.map_or(Millis::NEVER, |within| self.now.plus(within));
                self.set_node_due(position, due);
                self.note_coming(position, &node.kind);
                self.step(position, StepKind::Arrived);
                Flow::Stay
            }
            NodeKind::Condition { branches, otherwise } => self.choose(position, program, branches, *otherwise),
            NodeKind::Split { ways } => {
                self.step(position, StepKind::Arrived);
                let drawn = drawn_share(&self.profile.identity, &program.name, &node.name);
                let way = ways.partition_point(|(sum, _)| *sum <= drawn);
                Flow::Go(ways[way].1, Path::Branch(way as u16))
            }
            NodeKind::Message { message, then } => {
                self.step(position, StepKind::Arrived);
                self.send(position, program, *message, *then)
            }
            NodeKind::UpdateProfile { fields, then } => {
                self.step(position, StepKind::Arrived);
                self.update_profile(position, node, fields, *then)
            }
            NodeKind::Jump { .. } => {
                self.step(position, StepKind::Arrived);
                self.jump(position, program, node)
            }
            NodeKind::Action { .. } => {
                self.step(position, StepKind::Arrived);
                self.call(position, program, node)
            }
            NodeKind::Optimize { method } => self.optimize(position, program, node, method),
            NodeKind::ProfileCap { max, then, otherwise } => self.come_to_cap(position, *max, *then, *otherwise),
            NodeKind::Lookup(lookup) => {
                self.step(position, StepKind::Arrived);
                self.look_up(position, program, node, lookup)
            }
            NodeKind::End => {
                self.step(position, StepKind::Arrived);
                self.exit(position, ExitReason::Completed);
                Flow::Gone
            }
        }
    }

    /// Waits at the node until `instant`; one that has passed does not hold the instance up.
    fn wait_until(&mut self, position: usize, kind: &NodeKind, instant: Millis, on: Flow) -> Flow {
        if instant <= self.now {
            self.step(position, StepKind::Arrived);
            return on;
        }
        self.set_node_due(position, instant);
        self.note_coming(position, kind);
        self.step(position, StepKind::Arrived);
        Flow::Stay
    }

    /// A node's timer at the very instant of the journey's timeout goes first.
    pub(super) fn set_node_due(&mut self, position: usize, due: Millis) {
        let instance = &mut self.profile.instances[position];
        if due <= instance.due {
            (instance.due, instance.due_kind) = (due, DueKind::Node);
        }
    }

    fn choose(
        &mut self,
        position: usize,
        program: &'w Program,
        branches: &[(Test, NodeNo)],
        otherwise: Option<NodeNo>,
    ) -> Flow {
        let mut chosen = None;
        for (index, (test, target)) in branches.iter().enumerate() {
            match self.holds(position, program, test) {
                Ok(true) => {
                    chosen = Some(Flow::Go(*target, Path::Branch(index as u16)));
                    break;
                }
                Ok(false) => {}
                Err(error) => {
                    let node = program.node(self.profile.instances[position].node);
                    return self.arrive_and_fail(position, node, &error);
                }
            }
        }
        self.step(position, StepKind::Arrived);
        match (chosen, otherwise) {
            (Some(flow), _) => flow,
            (None, Some(target)) => Flow::Go(target, Path::Otherwise),
            (None, None) => {
                self.exit(position, ExitReason::Completed);
                Flow::Gone
            }
        }
    }

    fn holds(&self, position: usize, program: &'w Program, test: &Test) -> Result<bool, EvalError> {
        Ok(match test {
            Test::When(when) => when.eval_bool(&self.scope(position))?,
            Test::Time(hours) => hours.hold(self.now, &self.zone(program)),
            Test::Date(Dates { from, to }) => {
                let zone = self.zone(program);
                let begun = from.is_none_or(|from| from.begins(&zone).is_some_and(|begins| begins <= self.now));
                begun && to.is_none_or(|to| to.ends(&zone).is_some_and(|ends| self.now < ends))
            }
        })
    }

    /// The zone whose clock counts for the instance (spec §2.6).
    pub(super) fn zone(&self, program: &'w Program) -> Cow<'w, TimeZone> {
        program.zone_of(&self.profile.document)
    }

    pub(super) fn scope(&self, position: usize) -> Scope<'_> {
        let context = &self.profile.instances[position].context;
        self.scope_with_last(position, context.last.as_ref().unwrap_or(&context.event))
    }

    pub(super) fn scope_with_last<'s>(&'s self, position: usize, last: &'s Map) -> Scope<'s> {
        let context = &self.profile.instances[position].context;
        Scope {
            event: &context.event,
            last,
            profile: &self.profile.document,
            meta_id: &context.event_id,
            meta_type: &context.event_type,
            meta_time: context.event_time,
            action: context.called(),
            now: self.now,
            facts: Some(Facts { source: self, position }),
        }
    }

    pub(super) fn arrive_and_fail(&mut self, position: usize, node: &Node, error: &EvalError) -> Flow {
        self.step(position, StepKind::Arrived);
        self.fail_at(position, node, Failure::Expression, Some(error))
    }

    /// What the node does has failed: on by its way for errors, if it has one; else the instance ends (spec §3.0).
    pub(super) fn fail_at(
        &mut self,
        position: usize,
        node: &Node,
        failure: Failure,
        error: Option<&EvalError>,
    ) -> Flow {
        let Some(target) = node.on_error else {
            self.fail(position, failure, error);
            return Flow::Gone;
        };
        if let Some(error) = error {
            self.out.notes.push((self.out.steps.len(), error.to_string()));
        }
        let instance = &self.profile.instances[position];
        if self.program(instance.version).notes.errors {
            let error = Some((instance.node, failure));
            self.change_extra(position, |extra| extra.error = error);
        }
        Flow::Go(target, Path::Failed)
    }

    pub(super) fn fail(&mut self, position: usize, failure: Failure, error: Option<&EvalError>) {
        if let Some(error) = error {
            self.out.notes.push((self.out.steps.len(), error.to_string()));
        }
        if !self.world.catalog.pauses.is_empty() && self.leaves_hold(position) {
            return;
        }
        self.step(position, StepKind::Failed(failure));
        self.remove(position);
    }

    pub(super) fn exit(&mut self, position: usize, reason: ExitReason) {
        if !self.world.catalog.pauses.is_empty() && self.leaves_hold(position) {
            return;
        }
        self.step(position, StepKind::Exited(reason));
        if reason == ExitReason::Criteria && is_planted(Bug::ExitKeepsInstance) {
            return;
        }
        let gone = self.remove(position);
        if is_planted(Bug::ReentryFromExit) {
            let supplemental_id = gone.supplemental_id().map(SmolStr::new);
            self.profile
                .last_entries
                .retain(|entry| entry.journey != gone.journey || entry.supplemental_id != supplemental_id);
            self.profile.last_entries.push(LastEntry { journey: gone.journey, supplemental_id, at: self.now });
            self.profile.changes.header = true;
        }
        // What an instance decided before it ran its course still leaves. One that is taken out early takes back what no
        // channel has tried; on a virtual clock channels try everything at once.
        let taken_out = matches!(reason, ExitReason::Criteria | ExitReason::Stopped | ExitReason::Withdrawn);
        if taken_out && !is_planted(Bug::ExitKeepsMessages) && gone.sends > 0 && self.world.firing == Firing::Engine {
            let id = InstanceId::new(self.world.sandbox, &self.profile.identity, gone.journey, gone.ordinal);
            self.out.effects.push(Effect::CancelUnattempted(id));
        }
    }

    /// Changes what an instance remembers beside its events. What remembers nothing any more is gone, so that an instance
    /// equals the one that recovery builds.
    pub(super) fn change_extra(&mut self, position: usize, change: impl FnOnce(&mut Extra)) {
        let instance = &mut self.profile.instances[position];
        let mut extra = instance.context.extra.take().unwrap_or_default();
        change(&mut extra);
        instance.context.extra = (*extra != Extra::default()).then_some(extra);
        let ordinal = instance.ordinal;
        self.profile.changes.context(ordinal);
    }

    pub(super) fn remove(&mut self, position: usize) -> Instance {
        let gone = self.profile.instances.remove(position);
        self.profile.changes.instance(gone.ordinal);
        gone
    }
}

impl Knows for Walk<'_, '_> {
    fn about(&self, position: usize) -> About<'_> {
        let instance = &self.profile.instances[position];
        let program = self.program(instance.version);
        let name = |no: NodeNo| program.node(no).name.as_str();
        let extra = instance.context.extra.as_deref();
        About {
            journey: &program.name,
            version: program.number,
            description: program.description.as_deref(),
            identity: &self.profile.identity,
            instance: (self.world.sandbox, instance.journey, instance.ordinal),
            supplemental_id: instance.supplemental_id(),
            entered_at: instance.entered_at,
            node: name(instance.node),
            previous_node: extra.and_then(|extra| extra.previous_node).map(name),
            error: extra.and_then(|extra| extra.error).map(|(node, failure)| {
                let Node { name, kind, .. } = program.node(node);
                Failed { failure, node: name, kind: kind.word() }
            }),
            action: extra.map(|extra| extra.action).unwrap_or_default(),
            source: extra.map(|extra| extra.source).unwrap_or_default(),
            zones: (program.zone_named_by(&self.profile.document), &program.zone_name),
        }
    }
}

/// Which of [`SHARES`] falls to a profile at a split: the same whenever it comes, in every version, on every machine.
pub(super) fn drawn_share(identity: &str, journey: &str, node: &str) -> u32 {
    let hash = stable_hash(&[identity.as_bytes(), journey.as_bytes(), node.as_bytes()]);
    ((u128::from(hash as u64) * u128::from(SHARES)) >> 64) as u32
}
