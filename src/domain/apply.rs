//! The decision function: (profile, input, now, catalog) → changed profile, steps, effects.
//!
//! Pure and deterministic. One event that could do several things does them in this order (contract, "Events"):
//! due timers fire; exit criteria; a node awaiting it; entry. A profile's equal timers fire in the order its
//! instances entered. An instance stays on the version it entered.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::catalog::{Catalog, VersionStatus};
use crate::domain::content::RenderInput;
use crate::domain::effect::{Effect, OutboxRow, OutboxState};
use crate::domain::expression::{EvalError, Expr, FieldPath, Root, Scope};
use crate::domain::ids::{DeliveryId, InstanceId, Millis, NodeNo, PartitionId, SandboxId, VersionId};
use crate::domain::journey::program::{Channel, EventFilter, NodeKind, Program, Reentry};
use crate::domain::limits;
use crate::domain::profile::{Context, DueKind, Instance, Profile};
use crate::domain::step::{DiscardReason, ExitReason, Failure, MessageOutcome, Path, Step, StepKind};
use crate::domain::value::{Map, Value};

/// What a decision may know beside the profile and the input.
#[expect(missing_debug_implementations, reason = "holds a closure")]
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// What is published.
    pub catalog: &'a Catalog,
    /// Whose profiles these are.
    pub sandbox: SandboxId,
    /// The partition deciding: part of every delivery id.
    pub partition: PartitionId,
    /// Which instant a decision made by a timer counts as.
    pub firing: Firing,
    /// Whether the outbox has room for one more message by this surface (`None` = the log).
    pub room: &'a dyn Fn(Option<&str>) -> bool,
}

/// The instant at which a fired timer's decisions happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firing {
    /// Engine time: on the wall clock, so that after an outage waits don't collapse into one another.
    Engine,
    /// The instant it was due: on a virtual clock, where time passes through every instant.
    Due,
}

/// An event as a decision sees it.
#[derive(Clone, Copy, Debug)]
pub struct EventInput<'a> {
    /// Producer's id.
    pub id: &'a str,
    /// Type.
    pub kind: &'a str,
    /// `event.time`, or arrival.
    pub time: Millis,
    /// Properties.
    pub properties: &'a Map,
}

/// What one or more decisions for one profile caused. The caller owns and clears it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In order.
    pub steps: Vec<Step>,
    /// In order.
    pub effects: Vec<Effect>,
    /// Text to a step (by index): the error behind a failure.
    pub notes: Vec<(usize, String)>,
}

impl Outcome {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.effects.clear();
        self.notes.clear();
    }
}

/// Handles an event: exits, awaiting nodes, entries, after the profile's due timers.
pub fn apply_event(profile: &mut Profile, event: EventInput<'_>, now: Millis, world: World<'_>, out: &mut Outcome) {
    apply_timers(profile, now, world, out);
    let mut walk = Walk::new(profile, now, world, out);
    walk.offer_to_instances(event);
    walk.offer_to_entries(event);
    walk.seal();
}

/// Fires every timer due at or before `now`, in order of (due, entry).
pub fn apply_timers(profile: &mut Profile, now: Millis, world: World<'_>, out: &mut Outcome) {
    end_stopped(profile, now, world, out);
    while let Some(position) = next_due(profile, now) {
        let at = match world.firing {
            Firing::Engine => now,
            Firing::Due => profile.instances[position].due,
        };
        let mut walk = Walk::new(profile, at, world, out);
        walk.fire(position);
        walk.seal();
    }
}

/// Merges `patch` into the profile's document (RFC 7396). A document that would pass its limit stays as it is.
pub fn apply_update(
    profile: &mut Profile,
    patch: &Map,
    now: Millis,
    world: World<'_>,
    out: &mut Outcome,
) -> Result<(), DocumentTooLarge> {
    apply_timers(profile, now, world, out);
    let mut merged = profile.document.clone();
    merged.merge(patch);
    if merged.weight() > limits::DOCUMENT_BYTES_MAX {
        return Err(DocumentTooLarge);
    }
    profile.document = merged;
    for (name, _) in &patch.0 {
        if !profile.changes.fields.contains(name) {
            profile.changes.fields.push(name.clone());
        }
    }
    Ok(())
}

/// The merged document would pass [`limits::DOCUMENT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the profile's document would pass {} bytes", limits::DOCUMENT_BYTES_MAX)]
pub struct DocumentTooLarge;

