//! The archive's face to the runtime: opening, feeding, flushing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender};
use parking_lot::{Condvar, Mutex};

use crate::domain::ids::{PartitionId, Pseq};
use crate::report::archive::entry::Told;
use crate::report::archive::file::{self, ArchiveFile};
use crate::report::archive::state::{ArchiveStats, Followed, Sealed, Shared, State};
use crate::report::archive::writer;

/// Seals that wait for the writer. With the one being written, the one being sent and the open chunks, four times
/// [`ArchiveConfig::flush_bytes`] bound the memory and the lag.
const SEALS_WAITING_MAX: usize = 1;
/// How often a feeder that waits for the writer looks whether it still should.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Settings of the archive.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// Where its files are.
    pub directory: PathBuf,
    /// Bytes of open chunks, uncompressed, that make a file.
    pub flush_bytes: usize,
    /// A file is made of whatever is open for this long.
    pub flush_age: Duration,
    /// Engine time after which a file is deleted, in milliseconds.
    pub retention_ms: i64,
    /// Bytes of all files above which the oldest are deleted.
    pub retention_bytes: u64,
}

impl ArchiveConfig {
    /// The defaults: files of 32 MiB or 10 minutes, kept for 30 days or 10 GiB.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            flush_bytes: 32 << 20,
            flush_age: Duration::from_secs(600),
            retention_ms: 30 * 86_400_000,
            retention_bytes: 10 << 30,
        }
    }
}

/// Why the archive could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its directory can't be used; the operator must act.
    #[error("archive can't use {}: {cause}", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A write failed; it is tried again until it succeeds, and feeding blocks meanwhile.
    #[error("archive can't be written: {0}")]
    WriteFailed(String),
    /// Its thread has ended.
    #[error("archive has stopped")]
    Stopped,
}

/// Number of the first file ever written.
pub(super) const FILE_NUMBER_FIRST: u64 = 1;

/// The archive. Shared by reference; readers never wait for the disk's writer.
#[derive(Debug)]
pub struct Archive {
    pub(super) shared: Arc<Shared>,
    seals: Option<Sender<Arc<Sealed>>>,
    thread: Option<JoinHandle<()>>,
}

impl Archive {
    /// Opens the archive: reads the ends of its files, deletes unfinished and expired ones, starts its thread.
    pub fn open(config: ArchiveConfig) -> Result<Self, ArchiveError> {
        let directory = config.directory.clone();
        let failed = |cause| ArchiveError::Directory { path: directory.clone(), cause };
        fs::create_dir_all(&directory).map_err(failed)?;
        let state = scan(&directory).map_err(failed)?;
        let shared =
            Arc::new(Shared { config, state: Mutex::new(state), changed: Condvar::new(), feeding: Mutex::new(()) });
        writer::delete_expired(&shared);
        let (sender, receiver) = crossbeam_channel::bounded(SEALS_WAITING_MAX);
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("archive".to_owned())
            .spawn(move || writer::run(&for_thread, &receiver))
            .map_err(failed)?;
        Ok(Self { shared, seals: Some(sender), thread: Some(thread) })
    }

    /// The last record of a partition that is durable here; the journal may forget it. Zero if there is none.
    pub fn passed(&self, partition: PartitionId) -> Pseq {
        self.shared.state.lock().durable.get(&partition).copied().unwrap_or_default()
    }

    /// Takes entries of durable records, each partition's in order and without gaps. Those known already are
    /// passed over; the first feed of a partition after the opening may begin anywhere. A gap later on is a hole in
    /// history: logged, counted as damage, and passed. Entries without anything to show only move the watermark.
    /// Blocks while the writer is behind.
    pub fn append(&self, entries: &[Told<'_>]) -> Result<(), ArchiveError> {
        let _feeding = self.shared.feeding.lock();
        if self.shared.state.lock().is_closed {
            return Err(ArchiveError::Stopped);
        }
        let mut scratch = Vec::new();
        let mut rest = entries;
        while !rest.is_empty() {
            let (taken, sealed) = self.take(rest, &mut scratch);
            rest = &rest[taken..];
            self.send(sealed)?;
        }
        Ok(())
    }

    /// Makes everything taken so far durable; waits for it.
    pub fn flush(&self) -> Result<(), ArchiveError> {
        let (sealed, target, failures) = {
            let _feeding = self.shared.feeding.lock();
            let mut state = self.shared.state.lock();
            // A write that failed is tried again at once.
            self.shared.changed.notify_all();
            if state.is_closed {
                return Err(ArchiveError::Stopped);
            }
            if let Some(fault) = state.fault.clone().filter(|_| state.sealed.len() > SEALS_WAITING_MAX) {
                // Another seal would have to wait for the disk, maybe for ever.
                return Err(ArchiveError::WriteFailed(fault));
            }
            let sealed = state.seal();
            let (target, failures) = (state.seal_count, state.failure_count);
            drop(state);
            (self.send(sealed), target, failures)
        };
        sealed?;
        let mut state = self.shared.state.lock();
        while state.written_count < target {
            if state.failure_count > failures {
                return Err(ArchiveError::WriteFailed(state.fault.clone().unwrap_or_default()));
            }
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(ArchiveError::Stopped);
            }
            self.shared.changed.wait_for(&mut state, Duration::from_secs(1));
        }
        Ok(())
    }

