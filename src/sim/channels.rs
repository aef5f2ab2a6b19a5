//! The channels' side of deliveries, and the providers behind them. The worker pools of `channel` are asynchronous and
//! run on real time, so this is a model of their contract, step by step: which reports they make durable before which
//! byte leaves, what they do again after a failure, and what they make of a row that was under way when the process died.
//! The providers' sinks outlive every crash.

mod calls;
mod lines;
mod provider;
mod receipts;
mod recent;
mod sink;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::effect::{DeliveryOutcome, OutboxState};
use crate::domain::ids::{DeliveryId, Millis};
use crate::domain::journey::program::Channel;
use crate::domain::surface::InDoubt;
use crate::runtime::delivery::{Job, Recorded, Standing};
use crate::runtime::stepped::place_of;
use crate::sim::Violation;
use crate::sim::dice::Dice;
use crate::sim::history::{Fate, History};
use crate::sim::machine::Machine;
use provider::{Answer, Reply};
use receipts::{Receipt, report};
use recent::Recent;
use sink::content_of;

pub use calls::{answer, says};
pub use provider::{LONG_OUTAGE, Mood};
pub use sink::Taken;

/// Where a delivery stands in its channel.
enum Stage {
    /// Waits for an attempt.
    Waiting { due: Duration },
    /// The attempt is being journaled.
    Announcing(Receipt),
    /// Keyed: a repeat is being journaled; then it waits.
    Noting(Receipt),
    /// Journaled: the bytes may leave.
    Announced,
    /// They have left; what came of it is heard later.
    Answering { due: Duration, answer: Answer },
    /// A failed attempt is being journaled; then it waits.
    Retracting(Receipt),
    /// The outcome is being journaled.
    Settling(Receipt),
}

struct Delivery {
    job: Job,
    stage: Stage,
    attempts: u32,
    journaled: bool,
    first_attempt: Option<Duration>,
    age_at_offer_ms: i64,
    /// An earlier attempt may have delivered it.
    may_have_left: bool,
}

impl Delivery {
    /// Whether its receiver is taken to know the key: no mail server does.
    fn is_keyed(&self) -> bool {
        self.may_repeat() && self.job.row.channel != Channel::Email
    }

    /// Whether what may have left may leave again.
    fn may_repeat(&self) -> bool {
        self.job.surface.as_ref().is_none_or(|surface| surface.in_doubt == InDoubt::PreferDuplicate)
    }
}

/// The channels of a process, and the providers.
#[expect(missing_debug_implementations, reason = "holds receivers")]
pub struct Channels {
    deliveries: Vec<Delivery>,
    calls: Vec<calls::Call>,
    /// What calls have said, for ever.
    called: BTreeMap<DeliveryId, String>,
    /// What providers have taken, for ever.
    pub sink: BTreeMap<DeliveryId, Taken>,
    /// Emails that may be sent again because somebody said so.
    pub resent: BTreeMap<DeliveryId, u32>,
    /// How providers answer.
    pub mood: Mood,
    /// Which life of the process this is.
    pub life: u32,
    /// Attempts made.
    pub attempt_count: u64,
    /// Attempts that went wrong, by what did.
    pub faults: BTreeMap<&'static str, u64>,
    /// The providers stay as they are until then.
    pub mood_until: Option<Duration>,
    /// Profile and id of what came last.
    recent: Recent,
}

impl Channels {
    /// Nothing under way, nothing taken.
    pub fn new() -> Self {
        Self {
            deliveries: Vec::new(),
            calls: Vec::new(),
            called: BTreeMap::new(),
            sink: BTreeMap::new(),
            resent: BTreeMap::new(),
            mood: Mood::Well,
            life: 0,
            attempt_count: 0,
            faults: BTreeMap::new(),
            mood_until: None,
            recent: Recent::default(),
        }
    }

    /// Profile and id of a delivery that something may be heard of now, now and then.
    pub fn recent(&self, dice: &mut Dice) -> Option<(String, String)> {
        self.recent.draw(dice)
    }

    /// The process died: what was under way is its outbox's again.
    pub fn new_life(&mut self) {
        self.deliveries.clear();
        self.calls.clear();
        self.life += 1;
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.deliveries.is_empty() && self.calls.is_empty()
    }

    /// When the next attempt is due, or the next answer.
    pub fn next_due(&self) -> Option<Duration> {
        let due = |d: &Delivery| match d.stage {
            Stage::Waiting { due } | Stage::Answering { due, .. } => Some(due),
            _ => None,
        };
        self.deliveries.iter().filter_map(due).chain(self.next_answer()).min()
    }

