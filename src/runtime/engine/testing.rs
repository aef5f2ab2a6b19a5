//! Requests about drafts and their tests: keeping, starting, ending, publishing, and the log of who walks in one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::catalog::{Catalog, CatalogError, SourceFile, TestSession};
use crate::domain::ids::{Millis, VersionId};
use crate::domain::limits::TEST_IDLE_MS;
use crate::domain::profile::{Instance, Profile};
use crate::domain::value::{Map, Value};
use crate::runtime::engine::past::instance_view;
use crate::runtime::engine::requests::to_the_end;
use crate::runtime::engine::{Engine, RequestError};
use crate::runtime::projection::HistoryEntry;
use crate::runtime::report::timeline_items;
use crate::runtime::view::{InstanceView, JourneySummary, TimelineItem};

/// Entries of one profile that the log of a test reads.
const LOG_ENTRIES_MAX: usize = 256;

/// Who walks in a test, and how far they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestLog {
    /// The journey.
    pub journey: String,
    /// How long every wait takes, in milliseconds.
    pub wait_ms: i64,
    /// Engine time of its start, ISO-8601.
    pub started_at: String,
    /// Instances inside.
    pub inside: usize,
    /// Test profiles that the test knows, in order of their names.
    pub profiles: Vec<TestProfile>,
}

/// One test profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestProfile {
    /// `namespace:value`.
    pub profile: String,
    /// Where it is.
    pub instances: Vec<TestInstance>,
    /// What happened, oldest first: transitions, errors, messages, and what custom actions answered.
    pub transitions: Vec<TimelineItem>,
}

/// One instance in a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestInstance {
    /// Where it is.
    #[serde(flatten)]
    pub at: InstanceView,
    /// What the journey reads of the event that let it in.
    #[schema(value_type = Object)]
    pub event: serde_json::Value,
    /// What the journey reads of answers of custom actions.
    #[schema(value_type = Object)]
    pub actions: serde_json::Value,
}

impl Engine {
    /// Keeps journeys of resources as drafts; what was done per resource, as JSON.
    ///
    /// # Errors
    /// Findings: nothing was kept then.
    pub async fn apply_draft(&self, files: Vec<(String, String)>) -> Result<serde_json::Value, RequestError> {
        let engine = self.clone();
        to_the_end(async move {
            let _changing = engine.core.changing.lock().await;
            let files: Vec<SourceFile> = files.into_iter().map(|(name, text)| SourceFile { name, text }).collect();
            let (now, rails) = (engine.core.engine_now(), &engine.core.guardrails);
            let before = engine.catalog();
            let applied = before.apply_draft_within(&files, now, rails).map_err(RequestError::Findings)?;
            let (catalog, mut report) = applied;
            engine.tell_waiting(&mut report).await?;
            if catalog.version != before.version {
                engine.install_catalog(catalog).await?;
            }
            Ok(serde_json::to_value(&report).expect("a report has text keys only"))
        })
        .await
    }

    /// Lets test profiles into the draft of a journey.
    ///
    /// # Errors
    /// It has none, or its state forbids it.
    pub async fn start_test(&self, name: &str, wait_ms: i64) -> Result<JourneySummary, RequestError> {
        let now = self.core.engine_now();
        self.change_draft(name, move |catalog, name| catalog.start_test(name, wait_ms, now)).await
    }

    /// Ends the test of a draft; everybody in it leaves.
    ///
    /// # Errors
    /// It has none, or its state forbids it.
    pub async fn stop_test(&self, name: &str) -> Result<JourneySummary, RequestError> {
        self.change_draft(name, |catalog, name| catalog.stop_test(name)).await
    }

    /// Publishes the draft of a journey.
    ///
    /// # Errors
    /// It has none, or its state forbids it.
    pub async fn publish_draft(&self, name: &str) -> Result<JourneySummary, RequestError> {
        let now = self.core.engine_now();
        self.change_draft(name, move |catalog, name| catalog.publish_draft(name, now)).await
    }

    /// Flags test profiles, and takes the flag from others; all that are flagged then.
    ///
    /// # Errors
    /// There would be too many, or one is no `namespace:value`.
    pub async fn flag(&self, add: Vec<SmolStr>, remove: Vec<SmolStr>) -> Result<Vec<String>, RequestError> {
        let engine = self.clone();
        to_the_end(async move {
            let _changing = engine.core.changing.lock().await;
            let before = engine.catalog();
            let changed =
                before.flag_within(&add, &remove, engine.core.guardrails.test_profiles_max).map_err(refused)?;
            if changed.version != before.version {
                engine.install_catalog(changed).await?;
            }
            Ok(engine.flagged())
        })
        .await
    }

    /// Test profiles, in order of their names.
    pub fn flagged(&self) -> Vec<String> {
        self.catalog().test_profiles.iter().map(SmolStr::to_string).collect()
    }

