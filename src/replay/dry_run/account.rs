//! What happened in one journey, by node, channel and day, from its step events: the same for what a dry run did and for
//! what the live version did, so that both can stand side by side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::effect::CallStatus;
use crate::runtime::past::event::StepEvent;

/// Characters of an ISO-8601 instant that are its day.
const DAY_CHARS: usize = 10;

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Instances begun.
    pub entered: u64,
    /// Instances ended, by reason.
    pub exited: BTreeMap<String, u64>,
    /// Instances failed.
    pub errors: u64,
    /// Entries refused, by reason.
    pub discarded: BTreeMap<String, u64>,
    /// Arrivals, by node.
    pub nodes: BTreeMap<String, u64>,
    /// Messages decided, by name.
    pub messages: BTreeMap<String, u64>,
    /// Calls of custom actions, by action and outcome.
    pub calls: BTreeMap<String, BTreeMap<String, u64>>,
    /// The same by day in UTC, `2026-01-31`.
    pub days: BTreeMap<String, Day>,
}

/// One day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Instances begun.
    pub entered: u64,
    /// Instances ended, failures among them.
    pub ended: u64,
    /// Messages decided, by channel.
    pub messages: BTreeMap<String, u64>,
    /// Messages not sent for want of an address.
    pub excluded: u64,
    /// Calls of custom actions.
    pub calls: u64,
}

impl Account {
    /// Takes a step in. Steps of tests are none of the journey's.
    pub fn take(&mut self, event: &StepEvent) {
        if event.in_test {
            return;
        }
        let day = self.days.entry(event.time.get(..DAY_CHARS).unwrap_or(&event.time).to_owned()).or_default();
        let reason = event.reason.as_deref().unwrap_or_default();
        let node = event.node.as_deref().unwrap_or_default();
        match event.step.as_str() {
            "entered" => {
                self.entered += 1;
                day.entered += 1;
            }
            "arrived" => count(&mut self.nodes, node),
            "exited" => {
                count(&mut self.exited, reason);
                day.ended += 1;
            }
            "failed" => {
                self.errors += 1;
                day.ended += 1;
            }
            "discarded" => count(&mut self.discarded, reason),
            "message" if reason == "requested" => {
                count(&mut self.messages, event.message.as_deref().unwrap_or_default());
                count(&mut day.messages, event.channel.as_deref().unwrap_or_default());
            }
            "message" if reason == "excluded" => day.excluded += 1,
            "called" => {
                let action = event.action.as_deref().unwrap_or_default();
                count(self.calls.entry(action.to_owned()).or_default(), reason);
                day.calls += 1;
            }
            _ => {}
        }
    }

    /// Instances ended, failures among them.
    pub fn ended(&self) -> u64 {
        self.exited.values().sum::<u64>() + self.errors
    }

    /// Messages decided, by channel.
    pub fn channels(&self) -> BTreeMap<String, u64> {
        let mut channels = BTreeMap::new();
        for (channel, n) in self.days.values().flat_map(|day| &day.messages) {
            *channels.entry(channel.clone()).or_default() += n;
        }
        channels
    }

    /// How calls of an action ended, and how often.
    pub fn outcomes(&self, action: &str) -> Vec<(CallStatus, u64)> {
        let recorded = self.calls.get(action).into_iter().flatten();
        recorded.filter_map(|(word, n)| Some((status(word)?, *n))).collect()
    }
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(n) => *n += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}

/// The outcome of a word, as [`CallStatus`] is shown.
fn status(word: &str) -> Option<CallStatus> {
    let named = [CallStatus::TimedOut, CallStatus::Capped, CallStatus::InternalError];
    let code = || word.strip_prefix("http_")?.parse().ok().map(CallStatus::Http);
    named.into_iter().find(|status| status.to_string() == word).or_else(code)
}
