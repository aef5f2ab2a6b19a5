//! Outbox rows in bytes: as a whole when decided, as a change of state later, as an id when gone.
//!
//! ```text
//! change = 1 · length varint · row  |  2 · delivery id  |  3 · delivery id · state u8 · first attempt i64  |
//!          4 · change of the mail (see `mail`)
//! delivery id = partition u16 · instance u128 · ordinal u16
//! row = delivery id · profile text · version varint · node u16 · entry ordinal varint · message varint ·
//!       message id varint · channel u8 · recipient text · decided-at i64 · state u8 · first attempt i64 ·
//!       profile map · event map · last map · meta map [· action map, if the channel has bit 128]
//! ```
//! A first attempt of [`Millis::NEVER`] stands for none.

use smol_str::SmolStr;

use crate::domain::content::RenderInput;
use crate::domain::effect::{OutboxRow, OutboxState};
use crate::domain::ids::{DeliveryId, InstanceId, MessageId, Millis, NodeNo, PartitionId, VersionId};
use crate::domain::journey::program::Channel;
use crate::domain::value::{Map, Value};
use crate::wire::component::put_framed;
use crate::wire::cursor::{Cursor, WireError, put_text, put_varint};
use crate::wire::mail::{MailChange, put_mail, read_mail};
use crate::wire::value::{put_map, read_value};

/// Bit of the channel: what templates read of answers, or what a call says, follows.
const ANSWERS: u8 = 128;

/// One change of the outbox, absolute.
#[derive(Clone, Debug, PartialEq)]
pub enum OutboxChange {
    /// The row is there, like this.
    Put(Box<OutboxRow>),
    /// The row is gone.
    Gone(DeliveryId),
    /// The row has come this far.
    State {
        /// Which row.
        id: DeliveryId,
        /// How far.
        state: OutboxState,
        /// Engine time of the first attempt.
        first_attempt_at: Option<Millis>,
    },
    /// No row: what partitions tell each other. It stands here because most records have neither.
    Mail(Box<MailChange>),
}

/// Appends a change.
pub fn put_change(out: &mut Vec<u8>, change: &OutboxChange) {
    match change {
        OutboxChange::Put(row) => {
            out.push(1);
            put_framed(out, |body| put_row(body, row));
        }
        OutboxChange::Gone(id) => {
            out.push(2);
            put_id(out, *id);
        }
        OutboxChange::State { id, state, first_attempt_at } => {
            out.push(3);
            put_id(out, *id);
            put_state(out, *state, *first_attempt_at);
        }
        OutboxChange::Mail(change) => {
            out.push(4);
            put_mail(out, change);
        }
    }
}

/// Reads a change.
pub fn read_change(cursor: &mut Cursor<'_>) -> Result<OutboxChange, WireError> {
    Ok(match cursor.u8("outbox change")? {
        1 => OutboxChange::Put(Box::new(read_row(&mut Cursor::new(cursor.bytes("outbox row")?))?)),
        2 => OutboxChange::Gone(read_id(cursor)?),
        3 => {
            let id = read_id(cursor)?;
            let (state, first_attempt_at) = read_state(cursor)?;
            OutboxChange::State { id, state, first_attempt_at }
        }
        4 => OutboxChange::Mail(Box::new(read_mail(cursor)?)),
        other => return Err(WireError::invalid("outbox change", other)),
    })
}

