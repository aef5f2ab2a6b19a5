//! An entry of the archive: one record of one profile as history shows it, and its bytes.
//!
//! Entries stand one behind the other in a chunk; all numbers little-endian, varints LEB128:
//!
//! ```text
//! entry = length varint · key u128 · pseq varint · at i64 · event · steps · notes     length counts what follows it
//! event · steps · notes as in `wire::record` (`put_happened`):
//! event = 0 | 1 · id text · type text · (0 | 1 · time i64) · properties bytes
//! steps = n varint · n × step                       step as in `wire::record`
//! notes = n varint · n × (step index varint · text)
//! ```
//!
//! Length and key come first, so that a reader skips the entries of other profiles without decoding them.

use bytes::Bytes;
use smol_str::SmolStr;

use crate::domain::ids::{Millis, PartitionId, ProfileKey, Pseq};
use crate::domain::step::Step;
use crate::wire::cursor::{Cursor, WireError, put_varint};
use crate::wire::record::{EventView, Happened, Record, RecordKind, happened_in};

/// What one record did to one profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The profile's partition.
    pub partition: PartitionId,
    /// Its place in the partition.
    pub pseq: Pseq,
    /// Engine time of the input.
    pub at: Millis,
    /// The profile.
    pub key: ProfileKey,
    /// The event, if one caused it.
    pub event: Option<ArchivedEvent>,
    /// The steps taken, in order.
    pub steps: Vec<Step>,
    /// Notes to steps: index into `steps`, and text for people (the reason of a failure).
    pub notes: Vec<(u32, SmolStr)>,
}

/// The event of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchivedEvent {
    /// The producer's id of it.
    pub id: SmolStr,
    /// Its type.
    pub kind: SmolStr,
    /// When it happened, if the producer said so.
    pub time: Option<Millis>,
    /// Its properties as one MessagePack map.
    pub properties: Bytes,
}

/// An entry on its way in. What happened stands as it does in its record: taking history in decodes none of it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The profile's partition.
    pub partition: PartitionId,
    /// Its place in the partition.
    pub pseq: Pseq,
    /// Engine time of the input.
    pub at: Millis,
    /// The profile.
    pub key: ProfileKey,
    /// Event, steps and notes, as [`put_happened`](crate::wire::record::put_happened) writes them.
    pub happened: &'a [u8],
}

/// What nothing at all looks like: no event, no steps, no notes.
const NOTHING: &[u8] = &[0, 0, 0];

impl<'a> Told<'a> {
    /// What a journal record tells. Records of no profile tell nothing.
    pub fn by(record: &'a Record<'_>) -> Result<Self, WireError> {
        let head = &record.head;
        let happened = if head.kind == RecordKind::Profile { happened_in(&record.payload)? } else { NOTHING };
        Ok(Self { partition: head.partition, pseq: head.pseq, at: head.engine_time, key: head.key, happened })
    }

    /// Whether there is nothing to show; such an entry only moves the watermark.
    pub fn is_empty(&self) -> bool {
        self.happened == NOTHING
    }
}

/// Appends an entry to the bytes of a chunk. `scratch` is reused between calls.
pub(super) fn put_entry(out: &mut Vec<u8>, scratch: &mut Vec<u8>, told: &Told<'_>) {
    scratch.clear();
    scratch.extend_from_slice(&told.key.0.to_le_bytes());
    put_varint(scratch, told.pseq.0);
    scratch.extend_from_slice(&told.at.0.to_le_bytes());
    put_varint(out, (scratch.len() + told.happened.len()) as u64);
    out.extend_from_slice(scratch);
    out.extend_from_slice(told.happened);
}

impl ArchivedEvent {
    fn of(event: EventView<'_>) -> Self {
        Self {
            id: SmolStr::new(event.id),
            kind: SmolStr::new(event.kind),
            time: event.time,
            properties: event.properties_owned(),
        }
    }
}

/// An entry of a chunk that is not decoded yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawEntry<'a> {
    pub(super) key: ProfileKey,
    rest: &'a [u8],
}

/// The next entry of a chunk, or `None` at its end.
pub(super) fn next_raw<'a>(cursor: &mut Cursor<'a>) -> Result<Option<RawEntry<'a>>, WireError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let mut body = Cursor::new(cursor.bytes("entry")?);
    let key = ProfileKey(body.u128("key")?);
    Ok(Some(RawEntry { key, rest: body.rest() }))
}

impl RawEntry<'_> {
    /// Decodes the rest.
    pub(super) fn decode(&self, partition: PartitionId) -> Result<Entry, WireError> {
        let mut cursor = Cursor::new(self.rest);
        let pseq = Pseq(cursor.varint("pseq")?);
        let at = Millis(cursor.i64("time")?);
        let Happened { event, steps, notes } = Happened::read(&mut cursor)?;
        if !cursor.is_empty() {
            return Err(WireError::invalid("entry", "bytes behind its end"));
        }
        let notes = notes.into_iter().map(|(index, text)| (index as u32, text)).collect();
        Ok(Entry { partition, pseq, at, key: self.key, event: event.map(ArchivedEvent::of), steps, notes })
    }
}

