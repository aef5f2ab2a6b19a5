//! An instance goes on in a newer version, leaves because that version says so, or is kept; before anything else is
//! decided for it.
//!
//! INVARIANT: each newer version is asked once about an instance, for the node where it was when that version came. One that
//! is kept notes it before it moves; one that goes stands in a newer version, which older ones say nothing about.

use smol_str::SmolStr;

use crate::domain::apply::memory::kept;
use crate::domain::apply::walk::Walk;
use crate::domain::apply::world::{Outcome, World};
use crate::domain::catalog::{Catalog, Choice, VersionStatus};
use crate::domain::ids::{Millis, NodeNo, VersionId};
use crate::domain::journey::program::{Arm, NodeKind, Pause, Program};
use crate::domain::profile::{Context, DueKind, Extra, Instance, Profile};
use crate::domain::step::{Entrance, ExitReason, StepKind};
use crate::domain::value::Map;
use crate::planted::{Bug, is_planted};

/// Puts the instances of older versions where newer ones want them, and ends those of stopped versions.
pub(super) fn settle(profile: &mut Profile, now: Millis, world: World<'_>, out: &mut Outcome) {
    let is_asked = |i: &Instance| world.catalog.get(i.version).is_unsettled() && is_asked(world.catalog, i);
    while let Some(position) = profile.instances.iter().position(is_asked) {
        let mut walk = Walk::new(profile, now, world, out);
        walk.settle(position);
        walk.seal();
    }
    end_stopped(profile, now, world, out);
}

/// Whether a newer version has to say something about it. Entrants are in no version yet.
fn is_asked(catalog: &Catalog, instance: &Instance) -> bool {
    let latest = catalog.get(instance.version).onward().last();
    latest.is_some_and(|onward| Some(onward.to) > settled(instance)) && !instance.is_entrant()
}

/// Ends the instances of stopped versions (spec §4.5).
fn end_stopped(profile: &mut Profile, now: Millis, world: World<'_>, out: &mut Outcome) {
    let first_stopped = |profile: &Profile| {
        if world.catalog.pauses.is_empty() {
            let is_stopped = |i: &Instance| world.catalog.get(i.version).status == VersionStatus::Stopped;
            return profile.instances.iter().position(is_stopped);
        }
        let stopped_at = |(_, i): &(usize, &Instance)| world.catalog.stopped_at(i.version, now);
        let instances = profile.instances.iter().enumerate();
        // Pauses end at instants of their own: whenever somebody looks, those that were stopped first leave first.
        let stopped = instances.filter_map(|one| Some((stopped_at(&one)?, one.0)));
        stopped.min().map(|(_, position)| position)
    };
    while let Some(position) = first_stopped(profile) {
        let mut walk = Walk::new(profile, now, world, out);
        walk.exit(position, ExitReason::Stopped);
        walk.seal();
    }
}

/// The version up to which it was kept.
fn settled(instance: &Instance) -> Option<VersionId> {
    instance.context.extra.as_ref()?.settled
}

/// Where an instance has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Where it is.
    Stays,
    /// Nowhere.
    Leaves,
    /// At a node of a newer version, to which it comes now.
    Comes(VersionId, NodeNo),
    /// At a node of a newer version, to which it has come when it came to its own.
    HasCome(VersionId, NodeNo),
}

