//! From one input to one record: repeats, decision, images. Everything here happens before the commit, so nothing
//! here may be seen from outside until the block it writes to is durable (design §4 rule 1).

use smol_str::SmolStr;

use crate::domain::apply::{self, Calls, EventInput, Firing, Outcome, World};
use crate::domain::catalog::Catalog;
use crate::domain::effect::{DeliveryOutcome, DeliveryReport, OutboxRow, OutboxState};
use crate::domain::event::{Event, EventError, PROFILE_UPDATE};
use crate::domain::ids::{DeliveryId, HashKey, Millis, OwnershipEpoch, PartitionId, ProfileKey, Pseq, SandboxId};
use crate::domain::journey::program::Channel;
use crate::domain::profile::Profile;
use crate::domain::step::{MessageOutcome, Step, StepKind};
use crate::planted::{Bug, is_planted};
use crate::runtime::api::EventStatus;
use crate::runtime::partition::awake::Awake;
use crate::runtime::partition::dedup::Novelty;
use crate::runtime::partition::install::timers_of;
use crate::runtime::partition::mail::ParcelName;
use crate::runtime::partition::outbox::{Hand, state_change};
use crate::runtime::partition::table::{Rewrite, Slot};
use crate::runtime::partition::{Partition, chain_share};
use crate::runtime::view::Resolution;
use crate::store::timers::TimerEntry;
use crate::wire::component::{blank, blank_profile, put_changes};
use crate::wire::cursor::WireError;
use crate::wire::mail::MailChange;
use crate::wire::outbox::OutboxChange;
use crate::wire::record::{Draft, EventView, Head, Mark, RecordKind, put_plain_record, put_profile_record};
use crate::wire::value::map_from;

/// Settings a decision depends on; the same for every partition.
#[derive(Clone, Debug, PartialEq)]
pub struct DecideConfig {
    /// How long ids of unsequenced events are known, in milliseconds of engine time.
    pub id_window_ms: i64,
    /// Ids one partition keeps at most.
    pub ids_max: usize,
    /// Outbox rows of one partition for one surface; beyond it instances park.
    pub outbox_rows_max: usize,
    /// Profiles that pauses hold at actions in one partition; beyond it they leave.
    pub held_max: u64,
    /// Entrants that wait for the end of a pause in one partition; beyond it they are discarded.
    pub entrants_max: u64,
    /// Whose instant a fired timer's decisions carry.
    pub firing: Firing,
    /// What becomes of calls of custom actions.
    pub calls: Calls,
    /// Partitions of the data directory.
    pub partitions: u16,
    /// Keys profiles.
    pub hash_key: HashKey,
}

/// What a decision needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Settings.
    pub config: &'a DecideConfig,
    /// What is published.
    pub catalog: &'a Catalog,
    /// Engine time.
    pub now: Millis,
}

/// Records on their way to the journal, and what follows once they are durable.
#[derive(Debug, Default)]
pub struct Draught {
    /// Records, one behind the other.
    pub bytes: Vec<u8>,
    /// Last pseq of each partition in it.
    pub spans: Vec<(PartitionId, Pseq)>,
    /// Timers set that the wheel takes, by partition. Those due later are with the partition's horizon.
    pub timers: Vec<(PartitionId, TimerEntry)>,
    /// How many timers of the wheel no longer count.
    pub stale_timers: usize,
    /// Outbox rows decided.
    pub sends: Vec<DeliveryId>,
    /// Parcels for other partitions decided.
    pub parcels: Vec<ParcelName>,
    /// How many more rows the outbox has than before.
    pub rows_added: isize,
    pub(super) outcome: Outcome,
    components: Vec<u8>,
    pub(super) outbox: Vec<OutboxChange>,
    /// Memory of the profile that was awake last.
    bed: Option<Box<Profile>>,
}

impl Draught {
    /// Memory for a profile to wake in.
    pub(super) fn bed(&mut self, key: ProfileKey) -> Box<Profile> {
        match self.bed.take() {
            Some(mut profile) => {
                blank(&mut profile, key);
                profile
            }
            None => Box::new(blank_profile(key)),
        }
    }
}

