//! What happened in one journey, by node, channel and day, from its step events: the same for what a dry run did and for
//! what the live version did, so that both can stand side by side.
//!
//! Who goes on in a newer version was let in once and goes on with the same run: that is neither an entry nor an end, and
//! where the migration puts it, it did not come by itself. Only how often that was is counted, and said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::step::{DiscardReason, ExitReason};
use crate::runtime::past::event::StepEvent;
use crate::runtime::report::{discard_word, exit_word};

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
    /// The same, by reason.
    #[serde(default)]
    pub failed: BTreeMap<String, u64>,
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
    /// Runs that went on in a newer version; none of the other figures counts that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub migrated: u64,
    /// Times that a pause held somebody, at an action or at the entrance.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Id of the step at which a run that goes on in a newer version stands there, if it comes next.
    #[serde(skip)]
    put_by_migration: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
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
        if event.in_test || self.is_by_migration(event) {
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
                count(&mut self.failed, reason);
                day.ended += 1;
            }
            "discarded" => count(&mut self.discarded, reason),
            "held" => self.held += 1,
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

    /// Whether a step only moves a run into a newer version: it ends in the one, enters the other, and stands there, step
    /// after step of one record.
    fn is_by_migration(&mut self, event: &StepEvent) -> bool {
        let stands = self.put_by_migration.take();
        match event.step.as_str() {
            "entered" if event.reason.as_deref() == Some(exit_word(ExitReason::Migrated)) => {
                self.migrated += 1;
                self.put_by_migration = next_id(&event.id);
                true
            }
            "exited" => event.reason.as_deref() == Some(exit_word(ExitReason::Migrated)),
            "arrived" => stands.as_ref() == Some(&event.id),
            _ => false,
        }
    }

    /// How often a pause made a difference: held somebody, turned somebody away, or made somebody leave.
    pub fn paused(&self) -> u64 {
        let of = |counts: &BTreeMap<String, u64>, word: &str| counts.get(word).copied().unwrap_or_default();
        let discarded = of(&self.discarded, discard_word(DiscardReason::Paused));
        self.held + discarded + of(&self.exited, exit_word(ExitReason::Forced))
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
}

/// The id of the step behind this one in its record.
fn next_id(id: &str) -> Option<String> {
    let (record, index) = id.rsplit_once('-')?;
    let next = usize::from_str_radix(index, 16).ok()?.checked_add(1)?;
    Some(format!("{record}-{next:x}"))
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(n) => *n += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, step: &str, reason: &str, node: &str) -> StepEvent {
        StepEvent {
            id: id.to_owned(),
            time: "2026-03-02T10:00:00.000Z".to_owned(),
            step: step.to_owned(),
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            node: (!node.is_empty()).then(|| node.to_owned()),
            ..StepEvent::default()
        }
    }

    /// One is let in, goes on in a newer version at another node, and ends there.
    #[test]
    fn who_goes_on_in_a_newer_version_enters_once_and_ends_once() {
        let mut account = Account::default();
        for event in [
            step("s-0001-7-0", "entered", "", ""),
            step("s-0001-7-1", "arrived", "", "a"),
            step("s-0001-9-0", "exited", "migrated", "a"),
            step("s-0001-9-1", "entered", "migrated", "b"),
            step("s-0001-9-2", "arrived", "", "b"),
            step("s-0001-9-3", "left", "then", "b"),
            step("s-0001-9-4", "arrived", "", "c"),
            step("s-0001-9-5", "exited", "completed", "c"),
            // The wait of another is computed anew: it stays, and no arrival follows.
            step("s-0002-5-f", "exited", "migrated", "a"),
            step("s-0002-5-10", "entered", "migrated", "a"),
            step("s-0002-8-11", "arrived", "", "c"),
        ] {
            account.take(&event);
        }
        assert_eq!((account.entered, account.migrated), (1, 2));
        assert_eq!(account.exited, [("completed".to_owned(), 1)].into());
        assert_eq!(account.nodes, [("a".to_owned(), 1), ("c".to_owned(), 2)].into());
        let day = &account.days["2026-03-02"];
        assert_eq!((day.entered, day.ended), (1, 1));
        assert_eq!(next_id("s-0002-5-f").as_deref(), Some("s-0002-5-10"));
    }

    #[test]
    fn what_a_pause_did_is_counted() {
        let mut account = Account::default();
        for event in [
            step("s-0001-1-0", "held", "paused", "a"),
            step("s-0001-1-1", "released", "paused", "a"),
            step("s-0001-2-0", "discarded", "paused", ""),
            step("s-0001-3-0", "exited", "forced", "a"),
        ] {
            account.take(&event);
        }
        assert_eq!((account.held, account.paused()), (1, 3));
    }
}
