//! Requests other than submissions: publishing, reports, deliveries, shards. Every answer is of state that was
//! durable before the answer left (design §4 rule 1).

use std::sync::Arc;

use smol_str::SmolStr;
use tokio::sync::oneshot;

use crate::domain::catalog::{ApplyReport, Catalog, CatalogError, ResourceChange, SourceFile};
use crate::domain::dataset::Dataset;
use crate::domain::effect::OutboxState;
use crate::domain::finding::Finding;
use crate::domain::ids::{DeliveryId, Millis, PartitionId};
use crate::domain::journey::program::Channel;
use crate::domain::value::Map;
use crate::runtime::api::Refusal;
use crate::runtime::conflicts::{self, ConflictView};
use crate::runtime::engine::start::SHARDS_MAX;
use crate::runtime::engine::{ClockMode, DeliveryFilter, Engine, RequestError, known_journey};
use crate::runtime::handle::Mailbox as _;
use crate::runtime::partition::Partition;
use crate::runtime::past::event::channel_word;
use crate::runtime::report::{Tally, closing, journey_report, report, summaries, summary};
use crate::runtime::router::owner_among;
use crate::runtime::shard::input::{Answer, ShardInput};
use crate::runtime::view::{DeliveryView, JourneySummary, Report, Resolution, ShardView, ShardsView};

/// Partitions moved at once: a profile waits for the moves of its batch only.
const MOVES_AT_ONCE: usize = 32;

impl Engine {
    /// Publishes resources; what was done per resource, as JSON.
    ///
    /// # Errors
    /// Findings: nothing was published then.
    pub async fn apply(&self, files: Vec<(String, String)>) -> Result<serde_json::Value, RequestError> {
        let engine = self.clone();
        to_the_end(async move {
            let _changing = engine.core.changing.lock().await;
            let (catalog, mut applied) = engine.applied(files).await?;
            engine.tell_waiting(&mut applied).await?;
            if catalog.version != engine.core.catalog.load().version {
                engine.install_catalog(catalog).await?;
            }
            engine.told(&applied).await
        })
        .await
    }

    /// What `apply` would do.
    ///
    /// # Errors
    /// As `apply`.
    pub async fn plan(&self, files: Vec<(String, String)>) -> Result<serde_json::Value, RequestError> {
        let (_, mut applied) = self.applied(files).await?;
        self.tell_waiting(&mut applied).await?;
        self.told(&applied).await
    }

    /// Adds how many profiles are at each node that differs or lets somebody go, and warns where nothing was chosen for them.
    pub(super) async fn tell_waiting(&self, applied: &mut ApplyReport) -> Result<(), RequestError> {
        if !applied.resources.iter().any(|resource| resource.difference.is_some()) {
            return Ok(());
        }
        let (tally, catalog) = (self.tally().await?, self.catalog());
        for resource in &mut applied.resources {
            let Some(journey) = catalog.journey_id(&resource.name) else { continue };
            let ResourceChange { difference, migration, .. } = resource;
            if difference.is_none() && migration.is_none() {
                continue;
            }
            let report = journey_report(&tally, &catalog, journey);
            for node in difference.iter_mut().flat_map(|difference| &mut difference.nodes) {
                node.waiting = report.nodes.get(node.node.as_str()).map(|counts| counts.in_node);
            }
            let Some(migration) = migration else { continue };
            let from: Vec<String> = migration.from.iter().map(u32::to_string).collect();
            for node in &mut migration.nodes {
                let versions = from.iter().filter_map(|number| report.versions.get(number));
                let counts = versions.filter_map(|version| version.nodes.get(node.node.as_str()));
                node.waiting = Some(counts.map(|counts| counts.in_node).sum());
            }
        }
        applied.warn_of_waiting();
        Ok(())
    }

