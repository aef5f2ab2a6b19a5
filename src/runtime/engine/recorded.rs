//! What a dry run is made of, as it is recorded: events with their properties, and profiles with their documents. Reads only.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use tokio::sync::mpsc;

use crate::domain::ids::{Millis, PartitionId, ProfileKey};
use crate::domain::value::{Map, Value};
use crate::runtime::engine::past::{PAGES_WAITING, PATIENCE, PastQuery};
use crate::runtime::engine::{Engine, RequestError};
use crate::runtime::projection::{History, HistoryEntry, HistoryEvent};
use crate::wire::value::map_from;

/// Entries of a page.
const PAGE_ENTRIES: usize = 256;
/// Bytes of properties with which a page is full, whatever its entries: one event may have a MiB.
const PAGE_BYTES: usize = 4 << 20;
/// Profiles that a shard wakes in one go: some hundred microseconds of its time.
const PAGE_PROFILES: usize = 128;

/// How much of the past a server has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HistoryView {
    /// Engine time of the earliest record kept, ISO-8601; absent where nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Engine time now, ISO-8601.
    pub now: String,
    /// Whether nothing was ever deleted by age or size, or damaged: then history goes back to the first event.
    pub whole: bool,
}

/// An event as it was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecordedEvent {
    /// Engine time at which it was handled, ISO-8601.
    pub at: String,
    /// The producer's id of it.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `namespace:value`; absent where nothing is stored of the profile, so that only its key is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Key of a profile whose name is not known, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it happened, if the producer said so, ISO-8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Its properties.
    #[schema(value_type = Object)]
    pub properties: serde_json::Value,
}

/// A profile as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecordedProfile {
    /// `namespace:value`.
    pub profile: String,
    /// Its document.
    #[schema(value_type = Object)]
    pub document: serde_json::Value,
}

impl Engine {
    /// How much of the past is kept.
    pub fn history(&self) -> HistoryView {
        let kept = self.core.history.kept();
        // On the events' clock the system has no time to tell: what was recorded last does.
        let now = self.core.engine_now().max(kept.latest.unwrap_or(Millis::MIN));
        HistoryView { since: kept.since.map(Millis::to_iso), now: now.to_iso(), whole: kept.is_whole }
    }

    /// Recorded events, each partition's in order: what is recorded at the time of the call. `held` is let go once history
    /// is read, or nobody takes what is read.
    pub fn recorded_events(&self, query: &PastQuery, held: impl Send + 'static) -> RecordedEvents {
        let (sender, pages) = mpsc::channel(PAGES_WAITING);
        let (history, range) = (Arc::clone(&self.core.history), query.range());
        let is_whole = Arc::new(AtomicBool::new(false));
        let reached_the_end = Arc::clone(&is_whole);
        tokio::task::spawn_blocking(move || {
            if read_pages(&*history, range, &sender).is_continue() {
                reached_the_end.store(true, Ordering::Release);
            }
            drop(held);
        });
        RecordedEvents { engine: self.clone(), pages, is_whole }
    }

    /// Profiles, partition by partition. `held` is let go with the answer.
    pub fn recorded_profiles(&self, held: impl Send + 'static) -> RecordedProfiles {
        RecordedProfiles { engine: self.clone(), partition: PartitionId(0), keys: Vec::new(), _held: Box::new(held) }
    }
}

/// Recorded events on their way out. Dropping it ends the reading.
#[derive(Debug)]
pub struct RecordedEvents {
    engine: Engine,
    pages: mpsc::Receiver<Vec<HistoryEntry>>,
    /// Set before the pages end, if that is because history does.
    is_whole: Arc<AtomicBool>,
}

