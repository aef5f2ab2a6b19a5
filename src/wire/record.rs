//! Records of the journal: what one input left behind, as absolute images (design §4 rule 2).
//!
//! A block of a shard is a sequence of records. All numbers little-endian.
//! ```text
//! record  = length u32 · head · payload            length counts head and payload
//! head    = kind u8 · part u8 · partition u16 · pseq u64 · engine time i64 · catalog version u32 ·
//!           ownership epoch u32 · profile key u128                                     (44 bytes)
//! kind    = 1 profile (an input of one profile)  2 ownership (acquired by a shard)  3 catalog (system partition)
//! part    = 0 whole  1 more parts follow  2 last part: the commit of a split record
//! payload of a profile record =
//!   mark   0 | 1 · producer u64 · epoch u32 · sequence u64 | 2 · id hash u128 · expires i64
//!   event  0 | 1 · id text · type text · (0 | 1 · time i64) · properties bytes
//!   steps  n varint · n × step        step = version varint · node u16 · ordinal varint · code u8 · detail u16 · due i64?
//!   notes  n varint · n × (step index varint · text)
//!   outbox n varint · n × change      (see `outbox`)
//!   components …                      (see `component`), to the end
//! payload of a catalog record = the catalog (see `domain::catalog`)
//! ```
//! `due` follows a step only where its code is `arrived`. A payload over [`limits::RECORD_BYTES_MAX`] is split into
//! parts with the same head, one behind the other in one block.

use std::borrow::Cow;

use bytes::Bytes;
use smol_str::SmolStr;

use crate::domain::ids::{CatalogVersion, Millis, NodeNo, OwnershipEpoch, PartitionId, ProfileKey, Pseq, VersionId};
use crate::domain::limits;
use crate::domain::step::{Step, StepKind};
use crate::wire::cursor::{Cursor, WireError, put_bytes, put_text, put_varint};
use crate::wire::outbox::{OutboxChange, put_change, read_change};

/// Bytes of a head.
const HEAD_SIZE: usize = 44;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// An input of one profile.
    Profile,
    /// A shard acquired the partition.
    Ownership,
    /// The catalog changed.
    Catalog,
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is about.
    pub kind: RecordKind,
    /// Whose record.
    pub partition: PartitionId,
    /// Its place in the partition.
    pub pseq: Pseq,
    /// Engine time of the input.
    pub engine_time: Millis,
    /// Catalog it was decided with.
    pub catalog: CatalogVersion,
    /// Ownership it was decided under.
    pub epoch: OwnershipEpoch,
    /// The profile; zero where there is none.
    pub key: ProfileKey,
}

/// What makes repeats recognisable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The highest sequence of a producer.
    Stream {
        /// Hash of its name.
        producer: u64,
        /// Its epoch.
        epoch: u32,
        /// Its sequence.
        sequence: u64,
    },
    /// An id, kept until an instant.
    Id {
        /// 128-bit hash.
        hash: u128,
        /// Engine time after which it is forgotten.
        expires: Millis,
    },
}

/// The event inside a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventView<'a> {
    /// Producer's id.
    pub id: &'a str,
    /// Type.
    pub kind: &'a str,
    /// `event.time`.
    pub time: Option<Millis>,
    /// MessagePack map.
    pub properties: &'a [u8],
}

/// A profile record about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// Its head.
    pub head: Head,
    /// Dedup mark.
    pub mark: Option<Mark>,
    /// The event, if one caused it.
    pub event: Option<EventView<'a>>,
    /// Steps taken.
    pub steps: &'a [Step],
    /// Notes to steps.
    pub notes: &'a [(usize, String)],
    /// Outbox changes.
    pub outbox: &'a [OutboxChange],
    /// Encoded components.
    pub components: &'a [u8],
}

