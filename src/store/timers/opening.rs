//! Opening a sled directory that may be damaged: bounded in time, panics caught, moved aside when unsound.
//!
//! INVARIANT: only damage moves a directory aside. Where the system refuses (permissions, space, a lock) the error goes to the
//! operator and nothing is touched.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::store::timers::index::{Opened, TimerIndexError};

/// Trees of chunks: partition modulo this. A fixed number, because sled's space use suffers from many trees.
pub(super) const TREE_COUNT: u16 = 4;

/// How often a lock is tried again; it is freed within milliseconds when the last holder is just ending.
const LOCK_RETRY_MS: u64 = 10;

/// Settings of the timer index.
#[derive(Clone, Debug)]
pub struct TimerIndexConfig {
    /// Directory of the index; the database is in `db` inside, damaged ones in `damaged`.
    pub directory: PathBuf,
    /// Bytes of sled's page cache.
    pub cache_bytes: u64,
    /// Milliseconds between the runs of sled's flusher. It alone reclaims space, so it can't be switched off.
    pub flush_every_ms: u64,
    /// Longest time for opening; beyond it the directory counts as damaged. Sled's recovery time was seen to grow
    /// to minutes on old directories, when rebuilding from the rows is faster.
    pub open_timeout: Duration,
}

impl TimerIndexConfig {
    /// The defaults: 64 MiB (a chunk is written once and read once, so what is kept is for the tree above them), 200 ms, 30 s.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, cache_bytes: 64 << 20, flush_every_ms: 200, open_timeout: Duration::from_secs(30) }
    }

    pub(super) fn db_path(&self) -> PathBuf {
        self.directory.join("db")
    }

    fn damaged_path(&self) -> PathBuf {
        self.directory.join("damaged")
    }
}

/// What an opened database consists of.
#[derive(Debug)]
pub(super) struct OpenDb {
    pub(super) db: sled::Db,
    /// Chunks, by partition modulo [`TREE_COUNT`].
    pub(super) trees: Vec<sled::Tree>,
    /// Partition (u16 BE) → latest epoch begun (u64 BE), and the mark of birth.
    pub(super) begun: sled::Tree,
    /// The `db` file, for `fdatasync`: sled's own flush is no barrier.
    pub(super) file: File,
}

/// Key in the tree `begun` that every index holds from its first opening on. It is no key of a partition.
const BIRTH_KEY: &[u8] = b"birth";
/// File beside the database, there once the mark of birth is durable. sled 0.34.7 takes a `db` file of garbage for an
/// empty one and says nothing: a database without the mark beside this file has lost what it held.
const BORN_FILE: &str = "born";

/// Opens the directory; a damaged one is moved aside and a fresh one opened in its place.
pub(super) fn open(config: &TimerIndexConfig) -> Result<(OpenDb, Opened), TimerIndexError> {
    fs::create_dir_all(config.db_path()).map_err(|cause| directory_error(&config.db_path(), cause))?;
    match attempt(config)? {
        Attempt::Sound(db) => {
            let opened = if db.db.was_recovered() { Opened::Recovered } else { Opened::Fresh };
            Ok((db, opened))
        }
        Attempt::Unsound(reason) => {
            let moved_to = move_aside(config)?;
            Ok((open_fresh(config)?, Opened::Rebuilt { reason, moved_to }))
        }
    }
}

/// Moves whatever is there aside and opens an empty database.
pub(super) fn open_anew(config: &TimerIndexConfig) -> Result<OpenDb, TimerIndexError> {
    move_aside(config)?;
    open_fresh(config)
}

fn open_fresh(config: &TimerIndexConfig) -> Result<OpenDb, TimerIndexError> {
    match attempt(config)? {
        Attempt::Sound(db) => Ok(db),
        Attempt::Unsound(reason) => Err(TimerIndexError::Broken { reason }),
    }
}

