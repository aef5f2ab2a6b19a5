//! Recovery of a partition: images from a snapshot's pages and parts, then records of the tail. Executes nothing.
//!
//! Parts of a snapshot (what is not in pages), all of it at the same cut:
//! ```text
//! format u8 = 4 · pseq u64 · generation u64 · engine time i64 · epoch u32 · events u64 · hash sum u128 · catalog record ·
//! dedup · outbox · counts · mail · horizon (the rest)
//! ```
//! Format 3 has no counts of events that pauses keep, nor of how the calls ended that failed; it is read, and not written.

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::catalog::Catalog;
use crate::domain::effect::OutboxRow;
use crate::domain::ids::{Millis, OwnershipEpoch, PartitionId, Pseq, VersionId};
use crate::domain::profile::Profile;
use crate::planted::{Bug, is_planted};
use crate::runtime::horizon::{Horizon, Placement};
use crate::runtime::partition::counts::{Counts, Layout};
use crate::runtime::partition::decide::surface_of;
use crate::runtime::partition::dedup::Dedup;
use crate::runtime::partition::mail::Mail;
use crate::runtime::partition::outbox::Outbox;
use crate::runtime::partition::table::Rewrite;
use crate::runtime::partition::{Partition, chain_share};
use crate::store::timers::TimerEntry;
use crate::wire::component;
use crate::wire::cursor::{Cursor, WireError, put_bytes};
use crate::wire::outbox::OutboxChange;
use crate::wire::record::{ProfileRecord, Record, RecordKind};

const PARTS_FORMAT: u8 = 4;
/// The one before, which counts less.
const PARTS_FORMAT_BEFORE: u8 = 3;

impl Partition {
    /// Everything that is not in pages, as it is now.
    pub fn put_parts(&self, out: &mut Vec<u8>) {
        out.push(PARTS_FORMAT);
        out.extend_from_slice(&self.pseq.0.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.engine_time.0.to_le_bytes());
        let epoch = if is_planted(Bug::EpochNotInSnapshot) { 0 } else { self.epoch.0 };
        out.extend_from_slice(&epoch.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        out.extend_from_slice(&self.hash_sum.to_le_bytes());
        put_bytes(out, &self.catalog_record);
        self.dedup.put(out);
        if is_planted(Bug::OutboxNotInSnapshot) {
            Outbox::default().put(out);
        } else {
            self.outbox.put(out);
        }
        if is_planted(Bug::CountersNotInSnapshot) {
            Counts::default().put(out);
        } else {
            self.counts.put(out);
        }
        self.mail.put(out);
        self.horizon.encode(out);
    }

    /// Installs a snapshot: parts, then pages in ascending order.
    pub fn from_snapshot<'a>(
        id: PartitionId,
        parts: &[u8],
        pages: impl Iterator<Item = (u32, &'a [u8])>,
        catalog: &Catalog,
    ) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(parts);
        let format = cursor.u8("format")?;
        let layout = match format {
            PARTS_FORMAT => Layout::Now,
            PARTS_FORMAT_BEFORE => Layout::Before,
            _ => return Err(WireError::invalid("snapshot format", format)),
        };
        let mut partition = Self::new(id);
        partition.pseq = Pseq(cursor.u64("pseq")?);
        partition.cut = partition.pseq;
        partition.generation = cursor.u64("generation")?;
        partition.engine_time = Millis(cursor.i64("engine time")?);
        partition.epoch = OwnershipEpoch(cursor.u32("epoch")?);
        partition.events = cursor.u64("events")?;
        partition.hash_sum = cursor.u128("hash sum")?;
        partition.catalog_record = cursor.bytes("catalog record")?.to_vec();
        partition.dedup = Dedup::read(&mut cursor)?;
        partition.outbox = Outbox::read(&mut cursor, |row| known_surface_of(catalog, row))?;
        partition.outbox.rows().try_for_each(|row| expect_known(catalog, row))?;
        partition.counts = Counts::read(&mut cursor, layout)?;
        partition.mail = Mail::read(&mut cursor)?;
        partition.horizon = Horizon::decode(cursor.rest()).map_err(|e| WireError::invalid("horizon", e))?;
        for (page, bytes) in pages {
            partition.table.install_page(page, bytes, |profile| expect_places(catalog, profile))?;
        }
        Ok(partition)
    }

    /// Installs a record of the tail. Records at or before the cut are skipped; a gap is corruption.
    pub fn install(&mut self, record: &Record<'_>, catalog: &Catalog) -> Result<(), WireError> {
        let head = &record.head;
        if head.pseq <= self.pseq {
            if is_planted(Bug::ReplayCountsTwice) && head.kind == RecordKind::Profile {
                self.install_profile(record, catalog)?;
            }
            return Ok(());
        }
        if head.pseq.0 != self.pseq.0 + 1 {
            return Err(WireError::invalid(
                "journal",
                format!("partition {} goes from record {} to {}", self.id, self.pseq, head.pseq),
            ));
        }
        self.pseq = head.pseq;
        self.engine_time = self.engine_time.max(head.engine_time);
        self.epoch = head.epoch;
        match head.kind {
            RecordKind::Profile => self.install_profile(record, catalog)?,
            RecordKind::Catalog => self.catalog_record = record.payload.to_vec(),
            RecordKind::Ownership => {}
        }
        Ok(())
    }