    /// Takes over what shards have offered. What is offered must be durable, and open.
    pub fn take_offered(
        &mut self,
        machine: &Machine,
        history: &mut History,
        dice: &mut Dice,
        (now, steady): (Millis, Duration),
    ) -> Result<Vec<String>, Violation> {
        let offered: Vec<Job> = machine.queues.lock().offered.drain(..).collect();
        let mut told = self.take_calls(machine, history, dice, steady)?;
        for job in offered {
            let id = job.row.id;
            let Some(row) = history.book(id.partition).shadow.outbox.get(id) else {
                let fate = history.deliveries.get(&id);
                return Err(Violation::new(format!(
                    "delivery {id} is offered and is not in the durable outbox ({fate:?})"
                )));
            };
            let standing = match row.state {
                OutboxState::Pending => Standing::Fresh,
                OutboxState::Started => Standing::Resumed,
                OutboxState::InDoubt => {
                    return Err(Violation::new(format!("delivery {id} is offered while it is in doubt")));
                }
            };
            if job.standing != standing {
                return Err(Violation::new(format!(
                    "delivery {id} is offered as {:?} and is {standing:?}",
                    job.standing
                )));
            }
            // In doubt, decided about and offered again before its channel has heard that the doubt is durable.
            if let Some(held) =
                self.deliveries.iter().position(|d| d.job.row.id == id && matches!(d.stage, Stage::Settling(_)))
            {
                self.remove(held, machine);
            }
            if self.deliveries.iter().any(|d| d.job.row.id == id) {
                return Err(Violation::new(format!("delivery {id} is offered while its channel has it")));
            }
            history.offered.insert(id);
            self.recent.note(job.row.profile.to_string(), id.to_string());
            told.push(format!("{:?} takes {id} of {}", job.row.channel, job.row.profile));
            let age_at_offer_ms = job.row.first_attempt_at.map_or(0, |at| now.0.saturating_sub(at.0));
            let stage = Stage::Waiting { due: steady };
            self.deliveries.push(Delivery {
                journaled: job.row.first_attempt_at.is_some(),
                may_have_left: standing == Standing::Resumed,
                job,
                stage,
                attempts: 0,
                first_attempt: None,
                age_at_offer_ms,
            });
        }
        Ok(told)
    }

