//! Partitions, their journal and their snapshots on a memory disk, stepped by hand; and the state after every group.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use sojourn::domain::apply::Firing;
use sojourn::domain::catalog::{Catalog, SourceFile};
use sojourn::domain::effect::{DeliveryOutcome, DeliveryReport};
use sojourn::domain::event::Event;
use sojourn::domain::ids::{HashKey, Millis, PartitionId, ProfileKey, Pseq, SandboxId, ShardId};
use sojourn::domain::value::{Map, Value};
use sojourn::runtime::api::EventStatus;
use sojourn::runtime::opener::{TailIndex, open_partition};
use sojourn::runtime::partition::Partition;
use sojourn::runtime::partition::decide::{Circumstances, DecideConfig, Draught};
use sojourn::runtime::partition::table::Extent;
use sojourn::store::directory::{DataDirectory, DirectoryOptions};
use sojourn::store::disk::Disk;
use sojourn::store::journal::{Block, Journal, JournalConfig, Lane, Note, Position};
use sojourn::store::memory::MemoryDisk;
use sojourn::store::snapshot::SnapshotKind;
use sojourn::store::snapshot_store::SnapshotStore;
use sojourn::wire::record::{Mark, records, spans};
use sojourn::wire::value::put_map;

use crate::dice::Dice;

/// Partitions beside that of the system. The last one has many profiles, so that its snapshots have several pages.
pub const PARTITIONS: u16 = 4;
const PROFILES: u64 = 12;
const PROFILES_OF_LAST: u64 = 520;

const RESOURCES: &str = r#"
kind: event
name: go
schema: { total: number, note: string }
---
kind: event
name: quit
schema: {}
---
kind: attribute
name: tier
type: string
---
kind: surface
name: shop
channel: webhook
webhook:
  url: "http://127.0.0.1:9/in"
---
kind: message
name: hello
channel: log
body: "hello {{ profile.tier }} {{ event.total }}"
---
kind: message
name: call
channel: webhook
surface: shop
body: '{"note": {{ event.note|tojson }} }'
---
kind: journey
name: j
entry: { event: go }
exit: [ { event: quit } ]
start: call
nodes:
  call: { message: call, then: pause }
  pause: { wait: 30m, then: big }
  big:
    condition:
      - { when: "event.total > 50.0", then: send }
    otherwise: later
  send: { message: hello, then: later }
  later: { wait: 90d, then: done }
  done: { end: true }
"#;

/// What somebody who asks a partition could be told, as one number.
pub type Print = u64;

/// What all partitions come to, in ascending order: the system's is the last.
pub type Prints = Vec<Print>;

/// Whether the state after every group is worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    On,
    /// The same steps were recorded before.
    Off,
}

/// One group as it was written, and the state after it.
#[derive(Clone, Debug)]
pub struct Written {
    pub place: Option<Position>,
    pub block: Vec<u8>,
    pub state: Prints,
}

/// The machine has stopped.
#[derive(Debug)]
pub struct Stopped;

/// The parts of an engine that answer for its data.
pub struct World {
    pub disk: MemoryDisk,
    /// Groups handed to the journal, in order; empty blocks and states unless recorded.
    pub groups: Vec<Written>,
    /// How many of them were acknowledged.
    pub acknowledged: usize,
    /// How many of them were noted beside the journal: no start may miss one.
    pub noted: usize,
    recording: Recording,
    running: Option<(Journal, Lane, SnapshotStore)>,
    partitions: BTreeMap<PartitionId, Partition>,
    /// What recovery makes of the records alone.
    shadows: BTreeMap<PartitionId, Partition>,
    catalog: Catalog,
    draught: Draught,
    dice: Dice,
    now: i64,
    sequence: u64,
    /// The last event of each partition that was acknowledged.
    last_events: BTreeMap<PartitionId, Input>,
}

/// An event and how it was marked.
#[derive(Clone)]
struct Input {
    event: Event,
    key: ProfileKey,
    mark: Mark,
}