impl<'w> Walk<'_, 'w> {
    fn settle(&mut self, position: usize) {
        let (fate, judged) = self.fate(position);
        let ordinal = self.profile.instances[position].ordinal;
        match fate {
            Fate::Stays => self.change_extra(position, |extra| extra.settled = judged),
            Fate::Leaves => self.exit(position, ExitReason::Withdrawn),
            Fate::Comes(version, node) => {
                let previous = Some(self.profile.instances[position].node);
                self.carry(position, (version, node), judged, previous);
                if self.may_go_on(position) {
                    self.arrive(position);
                    if is_planted(Bug::MigratedTwice) && self.is_still(position, ordinal) {
                        self.arrive(position);
                    }
                }
            }
            Fate::HasCome(version, node) => {
                let came_at = self.came_at(position);
                let before = self.profile.instances[position].due;
                let previous = self.profile.instances[position].context.extra.as_ref().and_then(|e| e.previous_node);
                self.carry(position, (version, node), judged, previous);
                if self.may_go_on(position) {
                    self.begin_anew(position, came_at);
                }
                if is_planted(Bug::WaitNotRecomputed) && self.is_still(position, ordinal) {
                    self.profile.instances[position].due = before;
                }
            }
        }
    }

    fn is_stopped(&self, position: usize) -> bool {
        self.world.catalog.is_stopped(self.profile.instances[position].version, self.now)
    }

    /// What newer versions make of it, one after the other: each sees where the one before has put it, and nothing happens
    /// at the places between. And up to which version that is.
    fn fate(&self, position: usize) -> (Fate, Option<VersionId>) {
        let instance = &self.profile.instances[position];
        let (mut version, mut node, mut fate) = (instance.version, instance.node, Fate::Stays);
        let mut judged = settled(instance);
        loop {
            let onward = self.world.catalog.get(version).onward();
            let Some(next) = onward.iter().find(|next| Some(next.to) > judged && next.to > version) else {
                return (fate, judged.filter(|judged| *judged > version));
            };
            judged = Some(next.to);
            match next.choice(node) {
                Choice::Keep => {}
                Choice::Exit => return (Fate::Leaves, judged),
                Choice::Move(to) => {
                    (version, node) = (next.to, to);
                    fate = Fate::Comes(version, node);
                }
                Choice::Recompute(to) => {
                    (version, node) = (next.to, to);
                    fate = match fate {
                        Fate::Stays | Fate::HasCome(..) => Fate::HasCome(version, node),
                        _ => Fate::Comes(version, node),
                    };
                }
            }
        }
    }

    /// Takes the instance out of its version and to a node of another, with what it remembers. `previous` is the node, of the
    /// old version, that it came from.
    fn carry(
        &mut self,
        position: usize,
        (version, node): (VersionId, NodeNo),
        judged: Option<VersionId>,
        previous: Option<NodeNo>,
    ) {
        self.begin_to_move();
        if self.profile.instances[position].held().is_some() {
            self.end_hold(position);
        }
        self.step(position, StepKind::Exited(ExitReason::Migrated));
        let (old, new) = (self.program(self.profile.instances[position].version), self.program(version));
        let instance = &mut self.profile.instances[position];
        instance.context = carried(std::mem::take(&mut instance.context), old, new);
        (instance.version, instance.node) = (version, node);
        if is_planted(Bug::SendsForgotten) {
            instance.sends = 0;
        }
        let ordinal = instance.ordinal;
        self.profile.changes.instance(ordinal);
        let previous = previous.filter(|_| new.notes.previous_node);
        let previous_node = previous.and_then(|node| named(new, &old.node(node).name));
        self.change_extra(position, |extra| {
            extra.settled = judged;
            extra.previous_node = previous_node;
        });
        self.step(position, StepKind::Entered(Entrance::Migrated));
    }

    /// Whether the node may do anything with it: not where its time is over, or its version is stopped. Then it only stands
    /// there, until that ends it.
    fn may_go_on(&mut self, position: usize) -> bool {
        let program = self.program(self.profile.instances[position].version);
        let is_stopped = self.is_stopped(position);
        let instance = &mut self.profile.instances[position];
        let over_at = program.over_at(instance.entered_at);
        if over_at > self.now && !is_stopped {
            return true;
        }
        instance.generation = instance.generation.wrapping_add(1);
        (instance.due, instance.due_kind) = (over_at, DueKind::Timeout);
        self.step(position, StepKind::Arrived);
        false
    }

    /// The node as if the instance had come to it at `came_at`. A timer that is over by now fires in this very input.
    fn begin_anew(&mut self, position: usize, came_at: Millis) {
        let instance = &mut self.profile.instances[position];
        let program = self.world.catalog.program(instance.version);
        instance.generation = instance.generation.wrapping_add(1);
        (instance.due, instance.due_kind) = (program.over_at(instance.entered_at), DueKind::Timeout);
        let now = std::mem::replace(&mut self.now, came_at);
        let flow = self.handle_node(position, program);
        self.now = now;
        self.advance(position, flow);
    }

    fn came_at(&self, position: usize) -> Millis {
        let instance = &self.profile.instances[position];
        came_at(instance, &self.program(instance.version).node(instance.node).kind).unwrap_or(self.now)
    }

    /// Notes when the instance came to the node where it stays, unless its timer tells.
    #[inline]
    pub(super) fn note_coming(&mut self, position: usize, kind: &NodeKind) {
        if self.profile.instances[position].due_kind == DueKind::Node && length_ms(kind).is_some() {
            return;
        }
        let now = self.now;
        self.change_extra(position, |extra| extra.came_at = Some(now));
    }
}

