//! Counters, to compare with the engine's report.

use std::collections::BTreeMap;

/// What happened in one journey, over all its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JourneyCounts {
    /// Instances begun.
    pub entered: u64,
    /// Instances ended without an error, by reason.
    pub exited: BTreeMap<String, u64>,
    /// Instances failed.
    pub errors: u64,
    /// The same, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Events discarded at the entry, by reason.
    pub discarded: BTreeMap<String, u64>,
    /// What became of messages: by name, then by outcome (`requested`, `excluded`, `sent` …).
    pub messages: BTreeMap<String, BTreeMap<String, u64>>,
}

impl JourneyCounts {
    /// Instances running.
    pub fn active(&self) -> u64 {
        self.entered - self.exited.values().sum::<u64>() - self.errors
    }

    pub(super) fn count(&mut self, reason: &str) {
        if let Some((outcome, message)) = reason.split_once(" message ") {
            let outcomes = self.messages.entry(message.to_owned()).or_default();
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
            return;
        }
        match reason {
            "entered" | "came over" => self.entered += 1,
            "completed" | "criteria" | "timeout" | "stopped" | "ended" | "forced" | "migrated" | "withdrawn" => {
                *self.exited.entry(reason.to_owned()).or_default() += 1;
            }
            "already_in_journey"
            | "reentrance_not_allowed"
            | "entry_filter_error"
            | "too_many_instances"
            | "outside_dates"
            | "no_supplemental_id"
            | "cap_reached"
            | "lower_priority"
            | "paused" => {
                *self.discarded.entry(reason.to_owned()).or_default() += 1;
            }
            other => {
                if let Some(failure) = other.strip_prefix("failed ") {
                    self.errors += 1;
                    *self.failed.entry(failure.to_owned()).or_default() += 1;
                }
            }
        }
    }
}
