//! What an instance remembers behind its entry event: the latest event and what few journeys ask for. The same bytes stand
//! in components and in profiles asleep.
//!
//! ```text
//! memory = flags u8: 1 a last map follows, 2 extras follow · last map · n varint · n × extra
//! extra  = 1 · arm varint | 2 · slot varint · heard map | 3 · node varint · send ordinal varint |
//!          4 · supplemental id text | 5 · previous node varint | 6 · node varint · failure varint | 7 · answers map |
//!          8 · instant varint, zigzag | 9 · version varint |
//!          10 · status varint, 11 · milliseconds varint of calls of actions | 12, 13 the same of data sources |
//!          16 · held u8: 0 at the node, 1 at the entrance · since i64 | 17 · node varint · way varint · kept map |
//!          18 · number of a pause varint
//! ```

use smol_str::SmolStr;

use crate::domain::effect::CallStatus;
use crate::domain::ids::{Millis, NodeNo, VersionId};
use crate::domain::profile::{Context, Extra, Held, HeldAt, LastCall};
use crate::domain::step::Failure;
use crate::domain::value::Map;
use crate::wire::cursor::{Cursor, WireError, put_text, put_varint};
use crate::wire::value::{put_map, read_map};

const LAST: u8 = 1;
const EXTRAS: u8 = 2;

const ARM: u8 = 1;
const HEARD: u8 = 2;
const SENT: u8 = 3;
const SUPPLEMENTAL_ID: u8 = 4;
const PREVIOUS_NODE: u8 = 5;
const ERROR: u8 = 6;
const CALLED: u8 = 7;
const CAME_AT: u8 = 8;
const SETTLED: u8 = 9;
const ACTION_ERROR: u8 = 10;
const ACTION_MS: u8 = 11;
const SOURCE_ERROR: u8 = 12;
const SOURCE_MS: u8 = 13;
const HELD: u8 = 16;
const KEPT: u8 = 17;
const SHIFTED: u8 = 18;

/// Appends the memory of `context`.
#[inline]
pub(super) fn put_memory(out: &mut Vec<u8>, context: &Context) {
    let last = if context.last.is_some() { LAST } else { 0 };
    let extras = if context.extra.is_some() { EXTRAS } else { 0 };
    out.push(last | extras);
    if let Some(last) = &context.last {
        put_map(out, last);
    }
    if let Some(extra) = &context.extra {
        put_extra(out, extra);
    }
}

fn put_extra(out: &mut Vec<u8>, extra: &Extra) {
    let single = [
        extra.arm.is_some(),
        extra.supplemental_id.is_some(),
        extra.previous_node.is_some(),
        extra.error.is_some(),
        !extra.called.is_empty(),
        extra.action.error.is_some(),
        extra.action.took_ms.is_some(),
        extra.source.error.is_some(),
        extra.source.took_ms.is_some(),
        extra.held.is_some(),
        extra.shifted != 0,
        extra.came_at.is_some(),
        extra.settled.is_some(),
    ];
    let count = single.into_iter().filter(|is_there| *is_there).count()
        + extra.heard.len()
        + extra.sent.len()
        + extra.kept.len();
    put_varint(out, count as u64);
    if let Some(arm) = extra.arm {
        out.push(ARM);
        put_varint(out, u64::from(arm));
    }
    for (slot, map) in &extra.heard {
        out.push(HEARD);
        put_varint(out, u64::from(*slot));
        put_map(out, map);
    }
    for (node, ordinal) in &extra.sent {
        out.push(SENT);
        put_varint(out, u64::from(node.0));
        put_varint(out, u64::from(*ordinal));
    }
    if let Some(id) = &extra.supplemental_id {
        out.push(SUPPLEMENTAL_ID);
        put_text(out, id);
    }
    if let Some(node) = extra.previous_node {
        out.push(PREVIOUS_NODE);
        put_varint(out, u64::from(node.0));
    }
    if let Some((node, failure)) = extra.error {
        out.push(ERROR);
        put_varint(out, u64::from(node.0));
        put_varint(out, u64::from(failure.code()));
    }
    if !extra.called.is_empty() {
        out.push(CALLED);
        put_map(out, &extra.called);
    }
    if let Some(at) = extra.came_at {
        out.push(CAME_AT);
        put_varint(out, ((at.0 << 1) ^ (at.0 >> 63)) as u64);
    }
    if let Some(version) = extra.settled {
        out.push(SETTLED);
        put_varint(out, u64::from(version.0));
    }
    put_call(out, extra.action, (ACTION_ERROR, ACTION_MS));
    put_call(out, extra.source, (SOURCE_ERROR, SOURCE_MS));
    put_held(out, extra);
}