/// Ends the instances of stopped versions (spec §4.5).
pub fn end_stopped(profile: &mut Profile, now: Millis, world: World<'_>, out: &mut Outcome) {
    while let Some(position) =
        profile.instances.iter().position(|i| world.catalog.get(i.version).status == VersionStatus::Stopped)
    {
        let mut walk = Walk::new(profile, now, world, out);
        walk.exit(position, ExitReason::Stopped);
        walk.seal();
    }
}

/// Adds `step` to the profile's chain of decisions (design §9): no shard, lane or journal position is in it.
pub fn chain(profile: &mut Profile, steps: &[Step], catalog: &Catalog) {
    for step in steps {
        let Some((kind, detail)) = decision_code(step.kind) else { continue };
        let program = catalog.program(step.version);
        let mut hasher = SipHasher13::new_with_keys(profile.chain, 0x736f_6a6f_7572_6e31);
        hasher.write_u32(program.journey.0);
        hasher.write_u32(program.number);
        hasher.write_u16(step.node.0);
        hasher.write_i64(step.due.0);
        hasher.write_u8(kind);
        hasher.write_u16(detail);
        profile.chain = hasher.finish() | 1;
        profile.changes.header = true;
    }
}

/// Code of a decision for the chain; `None` for what providers report, which is no decision of ours.
fn decision_code(kind: StepKind) -> Option<(u8, u16)> {
    Some(match kind {
        StepKind::Entered => (1, 0),
        StepKind::Arrived => (2, 0),
        StepKind::Left(path) => match path {
            Path::Then => (3, 0),
            Path::Branch(n) => (4, n),
            Path::Otherwise => (3, 1),
            Path::WaitEnded => (3, 2),
            Path::EventReceived => (3, 3),
            Path::TimedOut => (3, 4),
        },
        StepKind::Exited(reason) => (5, reason as u16),
        StepKind::Failed(failure) => (6, failure as u16),
        StepKind::Discarded(reason) => (7, reason as u16),
        StepKind::Message { message, outcome: MessageOutcome::Requested } => (8, message),
        StepKind::Message { message, outcome: MessageOutcome::Excluded } => (9, message),
        StepKind::Message { .. } => return None,
    })
}

fn next_due(profile: &Profile, now: Millis) -> Option<usize> {
    let (position, instance) = profile.instances.iter().enumerate().min_by_key(|(_, i)| (i.due, i.ordinal))?;
    (instance.due <= now).then_some(position)
}

/// Whether an instance went on, stays or is gone.
#[derive(Clone, Copy)]
enum Flow {
    /// Goes to this node by this path.
    Go(NodeNo, Path),
    /// Stays at its node.
    Stay,
    /// Ended.
    Gone,
}

/// One decision in progress.
struct Walk<'a, 'w> {
    profile: &'a mut Profile,
    now: Millis,
    world: World<'w>,
    out: &'a mut Outcome,
    steps_before: usize,
}

impl<'a, 'w> Walk<'a, 'w> {
    fn new(profile: &'a mut Profile, now: Millis, world: World<'w>, out: &'a mut Outcome) -> Self {
        let steps_before = out.steps.len();
        Self { profile, now, world, out, steps_before }
    }

    /// Chains what was decided.
    fn seal(self) {
        chain(self.profile, &self.out.steps[self.steps_before..], self.world.catalog);
    }

