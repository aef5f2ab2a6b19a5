//! The catalog as bytes: definitions and numbers, never compiled programs, which are built again at every start.
//!
//! ```text
//! offset 0  4 bytes  "SJCT"
//!        4  u16 LE   format, 2
//!        6  ...      one MessagePack value: the struct `Record`, as an array of its fields in their order
//! ```
//!
//! INVARIANT: the same catalog gives the same bytes (maps are ordered), and reading bytes gives the catalog they came
//! from. The golden file `golden/catalog-2.bin` pins format 2.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::catalog::{Catalog, CatalogError, Draft, Version, VersionSource, VersionStatus};
use crate::domain::dataset::Dataset;
use crate::domain::endpoint::{Capping, Throttling};
use crate::domain::ids::{CatalogVersion, JourneyId, MessageId, Millis, VersionId};
use crate::domain::journey::action::ActionDefinition;
use crate::domain::journey::compile::{Numbers, compile};
use crate::domain::journey::definition::{
    AttributeDefinition, EventDefinition, FragmentDefinition, MessageDefinition, RuleSetDefinition,
};
use crate::domain::journey::findings::Findings;
use crate::domain::pause::Pause;
use crate::domain::surface::Surface;

const MAGIC: [u8; 4] = *b"SJCT";
const FORMAT: u16 = 2;
const HEADER_SIZE: usize = 6;
/// Nesting of a record: types nest as deep as a file may, each level in an enum, a list and a pair.
const DEPTH_MAX: usize = 512;

#[derive(Serialize, Deserialize)]
struct Record {
    version: CatalogVersion,
    journeys: Vec<SmolStr>,
    events: BTreeMap<SmolStr, EventDefinition>,
    attributes: BTreeMap<SmolStr, AttributeDefinition>,
    messages: Vec<Arc<MessageDefinition>>,
    surfaces: BTreeMap<SmolStr, Arc<Surface>>,
    rule_sets: BTreeMap<SmolStr, RuleSetDefinition>,
    fragments: BTreeMap<SmolStr, FragmentDefinition>,
    actions: BTreeMap<SmolStr, Arc<ActionDefinition>>,
    cappings: Arc<BTreeMap<SmolStr, Capping>>,
    throttlings: BTreeMap<SmolStr, Arc<Throttling>>,
    datasets: BTreeMap<SmolStr, Arc<Dataset>>,
    versions: Vec<VersionRecord>,
    drafts: BTreeMap<SmolStr, Draft>,
    hidden: BTreeSet<MessageId>,
    test_profiles: Arc<BTreeSet<SmolStr>>,
    pauses: BTreeMap<JourneyId, Vec<Pause>>,
}

#[derive(Serialize, Deserialize)]
struct VersionRecord {
    journey: JourneyId,
    number: u32,
    status: VersionStatus,
    published_at: Millis,
    source: Arc<VersionSource>,
    test: Option<i64>,
    covers: Vec<VersionId>,
}

