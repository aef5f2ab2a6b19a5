//! What the feeding side, the writer and the readers share: open chunks, sealed ones, files and watermarks.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::domain::ids::{Millis, PartitionId, Pseq};
use crate::report::archive::chunk::Chunk;
use crate::report::archive::entry::Told;
use crate::report::archive::feed::ArchiveConfig;
use crate::report::archive::file::ArchiveFile;

/// Chunks by partition, each partition's in order.
pub(super) type Chunks = BTreeMap<PartitionId, Vec<Chunk>>;

/// Shared by all sides. Locked briefly, save that a reader scans open chunks under it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: ArchiveConfig,
    pub(super) state: Mutex<State>,
    /// Notified when a seal became durable, a write failed, or the archive stops.
    pub(super) changed: Condvar,
    /// Held while feeding and sealing, so that seals reach the writer in order.
    pub(super) feeding: Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// What is followed of each partition.
    pub(super) followed: BTreeMap<PartitionId, Followed>,
    /// Bytes of open chunks.
    pub(super) open_bytes: usize,
    /// Emptied buffers for the next chunks: growing new ones would have the system clear tens of megabytes for every file.
    pub(super) spare: Vec<Vec<u8>>,
    /// When the oldest of what no seal has taken came.
    pub(super) open_since: Option<Instant>,
    /// Sealed and not yet durable, oldest first.
    pub(super) sealed: VecDeque<Arc<Sealed>>,
    /// Durable files, oldest first.
    pub(super) files: VecDeque<Arc<ArchiveFile>>,
    /// Files that can't be read: number, path and bytes. They age with the others.
    pub(super) unreadable: VecDeque<(u64, PathBuf, u64)>,
    pub(super) next_file_number: u64,
    /// Highest pseq that is durable here, by partition.
    pub(super) durable: BTreeMap<PartitionId, Pseq>,
    /// Latest engine time taken.
    pub(super) now: Option<Millis>,
    /// Latest engine time that is durable here.
    pub(super) durable_at: Option<Millis>,
    pub(super) seal_count: u64,
    pub(super) written_count: u64,
    pub(super) failure_count: u64,
    /// Why the latest write failed, until one succeeds.
    pub(super) fault: Option<String>,
    pub(super) damage_count: u64,
    pub(super) is_stopping: bool,
    /// Feeders wait for no writer that fails.
    pub(super) is_impatient: bool,
    /// A feeder gave up with a seal that the writer never got: nothing is taken any more, or its watermarks would cover
    /// what is missing.
    pub(super) is_closed: bool,
}

/// One partition, as it is fed.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Highest pseq taken.
    pub(super) taken: Pseq,
    /// Fed since the archive was opened.
    pub(super) is_fed: bool,
    /// Entries no seal has taken.
    pub(super) open: Vec<Chunk>,
}

/// Chunks on their way to a file.
#[derive(Debug)]
pub(super) struct Sealed {
    /// Which seal it is, from 1.
    pub(super) number: u64,
    pub(super) chunks: Chunks,
    /// Watermarks once it is durable: of every partition ever fed, so that the newest file says all.
    pub(super) watermarks: BTreeMap<PartitionId, Pseq>,
    pub(super) now: Millis,
}

/// What the archive is and how far it is behind, for `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStats {
    /// Files, unreadable ones included.
    pub file_count: usize,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Bytes that are taken and not yet durable here.
    pub lag_bytes: usize,
    /// Engine time between the latest entry taken and the latest that is durable here.
    pub lag_ms: i64,
    /// Files, chunks and filters found damaged.
    pub damage_count: u64,
    /// Writes that failed.
    pub failure_count: u64,
    /// Why the latest write failed, until one succeeds.
    pub fault: Option<String>,
}

impl State {
    /// Takes an entry in, unless it is known.
    #[expect(clippy::disallowed_methods, reason = "pacing is real time, not engine time")]
    pub(super) fn take(&mut self, entry: &Told<'_>, scratch: &mut Vec<u8>) {
        let partition = entry.partition;
        let followed = self.followed.entry(partition).or_default();
        let is_first_feed = !std::mem::replace(&mut followed.is_fed, true);
        if entry.pseq <= followed.taken {
            return;
        }
        let expected = Pseq(followed.taken.0 + 1);
        if entry.pseq != expected && !is_first_feed {
            // A hole in history is not worth a stop: an archive that took no more would keep the journal from forgetting.
            tracing::error!(%partition, %expected, found = %entry.pseq, "records are missing: timelines have a hole");
            self.damage_count += 1;
        }
        followed.taken = entry.pseq;
        self.now = self.now.max(Some(entry.at));
        self.open_since.get_or_insert_with(Instant::now);
        if entry.is_empty() {
            return;
        }
        match followed.open.last_mut() {
            Some(chunk) if !chunk.is_full() => {
                let before = chunk.bytes.len();
                chunk.push(entry, scratch);
                self.open_bytes += chunk.bytes.len() - before;
            }
            _ => {
                let chunk = Chunk::new(entry, self.spare.pop().unwrap_or_default(), scratch);
                self.open_bytes += chunk.bytes.len();
                followed.open.push(chunk);
            }
        }
    }

