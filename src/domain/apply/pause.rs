//! What a pause does to a profile: it is held where it would act or enter, or leaves there, and is let go again.
//!
//! INVARIANT: [`settle_pauses`] comes before anything else that time or an input does, so that whoever is held has the timer
//! that the pause, as it is known now, gives it. Everything here is absolute: done twice, it changes nothing.

use smallvec::SmallVec;

use crate::domain::apply::memory::{fits, kept};
use crate::domain::apply::migrate::{came_at, length_ms};
use crate::domain::apply::walk::{Flow, Walk};
use crate::domain::apply::world::{EventInput, Room, World};
use crate::domain::expression::EvalError;
use crate::domain::ids::{Millis, NodeNo};
use crate::domain::journey::program::{Arm, Awaited, NodeKind, Pause as Wait, Program};
use crate::domain::limits;
use crate::domain::pause::{Overdue, Pause, PauseMode};
use crate::domain::profile::{DueKind, Held, HeldAt, Instance, Profile};
use crate::domain::step::{DiscardReason, ExitReason, MessageOutcome, Path, Step, StepKind, Unkept};
use crate::domain::value::Map;
use crate::planted::{Bug, is_planted};

/// Gives everybody held the instant at which they are let go, and moves timers that a pause shifted.
pub(super) fn settle_pauses(profile: &mut Profile, now: Millis, world: World<'_>) {
    for position in 0..profile.instances.len() {
        let instance = &profile.instances[position];
        let program = world.catalog.program(instance.version);
        let Some(held) = instance.held() else {
            shift(profile, position, program, now, world);
            continue;
        };
        if let Some(at) = world.catalog.released_at(instance.journey, &profile.identity, held.since, now) {
            set_release(profile, position, program, at);
        }
    }
}

/// Sets the timer of an instance that is held.
fn set_release(profile: &mut Profile, position: usize, program: &Program, at: Millis) {
    let instance = &mut profile.instances[position];
    let over_at = program.over_at(instance.entered_at);
    // An entrant has not begun: its life can't be over.
    let timer = if instance.is_entrant() || at <= over_at { (at, DueKind::Node) } else { (over_at, DueKind::Timeout) };
    if timer != (instance.due, instance.due_kind) {
        (instance.due, instance.due_kind) = timer;
        let ordinal = instance.ordinal;
        profile.changes.instance(ordinal);
    }
}

/// Spans that ran while the journey's clock stood still end later by as long, each once.
fn shift(profile: &mut Profile, position: usize, program: &Program, now: Millis, world: World<'_>) {
    let instance = &mut profile.instances[position];
    let before = instance.context.extra.as_ref().map_or(0, |extra| extra.shifted);
    let counts = |pause: &&Pause| pause.number > before && instance.entered_at < pause.ends_at;
    let shifts = world.catalog.shifts_before(program, now).filter(counts);
    let (mut last, mut by_ms) = (before, 0);
    for pause in shifts {
        (last, by_ms) = (pause.number, by_ms + pause.length_ms());
    }
    if last == before || is_planted(Bug::ShiftForgotten) {
        return;
    }
    instance.context.extra_mut().shifted = last;
    let kind = &program.node(instance.node).kind;
    if is_span(kind) {
        let came_at = came_at(instance, kind).map(|at| at.plus(by_ms));
        let (due, over_at) = (instance.due.plus(by_ms), program.over_at(instance.entered_at));
        let ends_itself = instance.due_kind == DueKind::Node && due <= over_at;
        (instance.due, instance.due_kind) =
            if ends_itself { (due, DueKind::Node) } else { (over_at, DueKind::Timeout) };
        // As if it had come so much later, also where its timer does not tell.
        if length_ms(kind).is_none() || instance.due_kind == DueKind::Timeout {
            instance.context.extra_mut().came_at = came_at;
        }
    }
    let ordinal = instance.ordinal;
    profile.changes.instance(ordinal);
    profile.changes.context(ordinal);
}

