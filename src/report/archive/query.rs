//! Reading history: one profile's timeline, and export of everything. What can't be read is noted and skipped.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::domain::ids::{Millis, PartitionId, ProfileKey, Pseq};
use crate::report::archive::chunk::{Chunk, visit};
use crate::report::archive::entry::Entry;
use crate::report::archive::feed::{Archive, FILE_NUMBER_FIRST};
use crate::report::archive::file::{ArchiveFile, FileError, FileReader, Place};
use crate::report::archive::state::Sealed;
use crate::runtime::projection::Kept;

impl Archive {
    /// The latest entries of a profile, newest first: at most `limit`, all before record `before` if one is given.
    /// Sees everything that was appended.
    pub fn timeline(&self, partition: PartitionId, key: ProfileKey, limit: usize, before: Option<Pseq>) -> Vec<Entry> {
        let mut timeline = Timeline { partition, key, limit, before, newest_first: Vec::new() };
        let (sealed, files) = {
            let state = self.shared.state.lock();
            timeline.add_chunks(state.followed.get(&partition).map(|followed| &followed.open));
            let sealed: Vec<Arc<Sealed>> = state.sealed.iter().rev().cloned().collect();
            let files: Vec<Arc<ArchiveFile>> = state.files.iter().rev().cloned().collect();
            (sealed, files)
        };
        for sealed in sealed {
            timeline.add_chunks(sealed.chunks.get(&partition));
        }
        for file in files {
            if timeline.is_full() {
                break;
            }
            if let Err(error) = self.add_file(&mut timeline, &file) {
                self.note(&file, &error);
            }
        }
        timeline.newest_first
    }

    fn add_file(&self, timeline: &mut Timeline, file: &ArchiveFile) -> Result<(), FileError> {
        let Some(reader) = unless_deleted(file.reader())? else { return Ok(()) };
        for index in reader.chunks_of(timeline.partition)?.rev() {
            let place = reader.place(index)?;
            if timeline.is_full() {
                break;
            }
            if timeline.reaches(place.extent.first)
                && let Err(error) = self.add_place(timeline, file, &reader, &place)
            {
                self.note(file, &error);
            }
        }
        Ok(())
    }

    fn add_place(
        &self,
        timeline: &mut Timeline,
        file: &ArchiveFile,
        reader: &FileReader,
        place: &Place,
    ) -> Result<(), FileError> {
        match reader.may_hold(place, timeline.key) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            // The filter only saves work: without it the chunk is read.
            Err(error) => self.note(file, &error),
        }
        timeline.add_bytes(&reader.entries(place)?)
    }

    /// Visits the entries whose engine time is in `range`, of all profiles or `of` one, each partition's in order, until
    /// the visitor breaks off. Sees everything that was appended before the call.
    pub fn export(
        &self,
        range: Range<Millis>,
        of: Option<(PartitionId, ProfileKey)>,
        mut visitor: impl FnMut(Entry) -> ControlFlow<()>,
    ) {
        let (files, sealed, open) = {
            let state = self.shared.state.lock();
            let files: Vec<Arc<ArchiveFile>> = state.files.iter().cloned().collect();
            let sealed: Vec<Arc<Sealed>> = state.sealed.iter().cloned().collect();
            // At most `flush_bytes`: copied, so that a slow visitor holds up nobody.
            let wanted = |chunk: &&Chunk| of.is_none_or(|(partition, _)| chunk.extent.partition == partition);
            let open: Vec<Chunk> = state.open_chunks().filter(wanted).map(Chunk::copy).collect();
            (files, sealed, open)
        };
        let mut export = Export { range, of, last: BTreeMap::new(), visitor: &mut visitor, has_ended: false };
        for file in files {
            if export.has_ended {
                return;
            }
            if export.wants(file.trailer.earliest, file.trailer.latest)
                && let Err(error) = self.export_file(&mut export, &file)
            {
                self.note(&file, &error);
            }
        }
        for chunk in sealed.iter().flat_map(|sealed| sealed.chunks.values().flatten()).chain(&open) {
            if export.has_ended {
                return;
            }
            export.add_bytes(chunk.extent.partition, &chunk.bytes).expect("these bytes were encoded here");
        }
    }

    fn export_file(&self, export: &mut Export<'_>, file: &ArchiveFile) -> Result<(), FileError> {
        let Some(reader) = unless_deleted(file.reader())? else { return Ok(()) };
        let indices = match export.of {
            None => 0..reader.chunk_count(),
            Some((partition, _)) => reader.chunks_of(partition)?,
        };
        for index in indices {
            let place = match reader.place(index) {
                Ok(place) => place,
                Err(error) => {
                    self.note(file, &error);
                    continue;
                }
            };
            if export.has_ended {
                break;
            }
            if !export.wants(place.extent.earliest, place.extent.latest) {
                continue;
            }
            // A filter only saves work: where it can't be read, the chunk is.
            let is_elsewhere = export.of.is_some_and(|(_, key)| matches!(reader.may_hold(&place, key), Ok(false)));
            if is_elsewhere {
                continue;
            }
            let added = reader.entries(&place).and_then(|bytes| export.add_bytes(place.extent.partition, &bytes));
            if let Err(error) = added {
                self.note(file, &error);
            }
        }
        Ok(())
    }

    /// How far it goes back, and whether no entry was ever deleted or damaged.
    pub fn kept(&self) -> Kept {
        let state = self.shared.state.lock();
        let of_files = state.files.iter().map(|file| file.trailer.earliest);
        let sealed = state.sealed.iter().flat_map(|sealed| sealed.chunks.values().flatten());
        let of_chunks = sealed.chain(state.open_chunks()).map(|chunk| chunk.extent.earliest);
        let since = of_files.chain(of_chunks).min();
        let is_first = state.files.front().is_none_or(|file| file.number == FILE_NUMBER_FIRST);
        // Without a file, what was numbered before is gone.
        let has_all = is_first && (!state.files.is_empty() || state.next_file_number == FILE_NUMBER_FIRST);
        let is_whole = has_all && state.unreadable.is_empty() && state.damage_count == 0;
        Kept { since, latest: state.now, is_whole }
    }

    fn note(&self, file: &ArchiveFile, error: &FileError) {
        self.shared.state.lock().damaged(&file.path, error);
    }
}