pub fn journal_config() -> JournalConfig {
    JournalConfig { segment_bytes: 64 << 10, tail_bytes_max: 4 << 20, ..JournalConfig::default() }
}

const CONFIG: DecideConfig = DecideConfig {
    id_window_ms: 6 * 3_600_000,
    ids_max: 1_000,
    outbox_rows_max: 1_000,
    held_max: 100_000,
    entrants_max: 100_000,
    firing: Firing::Engine,
    calls: sojourn::domain::apply::Calls::Made,
    partitions: PARTITIONS,
    hash_key: HashKey::FIXED,
};

fn all_partitions() -> impl Iterator<Item = PartitionId> {
    (0..PARTITIONS).map(PartitionId).chain(std::iter::once(PartitionId::SYSTEM))
}

fn profiles_of(partition: PartitionId) -> u64 {
    if partition.0 == PARTITIONS - 1 { PROFILES_OF_LAST } else { PROFILES }
}

impl World {
    /// A world on an empty disk that runs as `seed` says.
    pub fn new(disk: MemoryDisk, seed: u64, recording: Recording) -> Self {
        let file = SourceFile { name: "j.yaml".to_owned(), text: RESOURCES.to_owned() };
        let (catalog, _) = Catalog::default().apply(&[file], Millis(0)).expect("has no errors");
        let blank = || all_partitions().map(|id| (id, Partition::new(id))).collect();
        Self {
            disk,
            groups: Vec::new(),
            acknowledged: 0,
            noted: 0,
            recording,
            running: None,
            partitions: blank(),
            shadows: blank(),
            catalog,
            draught: Draught::default(),
            dice: Dice(seed),
            now: 0,
            sequence: 0,
            last_events: BTreeMap::new(),
        }
    }

    /// Starts on the empty disk. The first group publishes the catalog.
    pub fn begin(&mut self) -> Result<(), Stopped> {
        let Opened { journal, snapshots, .. } = opened_unless_stopped(&self.disk)?;
        let lane = journal.take_lane(0).expect("first take");
        self.running = Some((journal, lane, snapshots));
        let system = self.partitions.get_mut(&PartitionId::SYSTEM).expect("there");
        let about = Circumstances { config: &CONFIG, catalog: &self.catalog, now: Millis(0) };
        system.decide_catalog(&self.catalog.to_record(), about, &mut self.draught);
        self.write()
    }

    /// Kills the process, or stops it in order, and starts it again: what it serves is what was there before.
    pub fn restart(&mut self) -> Result<(), Stopped> {
        let (_, mut lane, _) = self.running.take().expect("running");
        if self.dice.below(2) == 0 {
            lane.finish().map_err(|_| Stopped)?;
        }
        drop(lane);
        let Opened { journal, snapshots, partitions } = opened_unless_stopped(&self.disk)?;
        if self.recording == Recording::On {
            let prints = Opened::of(&self.disk.crash_keep_all()).expect("opened a moment ago").prints();
            assert_eq!(prints, self.groups.last().expect("the catalog's").state, "a restart changes nothing");
        }
        self.partitions = partitions;
        let lane = journal.take_lane(0).expect("first take");
        self.running = Some((journal, lane, snapshots));
        self.noted = self.acknowledged;
        self.pass();
        Ok(())
    }

    /// Some inputs of one or two partitions, as one group.
    pub fn step(&mut self) -> Result<(), Stopped> {
        self.now += 1_000 * self.dice.below(600) as i64;
        let first = PartitionId(self.dice.below(u64::from(PARTITIONS)) as u16);
        let second = PartitionId(self.dice.below(u64::from(PARTITIONS)) as u16);
        for _ in 0..=self.dice.below(8) {
            let id = if self.dice.below(3) == 0 { second } else { first };
            self.decide(id);
        }
        if self.draught.bytes.is_empty() {
            self.decide_event(first);
        }
        self.write()
    }