/// Appends a whole row.
pub fn put_row(out: &mut Vec<u8>, row: &OutboxRow) {
    put_id(out, row.id);
    put_text(out, &row.profile);
    put_varint(out, u64::from(row.version.0));
    out.extend_from_slice(&row.node.0.to_le_bytes());
    put_varint(out, u64::from(row.entry_ordinal));
    put_varint(out, u64::from(row.message));
    put_varint(out, u64::from(row.message_id.0));
    let answers = if row.input.action.is_empty() { 0 } else { ANSWERS };
    out.push(
        match row.channel {
            Channel::Log => 0,
            Channel::Webhook => 1,
            Channel::Email => 2,
            Channel::Call => 3,
        } | answers,
    );
    put_text(out, &row.recipient);
    out.extend_from_slice(&row.decided_at.0.to_le_bytes());
    put_state(out, row.state, row.first_attempt_at);
    for map in [&row.input.profile, &row.input.event, &row.input.last, &row.input.meta, &row.input.journey] {
        put_map(out, map);
    }
    if answers != 0 {
        put_map(out, &row.input.action);
    }
}

/// Reads a whole row.
pub fn read_row(cursor: &mut Cursor<'_>) -> Result<OutboxRow, WireError> {
    let id = read_id(cursor)?;
    let profile = SmolStr::new(cursor.text("profile")?);
    let version = VersionId(cursor.varint_u32("version")?);
    let node = NodeNo(cursor.u16("node")?);
    let entry_ordinal = cursor.varint_u32("entry ordinal")?;
    let message = cursor.varint_u32("message")? as u16;
    let message_id = MessageId(cursor.varint_u32("message id")?);
    let channel = cursor.u8("channel")?;
    let answers = channel & ANSWERS;
    let channel = match channel & !ANSWERS {
        0 => Channel::Log,
        1 => Channel::Webhook,
        2 => Channel::Email,
        3 => Channel::Call,
        other => return Err(WireError::invalid("channel", other)),
    };
    let recipient = SmolStr::new(cursor.text("recipient")?);
    let decided_at = Millis(cursor.i64("decided at")?);
    let (state, first_attempt_at) = read_state(cursor)?;
    let input = RenderInput {
        profile: read_map(cursor)?,
        event: read_map(cursor)?,
        last: read_map(cursor)?,
        meta: read_map(cursor)?,
        journey: read_map(cursor)?,
        action: if answers == 0 { Map::new() } else { read_map(cursor)? },
    };
    Ok(OutboxRow {
        id,
        profile,
        version,
        node,
        entry_ordinal,
        message,
        message_id,
        channel,
        recipient,
        input,
        decided_at,
        state,
        first_attempt_at,
    })
}

fn read_map(cursor: &mut Cursor<'_>) -> Result<Map, WireError> {
    match read_value(cursor, 0)? {
        Value::Map(map) => Ok(map),
        _ => Err(WireError::invalid("render input", "no map")),
    }
}

fn put_id(out: &mut Vec<u8>, id: DeliveryId) {
    out.extend_from_slice(&id.partition.0.to_le_bytes());
    out.extend_from_slice(&id.instance.0.to_le_bytes());
    out.extend_from_slice(&id.ordinal.to_le_bytes());
}

fn read_id(cursor: &mut Cursor<'_>) -> Result<DeliveryId, WireError> {
    Ok(DeliveryId {
        partition: PartitionId(cursor.u16("delivery id")?),
        instance: InstanceId(cursor.u128("delivery id")?),
        ordinal: cursor.u16("delivery id")?,
    })
}

fn put_state(out: &mut Vec<u8>, state: OutboxState, first_attempt_at: Option<Millis>) {
    out.push(match state {
        OutboxState::Pending => 0,
        OutboxState::Started => 1,
        OutboxState::InDoubt => 2,
    });
    out.extend_from_slice(&first_attempt_at.unwrap_or(Millis::NEVER).0.to_le_bytes());
}

fn read_state(cursor: &mut Cursor<'_>) -> Result<(OutboxState, Option<Millis>), WireError> {
    let state = match cursor.u8("outbox state")? {
        0 => OutboxState::Pending,
        1 => OutboxState::Started,
        2 => OutboxState::InDoubt,
        other => return Err(WireError::invalid("outbox state", other)),
    };
    let first = Millis(cursor.i64("first attempt")?);
    Ok((state, (first != Millis::NEVER).then_some(first)))
}