impl Catalog {
    /// This catalog as bytes.
    pub fn to_record(&self) -> Vec<u8> {
        let versions = self.versions.iter().map(|version| VersionRecord {
            journey: version.program.journey,
            number: version.program.number,
            status: version.status,
            published_at: version.published_at,
            source: Arc::clone(&version.source),
            test: version.test,
            covers: version.covers.clone(),
        });
        let record = Record {
            version: self.version,
            journeys: self.journeys.clone(),
            events: self.events.clone(),
            attributes: self.attributes.clone(),
            messages: self.messages.clone(),
            surfaces: self.surfaces.clone(),
            rule_sets: self.rule_sets.clone(),
            fragments: self.fragments.clone(),
            actions: self.actions.clone(),
            cappings: Arc::clone(&self.cappings),
            throttlings: self.throttlings.clone(),
            datasets: self.datasets.clone(),
            versions: versions.collect(),
            drafts: self.drafts.clone(),
            hidden: self.hidden.clone(),
            test_profiles: Arc::clone(&self.test_profiles),
            pauses: self.pauses.clone(),
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        rmp_serde::encode::write(&mut bytes, &record).expect("definitions have no type that MessagePack lacks");
        bytes
    }

    /// The catalog of `bytes`, compiled anew.
    pub fn from_record(bytes: &[u8]) -> Result<Self, CatalogError> {
        let (header, body) = bytes.split_at_checked(HEADER_SIZE).ok_or_else(|| damaged("it is cut short"))?;
        if header[..4] != MAGIC {
            return Err(damaged("it does not begin with SJCT"));
        }
        let format = u16::from_le_bytes([header[4], header[5]]);
        if format != FORMAT {
            return Err(CatalogError::Format { found: format, supported: FORMAT });
        }
        let mut rest = body;
        let mut decoder = rmp_serde::Deserializer::new(&mut rest);
        decoder.set_max_depth(DEPTH_MAX);
        let record = Record::deserialize(&mut decoder).map_err(|error| damaged(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(damaged("bytes follow its end"));
        }
        Self::from_definitions(record)
    }

    fn from_definitions(record: Record) -> Result<Self, CatalogError> {
        let mut catalog = Self {
            version: record.version,
            journeys: record.journeys,
            events: record.events,
            attributes: record.attributes,
            messages: record.messages,
            surfaces: record.surfaces,
            rule_sets: record.rule_sets,
            fragments: record.fragments,
            actions: record.actions,
            cappings: record.cappings,
            throttlings: record.throttlings,
            drafts: record.drafts,
            hidden: record.hidden,
            test_profiles: record.test_profiles,
            pauses: record.pauses,
            datasets: record.datasets,
            ..Self::default()
        };
        for (index, version) in record.versions.into_iter().enumerate() {
            let name = catalog.journeys.get(version.journey.0 as usize);
            if name != Some(&version.source.definition.name.value) {
                return Err(damaged("a version names a journey that is not there"));
            }
            let is_older = |covered: &VersionId| {
                catalog.versions.get(covered.0 as usize).is_some_and(|old| old.program.journey == version.journey)
            };
            if !version.covers.iter().all(is_older) {
                return Err(damaged("a version covers one that is none of its journey's before"));
            }
            let numbers =
                Numbers { journey: version.journey, version: VersionId(index as u32), number: version.number };
            let program = compile_again(&catalog.messages, &version.source, numbers)?;
            let program = match version.test {
                Some(wait_ms) => program.in_test(wait_ms),
                None => program,
            };
            catalog.versions.push(Version {
                program: Arc::new(program),
                test: version.test,
                status: version.status,
                published_at: version.published_at,
                source: version.source,
                covers: version.covers,
                onward: Vec::new(),
                is_unsettled: false,
            });
        }
        catalog.compile_rules().map_err(|name| damaged(&format!("the rule of event `{name}` can't be compiled")))?;
        catalog.index();
        Ok(catalog)
    }
}

/// The program of `source`.
pub(super) fn compile_again(
    messages: &[Arc<MessageDefinition>],
    source: &VersionSource,
    numbers: Numbers,
) -> Result<crate::domain::journey::program::Program, CatalogError> {
    let found = |id: &MessageId| messages.get(id.0 as usize).map(|message| (*id, Arc::clone(message)));
    let messages: Option<Vec<_>> = source.messages.iter().map(found).collect();
    let messages = messages.ok_or_else(|| damaged("a version sends a message that is not there"))?;
    let mut findings = Findings::new(&[]);
    let compiled = compile(&source.definition, &source.vocabulary, &messages, numbers, &mut findings);
    compiled.map(|compiled| compiled.program).ok_or_else(|| {
        let finding = findings.into_sorted().into_iter().next();
        let why = finding.map_or_else(|| "no reason given".to_owned(), |finding| finding.message);
        damaged(&format!("journey `{}`, version {}: {why}", source.definition.name.value, numbers.number))
    })
}

fn damaged(why: &str) -> CatalogError {
    CatalogError::Damaged(why.to_owned())
}