    fn decide(&mut self, id: PartitionId) {
        match self.dice.below(8) {
            0 => {
                let key = profile(id, self.dice.below(profiles_of(id))).1;
                let about = Circumstances { config: &CONFIG, catalog: &self.catalog, now: Millis(self.now) };
                let partition = self.partitions.get_mut(&id).expect("there");
                partition.decide_due(key, about, &mut self.draught).expect("decides");
            }
            1 | 2 => {
                let partition = self.partitions.get_mut(&id).expect("there");
                let Some(row) = partition.outbox.rows().next() else { return };
                let reason = || "refused".to_owned();
                let outcome = match self.dice.below(5) {
                    0 => DeliveryOutcome::AttemptStarted,
                    1 => DeliveryOutcome::AttemptFailed { reason: reason() },
                    2 => DeliveryOutcome::InDoubt { reason: reason() },
                    3 => DeliveryOutcome::Failed { reason: reason() },
                    _ => DeliveryOutcome::Sent,
                };
                let report = DeliveryReport { id: row.id, outcome };
                let about = Circumstances { config: &CONFIG, catalog: &self.catalog, now: Millis(self.now) };
                partition.decide_report(&report, about, &mut self.draught).expect("rows can be read");
            }
            _ => self.decide_event(id),
        }
    }

    fn decide_event(&mut self, id: PartitionId) {
        self.sequence += 1;
        let (name, key) = profile(id, self.dice.below(profiles_of(id)));
        let total = Value::Float(self.dice.below(100) as f64);
        let note = "n".repeat(self.dice.below(400) as usize);
        let (kind, map) = match self.dice.below(8) {
            0 => ("quit", Map::default()),
            1 => ("profile.update", Map(vec![("tier".into(), Value::Str("gold".into()))])),
            2 => ("unheard", Map::default()),
            _ => ("go", Map(vec![("total".into(), total), ("note".into(), Value::Str(note.into()))])),
        };
        let mut properties = Vec::new();
        put_map(&mut properties, &map);
        let event = Event {
            id: self.sequence.to_string().into(),
            kind: kind.into(),
            profile: name.into(),
            time: Some(Millis(self.now)),
            properties: properties.into(),
        };
        let mark = match self.dice.below(2) {
            0 => Mark::Stream { producer: u64::from(id.0), epoch: 0, sequence: self.sequence },
            _ => Mark::Id { hash: u128::from(self.sequence), expires: Millis(self.now + CONFIG.id_window_ms) },
        };
        let input = Input { event, key, mark };
        let about = Circumstances { config: &CONFIG, catalog: &self.catalog, now: Millis(self.now) };
        let partition = self.partitions.get_mut(&id).expect("there");
        let status = partition.decide_event(&input.event, key, mark, about, &mut self.draught).expect("decides");
        assert!(matches!(status, EventStatus::Accepted), "{status:?}");
        self.last_events.insert(id, input);
    }

    /// Hands what was decided to the journal as one group.
    fn write(&mut self) -> Result<(), Stopped> {
        let block = std::mem::take(&mut self.draught.bytes);
        self.draught = Draught::default();
        let state = match self.recording {
            Recording::On => self.follow(&block),
            Recording::Off => Vec::new(),
        };
        let number = self.groups.len() as u64;
        let group = Block::new(ShardId(0), number, 0, block.clone(), spans(&block));
        let (_, lane, _) = self.running.as_mut().expect("running");
        let place = lane.write_group(&[group]);
        let written = Written { place: place.as_ref().ok().copied(), block, state };
        self.groups.push(written);
        self.acknowledged += usize::from(place.is_ok());
        place.map(|_| ()).map_err(|_| Stopped)
    }