/// When the instance came to the node where it pauses: what its timer does not tell was noted then.
pub(super) fn came_at(instance: &Instance, kind: &NodeKind) -> Option<Millis> {
    match length_ms(kind) {
        Some(length_ms) if instance.due_kind == DueKind::Node => Some(instance.due.plus(-length_ms)),
        _ => instance.context.extra.as_ref()?.came_at,
    }
}

/// How long a pause is whose timer tells when it began.
#[inline]
pub(super) fn length_ms(kind: &NodeKind) -> Option<i64> {
    match kind {
        NodeKind::Wait { pause: Pause::For(duration_ms), .. } => Some(*duration_ms),
        NodeKind::Event { within_ms, .. } => *within_ms,
        _ => None,
    }
}

/// The node of this name.
fn named(program: &Program, name: &str) -> Option<NodeNo> {
    program.nodes.iter().position(|node| node.name == name).map(|at| NodeNo(at as u16))
}

/// What an instance of `old` remembers, as one of `new`: the parts that it reads; nodes are found by their names.
fn carried(context: Context, old: &Program, new: &Program) -> Context {
    let same = |node: NodeNo| named(new, &old.node(node).name);
    let last = context.last.unwrap_or_default();
    let visits = context.visits.iter().filter_map(|(node, count)| Some((same(*node)?, *count)));
    let extra = context.extra.map(|extra| {
        let heard = extra.heard.into_iter();
        let heard =
            heard.filter_map(|(slot, map)| Some((slot_of(new, name_of(old, slot)?)?, kept(&map, &new.keeps_last))));
        let sent = extra.sent.into_iter().filter_map(|(node, ordinal)| Some((same(node)?, ordinal)));
        let error = extra.error.filter(|_| new.notes.errors);
        let mut called = Map::new();
        if !new.keeps_action.is_empty() {
            called = kept(&extra.called, &new.keeps_action);
        }
        Box::new(Extra {
            heard: heard.collect(),
            sent: sent.filter(|(node, _)| new.followed.contains(node)).collect(),
            supplemental_id: extra.supplemental_id,
            error: error.and_then(|(node, failure)| Some((same(node)?, failure))),
            called,
            action: new.notes.action.kept(extra.action),
            source: new.notes.source.kept(extra.source),
            shifted: extra.shifted,
            ..Extra::default()
        })
    });
    Context {
        event: kept(&context.event, &new.keeps_event),
        last: (!new.keeps_last.is_empty()).then(|| kept(&last, &new.keeps_last)),
        visits: visits.filter(|(node, _)| new.node(*node).on_cycle).collect(),
        extra,
        ..context
    }
}

/// What an event is heard for: its node, its place among the node's ways, and its type.
type Ear<'p> = (&'p SmolStr, usize, &'p SmolStr);

fn ears(program: &Program) -> impl Iterator<Item = (u16, Ear<'_>)> {
    program.nodes.iter().flat_map(|node| {
        let awaited = match &node.kind {
            NodeKind::Event { awaited, .. } => vec![(0, awaited)],
            NodeKind::FirstOf { arms } => {
                let events = arms.iter().enumerate().filter_map(|(way, (arm, _))| match arm {
                    Arm::Event(awaited) => Some((way, awaited)),
                    Arm::Wait(_) => None,
                });
                events.collect()
            }
            _ => Vec::new(),
        };
        awaited.into_iter().filter_map(|(way, awaited)| Some((awaited.slot?, (&node.name, way, &awaited.filter.event))))
    })
}

fn name_of(program: &Program, slot: u16) -> Option<Ear<'_>> {
    ears(program).find(|(known, _)| *known == slot).map(|(_, ear)| ear)
}

fn slot_of(program: &Program, ear: Ear<'_>) -> Option<u16> {
    ears(program).find(|(_, known)| *known == ear).map(|(slot, _)| slot)
}
