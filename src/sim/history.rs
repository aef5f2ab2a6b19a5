//! What is durable, as an outsider keeps it: every record that a sync covered, and the state that records make when they
//! are installed one after the other into fresh partitions. The engine is measured against this, never asked for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::domain::apply::Firing;
use crate::domain::catalog::Catalog;
use crate::domain::ids::{CatalogVersion, DeliveryId, Millis, PartitionId, ProfileKey, stable_hash};
use crate::domain::profile::Profile;
use crate::runtime::partition::Partition;
use crate::sim::Violation;
use crate::sim::client::Client;
use crate::sim::laws;
use crate::wire::record::{Mark, RecordKind, records};

/// Where a mark was applied last.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// Engine time.
    pub at: Millis,
    /// When its id is forgotten; never for sequences.
    pub expires: Millis,
}

/// What makes an event recognisable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Producer, epoch, sequence.
    Stream(u64, u32, u64),
    /// Hash of profile and id.
    Id(u128),
}

impl Key {
    /// The key of a mark.
    pub fn of(mark: &Mark) -> Self {
        match *mark {
            Mark::Stream { producer, epoch, sequence } => Self::Stream(producer, epoch, sequence),
            Mark::Id { hash, .. } => Self::Id(hash),
        }
    }
}

/// One partition's durable records.
#[derive(Debug)]
pub struct Book {
    /// The state they make.
    pub shadow: Partition,
    /// A hash of each record, by pseq from 1.
    hashes: Vec<u64>,
    /// Catalog of the last record.
    pub catalog: CatalogVersion,
    /// Order of the last event of each profile in this life of the process.
    pub last_order: HashMap<ProfileKey, u64>,
    /// The last sequence of each producer, with its epoch, and when it came.
    pub sequences: HashMap<u64, (u32, u64, Millis)>,
}

/// Everything durable.
#[derive(Debug)]
pub struct History {
    /// By partition.
    pub books: BTreeMap<PartitionId, Book>,
    /// Durable catalogs, by version; the last one is in force.
    pub catalogs: BTreeMap<CatalogVersion, Arc<Catalog>>,
    /// Where events were applied.
    pub applied: HashMap<Key, Applied>,
    /// Every delivery ever decided, and whether it is settled.
    pub deliveries: BTreeMap<DeliveryId, Fate>,
    /// Deliveries decided in this life of the process: those of lives before may have left.
    pub decided: HashSet<DeliveryId>,
    /// Deliveries that channels took in this life of the process.
    pub offered: HashSet<DeliveryId>,
    /// Records so far.
    pub record_count: u64,
    /// Steps so far.
    pub step_count: u64,
    /// No engine time may be beyond this.
    pub time_max: Millis,
    /// Which clock decides.
    pub firing: Firing,
    /// Fired timers so far.
    pub fired_count: u64,
    /// Lines about records, if the trace is kept.
    pub lines: Option<Vec<String>>,
    /// Whoever else wants to judge the records.
    pub witness: Option<crate::sim::witness::Witness>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// In the outbox.
    Open,
    /// A provider took it.
    Sent,
    /// It never will.
    Failed,
    /// Taken back.
    Cancelled,
    /// A call that was answered or taken back.
    Called,
}

impl History {
    /// Nothing yet.
    pub fn new(partitions: u16, firing: Firing) -> Self {
        let ids = (0..partitions).map(PartitionId).chain([PartitionId::SYSTEM]);
        Self {
            books: ids.map(|id| (id, Book::new(id))).collect(),
            catalogs: BTreeMap::from([(CatalogVersion(0), Arc::default())]),
            applied: HashMap::new(),
            deliveries: BTreeMap::new(),
            decided: HashSet::new(),
            offered: HashSet::new(),
            record_count: 0,
            step_count: 0,
            time_max: Millis::MIN,
            firing,
            fired_count: 0,
            lines: None,
            witness: None,
        }
    }

    /// The catalog in force.
    pub fn catalog(&self) -> &Arc<Catalog> {
        self.catalogs.values().next_back().expect("there is always one")
    }

    /// The book of a partition.
    pub fn book(&self, id: PartitionId) -> &Book {
        &self.books[&id]
    }

    /// Takes in a block that a sync covered, or that recovery vouches for. Records seen before must be as they were.
    pub fn take(&mut self, block: &[u8], client: &Client) -> Result<(), Violation> {
        for read in records(block) {
            let (range, record) =
                read.map_err(|error| Violation::new(format!("a durable record is broken: {error}")))?;
            let hash = stable_hash(&[&block[range]]) as u64;
            let id = record.head.partition;
            let Some(book) = self.books.get_mut(&id) else {
                return Err(Violation::new(format!("a record of partition {id}, which there is not")));
            };
            let (count, pseq) = (book.hashes.len() as u64, record.head.pseq.0);
            if pseq <= count {
                if pseq == 0 || book.hashes[pseq as usize - 1] != hash {
                    return Err(Violation::new(format!("record {pseq} of partition {id} is not what it was")));
                }
                continue;
            }
            if pseq != count + 1 {
                return Err(Violation::new(format!("partition {id} goes from record {count} to {pseq}")));
            }
            book.hashes.push(hash);
            self.record_count += 1;
            if record.head.kind == RecordKind::Catalog {
                let catalog = Catalog::from_record(&record.payload);
                let catalog = catalog.map_err(|e| Violation::new(format!("a durable catalog can't be read: {e}")))?;
                let version = catalog.version;
                self.catalogs.insert(version, Arc::new(catalog));
                if let Some(witness) = &mut self.witness {
                    witness.published(version)?;
                }
            }
            if let Some(lines) = &mut self.lines {
                lines.push(laws::line(&record));
            }
            laws::check(self, &record, client)?;
        }
        Ok(())
    }

