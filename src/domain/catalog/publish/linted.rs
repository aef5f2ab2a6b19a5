//! What is given to the linter: each journey that compiled, and the set as a whole.

use std::sync::Arc;

use super::{Candidate, Merged};
use crate::domain::journey::findings::Findings;
use crate::domain::journey::lint;

impl Merged<'_> {
    /// Warnings and hints about one journey.
    pub(super) fn lint(&self, candidate: &Candidate, findings: &mut Findings<'_>) {
        let source = &candidate.source;
        let messages = source.messages.iter().map(|id| Arc::clone(&self.next.messages[id.0 as usize])).collect();
        let subject = lint::Subject {
            definition: &source.definition,
            vocabulary: &source.vocabulary,
            profile: &self.profile,
            messages,
        };
        lint::lint(&subject, findings);
    }

    /// Hints at what nothing refers to, where all that may refer to it is known and there is a journey at all.
    pub(super) fn lint_unused(&self, candidates: &[Option<Candidate>], findings: &mut Findings<'_>) {
        let mut used = lint::Used::default();
        for candidate in candidates {
            let Some(candidate) = candidate else { return };
            used.add(&candidate.source.definition, &candidate.compiled.reads);
        }
        if candidates.is_empty() || self.files.partial {
            return;
        }
        for message in self.messages.values() {
            used.add_message(&self.next.messages[message.0 as usize]);
        }
        lint::lint_unused(self.files, &used, findings);
    }
}
