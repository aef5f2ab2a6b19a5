//! Pauses while everything runs, and events for those whom a pause holds.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::domain::apply::Firing;
use crate::domain::catalog::PauseOrder;
use crate::domain::ids::{Millis, NodeNo};
use crate::domain::journey::program::{Arm, NodeKind, Program};
use crate::domain::pause::PauseMode;
use crate::sim::Violation;
use crate::sim::observe::Cause;
use crate::sim::simulation::Simulation;
use crate::sim::workload::{EVENT_KINDS, terms};

/// Profiles of a partition that are looked at for somebody who is held.
const LOOKED_AT: usize = 20;

impl Simulation {
    /// Resumes a journey that is paused, if there is one.
    pub fn resume_one(&mut self) -> bool {
        let now = self.now().max(Millis(0));
        let (_, _, resume) = self.workload.next_pausing(&mut self.dice, now);
        let Some(machine) = &self.machine else { return false };
        let catalog = machine.catalog.settled(now);
        let resumed = catalog
            .live
            .keys()
            .find_map(|name| Some((name.to_string(), catalog.resume(name, now, resume.order()).ok()?)));
        let Some((name, resumed)) = resumed else { return false };
        let cause = Cause::Resume(name, now.0, resume.word(), resume.window_ms);
        self.fault("change: journey resumed");
        self.note(|| format!("{cause:?}"));
        self.install(resumed, cause, now);
        true
    }

    /// Pauses a journey that is not paused.
    pub fn pause_one(&mut self) {
        let now = self.now().max(Millis(0));
        let (name, order, _) = self.workload.next_pausing(&mut self.dice, now);
        self.pause(name, &order, now);
    }

    /// Pauses a journey while somebody in it is on the way to a node that acts, just before one that awaits events.
    pub fn pause_before_it_acts(&mut self) {
        if self.change.is_some() || self.firing() == Firing::Due || self.history.books.is_empty() {
            return;
        }
        let catalog = Arc::clone(self.history.catalog());
        let place = self.dice.index(self.history.books.len());
        let Some(book) = self.history.books.values().nth(place) else { return };
        let name = book.shadow.table.profiles().take(LOOKED_AT).map_while(Result::ok).find_map(|profile| {
            let free = profile.instances.iter().filter(|instance| instance.held().is_none());
            let mut programs = free.map(|instance| catalog.program(instance.version));
            programs.find(|program| acts_before_it_awaits(program)).map(|program| program.name.to_string())
        });
        let Some(name) = name else { return };
        let now = self.now().max(Millis(0));
        let (_, order, _) = self.workload.next_pausing(&mut self.dice, now);
        self.pause(name, &PauseOrder { mode: PauseMode::Hold, ..order }, now);
    }

    fn pause(&mut self, name: String, order: &PauseOrder, now: Millis) {
        let Some(machine) = &self.machine else { return };
        let Ok(paused) = machine.catalog.settled(now).pause(&name, *order) else { return };
        let cause = Cause::Pause(name, terms(order));
        self.fault("change: journey paused");
        self.note(|| format!("{cause:?}"));
        self.install(paused, cause, now);
    }

    /// On the events' clock what is decided must not hang on when a change came: pauses are ordered before anything comes, for
    /// times to come.
    pub fn pause_ahead(&mut self) -> Result<(), Violation> {
        let mut dice = self.ahead.clone();
        if self.firing() == Firing::Engine || dice.chance(50) {
            return Ok(());
        }
        let mut at = self.wall();
        for _ in 0..dice.between(1, 4) {
            at = at.plus(self.workload.next_gap_ms(&mut dice).min(3 * 86_400_000));
            let (name, order, _) = self.workload.next_pausing(&mut dice, at);
            let Some(machine) = &self.machine else { return Ok(()) };
            let Ok(paused) = machine.catalog.pause(&name, order) else { continue };
            self.fault("change: journey paused");
            self.note(|| format!("{name} will be paused: {order:?}"));
            self.install(paused, Cause::Pause(name, terms(&order)), Millis(0));
            self.settle()?;
        }
        Ok(())
    }

    /// Somebody whom a pause holds at a node, and what the node after that awaits.
    pub fn somebody_held(&mut self) -> Option<(String, &'static str)> {
        let place = self.dice.index(self.history.books.len().max(1));
        let book = self.history.books.values().nth(place)?;
        let catalog = self.history.catalog();
        let held = book.shadow.table.profiles().take(LOOKED_AT).map_while(Result::ok).find_map(|profile| {
            let held = profile.instances.iter().filter(|i| i.held().is_some() && !i.is_entrant());
            let next = held.filter_map(|held| next_after(catalog.program(held.version), held.node));
            let kinds: Vec<&'static str> = next.flat_map(awaited).collect();
            (!kinds.is_empty()).then(|| (profile.identity.to_string(), kinds))
        });
        let (profile, kinds) = held?;
        Some((profile, *self.dice.pick(&kinds)))
    }
}

/// Whether a message or a call comes just before a node that awaits events.
fn acts_before_it_awaits(program: &Program) -> bool {
    let nodes = (0..).map(NodeNo).take(program.nodes.len());
    nodes.filter_map(|no| next_after(program, no)).any(|next| !awaited(next).is_empty())
}

/// What comes after a message or a call.
fn next_after(program: &Program, no: NodeNo) -> Option<&NodeKind> {
    match program.node(no).kind {
        NodeKind::Message { then, .. } | NodeKind::Action { then, .. } => Some(&program.node(then).kind),
        _ => None,
    }
}

/// Types of events that a node awaits, feedback aside.
fn awaited(kind: &NodeKind) -> Vec<&'static str> {
    let known = |event: &SmolStr| EVENT_KINDS.into_iter().find(|known| known == event);
    match kind {
        NodeKind::Event { awaited, .. } => known(&awaited.filter.event).into_iter().collect(),
        NodeKind::FirstOf { arms } => arms
            .iter()
            .filter_map(|(arm, _)| match arm {
                Arm::Event(awaited) => known(&awaited.filter.event),
                Arm::Wait(_) => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}