    /// Lets one delivery take a step; what it did.
    pub fn step(
        &mut self,
        machine: &Machine,
        history: &History,
        dice: &mut Dice,
        steady: Duration,
    ) -> Result<Option<String>, Violation> {
        if let Some(told) = self.step_calls(machine, history, steady)? {
            return Ok(Some(told));
        }
        let count = self.deliveries.len();
        if count == 0 {
            return Ok(None);
        }
        let first = dice.index(count);
        for index in (0..count).map(|n| (first + n) % count) {
            if let Some(told) = self.step_of(index, machine, history, dice, steady)? {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }

    fn step_of(
        &mut self,
        index: usize,
        machine: &Machine,
        history: &History,
        dice: &mut Dice,
        steady: Duration,
    ) -> Result<Option<String>, Violation> {
        let delivery = &mut self.deliveries[index];
        let id = delivery.job.row.id;
        let recorded = match &mut delivery.stage {
            Stage::Waiting { due } if *due <= steady => {
                return self.begin(index, machine, history, dice, steady).map(Some);
            }
            Stage::Answering { due, answer } if *due <= steady => {
                let answer = *answer;
                return Ok(Some(self.conclude(index, machine, dice, steady, answer)));
            }
            Stage::Waiting { .. } | Stage::Answering { .. } => return Ok(None),
            Stage::Announced => return self.attempt(index, machine, history, dice, steady).map(Some),
            Stage::Announcing(told) | Stage::Noting(told) | Stage::Retracting(told) | Stage::Settling(told) => {
                let Some(recorded) = told.hear() else { return Ok(None) };
                recorded
            }
        };
        if recorded == Recorded::RowGone {
            if history.deliveries.get(&id) == Some(&Fate::Open) {
                return Err(Violation::new(format!("delivery {id} is said to be gone and is in the durable outbox")));
            }
            self.remove(index, machine);
            return Ok(Some(format!("{id} was taken back")));
        }
        self.is_recorded(index, machine, history, dice, steady).map(Some)
    }

    /// What a channel told is in the journal: on with the delivery.
    fn is_recorded(
        &mut self,
        index: usize,
        machine: &Machine,
        history: &History,
        dice: &mut Dice,
        steady: Duration,
    ) -> Result<String, Violation> {
        let delivery = &mut self.deliveries[index];
        let id = delivery.job.row.id;
        let row = history.book(id.partition).shadow.outbox.get(id);
        match std::mem::replace(&mut delivery.stage, Stage::Announced) {
            Stage::Announcing(_) => {
                if row.is_none_or(|row| row.state != OutboxState::Started) {
                    return Err(Violation::new(format!("the attempt of {id} is said to be journaled: {row:?}")));
                }
                delivery.journaled = true;
                Ok(format!("{id}: attempt journaled"))
            }
            Stage::Noting(_) => {
                delivery.journaled = true;
                self.wait(index, dice, steady);
                Ok(format!("{id}: repeat journaled"))
            }
            Stage::Retracting(_) => {
                if self.is_too_old(index, steady) {
                    let gave_up = DeliveryOutcome::Failed { reason: "gave up".to_owned() };
                    return Ok(self.settle(index, machine, gave_up));
                }
                self.wait(index, dice, steady);
                Ok(format!("{id}: failed attempt journaled"))
            }
            Stage::Settling(_) => {
                // Of one in doubt somebody may have decided meanwhile.
                if let Some(row) = row
                    && row.state != OutboxState::InDoubt
                    && !self.resent.contains_key(&id)
                {
                    return Err(Violation::new(format!("{id} is said to be settled and its durable row is {row:?}")));
                }
                self.remove(index, machine);
                Ok(format!("{id} settled"))
            }
            Stage::Waiting { .. } | Stage::Announced | Stage::Answering { .. } => {
                unreachable!("they wait for no report")
            }
        }
    }

    fn remove(&mut self, index: usize, machine: &Machine) {
        let delivery = self.deliveries.remove(index);
        machine.queues.lock().held[place_of(delivery.job.row.channel)] -= 1;
    }

    fn wait(&mut self, index: usize, dice: &mut Dice, steady: Duration) {
        let delivery = &mut self.deliveries[index];
        delivery.attempts += 1;
        let longest = (1_000_u64 << delivery.attempts.min(10)).min(900_000);
        delivery.stage = Stage::Waiting { due: steady + Duration::from_millis(dice.below(longest)) };
    }

    /// Before an attempt: what is known of earlier ones decides.
    fn begin(
        &mut self,
        index: usize,
        machine: &Machine,
        history: &History,
        dice: &mut Dice,
        steady: Duration,
    ) -> Result<String, Violation> {
        let delivery = &mut self.deliveries[index];
        let (job, id) = (&delivery.job, delivery.job.row.id);
        let policy = job.surface.as_ref().map_or(InDoubt::PreferDuplicate, |surface| surface.in_doubt);
        if delivery.attempts == 0 && job.standing == Standing::Resumed {
            let reason = "an attempt was under way when the server stopped".to_owned();
            match policy {
                InDoubt::Hold => return Ok(self.settle(index, machine, DeliveryOutcome::InDoubt { reason })),
                InDoubt::PreferLoss => return Ok(self.settle(index, machine, DeliveryOutcome::Failed { reason })),
                InDoubt::PreferDuplicate if job.row.channel == Channel::Webhook && self.is_too_old(index, steady) => {
                    return Ok(self.settle(index, machine, DeliveryOutcome::InDoubt { reason }));
                }
                InDoubt::PreferDuplicate => {}
            }
        }
        let delivery = &mut self.deliveries[index];
        delivery.first_attempt.get_or_insert(steady);
        if delivery.is_keyed() {
            return self.attempt(index, machine, history, dice, steady);
        }
        if self.mood == Mood::Out || (self.mood == Mood::Moody && dice.chance(10)) {
            // The connection comes before the announcement: a relay that is down costs the journal nothing.
            self.fault("network: no connection to a provider");
            return Ok(self.again(index, machine, dice, steady, "no connection"));
        }
        let told = report(machine, id, DeliveryOutcome::AttemptStarted);
        self.deliveries[index].stage = Stage::Announcing(told);
        Ok(format!("{id}: attempt announced"))
    }

    fn is_too_old(&self, index: usize, steady: Duration) -> bool {
        let delivery = &self.deliveries[index];
        let retry_for_ms = delivery.job.surface.as_ref().map_or(i64::MAX, |surface| surface.retry_for_ms);
        let since = delivery.first_attempt.map_or(0, |at| (steady - at).as_millis() as i64);
        delivery.age_at_offer_ms.saturating_add(since) >= retry_for_ms
    }

    fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// The bytes leave.
    fn attempt(
        &mut self,
        index: usize,
        machine: &Machine,
        history: &History,
        dice: &mut Dice,
        steady: Duration,
    ) -> Result<String, Violation> {
        self.attempt_count += 1;
        let delivery = &self.deliveries[index];
        let row = std::sync::Arc::clone(&delivery.job.row);
        let is_keyed = delivery.is_keyed();
        let durable = history.book(row.id.partition).shadow.outbox.get(row.id);
        if history.deliveries.get(&row.id) != Some(&Fate::Open) || durable.is_none() {
            return Err(Violation::new(format!("delivery {} leaves and is not open", row.id)));
        }
        if !is_keyed && durable.is_some_and(|row| row.state != OutboxState::Started) {
            return Err(Violation::new(format!("delivery {} leaves by a channel without keys, unannounced", row.id)));
        }
        if row.channel == Channel::Log {
            return self.write_lines(index, machine, history, dice, steady);
        }
        let bytes = content_of(&row, &delivery.job.message).len() as u64;
        let reply = Reply::draw(self.mood, bytes, dice);
        if let Some(fault) = reply.fault {
            self.fault(fault);
        }
        if matches!(reply.answer, Answer::Taken | Answer::TakenUnheard) {
            self.check_content(index)?;
            self.arrive(index)?;
        }
        if reply.after > Duration::ZERO {
            self.deliveries[index].stage = Stage::Answering { due: steady + reply.after, answer: reply.answer };
            return Ok(format!("{}: {:?}, to be heard in {:?}", row.id, reply.answer, reply.after));
        }
        Ok(self.conclude(index, machine, dice, steady, reply.answer))
    }

    /// What the channel makes of an answer.
    fn conclude(
        &mut self,
        index: usize,
        machine: &Machine,
        dice: &mut Dice,
        steady: Duration,
        answer: Answer,
    ) -> String {
        let row = std::sync::Arc::clone(&self.deliveries[index].job.row);
        let is_keyed = self.deliveries[index].is_keyed();
        let reason = format!("{answer:?}");
        match answer {
            Answer::Taken => self.settle(index, machine, DeliveryOutcome::Sent),
            Answer::Refused => self.settle(index, machine, DeliveryOutcome::Failed { reason }),
            Answer::TakenUnheard | Answer::LostUnheard if !is_keyed => {
                let policy = self.deliveries[index].job.surface.as_ref().map_or(InDoubt::Hold, |s| s.in_doubt);
                match policy {
                    InDoubt::PreferLoss => self.settle(index, machine, DeliveryOutcome::Failed { reason }),
                    InDoubt::Hold => self.settle(index, machine, DeliveryOutcome::InDoubt { reason }),
                    // The journal knows of an attempt already.
                    InDoubt::PreferDuplicate => {
                        self.deliveries[index].may_have_left = true;
                        self.again(index, machine, dice, steady, &reason)
                    }
                }
            }
            Answer::Later if !is_keyed && !self.deliveries[index].may_have_left => {
                let told = report(machine, row.id, DeliveryOutcome::AttemptFailed { reason });
                self.deliveries[index].stage = Stage::Retracting(told);
                format!("{}: not now", row.id)
            }
            Answer::Later | Answer::TakenUnheard | Answer::LostUnheard => {
                self.again(index, machine, dice, steady, &reason)
            }
        }
    }

    fn again(&mut self, index: usize, machine: &Machine, dice: &mut Dice, steady: Duration, reason: &str) -> String {
        let delivery = &self.deliveries[index];
        let id = delivery.job.row.id;
        if self.is_too_old(index, steady) {
            return self.settle(index, machine, DeliveryOutcome::Failed { reason: format!("gave up: {reason}") });
        }
        let is_keyed = delivery.is_keyed();
        if is_keyed && !delivery.journaled {
            let told = report(machine, id, DeliveryOutcome::AttemptStarted);
            self.deliveries[index].stage = Stage::Noting(told);
        } else {
            self.wait(index, dice, steady);
        }
        format!("{id}: {reason}, again later")
    }

    fn settle(&mut self, index: usize, machine: &Machine, outcome: DeliveryOutcome) -> String {
        let id = self.deliveries[index].job.row.id;
        let text = format!("{id}: {outcome:?}");
        self.deliveries[index].stage = Stage::Settling(report(machine, id, outcome));
        text
    }
}

impl Default for Channels {
    fn default() -> Self {
        Self::new()
    }
}