/// Appends a profile record.
pub fn put_profile_record(out: &mut Vec<u8>, draft: &Draft<'_>) {
    let start = begin(out, &draft.head);
    match draft.mark {
        None => out.push(0),
        Some(Mark::Stream { producer, epoch, sequence }) => {
            out.push(1);
            out.extend_from_slice(&producer.to_le_bytes());
            out.extend_from_slice(&epoch.to_le_bytes());
            out.extend_from_slice(&sequence.to_le_bytes());
        }
        Some(Mark::Id { hash, expires }) => {
            out.push(2);
            out.extend_from_slice(&hash.to_le_bytes());
            out.extend_from_slice(&expires.0.to_le_bytes());
        }
    }
    put_happened(out, draft.event, draft.steps, draft.notes.iter().map(|(index, text)| (*index, text.as_str())));
    put_varint(out, draft.outbox.len() as u64);
    for change in draft.outbox {
        put_change(out, change);
    }
    out.extend_from_slice(draft.components);
    finish(out, start, &draft.head);
}

/// Appends a record whose payload is `payload` as it stands.
pub fn put_plain_record(out: &mut Vec<u8>, head: &Head, payload: &[u8]) {
    let start = begin(out, head);
    out.extend_from_slice(payload);
    finish(out, start, head);
}

fn begin(out: &mut Vec<u8>, head: &Head) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    put_head(out, head, 0);
    start
}

fn finish(out: &mut Vec<u8>, start: usize, head: &Head) {
    let length = out.len() - start - 4;
    if length <= limits::RECORD_BYTES_MAX {
        out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
        return;
    }
    let payload = out.split_off(start + 4 + HEAD_SIZE);
    out.truncate(start);
    let mut parts = payload.chunks(limits::RECORD_BYTES_MAX - HEAD_SIZE).peekable();
    while let Some(part) = parts.next() {
        out.extend_from_slice(&((HEAD_SIZE + part.len()) as u32).to_le_bytes());
        put_head(out, head, if parts.peek().is_some() { 1 } else { 2 });
        out.extend_from_slice(part);
    }
}

fn put_head(out: &mut Vec<u8>, head: &Head, part: u8) {
    out.push(match head.kind {
        RecordKind::Profile => 1,
        RecordKind::Ownership => 2,
        RecordKind::Catalog => 3,
    });
    out.push(part);
    out.extend_from_slice(&head.partition.0.to_le_bytes());
    out.extend_from_slice(&head.pseq.0.to_le_bytes());
    out.extend_from_slice(&head.engine_time.0.to_le_bytes());
    out.extend_from_slice(&head.catalog.0.to_le_bytes());
    out.extend_from_slice(&head.epoch.0.to_le_bytes());
    out.extend_from_slice(&head.key.0.to_le_bytes());
}

fn read_head(cursor: &mut Cursor<'_>) -> Result<(Head, u8), WireError> {
    let kind = match cursor.u8("record kind")? {
        1 => RecordKind::Profile,
        2 => RecordKind::Ownership,
        3 => RecordKind::Catalog,
        other => return Err(WireError::invalid("record kind", other)),
    };
    let part = cursor.u8("record part")?;
    let head = Head {
        kind,
        partition: PartitionId(cursor.u16("partition")?),
        pseq: Pseq(cursor.u64("pseq")?),
        engine_time: Millis(cursor.i64("engine time")?),
        catalog: CatalogVersion(cursor.u32("catalog version")?),
        epoch: OwnershipEpoch(cursor.u32("ownership epoch")?),
        key: ProfileKey(cursor.u128("profile key")?),
    };
    Ok((head, part))
}

/// One record of a block, its parts put together.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Its head.
    pub head: Head,
    /// Its payload.
    pub payload: Cow<'a, [u8]>,
}

/// Where a record lies in its block: the range of all its parts.
pub type RecordRange = std::ops::Range<usize>;

/// The records of `block`, in order, with where they lie.
pub fn records(block: &[u8]) -> Records<'_> {
    Records { block, cursor: Cursor::new(block) }
}

/// Iterator over the records of a block. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    block: &'a [u8],
    cursor: Cursor<'a>,
}

impl<'a> Records<'a> {
    fn next_record(&mut self) -> Result<(RecordRange, Record<'a>), WireError> {
        let start = self.block.len() - self.cursor.rest().len();
        let (head, part, payload) = self.next_part()?;
        let mut record = Record { head, payload: Cow::Borrowed(payload) };
        let mut more = part == 1;
        while more {
            let (next_head, next_part, payload) = self.next_part()?;
            if next_head != head || next_part == 0 {
                return Err(WireError::invalid("record", "a split record without its commit part"));
            }
            record.payload.to_mut().extend_from_slice(payload);
            more = next_part == 1;
        }
        let end = self.block.len() - self.cursor.rest().len();
        Ok((start..end, record))
    }