/// How calls went.
fn put_call(out: &mut Vec<u8>, call: LastCall, (error, took_ms): (u8, u8)) {
    if let Some(status) = call.error {
        out.push(error);
        put_varint(out, u64::from(status.code()));
    }
    if let Some(ms) = call.took_ms {
        out.push(took_ms);
        put_varint(out, ms as u64);
    }
}

/// What a pause left.
fn put_held(out: &mut Vec<u8>, extra: &Extra) {
    if let Some(held) = extra.held {
        out.extend_from_slice(&[HELD, u8::from(held.at == HeldAt::Entrance)]);
        out.extend_from_slice(&held.since.0.to_le_bytes());
    }
    for (node, way, map) in &extra.kept {
        out.push(KEPT);
        put_varint(out, u64::from(node.0));
        put_varint(out, u64::from(*way));
        put_map(out, map);
    }
    if extra.shifted != 0 {
        out.push(SHIFTED);
        put_varint(out, u64::from(extra.shifted));
    }
}

/// Latest event and extras.
#[inline]
pub(super) fn read_memory(cursor: &mut Cursor<'_>) -> Result<(Option<Map>, Option<Box<Extra>>), WireError> {
    let flags = cursor.u8("memory")?;
    if flags & !(LAST | EXTRAS) != 0 {
        return Err(WireError::invalid("memory", flags));
    }
    let last = if flags & LAST == 0 { None } else { Some(read_map(cursor)?) };
    let extra = if flags & EXTRAS == 0 { None } else { Some(Box::new(read_extra(cursor)?)) };
    Ok((last, extra))
}

fn read_extra(cursor: &mut Cursor<'_>) -> Result<Extra, WireError> {
    let mut extra = Extra::default();
    for _ in 0..cursor.varint("extras")? {
        match cursor.u8("extra")? {
            ARM => extra.arm = Some(varint_u16(cursor, "arm")?),
            HEARD => extra.heard.push((varint_u16(cursor, "slot")?, read_map(cursor)?)),
            SENT => extra.sent.push((NodeNo(varint_u16(cursor, "node")?), varint_u16(cursor, "ordinal")?)),
            SUPPLEMENTAL_ID => extra.supplemental_id = Some(SmolStr::new(cursor.text("supplemental id")?)),
            PREVIOUS_NODE => extra.previous_node = Some(NodeNo(varint_u16(cursor, "node")?)),
            ERROR => {
                let node = NodeNo(varint_u16(cursor, "node")?);
                let code = varint_u16(cursor, "failure")?;
                let failure = Failure::from_code(code).ok_or_else(|| WireError::invalid("failure", code))?;
                extra.error = Some((node, failure));
            }
            CALLED => extra.called = read_map(cursor)?,
            ACTION_ERROR => extra.action.error = Some(read_status(cursor)?),
            ACTION_MS => extra.action.took_ms = Some(cursor.varint("milliseconds")? as i64),
            SOURCE_ERROR => extra.source.error = Some(read_status(cursor)?),
            SOURCE_MS => extra.source.took_ms = Some(cursor.varint("milliseconds")? as i64),
            CAME_AT => {
                let zigzag = cursor.varint("instant")?;
                extra.came_at = Some(Millis((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)));
            }
            SETTLED => extra.settled = Some(VersionId(cursor.varint_u32("version")?)),
            HELD => {
                let at = match cursor.u8("held")? {
                    0 => HeldAt::Node,
                    1 => HeldAt::Entrance,
                    other => return Err(WireError::invalid("held", other)),
                };
                extra.held = Some(Held { since: Millis(cursor.i64("held since")?), at });
            }
            KEPT => {
                let (node, way) = (NodeNo(varint_u16(cursor, "node")?), varint_u16(cursor, "way")?);
                extra.kept.push((node, way, read_map(cursor)?));
            }
            SHIFTED => extra.shifted = cursor.varint_u32("pause")?,
            other => return Err(WireError::invalid("extra", other)),
        }
    }
    Ok(extra)
}

fn read_status(cursor: &mut Cursor<'_>) -> Result<CallStatus, WireError> {
    let code = varint_u16(cursor, "status")?;
    CallStatus::from_code(code).ok_or_else(|| WireError::invalid("status", code))
}

/// A varint of at most 16 bits.
pub(super) fn varint_u16(cursor: &mut Cursor<'_>, what: &'static str) -> Result<u16, WireError> {
    let n = cursor.varint(what)?;
    u16::try_from(n).map_err(|_| WireError::invalid(what, n))
}
