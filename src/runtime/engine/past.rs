//! Requests about the past: a profile's state and timeline, step events, and why a profile is where it is.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use smol_str::SmolStr;
use tokio::sync::{mpsc, oneshot};

use crate::domain::catalog::Catalog;
use crate::domain::ids::{InstanceId, JourneyId, Millis, PartitionId, ProfileKey, Pseq, SandboxId};
use crate::domain::profile::{Instance, Profile};
use crate::runtime::api::Refusal;
use crate::runtime::engine::requests::answering;
use crate::runtime::engine::{Engine, RequestError, known_journey};
use crate::runtime::partition::Partition;
use crate::runtime::past::event::{StepEvent, step_events};
use crate::runtime::past::why::{Story, Why};
use crate::runtime::projection::{History, HistoryEntry};
use crate::runtime::report::timeline_items;
use crate::runtime::shard::input::ShardInput;
use crate::runtime::view::{InstanceView, ProfileView, TimelineItem};

/// Entries read at once: their events may be large, so not too many; each read looks at every file's directory, so not
/// too few.
const PAGE_ENTRIES: usize = 256;
/// Pages on their way between the thread that reads history and whoever takes step events.
pub(super) const PAGES_WAITING: usize = 2;

/// How long a page waits to be taken: who takes none for so long has forgotten the rest, and must not hold a thread.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Which part of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastQuery {
    /// Of one journey only.
    pub journey: Option<String>,
    /// From this engine time on.
    pub since: Option<Millis>,
    /// Before this engine time.
    pub until: Option<Millis>,
    /// So many at most.
    pub limit: Option<usize>,
}

impl PastQuery {
    pub(super) fn range(&self) -> Range<Millis> {
        self.since.unwrap_or(Millis::MIN)..self.until.unwrap_or(Millis::NEVER)
    }
}

impl Engine {
    /// State and timeline of a profile; of the timeline the latest items that `query` wants.
    ///
    /// # Errors
    /// Profile or journey is not known, or `identity` has no namespace.
    pub async fn profile(&self, identity: &str, query: &PastQuery) -> Result<ProfileView, RequestError> {
        let (partition, key) = self.locate(identity)?;
        let journey = self.journey(query.journey.as_deref())?;
        let (profile, _) = self.awake(partition, key).await?;
        let (history, catalog) = (Arc::clone(&self.core.history), self.catalog());
        let (range, limit) = (query.range(), query.limit.unwrap_or(usize::MAX));
        let wanted = Arc::clone(&catalog);
        let reading = move || latest_items(&*history, &wanted, (partition, key), journey, &range, limit);
        let (timeline, has_history) = tokio::task::spawn_blocking(reading).await.unwrap_or_default();
        if profile.is_none() && !has_history {
            return Err(RequestError::not_found("profile", identity));
        }
        let profile = profile.unwrap_or_else(|| Profile::new(key, identity.into()));
        let last_entries = profile.last_entries.iter();
        Ok(ProfileView {
            profile: identity.to_owned(),
            partition: partition.0,
            document: crate::domain::value::Value::Map(profile.document.clone()).to_json(),
            instances: profile.instances.iter().map(|i| instance_view(&profile, i, &catalog)).collect(),
            last_entries: last_entries
                .map(|entry| {
                    let name = catalog.journey_name(entry.journey);
                    let id = entry.supplemental_id.as_ref().map(|id| format!("/{id}")).unwrap_or_default();
                    (format!("{name}{id}"), entry.at.to_iso())
                })
                .collect(),
            timeline,
        })
    }

    /// Step events, of all profiles or one, each partition's in order: what is recorded at the time of the call. `held` is let
    /// go once history is read, or nobody takes what is read.
    ///
    /// # Errors
    /// Profile or journey is not known, or the profile has no namespace.
    pub async fn step_events(
        &self,
        query: &PastQuery,
        profile: Option<&str>,
        held: impl Send + 'static,
    ) -> Result<StepEvents, RequestError> {
        let journey = self.journey(query.journey.as_deref())?;
        let of = match profile {
            None => None,
            Some(identity) => {
                let (partition, key) = self.locate(identity)?;
                if self.awake(partition, key).await?.0.is_none() {
                    return Err(RequestError::not_found("profile", identity));
                }
                Some((partition, key))
            }
        };
        let (sender, pages) = mpsc::channel(PAGES_WAITING);
        let (history, range) = (Arc::clone(&self.core.history), query.range());
        let is_whole = Arc::new(AtomicBool::new(false));
        let reached_the_end = Arc::clone(&is_whole);
        tokio::task::spawn_blocking(move || {
            if read_pages(&*history, range, of, &sender).is_continue() {
                reached_the_end.store(true, Ordering::Release);
            }
            drop(held);
        });
        Ok(StepEvents { engine: self.clone(), pages, is_whole, journey, left: query.limit.unwrap_or(usize::MAX) })
    }

