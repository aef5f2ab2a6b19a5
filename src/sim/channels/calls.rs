//! Calls of custom actions, and the endpoint behind them. Like the rest of [`channels`](super) a model of the channel's
//! contract: one answer for each call, the same key and words at every attempt, in this life of the process and the next.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use crate::domain::effect::{CallAnswer, CallStatus, DeliveryOutcome, OutboxState};
use crate::domain::endpoint::Deployment;
use crate::domain::expression::EvalError;
use crate::domain::ids::{DeliveryId, stable_hash};
use crate::domain::journey::action::Request;
use crate::domain::limits::{CALL_RETRIES_MAX, THROTTLED_MS_MAX};
use crate::domain::value::Value;
use crate::runtime::delivery::{CallJob, Recorded};
use crate::sim::Violation;
use crate::sim::channels::Channels;
use crate::sim::channels::provider::Mood;
use crate::sim::channels::receipts::{Receipt, report};
use crate::sim::dice::Dice;
use crate::sim::history::{Fate, History};
use crate::sim::machine::Machine;

/// The code of an answer without a body.
const SILENT: u16 = 204;

/// A call that the channel has.
pub(super) struct Call {
    job: CallJob,
    stage: Stage,
}

enum Stage {
    /// It is answered then.
    Calling(Duration, CallStatus),
    /// The answer is being journaled.
    Settling(Receipt),
}

/// What the endpoint says about a call of this id: the same whenever it is asked.
pub fn says(delivery: &str, is_error: bool) -> Map<String, Json> {
    let drawn = stable_hash(&[delivery.as_bytes()]) as u64;
    let answer = match (is_error, drawn % 4) {
        (_, 0) => json!({}),
        (false, which) => {
            let level = ["gold", "silver", "a"][which as usize - 1];
            json!({ "level": level, "points": drawn % 7 })
        }
        (true, which) => json!({ "code": format!("E{which}") }),
    };
    let Json::Object(answer) = answer else { unreachable!("both are objects") };
    answer
}

/// The answer to a call that ends so.
pub fn answer(id: DeliveryId, status: CallStatus) -> CallAnswer {
    if status == CallStatus::Http(SILENT) || !matches!(status, CallStatus::Http(_)) {
        return CallAnswer::empty(status);
    }
    match Value::from_json(&Json::Object(says(&id.to_string(), status.is_error()))) {
        Value::Map(fields) => CallAnswer { fields, ..CallAnswer::empty(status) },
        other => unreachable!("an object is no {other:?}"),
    }
}

/// A call brings along the limits that the newest catalog it knows has: cappings, and the rate that is deployed.
fn check_limits(job: &CallJob, history: &History) -> Result<(), Violation> {
    let Some(catalog) = history.catalogs.get(&job.catalog) else {
        return Err(Violation::new(format!("call {} is offered by a catalog that is not durable", job.row.id)));
    };
    if catalog.cappings != job.cappings {
        let wrong =
            format!("call {} is capped by {:?}; published are {:?}", job.row.id, job.cappings, catalog.cappings);
        return Err(Violation::new(wrong));
    }
    let mut deployed = catalog.throttlings.values().filter(|one| one.deployment == Deployment::Deployed);
    let (first, second) = (deployed.next(), deployed.next());
    if second.is_some() || first != job.throttling.as_ref() {
        let wrong = format!("call {} is throttled by {:?}; deployed is {first:?}", job.row.id, job.throttling);
        return Err(Violation::new(wrong));
    }
    Ok(())
}

/// A call says what the version that decided it says, whatever was published since.
fn check_words(job: &CallJob, request: &Result<Request, EvalError>, history: &History) -> Result<(), Violation> {
    let Some(catalog) = history.catalogs.get(&job.catalog) else { return Ok(()) };
    let action = &catalog.program(job.row.version).actions[usize::from(job.row.message)];
    let decided = action.request(&job.row.input.action, job.row.decided_at);
    if (job.action.method, request) != (action.method, &decided) {
        return Err(Violation::new(format!("call {} says {request:?}; decided was {decided:?}", job.row.id)));
    }
    Ok(())
}