/// A file that retention deleted meanwhile is no damage.
fn unless_deleted(reader: Result<FileReader, FileError>) -> Result<Option<FileReader>, FileError> {
    match reader {
        Ok(reader) => Ok(Some(reader)),
        Err(FileError::Io(cause)) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A timeline in the making, from the newest source to the oldest.
struct Timeline {
    partition: PartitionId,
    key: ProfileKey,
    limit: usize,
    before: Option<Pseq>,
    newest_first: Vec<Entry>,
}

impl Timeline {
    fn is_full(&self) -> bool {
        self.newest_first.len() >= self.limit
    }

    /// Whether entries from `first` on are still wanted. A file damaged in its watermarks makes the journal feed again
    /// what is in it: such repeats end here.
    fn reaches(&self, first: Pseq) -> bool {
        self.before.is_none_or(|before| first < before)
            && self.newest_first.last().is_none_or(|oldest| first < oldest.pseq)
    }

    fn add_chunks(&mut self, chunks: Option<&Vec<Chunk>>) {
        for chunk in chunks.into_iter().flatten().rev() {
            if self.is_full() {
                return;
            }
            if self.reaches(chunk.extent.first) {
                self.add_bytes(&chunk.bytes).expect("these bytes were encoded here");
            }
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let mut found = Vec::new();
        let whole = visit(self.partition, bytes, Some(self.key), |entry| found.push(entry));
        for entry in found.into_iter().rev() {
            if !self.is_full() && self.reaches(entry.pseq) {
                self.newest_first.push(entry);
            }
        }
        Ok(whole?)
    }
}

/// An export under way.
struct Export<'a> {
    range: Range<Millis>,
    /// Whose entries; everybody's if none.
    of: Option<(PartitionId, ProfileKey)>,
    /// The last record visited, by partition: repeats are passed over.
    last: BTreeMap<PartitionId, Pseq>,
    visitor: &'a mut dyn FnMut(Entry) -> ControlFlow<()>,
    has_ended: bool,
}

impl Export<'_> {
    fn wants(&self, earliest: Millis, latest: Millis) -> bool {
        earliest < self.range.end && latest >= self.range.start
    }

    fn add_bytes(&mut self, partition: PartitionId, bytes: &[u8]) -> Result<(), FileError> {
        let key = match self.of {
            None => None,
            Some((wanted, key)) if wanted == partition => Some(key),
            Some(_) => return Ok(()),
        };
        let last = self.last.entry(partition).or_default();
        visit(partition, bytes, key, |entry| {
            if self.has_ended || !self.range.contains(&entry.at) || entry.pseq <= *last {
                return;
            }
            *last = entry.pseq;
            self.has_ended = (self.visitor)(entry).is_break();
        })?;
        Ok(())
    }
}