impl Partition {
    /// Handles an event that is valid in itself.
    pub fn decide_event(
        &mut self,
        event: &Event,
        key: ProfileKey,
        mark: Mark,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) -> Result<EventStatus, WireError> {
        match self.dedup.judge(&mark, about.now, about.config.ids_max) {
            Novelty::New => {}
            Novelty::Repeated => {
                self.events += u64::from(is_planted(Bug::DuplicateCounted));
                return Ok(EventStatus::Duplicate);
            }
            Novelty::NoRoom => return Ok(EventStatus::Deferred),
        }
        let view = EventView { id: &event.id, kind: &event.kind, time: event.time, properties: &event.properties };
        let update = event.kind == PROFILE_UPDATE;
        if !update && !about.catalog.listens(&event.kind) {
            draught.outcome.clear();
            self.write(None, Some(mark), Some(view), key, about, draught);
            return Ok(EventStatus::Accepted);
        }
        let properties = match map_from(&event.properties) {
            Ok(map) => map,
            Err(error) => {
                return Ok(EventStatus::Rejected(EventError::new("bad_properties", error.to_string())));
            }
        };
        let mut awake = Awake::wake(self, key, &event.profile, draught, about)?;
        draught.outcome.clear();
        let world = self.world(about);
        let room = |room: apply::Room<'_>| self.has_room(room, about.config);
        let world = World { room: &room, spent: self.mail.spent(), ..world };
        if update {
            if let Err(error) =
                apply::apply_update(&mut awake.profile, &properties, about.now, world, &mut draught.outcome)
            {
                // Timers that were due fired all the same: they will fire again from their rows.
                return Ok(EventStatus::Rejected(EventError::new("document_too_large", error.to_string())));
            }
        } else {
            let input = EventInput {
                id: &event.id,
                kind: &event.kind,
                time: event.time.unwrap_or(about.now),
                properties: &properties,
                also: &[],
            };
            apply::apply_event(&mut awake.profile, input, about.now, world, &mut draught.outcome);
        }
        self.write(Some(awake), Some(mark), Some(view), key, about, draught);
        Ok(EventStatus::Accepted)
    }

    /// Fires what is due of a profile whose timer came up. A stale timer changes nothing.
    pub fn decide_timer(
        &mut self,
        timer: &TimerEntry,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) -> Result<(), WireError> {
        let Some(slot) = self.table.named(timer) else {
            let of_instance = |t: &TimerEntry| t.key == timer.key && t.ordinal == timer.ordinal;
            // The closure: in an honest program nobody walks the table for a stale timer.
            let stale = is_planted(Bug::StaleTimerFires).then(|| self.table.timers().find(of_instance)).flatten();
            if let Some(stale) = stale {
                return self.decide_due(timer.key, Circumstances { now: about.now.max(stale.due), ..about }, draught);
            }
            return Ok(());
        };
        self.decide_due_at(slot, about, draught)
    }

    /// Fires what is due of a profile and ends its instances in stopped versions.
    pub fn decide_due(
        &mut self,
        key: ProfileKey,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) -> Result<(), WireError> {
        let Some(slot) = self.table.find(key) else { return Ok(()) };
        self.decide_due_at(slot, about, draught)
    }

    fn decide_due_at(&mut self, slot: Slot, about: Circumstances<'_>, draught: &mut Draught) -> Result<(), WireError> {
        let mut awake = Awake::wake_slot(self, slot, draught, about)?;
        let key = awake.profile.key;
        draught.outcome.clear();
        let room = |room: apply::Room<'_>| self.has_room(room, about.config);
        let world = World { room: &room, spent: self.mail.spent(), ..self.world(about) };
        apply::apply_timers(&mut awake.profile, about.now, world, &mut draught.outcome);
        if !draught.outcome.steps.is_empty() || !awake.profile.changes.is_empty() {
            self.write(Some(awake), None, None, key, about, draught);
        }
        Ok(())
    }

    /// Takes in what a channel reports. A report on a row that is gone changes nothing.
    pub fn decide_report(
        &mut self,
        report: &DeliveryReport,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) -> Result<(), WireError> {
        let Some(row) = self.outbox.get(report.id).cloned() else { return Ok(()) };
        draught.outcome.clear();
        let doubtful = row.state == OutboxState::InDoubt;
        let is_open = matches!(report.outcome, DeliveryOutcome::AttemptStarted | DeliveryOutcome::AttemptFailed { .. });
        if doubtful && is_open {
            // The channel goes on with it after all: each doubt is counted once and resolved once.
            draught.outcome.steps.push(message_step(&row, MessageOutcome::Resolved));
        }
        match &report.outcome {
            DeliveryOutcome::AttemptStarted if is_planted(Bug::AttemptNotJournaled) => {}
            DeliveryOutcome::AttemptStarted => {
                let first = row.first_attempt_at.or(Some(about.now));
                draught.outbox.push(state_change(&row, OutboxState::Started, first));
            }
            DeliveryOutcome::AttemptFailed { .. } => {
                draught.outbox.push(state_change(&row, OutboxState::Pending, row.first_attempt_at));
            }
            DeliveryOutcome::Sent => self.settle(&row, MessageOutcome::Sent, None, doubtful.into(), draught),
            DeliveryOutcome::Failed { reason } => {
                self.settle(&row, MessageOutcome::Failed, Some(reason), doubtful.into(), draught);
            }
            DeliveryOutcome::Answered(answer) => return self.decide_answer(&row, answer, about, draught),
            DeliveryOutcome::InDoubt { reason } => {
                if doubtful {
                    return Ok(());
                }
                note(draught, reason);
                draught.outcome.steps.push(message_step(&row, MessageOutcome::InDoubt));
                draught.outbox.push(state_change(&row, OutboxState::InDoubt, row.first_attempt_at));
            }
        }
        self.write_outbox(&row, about, draught);
        Ok(())
    }