    /// Why a profile is, or is not, where it is in a journey.
    ///
    /// # Errors
    /// Profile or journey is not known, or the profile has no namespace.
    pub async fn why(&self, identity: &str, journey: &str) -> Result<Why, RequestError> {
        let (partition, key) = self.locate(identity)?;
        let journey = self.journey(Some(journey))?.expect("a journey was named");
        let (profile, at) = self.awake(partition, key).await?;
        let now = self.core.engine_now().max(at);
        let (history, catalog) = (Arc::clone(&self.core.history), self.catalog());
        let identity = SmolStr::new(identity);
        let telling = move || {
            let is_known = profile.is_some();
            let profile = profile.unwrap_or_else(|| Profile::new(key, identity));
            let mut story = Story::new(&catalog, journey, &profile);
            let mut has_history = false;
            history.visit(Millis::MIN..Millis::NEVER, Some((partition, key)), &mut |entry| {
                has_history = true;
                // A version published since `catalog` was read: what follows happened after the question.
                if entry.steps.iter().any(|step| !catalog.knows(step.version)) {
                    return ControlFlow::Break(());
                }
                story.tell(&entry);
                ControlFlow::Continue(())
            });
            if is_known || has_history { Ok(story.finish(now)) } else { Err(profile.identity.clone()) }
        };
        let told = tokio::task::spawn_blocking(telling).await.map_err(|_| Refusal::Stopping)?;
        told.map_err(|identity| RequestError::not_found("profile", identity.to_string()))
    }

    /// Partition and key of `namespace:value`.
    pub(super) fn locate(&self, identity: &str) -> Result<(PartitionId, ProfileKey), RequestError> {
        let Some((namespace, value)) = identity.split_once(':') else {
            let text = format!("{identity:?} has no namespace; write it as namespace:value, e.g. crm:4711");
            return Err(RequestError::Invalid(text));
        };
        Ok(self.core.router.locate(namespace, value))
    }

    fn journey(&self, name: Option<&str>) -> Result<Option<JourneyId>, RequestError> {
        name.map(|name| known_journey(&self.catalog(), name)).transpose()
    }

    /// A profile as it is now, durably, and the engine time of its partition.
    pub(super) async fn awake(
        &self,
        partition: PartitionId,
        key: ProfileKey,
    ) -> Result<(Option<Profile>, Millis), RequestError> {
        self.ask(partition, move |p| (p.table.wake(key).ok().flatten(), p.engine_time)).await
    }

    /// Asks a partition, once it is open.
    pub(super) async fn ask<T: Default + Send + 'static>(
        &self,
        partition: PartitionId,
        question: impl FnOnce(&Partition) -> T + Send + 'static,
    ) -> Result<T, RequestError> {
        let (told, answer) = oneshot::channel();
        let question = Box::new(move |partitions: &mut dyn Iterator<Item = &Partition>| {
            answering(told, partitions.next().map(question).unwrap_or_default())
        });
        self.core.router.send(partition, ShardInput::Ask(Some(partition), question));
        answer.await.map_err(|_| Refusal::Stopping.into())
    }

    /// Who the profiles of these keys are.
    pub(super) async fn identities(
        &self,
        partition: PartitionId,
        keys: Vec<ProfileKey>,
    ) -> Result<BTreeMap<ProfileKey, SmolStr>, RequestError> {
        self.ask(partition, move |p| {
            let known = |key| Some((key, p.table.wake(key).ok().flatten()?.identity));
            keys.into_iter().filter_map(known).collect()
        })
        .await
    }
}

/// Step events on their way out. Dropping it ends the reading.
#[derive(Debug)]
pub struct StepEvents {
    engine: Engine,
    pages: mpsc::Receiver<Vec<HistoryEntry>>,
    /// Set before the pages end, if that is because history does.
    is_whole: Arc<AtomicBool>,
    journey: Option<JourneyId>,
    left: usize,
}