/// Whether the timer of a node is a span of time, and no instant of the calendar.
fn is_span(kind: &NodeKind) -> bool {
    match kind {
        NodeKind::Wait { pause, .. } => matches!(pause, Wait::For(_)),
        NodeKind::Event { .. } => true,
        NodeKind::FirstOf { arms } => {
            arms.iter().all(|(arm, _)| matches!(arm, Arm::Event(_) | Arm::Wait(Wait::For(_))))
        }
        _ => false,
    }
}

/// Event nodes that an instance can come to from a node without waiting before, each once.
fn next_events(program: &Program, from: NodeNo) -> SmallVec<[NodeNo; 4]> {
    let (mut seen, mut found) = (vec![false; program.nodes.len()], SmallVec::new());
    let mut ahead = vec![from];
    while let Some(no) = ahead.pop() {
        if std::mem::replace(&mut seen[usize::from(no.0)], true) {
            continue;
        }
        let node = program.node(no);
        match &node.kind {
            NodeKind::Event { .. } | NodeKind::FirstOf { .. } => found.push(no),
            NodeKind::Wait { .. } | NodeKind::End => {}
            NodeKind::Condition { branches, otherwise } => {
                ahead.extend(branches.iter().map(|(_, then)| *then).chain(*otherwise));
            }
            NodeKind::Split { ways } => ahead.extend(ways.iter().map(|(_, then)| *then)),
            NodeKind::Optimize { method } => ahead.extend(method.targets()),
            NodeKind::ProfileCap { then, otherwise, .. } => ahead.extend([*then, *otherwise]),
            NodeKind::Lookup(lookup) => ahead.push(lookup.then),
            NodeKind::Message { then, .. }
            | NodeKind::UpdateProfile { then, .. }
            | NodeKind::Jump { then, .. }
            | NodeKind::Action { then, .. } => ahead.push(*then),
        }
        if !matches!(node.kind, NodeKind::Event { .. } | NodeKind::FirstOf { .. } | NodeKind::Wait { .. }) {
            ahead.extend(node.on_error);
        }
    }
    // By name: the order in which a file has them means nothing.
    found.sort_unstable_by(|one: &NodeNo, other| program.node(*one).name.cmp(&program.node(*other).name));
    found
}

