//! The archive as the engine sees it: a projection that follows the journal, and the history of a profile.

use std::sync::Arc;

use crate::domain::ids::{PartitionId, ProfileKey, Pseq};
use crate::report::archive::{Archive, Entry};
use crate::runtime::projection::{History, HistoryEntry, HistoryEvent, Projection};
use crate::wire::record;

/// An archive that is fed every durable block.
#[derive(Clone, Debug)]
pub struct FollowingArchive(pub Arc<Archive>);

impl Projection for FollowingArchive {
    fn follow(&self, block: &[u8]) {
        let mut entries = Vec::new();
        for item in record::records(block) {
            match item.and_then(|(_, record)| Entry::from_record(&record)) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    // The journal has checked the block's sum: this is a fault of ours, and history is not worth a stop.
                    tracing::error!(%error, "a durable record can't be archived");
                    break;
                }
            }
        }
        if let Err(error) = self.0.append(&entries) {
            tracing::error!(%error, "the archive takes no more: timelines will have a hole");
        }
    }

    fn passed(&self, partition: PartitionId) -> Pseq {
        self.0.passed(partition)
    }
}

impl History for FollowingArchive {
    fn timeline(&self, partition: PartitionId, key: ProfileKey, max: usize) -> Vec<HistoryEntry> {
        self.0.timeline(partition, key, max, None).into_iter().map(entry).collect()
    }
}

fn entry(entry: Entry) -> HistoryEntry {
    let event = entry.event.map(|event| HistoryEvent {
        id: event.id,
        kind: event.kind,
        time: event.time,
        properties: event.properties,
    });
    let notes = entry.notes.into_iter().map(|(index, text)| (index as usize, text)).collect();
    HistoryEntry { at: entry.at, event, steps: entry.steps, notes }
}