impl StepEvents {
    /// The next ones; `None` at the end.
    ///
    /// # Errors
    /// There are more that were not read: they were not taken for too long, or the engine is stopping.
    pub async fn next(&mut self) -> Result<Option<Vec<StepEvent>>, RequestError> {
        while self.left > 0 {
            let Some(page) = self.pages.recv().await else {
                let cut = RequestError::Conflict("history was not read to its end".to_owned());
                return if self.is_whole.load(Ordering::Acquire) { Ok(None) } else { Err(cut) };
            };
            // Newer than every entry of the page, so it knows their versions.
            let catalog = self.engine.catalog();
            let journey = self.journey;
            let is_wanted = |step: &crate::domain::step::Step| {
                journey.is_none_or(|journey| catalog.program(step.version).journey == journey)
            };
            let wanted: Vec<&HistoryEntry> = page.iter().filter(|entry| entry.steps.iter().any(is_wanted)).collect();
            let Some(first) = wanted.first() else { continue };
            let mut keys: Vec<ProfileKey> = wanted.iter().map(|entry| entry.key).collect();
            keys.sort_unstable();
            keys.dedup();
            let identities = self.engine.identities(first.partition, keys).await?;
            let mut events = Vec::new();
            for entry in wanted {
                let identity = identities.get(&entry.key).map(SmolStr::as_str);
                events.extend(step_events(entry, identity, &catalog, is_wanted));
            }
            events.truncate(self.left);
            self.left -= events.len();
            return Ok(Some(events));
        }
        Ok(None)
    }
}

/// Sends entries with steps, page by page, each page of one partition and without the events' properties. Breaks off when
/// nobody takes them.
fn read_pages(
    history: &dyn History,
    range: Range<Millis>,
    of: Option<(PartitionId, ProfileKey)>,
    sender: &mpsc::Sender<Vec<HistoryEntry>>,
) -> ControlFlow<()> {
    let runtime = tokio::runtime::Handle::current();
    let send = |page| match runtime.block_on(sender.send_timeout(page, PATIENCE)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let mut flow = ControlFlow::Continue(());
    let mut page: Vec<HistoryEntry> = Vec::new();
    history.visit(range, of, &mut |mut entry| {
        if entry.steps.is_empty() {
            flow = if sender.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            return flow;
        }
        if let Some(event) = &mut entry.event {
            event.properties = Bytes::new();
        }
        let is_full =
            page.len() == PAGE_ENTRIES || page.first().is_some_and(|first| first.partition != entry.partition);
        if is_full {
            flow = send(std::mem::take(&mut page));
        }
        page.push(entry);
        flow
    });
    if flow.is_continue() && !page.is_empty() {
        flow = send(page);
    }
    flow
}

/// The latest items of a timeline, newest first, and whether there is any history of the profile.
fn latest_items(
    history: &dyn History,
    catalog: &Catalog,
    (partition, key): (PartitionId, ProfileKey),
    journey: Option<JourneyId>,
    range: &Range<Millis>,
    limit: usize,
) -> (Vec<TimelineItem>, bool) {
    let mut items = Vec::new();
    let mut before: Option<Pseq> = None;
    let mut has_history = false;
    while items.len() < limit || !has_history {
        let page = history.timeline(partition, key, PAGE_ENTRIES, before);
        has_history |= !page.is_empty();
        for entry in page.iter().filter(|entry| range.contains(&entry.at)) {
            // Versions published since `catalog` was read are of after the question.
            if entry.steps.iter().all(|step| catalog.knows(step.version)) {
                items.extend(timeline_items(entry, catalog, journey));
            }
        }
        let reached = page.last().is_none_or(|oldest| oldest.at < range.start);
        before = page.last().map(|oldest| oldest.pseq);
        if reached || page.len() < PAGE_ENTRIES {
            break;
        }
    }
    items.truncate(limit);
    (items, has_history)
}

pub(super) fn instance_view(profile: &Profile, instance: &Instance, catalog: &Catalog) -> InstanceView {
    let program = catalog.program(instance.version);
    let id = InstanceId::new(SandboxId::DEFAULT, &profile.identity, instance.journey, instance.ordinal);
    InstanceView {
        id: id.to_string(),
        journey: program.name.to_string(),
        version: program.number,
        in_test: program.is_in_test,
        node: program.node(instance.node).name.to_string(),
        supplemental_id: instance.supplemental_id().map(str::to_owned),
        entered_at: instance.entered_at.to_iso(),
        due: instance.due.to_iso(),
        waits_to_enter: instance.is_entrant(),
        held_since: instance.held().map(|held| held.since.to_iso()),
        held_events: instance.kept_events().len() as u64,
    }
}