impl<'w> Walk<'_, 'w> {
    /// The pause of a journey, now.
    #[inline]
    pub(super) fn pause_of(&self, program: &Program) -> Option<&'w Pause> {
        self.world.catalog.pause_at(program, self.now)
    }

    /// When who is held from now on is let go.
    fn released_at(&self, program: &Program) -> Millis {
        let released_at = self.world.catalog.released_at(program.journey, &self.profile.identity, self.now, self.now);
        released_at.expect("asked in a pause")
    }

    /// A paused journey does nothing that can be seen: who comes to an action stays there, or leaves.
    pub(super) fn stops_at_action(&mut self, position: usize, program: &Program) -> Option<Flow> {
        let pause = self.pause_of(program)?;
        if is_planted(Bug::PauseForgetsActions) && pause.mode == PauseMode::Hold {
            return None;
        }
        if pause.mode == PauseMode::Discard || !(self.world.room)(Room::Hold) {
            self.exit(position, ExitReason::Forced);
            return Some(Flow::Gone);
        }
        let held = Held { since: self.now, at: HeldAt::Node };
        self.change_extra(position, |extra| extra.held = Some(held));
        let at = self.released_at(program);
        let instance = &mut self.profile.instances[position];
        instance.generation = instance.generation.wrapping_add(1);
        let ordinal = instance.ordinal;
        self.profile.changes.instance(ordinal);
        set_release(self.profile, position, program, at);
        self.step(position, StepKind::Held(self.kept_count(position)));
        Some(Flow::Stay)
    }

    /// Keeps an entrant until the pause is over. False if there is no room: it is discarded then.
    pub(super) fn keep_entrant(&mut self, program: &'w Program, event: EventInput<'_>, id: Option<&str>) -> bool {
        let at = self.released_at(program);
        let mut instance = self.instance_of(program, event, id.map(Into::into));
        instance.context.event = event.properties.clone();
        instance.context.last = None;
        instance.context.extra_mut().held = Some(Held { since: self.now, at: HeldAt::Entrance });
        (instance.due, instance.due_kind) = (at, DueKind::Node);
        if !fits(&instance.context) {
            let error = EvalError::Other("its event is too large to be kept".to_owned());
            self.discard(program.version, DiscardReason::Paused, Some(&error));
            return false;
        }
        if !(self.world.room)(Room::Entrant) || is_planted(Bug::EntrantLost) {
            self.discard(program.version, DiscardReason::Paused, None);
            return false;
        }
        let ordinal = instance.ordinal;
        self.profile.entries = ordinal;
        self.profile.instances.push(instance);
        self.profile.changes.header = true;
        self.profile.changes.instance(ordinal);
        self.profile.changes.context(ordinal);
        self.step_at_entrance(self.profile.instances.len() - 1, StepKind::Held(0));
        true
    }

    fn step_at_entrance(&mut self, position: usize, kind: StepKind) {
        let Instance { version, ordinal, .. } = self.profile.instances[position];
        self.out.steps.push(Step { version, node: Step::NO_NODE, ordinal, kind, due: Millis::NEVER });
    }

    /// An entrant goes before it was let in.
    fn drop_entrant(&mut self, position: usize) {
        self.step_at_entrance(position, StepKind::Released(0));
        let gone = self.remove(position);
        self.discard(gone.version, DiscardReason::Paused, None);
    }

    /// An instance ends: if it is held, that is over. True if it had not begun, and nothing more is to be done.
    pub(super) fn leaves_hold(&mut self, position: usize) -> bool {
        match self.profile.instances[position].held().map(|held| held.at) {
            None => false,
            Some(HeldAt::Node) => {
                self.end_hold(position);
                false
            }
            Some(HeldAt::Entrance) => {
                self.drop_entrant(position);
                true
            }
        }
    }

    pub(super) fn end_hold(&mut self, position: usize) {
        self.step(position, StepKind::Released(self.kept_count(position)));
        self.change_extra(position, |extra| extra.held = None);
        let program = self.program(self.profile.instances[position].version);
        let instance = &mut self.profile.instances[position];
        instance.generation = instance.generation.wrapping_add(1);
        (instance.due, instance.due_kind) = (program.over_at(instance.entered_at), DueKind::Timeout);
        // Whatever ran while it was held has run for it.
        let shifts = self.world.catalog.shifts_before(program, self.now).last();
        if let Some(number) = shifts.map(|pause| pause.number) {
            self.change_extra(position, |extra| extra.shifted = extra.shifted.max(number));
        }
        let ordinal = self.profile.instances[position].ordinal;
        self.profile.changes.instance(ordinal);
    }

    /// The instant has come at which a held instance is let go.
    pub(super) fn let_go(&mut self, position: usize, held: Held) {
        let program = self.program(self.profile.instances[position].version);
        let is_paused = self.pause_of(program).is_some();
        match held.at {
            HeldAt::Entrance if is_paused => self.drop_entrant(position),
            HeldAt::Entrance => self.let_in(position),
            HeldAt::Node if is_paused => self.exit(position, ExitReason::Forced),
            HeldAt::Node => self.let_act(position, program),
        }
    }

    /// An entrant enters what is live now, if that still wants it.
    fn let_in(&mut self, position: usize) {
        self.step_at_entrance(position, StepKind::Released(0));
        let gone = self.remove(position);
        let context = &gone.context;
        let catalog = self.world.catalog;
        let name = &catalog.program(gone.version).name;
        let live = catalog.live.get(name).map(|version| self.program(*version));
        let Some(target) = live.filter(|target| target.entry.event == context.event_type) else {
            return self.discard(gone.version, DiscardReason::Paused, None);
        };
        let (id, kind, time) = (context.event_id.as_str(), context.event_type.as_str(), context.event_time);
        let event = EventInput { id, kind, time, properties: &context.event, also: &[] };
        match self.wants(target, event) {
            Ok(true) => match self.refusal(target, gone.supplemental_id()) {
                None => self.enter(target, event, gone.supplemental_id().map(Into::into)),
                Some(reason) => self.refuse(target, reason),
            },
            Ok(false) => self.discard(target.version, DiscardReason::Paused, None),
            Err(error) => self.discard(target.version, DiscardReason::EntryFilterError, Some(&error)),
        }
    }

    fn let_act(&mut self, position: usize, program: &'w Program) {
        let node = program.node(self.profile.instances[position].node);
        let NodeKind::Message { message, then } = node.kind else {
            self.end_hold(position);
            let flow = self.call(position, program, node);
            return self.advance(position, flow);
        };
        match self.overdue_in(program) {
            Some(Overdue::Merge) => self.let_latest_act(position, program, message),
            Some(Overdue::Drop) if !is_planted(Bug::OverdueNotDropped) => {
                self.end_hold(position);
                self.skip(position, program, MessageOutcome::Dropped);
            }
            _ => {
                self.end_hold(position);
                let flow = self.send(position, program, message, then);
                self.advance(position, flow);
            }
        }
    }

    /// What the pause that is over says of overdue messages.
    fn overdue_in(&self, program: &Program) -> Option<Overdue> {
        let pause = self.world.catalog.pause_before(program.journey, self.now)?;
        (pause.mode == PauseMode::Hold && !pause.is_on(self.now)).then_some(pause.overdue)
    }

    /// Goes on without its message, unless it leaves before.
    fn skip(&mut self, position: usize, program: &'w Program, outcome: MessageOutcome) {
        let NodeKind::Message { message, then } = program.node(self.profile.instances[position].node).kind else {
            unreachable!("called at a message")
        };
        if self.leaves_before_acting(position, program).is_none() {
            self.step(position, StepKind::Message { message, outcome });
            self.advance(position, Flow::Go(then, Path::Then));
        }
    }

    /// Of all messages held for one channel of the profile, in journeys resumed alike, the latest goes; all are let go.
    fn let_latest_act(&mut self, position: usize, program: &'w Program, message: u16) {
        let channel = program.messages[usize::from(message)].channel;
        let mut alike: SmallVec<[(Millis, u32); 4]> = SmallVec::new();
        for instance in &self.profile.instances {
            let (Some(held), program) = (instance.held(), self.program(instance.version)) else { continue };
            let NodeKind::Message { message, .. } = program.node(instance.node).kind else { continue };
            let is_alike = held.at == HeldAt::Node
                && program.messages[usize::from(message)].channel == channel
                && self.overdue_in(program) == Some(Overdue::Merge);
            if is_alike || instance.ordinal == self.profile.instances[position].ordinal {
                alike.push((held.since, instance.ordinal));
            }
        }
        alike.sort_unstable();
        // Who leaves by what the profile is has no message that could stand for another.
        alike.retain(|(_, ordinal)| {
            let Some(position) = self.place_of(*ordinal) else { return false };
            self.end_hold(position);
            let program = self.program(self.profile.instances[position].version);
            self.leaves_before_acting(position, program).is_none()
        });
        let Some((_, latest)) = alike.pop() else { return };
        for (_, ordinal) in alike {
            let Some(position) = self.place_of(ordinal) else { continue };
            self.skip(position, self.program(self.profile.instances[position].version), MessageOutcome::Merged);
        }
        let Some(position) = self.place_of(latest) else { return };
        let program = self.program(self.profile.instances[position].version);
        let NodeKind::Message { message, then } = program.node(self.profile.instances[position].node).kind else {
            unreachable!("it is at its message")
        };
        let flow = self.send(position, program, message, then);
        self.advance(position, flow);
    }

    /// Keeps an event for the nodes that come next once a held instance is let go: for each the first that it would have taken.
    /// Of one that finds no room only that is told, once.
    pub(super) fn keep_event(&mut self, position: usize, program: &Program, event: EventInput<'_>) {
        let is_discarding = self.pause_of(program).is_some_and(|pause| pause.mode == PauseMode::Discard);
        if is_discarding || is_planted(Bug::HeldEventLost) {
            return;
        }
        let mut unkept = None;
        for no in next_events(program, self.profile.instances[position].node) {
            if self.kept_events(position).iter().any(|(known, ..)| *known == no) {
                continue;
            }
            let Some(way) = self.way_to_keep(position, program, no, event) else { continue };
            match self.keep(position, no, way, kept(event.properties, &program.keeps_last)) {
                Ok(()) => self.step(position, StepKind::Kept(no)),
                Err(why) => unkept = unkept.or(Some(why)),
            }
        }
        if let Some(why) = unkept {
            self.step(position, StepKind::NotKept(why));
        }
    }

    /// The way of a node that the event would take.
    fn way_to_keep(&self, position: usize, program: &Program, no: NodeNo, event: EventInput<'_>) -> Option<u16> {
        let takes = |awaited: &Awaited| {
            self.first_match(position, std::slice::from_ref(&awaited.filter), event).unwrap_or(false)
        };
        match &program.node(no).kind {
            NodeKind::Event { awaited, .. } => takes(awaited).then_some(0),
            NodeKind::FirstOf { arms } => {
                let way = arms.iter().position(|(arm, _)| matches!(arm, Arm::Event(awaited) if takes(awaited)));
                way.map(|way| way as u16)
            }
            _ => unreachable!("only nodes that await events"),
        }
    }

    fn keep(&mut self, position: usize, node: NodeNo, way: u16, event: Map) -> Result<(), Unkept> {
        if self.kept_events(position).len() >= limits::HELD_EVENTS_MAX {
            return Err(Unkept::TooMany);
        }
        self.change_extra(position, |extra| extra.kept.push((node, way, event)));
        if fits(&self.profile.instances[position].context) {
            return Ok(());
        }
        self.change_extra(position, |extra| drop(extra.kept.pop()));
        Err(Unkept::TooLarge)
    }

    fn kept_events(&self, position: usize) -> &[(NodeNo, u16, Map)] {
        self.profile.instances[position].kept_events()
    }

    fn kept_count(&self, position: usize) -> u16 {
        self.kept_events(position).len() as u16
    }

    /// Whether what a node awaits on a way came while the instance was held; then it is what `last` reads.
    #[inline]
    pub(super) fn recall_kept(&mut self, position: usize, program: &Program, way: u16) -> bool {
        let instance = &self.profile.instances[position];
        let Some(extra) = instance.context.extra.as_ref().filter(|extra| !extra.kept.is_empty()) else { return false };
        let node = instance.node;
        let Some(place) = extra.kept.iter().position(|(no, arm, _)| (*no, *arm) == (node, way)) else { return false };
        let mut last = None;
        self.change_extra(position, |extra| last = Some(extra.kept.swap_remove(place).2));
        if !program.keeps_last.is_empty() {
            self.profile.instances[position].context.last = last;
        }
        self.forget_kept(position);
        true
    }

    /// Where an instance waits, what came while it was held is over; at an action or a cap it is still on its way.
    #[cold]
    pub(super) fn forget_what_is_over(&mut self, position: usize, program: &Program) {
        let kind = &program.node(self.profile.instances[position].node).kind;
        let is_on_its_way =
            matches!(kind, NodeKind::Message { .. } | NodeKind::Action { .. } | NodeKind::ProfileCap { .. });
        if !is_on_its_way {
            self.forget_kept(position);
        }
    }

    /// The instance waits again, or has heard what it waited for: what else came while it was held is over.
    pub(super) fn forget_kept(&mut self, position: usize) {
        let extra = self.profile.instances[position].context.extra.as_ref();
        if extra.is_some_and(|extra| extra.held.is_none() && !extra.kept.is_empty()) {
            self.change_extra(position, |extra| extra.kept.clear());
        }
    }
}