    /// A block that a damaged disk still shows holds nothing but durable records, as they were.
    pub fn knows(&self, block: &[u8]) -> Result<(), Violation> {
        for read in records(block) {
            let (range, record) =
                read.map_err(|error| Violation::new(format!("a broken record is taken for whole: {error}")))?;
            let hash = stable_hash(&[&block[range]]) as u64;
            let (id, pseq) = (record.head.partition, record.head.pseq.0);
            let known = self.books.get(&id).and_then(|book| book.hashes.get((pseq as usize).wrapping_sub(1)));
            if known != Some(&hash) {
                return Err(Violation::new(format!("record {pseq} of partition {id} is not what was ever durable")));
            }
        }
        Ok(())
    }

    /// Compares a partition that recovery opened, or a running one at rest, with what its records make.
    pub fn compare(&self, what: &str, seen: &Seen) -> Result<(), Violation> {
        let id = seen.id;
        let shadow = &self.book(id).shadow;
        let differs = |field: &str, is: String, due: String| {
            Err(Violation::new(format!("partition {id}, {what}: its {field} is {is}; its durable records make {due}")))
        };
        if seen.pseq != shadow.pseq.0 {
            return differs("last record", seen.pseq.to_string(), shadow.pseq.to_string());
        }
        let due = Seen::of(shadow, self.time_max);
        if seen.events != due.events {
            return differs("count of events", seen.events.to_string(), due.events.to_string());
        }
        if seen.times != due.times {
            return differs("engine time, epoch", format!("{:?}", seen.times), format!("{:?}", due.times));
        }
        if seen.counts != due.counts {
            return differs("counters", seen.counts.clone(), due.counts);
        }
        if seen.dedup != due.dedup {
            return differs("memory of repeats", seen.dedup.clone(), due.dedup);
        }
        if seen.outbox != due.outbox {
            return differs("outbox", seen.outbox.join(" | "), due.outbox.join(" | "));
        }
        if seen.mail != due.mail {
            return differs("mail", seen.mail.clone(), due.mail);
        }
        for (key, profile) in &due.profiles {
            let found = seen.profiles.get(key);
            if found != Some(profile) {
                return differs(&format!("profile {}", profile.identity), format!("{found:?}"), format!("{profile:?}"));
            }
        }
        if seen.profiles.len() != due.profiles.len() {
            return differs("count of profiles", seen.profiles.len().to_string(), due.profiles.len().to_string());
        }
        if seen.hash_sum != due.hash_sum {
            return differs("decision hash", format!("{:x}", seen.hash_sum), format!("{:x}", due.hash_sum));
        }
        Ok(())
    }

    /// No timer is due at `now` or before: everything that time brought has happened.
    pub fn check_nothing_overdue(&self, now: Millis) -> Result<(), Violation> {
        for (id, book) in &self.books {
            let overdue = book.shadow.table.timers().find(|timer| timer.due <= now);
            if let Some(timer) = overdue {
                let who = book.shadow.table.wake(timer.key).ok().flatten().map(|p| p.identity).unwrap_or_default();
                let at = timer.due;
                return Err(Violation::new(format!(
                    "partition {id}: the timer of {who}, entry {}, generation {}, was due at {at}; it is {now}, all is at rest, and it has not fired",
                    timer.ordinal, timer.generation
                )));
            }
        }
        Ok(())
    }

    /// The next timer of all.
    pub fn next_due(&self) -> Option<Millis> {
        let timers = self.books.values().flat_map(|book| book.shadow.table.timers().map(|timer| timer.due));
        timers.filter(|due| *due < Millis::NEVER).min()
    }

    /// Profiles inside journeys.
    pub fn instance_count(&self) -> usize {
        self.books.values().map(|book| book.shadow.table.timer_count()).sum()
    }

    /// Sum of the partitions' decision hashes.
    pub fn hash_sum(&self) -> u128 {
        self.books.values().fold(0, |sum, book| sum.wrapping_add(book.shadow.hash_sum))
    }

    /// A process begins: what counts within one life begins anew.
    pub fn new_life(&mut self) {
        self.offered.clear();
        self.decided.clear();
        for book in self.books.values_mut() {
            book.last_order.clear();
        }
    }
}

impl Book {
    fn new(id: PartitionId) -> Self {
        Self {
            shadow: Partition::new(id),
            hashes: Vec::new(),
            catalog: CatalogVersion(0),
            last_order: HashMap::new(),
            sequences: HashMap::new(),
        }
    }
}

/// What can be seen of a partition and must be as its records say.
#[derive(Debug)]
pub struct Seen {
    id: PartitionId,
    pseq: u64,
    events: u64,
    times: (Millis, u32),
    counts: String,
    dedup: String,
    outbox: Vec<String>,
    mail: String,
    profiles: BTreeMap<ProfileKey, Profile>,
    hash_sum: u128,
}

impl Seen {
    /// Looks at a partition. Ids that are forgotten by `now` don't count.
    pub fn of(partition: &Partition, now: Millis) -> Self {
        let profiles = partition.table.profiles().map_while(Result::ok).map(|profile| (profile.key, profile));
        Self {
            id: partition.id,
            pseq: partition.pseq.0,
            events: partition.events,
            times: (partition.engine_time, partition.epoch.0),
            counts: format!("{:?}", partition.counts.iter().collect::<Vec<_>>()),
            dedup: format!("{:?}", partition.dedup.known(partition.engine_time.max(now))),
            outbox: partition.outbox.rows().map(|row| format!("{row:?}")).collect(),
            mail: format!("{:?}", partition.mail),
            profiles: profiles.collect(),
            hash_sum: partition.hash_sum,
        }
    }
}