    /// Carries out what an operator decided about a row in doubt; whether it was in doubt.
    pub fn decide_resolution(
        &mut self,
        id: DeliveryId,
        resolution: Resolution,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) -> bool {
        let Some(row) = self.outbox.get(id).filter(|r| r.state == OutboxState::InDoubt).cloned() else {
            return false;
        };
        draught.outcome.clear();
        match resolution {
            Resolution::Sent => self.settle(&row, MessageOutcome::Sent, None, Doubt::Resolved, draught),
            Resolution::Drop => {
                let reason = "dropped by an operator".to_owned();
                self.settle(&row, MessageOutcome::Failed, Some(&reason), Doubt::Resolved, draught);
            }
            Resolution::Resend => {
                draught.outcome.steps.push(message_step(&row, MessageOutcome::Resolved));
                draught.outbox.push(state_change(&row, OutboxState::Pending, row.first_attempt_at));
                draught.sends.push(row.id);
                // ORDER: nobody offers it before this decision is durable, and then once.
                self.outbox.set_hand(row.id, Hand::Ours);
            }
        }
        self.write_outbox(&row, about, draught);
        true
    }

    /// Takes the partition over: from here on records carry the new epoch.
    pub fn decide_ownership(&mut self, epoch: OwnershipEpoch, about: Circumstances<'_>, draught: &mut Draught) {
        assert!(epoch > self.epoch, "an owner's epoch is above the last");
        self.epoch = epoch;
        if is_planted(Bug::EpochNotJournaled) {
            return;
        }
        let head = self.next_head(RecordKind::Ownership, ProfileKey::default(), about, draught);
        put_plain_record(&mut draught.bytes, &head, &[]);
    }

    /// Writes the catalog into the system partition.
    pub fn decide_catalog(&mut self, payload: &[u8], about: Circumstances<'_>, draught: &mut Draught) {
        assert!(self.id == PartitionId::SYSTEM, "only the system partition holds the catalog");
        let head = self.next_head(RecordKind::Catalog, ProfileKey::default(), about, draught);
        put_plain_record(&mut draught.bytes, &head, payload);
        self.catalog_record = payload.to_vec();
    }

    fn settle(
        &self,
        row: &OutboxRow,
        outcome: MessageOutcome,
        reason: Option<&String>,
        doubt: Doubt,
        draught: &mut Draught,
    ) {
        if doubt == Doubt::Resolved {
            draught.outcome.steps.push(message_step(row, MessageOutcome::Resolved));
        }
        if let Some(reason) = reason {
            note(draught, reason);
        }
        draught.outcome.steps.push(message_step(row, outcome));
        if is_planted(Bug::ReportCountedTwice) {
            draught.outcome.steps.push(message_step(row, outcome));
        }
        draught.outbox.push(OutboxChange::Gone(row.id));
    }

    fn write_outbox(&mut self, row: &OutboxRow, about: Circumstances<'_>, draught: &mut Draught) {
        let key = profile_key(row, about);
        self.write(None, None, None, key, about, draught);
    }

