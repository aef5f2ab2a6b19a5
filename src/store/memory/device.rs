//! The disk itself: names of files, what of them is durable, and what a crash leaves.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::dice::Dice;
use super::faults::{Faults, ReadFault, Struck, Times, WriteFault};
use super::file::{Content, MemoryFile};
use crate::store::disk::{Disk, DiskFile};

/// A disk in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    tree: Mutex<Tree>,
    pub faults: Faults,
    pub used: AtomicU64,
    pub tracking: Tracking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracking {
    Off,
    On,
}

type FileId = u64;

#[derive(Debug, Default)]
struct Tree {
    files: BTreeMap<FileId, Arc<Mutex<Content>>>,
    next: FileId,
    entries: BTreeMap<String, FileId>,
    durable: BTreeMap<String, FileId>,
    pending: Vec<Change>,
}

/// A change of a directory that no sync has made durable.
#[derive(Clone, Debug)]
enum Change {
    Link { path: String, file: FileId },
    Unlink { path: String },
    Rename { from: String, to: String, file: FileId },
}

impl Change {
    fn directory(&self) -> &str {
        let (Self::Link { path, .. } | Self::Unlink { path } | Self::Rename { to: path, .. }) = self;
        path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    fn apply(&self, entries: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Link { path, file } => {
                entries.insert(path.clone(), *file);
            }
            Self::Unlink { path } => {
                entries.remove(path);
            }
            Self::Rename { from, to, file } => {
                if entries.get(from) == Some(file) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *file);
            }
        }
    }
}

impl Tree {
    /// Forgets files that no entry can name any more.
    fn forget_unnamed(&mut self) {
        let Self { files, entries, durable, pending, .. } = self;
        let mut named: Vec<FileId> = entries.values().chain(durable.values()).copied().collect();
        for change in pending.iter() {
            if let Change::Link { file, .. } | Change::Rename { file, .. } = change {
                named.push(*file);
            }
        }
        named.sort_unstable();
        files.retain(|id, _| named.binary_search(id).is_ok());
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk that can't crash: for replay, where speed counts.
    pub fn new() -> Self {
        Self::with(Tracking::Off, Tree::default(), 0, None)
    }

    /// An empty disk that can crash.
    pub fn tracked() -> Self {
        Self::with(Tracking::On, Tree::default(), 0, None)
    }

    fn with(tracking: Tracking, tree: Tree, used: u64, capacity: Option<u64>) -> Self {
        let faults = Faults::default();
        faults.set_capacity(capacity);
        let shared = Shared { tree: Mutex::new(tree), faults, used: AtomicU64::new(used), tracking };
        Self { shared: Arc::new(shared) }
    }

    /// What a power cut at this moment leaves. Needs [`MemoryDisk::tracked`]. The same seed leaves the same.
    pub fn crash(&self, seed: u64) -> Self {
        assert!(self.shared.tracking == Tracking::On, "only a tracked disk knows what a crash leaves");
        let mut dice = Dice(seed);
        let tree = self.shared.tree.lock();
        let struck = Faults::default();
        let mut entries = tree.durable.clone();
        for change in &tree.pending {
            if dice.below(2) == 0 {
                change.apply(&mut entries);
            } else {
                struck.strike("disk: lost directory entry", 1);
            }
        }
        let mut files = BTreeMap::new();
        for (id, content) in &tree.files {
            if entries.values().any(|named| named == id) {
                files.insert(*id, Arc::new(Mutex::new(content.lock().after_power_cut(&mut dice, &struck))));
            }
        }
        let used = files.values().map(|content| content.lock().len()).sum();
        let left = Tree { files, next: tree.next, durable: entries.clone(), entries, pending: Vec::new() };
        let after = Self::with(Tracking::On, left, used, self.shared.faults.capacity());
        for (kind, times) in self.take_struck().into_iter().chain(struck.take_struck()) {
            after.shared.faults.strike(kind, times);
        }
        after
    }

    /// What `kill -9` at this moment leaves: everything written is read back, and still not durable.
    pub fn crash_keep_all(&self) -> Self {
        let tree = self.shared.tree.lock();
        let copy = |content: &Arc<Mutex<Content>>| Arc::new(Mutex::new(content.lock().clone()));
        let left = Tree {
            files: tree.files.iter().map(|(id, content)| (*id, copy(content))).collect(),
            next: tree.next,
            entries: tree.entries.clone(),
            durable: tree.durable.clone(),
            pending: tree.pending.clone(),
        };
        let used = self.shared.used.load(Ordering::Relaxed);
        Self::with(self.shared.tracking, left, used, self.shared.faults.capacity())
    }

    /// Lets the `nth` sync from now fail (1 = the next), once or for ever.
    pub fn fail_sync(&self, nth: u64, times: Times) {
        self.shared.faults.fail_sync(nth, times);
    }

    /// Lets the `nth` write from now (1 = the next) stop half way.
    pub fn fail_write(&self, nth: u64) {
        self.shared.faults.fail_write(nth, WriteFault::Fails);
    }

    /// Lets the `nth` write from now (1 = the next) take half of its bytes, and say so.
    pub fn shorten_write(&self, nth: u64) {
        self.shared.faults.fail_write(nth, WriteFault::Short);
    }

    /// Lets the `nth` read from now (1 = the next) give something else than there is.
    pub fn fail_read(&self, nth: u64, fault: ReadFault) {
        self.shared.faults.fail_read(nth, fault);
    }

    /// Faults that struck since this was asked last.
    pub fn take_struck(&self) -> Struck {
        self.shared.faults.take_struck()
    }

    /// Bounds the disk to this many bytes; `None` = endless.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.faults.set_capacity(bytes);
    }

