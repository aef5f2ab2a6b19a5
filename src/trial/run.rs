//! One test: its events at their times, timers in between one instant after the other, then on to the end of time.

use std::sync::Arc;

use crate::domain::catalog::Catalog;
use crate::domain::event::{Event, FEEDBACK_DELIVERY};
use crate::domain::ids::Millis;
use crate::domain::journey::findings::Place;
use crate::domain::journey::trial::{Trial, TrialInput};
use crate::domain::value::{Map, Value};
use crate::runtime::api::EventStatus;
use crate::trial::judge::{Judge, Mismatch};
use crate::trial::machine::{Machine, MachineError};
use crate::trial::record::Account;
use crate::wire::value::put_map;

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was expected and did not happen; none: it passed.
    pub mismatches: Vec<Mismatch>,
}

/// Runs one test with what `catalog` publishes.
///
/// # Errors
/// It could not be run: an error of Sojourn itself.
pub fn run(trial: &Trial, catalog: &Arc<Catalog>) -> Result<Outcome, MachineError> {
    let mut machine = Machine::start(catalog)?.answering(trial.answers.clone());
    let mut account = Account::default();
    let mut refused: Vec<(Place, String)> = Vec::new();
    for input in &trial.inputs {
        let at = input.at;
        if trial.until.is_some_and(|until| at > until) {
            refused.push((input.place, "this event comes after the test's `until`".to_owned()));
            continue;
        }
        pass(&mut machine, Some(at), &mut account)?;
        let event = match &input.of {
            None => event_of(input, &input.properties),
            Some(of) => match account.delivery(trial, &input.profile, of) {
                Some(delivery) => {
                    let mut properties = input.properties.clone();
                    properties.insert(FEEDBACK_DELIVERY, Value::Str(delivery));
                    event_of(input, &properties)
                }
                None => {
                    refused.push((input.place, format!("node `{of}` has sent nothing by then")));
                    continue;
                }
            },
        };
        if let Err(error) = event.validate() {
            refused.push((input.place, format!("the event was refused: {error}")));
            continue;
        }
        match machine.submit(event, at, &mut account)? {
            EventStatus::Accepted | EventStatus::Duplicate => {}
            EventStatus::Rejected(error) => refused.push((input.place, format!("the event was refused: {error}"))),
            EventStatus::Deferred => refused.push((input.place, "the event was deferred".to_owned())),
        }
    }
    pass(&mut machine, trial.until, &mut account)?;
    let documents = machine.profiles(&mut account)?;
    account.documents = documents.into_iter().map(|profile| (profile.key, profile.document)).collect();
    let judge = Judge { trial, catalog, account: &account };
    Ok(Outcome { mismatches: judge.judge(refused) })
}

/// Lets timers due by `until` fire, one instant after the other, so that what each sends has left before the next.
fn pass(machine: &mut Machine, until: Option<Millis>, account: &mut Account) -> Result<(), MachineError> {
    while let Some(due) = machine.next_due(account)? {
        if until.is_some_and(|until| due > until) {
            break;
        }
        machine.advance(due, account)?;
    }
    Ok(())
}

fn event_of(input: &TrialInput, properties: &Map) -> Event {
    let mut bytes = Vec::new();
    put_map(&mut bytes, properties);
    Event {
        id: input.id.clone(),
        kind: input.kind.clone(),
        profile: input.profile.clone(),
        time: Some(input.at),
        properties: bytes.into(),
    }
}
