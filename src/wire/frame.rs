//! Frames of the TCP feed, version 1: bytes to values and back. `docs/protocol.md` draws every frame byte by byte, and a
//! test holds the two together.
//!
//! ```text
//! frame    length u32 big-endian | one MessagePack array of that many bytes
//! hello    ["sojourn", version, sandbox, producer, epoch, api_key|nil, engine_time|nil, {option: text}]   client, first
//! welcome  ["sojourn", version, server, credit, sequence, clock, {limit: number}]                         server, first
//! batch    [1, first_sequence, [event, ..]]                                 client    event: see wire::event
//! ack      [2, sequence, [[sequence, code, message], ..], duplicates, engine_time|nil]    server, after the commit
//! credit   [3, events]                                                      server
//! error    [4, code, message]                                               server, then it closes
//! ping     [5, token]      pong  [6, token]      goodbye  [7, message]      both
//! ```
//!
//! Decoding checks depth over the raw bytes first, allocates nothing by what a header declares, and tells a bad event (a value
//! in [`Batch::rejected`]) from a bad frame (an error naming the byte).

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::event::{Event, EventError};
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::wire::event::{read_event, write_event};
use crate::wire::msgpack::{Malformed, Reader, Token, write_array_head, write_int, write_unsigned};

/// First element of a hello and of a welcome.
pub const MAGIC: &str = "sojourn";
/// The version of the protocol that this binary speaks.
pub const VERSION: u16 = 1;
/// Bytes of the length before each frame.
pub const LENGTH_BYTES: usize = 4;

const BATCH: i64 = 1;
const ACK: i64 = 2;
const CREDIT: i64 = 3;
const ERROR: i64 = 4;
const PING: i64 = 5;
const PONG: i64 = 6;
const GOODBYE: i64 = 7;

/// What a client says first.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its sandbox: `default`.
    pub sandbox: String,
    /// Its name: sequences count per producer and epoch.
    pub producer: String,
    /// One more each time it counts from 1 anew.
    pub epoch: u32,
    /// Its key, where the server asks for one.
    pub api_key: Option<String>,
    /// On the events' clock: the engine time of the last ack it had, so that stamps go on from there.
    pub engine_time: Option<Millis>,
    /// Further words about itself; the server ignores those it doesn't know.
    pub options: BTreeMap<String, String>,
}

impl fmt::Debug for Hello {
    /// Without the key: secrets never reach logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("sandbox", &self.sandbox)
            .field("producer", &self.producer)
            .field("epoch", &self.epoch)
            .field("api_key", &self.api_key.as_ref().map(|_| ".."))
            .field("engine_time", &self.engine_time)
            .field("options", &self.options)
            .finish()
    }
}

/// What a server answers to a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Name and version of the server.
    pub server: String,
    /// Events that the client may have unacknowledged.
    pub credit: u64,
    /// Highest sequence of this producer and epoch known to be acknowledged; 0 if the server remembers none.
    pub sequence: u64,
    /// `wall` or `events`.
    pub clock: String,
    /// Limits by name: `batch_events_max`, `frame_bytes_max`, `event_bytes_max`, `idle_ms`.
    pub limits: BTreeMap<String, u64>,
}

/// Events in order, each good or refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Sequence of the first event.
    pub first_sequence: u64,
    /// The good events, in order.
    pub events: Vec<Event>,
    /// The refused ones: position in the batch and why, in order.
    pub rejected: Vec<(u32, EventError)>,
}

impl Batch {
    /// Events in it, good or refused.
    pub fn count(&self) -> u64 {
        (self.events.len() + self.rejected.len()) as u64
    }

    /// Sequence of the last event.
    pub fn last_sequence(&self) -> u64 {
        self.first_sequence + self.count().saturating_sub(1)
    }
}

/// One event that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its sequence.
    pub sequence: u64,
    /// Stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