    /// Seals what is open; `None` if nothing came since the last seal.
    pub(super) fn seal(&mut self) -> Option<Arc<Sealed>> {
        self.open_since.take()?;
        self.seal_count += 1;
        self.open_bytes = 0;
        let open = |(partition, followed): (&PartitionId, &mut Followed)| {
            (!followed.open.is_empty()).then(|| (*partition, std::mem::take(&mut followed.open)))
        };
        let sealed = Arc::new(Sealed {
            number: self.seal_count,
            chunks: self.followed.iter_mut().filter_map(open).collect(),
            watermarks: self.followed.iter().map(|(partition, followed)| (*partition, followed.taken)).collect(),
            now: self.now.unwrap_or_default(),
        });
        self.sealed.push_back(Arc::clone(&sealed));
        Some(sealed)
    }

    /// Open chunks, by partition.
    pub(super) fn open_chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.followed.values().flat_map(|followed| &followed.open)
    }

    /// Keeps the memory of chunks that are durable, as much as a seal takes.
    pub(super) fn reuse(&mut self, chunks: Chunks, bytes_max: usize) {
        let mut bytes: usize = self.spare.iter().map(Vec::capacity).sum();
        for mut emptied in chunks.into_values().flatten().map(|chunk| chunk.bytes) {
            emptied.clear();
            bytes += emptied.capacity();
            if bytes > bytes_max {
                return;
            }
            self.spare.push(emptied);
        }
    }

    /// A seal is durable as `file`.
    pub(super) fn written(&mut self, sealed: &Sealed, file: ArchiveFile) {
        let oldest = self.sealed.pop_front();
        assert!(oldest.is_some_and(|oldest| oldest.number == sealed.number), "seals are written in order");
        self.files.push_back(Arc::new(file));
        self.durable.clone_from(&sealed.watermarks);
        self.durable_at = Some(sealed.now);
        self.written_count = sealed.number;
        self.fault = None;
    }

    /// Notes damage in a file, for the log and the counters. History goes on without it.
    pub(super) fn damaged(&mut self, path: &Path, what: &dyn std::fmt::Display) {
        self.damage_count += 1;
        tracing::warn!(path = %path.display(), "archive: {what}; this part of history is skipped");
    }

    pub(super) fn stats(&self) -> ArchiveStats {
        let sealed_bytes =
            |sealed: &Arc<Sealed>| sealed.chunks.values().flatten().map(|c| c.bytes.len()).sum::<usize>();
        let lag_ms = match (self.now, self.durable_at) {
            (Some(now), Some(durable)) => now.0 - durable.0,
            _ => 0,
        };
        ArchiveStats {
            file_count: self.files.len() + self.unreadable.len(),
            file_bytes: self.file_bytes(),
            lag_bytes: self.open_bytes + self.sealed.iter().map(sealed_bytes).sum::<usize>(),
            lag_ms: lag_ms.max(0),
            damage_count: self.damage_count,
            failure_count: self.failure_count,
            fault: self.fault.clone(),
        }
    }

    pub(super) fn file_bytes(&self) -> u64 {
        let readable: u64 = self.files.iter().map(|file| file.bytes).sum();
        readable + self.unreadable.iter().map(|(_, _, bytes)| bytes).sum::<u64>()
    }

    /// Takes the files that are over age or over the bytes out of the list, oldest first.
    pub(super) fn take_expired(&mut self, config: &ArchiveConfig) -> Vec<PathBuf> {
        let Some(now) = self.now else { return Vec::new() };
        let earliest_kept = now.plus(-config.retention_ms);
        let mut bytes = self.file_bytes();
        let mut expired = Vec::new();
        loop {
            let unreadable_is_oldest = match (self.unreadable.front(), self.files.front()) {
                (None, None) => break,
                (Some((number, ..)), Some(file)) => *number < file.number,
                (unreadable, _) => unreadable.is_some(),
            };
            // What can't be read has no age: it goes with the next newer file that can.
            let is_over_age = self.files.front().is_some_and(|file| file.trailer.latest < earliest_kept);
            if !is_over_age && bytes <= config.retention_bytes {
                break;
            }
            let (path, size) = if unreadable_is_oldest {
                self.unreadable.pop_front().map(|(_, path, size)| (path, size))
            } else {
                self.files.pop_front().map(|file| (file.path.clone(), file.bytes))
            }
            .expect("one of both is there");
            bytes -= size;
            expired.push(path);
        }
        expired
    }
}