impl Channels {
    /// Takes over the calls that shards have offered.
    pub(super) fn take_calls(
        &mut self,
        machine: &Machine,
        history: &mut History,
        dice: &mut Dice,
        steady: Duration,
    ) -> Result<Vec<String>, Violation> {
        let offered: Vec<CallJob> = machine.queues.lock().calls.drain(..).collect();
        let mut told = Vec::new();
        for job in offered {
            let id = job.row.id;
            let durable = history.book(id.partition).shadow.outbox.get(id);
            if durable.is_none_or(|row| row.state != OutboxState::Pending) {
                return Err(Violation::new(format!("call {id} is offered and is not open: {durable:?}")));
            }
            if self.calls.iter().any(|call| call.job.row.id == id) {
                return Err(Violation::new(format!("call {id} is offered while its channel has it")));
            }
            history.offered.insert(id);
            check_limits(&job, history)?;
            let request = job.action.request(&job.row.input.action, job.row.decided_at);
            check_words(&job, &request, history)?;
            let words = format!("{} {request:?}", job.action.name);
            let before = self.called.entry(id).or_insert_with(|| words.clone());
            if *before != words {
                return Err(Violation::new(format!("call {id} said {before:?} and says {words:?} now")));
            }
            // What can't be said, a path with a null in it, is not asked.
            let unsaid = request.is_err().then_some((Duration::ZERO, CallStatus::InternalError));
            let (after, status) = unsaid.unwrap_or_else(|| self.outcome(&job, dice));
            told.push(format!("{id} of {} is called: {status} in {after:?}", job.row.profile));
            self.calls.push(Call { job, stage: Stage::Calling(steady + after, status) });
        }
        Ok(told)
    }

    /// How long a call takes with all its retries, and how it ends.
    fn outcome(&mut self, job: &CallJob, dice: &mut Dice) -> (Duration, CallStatus) {
        let timeout_ms = job.timeout_ms as u64;
        let mut spent_ms = 0;
        if job.throttling.is_some() && self.mood != Mood::Well && dice.chance(30) {
            self.fault("endpoint: throttled");
            spent_ms = dice.below(THROTTLED_MS_MAX as u64 * 11 / 10);
            if spent_ms >= THROTTLED_MS_MAX as u64 {
                return (Duration::from_millis(THROTTLED_MS_MAX as u64), CallStatus::Capped);
            }
        }
        let began_ms = spent_ms;
        for _ in 0..=CALL_RETRIES_MAX {
            self.attempt_count += 1;
            let (status, takes_ms) = match (self.mood, dice.below(12)) {
                (Mood::Well, _) | (Mood::Moody, 6..) => (Some(CallStatus::Http(200)), dice.below(50)),
                (Mood::Out, 0..6) | (Mood::Moody, 0) => (None, u64::MAX),
                (Mood::Moody, 1) => (Some(CallStatus::Http(*dice.pick(&[401, 403, 404]))), 3),
                (Mood::Moody, 2) => (Some(CallStatus::Capped), 0),
                (Mood::Moody, 3) => (Some(CallStatus::InternalError), 0),
                (Mood::Moody, 4) => {
                    let takes_ms = dice.below(40_000);
                    (Some(CallStatus::Http(if takes_ms.is_multiple_of(2) { 201 } else { SILENT })), takes_ms)
                }
                (Mood::Out | Mood::Moody, _) => (Some(CallStatus::Http(503)), dice.below(2_000)),
            };
            spent_ms = u64::saturating_add(spent_ms, takes_ms);
            if status.is_none() || spent_ms - began_ms >= timeout_ms {
                self.fault("endpoint: no answer in time");
                return (Duration::from_millis(began_ms + timeout_ms), CallStatus::TimedOut);
            }
            match status {
                Some(CallStatus::Http(503)) => self.fault("endpoint: 5xx"),
                Some(status) => return (Duration::from_millis(spent_ms), status),
                None => {}
            }
        }
        (Duration::from_millis(spent_ms), CallStatus::Http(503))
    }

    /// Lets one call take a step; what it did.
    pub(super) fn step_calls(
        &mut self,
        machine: &Machine,
        history: &History,
        steady: Duration,
    ) -> Result<Option<String>, Violation> {
        for index in 0..self.calls.len() {
            let call = &mut self.calls[index];
            let id = call.job.row.id;
            match &call.stage {
                Stage::Calling(due, status) if *due <= steady => {
                    let status = *status;
                    call.stage =
                        Stage::Settling(report(machine, id, DeliveryOutcome::Answered(Box::new(answer(id, status)))));
                    return Ok(Some(format!("{id} is answered: {status}")));
                }
                Stage::Calling(..) => {}
                Stage::Settling(told) => {
                    let Some(recorded) = told.hear() else { continue };
                    let is_open = history.deliveries.get(&id) == Some(&Fate::Open);
                    if is_open {
                        return Err(Violation::new(format!("call {id} is said to be {recorded:?} and is open")));
                    }
                    self.remove_call(index, machine);
                    let what = if recorded == Recorded::RowGone { "was taken back" } else { "settled" };
                    return Ok(Some(format!("{id} {what}")));
                }
            }
        }
        Ok(None)
    }

    fn remove_call(&mut self, index: usize, machine: &Machine) {
        let call = self.calls.remove(index);
        machine.queues.lock().held[crate::runtime::stepped::place_of(call.job.row.channel)] -= 1;
    }

    /// When the next call is answered.
    pub(super) fn next_answer(&self) -> Option<Duration> {
        let due = |call: &Call| match call.stage {
            Stage::Calling(due, _) => Some(due),
            Stage::Settling(_) => None,
        };
        self.calls.iter().filter_map(due).min()
    }
}