    /// A report as clients get it: with what became of journeys that stay as they are, whether they are paused or finished.
    async fn told(&self, applied: &ApplyReport) -> Result<serde_json::Value, RequestError> {
        let mut report = serde_json::to_value(applied).expect("a report has text keys only");
        let stays = |resource: &serde_json::Value| {
            resource["kind"] == "journey"
                && ["unchanged", "vanished"].iter().any(|change| resource["change"] == *change)
        };
        let Some(resources) = report["resources"].as_array_mut().filter(|all| all.iter().any(stays)) else {
            return Ok(report);
        };
        let journeys = self.journeys().await?;
        for resource in resources.iter_mut().filter(|resource| stays(resource)) {
            let journey = journeys.iter().find(|journey| resource["name"] == *journey.name);
            let latest = journey.and_then(|journey| journey.versions.iter().find(|v| resource["version"] == v.number));
            if let Some(version) = latest {
                resource["status"] = version.status.clone().into();
            }
        }
        Ok(report)
    }

    /// What is found in files taken by themselves.
    pub fn check(&self, files: Vec<(String, String)>) -> Vec<Finding> {
        let files: Vec<SourceFile> = files.into_iter().map(|(name, text)| SourceFile { name, text }).collect();
        Catalog::check_within(&files, &self.core.guardrails)
    }

    async fn applied(&self, files: Vec<(String, String)>) -> Result<(Catalog, ApplyReport), RequestError> {
        let files: Vec<SourceFile> = files.into_iter().map(|(name, text)| SourceFile { name, text }).collect();
        let (now, rails) = (self.core.engine_now(), &self.core.guardrails);
        let catalog = self.settled_catalog().await?;
        let closing = closing(&self.tally().await?, &catalog);
        catalog.apply_beside(&files, now, rails, &closing).map_err(RequestError::Findings)
    }

    /// Makes `catalog` durable, then the one that every shard decides with.
    pub(super) async fn install_catalog(&self, catalog: Catalog) -> Result<(), RequestError> {
        let catalog = Arc::new(catalog);
        let (told, written) = oneshot::channel();
        self.core.router.send(PartitionId::SYSTEM, ShardInput::WriteCatalog(catalog.to_record(), told));
        written.await.map_err(|_| Refusal::Stopping)?;
        self.core.catalog.store(Arc::clone(&catalog));
        for shard in self.core.router.shards() {
            let (told, swapped) = oneshot::channel();
            shard.send(ShardInput::Catalog(Arc::clone(&catalog), told));
            swapped.await.map_err(|_| Refusal::Stopping)?;
        }
        Ok(())
    }

    /// Loads records in place of those a dataset has; the dataset then, once that is durable.
    ///
    /// # Errors
    /// There is no such dataset, or the records are not as it declares; nothing has changed then.
    pub async fn load_records(&self, name: &str, records: Vec<Map>) -> Result<Arc<Dataset>, RequestError> {
        let (engine, name) = (self.clone(), name.to_owned());
        to_the_end(async move {
            let _changing = engine.core.changing.lock().await;
            engine.dataset(&name)?;
            let changed = engine.catalog().with_records(&name, records);
            let changed = changed.map_err(|error| RequestError::Invalid(error.to_string()))?;
            engine.install_catalog(changed).await?;
            engine.dataset(&name)
        })
        .await
    }

