//! Components of a profile as absolute images: what journal records are made of.
//!
//! ```text
//! component = tag u8 · body length varint · body
//!   1 header    identity text · entries and caps · n varint · n × last entry
//!   2 position  ordinal varint · version varint · journey varint · node u16 · generation u32 · sends varint ·
//!               entered-at i64 · due i64 · due kind u8
//!   3 gone      ordinal varint                       the instance ended: its position and context go
//!   4 context   ordinal varint · event id text · event type text · event time i64 ·
//!               n varint · n × (node u16, visits u16) · event map · memory
//!   5 field     name text · value MessagePack        a top-level field of the document
//!   6 no field  name text                            deleted
//!   7 chain     chain u64                            the chain of decisions so far
//! ```
//! `entries and caps` = entries × 2 varint, or entries × 2 + 1 varint · n varint · n × (rule set text, since i64, entries varint);
//! `last entry` = journey × 2 + 1 varint · supplemental id text · entered-at i64, or without one journey × 2 · entered-at i64;
//! `memory` is that of [`memory`](crate::wire::memory).
//! INVARIANT: installing a component twice leaves what installing it once leaves.

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::ids::{JourneyId, Millis, NodeNo, ProfileKey, VersionId};
use crate::domain::profile::{CapCount, Changes, Context, DueKind, Instance, LastEntry, Profile};
use crate::domain::value::Value;
use crate::wire::cursor::{Cursor, WireError, put_bytes, put_text, put_varint};
use crate::wire::memory::{put_memory, read_memory};
use crate::wire::value::{put_map, put_value, read_map, read_value};

const HEADER: u8 = 1;
const POSITION: u8 = 2;
const GONE: u8 = 3;
const CONTEXT: u8 = 4;
const FIELD: u8 = 5;
const NO_FIELD: u8 = 6;
const CHAIN: u8 = 7;

/// Appends what `profile.changes` names.
pub fn put_changes(out: &mut Vec<u8>, profile: &Profile, changes: &Changes) {
    if changes.header {
        put_header(out, profile);
    }
    if changes.chain {
        put_chain(out, profile.chain);
    }
    for ordinal in &changes.instances {
        match profile.instances.iter().find(|i| i.ordinal == *ordinal) {
            Some(instance) => put_position(out, instance),
            None => put_component(out, GONE, |body| put_varint(body, u64::from(*ordinal))),
        }
    }
    for ordinal in &changes.contexts {
        if let Some(instance) = profile.instances.iter().find(|i| i.ordinal == *ordinal) {
            put_context(out, instance);
        }
    }
    for name in &changes.fields {
        match profile.document.get(name) {
            Some(value) => put_field(out, name, value),
            None => put_component(out, NO_FIELD, |body| put_text(body, name)),
        }
    }
}

/// Appends all of `profile`.
pub fn put_profile(out: &mut Vec<u8>, profile: &Profile) {
    put_header(out, profile);
    put_chain(out, profile.chain);
    for instance in &profile.instances {
        put_position(out, instance);
        put_context(out, instance);
    }
    for (name, value) in &profile.document.0 {
        put_field(out, name, value);
    }
}

