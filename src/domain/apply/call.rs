//! A node that calls a custom action: the call is decided and put into the outbox, the instance stays, and the answer, an
//! input like any other, moves it on.

use smol_str::SmolStr;

use crate::domain::apply::answers::{Answers, Asked, Drawn};
use crate::domain::apply::inputs::catch_up;
use crate::domain::apply::memory::{copy_path, fits};
use crate::domain::apply::walk::{Flow, Walk};
use crate::domain::apply::world::{Calls, Outcome, Room, World};
use crate::domain::content::RenderInput;
use crate::domain::effect::{CallAnswer, CallStatus, Effect, OutboxRow, OutboxState};
use crate::domain::expression::{EvalError, Expr};
use crate::domain::ids::{DeliveryId, InstanceId, MessageId, Millis, stable_hash};
use crate::domain::journey::action::{Action, ERROR_RESPONSE, STATUS, answer_of};
use crate::domain::journey::program::{Channel, Node, NodeKind, Program};
use crate::domain::note;
use crate::domain::profile::{DueKind, LastCall, Profile};
use crate::domain::step::{Failure, Path, StepKind};
use crate::domain::value::{Map, Value};
use crate::planted::{Bug, is_planted};

/// How a call ended.
#[derive(Clone, Copy)]
struct Ended<'a> {
    answer: &'a CallAnswer,
    /// Milliseconds of engine time from its decision.
    took_ms: i64,
}

impl<'a> Ended<'a> {
    /// One that nobody made.
    fn at_once(answer: &'a CallAnswer) -> Self {
        Self { answer, took_ms: 0 }
    }
}

/// Handles the answer to the call `row`, after the profile's due timers. An instance that is gone, or no longer waits for
/// it, does not hear it.
pub fn apply_answer(
    profile: &mut Profile,
    row: &OutboxRow,
    answer: &CallAnswer,
    now: Millis,
    world: World<'_>,
    out: &mut Outcome,
) {
    catch_up(profile, now, world, out);
    let awaits = |i: &crate::domain::profile::Instance| {
        let same_call = i.node == row.node && i.sends == row.id.ordinal.wrapping_add(1);
        i.ordinal == row.entry_ordinal && i.version == row.version && same_call
    };
    let Some(position) = profile.instances.iter().position(awaits) else { return };
    let mut walk = Walk::new(profile, now, world, out);
    let program = walk.program(row.version);
    let node = program.node(row.node);
    if let NodeKind::Action { .. } = node.kind {
        let entered_at = walk.profile.instances[position].entered_at;
        let since = if is_planted(Bug::CallTimedFromEntry) { entered_at } else { row.decided_at };
        let took_ms = now.0.saturating_sub(since.0);
        let flow = walk.answered(position, program, node, Ended { answer, took_ms });
        walk.advance(position, flow);
    }
    walk.seal();
}

impl Walk<'_, '_> {
    /// Decides the call, or parks the instance where the outbox has no room.
    pub(super) fn call(&mut self, position: usize, program: &Program, node: &Node) -> Flow {
        let NodeKind::Action { action, with, .. } = &node.kind else { unreachable!("called at an action") };
        if let Some(flow) = self.leaves_before_acting(position, program) {
            return flow;
        }
        if let Some(flow) = self.stops_at_action(position, program) {
            return flow;
        }
        let index = *action;
        let action = &program.actions[usize::from(index)];
        let parameters = match self.parameters(position, with) {
            Ok(parameters) => parameters,
            Err(error) => return self.fail_at(position, node, Failure::Expression, Some(&error)),
        };
        match self.world.calls {
            Calls::Made => {}
            Calls::Assumed => {
                let answer = CallAnswer::empty(CallStatus::Http(200));
                return self.take_answer(position, program, node, Ended::at_once(&answer));
            }
            Calls::Answered(answers) => match action.request(&parameters, self.now) {
                Ok(_) => return self.draw_answer(position, program, node, action, answers),
                // Nobody was asked, and nobody answers.
                Err(error) => {
                    let unmade = CallAnswer::because(CallStatus::InternalError, error.to_string());
                    return self.answered(position, program, node, Ended::at_once(&unmade));
                }
            },
        }
        if !(self.world.room)(Room::Outbox(Some(&action.queue))) {
            self.park(position, program);
            return Flow::Stay;
        }
        self.put_out_call(position, program, index, parameters);
        Flow::Stay
    }

    /// A lot of this very call, the same in every run.
    fn lot(&self, position: usize, program: &Program, node: &Node) -> u128 {
        let ordinal = self.profile.instances[position].ordinal.to_le_bytes();
        let names = [&*self.profile.identity, &*program.name, &*node.name].map(str::as_bytes);
        stable_hash(&[names[0], names[1], names[2], &ordinal, &self.now.0.to_le_bytes()])
    }

    /// An answer as it is declared or recorded; one of which only the status is known notes nothing.
    fn draw_answer(
        &mut self,
        position: usize,
        program: &Program,
        node: &Node,
        action: &Action,
        answers: &Answers,
    ) -> Flow {
        let lot = self.lot(position, program, node);
        let profile = self.profile.identity.clone();
        let asked = Asked { action: &action.name, profile: &profile, node: &node.name, at: self.now, lot };
        match answers.draw(&asked) {
            Drawn::Declared(answer) => self.answered(position, program, node, Ended::at_once(answer)),
            Drawn::Recorded(status, fields) => {
                let answer = answer_of(status, fields, action.declared_for(status));
                self.answered(position, program, node, Ended::at_once(&answer))
            }
            Drawn::Guessed(status) => {
                self.take_answer(position, program, node, Ended::at_once(&CallAnswer::empty(status)))
            }
        }
    }

