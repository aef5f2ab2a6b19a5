//! Follows the journal of a dry run: its account, and the timelines of some who entered. Sees what is durable, decides
//! nothing.
//!
//! Samples are those of all who entered whose keys are the smallest: keys are hashes, so that is a fair choice, and the same
//! in every run. Timelines begin with the entry; a profile pushed out by others never comes back, since the bar only falls.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::domain::catalog::Catalog;
use crate::domain::ids::{JourneyId, PartitionId, ProfileKey, Pseq};
use crate::domain::step::{Step, StepKind};
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
    samples_max: usize,
    observed: Mutex<Observed>,
}

/// What it saw.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) account: Account,
    /// By key, entries in order.
    pub(super) samples: BTreeMap<ProfileKey, Vec<HistoryEntry>>,
    /// A record could not be read: an error of Sojourn itself.
    pub(super) fault: Option<String>,
}

impl Observer {
    pub(super) fn new(samples_max: usize) -> Self {
        Self { samples_max, ..Self::default() }
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
                Ok(Some(entry)) => observed.see(entry, catalog, *journey, self.samples_max),
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
