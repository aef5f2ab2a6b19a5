//! Follows the journal of a dry run: its account, and the timelines of some who entered. Sees what is durable, decides
//! nothing.
//!
//! A branch that is decided by a field of an answer of which nothing is known is counted too: the field was null because nobody
//! knows it, not because it was.
//!
//! Samples are those of all who entered whose keys are the smallest: keys are hashes, so that is a fair choice, and the same
//! in every run. Timelines begin with the entry; a profile pushed out by others never comes back, since the bar only falls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use smol_str::SmolStr;

use crate::domain::apply::Answers;
use crate::domain::catalog::Catalog;
use crate::domain::effect::CallStatus;
use crate::domain::expression::Expr;
use crate::domain::ids::{JourneyId, PartitionId, ProfileKey, Pseq};
use crate::domain::journey::program::{Method, NodeKind, Program, Test};
use crate::domain::step::{Path, Step, StepKind};
use crate::replay::dry_run::account::Account;
use crate::runtime::past::event::step_events;
use crate::runtime::projection::{HistoryEntry, Projection, entry_of};
use crate::wire::record::records;

/// Entries kept of one sample: more is no timeline that anybody reads.
const SAMPLE_ENTRIES_MAX: usize = 200;

/// The follower.
#[derive(Debug, Default)]
pub(super) struct Observer {
    watched: OnceLock<(Arc<Catalog>, JourneyId)>,
    answers: Arc<Answers>,
    samples_max: usize,
    observed: Mutex<Observed>,
}

/// What it saw.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) account: Account,
    /// By key, entries in order.
    pub(super) samples: BTreeMap<ProfileKey, Vec<HistoryEntry>>,
    /// How often a node decided by a field of an answer that nobody knows, by node and field.
    pub(super) nulls: BTreeMap<(String, String), u64>,
    /// How the latest call of each action ended, of runs that go on.
    called: BTreeMap<(ProfileKey, u32), BTreeMap<SmolStr, CallStatus>>,
    /// A record could not be read: an error of Sojourn itself.
    pub(super) fault: Option<String>,
}

impl Observer {
    pub(super) fn new(samples_max: usize, answers: Arc<Answers>) -> Self {
        Self { samples_max, answers, ..Self::default() }
    }

    /// From now on steps of this journey count: before the first event.
    pub(super) fn watch(&self, catalog: Arc<Catalog>, journey: JourneyId) {
        // A second call changes nothing: there is one run.
        let _ = self.watched.set((catalog, journey));
    }

    /// What was seen, once the engine has stopped.
    pub(super) fn take(&self) -> Observed {
        std::mem::take(&mut self.observed.lock())
    }
}

impl Projection for Observer {
    fn follow(&self, block: &[u8]) {
        let Some((catalog, journey)) = self.watched.get() else { return };
        let mut observed = self.observed.lock();
        for record in records(block) {
            let entry = record.and_then(|(_, record)| entry_of(&record));
            match entry {
                Ok(Some(entry)) => {
                    observed.see_nulls(&entry, catalog, *journey, &self.answers);
                    observed.see(entry, catalog, *journey, self.samples_max);
                }
                Ok(None) => {}
                Err(error) => observed.fault = Some(error.to_string()),
            }
        }
    }

    fn passed(&self, _: PartitionId) -> Pseq {
        Pseq(u64::MAX)
    }
}

impl Observed {
    fn see(&mut self, entry: HistoryEntry, catalog: &Catalog, journey: JourneyId, samples_max: usize) {
        let is_wanted = |step: &Step| catalog.program(step.version).journey == journey;
        if !entry.steps.iter().any(is_wanted) {
            return;
        }
        for event in step_events(&entry, None, catalog, is_wanted) {
            self.account.take(&event);
        }
        let key = entry.key;
        if let Some(known) = self.samples.get_mut(&key) {
            if known.len() < SAMPLE_ENTRIES_MAX {
                known.push(entry);
            }
            return;
        }
        let enters = entry.steps.iter().any(|step| is_wanted(step) && matches!(step.kind, StepKind::Entered(_)));
        let is_small =
            self.samples.len() < samples_max || self.samples.keys().next_back().is_some_and(|last| key < *last);
        if enters && is_small && samples_max > 0 {
            self.samples.insert(key, vec![entry]);
            if self.samples.len() > samples_max {
                self.samples.pop_last();
            }
        }
    }
}

impl Observed {
    /// Looks for branches that an unknown answer decided.
    fn see_nulls(&mut self, entry: &HistoryEntry, catalog: &Catalog, journey: JourneyId, answers: &Answers) {
        for step in &entry.steps {
            let program = catalog.program(step.version);
            if program.journey != journey || step.ordinal == 0 || step.node == Step::NO_NODE {
                continue;
            }
            let run = (entry.key, step.ordinal);
            if let (StepKind::Called(status), NodeKind::Action { action, .. }) =
                (step.kind, &program.node(step.node).kind)
            {
                let action = program.actions[usize::from(*action)].name.clone();
                self.called.entry(run).or_default().insert(action, status);
                continue;
            }
            if let Some(called) = self.called.get(&run) {
                let node = &program.node(step.node).name;
                for field in unknown(&decided_by(program, step), called, answers) {
                    *self.nulls.entry((node.to_string(), field)).or_default() += 1;
                }
            }
            if matches!(step.kind, StepKind::Exited(_) | StepKind::Failed(_)) {
                self.called.remove(&run);
            }
        }
    }
}

/// The rules that a node asked before an instance left it, or ended there.
fn decided_by<'p>(program: &'p Program, step: &Step) -> Vec<&'p Expr> {
    let asked = match step.kind {
        StepKind::Left(Path::Branch(index) | Path::Way(index)) => usize::from(index) + 1,
        StepKind::Left(_) | StepKind::Exited(_) | StepKind::Failed(_) => usize::MAX,
        _ => 0,
    };
    match &program.node(step.node).kind {
        NodeKind::Condition { branches, .. } => {
            let when = |test: &'p Test| match test {
                Test::When(when) => Some(when),
                Test::Time(_) | Test::Date(_) => None,
            };
            branches.iter().take(asked).filter_map(|(test, _)| when(test)).collect()
        }
        NodeKind::Optimize { method: Method::Targeting { rules, .. } } => {
            rules.iter().take(asked).map(|(_, when, _)| when).collect()
        }
        _ => Vec::new(),
    }
}

/// Fields of answers that these rules read and nobody knows, as they are written.
fn unknown(rules: &[&Expr], called: &BTreeMap<SmolStr, CallStatus>, answers: &Answers) -> BTreeSet<String> {
    let reads = rules.iter().flat_map(|rule| rule.reads());
    let unknown = reads.filter(|read| {
        let Some((action, within)) = read.of_answer() else { return false };
        called.get(&action).is_some_and(|status| !answers.knows(&action, *status, within))
    });
    unknown.map(ToString::to_string).collect()
}
