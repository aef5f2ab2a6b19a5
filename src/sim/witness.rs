//! The oracle's place in a simulation: every durable record of a profile and every durable catalog is shown to it, in the
//! order of the journal.

use std::collections::BTreeMap;

use crate::domain::apply::{Calls, Firing};
use crate::domain::catalog::Catalog;
use crate::domain::ids::{CatalogVersion, Millis, ProfileKey};
use crate::runtime::partition::decide::DecideConfig;
use crate::sim::Violation;
use crate::sim::machine::HASH_KEY;
use crate::sim::observe::{Cause, Names, Observed, decode_record};
use crate::sim::oracle::{Clock, FIRST_CATALOG, Oracle, Parking};
use crate::wire::record::Record;

/// The oracle, and what it has to be told beside records.
#[derive(Debug)]
pub struct Witness {
    oracle: Oracle,
    names: Names,
    /// What a catalog would change, by its version: one that is never durable makes way for another.
    proposed: BTreeMap<CatalogVersion, (Cause, Millis)>,
}

impl Witness {
    /// Who knows these resources, and these profiles by name.
    pub fn new(resources: &str, profiles: &[String], decide: &DecideConfig) -> Result<Self, Violation> {
        let oracle = Oracle::new(resources).map_err(Violation::new)?;
        let clock = if decide.firing == Firing::Due { Clock::Events } else { Clock::Wall };
        let parking = if decide.outbox_rows_max < 1_000 { Parking::Possible } else { Parking::Never };
        let oracle = oracle.on_clock(clock).with_parking(parking).with_calls_assumed(decide.calls == Calls::Assumed);
        Ok(Self { oracle, names: Names::new(HASH_KEY, profiles), proposed: BTreeMap::new() })
    }

    /// A catalog is on its way, made at `now`.
    pub fn propose(&mut self, version: CatalogVersion, cause: Cause, now: Millis) {
        self.proposed.insert(version, (cause, now));
    }

    /// A catalog is durable.
    pub fn published(&mut self, version: CatalogVersion) -> Result<(), Violation> {
        if version.0 == FIRST_CATALOG {
            return Ok(());
        }
        let cause = self.proposed.remove(&version);
        let Some((cause, now)) = cause else {
            return Err(Violation::new(format!("nobody proposed catalog {version}")));
        };
        let observed = Observed {
            profile: String::new(),
            engine_time_ms: now.0,
            catalog: version.0,
            place: (0, 0),
            cause,
            steps: Vec::new(),
            messages: Vec::new(),
            gone: Vec::new(),
        };
        self.oracle.observe(&observed).map_err(Violation::new)
    }

    /// Sees a record.
    pub fn take(&mut self, record: &Record<'_>, catalog: &Catalog) -> Result<(), Violation> {
        if record.head.key == ProfileKey::default() {
            // What partitions say to each other is about no profile.
            return Ok(());
        }
        let observed = decode_record(record, catalog, &self.names).map_err(Violation::new)?;
        self.oracle.observe(&observed).map_err(Violation::new)
    }

    /// All is at rest at `now`.
    pub fn at_rest(&self, now: Millis) -> Result<(), Violation> {
        self.oracle.finish(now.0).map_err(Violation::new)
    }
}