    fn next_part(&mut self) -> Result<(Head, u8, &'a [u8]), WireError> {
        let length = self.cursor.u32("record length")? as usize;
        let mut body = Cursor::new(self.cursor.take(length, "record")?);
        let (head, part) = read_head(&mut body)?;
        Ok((head, part, body.rest()))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(RecordRange, Record<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let result = self.next_record();
        if result.is_err() {
            self.cursor = Cursor::new(&[]);
        }
        Some(result)
    }
}

/// The last pseq of each partition in `block`; nothing after the first invalid record.
pub fn spans(block: &[u8]) -> Vec<(PartitionId, Pseq)> {
    let mut spans: std::collections::BTreeMap<PartitionId, Pseq> = std::collections::BTreeMap::new();
    for (_, record) in records(block).map_while(Result::ok) {
        spans.insert(record.head.partition, record.head.pseq);
    }
    spans.into_iter().collect()
}

/// The payload of a profile record, read.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRecord<'a> {
    /// Dedup mark.
    pub mark: Option<Mark>,
    /// The event, if one caused it.
    pub event: Option<EventView<'a>>,
    /// Steps taken.
    pub steps: Vec<Step>,
    /// Notes to steps.
    pub notes: Vec<(usize, SmolStr)>,
    /// Outbox changes.
    pub outbox: Vec<OutboxChange>,
    /// Encoded components.
    pub components: &'a [u8],
}

impl<'a> ProfileRecord<'a> {
    /// Reads the payload of a [`RecordKind::Profile`] record.
    pub fn read(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(payload);
        let mark = match cursor.u8("mark")? {
            0 => None,
            1 => Some(Mark::Stream {
                producer: cursor.u64("producer")?,
                epoch: cursor.u32("producer epoch")?,
                sequence: cursor.u64("sequence")?,
            }),
            2 => Some(Mark::Id { hash: cursor.u128("id hash")?, expires: Millis(cursor.i64("expires")?) }),
            other => return Err(WireError::invalid("mark", other)),
        };
        let Happened { event, steps, notes } = Happened::read(&mut cursor)?;
        let mut outbox = Vec::new();
        for _ in 0..cursor.varint("outbox changes")? {
            outbox.push(read_change(&mut cursor)?);
        }
        Ok(Self { mark, event, steps, notes, outbox, components: cursor.rest() })
    }
}

/// What history shows of a record: the same bytes in the journal and in the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened<'a> {
    /// The event, if one caused it.
    pub event: Option<EventView<'a>>,
    /// Steps taken.
    pub steps: Vec<Step>,
    /// Notes to steps: index, and text for people.
    pub notes: Vec<(usize, SmolStr)>,
}

/// Appends what history shows of a record.
pub fn put_happened<'t>(
    out: &mut Vec<u8>,
    event: Option<EventView<'_>>,
    steps: &[Step],
    notes: impl ExactSizeIterator<Item = (usize, &'t str)>,
) {
    match event {
        None => out.push(0),
        Some(event) => {
            out.push(1);
            put_text(out, event.id);
            put_text(out, event.kind);
            match event.time {
                None => out.push(0),
                Some(time) => {
                    out.push(1);
                    out.extend_from_slice(&time.0.to_le_bytes());
                }
            }
            put_bytes(out, event.properties);
        }
    }
    put_varint(out, steps.len() as u64);
    for step in steps {
        put_step(out, step);
    }
    put_varint(out, notes.len() as u64);
    for (index, text) in notes {
        put_varint(out, index as u64);
        put_text(out, text);
    }
}