    fn program(&self, version: VersionId) -> &'w Program {
        self.world.catalog.program(version)
    }

    fn step(&mut self, position: usize, kind: StepKind) {
        let instance = &self.profile.instances[position];
        let due = if kind == StepKind::Arrived { instance.due } else { Millis::NEVER };
        let step = Step { version: instance.version, node: instance.node, ordinal: instance.ordinal, kind, due };
        self.out.steps.push(step);
    }

    /// Exit criteria, then awaiting nodes, instance by instance in the order of entry.
    fn offer_to_instances(&mut self, event: EventInput<'_>) {
        let ordinals: SmallVec<[u32; 4]> = self.profile.instances.iter().map(|i| i.ordinal).collect();
        for ordinal in ordinals {
            let Some(position) = self.profile.instances.iter().position(|i| i.ordinal == ordinal) else { continue };
            let program = self.program(self.profile.instances[position].version);
            match self.first_match(position, &program.exit, event) {
                Ok(true) => {
                    self.exit(position, ExitReason::Criteria);
                    continue;
                }
                Ok(false) => {}
                Err(error) => {
                    self.fail(position, Failure::Expression, Some(&error));
                    continue;
                }
            }
            let NodeKind::Event { filter, then, .. } = &program.node(self.profile.instances[position].node).kind else {
                continue;
            };
            match self.first_match(position, std::slice::from_ref(filter), event) {
                Ok(true) => {
                    self.remember(position, program, event);
                    if !self.fits(position) {
                        self.fail(position, Failure::InstanceTooLarge, None);
                        continue;
                    }
                    self.advance(position, Flow::Go(*then, Path::EventReceived));
                }
                Ok(false) => {}
                Err(error) => self.fail(position, Failure::Expression, Some(&error)),
            }
        }
    }

    /// Whether one of `filters` takes `event`, with `last` = the event itself.
    fn first_match(&self, position: usize, filters: &[EventFilter], event: EventInput<'_>) -> Result<bool, EvalError> {
        for filter in filters.iter().filter(|f| f.event == event.kind) {
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
    fn remember(&mut self, position: usize, program: &Program, event: EventInput<'_>) {
        if program.keeps_last.is_empty() {
            return;
        }
        let instance = &mut self.profile.instances[position];
        instance.context.last = Some(kept(event.properties, &program.keeps_last));
        let ordinal = instance.ordinal;
        self.profile.changes.context(ordinal);
    }

    /// Whether the instance's memory is within its limit (spec §2.8).
    fn fits(&self, position: usize) -> bool {
        let context = &self.profile.instances[position].context;
        context.event.weight() + context.last.as_ref().map_or(0, Map::weight) <= limits::INSTANCE_BYTES_MAX
    }

    fn offer_to_entries(&mut self, event: EventInput<'_>) {
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
    fn admits(&self, program: &Program, event: EventInput<'_>) -> Result<Option<DiscardReason>, Option<EvalError>> {
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
        if self.profile.running(program.journey).is_some() {
            return Ok(Some(DiscardReason::AlreadyInJourney));
        }
        if let Some(previous) = self.profile.last_entry(program.journey) {
            let allowed = match program.reentry {
                Reentry::Never => false,
                Reentry::After(period_ms) => self.now >= previous.plus(period_ms),
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

    fn discard(&mut self, version: VersionId, reason: DiscardReason, error: Option<&EvalError>) {
        if let Some(error) = error {
            self.out.notes.push((self.out.steps.len(), error.to_string()));
        }
        let kind = StepKind::Discarded(reason);
        self.out.steps.push(Step { version, node: Step::NO_NODE, ordinal: 0, kind, due: Millis::NEVER });
    }

    fn enter(&mut self, program: &Program, event: EventInput<'_>) {
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
        };
        profile.instances.push(Instance {
            version: program.version,
            journey: program.journey,
            node: program.start,
            generation: 0,
            entered_at: self.now,
            due: self.now.plus(program.timeout_ms),
            due_kind: DueKind::Timeout,
            ordinal,
            sends: 0,
            context,
        });
        profile.changes.header = true;
        profile.changes.instance(ordinal);
        profile.changes.context(ordinal);
        let position = profile.instances.len() - 1;
        self.step(position, StepKind::Entered);
        if self.fits(position) {
            self.arrive(position);
        } else {
            self.step(position, StepKind::Arrived);
            self.fail(position, Failure::InstanceTooLarge, None);
        }
    }

    /// The instance's timer fired.
    fn fire(&mut self, position: usize) {
        let instance = &self.profile.instances[position];
        if instance.due_kind == DueKind::Timeout {
            self.exit(position, ExitReason::Timeout);
            return;
        }
        let program = self.program(instance.version);
        let flow = match &program.node(instance.node).kind {
            NodeKind::Wait { then, .. } | NodeKind::WaitUntil { then, .. } => Flow::Go(*then, Path::WaitEnded),
            NodeKind::Event { then, on_timeout, .. } => Flow::Go(on_timeout.unwrap_or(*then), Path::TimedOut),
            NodeKind::Message { message, then } => self.send(position, program, *message, *then),
            NodeKind::Condition { .. } | NodeKind::End => {
                unreachable!("no instance waits at a condition or an end")
            }
        };
        self.advance(position, flow);
    }

    /// Follows `flow` until the instance waits or is gone.
    fn advance(&mut self, position: usize, flow: Flow) {
        match flow {
            Flow::Go(target, path) => {
                self.step(position, StepKind::Left(path));
                self.profile.instances[position].node = target;
                self.arrive(position);
            }
            Flow::Stay | Flow::Gone => {}
        }
    }

    /// Walks from the node the instance just came to, until it waits or is gone.
    fn arrive(&mut self, position: usize) {
        loop {
            if self.out.steps.len() - self.steps_before >= limits::STEPS_PER_INPUT_MAX {
                self.step(position, StepKind::Arrived);
                self.fail(position, Failure::StepLimit, None);
                return;
            }
            let instance = &mut self.profile.instances[position];
            let program: &'w Program = self.world.catalog.program(instance.version);
            instance.generation = instance.generation.wrapping_add(1);
            let timeout_at = instance.timeout_at(program.timeout_ms);
            (instance.due, instance.due_kind) = (timeout_at, DueKind::Timeout);
            let ordinal = instance.ordinal;
            self.profile.changes.instance(ordinal);
            if !self.count_visit(position, program) {
                self.step(position, StepKind::Arrived);
                self.fail(position, Failure::VisitLimit, None);
                return;
            }
            match self.handle_node(position, program) {
                Flow::Go(target, path) => {
                    self.step(position, StepKind::Left(path));
                    self.profile.instances[position].node = target;
                }
                Flow::Stay | Flow::Gone => return,
            }
        }
    }

    /// Counts a visit of a node on a cycle; false beyond the limit.
    fn count_visit(&mut self, position: usize, program: &Program) -> bool {
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
    fn handle_node(&mut self, position: usize, program: &'w Program) -> Flow {
        let node = program.node(self.profile.instances[position].node);
        match &node.kind {
            NodeKind::Wait { duration_ms, then } => {
                self.wait_until(position, self.now.plus(*duration_ms), Flow::Go(*then, Path::WaitEnded))
            }
            NodeKind::WaitUntil { until, then } => match until.eval_time(&self.scope(position)) {
                Ok(instant) => {
                    let instant = instant.unwrap_or(Millis::MIN);
                    self.wait_until(position, instant, Flow::Go(*then, Path::WaitEnded))
                }
                Err(error) => self.arrive_and_fail(position, &error),
            },
            NodeKind::Event { within_ms, .. } => {
                let due = within_ms.map_or(Millis::NEVER, |within| self.now.plus(within));
                self.set_node_due(position, due);
                self.step(position, StepKind::Arrived);
                Flow::Stay
            }
            NodeKind::Condition { branches, otherwise } => self.choose(position, branches, *otherwise),
            NodeKind::Message { message, then } => {
                self.step(position, StepKind::Arrived);
                self.send(position, program, *message, *then)
            }
            NodeKind::End => {
                self.step(position, StepKind::Arrived);
                self.exit(position, ExitReason::Completed);
                Flow::Gone
            }
        }
    }

    /// Waits at the node until `instant`; one that has passed does not hold the instance up.
    fn wait_until(&mut self, position: usize, instant: Millis, on: Flow) -> Flow {
        if instant <= self.now {
            self.step(position, StepKind::Arrived);
            return on;
        }
        self.set_node_due(position, instant);
        self.step(position, StepKind::Arrived);
        Flow::Stay
    }

    /// A node's timer at the very instant of the journey's timeout goes first.
    fn set_node_due(&mut self, position: usize, due: Millis) {
        let instance = &mut self.profile.instances[position];
        if due <= instance.due {
            (instance.due, instance.due_kind) = (due, DueKind::Node);
        }
    }

    fn choose(&mut self, position: usize, branches: &[(Expr, NodeNo)], otherwise: Option<NodeNo>) -> Flow {
        let mut chosen = None;
        for (index, (when, target)) in branches.iter().enumerate() {
            match when.eval_bool(&self.scope(position)) {
                Ok(true) => {
                    chosen = Some(Flow::Go(*target, Path::Branch(index as u16)));
                    break;
                }
                Ok(false) => {}
                Err(error) => return self.arrive_and_fail(position, &error),
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

    /// Decides the message, or parks the instance where the outbox has no room.
    fn send(&mut self, position: usize, program: &Program, message_index: u16, then: NodeNo) -> Flow {
        let message = &program.messages[usize::from(message_index)];
        if !(self.world.room)(message.surface.as_deref()) {
            let retry_at = self.now.plus(PARK_MS);
            let instance = &mut self.profile.instances[position];
            instance.generation = instance.generation.wrapping_add(1);
            (instance.due, instance.due_kind) = (instance.timeout_at(program.timeout_ms), DueKind::Timeout);
            let ordinal = instance.ordinal;
            self.profile.changes.instance(ordinal);
            self.set_node_due(position, retry_at);
            return Flow::Stay;
        }
        let recipient = match message.channel {
            Channel::Email => self.profile.document.get("email").map(Value::to_text).unwrap_or_default(),
            Channel::Log | Channel::Webhook => String::new(),
        };
        if message.channel == Channel::Email && recipient.trim().is_empty() {
            let outcome = MessageOutcome::Excluded;
            self.step(position, StepKind::Message { message: message_index, outcome });
            return Flow::Go(then, Path::Then);
        }
        let input = self.freeze(position, &message.reads);
        let instance = &mut self.profile.instances[position];
        let id = InstanceId::new(self.world.sandbox, &self.profile.identity, instance.journey, instance.ordinal);
        let row = OutboxRow {
            id: DeliveryId { partition: self.world.partition, instance: id, ordinal: instance.sends },
            profile: self.profile.identity.clone(),
            version: instance.version,
            node: instance.node,
            entry_ordinal: instance.ordinal,
            message: message_index,
            message_id: message.id,
            channel: message.channel,
            recipient: recipient.into(),
            input,
            decided_at: self.now,
            state: OutboxState::Pending,
            first_attempt_at: None,
        };
        instance.sends += 1;
        let ordinal = instance.ordinal;
        self.profile.changes.instance(ordinal);
        self.out.effects.push(Effect::Send(Box::new(row)));
        self.step(position, StepKind::Message { message: message_index, outcome: MessageOutcome::Requested });
        Flow::Go(then, Path::Then)
    }

    /// What the templates of a message read, as it is now.
    fn freeze(&self, position: usize, reads: &[FieldPath]) -> RenderInput {
        let context = &self.profile.instances[position].context;
        let last = context.last.as_ref().unwrap_or(&context.event);
        let mut input = RenderInput::default();
        for read in reads {
            let (target, source) = match read.root {
                Root::Event => (&mut input.event, &context.event),
                Root::Last => (&mut input.last, last),
                Root::Profile => (&mut input.profile, &self.profile.document),
                Root::Meta => continue,
            };
            copy_path(target, source, &read.path);
        }
        input.meta.insert("id", Value::Str(context.event_id.clone()));
        input.meta.insert("type", Value::Str(context.event_type.clone()));
        input.meta.insert("time", Value::Time(context.event_time));
        input
    }

    fn scope(&self, position: usize) -> Scope<'_> {
        let context = &self.profile.instances[position].context;
        self.scope_with_last(position, context.last.as_ref().unwrap_or(&context.event))
    }

    fn scope_with_last<'s>(&'s self, position: usize, last: &'s Map) -> Scope<'s> {
        let context = &self.profile.instances[position].context;
        Scope {
            event: &context.event,
            last,
            profile: &self.profile.document,
            meta_id: &context.event_id,
            meta_type: &context.event_type,
            meta_time: context.event_time,
            now: self.now,
        }
    }

    fn arrive_and_fail(&mut self, position: usize, error: &EvalError) -> Flow {
        self.step(position, StepKind::Arrived);
        self.fail(position, Failure::Expression, Some(error));
        Flow::Gone
    }

    fn fail(&mut self, position: usize, failure: Failure, error: Option<&EvalError>) {
        if let Some(error) = error {
            self.out.notes.push((self.out.steps.len(), error.to_string()));
        }
        self.step(position, StepKind::Failed(failure));
        self.remove(position);
    }

    fn exit(&mut self, position: usize, reason: ExitReason) {
        self.step(position, StepKind::Exited(reason));
        let gone = self.remove(position);
        // What an instance decided before it ran its course still leaves. One that is taken out early takes back what no
        // channel has tried; on a virtual clock channels try everything at once.
        let taken_out = matches!(reason, ExitReason::Criteria | ExitReason::Stopped);
        if taken_out && gone.sends > 0 && self.world.firing == Firing::Engine {
            let id = InstanceId::new(self.world.sandbox, &self.profile.identity, gone.journey, gone.ordinal);
            self.out.effects.push(Effect::CancelUnattempted(id));
        }
    }

    fn remove(&mut self, position: usize) -> Instance {
        let gone = self.profile.instances.remove(position);
        self.profile.changes.instance(gone.ordinal);
        gone
    }
}

/// How long a message that found no room waits before it tries again.
const PARK_MS: i64 = 1_000;

/// The parts of `properties` under `paths`.
fn kept(properties: &Map, paths: &[Vec<SmolStr>]) -> Map {
    let mut result = Map::new();
    for path in paths {
        copy_path(&mut result, properties, path);
    }
    result
}

/// Copies the value at `path`, if it is there; an empty path copies everything.
fn copy_path(target: &mut Map, source: &Map, path: &[SmolStr]) {
    if path.is_empty() {
        *target = source.clone();
    } else if let Some(value) = source.path(path) {
        target.insert_path(path, value.clone());
    }
}
