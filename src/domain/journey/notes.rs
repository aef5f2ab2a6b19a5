//! What an instance notes on its way, because expressions of its version read it as facts of the journey (spec §5.5). Of
//! what nobody reads nothing is kept: millions wait.

use std::collections::BTreeSet;

use crate::domain::expression::{FieldPath, Root};
use crate::domain::profile::LastCall;

/// What an instance notes on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The node it came from.
    pub previous_node: bool,
    /// How and where it failed last.
    pub errors: bool,
    /// How its calls of custom actions went.
    pub action: CallNotes,
    /// How its questions to data sources went.
    pub source: CallNotes,
}

/// What an instance notes of its calls, of custom actions or of data sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallNotes {
    /// How the latest of those that failed had ended.
    pub error: bool,
    /// How long the latest took.
    pub took_ms: bool,
}

impl Notes {
    /// What there is to note where expressions read `kept`.
    pub fn of(kept: &BTreeSet<FieldPath>) -> Self {
        let reads = |name: &str| reads_fact(kept, name);
        Self {
            previous_node: reads("previous_node"),
            errors: ["error", "error_code", "error_node", "error_node_kind"].into_iter().any(reads),
            action: CallNotes { error: reads("action_error_code"), took_ms: reads("action_ms") },
            source: CallNotes { error: reads("source_error_code"), took_ms: reads("source_ms") },
        }
    }
}

impl CallNotes {
    /// The part of `calls` that is noted.
    pub fn kept(self, calls: LastCall) -> LastCall {
        LastCall { error: calls.error.filter(|_| self.error), took_ms: calls.took_ms.filter(|_| self.took_ms) }
    }
}

/// Whether a fact of the instance is read.
pub fn reads_fact(reads: &BTreeSet<FieldPath>, name: &str) -> bool {
    reads.iter().any(|read| read.root == Root::Journey && read.path.first().is_none_or(|n| n == name))
}