fn put_chain(out: &mut Vec<u8>, chain: u64) {
    let mut component = [CHAIN, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    component[2..].copy_from_slice(&chain.to_le_bytes());
    out.extend_from_slice(&component);
}

fn put_position(out: &mut Vec<u8>, instance: &Instance) {
    put_component(out, POSITION, |body| {
        put_varint(body, u64::from(instance.ordinal));
        put_varint(body, u64::from(instance.version.0));
        put_varint(body, u64::from(instance.journey.0));
        body.extend_from_slice(&instance.node.0.to_le_bytes());
        body.extend_from_slice(&instance.generation.to_le_bytes());
        put_varint(body, u64::from(instance.sends));
        body.extend_from_slice(&instance.entered_at.0.to_le_bytes());
        body.extend_from_slice(&instance.due.0.to_le_bytes());
        body.push(match instance.due_kind {
            DueKind::Node => 0,
            DueKind::Timeout => 1,
        });
    });
}

fn put_component(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    // Room for a one-byte length, which fits most bodies; a longer one moves the body.
    let start = out.len();
    out.push(0);
    body(out);
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    put_varint(&mut prefix, length as u64);
    out.splice(start..=start, prefix);
}

fn put_header(out: &mut Vec<u8>, profile: &Profile) {
    put_component(out, HEADER, |body| {
        put_text(body, &profile.identity);
        put_entries(body, profile);
        put_varint(body, profile.last_entries.len() as u64);
        for entry in &profile.last_entries {
            put_entered(body, entry);
            body.extend_from_slice(&entry.at.0.to_le_bytes());
        }
    });
}

fn put_context(out: &mut Vec<u8>, instance: &Instance) {
    let context = &instance.context;
    put_component(out, CONTEXT, |body| {
        put_varint(body, u64::from(instance.ordinal));
        put_text(body, &context.event_id);
        put_text(body, &context.event_type);
        body.extend_from_slice(&context.event_time.0.to_le_bytes());
        put_varint(body, context.visits.len() as u64);
        for (node, visits) in &context.visits {
            body.extend_from_slice(&node.0.to_le_bytes());
            body.extend_from_slice(&visits.to_le_bytes());
        }
        put_map(body, &context.event);
        put_memory(body, context);
    });
}

fn put_field(out: &mut Vec<u8>, name: &SmolStr, value: &Value) {
    put_component(out, FIELD, |body| {
        put_text(body, name);
        put_value(body, value);
    });
}

/// Installs every component of `bytes` on `profile`, in order. What comes before its place
/// (a context) is kept for it.
pub fn install(profile: &mut Profile, bytes: &[u8]) -> Result<(), WireError> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        install_next(profile, &mut cursor)?;
    }
    Ok(())
}

fn install_next(profile: &mut Profile, cursor: &mut Cursor<'_>) -> Result<(), WireError> {
    let tag = cursor.u8("component tag")?;
    let mut body = Cursor::new(cursor.bytes("component")?);
    match tag {
        HEADER => install_header(profile, &mut body)?,
        POSITION => install_position(profile, &mut body)?,
        GONE => {
            let ordinal = body.varint_u32("ordinal")?;
            profile.instances.retain(|i| i.ordinal != ordinal);
        }
        CONTEXT => {
            let ordinal = body.varint_u32("ordinal")?;
            let context = read_context(&mut body)?;
            instance_mut(profile, ordinal).context = context;
        }
        FIELD => {
            let name = SmolStr::new(body.text("field name")?);
            let value = read_value(&mut body, 0)?;
            profile.document.insert(name, value);
        }
        NO_FIELD => {
            profile.document.remove(body.text("field name")?);
        }
        CHAIN => profile.chain = body.u64("chain")?,
        other => return Err(WireError::invalid("component", format!("tag {other}"))),
    }
    if body.is_empty() {
        Ok(())
    } else {
        Err(WireError::invalid("component", format!("tag {tag} with bytes after its end")))
    }
}

fn install_header(profile: &mut Profile, body: &mut Cursor<'_>) -> Result<(), WireError> {
    profile.identity = SmolStr::new(body.text("identity")?);
    read_entries(profile, body)?;
    profile.last_entries.clear();
    for _ in 0..body.varint("last entries")? {
        let (journey, supplemental_id) = read_entered(body)?;
        profile.last_entries.push(LastEntry { journey, supplemental_id, at: Millis(body.i64("entered at")?) });
    }
    Ok(())
}

/// Appends how often the profile entered journeys, and those of each rule set.
#[inline]
pub(super) fn put_entries(out: &mut Vec<u8>, profile: &Profile) {
    put_varint(out, u64::from(profile.entries) << 1 | u64::from(!profile.caps.is_empty()));
    if !profile.caps.is_empty() {
        put_caps(out, &profile.caps);
    }
}

#[cold]
fn put_caps(out: &mut Vec<u8>, caps: &[CapCount]) {
    put_varint(out, caps.len() as u64);
    for cap in caps {
        put_text(out, &cap.rule_set);
        out.extend_from_slice(&cap.since.0.to_le_bytes());
        put_varint(out, u64::from(cap.entries));
    }
}

/// Reads what [`put_entries`] wrote.
#[inline]
pub(super) fn read_entries(profile: &mut Profile, cursor: &mut Cursor<'_>) -> Result<(), WireError> {
    let marked = cursor.varint("entries")?;
    profile.entries = u32::try_from(marked >> 1).map_err(|_| WireError::invalid("entries", marked))?;
    profile.caps.clear();
    if marked & 1 == 0 { Ok(()) } else { read_caps(profile, cursor) }
}