/// Moves the database aside. One damaged database is kept for examination; an older one makes room.
fn move_aside(config: &TimerIndexConfig) -> Result<PathBuf, TimerIndexError> {
    let (from, to) = (config.db_path(), config.damaged_path());
    let moved = || -> io::Result<()> {
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        // Renaming works while a hung or broken sled still holds its files: they move along with its lock.
        fs::rename(&from, &to)?;
        // ORDER: the mark goes after the database, so that a crash between finds a mark without its database.
        match fs::remove_file(config.directory.join(BORN_FILE)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        fs::create_dir_all(&from)?;
        File::open(&config.directory)?.sync_all()
    };
    moved().map_err(|cause| directory_error(&from, cause))?;
    Ok(to)
}

enum Attempt {
    Sound(OpenDb),
    Unsound(String),
}

/// One attempt, on a thread of its own so that a hang ends at the timeout. The thread of an attempt that hung is left
/// alone with the files that are moved aside.
#[expect(clippy::disallowed_methods, reason = "a time-out is real time")]
fn attempt(config: &TimerIndexConfig) -> Result<Attempt, TimerIndexError> {
    let deadline = Instant::now() + config.open_timeout;
    wait_for_lock(&config.db_path(), deadline)?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let settings = config.clone();
    std::thread::Builder::new()
        .name("timers-open".to_owned())
        .spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| open_checked(&settings)));
            // Nobody listens any more after the timeout; then the database just closes.
            let _ = sender.send(result);
        })
        .map_err(|cause| directory_error(&config.directory, cause))?;
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(Ok(Ok(db))) => Ok(Attempt::Sound(db)),
        Ok(Ok(Err(sled::Error::Io(cause)))) if !is_damage(&cause) => Err(directory_error(&config.db_path(), cause)),
        Ok(Ok(Err(error))) => Ok(Attempt::Unsound(error.to_string())),
        Ok(Err(panic)) => Ok(Attempt::Unsound(format!("sled panicked: {}", panic_text(panic.as_ref())))),
        Err(_) => Ok(Attempt::Unsound(format!("opening took longer than {} ms", config.open_timeout.as_millis()))),
    }
}

/// Waits until the database's lock is free. A database closed a moment ago by this process frees it late.
#[expect(clippy::disallowed_methods, reason = "a time-out is real time")]
fn wait_for_lock(path: &Path, deadline: Instant) -> Result<(), TimerIndexError> {
    let file_path = path.join("db");
    let error = |cause| directory_error(&file_path, cause);
    let file = match OpenOptions::new().read(true).write(true).open(&file_path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(error(cause)),
    };
    loop {
        match file.try_lock() {
            Ok(()) => return file.unlock().map_err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::park_timeout(Duration::from_millis(LOCK_RETRY_MS));
            }
            Err(TryLockError::WouldBlock) => return Err(TimerIndexError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(cause)) => return Err(error(cause)),
        }
    }
}

/// Opens and reads what tells damage early: every tree's ends and all of the small tree.
fn open_checked(config: &TimerIndexConfig) -> Result<OpenDb, sled::Error> {
    let path = config.db_path();
    let db = sled::Config::new()
        .path(&path)
        .cache_capacity(config.cache_bytes)
        .flush_every_ms(Some(config.flush_every_ms))
        .open()?;
    let mut trees = Vec::with_capacity(usize::from(TREE_COUNT));
    for number in 0..TREE_COUNT {
        let tree = db.open_tree(format!("timers-{number}"))?;
        tree.first()?;
        tree.last()?;
        trees.push(tree);
    }
    let begun = db.open_tree("begun")?;
    for item in &begun {
        let (key, value) = item?;
        if key != BIRTH_KEY && (key.len() != 2 || value.len() != 8) {
            return Err(unsound("an epoch is not 8 bytes"));
        }
    }
    if !blobs_empty(&path)? {
        return Err(unsound("blobs/ is not empty, and sled does not sync it"));
    }
    let file = File::open(path.join("db"))?;
    let open = OpenDb { db, trees, begun, file };
    check_birth(config, &open)?;
    Ok(open)
}

/// Finds the mark of birth, or sets it where there never was one.
fn check_birth(config: &TimerIndexConfig, open: &OpenDb) -> Result<(), sled::Error> {
    let born_file = config.directory.join(BORN_FILE);
    if open.begun.contains_key(BIRTH_KEY)? {
        // A crash may have come between the mark and the file.
        return write_born_file(config, &born_file);
    }
    if born_file.exists() {
        return Err(unsound("sled has silently lost what it held"));
    }
    open.begun.insert(BIRTH_KEY, b"")?;
    open.db.flush()?;
    open.file.sync_data()?;
    File::open(config.db_path())?.sync_all()?;
    write_born_file(config, &born_file)
}

fn write_born_file(config: &TimerIndexConfig, born_file: &Path) -> Result<(), sled::Error> {
    if !born_file.exists() {
        File::create(born_file)?.sync_all()?;
        File::open(&config.directory)?.sync_all()?;
    }
    Ok(())
}

/// Whether sled has put no leaf into a file of its own.
pub(super) fn blobs_empty(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path.join("blobs")) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(cause) => Err(cause),
    }
}

/// Damage shows as I/O errors of these kinds when sled reads past a torn end; all others are the system's.
fn is_damage(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

fn unsound(reason: &str) -> sled::Error {
    sled::Error::ReportableBug(reason.to_owned())
}

fn directory_error(path: &Path, cause: io::Error) -> TimerIndexError {
    TimerIndexError::Directory { path: path.to_owned(), cause }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned())
}
