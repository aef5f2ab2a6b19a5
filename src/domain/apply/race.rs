//! Nodes where several things may happen first, and events that came before the node that waits for them.

use crate::domain::apply::memory::{fits, kept};
use crate::domain::apply::walk::{Flow, Walk};
use crate::domain::apply::world::EventInput;
use crate::domain::calendar::next_local;
use crate::domain::event::FEEDBACK_DELIVERY;
use crate::domain::expression::{EvalError, moment};
use crate::domain::ids::{DeliveryId, InstanceId, Millis, NodeNo};
use crate::domain::journey::definition::Since;
use crate::domain::journey::program::{Arm, Awaited, Node, NodeKind, Pause, Program};
use crate::domain::step::{Failure, Path, StepKind};
use crate::domain::value::{Map, Value};
use crate::planted::{Bug, is_planted};

impl<'w> Walk<'_, 'w> {
    /// When a wait that begins now ends.
    pub(super) fn ends_at(&self, position: usize, program: &'w Program, pause: &Pause) -> Result<Millis, EvalError> {
        Ok(match pause {
            Pause::For(duration_ms) => self.now.plus(*duration_ms),
            Pause::Until(until) => match until.eval(&self.scope(position))? {
                Value::Str(text) => moment(&text, &self.zone(program))?,
                Value::Time(instant) => instant,
                _ => Millis::MIN,
            },
            Pause::Local { time, days } => next_local(self.now, *time, *days, &self.zone(program)),
        })
    }

    /// Arrives where the first of several things counts: what has happened already, from top to bottom, or else the wait
    /// that ends first, the upper one of equals.
    pub(super) fn race(&mut self, position: usize, program: &'w Program, node: &Node, arms: &[(Arm, NodeNo)]) -> Flow {
        let mut first: Option<(Millis, u16)> = None;
        for (index, (arm, target)) in arms.iter().enumerate() {
            let won = match arm {
                Arm::Event(awaited) => self.has_come(position, program, awaited, index as u16),
                Arm::Wait(pause) => match self.ends_at(position, program, pause) {
                    Err(error) => return self.arrive_and_fail(position, node, &error),
                    Ok(instant) => {
                        let is_first = |earliest| (instant < earliest) != is_planted(Bug::RaceWonByLast);
                        if first.is_none_or(|(earliest, _)| is_first(earliest)) {
                            first = Some((instant, index as u16));
                        }
                        instant <= self.now
                    }
                },
            };
            if won {
                self.step(position, StepKind::Arrived);
                return Flow::Go(*target, Path::Branch(index as u16));
            }
        }
        if let Some((instant, arm)) = first {
            self.set_node_due(position, instant);
            if waits(arms).count() > 1 {
                self.change_extra(position, |extra| extra.arm = Some(arm));
            }
        }
        self.note_coming(position, &node.kind);
        self.step(position, StepKind::Arrived);
        Flow::Stay
    }

    /// The wait of a race has ended.
    pub(super) fn race_ended(&mut self, position: usize, arms: &[(Arm, NodeNo)]) -> Flow {
        let extra = self.profile.instances[position].context.extra.as_ref();
        let noted = if waits(arms).count() > 1 { extra.and_then(|extra| extra.arm) } else { waits(arms).next() };
        let arm = noted.expect("a timer runs for a wait");
        Flow::Go(arms[usize::from(arm)].1, Path::Branch(arm))
    }

    /// Which way the node an instance is at takes for `event`, if any.
    #[inline]
    pub(super) fn way_for(
        &self,
        position: usize,
        node: &Node,
        event: EventInput<'_>,
    ) -> Result<Option<(NodeNo, Path, Option<u16>)>, EvalError> {
        match &node.kind {
            NodeKind::Event { awaited, then, .. } => {
                let taken = self.first_match(position, std::slice::from_ref(&awaited.filter), event)?;
                Ok(taken.then_some((*then, Path::EventReceived, awaited.slot)))
            }
            NodeKind::FirstOf { arms } => {
                for (index, (arm, target)) in arms.iter().enumerate() {
                    if let Arm::Event(awaited) = arm
                        && self.first_match(position, std::slice::from_ref(&awaited.filter), event)?
                    {
                        return Ok(Some((*target, Path::Branch(index as u16), awaited.slot)));
                    }
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Keeps `event` for nodes that count what came before they are reached. A filter that fails has not heard it. False if
    /// the instance ended, because it would remember too much.
    pub(super) fn hear(&mut self, position: usize, program: &Program, event: EventInput<'_>) -> bool {
        for (slot, (filter, _)) in program.heard.iter().enumerate().filter(|_| !is_planted(Bug::HeardForgotten)) {
            if self.first_match(position, std::slice::from_ref(filter), event).unwrap_or(false) {
                let heard = kept(event.properties, &program.keeps_last);
                let slot = slot as u16;
                self.change_extra(position, |extra| match extra.heard.iter_mut().find(|(known, _)| *known == slot) {
                    Some((_, before)) => *before = heard,
                    None => extra.heard.push((slot, heard)),
                });
            }
        }
        if fits(&self.profile.instances[position].context) {
            return true;
        }
        self.fail(position, Failure::InstanceTooLarge, None);
        false
    }

    /// An event that was awaited has come to its node: it counts once.
    #[inline]
    pub(super) fn forget(&mut self, position: usize, slot: Option<u16>) {
        if let Some(slot) = slot {
            self.change_extra(position, |extra| extra.heard.retain(|(known, _)| *known != slot));
        }
    }

    /// Whether what a node awaits came before it was reached; then it is what `last` reads.
    #[inline]
    fn recall(&mut self, position: usize, program: &Program, awaited: &Awaited) -> bool {
        let Some(slot) = awaited.slot else { return false };
        let extra = self.profile.instances[position].context.extra.as_ref();
        let found = extra.and_then(|extra| extra.heard.iter().find(|(known, _)| *known == slot));
        let Some((_, heard)) = found else { return false };
        let heard = heard.clone();
        if !program.keeps_last.is_empty() {
            self.profile.instances[position].context.last = Some(heard);
        }
        self.forget(position, Some(slot));
        true
    }

    /// Whether what a node awaits on a way came before, for whatever reason it is remembered: then it is what `last` reads,
    /// and counts here once.
    #[inline]
    pub(super) fn has_come(&mut self, position: usize, program: &Program, awaited: &Awaited, way: u16) -> bool {
        if self.recall(position, program, awaited) {
            self.forget_kept(position);
            return true;
        }
        self.recall_kept(position, program, way)
    }

    /// A message was decided: from now on other events are those since the last message, and other feedback counts.
    #[inline]
    pub(super) fn note_message(&mut self, position: usize, program: &Program, send_ordinal: u16) {
        let is_old = |slot: u16| program.heard[usize::from(slot)].1 == Since::LastMessage;
        let context = &self.profile.instances[position].context;
        let outdated = context.extra.as_ref().is_some_and(|extra| extra.heard.iter().any(|(slot, _)| is_old(*slot)));
        if outdated && !is_planted(Bug::HeardForEver) {
            self.change_extra(position, |extra| extra.heard.retain(|(slot, _)| !is_old(*slot)));
        }
        let node = self.profile.instances[position].node;
        if program.followed.contains(&node) {
            self.change_extra(position, |extra| {
                extra.sent.retain(|(known, _)| *known != node);
                extra.sent.push((node, send_ordinal));
            });
        }
    }

    /// Whether `feedback` is about the latest message of `node`.
    pub(super) fn is_about(&self, position: usize, node: NodeNo, feedback: &Map) -> bool {
        let instance = &self.profile.instances[position];
        let Some(ordinal) = instance.context.sent_at(node) else { return false };
        let Some(Value::Str(delivery)) = feedback.get(FEEDBACK_DELIVERY) else { return false };
        let Ok(delivery) = delivery.parse::<DeliveryId>() else { return false };
        let id = InstanceId::new(self.world.sandbox, &self.profile.identity, instance.journey, instance.ordinal);
        is_planted(Bug::FeedbackOnAnything)
            || delivery == DeliveryId { partition: self.world.partition, instance: id, ordinal }
    }
}

/// Numbers of the ways that are waits.
fn waits(arms: &[(Arm, NodeNo)]) -> impl Iterator<Item = u16> {
    arms.iter().enumerate().filter(|(_, (arm, _))| matches!(arm, Arm::Wait(_))).map(|(index, _)| index as u16)
}
