//! What happened in a test, as its expectations ask for it: read from durable records and from the messages that left.

use smol_str::SmolStr;

use crate::domain::catalog::Catalog;
use crate::domain::content::Template;
use crate::domain::endpoint::Method;
use crate::domain::ids::{Millis, ProfileKey};
use crate::domain::journey::action::Request;
use crate::domain::journey::program::{Channel, Program};
use crate::domain::journey::trial::{End, Trial};
use crate::domain::step::{DiscardReason, MessageOutcome, Step, StepKind};
use crate::domain::value::Map;
use crate::runtime::delivery::{CallJob, Job};
use crate::runtime::projection::{HistoryEntry, entry_of};
use crate::trial::machine::{MachineError, Witness};
use crate::wire::record::records;

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Records with their profiles, in order.
    pub entries: Vec<(ProfileKey, HistoryEntry)>,
    /// Messages that left, in order.
    pub letters: Vec<Letter>,
    /// Calls that were made, in order.
    pub calls: Vec<Call>,
    /// Documents in the end.
    pub documents: Vec<(ProfileKey, Map)>,
}

/// A message that left.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its delivery id.
    pub delivery: SmolStr,
    /// Whose.
    pub profile: SmolStr,
    /// Journey.
    pub journey: SmolStr,
    /// Entry ordinal of the instance in its profile.
    pub ordinal: u32,
    /// Node.
    pub node: SmolStr,
    /// Message.
    pub message: SmolStr,
    /// Engine time of the decision.
    pub at: Millis,
    /// How it left.
    pub channel: Channel,
    /// Address; empty where the surface is it.
    pub to: SmolStr,
    /// Rendered as the channels do it; or why that failed.
    pub content: Result<Content, String>,
}

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whose.
    pub profile: SmolStr,
    /// Journey.
    pub journey: SmolStr,
    /// Entry ordinal of the instance in its profile.
    pub ordinal: u32,
    /// Node.
    pub node: SmolStr,
    /// Custom action.
    pub action: SmolStr,
    /// Engine time of the decision.
    pub at: Millis,
    /// How the request is made.
    pub method: Method,
    /// What it says; or why it can't be made.
    pub request: Result<Request, String>,
}

/// A rendered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Subject, where the channel has one.
    pub subject: Option<String>,
    /// Body.
    pub body: String,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Entry ordinal in its profile.
    pub ordinal: u32,
    /// Nodes it came to.
    pub path: Vec<SmolStr>,
    /// How it ended.
    pub end: End,
    /// When.
    pub ended_at: Option<Millis>,
}

impl Account {
    /// The latest delivery of a node to a profile, in the journey of the test if it names one.
    pub fn delivery(&self, trial: &Trial, profile: &str, node: &str) -> Option<SmolStr> {
        let is_journeys = |letter: &&Letter| trial.journey.as_ref().is_none_or(|journey| letter.journey == *journey);
        let mut letters = self.letters.iter().rev().filter(is_journeys);
        letters.find(|letter| letter.profile == profile && letter.node == node).map(|letter| letter.delivery.clone())
    }
}

impl Witness for Account {
    fn durable(&mut self, block: &[u8]) -> Result<(), MachineError> {
        for record in records(block) {
            let (_, record) = record?;
            if let Some(entry) = entry_of(&record)? {
                self.entries.push((entry.key, entry));
            }
        }
        Ok(())
    }

