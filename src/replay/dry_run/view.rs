//! What came of a dry run, as `--json` prints it. Shapes only.

use serde::Serialize;

use crate::replay::dry_run::account::Account;
use crate::runtime::view::{JourneyReport, TimelineItem};

/// What came of a dry run.
#[derive(Clone, Debug, Serialize)]
pub struct DryRun {
    /// The journey.
    pub journey: String,
    /// Engine time at which it began, ISO-8601.
    pub from: String,
    /// Engine time at which it ended, ISO-8601.
    pub until: String,
    /// Recorded events in between.
    pub events: u64,
    /// Profiles they and their documents are of.
    pub profiles: u64,
    /// What the draft did, by node, in the form of reports.
    pub report: JourneyReport,
    /// What the draft did, by channel and day.
    pub draft: Account,
    /// What the live version did in the same time; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<Account>,
    /// Some who entered.
    pub samples: Vec<Sample>,
    /// What it could not know, the gravest first.
    pub unknown: Vec<Unknown>,
    /// Hash over all decisions: the same for the same files over the same past.
    pub hash: String,
}

/// One who entered.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// `namespace:value`.
    pub profile: String,
    /// In order, from the first entry.
    pub timeline: Vec<TimelineItem>,
}

/// Code of what is said first: a branch was decided by a field of an answer that nobody knows.
pub const NULL_ANSWERS: &str = "null_answers";

/// Something a dry run could not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Stable code.
    pub code: &'static str,
    /// How many it is about, where that can be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// For people.
    pub message: String,
}