    pub(super) fn world<'a>(&self, about: Circumstances<'a>) -> World<'a> {
        World {
            catalog: about.catalog,
            sandbox: SandboxId::DEFAULT,
            partition: self.id,
            firing: about.config.firing,
            calls: &about.config.calls,
            room: &|_| true,
            spent: World::NONE_SPENT,
        }
    }

    fn next_head(
        &mut self,
        kind: RecordKind,
        key: ProfileKey,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) -> Head {
        self.pseq = Pseq(self.pseq.0 + 1);
        self.engine_time = if is_planted(Bug::TimeGoesBack) { about.now } else { self.engine_time.max(about.now) };
        match draught.spans.get_mut(self.span) {
            Some((id, last)) if *id == self.id => *last = self.pseq,
            _ => {
                self.span = draught.spans.len();
                draught.spans.push((self.id, self.pseq));
            }
        }
        Head {
            kind,
            partition: self.id,
            pseq: self.pseq,
            engine_time: self.engine_time,
            catalog: about.catalog.version,
            epoch: self.epoch,
            key,
        }
    }

    /// Writes the record of one input and makes its images the partition's state.
    pub(super) fn write(
        &mut self,
        awake: Option<Awake>,
        mark: Option<Mark>,
        event: Option<EventView<'_>>,
        key: ProfileKey,
        about: Circumstances<'_>,
        draught: &mut Draught,
    ) {
        let head = self.next_head(RecordKind::Profile, key, about, draught);
        self.take_effects(key, about, draught);
        draught.components.clear();
        if let Some(awake) = awake {
            self.passivate(awake, draught);
        }
        put_profile_record(
            &mut draught.bytes,
            &Draft {
                head,
                mark,
                event,
                steps: &draught.outcome.steps,
                notes: &draught.outcome.notes,
                outbox: &draught.outbox,
                components: &draught.components,
            },
        );
        for step in &draught.outcome.steps {
            self.counts.count(step);
        }
        let rows_before = self.outbox.len();
        for change in draught.outbox.drain(..) {
            if let OutboxChange::Mail(change) = &change {
                if let MailChange::Sent { to, pseq, .. } = **change {
                    draught.parcels.push(ParcelName { from: self.id, to, pseq });
                }
                self.mail.install(change);
                continue;
            }
            self.outbox.install(change, |row| surface_of(about.catalog, row));
        }
        draught.rows_added += self.outbox.len() as isize - rows_before as isize;
        if let Some(mark) = mark {
            self.dedup.remember(&mark, self.engine_time);
        }
        self.events += u64::from(event.is_some());
        draught.outcome.clear();
    }

    /// Encodes what changed and puts the profile back to sleep.
    fn passivate(&mut self, awake: Awake, draught: &mut Draught) {
        let Awake { profile, slot, chain_before, stood } = awake;
        let changes = &profile.changes;
        let worth_keeping = slot.is_some() || !draught.outcome.steps.is_empty() || !profile.document.is_empty();
        if !changes.is_empty() && worth_keeping {
            if changes.chain {
                let (before, after) = (chain_share(chain_before), chain_share(profile.chain));
                self.hash_sum = self.hash_sum.wrapping_sub(before).wrapping_add(after);
            }
            put_changes(&mut draught.components, &profile, changes);
            self.table.store(slot, &profile, Rewrite::Changed(changes));
            let id = self.id;
            draught.stale_timers +=
                self.reschedule(&stood, &timers_of(&profile), |timer| draught.timers.push((id, timer)));
        }
        draught.bed = Some(profile);
    }
}

/// The surface a row leaves by, or the queue of its action.
pub fn surface_of(catalog: &Catalog, row: &OutboxRow) -> Option<SmolStr> {
    let (program, index) = (catalog.program(row.version), usize::from(row.message));
    match row.channel {
        Channel::Call => program.actions.get(index).map(|action| action.queue.clone()),
        _ => program.messages.get(index).and_then(|message| message.surface.clone()),
    }
}

/// The key of the profile that a row is of.
pub(super) fn profile_key(row: &OutboxRow, about: Circumstances<'_>) -> ProfileKey {
    let (namespace, value) = row.profile.split_once(':').unwrap_or(("", &row.profile));
    about.config.hash_key.profile_key(SandboxId::DEFAULT, namespace, value)
}

/// Whether a settled row was in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    Resolved,
}

impl From<bool> for Doubt {
    fn from(doubtful: bool) -> Self {
        if doubtful { Self::Resolved } else { Self::None }
    }
}

/// A call that is taken back leaves no trace: only its end is a step.
pub(super) fn cancelled_step(row: &OutboxRow) -> Option<Step> {
    (row.channel != Channel::Call).then(|| message_step(row, MessageOutcome::Cancelled))
}

fn message_step(row: &OutboxRow, outcome: MessageOutcome) -> Step {
    Step {
        version: row.version,
        node: row.node,
        ordinal: row.entry_ordinal,
        kind: StepKind::Message { message: row.message, outcome },
        due: Millis::NEVER,
    }
}

/// Attaches `text` to the step that is pushed next.
fn note(draught: &mut Draught, text: &str) {
    draught.outcome.notes.push((draught.outcome.steps.len(), text.to_owned()));
}