    fn sent(&mut self, job: &Job) {
        let Job { row, message, sender, .. } = job;
        let render = |template: &Template| template.render(&row.input).map_err(|error| error.to_string());
        let content = match (message.subject.as_ref().map(render).transpose(), render(&message.body)) {
            (Ok(subject), Ok(body)) => Ok(Content { subject, body }),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        self.letters.push(Letter {
            delivery: SmolStr::new(row.id.to_string()),
            profile: row.profile.clone(),
            journey: sender.journey.clone(),
            ordinal: row.entry_ordinal,
            node: sender.node.clone(),
            message: message.name.clone(),
            at: row.decided_at,
            channel: message.channel,
            to: row.recipient.clone(),
            content,
        });
    }

    fn called(&mut self, job: &CallJob) {
        let CallJob { row, action, sender, .. } = job;
        self.calls.push(Call {
            profile: row.profile.clone(),
            journey: sender.journey.clone(),
            ordinal: row.entry_ordinal,
            node: sender.node.clone(),
            action: action.name.clone(),
            at: row.decided_at,
            method: action.method,
            request: action.request(&row.input.action, row.decided_at).map_err(|error| error.to_string()),
        });
    }
}

impl Account {
    /// Steps of a profile in a journey, in order, with their times.
    fn steps<'a>(
        &'a self,
        key: ProfileKey,
        journey: &'a str,
        catalog: &'a Catalog,
    ) -> impl Iterator<Item = (Millis, &'a Step, &'a Program)> {
        let entries = self.entries.iter().filter(move |(owner, _)| *owner == key);
        entries
            .flat_map(|(_, entry)| entry.steps.iter().map(move |step| (entry.at, step)))
            .map(move |(at, step)| (at, step, &**catalog.program(step.version)))
            .filter(move |(_, _, program)| program.name == journey)
    }

    /// Instances of a profile in a journey, in the order they entered.
    pub fn runs(&self, key: ProfileKey, journey: &str, catalog: &Catalog) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (at, step, program) in self.steps(key, journey, catalog) {
            if matches!(step.kind, StepKind::Entered(_)) {
                runs.push(Run { ordinal: step.ordinal, path: Vec::new(), end: End::Running, ended_at: None });
                continue;
            }
            let Some(run) = runs.iter_mut().find(|run| run.ordinal == step.ordinal) else { continue };
            match step.kind {
                StepKind::Arrived => run.path.push(program.node(step.node).name.clone()),
                StepKind::Exited(reason) => (run.end, run.ended_at) = (End::Exited(reason), Some(at)),
                StepKind::Failed(_) => (run.end, run.ended_at) = (End::Failed, Some(at)),
                StepKind::Entered(_)
                | StepKind::Left(_)
                | StepKind::Discarded(_)
                | StepKind::Message { .. }
                | StepKind::Called(_)
                | StepKind::Held(_)
                | StepKind::Released(_)
                | StepKind::Kept(_)
                | StepKind::NotKept(_) => {}
            }
        }
        runs
    }

    /// Why a profile was not let into a journey, in order.
    pub fn discards(&self, key: ProfileKey, journey: &str, catalog: &Catalog) -> Vec<DiscardReason> {
        let reason = |step: &Step| match step.kind {
            StepKind::Discarded(reason) => Some(reason),
            _ => None,
        };
        self.steps(key, journey, catalog).filter_map(|(_, step, _)| reason(step)).collect()
    }

    /// Messages a profile was not sent for want of an address, in order: names and entry ordinals.
    pub fn excluded(&self, key: ProfileKey, journey: Option<&str>, catalog: &Catalog) -> Vec<(SmolStr, u32)> {
        let journeys = catalog.journeys.iter().map(SmolStr::as_str);
        let mut excluded: Vec<(Millis, SmolStr, u32)> = Vec::new();
        for name in journeys.filter(|name| journey.is_none_or(|journey| journey == *name)) {
            for (at, step, program) in self.steps(key, name, catalog) {
                if let StepKind::Message { message, outcome: MessageOutcome::Excluded } = step.kind {
                    excluded.push((at, program.messages[usize::from(message)].name.clone(), step.ordinal));
                }
            }
        }
        excluded.sort_by_key(|(at, ..)| *at);
        excluded.into_iter().map(|(_, name, ordinal)| (name, ordinal)).collect()
    }

    /// The document of a profile in the end.
    pub fn document(&self, key: ProfileKey) -> Map {
        self.documents.iter().find(|(owner, _)| *owner == key).map(|(_, document)| document.clone()).unwrap_or_default()
    }
}
