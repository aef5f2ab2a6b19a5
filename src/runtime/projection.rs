//! What follows the journal: projections that are fed every durable block and say how far they have come, so that
//! no segment is recycled before they have read it.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use smol_str::SmolStr;

use crate::domain::ids::{Millis, PartitionId, ProfileKey, Pseq};
use crate::domain::step::Step;
use crate::wire::cursor::{Cursor, WireError};
use crate::wire::record::{Happened, Head, Record, RecordKind, happened_in};

/// A projection of records, e.g. the archive of steps and events.
pub trait Projection: Send + Sync {
    /// Takes durable records. May wait: its lag is bounded by holding the journal up. Records seen before (after a
    /// start) are ignored.
    fn follow(&self, block: &[u8]);
    /// The last record of the partition that it has durably taken in.
    fn passed(&self, partition: PartitionId) -> Pseq;
    /// The tail of the journal is long: pass it as soon as possible.
    fn hurry(&self) {}
    /// The engine stops: wait no longer for what fails. What is not taken in is followed again after the next start.
    fn stopping(&self) {}
    /// Nothing more will be followed: keep what there is.
    fn finish(&self) {}
}

impl std::fmt::Debug for dyn Projection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Projection(..)")
    }
}

/// Follows nothing: for runs that keep no history.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProjection;

impl Projection for NoProjection {
    fn follow(&self, _: &[u8]) {}

    fn passed(&self, _: PartitionId) -> Pseq {
        Pseq(u64::MAX)
    }
}

/// What is remembered of a profile's past.
pub trait History: Send + Sync + std::fmt::Debug {
    /// The latest entries of a profile, newest first, all before record `before` if one is given.
    fn timeline(&self, partition: PartitionId, key: ProfileKey, max: usize, before: Option<Pseq>) -> Vec<HistoryEntry>;

    /// Visits the entries whose engine time is in `range`, each partition's in order, until the visitor breaks off: those
    /// of all profiles or of one.
    fn visit(
        &self,
        range: Range<Millis>,
        of: Option<(PartitionId, ProfileKey)>,
        visitor: &mut dyn FnMut(HistoryEntry) -> ControlFlow<()>,
    );

    /// How much of the past there is.
    fn kept(&self) -> Kept;
}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Engine time of the earliest entry; `None` where there is none.
    pub since: Option<Millis>,
    /// Engine time of the latest record taken in.
    pub latest: Option<Millis>,
    /// Whether that is all there ever was: nothing was deleted by age or size, and nothing is damaged.
    pub is_whole: bool,
}

/// One record of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// The profile's partition.
    pub partition: PartitionId,
    /// Its place in the partition.
    pub pseq: Pseq,
    /// The profile.
    pub key: ProfileKey,
    /// Engine time.
    pub at: Millis,
    /// The event, if one caused it.
    pub event: Option<HistoryEvent>,
    /// What happened.
    pub steps: Vec<Step>,
    /// Text to a step, by index.
    pub notes: Vec<(usize, SmolStr)>,
}

/// What a record shows of its profile; `None` for records of no profile.
///
/// # Errors
/// It can't be read.
pub fn entry_of(record: &Record<'_>) -> Result<Option<HistoryEntry>, WireError> {
    if record.head.kind != RecordKind::Profile {
        return Ok(None);
    }
    let Happened { event, steps, notes } = Happened::read(&mut Cursor::new(happened_in(&record.payload)?))?;
    let event = event.map(|event| HistoryEvent {
        id: event.id.into(),
        kind: event.kind.into(),
        time: event.time,
        properties: event.properties_owned(),
    });
    let Head { partition, pseq, key, engine_time: at, .. } = record.head;
    Ok(Some(HistoryEntry { partition, pseq, key, at, event, steps, notes }))
}

/// An event of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    /// Producer's id.
    pub id: SmolStr,
    /// Type.
    pub kind: SmolStr,
    /// `event.time`.
    pub time: Option<Millis>,
    /// MessagePack map.
    pub properties: Bytes,
}

impl History for NoProjection {
    fn timeline(&self, _: PartitionId, _: ProfileKey, _: usize, _: Option<Pseq>) -> Vec<HistoryEntry> {
        Vec::new()
    }

    fn visit(
        &self,
        _: Range<Millis>,
        _: Option<(PartitionId, ProfileKey)>,
        _: &mut dyn FnMut(HistoryEntry) -> ControlFlow<()>,
    ) {
    }

    fn kept(&self) -> Kept {
        Kept::default()
    }
}