#[cold]
fn read_caps(profile: &mut Profile, cursor: &mut Cursor<'_>) -> Result<(), WireError> {
    for _ in 0..cursor.varint("caps")? {
        let rule_set = SmolStr::new(cursor.text("rule set")?);
        let since = Millis(cursor.i64("since")?);
        profile.caps.push(CapCount { rule_set, since, entries: cursor.varint_u32("entries")? });
    }
    Ok(())
}

/// Appends what was entered.
#[inline]
pub(super) fn put_entered(out: &mut Vec<u8>, entry: &LastEntry) {
    let marked = u64::from(entry.supplemental_id.is_some());
    put_varint(out, u64::from(entry.journey.0) << 1 | marked);
    if let Some(id) = &entry.supplemental_id {
        put_text(out, id);
    }
}

/// What was entered: the journey, and under which supplemental id.
#[inline]
pub(super) fn read_entered(cursor: &mut Cursor<'_>) -> Result<(JourneyId, Option<SmolStr>), WireError> {
    let marked = cursor.varint("journey")?;
    let journey = u32::try_from(marked >> 1).map_err(|_| WireError::invalid("journey", marked))?;
    let id = if marked & 1 == 0 { None } else { Some(SmolStr::new(cursor.text("supplemental id")?)) };
    Ok((JourneyId(journey), id))
}

fn install_position(profile: &mut Profile, body: &mut Cursor<'_>) -> Result<(), WireError> {
    let ordinal = body.varint_u32("ordinal")?;
    let instance = instance_mut(profile, ordinal);
    instance.version = VersionId(body.varint_u32("version")?);
    instance.journey = JourneyId(body.varint_u32("journey")?);
    instance.node = NodeNo(body.u16("node")?);
    instance.generation = body.u32("generation")?;
    instance.sends = body.varint_u32("sends")? as u16;
    instance.entered_at = Millis(body.i64("entered at")?);
    instance.due = Millis(body.i64("due")?);
    instance.due_kind = match body.u8("due kind")? {
        0 => DueKind::Node,
        1 => DueKind::Timeout,
        other => return Err(WireError::invalid("due kind", other)),
    };
    Ok(())
}

/// The instance `ordinal`, made at its place in the order of entry if it is not there.
fn instance_mut(profile: &mut Profile, ordinal: u32) -> &mut Instance {
    let index = profile.instances.iter().position(|i| i.ordinal >= ordinal).unwrap_or(profile.instances.len());
    if profile.instances.get(index).is_none_or(|i| i.ordinal != ordinal) {
        profile.instances.insert(index, vacant_instance(ordinal));
    }
    &mut profile.instances[index]
}

/// An instance of which only the ordinal is known yet.
pub fn vacant_instance(ordinal: u32) -> Instance {
    Instance {
        version: VersionId::default(),
        journey: JourneyId::default(),
        node: NodeNo::default(),
        generation: 0,
        entered_at: Millis::default(),
        due: Millis::NEVER,
        due_kind: DueKind::Timeout,
        ordinal,
        sends: 0,
        context: Context::default(),
    }
}

fn read_context(body: &mut Cursor<'_>) -> Result<Context, WireError> {
    let event_id = SmolStr::new(body.text("event id")?);
    let event_type = SmolStr::new(body.text("event type")?);
    let event_time = Millis(body.i64("event time")?);
    let mut visits = SmallVec::new();
    for _ in 0..body.varint("visits")? {
        visits.push((NodeNo(body.u16("node")?), body.u16("visits")?));
    }
    let event = read_map(body)?;
    let (last, extra) = read_memory(body)?;
    Ok(Context { event, last, event_id, event_type, event_time, visits, extra })
}

/// A profile with nothing in it, to install components on.
pub fn blank_profile(key: ProfileKey) -> Profile {
    let mut profile = Profile::new(key, SmolStr::default());
    profile.changes = Changes::default();
    profile
}

/// Makes `profile` blank again, keeping its memory.
pub fn blank(profile: &mut Profile, key: ProfileKey) {
    profile.key = key;
    profile.identity = SmolStr::default();
    profile.document.0.clear();
    profile.instances.clear();
    profile.last_entries.clear();
    profile.caps.clear();
    profile.entries = 0;
    profile.chain = 0;
    profile.changes.clear();
}

/// Appends bytes behind their length: a whole profile inside a page or record.
pub fn put_framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    write(&mut body);
    put_bytes(out, &body);
}