    /// A dataset that is published.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn dataset(&self, name: &str) -> Result<Arc<Dataset>, RequestError> {
        let catalog = self.catalog();
        let known = || catalog.datasets.keys().map(SmolStr::as_str);
        catalog.datasets.get(name).cloned().ok_or_else(|| RequestError::unknown("dataset", name, known()))
    }

    /// Stops a journey (everyone out), or one version of it.
    ///
    /// # Errors
    /// It is not known, or its state forbids it.
    pub async fn stop_journey(&self, name: &str, version: Option<u32>) -> Result<JourneySummary, RequestError> {
        self.change_journey(name, move |catalog, name, now| catalog.stop(name, version, now)).await
    }

    /// Closes a journey to new entries, or one version of it.
    ///
    /// # Errors
    /// It is not known, or its state forbids it.
    pub async fn close_journey(&self, name: &str, version: Option<u32>) -> Result<JourneySummary, RequestError> {
        self.change_journey(name, move |catalog, name, _| catalog.close(name, version)).await
    }

    pub(super) async fn change_journey(
        &self,
        name: &str,
        change: impl FnOnce(&Catalog, &str, Millis) -> Result<Catalog, CatalogError> + Send + 'static,
    ) -> Result<JourneySummary, RequestError> {
        let (engine, name) = (self.clone(), name.to_owned());
        to_the_end(async move {
            let _changing = engine.core.changing.lock().await;
            let journey = known_journey(&engine.catalog(), &name)?;
            let now = engine.tally().await?.now;
            let changed = change(&engine.catalog().settled(now), &name, now);
            let changed = changed.map_err(|e| RequestError::Conflict(e.to_string()))?;
            engine.install_catalog(changed).await?;
            Ok(summary(&engine.tally().await?, &engine.catalog(), journey))
        })
        .await
    }

    /// All journeys.
    ///
    /// # Errors
    /// The engine is stopping.
    pub async fn journeys(&self) -> Result<Vec<JourneySummary>, RequestError> {
        Ok(summaries(&self.tally().await?, &self.catalog()))
    }

    /// Overlaps of journeys that are live, and of drafts with them; of one journey if it is named.
    ///
    /// # Errors
    /// The journey is not known.
    pub fn conflicts(&self, journey: Option<&str>) -> Result<Vec<ConflictView>, RequestError> {
        let catalog = self.catalog();
        if let Some(name) = journey.filter(|name| !catalog.drafts.contains_key(*name)) {
            known_journey(&catalog, name)?;
        }
        Ok(catalog.conflicts(journey, self.core.engine_now()).iter().map(conflicts::view).collect())
    }

    /// Report over all journeys, or one.
    ///
    /// # Errors
    /// The journey is not known, or the engine is stopping.
    pub async fn report(&self, journey: Option<&str>) -> Result<Report, RequestError> {
        let tally = self.tally().await?;
        let catalog = self.catalog();
        let only = journey.map(|name| known_journey(&catalog, name)).transpose()?;
        Ok(report(&tally, &catalog, only))
    }

    /// Counters of all partitions, each of durable state.
    pub(super) async fn tally(&self) -> Result<Tally, RequestError> {
        let mut total = Tally::default();
        let tallies = self.ask_all(|partitions| {
            let mut tally = Tally::default();
            for partition in partitions {
                tally.counts.add(&partition.counts);
                tally.events += partition.events;
                tally.hash_sum = tally.hash_sum.wrapping_add(partition.hash_sum);
                tally.now = tally.now.max(partition.engine_time);
            }
            tally
        });
        for tally in tallies.await? {
            total.counts.add(&tally.counts);
            total.events += tally.events;
            total.hash_sum = total.hash_sum.wrapping_add(tally.hash_sum);
            total.now = total.now.max(tally.now);
        }
        if self.core.mode == ClockMode::Wall {
            total.now = total.now.max(self.core.engine_now());
        }
        Ok(total)
    }

    /// Asks every shard, once all partitions are open and while none moves.
    async fn ask_all<T: Send + 'static>(
        &self,
        question: impl Fn(&mut dyn Iterator<Item = &Partition>) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>, RequestError> {
        let mut all_open = self.core.all_open.clone();
        all_open.wait_for(|open| *open).await.map_err(|_| Refusal::Stopping)?;
        let _settled = self.core.moving.read().await;
        let mut answers = Vec::new();
        for shard in self.core.router.shards() {
            let question = question.clone();
            let (told, answer) = oneshot::channel();
            shard.send(ShardInput::Ask(None, Box::new(move |partitions| answering(told, question(partitions)))));
            answers.push(answer);
        }
        let mut results = Vec::new();
        for answer in answers {
            results.push(answer.await.map_err(|_| Refusal::Stopping)?);
        }
        Ok(results)
    }

    /// Outbox rows, those in doubt only or all that are waiting, at most `max`.
    ///
    /// # Errors
    /// The engine is stopping.
    pub async fn deliveries(&self, filter: DeliveryFilter, max: usize) -> Result<Vec<DeliveryView>, RequestError> {
        let rows = self.ask_all(move |partitions| {
            partitions
                .flat_map(|p| p.outbox.rows())
                .filter(|row| filter == DeliveryFilter::All || row.state == OutboxState::InDoubt)
                .take(max)
                .cloned()
                .collect::<Vec<_>>()
        });
        let catalog = self.catalog();
        let mut rows: Vec<_> = rows.await?.into_iter().flatten().collect();
        rows.sort_by_key(|row| (row.decided_at, row.id));
        rows.truncate(max);
        Ok(rows.iter().map(|row| delivery_view(row, &catalog)).collect())
    }

    /// Whether the log channel has taken every row that it was owed when the engine started.
    ///
    /// # Errors
    /// The engine is stopping.
    pub async fn log_has_its_rows(&self) -> Result<bool, RequestError> {
        let owing = self.ask_all(|partitions| partitions.filter(|p| p.outbox.has_returned_log_rows()).count());
        Ok(owing.await?.into_iter().all(|count| count == 0))
    }

    /// Decides about a delivery in doubt.
    ///
    /// # Errors
    /// It is not in doubt (any more).
    pub async fn resolve_delivery(&self, id: DeliveryId, resolution: Resolution) -> Result<(), RequestError> {
        let not_found = || RequestError::not_found("delivery in doubt", id.to_string());
        if id.partition.0 >= self.core.router.partition_count() {
            return Err(not_found());
        }
        let (told, done) = oneshot::channel();
        self.core.router.send(id.partition, ShardInput::Resolve(id, resolution, told));
        match done.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(not_found()),
            Err(_) => Err(Refusal::Stopping.into()),
        }
    }

    /// Events' clock: moves time on to `to`, or as far as there is anything to happen, through every timer.
    ///
    /// # Errors
    /// The engine runs on the wall clock.
    pub async fn advance_clock(&self, to: Option<Millis>) -> Result<(), RequestError> {
        if self.core.mode == ClockMode::Wall {
            return Err(RequestError::Conflict("time can be moved only with `--clock events`".to_owned()));
        }
        let mut advancing = Vec::new();
        // A partition that moved from a shard whose time is still behind would miss its timers.
        let _settled = self.core.moving.read().await;
        let _ending = to.is_none().then(|| self.core.router.board().ending());
        for shard in self.core.router.shards() {
            let (told, done) = oneshot::channel();
            shard.send(ShardInput::Advance(to.unwrap_or(Millis::NEVER), Some(told)));
            advancing.push(done);
        }
        // All shards advance at once: none decides by what another does.
        for done in advancing {
            done.await.map_err(|_| Refusal::Stopping)?;
        }
        Ok(())
    }

    /// Shards and partitions.
    ///
    /// # Errors
    /// The engine is stopping.
    pub async fn shards(&self) -> Result<ShardsView, RequestError> {
        let held = self.ask_all(|partitions| {
            let (mut count, mut profiles, mut timers) = (0, 0, 0);
            for partition in partitions.filter(|p| p.id != PartitionId::SYSTEM) {
                count += 1;
                profiles += partition.table.len() as u64;
                timers += partition.table.timer_count() as u64;
            }
            (count, profiles, timers)
        });
        let held = held.await?;
        let handles = self.core.router.shards();
        let shards = handles
            .iter()
            .zip(held)
            .map(|(shard, (partitions, profiles, timers))| ShardView {
                shard: shard.id().0,
                partitions,
                mailbox: shard.queued() as u64,
                profiles,
                timers,
            })
            .collect();
        Ok(ShardsView { count: handles.len() as u16, partitions: self.core.router.partition_count(), shards })
    }

    /// Moves partitions so that `count` shards own them; returns when every move is durable.
    ///
    /// # Errors
    /// The count is out of range, or the engine is stopping.
    pub async fn set_shards(&self, count: u16) -> Result<ShardsView, RequestError> {
        if count == 0 || count > SHARDS_MAX {
            return Err(RequestError::Invalid(format!("a server has 1 to {SHARDS_MAX} shards, not {count}")));
        }
        let engine = self.clone();
        to_the_end(async move { engine.spread(count).await }).await?;
        self.shards().await
    }

    async fn spread(&self, count: u16) -> Result<(), RequestError> {
        let _changing = self.core.changing.lock().await;
        let mut all_open = self.core.all_open.clone();
        all_open.wait_for(|open| *open).await.map_err(|_| Refusal::Stopping)?;
        let router = &self.core.router;
        let before = router.shards().len() as u16;
        for id in before..count {
            let handle = self.hatch(crate::domain::ids::ShardId(id)).await?;
            router.add_shard(handle);
        }
        let partitions: Vec<PartitionId> = (0..router.partition_count()).map(PartitionId).collect();
        for batch in partitions.chunks(MOVES_AT_ONCE) {
            self.move_batch(batch, count).await?;
        }
        // Questions to all shards are answered before one of them goes.
        let _moving = self.core.moving.write().await;
        for handle in router.truncate_shards(count) {
            self.retire(handle.id()).await;
        }
        Ok(())
    }

    async fn move_batch(&self, batch: &[PartitionId], count: u16) -> Result<(), RequestError> {
        let router = &self.core.router;
        let moves: Vec<_> = batch.iter().map(|id| (*id, owner_among(id.0, count))).collect();
        let _moving = self.core.moving.write().await;
        if self.core.mode == ClockMode::Events {
            self.drain().await;
        }
        let moved: Vec<PartitionId> =
            moves.iter().filter(|(id, to)| router.owner(*id) != *to).map(|(id, _)| *id).collect();
        router.reassign(&moves);
        for id in moved {
            let (told, arrived) = oneshot::channel();
            let question = Box::new(move |_: &mut dyn Iterator<Item = &Partition>| answering(told, ()));
            router.send(id, ShardInput::Ask(Some(id), question));
            arrived.await.map_err(|_| Refusal::Stopping)?;
        }
        Ok(())
    }

    async fn hatch(
        &self,
        id: crate::domain::ids::ShardId,
    ) -> Result<crate::runtime::handle::ShardHandle, RequestError> {
        let (engine, catalog) = (self.clone(), self.catalog());
        let hatched = tokio::task::spawn_blocking(move || {
            engine.core.machinery.lock().as_ref().map(|machinery| machinery.hatchery.hatch(id, &catalog))
        });
        match hatched.await {
            Ok(Some(Ok(handle))) => Ok(handle),
            Ok(Some(Err(error))) => Err(RequestError::Conflict(format!("a shard could not be started: {error}"))),
            Ok(None) | Err(_) => Err(Refusal::Stopping.into()),
        }
    }

    async fn retire(&self, id: crate::domain::ids::ShardId) {
        let engine = self.clone();
        let retired = tokio::task::spawn_blocking(move || {
            if let Some(machinery) = engine.core.machinery.lock().as_ref() {
                machinery.hatchery.retire(id);
            }
        });
        if retired.await.is_err() {
            tracing::error!(shard = id.0, "a shard did not end");
        }
    }
}