    fn install_profile(&mut self, record: &Record<'_>, catalog: &Catalog) -> Result<(), WireError> {
        let payload = ProfileRecord::read(&record.payload)?;
        if let Some(mark) = &payload.mark {
            self.dedup.remember(mark, self.engine_time);
        }
        self.events += u64::from(payload.event.is_some());
        for step in &payload.steps {
            self.counts.count(step);
        }
        for change in payload.outbox {
            match &change {
                OutboxChange::Mail(change) => {
                    self.mail.install(change);
                    continue;
                }
                OutboxChange::Put(row) => expect_known(catalog, row)?,
                OutboxChange::Gone(_) | OutboxChange::State { .. } => {}
            }
            self.outbox.install(change, |row| known_surface_of(catalog, row));
        }
        if payload.components.is_empty() {
            return Ok(());
        }
        let key = record.head.key;
        let slot = self.table.find(key);
        let mut profile = component::blank_profile(key);
        if let Some(slot) = slot {
            self.table.wake_into(slot, &mut profile)?;
        }
        let before = chain_share(profile.chain);
        let stood = timers_of(&profile);
        component::install(&mut profile, payload.components)?;
        expect_places(catalog, &profile)?;
        let after = chain_share(profile.chain);
        self.hash_sum = self.hash_sum.wrapping_sub(before).wrapping_add(after);
        self.table.store(slot, &profile, Rewrite::Whole);
        let stands = timers_of(&profile);
        // What falls into an opened slot is found again when the rows are scanned after the replay.
        self.reschedule(&stood, &stands, |_| {});
        Ok(())
    }

    /// Refuses what was counted for versions that were never published.
    ///
    /// # Errors
    /// If there is such a version: reports would name it.
    pub fn expect_versions(&self, catalog: &Catalog) -> Result<(), WireError> {
        match self.counts.iter().map(|(version, _)| version).find(|version| !catalog.knows(*version)) {
            None => Ok(()),
            Some(version) => Err(WireError::invalid("counters", lacking(catalog, version, "they count"))),
        }
    }

    /// Tells the horizon which timers went and which came; `near` gets those for the wheel. Answers how many of the
    /// wheel's went.
    pub fn reschedule(
        &mut self,
        stood: &[TimerEntry],
        stands: &[TimerEntry],
        mut near: impl FnMut(TimerEntry),
    ) -> usize {
        let mut gone_near = 0;
        for timer in stood.iter().filter(|t| !stands.contains(t)) {
            gone_near += usize::from(self.horizon.cancel(timer) == Placement::Wheel);
        }
        for timer in stands.iter().filter(|t| !stood.contains(t)) {
            if self.horizon.set(*timer) == Placement::Wheel {
                near(*timer);
            }
        }
        gone_near
    }
}

/// The surface of a row that may be refused right after.
fn known_surface_of(catalog: &Catalog, row: &OutboxRow) -> Option<SmolStr> {
    catalog.knows(row.version).then(|| surface_of(catalog, row)).flatten()
}

/// Refuses a row of a version that was never published: the catalog's own record is lost.
fn expect_known(catalog: &Catalog, row: &OutboxRow) -> Result<(), WireError> {
    if catalog.knows(row.version) {
        return Ok(());
    }
    Err(WireError::invalid("outbox row", lacking(catalog, row.version, "it names")))
}

/// Refuses a profile in a place that was never published: its next event or timer could not be decided, and to end its
/// instance would throw away what the catalog's own record, once found, still knows how to go on with.
fn expect_places(catalog: &Catalog, profile: &Profile) -> Result<(), WireError> {
    for instance in &profile.instances {
        let (version, node) = (instance.version, instance.node);
        if !catalog.knows(version) {
            let journey = match catalog.journeys.get(instance.journey.0 as usize) {
                Some(name) => format!("journey `{name}`"),
                None => format!("journey number {}", instance.journey),
            };
            let what = format!("'{}' stands in {journey}, at a node of", profile.identity);
            return Err(WireError::invalid("profile", lacking(catalog, version, &what)));
        }
        let program = catalog.program(version);
        if usize::from(node.0) >= program.nodes.len() {
            let (identity, name, number) = (&profile.identity, &program.name, program.number);
            let nodes = program.nodes.len();
            let what = format!(
                "'{identity}' stands at node number {node} of journey `{name}`, version {number}, which has {nodes}"
            );
            return Err(WireError::invalid("profile", what));
        }
    }
    Ok(())
}

/// Says that the catalog lacks a version, and what mends it. Versions are never deleted: the record that published it is
/// older than whatever names it, so the files are not of one time.
fn lacking(catalog: &Catalog, version: VersionId, what: &str) -> String {
    let count = catalog.versions.len();
    format!(
        "{what} version number {version}, which the catalog lacks (it has {count}): journal and snapshots are not of the \
         same time; restore the whole data directory from one backup"
    )
}

/// The timers of a profile's instances.
pub fn timers_of(profile: &Profile) -> TimerList {
    profile
        .instances
        .iter()
        .map(|i| TimerEntry { key: profile.key, ordinal: i.ordinal, generation: i.generation, due: i.due })
        .collect()
}

/// Timers of one profile: mostly one or two.
pub type TimerList = SmallVec<[TimerEntry; 2]>;
