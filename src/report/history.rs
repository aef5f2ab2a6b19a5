//! The archive as the engine sees it: follows the journal, answers for a profile's past.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::domain::ids::{Millis, PartitionId, ProfileKey, Pseq};
use crate::report::archive::{Archive, Entry, Told};
use crate::runtime::projection::{History, HistoryEntry, HistoryEvent, Kept, Projection};
use crate::wire::record::records;

/// An archive that follows an engine's journal.
#[derive(Clone, Debug)]
pub struct ArchivedHistory {
    archive: Arc<Archive>,
}

impl ArchivedHistory {
    /// Over `archive`.
    pub fn new(archive: Arc<Archive>) -> Self {
        Self { archive }
    }

    /// The archive.
    pub fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }
}

impl Projection for ArchivedHistory {
    fn follow(&self, block: &[u8]) {
        let read: Result<Vec<_>, _> = records(block).map(|record| record.map(|(_, record)| record)).collect();
        // ORDER: also records with nothing to show, because a skipped pseq would be a gap.
        let told = read.as_ref().map_err(Clone::clone).and_then(|records| records.iter().map(Told::by).collect());
        let told: Vec<_> = match told {
            Ok(told) => told,
            Err(error) => {
                tracing::error!(%error, "a durable block can't be read for the archive");
                return;
            }
        };
        if let Err(error) = self.archive.append(&told) {
            tracing::error!(%error, "the archive can't take records in");
        }
    }

    fn passed(&self, partition: PartitionId) -> Pseq {
        self.archive.passed(partition)
    }

    fn hurry(&self) {
        self.archive.begin_flush();
    }

    fn stopping(&self) {
        self.archive.stop_waiting();
    }

    fn finish(&self) {
        if let Err(error) = self.archive.flush() {
            tracing::warn!(%error, "the archive's last part is read from the journal again at the next start");
        }
    }
}

impl History for ArchivedHistory {
    fn timeline(&self, partition: PartitionId, key: ProfileKey, max: usize, before: Option<Pseq>) -> Vec<HistoryEntry> {
        let entries = self.archive.timeline(partition, key, max, before);
        entries.into_iter().map(history_entry).collect()
    }

    fn visit(
        &self,
        range: Range<Millis>,
        of: Option<(PartitionId, ProfileKey)>,
        visitor: &mut dyn FnMut(HistoryEntry) -> ControlFlow<()>,
    ) {
        self.archive.export(range, of, |entry| visitor(history_entry(entry)));
    }

    fn kept(&self) -> Kept {
        self.archive.kept()
    }
}

fn history_entry(entry: Entry) -> HistoryEntry {
    let event = entry.event.map(|event| HistoryEvent {
        id: event.id,
        kind: event.kind,
        time: event.time,
        properties: event.properties,
    });
    let notes = entry.notes.into_iter().map(|(index, text)| (index as usize, text)).collect();
    let Entry { partition, pseq, key, at, steps, .. } = entry;
    HistoryEntry { partition, pseq, key, at, event, steps, notes }
}