impl RecordedEvents {
    /// The next ones; `None` at the end.
    ///
    /// # Errors
    /// There are more that were not read: they were not taken for too long, or the engine is stopping.
    pub async fn next(&mut self) -> Result<Option<Vec<RecordedEvent>>, RequestError> {
        let Some(page) = self.pages.recv().await else {
            let cut = RequestError::Conflict("history was not read to its end".to_owned());
            return if self.is_whole.load(Ordering::Acquire) { Ok(None) } else { Err(cut) };
        };
        let Some(first) = page.first() else { return Ok(Some(Vec::new())) };
        let mut keys: Vec<ProfileKey> = page.iter().map(|entry| entry.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let identities = self.engine.identities(first.partition, keys).await?;
        Ok(Some(page.into_iter().filter_map(|entry| recorded(entry, &identities)).collect()))
    }
}

fn recorded(entry: HistoryEntry, identities: &BTreeMap<ProfileKey, SmolStr>) -> Option<RecordedEvent> {
    let HistoryEvent { id, kind, time, properties } = entry.event?;
    let profile = identities.get(&entry.key).map(SmolStr::to_string);
    Some(RecordedEvent {
        at: entry.at.to_iso(),
        id: id.into(),
        kind: kind.into(),
        key: profile.is_none().then(|| format!("{:032x}", entry.key.0)),
        profile,
        time: time.map(Millis::to_iso),
        properties: Value::Map(map_from(&properties).unwrap_or_default()).to_json(),
    })
}

/// Profiles on their way out.
#[expect(missing_debug_implementations, reason = "holds whatever its caller wants held")]
pub struct RecordedProfiles {
    engine: Engine,
    /// The next partition to be asked for its keys.
    partition: PartitionId,
    /// Of the partition before it, not told yet.
    keys: Vec<ProfileKey>,
    _held: Box<dyn Send>,
}

impl RecordedProfiles {
    /// The next ones; `None` at the end. A profile that comes while this goes on may be told or not.
    ///
    /// # Errors
    /// The engine is stopping.
    pub async fn next(&mut self) -> Result<Option<Vec<RecordedProfile>>, RequestError> {
        while self.keys.is_empty() {
            if self.partition.0 >= self.engine.core.router.partition_count() {
                return Ok(None);
            }
            self.keys = self.engine.ask(self.partition, |p| p.table.keys().collect()).await?;
            self.partition.0 += 1;
        }
        let page = self.keys.split_off(self.keys.len().saturating_sub(PAGE_PROFILES));
        let asked = PartitionId(self.partition.0 - 1);
        let found: Vec<(SmolStr, Map)> = self
            .engine
            .ask(asked, move |p| {
                let awake = page.into_iter().filter_map(|key| p.table.wake(key).ok().flatten());
                awake.map(|profile| (profile.identity, profile.document)).collect()
            })
            .await?;
        let told = |(profile, document): (SmolStr, Map)| RecordedProfile {
            profile: profile.into(),
            document: Value::Map(document).to_json(),
        };
        Ok(Some(found.into_iter().map(told).collect()))
    }
}

/// Sends entries with events, page by page, each page of one partition. Breaks off when nobody takes them.
fn read_pages(
    history: &dyn History,
    range: Range<Millis>,
    sender: &mpsc::Sender<Vec<HistoryEntry>>,
) -> ControlFlow<()> {
    let runtime = tokio::runtime::Handle::current();
    let send = |page| match runtime.block_on(sender.send_timeout(page, PATIENCE)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let mut flow = ControlFlow::Continue(());
    let (mut page, mut bytes): (Vec<HistoryEntry>, usize) = (Vec::new(), 0);
    history.visit(range, None, &mut |mut entry| {
        let Some(event) = &entry.event else {
            flow = if sender.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            return flow;
        };
        let size = event.properties.len();
        entry.steps = Vec::new();
        entry.notes = Vec::new();
        let is_other = page.first().is_some_and(|first| first.partition != entry.partition);
        if page.len() == PAGE_ENTRIES || is_other || bytes + size > PAGE_BYTES && !page.is_empty() {
            flow = send(std::mem::take(&mut page));
            bytes = 0;
        }
        bytes += size;
        page.push(entry);
        flow
    });
    if flow.is_continue() && !page.is_empty() {
        flow = send(page);
    }
    flow
}