impl Rejection {
    /// A refusal for the wire; its message is cut, since it may quote the event.
    pub fn new(sequence: u64, error: &EventError) -> Self {
        let mut message = error.message.clone();
        message.truncate(message.floor_char_boundary(limits::REJECTION_MESSAGE_BYTES_MAX));
        Self { sequence, code: error.code.to_owned(), message }
    }
}

/// Everything up to a sequence is durable, or refused for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// The highest such sequence.
    pub sequence: u64,
    /// The refused ones since the last ack.
    pub rejected: Vec<Rejection>,
    /// Events since the last ack that were durable before.
    pub duplicates: u64,
    /// On the events' clock: the engine time of `sequence`; for the next hello.
    pub engine_time: Option<Millis>,
}

/// A frame of a client behind its hello.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// Events.
    Batch(Batch),
    /// Asks for a pong.
    Ping(u64),
    /// Answers a ping.
    Pong(u64),
    /// Nothing more will come.
    Goodbye(String),
}

/// A frame of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFrame {
    /// The answer to a hello.
    Welcome(Welcome),
    /// Progress.
    Ack(Ack),
    /// The client may send this many events more.
    Credit(u64),
    /// The server closes.
    Error {
        /// The byte of `transport::code::Code`.
        code: u8,
        /// For people.
        message: String,
    },
    /// Asks for a pong.
    Ping(u64),
    /// Answers a ping.
    Pong(u64),
    /// Nothing more will come; all that was acknowledged is.
    Goodbye(String),
}

