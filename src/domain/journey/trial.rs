//! Tests of journeys (`kind: test`): what is given, what happens, what is expected. Shapes only: `source` reads them,
//! the catalog resolves them against the resources beside them, the layer `trial` runs them.
//!
//! A test is no part of what is published: it never reaches the catalog.

use std::collections::BTreeMap;

use serde::Serialize;
use smol_str::SmolStr;

use crate::domain::effect::{CallAnswer, CallStatus};
use crate::domain::endpoint::Method;
use crate::domain::ids::Millis;
use crate::domain::journey::findings::{At, Place};
use crate::domain::journey::program::Channel;
use crate::domain::journey::source::Tree;
use crate::domain::step::{DiscardReason, ExitReason};
use crate::domain::value::{Map, Value};

/// Where a test's clock starts unless it says otherwise: Monday, 2026-01-05T09:00:00Z.
pub const START: Millis = Millis(1_767_603_600_000);
/// Who a test is about unless it says otherwise.
pub const PROFILE: &str = "test:1";

/// A test as written. Names, properties and documents are not looked up yet.
#[derive(Clone, Debug)]
pub struct TrialDefinition {
    /// Its name: any text on one line.
    pub name: At<SmolStr>,
    /// The journey it is about.
    pub journey: Option<At<SmolStr>>,
    /// Where its clock starts.
    pub start: Millis,
    /// Who it is about, with their documents before the first event.
    pub profiles: Vec<(At<SmolStr>, Option<Tree>)>,
    /// What custom actions answer, call after call; the last answer repeats.
    pub answers: Vec<(At<SmolStr>, Vec<TrialAnswer>)>,
    /// What happens, in the order of the file.
    pub events: Vec<TrialEvent>,
    /// The end of time, that instant included; else when every instance has ended.
    pub until: Option<Millis>,
    /// What must have happened.
    pub expectations: Vec<Expectation>,
    /// Something of it could not be read.
    pub broken: bool,
}

/// An answer to a call as written.
#[derive(Clone, Debug)]
pub struct TrialAnswer {
    /// How the call ends.
    pub status: CallStatus,
    /// What the answer says.
    pub body: Option<Tree>,
}

/// An event of a test as written.
#[derive(Clone, Debug)]
pub struct TrialEvent {
    /// Where it stands.
    pub place: Place,
    /// When it comes.
    pub at: Millis,
    /// Its id, if the test gives one.
    pub id: Option<SmolStr>,
    /// Its type.
    pub kind: At<SmolStr>,
    /// Whose it is, if the test says so.
    pub profile: Option<At<SmolStr>>,
    /// Its properties.
    pub properties: Option<Tree>,
    /// The node whose latest message it is feedback on.
    pub of: Option<At<SmolStr>>,
}

/// What a test expects of one profile.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Where it stands.
    pub place: Place,
    /// Whose; resolved ones have it.
    pub profile: Option<At<SmolStr>>,
    /// In which journey; resolved ones have it if anything but messages and the document is expected.
    pub journey: Option<At<SmolStr>>,
    /// Which of the profile's entries into the journey, from 1: for messages all unless given, else the first.
    pub entry: Option<At<u32>>,
    /// How often the profile entered.
    pub entries: Option<At<u32>>,
    /// Reasons why it was not let in, in order.
    pub discarded: Option<At<Vec<DiscardReason>>>,
    /// Messages sent: these and no others.
    pub messages: Option<At<Vec<MessageExpectation>>>,
    /// Messages sent: these, and maybe others before, between and after.
    pub messages_include: Option<At<Vec<MessageExpectation>>>,
    /// Calls made: these and no others.
    pub calls: Option<At<Vec<CallExpectation>>>,
    /// Calls made: these, and maybe others before, between and after.
    pub calls_include: Option<At<Vec<CallExpectation>>>,
    /// Messages not sent for want of an address, in order.
    pub excluded: Option<At<Vec<At<SmolStr>>>>,
    /// Nodes the instance came to, all of them.
    pub path: Option<At<Vec<At<SmolStr>>>>,
    /// Nodes the instance came to, among others.
    pub path_includes: Option<At<Vec<At<SmolStr>>>>,
    /// How the instance ended.
    pub end: Option<At<End>>,
    /// When.
    pub end_at: Option<At<Millis>>,
    /// Fields of the document in the end, as written.
    pub document: Option<Tree>,
    /// The same, read as their declared types.
    pub fields: Map,
}