    /// Begins to make durable what is taken, and waits for nothing: for a journal that would recycle. Does nothing while
    /// earlier entries are on their way, or while it is being fed.
    pub fn begin_flush(&self) {
        let Some(_feeding) = self.shared.feeding.try_lock() else { return };
        let sealed = {
            let mut state = self.shared.state.lock();
            if !state.sealed.is_empty() {
                return;
            }
            state.seal()
        };
        // With nothing on its way the channel has room; an archive that has stopped says so to its feeder.
        let _ = self.send(sealed);
    }

    /// From now on feeders don't wait for a disk that fails, now blocked ones included: what they bring is not taken, and is to
    /// be fed again after the next opening. A writer that is only slow is waited for all the same.
    pub fn stop_waiting(&self) {
        self.shared.state.lock().is_impatient = true;
    }

    /// What it is and how far it is behind.
    pub fn stats(&self) -> ArchiveStats {
        self.shared.state.lock().stats()
    }

    /// Takes entries until all are in or a seal is due; how many, and the seal.
    fn take(&self, entries: &[Told<'_>], scratch: &mut Vec<u8>) -> (usize, Option<Arc<Sealed>>) {
        let config = &self.shared.config;
        let mut state = self.shared.state.lock();
        for (index, entry) in entries.iter().enumerate() {
            state.take(entry, scratch);
            if state.open_bytes >= config.flush_bytes {
                return (index + 1, state.seal());
            }
        }
        let is_aged = state.open_since.is_some_and(|since| since.elapsed() >= config.flush_age);
        (entries.len(), if is_aged { state.seal() } else { None })
    }

    fn send(&self, sealed: Option<Arc<Sealed>>) -> Result<(), ArchiveError> {
        let Some(mut sealed) = sealed else { return Ok(()) };
        let sender = self.seals.as_ref().ok_or(ArchiveError::Stopped)?;
        loop {
            sealed = match sender.send_timeout(sealed, LOOK_UP) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Disconnected(_)) => return Err(ArchiveError::Stopped),
                Err(SendTimeoutError::Timeout(back)) => back,
            };
            let mut state = self.shared.state.lock();
            if state.is_impatient && state.fault.is_some() {
                state.is_closed = true;
                return Err(ArchiveError::Stopped);
            }
        }
    }
}

/// Finds the files and watermarks of a directory, and deletes what was never finished.
fn scan(directory: &Path) -> io::Result<State> {
    let mut numbered = Vec::new();
    for found in fs::read_dir(directory)? {
        let found = found?;
        let name = found.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(number) = file::number_of(name) {
            numbered.push((number, found.path()));
        } else if name.starts_with("archive-") && name.ends_with(".tmp") {
            fs::remove_file(found.path())?;
        }
    }
    numbered.sort_unstable();
    let mut state = State {
        next_file_number: numbered.last().map_or(FILE_NUMBER_FIRST, |(number, _)| number + 1),
        ..State::default()
    };
    for (number, path) in numbered {
        match ArchiveFile::open(path.clone(), number) {
            Ok(file) => state.files.push_back(Arc::new(file)),
            Err(error) => {
                state.damaged(&path, &error);
                let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                state.unreadable.push_back((number, path, bytes));
            }
        }
    }
    // Every file states all watermarks of its time, so the newest that can be read says how far the archive is.
    for file in state.files.clone().iter().rev() {
        match file.watermarks() {
            Ok(watermarks) => {
                state.durable = watermarks;
                break;
            }
            Err(error) => state.damaged(&file.path, &error),
        }
    }
    let taken = state.durable.iter().map(|(id, taken)| (*id, Followed { taken: *taken, ..Followed::default() }));
    state.followed = taken.collect();
    state.now = state.files.iter().map(|file| file.trailer.latest).max();
    state.durable_at = state.now;
    Ok(state)
}

impl Drop for Archive {
    /// Ends the thread after what was sealed. What is open is not written: it is fed again after the next start.
    fn drop(&mut self) {
        self.shared.state.lock().is_stopping = true;
        self.shared.changed.notify_all();
        self.seals = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("archive: its thread panicked");
        }
    }
}