/// Why a frame is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Bytes that are no MessagePack, or another shape.
    #[error("malformed frame: {0}")]
    Malformed(#[from] Malformed),
    /// Another protocol.
    #[error("protocol version {theirs} is not spoken here; version {VERSION} is")]
    Version {
        /// What the peer speaks.
        theirs: i64,
    },
    /// The elements of a known frame are wrong.
    #[error("malformed {frame}: {reason}")]
    Elements {
        /// Which frame.
        frame: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Reads the body of a client's first frame.
///
/// # Errors
/// [`FrameError::Version`] where the magic is right and the version another; else what is malformed.
pub fn decode_hello(body: &[u8]) -> Result<Hello, FrameError> {
    type Elements = (String, u16, String, String, u32, Option<String>, Option<i64>, BTreeMap<String, String>);
    check_greeting(body)?;
    let (_, _, sandbox, producer, epoch, api_key, engine_time, options) = elements::<Elements>("hello", body)?;
    Ok(Hello { sandbox, producer, epoch, api_key, engine_time: engine_time.map(Millis), options })
}

/// Reads the body of a client's later frame. Properties of events become slices of `body`.
///
/// # Errors
/// What is malformed, and where.
pub fn decode_client(body: &Bytes) -> Result<ClientFrame, FrameError> {
    let mut reader = Reader::new(body);
    let kind = read_kind(&mut reader)?;
    if kind == BATCH {
        return decode_batch(body).map(ClientFrame::Batch);
    }
    check_shape(body)?;
    Ok(match kind {
        PING => ClientFrame::Ping(elements::<(i64, u64)>("ping", body)?.1),
        PONG => ClientFrame::Pong(elements::<(i64, u64)>("pong", body)?.1),
        GOODBYE => ClientFrame::Goodbye(elements::<(i64, String)>("goodbye", body)?.1),
        other => reader.malformed(1, format!("frame kind {other}, which no client sends,"))?,
    })
}

/// Reads the body of a server's frame.
///
/// # Errors
/// What is malformed, and where.
pub fn decode_server(body: &[u8]) -> Result<ServerFrame, FrameError> {
    let mut reader = Reader::new(body);
    reader.token()?;
    if matches!(reader.token()?, Token::Text(_)) {
        return decode_welcome(body).map(ServerFrame::Welcome);
    }
    check_shape(body)?;
    let mut reader = Reader::new(body);
    Ok(match read_kind(&mut reader)? {
        ACK => {
            let (_, sequence, rejected, duplicates, engine_time) =
                elements::<(i64, u64, Vec<Rejection>, u64, Option<i64>)>("ack", body)?;
            ServerFrame::Ack(Ack { sequence, rejected, duplicates, engine_time: engine_time.map(Millis) })
        }
        CREDIT => ServerFrame::Credit(elements::<(i64, u64)>("credit", body)?.1),
        ERROR => {
            let (_, code, message) = elements::<(i64, u8, String)>("error", body)?;
            ServerFrame::Error { code, message }
        }
        PING => ServerFrame::Ping(elements::<(i64, u64)>("ping", body)?.1),
        PONG => ServerFrame::Pong(elements::<(i64, u64)>("pong", body)?.1),
        GOODBYE => ServerFrame::Goodbye(elements::<(i64, String)>("goodbye", body)?.1),
        other => reader.malformed(1, format!("frame kind {other}, which no server sends,"))?,
    })
}

fn decode_welcome(body: &[u8]) -> Result<Welcome, FrameError> {
    type Elements = (String, u16, String, u64, u64, String, BTreeMap<String, u64>);
    check_greeting(body)?;
    let (_, _, server, credit, sequence, clock, limits) = elements::<Elements>("welcome", body)?;
    Ok(Welcome { server, credit, sequence, clock, limits })
}

/// Checks magic and version before anything else, so that another version is told from a malformed frame.
fn check_greeting(body: &[u8]) -> Result<(), FrameError> {
    let mut reader = Reader::new(body);
    if !matches!(reader.token()?, Token::Array(_)) {
        reader.malformed::<()>(0, "no array; the first frame is a hello")?;
    }
    if reader.token()? != Token::Text(MAGIC.as_bytes()) {
        reader.malformed::<()>(1, "no \"sojourn\"; the first frame is a hello")?;
    }
    let offset = reader.position();
    match reader.token()? {
        Token::Int(version) if version == i64::from(VERSION) => check_shape(body),
        Token::Int(theirs) => Err(FrameError::Version { theirs }),
        other => Ok(reader.malformed(offset, format!("{} for the version; an integer is due", other.describe()))?),
    }
}

/// Checks that `body` is one value no deeper than allowed, before any decoder that recurses sees it.
fn check_shape(body: &[u8]) -> Result<(), FrameError> {
    let mut reader = Reader::new(body);
    reader.skip_to_depth(limits::DEPTH_MAX)?;
    check_end(&reader)
}

fn check_end(reader: &Reader<'_>) -> Result<(), FrameError> {
    if !reader.is_at_end() {
        reader.malformed::<()>(reader.position(), "bytes behind the frame")?;
    }
    Ok(())
}

fn read_kind(reader: &mut Reader<'_>) -> Result<i64, FrameError> {
    match reader.token()? {
        Token::Array(_) => {}
        other => reader.malformed(0, format!("{}; a frame is an array", other.describe()))?,
    }
    let offset = reader.position();
    match reader.token()? {
        Token::Int(kind) => Ok(kind),
        other => {
            Ok(reader.malformed(offset, format!("{} for the kind of frame; an integer is due", other.describe()))?)
        }
    }
}

fn elements<'a, T: Deserialize<'a>>(frame: &'static str, body: &'a [u8]) -> Result<T, FrameError> {
    rmp_serde::from_slice(body).map_err(|error| FrameError::Elements { frame, reason: error.to_string() })
}

fn decode_batch(body: &Bytes) -> Result<Batch, FrameError> {
    let mut reader = Reader::new(body);
    if reader.token()? != Token::Array(3) {
        reader.malformed::<()>(0, "a batch without 3 elements; it is [1, first_sequence, [event, ..]]")?;
    }
    reader.token()?;
    let offset = reader.position();
    let first_sequence = match reader.token()? {
        Token::Int(sequence @ 1..) => sequence as u64,
        other => reader.malformed(offset, format!("{}; the first sequence is an integer from 1", other.describe()))?,
    };
    let offset = reader.position();
    let count = match reader.token()? {
        Token::Array(count) if (1..=limits::BATCH_EVENTS_MAX).contains(&(count as usize)) => count,
        Token::Array(count) => {
            reader.malformed(offset, format!("{count} events; a batch holds 1 to {}", limits::BATCH_EVENTS_MAX))?
        }
        other => reader.malformed(offset, format!("{}; an array of events is due", other.describe()))?,
    };
    let mut batch = Batch { first_sequence, events: Vec::with_capacity(count as usize), rejected: Vec::new() };
    for index in 0..count {
        let start = reader.position();
        match read_event(body, &mut reader) {
            Ok(event) => batch.events.push(event),
            Err(error) => {
                // What the event's end is, only its bytes can say: where they say nothing, the frame is broken.
                reader = Reader::starting_at(body, start);
                reader.skip()?;
                batch.rejected.push((index, error));
            }
        }
    }
    check_end(&reader)?;
    Ok(batch)
}

/// Appends a hello, its length first.
pub fn encode_hello(out: &mut Vec<u8>, hello: &Hello) {
    let Hello { sandbox, producer, epoch, api_key, engine_time, options } = hello;
    let time = engine_time.map(|t| t.0);
    encode_elements(out, &(MAGIC, VERSION, sandbox, producer, epoch, api_key, time, options));
}

/// Appends a batch, its length first; `events` are valid and at most [`limits::BATCH_EVENTS_MAX`].
pub fn encode_batch(out: &mut Vec<u8>, first_sequence: u64, events: &[Event]) {
    encode_frame(out, |out| {
        write_array_head(out, 3);
        write_int(out, BATCH);
        write_unsigned(out, first_sequence);
        write_array_head(out, events.len());
        for event in events {
            write_event(out, event);
        }
    });
}

/// Appends a client's frame, its length first. Refused events of a batch are left out.
pub fn encode_client(out: &mut Vec<u8>, frame: &ClientFrame) {
    match frame {
        ClientFrame::Batch(batch) => encode_batch(out, batch.first_sequence, &batch.events),
        ClientFrame::Ping(token) => encode_elements(out, &(PING, token)),
        ClientFrame::Pong(token) => encode_elements(out, &(PONG, token)),
        ClientFrame::Goodbye(message) => encode_elements(out, &(GOODBYE, message)),
    }
}

/// Appends a server's frame, its length first.
pub fn encode_server(out: &mut Vec<u8>, frame: &ServerFrame) {
    match frame {
        ServerFrame::Welcome(Welcome { server, credit, sequence, clock, limits }) => {
            encode_elements(out, &(MAGIC, VERSION, server, credit, sequence, clock, limits));
        }
        ServerFrame::Ack(Ack { sequence, rejected, duplicates, engine_time }) => {
            encode_elements(out, &(ACK, sequence, rejected, duplicates, engine_time.map(|t| t.0)));
        }
        ServerFrame::Credit(events) => encode_elements(out, &(CREDIT, events)),
        ServerFrame::Error { code, message } => encode_elements(out, &(ERROR, code, message)),
        ServerFrame::Ping(token) => encode_elements(out, &(PING, token)),
        ServerFrame::Pong(token) => encode_elements(out, &(PONG, token)),
        ServerFrame::Goodbye(message) => encode_elements(out, &(GOODBYE, message)),
    }
}

fn encode_elements<T: Serialize>(out: &mut Vec<u8>, elements: &T) {
    encode_frame(out, |out| rmp_serde::encode::write(out, elements).expect("plain tuples encode into a vector"));
}

fn encode_frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    write(out);
    let length = out.len() - start - LENGTH_BYTES;
    out[start..start + LENGTH_BYTES].copy_from_slice(&(length as u32).to_be_bytes());
}

#[cfg(test)]
mod tests;