/// A message that must have been sent, and what must be true of it.
#[derive(Clone, Debug)]
pub struct MessageExpectation {
    /// Where it stands.
    pub place: Place,
    /// Its name.
    pub message: At<SmolStr>,
    /// When.
    pub at: Option<At<Millis>>,
    /// Address.
    pub to: Option<At<SmolStr>>,
    /// By which channel.
    pub channel: Option<At<Channel>>,
    /// From which node.
    pub node: Option<At<SmolStr>>,
    /// The whole subject.
    pub subject: Option<At<SmolStr>>,
    /// Parts of the subject.
    pub subject_contains: Vec<At<SmolStr>>,
    /// The whole body.
    pub body: Option<At<SmolStr>>,
    /// Parts of the body.
    pub body_contains: Vec<At<SmolStr>>,
    /// What the body must not hold.
    pub body_lacks: Vec<At<SmolStr>>,
}

/// A call that must have been made, and what must be true of it.
#[derive(Clone, Debug)]
pub struct CallExpectation {
    /// Where it stands.
    pub place: Place,
    /// The custom action.
    pub action: At<SmolStr>,
    /// When.
    pub at: Option<At<Millis>>,
    /// From which node.
    pub node: Option<At<SmolStr>>,
    /// How the request is made.
    pub method: Option<At<Method>>,
    /// What follows the URL of the action.
    pub path: Option<At<SmolStr>>,
    /// Parameters of the query; others do not matter.
    pub query: Vec<(SmolStr, At<SmolStr>)>,
    /// Headers; others do not matter.
    pub headers: Vec<(SmolStr, At<SmolStr>)>,
    /// The body; fields of its objects that are not named do not matter.
    pub body: Option<At<Value>>,
}

/// How an instance ended, or that it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ended.
    Exited(ExitReason),
    /// By an error.
    Failed,
    /// It did not.
    Running,
    /// There was none.
    NotEntered,
}

impl End {
    /// Every one, with the word that tests use.
    pub fn words() -> Vec<(String, Self)> {
        let exits = ExitReason::ALL.into_iter().map(|reason| (word(reason), Self::Exited(reason)));
        let others = [("failed", Self::Failed), ("running", Self::Running), ("not_entered", Self::NotEntered)];
        exits.chain(others.map(|(word, end)| (word.to_owned(), end))).collect()
    }

    /// Its word.
    pub fn word(self) -> String {
        Self::words().into_iter().find(|(_, end)| *end == self).map_or_else(String::new, |(word, _)| word)
    }
}

/// The word of a reason, as reports have it.
pub fn word(reason: impl Serialize) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A test ready to run: names exist, values have their types.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Its name, and where it stands.
    pub name: At<SmolStr>,
    /// The journey it is about.
    pub journey: Option<SmolStr>,
    /// Where its clock starts.
    pub start: Millis,
    /// Who it is about.
    pub profiles: Vec<SmolStr>,
    /// What custom actions answer, by name, call after call; the last answer repeats, and an action that is not here
    /// answers 200 with nothing.
    pub answers: BTreeMap<SmolStr, Vec<CallAnswer>>,
    /// What happens: documents first, then events in order of time.
    pub inputs: Vec<TrialInput>,
    /// The end of time, that instant included; else when every instance has ended.
    pub until: Option<Millis>,
    /// What must have happened.
    pub expectations: Vec<Expectation>,
}

/// An event of a test ready to run.
#[derive(Clone, Debug)]
pub struct TrialInput {
    /// Where it stands.
    pub place: Place,
    /// When it comes.
    pub at: Millis,
    /// Its id.
    pub id: SmolStr,
    /// Its type.
    pub kind: SmolStr,
    /// Whose it is.
    pub profile: SmolStr,
    /// Its properties.
    pub properties: Map,
    /// The node whose latest message it is feedback on: its delivery is known only then.
    pub of: Option<SmolStr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_the_documented_instant_and_every_end_has_a_word() {
        assert_eq!(Millis::parse_iso("2026-01-05T09:00:00Z"), Some(START));
        let words: Vec<String> = End::words().into_iter().map(|(word, _)| word).collect();
        assert!(words.iter().all(|word| !word.is_empty()), "{words:?}");
        assert_eq!(End::Exited(ExitReason::Criteria).word(), "criteria");
        assert_eq!(word(DiscardReason::AlreadyInJourney), "already_in_journey");
    }
}