    /// Installs a block where only records are known, and checks that this comes to what was decided.
    fn follow(&mut self, block: &[u8]) -> Prints {
        let mut state = match self.groups.last() {
            Some(before) => before.state.clone(),
            None => self.shadows.values_mut().map(print).collect(),
        };
        for record in records(block) {
            let (_, record) = record.expect("written just now");
            let shadow = self.shadows.get_mut(&record.head.partition).expect("there");
            shadow.install(&record, &self.catalog).expect("installs");
        }
        for (id, _) in spans(block) {
            let index = self.shadows.keys().position(|other| *other == id).expect("there");
            let shadow = self.shadows.get_mut(&id).expect("there");
            state[index] = print(shadow);
            let decided = &self.partitions[&id];
            assert_eq!(small_state(shadow), small_state(decided), "partition {id}: records say what was decided");
            assert!(shadow.table.timers().eq(decided.table.timers()), "partition {id}: and which timers there are");
        }
        state
    }

    /// Cuts a partition as the shard does and publishes the cut as the keeper does.
    pub fn checkpoint(&mut self) -> Result<(), Stopped> {
        let ids: Vec<PartitionId> = self.partitions.keys().copied().collect();
        let id = *self.dice.pick(&ids);
        let (journal, _, snapshots) = self.running.as_ref().expect("running");
        let partition = self.partitions.get_mut(&id).expect("there");
        // Also one that has not changed since its last cut: the journal can't forget what only one snapshot holds.
        if partition.pseq == Pseq(0) {
            return Ok(());
        }
        let extent = match snapshots.kind_due(id) {
            SnapshotKind::Full => Extent::Whole,
            SnapshotKind::Delta { .. } => Extent::Dirty,
        };
        partition.cut = partition.pseq;
        if partition.horizon.needs_rebuild() {
            partition.horizon.rebuild(partition.table.timers());
        }
        partition.generation += 1;
        partition.horizon.take_for_checkpoint(partition.generation);
        let (mut parts, mut pages) = (Vec::new(), Vec::new());
        partition.put_parts(&mut parts);
        partition.table.begin_capture(extent);
        assert!(partition.table.capture_some(usize::MAX, &mut pages), "all pages are copied");
        let next_due = partition.table.timers().map(|timer| timer.due).min().unwrap_or(Millis::NEVER);
        journal.note_durable(Note::Synced);
        self.noted = self.acknowledged;
        let published = (|| {
            let mut writer = snapshots.begin(id, partition.pseq, &[])?;
            for (page, bytes) in &pages {
                writer.page(*page, bytes)?;
            }
            writer.parts(&parts)?;
            snapshots.publish(vec![writer.finish(next_due)?])
        })();
        published.map_err(|_| Stopped)?;
        partition.horizon.checkpoint_done(partition.generation);
        self.pass();
        Ok(())
    }

    fn pass(&self) {
        let (journal, _, snapshots) = self.running.as_ref().expect("running");
        for (id, _) in snapshots.all_latest() {
            let older = snapshots.recyclable_until(id);
            if older > Pseq(0) {
                journal.passed(id, older);
            }
        }
    }

    /// Stops in order.
    pub fn finish(&mut self) {
        self.running.as_mut().expect("running").1.finish().expect("marks the end");
        self.noted = self.acknowledged;
    }

    /// Whether each of the last acknowledged events is known to `opened`, as a producer who repeats it would find.
    pub fn knows_last_events(&self, opened: &mut Opened) {
        for (id, input) in &self.last_events {
            let Input { event, key, mark } = input;
            let about = Circumstances { config: &CONFIG, catalog: &self.catalog, now: Millis(self.now) };
            let partition = opened.partitions.get_mut(id).expect("there");
            let status = partition.decide_event(event, *key, *mark, about, &mut Draught::default());
            assert!(matches!(status, Ok(EventStatus::Duplicate)), "partition {id}: {status:?}");
        }
    }
}

fn profile(partition: PartitionId, number: u64) -> (String, ProfileKey) {
    let value = format!("{partition}-{number}");
    let key = HashKey::FIXED.profile_key(SandboxId::DEFAULT, "crm", &value);
    (format!("crm:{value}"), key)
}