    fn parameters(&self, position: usize, with: &[(SmolStr, Option<Expr>)]) -> Result<Map, EvalError> {
        let mut parameters = Map::new();
        for (name, value) in with {
            let value = value.as_ref().map_or(Ok(Value::Null), |value| value.eval(&self.scope(position)))?;
            parameters.insert(name.clone(), value);
        }
        Ok(parameters)
    }

    /// From here on only the answer, an exit or the journey's timeout moves the instance.
    fn put_out_call(&mut self, position: usize, program: &Program, index: u16, parameters: Map) {
        let instance = &mut self.profile.instances[position];
        let id = InstanceId::new(self.world.sandbox, &self.profile.identity, instance.journey, instance.ordinal);
        let row = OutboxRow {
            id: DeliveryId { partition: self.world.partition, instance: id, ordinal: instance.sends },
            profile: self.profile.identity.clone(),
            version: instance.version,
            node: instance.node,
            entry_ordinal: instance.ordinal,
            message: index,
            message_id: MessageId(0),
            channel: Channel::Call,
            recipient: SmolStr::default(),
            input: RenderInput { action: parameters, ..RenderInput::default() },
            decided_at: self.now,
            state: OutboxState::Pending,
            first_attempt_at: None,
        };
        instance.sends = instance.sends.wrapping_add(1);
        if instance.due_kind == DueKind::Node {
            // It was parked: no timer of the node is left.
            instance.generation = instance.generation.wrapping_add(1);
            (instance.due, instance.due_kind) = (program.over_at(instance.entered_at), DueKind::Timeout);
        }
        let ordinal = instance.ordinal;
        self.profile.changes.instance(ordinal);
        self.out.effects.push(Effect::Send(Box::new(row)));
    }

    /// Takes the answer in, and notes what it says with the step; the way on.
    fn answered(&mut self, position: usize, program: &Program, node: &Node, ended: Ended<'_>) -> Flow {
        let answer = ended.answer;
        let NodeKind::Action { action, .. } = &node.kind else { unreachable!("called at an action") };
        let declared = program.actions[usize::from(*action)].declared_for(answer.status);
        let note = if declared.is_empty() { answer.reason.clone() } else { note::of_answer(answer) };
        self.out.notes.extend(note.map(|note| (self.out.steps.len(), note)));
        self.take_answer(position, program, node, ended)
    }

    /// Takes the answer in; the way on.
    fn take_answer(&mut self, position: usize, program: &Program, node: &Node, ended: Ended<'_>) -> Flow {
        let Ended { answer, took_ms } = ended;
        let NodeKind::Action { action, then, .. } = &node.kind else { unreachable!("called at an action") };
        self.step(position, StepKind::Called(answer.status));
        let action = &program.actions[usize::from(*action)];
        self.keep_answer(position, program, action, answer);
        self.note_call(position, program, action, (answer.status, took_ms));
        if !fits(&self.profile.instances[position].context) {
            self.fail(position, Failure::InstanceTooLarge, None);
            return Flow::Gone;
        }
        if answer.status.is_error() && !is_planted(Bug::CallErrorIgnored) {
            return self.fail_at(position, node, Failure::Action(Some(answer.status)), None);
        }
        Flow::Go(*then, Path::Then)
    }

    /// Notes how the call went, as far as the version reads it.
    fn note_call(&mut self, position: usize, program: &Program, action: &Action, (status, took_ms): (CallStatus, i64)) {
        let notes = if action.is_source() { program.notes.source } else { program.notes.action };
        let now = notes.kept(LastCall { error: Some(status).filter(|s| s.is_error()), took_ms: Some(took_ms) });
        if now == LastCall::default() {
            return;
        }
        self.change_extra(position, |extra| {
            let last = if action.is_source() { &mut extra.source } else { &mut extra.action };
            *last = LastCall { error: now.error.or(last.error), took_ms: now.took_ms };
        });
    }

    /// Remembers what the version reads of it, in the place of what the action answered before.
    fn keep_answer(&mut self, position: usize, program: &Program, action: &Action, answer: &CallAnswer) {
        let read = |path: &&Vec<SmolStr>| path.first().is_none_or(|name| *name == action.name);
        if !program.keeps_action.iter().any(|path| read(&path)) {
            return;
        }
        let mut fields = match answer.status.is_error() {
            false => answer.fields.clone(),
            true => Map::new(),
        };
        fields.insert(STATUS, Value::Str(SmolStr::new(answer.status.to_string())));
        if answer.status.is_error() && !answer.fields.is_empty() {
            fields.insert(ERROR_RESPONSE, Value::Map(answer.fields.clone()));
        }
        let whole = Map(vec![(action.name.clone(), Value::Map(fields))]);
        let mut kept = Map::new();
        for path in program.keeps_action.iter().filter(read) {
            copy_path(&mut kept, &whole, path);
        }
        if is_planted(Bug::AnswerNotKept) || (action.is_source() && is_planted(Bug::SourceNotKept)) {
            return;
        }
        self.change_extra(position, |extra| {
            extra.called.remove(&action.name);
            extra.called.0.append(&mut kept.0);
        });
    }
}