impl<'a> Happened<'a> {
    /// Reads what [`put_happened`] wrote.
    pub fn read(cursor: &mut Cursor<'a>) -> Result<Self, WireError> {
        let event = match cursor.u8("event")? {
            0 => None,
            1 => Some(read_event(cursor)?),
            other => return Err(WireError::invalid("event", other)),
        };
        let mut steps = Vec::new();
        for _ in 0..cursor.varint("steps")? {
            steps.push(read_step(cursor)?);
        }
        let mut notes = Vec::new();
        for _ in 0..cursor.varint("notes")? {
            let index = cursor.varint_u32("note")? as usize;
            notes.push((index, SmolStr::new(cursor.text("note")?)));
        }
        Ok(Self { event, steps, notes })
    }
}

/// The bytes of a profile record's payload that [`put_happened`] wrote, looked through only as far as it takes to find
/// their end.
pub fn happened_in(payload: &[u8]) -> Result<&[u8], WireError> {
    let mut cursor = Cursor::new(payload);
    match cursor.u8("mark")? {
        0 => {}
        1 => drop(cursor.take(8 + 4 + 8, "producer")?),
        2 => drop(cursor.take(16 + 8, "id hash")?),
        other => return Err(WireError::invalid("mark", other)),
    }
    let from = cursor.rest();
    match cursor.u8("event")? {
        0 => {}
        1 => skip_event(&mut cursor)?,
        other => return Err(WireError::invalid("event", other)),
    }
    for _ in 0..cursor.varint("steps")? {
        skip_step(&mut cursor)?;
    }
    for _ in 0..cursor.varint("notes")? {
        cursor.varint("note")?;
        cursor.bytes("note")?;
    }
    Ok(&from[..from.len() - cursor.rest().len()])
}

fn skip_event(cursor: &mut Cursor<'_>) -> Result<(), WireError> {
    cursor.bytes("event id")?;
    cursor.bytes("event type")?;
    match cursor.u8("event time")? {
        0 => {}
        _ => drop(cursor.take(8, "event time")?),
    }
    cursor.bytes("properties")?;
    Ok(())
}

fn skip_step(cursor: &mut Cursor<'_>) -> Result<(), WireError> {
    cursor.varint("step version")?;
    cursor.take(2, "step node")?;
    cursor.varint("step ordinal")?;
    let code = cursor.u8("step code")?;
    cursor.take(if code == StepKind::ARRIVED { 2 + 8 } else { 2 }, "step detail")?;
    Ok(())
}

fn read_event<'a>(cursor: &mut Cursor<'a>) -> Result<EventView<'a>, WireError> {
    Ok(EventView {
        id: cursor.text("event id")?,
        kind: cursor.text("event type")?,
        time: match cursor.u8("event time")? {
            0 => None,
            1 => Some(Millis(cursor.i64("event time")?)),
            other => return Err(WireError::invalid("event time", other)),
        },
        properties: cursor.bytes("properties")?,
    })
}

impl EventView<'_> {
    /// Its properties, owned.
    pub fn properties_owned(&self) -> Bytes {
        Bytes::copy_from_slice(self.properties)
    }
}

/// Appends a step; its codes are those of [`StepKind::code`].
pub fn put_step(out: &mut Vec<u8>, step: &Step) {
    put_varint(out, u64::from(step.version.0));
    out.extend_from_slice(&step.node.0.to_le_bytes());
    put_varint(out, u64::from(step.ordinal));
    let (code, detail) = step.kind.code();
    out.push(code);
    out.extend_from_slice(&detail.to_le_bytes());
    if code == StepKind::ARRIVED {
        out.extend_from_slice(&step.due.0.to_le_bytes());
    }
}

/// Reads a step.
pub fn read_step(cursor: &mut Cursor<'_>) -> Result<Step, WireError> {
    let version = VersionId(cursor.varint_u32("step version")?);
    let node = NodeNo(cursor.u16("step node")?);
    let ordinal = cursor.varint_u32("step ordinal")?;
    let code = cursor.u8("step code")?;
    let detail = cursor.u16("step detail")?;
    let kind = StepKind::from_code(code, detail)
        .ok_or_else(|| WireError::invalid("step", format!("code {code}, detail {detail}")))?;
    let due = if code == StepKind::ARRIVED { Millis(cursor.i64("step due")?) } else { Millis::NEVER };
    Ok(Step { version, node, ordinal, kind, due })
}