    /// After this many more changing operations every operation fails: the machine has stopped.
    pub fn stop_after(&self, operations: u64) {
        self.shared.faults.stop_after(operations);
    }

    /// Whether the machine has stopped.
    pub fn is_stopped(&self) -> bool {
        self.shared.faults.running().is_err()
    }

    /// Takes back every fault that was asked for and has not struck, save the bound of space.
    pub fn calm(&self) {
        self.shared.faults.calm();
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.shared.faults.operations()
    }

    /// Bytes that may still be written.
    pub fn free_bytes_left(&self) -> u64 {
        self.shared.faults.capacity().unwrap_or(u64::MAX).saturating_sub(self.used_bytes())
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// Flips the bits of `xor` in one byte, durably. Panics if there is no such byte: a test named it.
    pub fn corrupt(&self, path: &str, offset: u64, xor: u8) {
        let content = self.content(path).expect("the file to corrupt exists");
        let mut byte = [0];
        let mut content = content.lock();
        assert_eq!(content.read(&mut byte, offset), 1, "the byte to corrupt exists");
        content.overwrite(&[byte[0] ^ xor], offset);
    }

    /// Replaces bytes of a file, durably, as a write that the drive lost leaves others. Panics if there is no such file: a
    /// test named it.
    pub fn replace(&self, path: &str, offset: u64, bytes: &[u8]) {
        self.content(path).expect("the file to damage exists").lock().overwrite(bytes, offset);
    }

    fn content(&self, path: &str) -> io::Result<Arc<Mutex<Content>>> {
        let tree = self.shared.tree.lock();
        let id = tree.entries.get(path).ok_or_else(|| not_found(path))?;
        Ok(Arc::clone(&tree.files[id]))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.shared.faults.running()?;
        Ok(Box::new(MemoryFile::new(Arc::clone(&self.shared), self.content(path)?)))
    }

    /// Does a change of a directory and remembers it as not durable.
    fn change(&self, tree: &mut Tree, change: Change) {
        let before = tree.entries.len();
        change.apply(&mut tree.entries);
        match self.shared.tracking {
            Tracking::On => tree.pending.push(change),
            Tracking::Off if tree.entries.len() < before || matches!(change, Change::Rename { .. }) => {
                tree.forget_unnamed();
            }
            Tracking::Off => {}
        }
    }

    fn release(&self, tree: &Tree, path: &str) {
        if let Some(id) = tree.entries.get(path) {
            self.shared.used.fetch_sub(tree.files[id].lock().len(), Ordering::Relaxed);
        }
    }
}

impl Disk for MemoryDisk {
    fn open_read(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn open_write(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.shared.faults.change()?;
        let tree = &mut *self.shared.tree.lock();
        self.release(tree, path);
        let file = tree.next;
        tree.next += 1;
        let content = Arc::new(Mutex::new(Content::default()));
        tree.files.insert(file, Arc::clone(&content));
        self.change(tree, Change::Link { path: path.to_owned(), file });
        Ok(Box::new(MemoryFile::new(Arc::clone(&self.shared), content)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.shared.faults.change()?;
        let tree = &mut *self.shared.tree.lock();
        let file = *tree.entries.get(from).ok_or_else(|| not_found(from))?;
        if from != to {
            self.release(tree, to);
        }
        self.change(tree, Change::Rename { from: from.to_owned(), to: to.to_owned(), file });
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.shared.faults.change()?;
        let tree = &mut *self.shared.tree.lock();
        if !tree.entries.contains_key(path) {
            return Err(not_found(path));
        }
        self.release(tree, path);
        self.change(tree, Change::Unlink { path: path.to_owned() });
        Ok(())
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.shared.faults.running()?;
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let tree = self.shared.tree.lock();
        let inside = tree.entries.range(prefix.clone()..).map(|(path, _)| path.as_str());
        let names = inside.map_while(|path| path.strip_prefix(prefix.as_str())).filter(|name| !name.contains('/'));
        Ok(names.map(str::to_owned).collect())
    }

    fn list_directories(&self, directory: &str) -> io::Result<Vec<String>> {
        self.shared.faults.running()?;
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let tree = self.shared.tree.lock();
        let inside = tree.entries.range(prefix.clone()..).map(|(path, _)| path.as_str());
        let inside = inside.map_while(|path| path.strip_prefix(prefix.as_str()));
        let mut names: Vec<String> = inside.filter_map(|name| Some(name.split_once('/')?.0.to_owned())).collect();
        names.dedup();
        Ok(names)
    }

    fn create_dir(&self, _directory: &str) -> io::Result<()> {
        self.shared.faults.running()
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        self.shared.faults.change()?;
        self.shared.faults.sync()?;
        let tree = &mut *self.shared.tree.lock();
        let (synced, pending) =
            std::mem::take(&mut tree.pending).into_iter().partition(|change| change.directory() == directory);
        tree.pending = pending;
        let synced: Vec<Change> = synced;
        for change in &synced {
            change.apply(&mut tree.durable);
        }
        if self.shared.tracking == Tracking::On && !synced.is_empty() {
            tree.forget_unnamed();
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.shared.faults.running()?;
        let capacity = self.shared.faults.capacity().unwrap_or(u64::MAX);
        Ok(capacity.saturating_sub(self.shared.used.load(Ordering::Relaxed)))
    }
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {path}"))
}
