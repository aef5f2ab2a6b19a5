//! A message node: who gets it, what its templates will read, and whether there is room for it.

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::apply::memory::copy_path;
use crate::domain::apply::walk::{Flow, Walk};
use crate::domain::apply::world::Room;
use crate::domain::content::RenderInput;
use crate::domain::effect::{Effect, OutboxRow, OutboxState};
use crate::domain::expression::{FieldPath, Knows as _, Root};
use crate::domain::ids::{DeliveryId, InstanceId, JourneyId, NodeNo};
use crate::domain::journey::program::{Channel, Message, Program};
use crate::domain::profile::DueKind;
use crate::domain::step::{ExitReason, Failure, MessageOutcome, Path, StepKind};
use crate::domain::value::Value;
use crate::planted::{Bug, is_planted};

/// How long a message that found no room waits before it tries again.
const PARK_MS: i64 = 1_000;

impl Walk<'_, '_> {
    /// Decides the message, or parks the instance where the outbox has no room. What nobody would get needs none.
    pub(super) fn send(&mut self, position: usize, program: &Program, message_index: u16, then: NodeNo) -> Flow {
        if let Some(flow) = self.leaves_before_acting(position, program) {
            return flow;
        }
        if let Some(flow) = self.stops_at_action(position, program) {
            return flow;
        }
        let message = &program.messages[usize::from(message_index)];
        let Some(recipient) = self.recipient(message.channel) else {
            let outcome = MessageOutcome::Excluded;
            self.step(position, StepKind::Message { message: message_index, outcome });
            return Flow::Go(then, Path::Then);
        };
        if !(self.world.room)(Room::Outbox(message.surface.as_deref())) {
            self.park(position, program);
            return Flow::Stay;
        }
        let send_ordinal = self.profile.instances[position].sends;
        self.put_out(position, message_index, message, recipient);
        self.note_message(position, program, send_ordinal);
        Flow::Go(then, Path::Then)
    }

    /// Exit criteria by what the profile is count where something would be sent or called, and then for all its instances
    /// in the journey (spec §4.1, §16.15).
    pub(super) fn leaves_before_acting(&mut self, position: usize, program: &Program) -> Option<Flow> {
        for when in &program.exit_when {
            match when.eval_bool(&self.scope(position)) {
                Ok(false) => {}
                Ok(true) => {
                    self.exit(position, ExitReason::Criteria);
                    self.others_leave(program.journey);
                    return Some(Flow::Gone);
                }
                Err(error) => {
                    self.fail(position, Failure::Expression, Some(&error));
                    return Some(Flow::Gone);
                }
            }
        }
        None
    }

    /// One instance met a criterion by what the profile is: the others in the journey for which it holds as well, in the
    /// order of entry. An error is one only where it acts itself.
    #[cold]
    fn others_leave(&mut self, journey: JourneyId) {
        if is_planted(Bug::OthersStay) {
            return;
        }
        let others = self.profile.instances.iter().filter(|other| other.journey == journey && !other.is_entrant());
        let ordinals: SmallVec<[u32; 4]> = others.map(|other| other.ordinal).collect();
        for ordinal in ordinals {
            let Some(position) = self.place_of(ordinal) else { continue };
            let program = self.program(self.profile.instances[position].version);
            let scope = self.scope(position);
            if program.exit_when.iter().any(|when| when.eval_bool(&scope) == Ok(true)) {
                self.exit(position, ExitReason::Criteria);
            }
        }
    }

    /// The address, empty where the surface is it; `None` excludes the message. Only text is an address: a number or a
    /// list in its place would go to a mail server as text that nobody wrote.
    fn recipient(&self, channel: Channel) -> Option<SmolStr> {
        match channel {
            Channel::Log | Channel::Webhook | Channel::Call => Some(SmolStr::default()),
            Channel::Email => match self.profile.document.get("email")? {
                Value::Str(address) if !address.trim().is_empty() => Some(SmolStr::new(address.trim())),
                _ => None,
            },
        }
    }

    /// Stays at the node that acts for a while.
    pub(super) fn park(&mut self, position: usize, program: &Program) {
        let retry_at = self.now.plus(PARK_MS);
        let instance = &mut self.profile.instances[position];
        instance.generation = instance.generation.wrapping_add(1);
        (instance.due, instance.due_kind) = (program.over_at(instance.entered_at), DueKind::Timeout);
        let ordinal = instance.ordinal;
        self.profile.changes.instance(ordinal);
        if !is_planted(Bug::ParkedForgotten) {
            self.set_node_due(position, retry_at);
        }
    }

    /// Puts the message into the outbox, with its inputs as they are now.
    fn put_out(&mut self, position: usize, index: u16, message: &Message, recipient: SmolStr) {
        let input = self.freeze(position, &message.reads);
        let instance = &mut self.profile.instances[position];
        let id = InstanceId::new(self.world.sandbox, &self.profile.identity, instance.journey, instance.ordinal);
        let row = OutboxRow {
            id: DeliveryId { partition: self.world.partition, instance: id, ordinal: instance.sends },
            profile: self.profile.identity.clone(),
            version: instance.version,
            node: instance.node,
            entry_ordinal: instance.ordinal,
            message: index,
            message_id: message.id,
            channel: message.channel,
            recipient,
            input,
            decided_at: self.now,
            state: OutboxState::Pending,
            first_attempt_at: None,
        };
        instance.sends += 1;
        let ordinal = instance.ordinal;
        self.profile.changes.instance(ordinal);
        self.out.effects.push(Effect::Send(Box::new(row)));
        self.step(position, StepKind::Message { message: index, outcome: MessageOutcome::Requested });
    }

    /// What the templates of a message read, as it is now.
    pub(super) fn freeze(&self, position: usize, reads: &[FieldPath]) -> RenderInput {
        let context = &self.profile.instances[position].context;
        let last = context.last.as_ref().unwrap_or(&context.event);
        let mut input = RenderInput::default();
        for read in reads {
            let (target, source) = match read.root {
                Root::Event => (&mut input.event, &context.event),
                Root::Last => (&mut input.last, last),
                Root::Profile => (&mut input.profile, &self.profile.document),
                Root::Journey => {
                    let about = self.about(position);
                    for (name, value) in about.values(&read.path) {
                        input.journey.insert(name, value);
                    }
                    continue;
                }
                Root::Action | Root::Source | Root::Lookup => (&mut input.action, context.called()),
                Root::Meta | Root::With => continue,
            };
            copy_path(target, source, &read.path);
        }
        input.meta.insert("id", Value::Str(context.event_id.clone()));
        input.meta.insert("type", Value::Str(context.event_type.clone()));
        input.meta.insert("time", Value::Time(context.event_time));
        input
    }
}
