//! The snapshots of all partitions: publishes, loads, falls back, collects garbage.
//!
//! INVARIANT: a file that either copy of the manifest names is never removed. Two restorable points are kept per partition;
//! the journal may forget only what the *older* one holds ([`SnapshotStore::recyclable_until`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, join};
use super::error::{Operation, StoreError};
use super::manifest::{DIRECTORY, Generation, Manifest, Points};
use super::snapshot::{
    PublishedGeneration, SnapshotFile, SnapshotKind, SnapshotWriter, generation_of, partition_directory, partition_of,
    read_file,
};
use crate::domain::ids::{PartitionId, Pseq};

/// Deltas that one full file carries: a load reads at most nine files.
pub const DELTA_LINKS_MAX: usize = 8;

/// A partition as its snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The restorable point it comes from.
    pub generation: u64,
    /// The last pseq whose changes are in it: replay begins behind it.
    pub cut: Pseq,
    /// The caller's own.
    pub meta: Vec<u8>,
    /// The newest version of each page.
    pub pages: BTreeMap<u32, Vec<u8>>,
    /// Small state.
    pub parts: Vec<u8>,
    /// Why the newest point was not used, if it was not.
    pub fell_back: Option<String>,
}

/// All snapshots of a data directory. Use from any thread; one snapshot of a partition at a time.
#[derive(Debug)]
pub struct SnapshotStore {
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    manifest: Manifest,
    /// Named by the other copy.
    previous: Manifest,
    /// Partitions whose newest point was found damaged.
    damaged: BTreeSet<PartitionId>,
}