    async fn change_draft(
        &self,
        name: &str,
        change: impl FnOnce(&Catalog, &str) -> Result<Catalog, CatalogError> + Send + 'static,
    ) -> Result<JourneySummary, RequestError> {
        let (engine, name) = (self.clone(), name.to_owned());
        to_the_end(async move {
            let _changing = engine.core.changing.lock().await;
            let changed = change(&engine.settled_catalog().await?, &name).map_err(refused)?;
            engine.install_catalog(changed).await?;
            let found = engine.journeys().await?.into_iter().find(|journey| journey.name == name);
            Ok(found.unwrap_or(JourneySummary { name, versions: Vec::new(), pause: None }))
        })
        .await
    }

    /// The log of a test.
    ///
    /// # Errors
    /// The journey has no test.
    pub async fn test_log(&self, name: &str) -> Result<TestLog, RequestError> {
        let catalog = self.catalog();
        let not_in_test = || refused(CatalogError::NotInTest { name: name.to_owned() });
        let test = catalog.draft(name).map_err(refused)?.test.ok_or_else(not_in_test)?;
        let mut profiles = Vec::new();
        for identity in &*catalog.test_profiles {
            profiles.extend(self.in_test(identity, test.version, &catalog).await?);
        }
        Ok(TestLog {
            journey: name.to_owned(),
            wait_ms: test.wait_ms,
            started_at: test.started_at.to_iso(),
            inside: profiles.iter().map(|profile| profile.instances.len()).sum(),
            profiles,
        })
    }

    /// What a test knows of one profile; `None` if nothing.
    async fn in_test(
        &self,
        identity: &SmolStr,
        version: VersionId,
        catalog: &Arc<Catalog>,
    ) -> Result<Option<TestProfile>, RequestError> {
        let (partition, key) = self.locate(identity)?;
        let (profile, _) = self.awake(partition, key).await?;
        let (history, known) = (Arc::clone(&self.core.history), Arc::clone(catalog));
        let reading = move || {
            let is_of_test = |entry: &HistoryEntry| entry.steps.iter().any(|step| step.version == version);
            let entries = history.timeline(partition, key, LOG_ENTRIES_MAX, None);
            let journey = known.program(version).journey;
            let of_test = entries.iter().rev().filter(|entry| is_of_test(entry));
            of_test.flat_map(|entry| timeline_items(entry, &known, Some(journey)).into_iter().rev()).collect::<Vec<_>>()
        };
        let transitions = tokio::task::spawn_blocking(reading).await.unwrap_or_default();
        let Some(profile) = profile else { return Ok(None) };
        let instances: Vec<TestInstance> = profile
            .instances
            .iter()
            .filter(|instance| instance.version == version)
            .map(|instance| test_instance(&profile, instance, catalog))
            .collect();
        let is_known = !instances.is_empty() || !transitions.is_empty();
        Ok(is_known.then(|| TestProfile { profile: identity.to_string(), instances, transitions }))
    }

    /// Ends tests that nobody has used for a week (spec §4.7).
    ///
    /// # Errors
    /// The engine is stopping.
    pub async fn end_idle_tests(&self) -> Result<(), RequestError> {
        let (catalog, now) = (self.catalog(), self.core.engine_now());
        let old = |at: Millis| at.plus(TEST_IDLE_MS) <= now;
        let tests = catalog.drafts.iter().filter_map(|(name, draft)| Some((name, draft.test?)));
        for (name, TestSession { version, .. }) in tests.filter(|(_, test)| old(test.started_at)) {
            let journey = catalog.program(version).journey;
            let mut is_used = false;
            for identity in &*catalog.test_profiles {
                let (partition, key) = self.locate(identity)?;
                let (profile, _) = self.awake(partition, key).await?;
                let entries = profile.map(|profile| profile.last_entries).unwrap_or_default();
                is_used |= entries.iter().any(|entry| entry.journey == journey && !old(entry.at));
            }
            if !is_used {
                let stop_judged = move |catalog: &Catalog, name: &str| {
                    let test = catalog.drafts.get(name).and_then(|draft| draft.test);
                    match test.filter(|test| test.version == version) {
                        Some(_) => catalog.stop_test(name),
                        None => Err(CatalogError::NotInTest { name: name.to_owned() }),
                    }
                };
                // Somebody may have ended it meanwhile, and begun another.
                let _ = self.change_draft(name, stop_judged).await;
            }
        }
        Ok(())
    }
}

fn test_instance(profile: &Profile, instance: &Instance, catalog: &Catalog) -> TestInstance {
    let json = |map: &Map| Value::Map(map.clone()).to_json();
    TestInstance {
        at: instance_view(profile, instance, catalog),
        event: json(&instance.context.event),
        actions: json(instance.context.called()),
    }
}

fn refused(error: CatalogError) -> RequestError {
    match error {
        CatalogError::NoDraft { name } => {
            let suggestion = Some("`sojourn journeys` lists drafts; keep one with `sojourn apply --draft`".to_owned());
            RequestError::NotFound { what: "draft", name, suggestion }
        }
        CatalogError::TestProfile { .. } | CatalogError::TestWait { .. } => RequestError::Invalid(error.to_string()),
        other => RequestError::Conflict(other.to_string()),
    }
}