#[cfg(test)]
impl ArchivedEvent {
    fn view(&self) -> EventView<'_> {
        EventView { id: &self.id, kind: &self.kind, time: self.time, properties: &self.properties }
    }
}

#[cfg(test)]
impl Entry {
    /// What happened, as a record has it.
    pub(super) fn happened(&self) -> Vec<u8> {
        let notes = self.notes.iter().map(|(index, text)| (*index as usize, text.as_str()));
        let mut happened = Vec::new();
        crate::wire::record::put_happened(
            &mut happened,
            self.event.as_ref().map(ArchivedEvent::view),
            &self.steps,
            notes,
        );
        happened
    }

    /// This entry on its way in.
    pub(super) fn told<'a>(&self, happened: &'a [u8]) -> Told<'a> {
        let Self { partition, pseq, at, key, .. } = *self;
        Told { partition, pseq, at, key, happened }
    }

    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.told(&self.happened()).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ids::{NodeNo, VersionId};
    use crate::domain::step::{Path, StepKind};
    use crate::wire::record::{Draft, Head, put_plain_record, put_profile_record, records};

    fn sample() -> Entry {
        let step = |kind, due| Step { version: VersionId(300), node: NodeNo(2), ordinal: 1, kind, due };
        Entry {
            partition: PartitionId(7),
            pseq: Pseq(200),
            at: Millis(5),
            key: ProfileKey(0xAB << 100),
            event: Some(ArchivedEvent {
                id: "e-1".into(),
                kind: "purchase".into(),
                time: Some(Millis(-1)),
                properties: Bytes::from_static(&[0x80]),
            }),
            steps: vec![step(StepKind::Left(Path::Then), Millis::NEVER), step(StepKind::Arrived, Millis(3_600_005))],
            notes: vec![(1, "because".into())],
        }
    }

    fn decode_all(bytes: &[u8]) -> Result<Vec<Entry>, WireError> {
        let mut cursor = Cursor::new(bytes);
        let mut entries = Vec::new();
        while let Some(raw) = next_raw(&mut cursor)? {
            entries.push(raw.decode(PartitionId(7))?);
        }
        Ok(entries)
    }

    #[test]
    fn entries_read_back() {
        let empty = Entry { event: None, steps: vec![], notes: vec![], ..sample() };
        let untimed = Entry { event: sample().event.map(|e| ArchivedEvent { time: None, ..e }), ..sample() };
        let (mut bytes, mut scratch) = (Vec::new(), Vec::new());
        let entries = [sample(), empty, untimed];
        for entry in &entries {
            put_entry(&mut bytes, &mut scratch, &entry.told(&entry.happened()));
        }
        assert_eq!(decode_all(&bytes), Ok(entries.to_vec()));
        assert!(entries[1].is_empty() && !entries[0].is_empty());
        for length in 1..bytes.len() {
            if let Ok(read) = decode_all(&bytes[..length]) {
                assert!(read.len() < entries.len());
            }
        }
    }

    /// The golden bytes of the head of an entry and of its event.
    #[test]
    fn the_format_is_as_drawn() {
        let entry = Entry { steps: vec![], notes: vec![], ..sample() };
        let mut bytes = Vec::new();
        put_entry(&mut bytes, &mut Vec::new(), &entry.told(&entry.happened()));
        let mut expected = vec![53];
        expected.extend_from_slice(&(0xABu128 << 100).to_le_bytes());
        expected.extend_from_slice(&[0xC8, 1, 5, 0, 0, 0, 0, 0, 0, 0, 1, 3]);
        expected.extend_from_slice(b"e-1\x08purchase\x01\xff\xff\xff\xff\xff\xff\xff\xff\x01\x80\x00\x00");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn entries_come_from_records() {
        let entry = sample();
        let event = entry.event.clone().expect("it has one");
        let head = Head {
            kind: RecordKind::Profile,
            partition: entry.partition,
            pseq: entry.pseq,
            engine_time: entry.at,
            catalog: Default::default(),
            epoch: Default::default(),
            key: entry.key,
        };
        let draft = Draft {
            head,
            mark: None,
            event: Some(EventView {
                id: &event.id,
                kind: &event.kind,
                time: event.time,
                properties: &event.properties,
            }),
            steps: &entry.steps,
            notes: &[(1, "because".to_owned())],
            outbox: &[],
            components: b"",
        };
        let mut block = Vec::new();
        put_profile_record(&mut block, &draft);
        put_plain_record(&mut block, &Head { kind: RecordKind::Ownership, pseq: Pseq(201), ..head }, b"");
        let read: Vec<_> = records(&block).map(|record| record.expect("reads").1).collect();
        let told: Vec<Told<'_>> = read.iter().map(|record| Told::by(record).expect("converts")).collect();
        let mut bytes = Vec::new();
        put_entry(&mut bytes, &mut Vec::new(), &told[0]);
        assert_eq!(decode_all(&bytes), Ok(vec![entry]));
        assert!(told[1].is_empty() && told[1].pseq == Pseq(201));
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_all(&bytes);
        }
    }
}