/// What a partition answers: everything but where its timers wait and which checkpoint was its last. All its pages count
/// as copied afterwards: not for a partition that is to be cut.
fn print(partition: &mut Partition) -> Print {
    let mut pages = Vec::new();
    partition.table.begin_capture(Extent::Whole);
    assert!(partition.table.capture_some(usize::MAX, &mut pages), "all pages are copied");
    let mut hasher = DefaultHasher::new();
    hasher.write(&small_state(partition));
    for (_, bytes) in pages {
        hasher.write(&bytes);
    }
    hasher.finish()
}

fn small_state(partition: &Partition) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&partition.pseq.0.to_le_bytes());
    bytes.extend_from_slice(&partition.engine_time.0.to_le_bytes());
    bytes.extend_from_slice(&partition.epoch.0.to_le_bytes());
    bytes.extend_from_slice(&partition.events.to_le_bytes());
    bytes.extend_from_slice(&partition.hash_sum.to_le_bytes());
    bytes.extend_from_slice(&partition.catalog_record);
    partition.dedup.put(&mut bytes);
    partition.outbox.put(&mut bytes);
    partition.counts.put(&mut bytes);
    bytes
}

/// What a partition without any record comes to, for all of them.
pub fn nothing() -> Prints {
    all_partitions().map(|id| print(&mut Partition::new(id))).collect()
}

/// Opens a disk on which nothing is damaged: all that may be in the way is that the machine stops.
fn opened_unless_stopped(disk: &MemoryDisk) -> Result<Opened, Stopped> {
    match Opened::of(disk) {
        Ok(opened) => Ok(opened),
        Err(error) if error.contains("the machine has stopped") => Err(Stopped),
        Err(error) => panic!("nothing is damaged: {error}"),
    }
}

/// What a start found.
#[derive(Debug)]
pub struct Opened {
    journal: Journal,
    pub snapshots: SnapshotStore,
    partitions: BTreeMap<PartitionId, Partition>,
}

impl Opened {
    /// Opens everything as the engine does; the error as the operator reads it.
    pub fn of(disk: &MemoryDisk) -> Result<Self, String> {
        let (journal, tail, snapshots) = open_files(disk)?;
        let system = open_partition(PartitionId::SYSTEM, &snapshots, &tail, &Catalog::default());
        let system = system.map_err(|error| error.to_string())?;
        let catalog = match system.catalog_record.as_slice() {
            [] => Catalog::default(),
            record => Catalog::from_record(record).map_err(|error| format!("the catalog: {error}"))?,
        };
        let mut partitions = BTreeMap::from([(PartitionId::SYSTEM, system)]);
        for id in (0..PARTITIONS).map(PartitionId) {
            let partition = open_partition(id, &snapshots, &tail, &catalog).map_err(|error| error.to_string())?;
            partitions.insert(id, partition);
        }
        Ok(Self { journal, snapshots, partitions })
    }

    /// Whether a partition was read from a snapshot that is not its newest.
    pub fn fell_back(&self) -> bool {
        let load = |id| self.snapshots.load(id).expect("loaded a moment ago");
        all_partitions().any(|id| load(id).is_some_and(|loaded| loaded.fell_back.is_some()))
    }

    pub fn prints(&mut self) -> Prints {
        self.partitions.values_mut().map(print).collect()
    }
}

fn open_files(disk: &MemoryDisk) -> Result<(Journal, TailIndex, SnapshotStore), String> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = DirectoryOptions { partition_count: PARTITIONS, ..DirectoryOptions::default() };
    let directory = DataDirectory::on_disk(Arc::clone(&shared), options).map_err(|error| error.to_string())?;
    let snapshots = SnapshotStore::open(Arc::clone(&shared)).map_err(|error| error.to_string())?;
    let opened = Journal::open(shared, directory.header().id, journal_config(), spans);
    let (journal, tail) = opened.map_err(|error| error.to_string())?;
    let tail = TailIndex::build(&tail, |_| {}).map_err(|error| error.to_string())?;
    Ok((journal, tail, snapshots))
}