/// Runs a change to its end even if whoever asked stops waiting (a client that closes its connection): one given up half
/// way would leave shards with different catalogs, or a partition between two shards.
pub(super) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, RequestError>> + Send + 'static,
) -> Result<T, RequestError> {
    // A task ends early only if it panics or its runtime does.
    tokio::spawn(change).await.unwrap_or_else(|_| Err(Refusal::Stopping.into()))
}

/// An answer that tells `value`.
pub(super) fn answering<T: Send + 'static>(told: oneshot::Sender<T>, value: T) -> Answer {
    Box::new(move || {
        // Who asked may have stopped waiting.
        let _ = told.send(value);
    })
}

fn delivery_view(row: &crate::domain::effect::OutboxRow, catalog: &Catalog) -> DeliveryView {
    let program = catalog.program(row.version);
    let index = usize::from(row.message);
    let message = match row.channel {
        Channel::Call => program.actions.get(index).map(|action| action.name.to_string()),
        _ => program.messages.get(index).map(|m| m.name.to_string()),
    };
    DeliveryView {
        id: row.id.to_string(),
        profile: row.profile.to_string(),
        journey: program.name.to_string(),
        message: message.unwrap_or_default(),
        channel: channel_word(row.channel).to_owned(),
        state: match row.state {
            OutboxState::Pending => "pending",
            OutboxState::Started => "started",
            OutboxState::InDoubt => "in_doubt",
        }
        .to_owned(),
        decided_at: row.decided_at.to_iso(),
        first_attempt_at: row.first_attempt_at.map(Millis::to_iso),
    }
}