impl SnapshotStore {
    /// Reads the manifest and removes what it does not name.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        // ORDER: a killed process may have left a manifest whose entry no sync covers; the journal forgets by what it says.
        let synced = disk.create_dir(DIRECTORY).and_then(|()| disk.sync_dir(DIRECTORY));
        synced.map_err(|error| StoreError::io(Operation::Sync, DIRECTORY, error))?;
        let copies = Manifest::read(&*disk)?;
        if copies.is_empty() {
            refuse_orphans(&*disk)?;
        }
        let mut copies = copies.into_iter();
        let manifest = copies.next().unwrap_or_default();
        let previous = copies.next().unwrap_or_default();
        let store = Self { disk, state: Mutex::new(State { manifest, previous, damaged: BTreeSet::new() }) };
        store.collect_garbage()?;
        Ok(store)
    }

    /// Begins the next generation of a partition's snapshot, of the kind that is due: ask [`SnapshotStore::kind_due`]
    /// before the cut, so that a full file gets all pages; it changes only when this partition is published or loaded.
    pub fn begin(&self, partition: PartitionId, cut: Pseq, meta: &[u8]) -> Result<SnapshotWriter, StoreError> {
        let (generation, kind) = (self.next_generation(partition), self.kind_due(partition));
        SnapshotWriter::begin(Arc::clone(&self.disk), partition, generation, kind, cut, meta)
    }

    /// The number of the next generation.
    pub fn next_generation(&self, partition: PartitionId) -> u64 {
        self.state.lock().manifest.partitions.get(&partition).map_or(0, |points| points.newest) + 1
    }

    /// Full when there is no base, when the base is damaged, when the chain has [`DELTA_LINKS_MAX`] links or when its
    /// deltas are larger than its full file; else a delta on the newest generation.
    pub fn kind_due(&self, partition: PartitionId) -> SnapshotKind {
        let state = self.state.lock();
        let Some(points) = state.manifest.partitions.get(&partition) else { return SnapshotKind::Full };
        let Some(chain) = points.chain(points.newest) else { return SnapshotKind::Full };
        let (full, deltas) = chain.split_last().expect("a chain has a full file");
        let delta_bytes: u64 = deltas.iter().map(|delta| delta.bytes).sum();
        if state.damaged.contains(&partition) || deltas.len() >= DELTA_LINKS_MAX || delta_bytes > full.bytes {
            return SnapshotKind::Full;
        }
        SnapshotKind::Delta { base_generation: points.newest }
    }

    /// Lets finished files count, all at once. Only when the journal is durable past their cuts.
    ///
    /// # Errors
    /// After an error the manifest before still counts, here and after a restart.
    pub fn publish(&self, finished: Vec<PublishedGeneration>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let mut manifest = state.manifest.clone();
        manifest.version += 1;
        let mut partitions = BTreeSet::new();
        for generation in finished {
            partitions.insert(generation.partition);
            let damaged = state.damaged.contains(&generation.partition);
            add(manifest.partitions.entry(generation.partition).or_default(), generation, damaged);
        }
        manifest.write(&*self.disk)?;
        state.previous = std::mem::replace(&mut state.manifest, manifest);
        state.damaged.retain(|partition| !partitions.contains(partition));
        let unnamed: Result<Vec<_>, _> = partitions.iter().map(|id| self.unnamed(&state, *id)).collect();
        drop(state);
        // The snapshots count already: files that stay are only space, and the next start removes them.
        if let Err(error) = unnamed.and_then(|unnamed| self.remove(unnamed.into_iter().flatten())) {
            tracing::warn!(%error, "old snapshots were not removed");
        }
        Ok(())
    }

    /// The newest point of a partition.
    pub fn latest(&self, partition: PartitionId) -> Option<Generation> {
        let state = self.state.lock();
        let points = state.manifest.partitions.get(&partition)?;
        points.files.get(&points.newest).cloned()
    }

    /// Every partition with a snapshot, and its newest point.
    pub fn all_latest(&self) -> Vec<(PartitionId, Generation)> {
        let state = self.state.lock();
        let newest = |(partition, points): (&PartitionId, &Points)| {
            Some((*partition, points.files.get(&points.newest)?.clone()))
        };
        state.manifest.partitions.iter().filter_map(newest).collect()
    }

    /// The cut of the older point: the journal need not keep this partition's records up to it. 0 while there is one point.
    pub fn recyclable_until(&self, partition: PartitionId) -> Pseq {
        let state = self.state.lock();
        let older = state.manifest.partitions.get(&partition).and_then(|points| points.files.get(&points.older));
        older.map_or(Pseq(0), |older| older.cut)
    }

    /// Loads a partition from its newest readable point; `None` if it has no snapshot.
    ///
    /// # Errors
    /// [`StoreError::SnapshotDamaged`] names the files if no point is readable.
    pub fn load(&self, partition: PartitionId) -> Result<Option<Loaded>, StoreError> {
        let Some(points) = self.state.lock().manifest.partitions.get(&partition).cloned() else { return Ok(None) };
        let mut damage: Vec<String> = Vec::new();
        for generation in [points.newest, points.older] {
            if generation == 0 {
                continue;
            }
            match self.load_point(partition, &points, generation) {
                Ok(mut loaded) => {
                    loaded.fell_back = (!damage.is_empty()).then(|| damage.join("; "));
                    return Ok(Some(loaded));
                }
                // The manifest that names it is of this format: a newer one in the file is damage.
                Err(error @ (StoreError::Corrupt { .. } | StoreError::NewerFormat { .. })) => {
                    tracing::warn!(%partition, generation, %error, "a snapshot is damaged, trying the one before");
                    self.state.lock().damaged.insert(partition);
                    damage.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::SnapshotDamaged { partition, damage: damage.join("; ") })
    }

    fn load_point(&self, partition: PartitionId, points: &Points, generation: u64) -> Result<Loaded, StoreError> {
        let path = || partition_directory(partition);
        let chain = points.chain(generation);
        let chain = chain.ok_or_else(|| StoreError::corrupt(&path(), 0, "the manifest does not name a base"))?;
        let mut pages = BTreeMap::new();
        let mut newest = None;
        for named in chain.into_iter().rev() {
            let file = read_file(&*self.disk, partition, named.generation)?;
            if (file.kind, file.cut) != (named.kind, named.cut) {
                let path = join(&path(), &super::snapshot::file_name(named.generation));
                return Err(StoreError::corrupt(&path, 0, "it is not the file that the manifest names"));
            }
            let SnapshotFile { cut, meta, pages: changed, parts, .. } = file;
            pages.extend(changed);
            newest = Some((cut, meta, parts));
        }
        let (cut, meta, parts) = newest.expect("a chain has a full file");
        Ok(Loaded { generation, cut, meta, pages, parts, fell_back: None })
    }

    /// Removes files that neither copy of the manifest names: of crashed snapshots, and never published.
    fn collect_garbage(&self) -> Result<(), StoreError> {
        let state = self.state.lock();
        let names = self.disk.list_directories(DIRECTORY);
        let names = names.map_err(|error| StoreError::io(Operation::Directory, DIRECTORY, error))?;
        let partitions = names.iter().filter_map(|name| partition_of(name));
        let unnamed = partitions.map(|partition| self.unnamed(&state, partition)).collect::<Result<Vec<_>, _>>()?;
        drop(state);
        self.remove(unnamed.into_iter().flatten())
    }

    fn unnamed(&self, state: &State, partition: PartitionId) -> Result<Vec<String>, StoreError> {
        let directory = partition_directory(partition);
        let names = self.disk.list(&directory);
        let names = names.map_err(|error| StoreError::io(Operation::Directory, &directory, error))?;
        let copies = [&state.manifest, &state.previous];
        let is_named = |name: &String| {
            let Some(generation) = generation_of(name) else { return false };
            let points = copies.iter().filter_map(|copy| copy.partitions.get(&partition));
            points.into_iter().any(|points| points.files.contains_key(&generation))
        };
        Ok(names.into_iter().filter(|name| !is_named(name)).map(|name| join(&directory, &name)).collect())
    }

    fn remove(&self, paths: impl Iterator<Item = String>) -> Result<(), StoreError> {
        for path in paths {
            self.disk.remove(&path).map_err(|error| StoreError::io(Operation::Directory, &path, error))?;
        }
        Ok(())
    }
}

/// Without any copy of the manifest there may be files of crashed first snapshots, and nothing else: a second generation is
/// written only after a manifest named the first.
///
/// # Errors
/// If there is one. The journal has forgotten what these files hold, and what is not named would be removed.
fn refuse_orphans(disk: &dyn Disk) -> Result<(), StoreError> {
    let failed = |path: &str, error| StoreError::io(Operation::Directory, path, error);
    let directories = disk.list_directories(DIRECTORY).map_err(|error| failed(DIRECTORY, error))?;
    for directory in directories.iter().filter_map(|name| partition_of(name)).map(partition_directory) {
        let names = disk.list(&directory).map_err(|error| failed(&directory, error))?;
        if let Some(name) = names.iter().find(|name| generation_of(name).is_some_and(|generation| generation > 1)) {
            let what = format!("the manifest is missing, yet there is {}", join(&directory, name));
            return Err(StoreError::corrupt(&Manifest::path(0), 0, what));
        }
    }
    Ok(())
}

/// Makes `published` the newest point and forgets what the two points don't need.
fn add(points: &mut Points, published: PublishedGeneration, newest_is_damaged: bool) {
    let PublishedGeneration { generation, kind, cut, bytes, next_due, meta, .. } = published;
    assert!(generation > points.newest, "generations grow");
    if !newest_is_damaged {
        points.older = points.newest;
    }
    points.newest = generation;
    points.files.insert(generation, Generation { generation, kind, cut, bytes, next_due, meta });
    let needed = |point: u64| points.chain(point).unwrap_or_default().into_iter().map(|file| file.generation);
    let kept: BTreeSet<u64> = needed(points.newest).chain(needed(points.older)).collect();
    points.files.retain(|generation, _| kept.contains(generation));
    let (newest, older) = (points.newest, points.older);
    for (_, file) in points.files.iter_mut().filter(|(generation, _)| **generation != newest && **generation != older) {
        file.meta = Vec::new();
    }
}

#[cfg(test)]
mod tests;
