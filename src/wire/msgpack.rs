//! MessagePack: a bounded reader over raw bytes, the check of property maps, and property maps to and from
//! [`Map`]. Never allocates by what a header declares, never recurses deeper than [`limits::DEPTH_MAX`], and
//! never panics on any bytes.
//!
//! A property map is one MessagePack map with unique text keys. Inside it are allowed: nil, booleans, integers of
//! 64 bits with sign, finite floats, UTF-8 text, arrays, maps and the timestamp extension (type -1). Everything else (binary,
//! other extensions, larger integers, NaN) is refused, so that what is stored has one meaning everywhere.

use bytes::Bytes;
use rmp::{Marker, encode};
use smallvec::SmallVec;

use crate::domain::event::{EventError, check_name};
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::domain::value::Map;
use crate::wire::value::{map_from, put_map};

/// One empty map: the properties of an event that has none.
pub const EMPTY_MAP: &[u8] = &[0x80];

/// The extension type of timestamps in the MessagePack specification.
const TIMESTAMP_EXTENSION: i8 = -1;

/// Why a `Vec` as a writer can be trusted.
const VEC_TAKES_ALL: &str = "a vector takes every write";

/// Bytes that are no MessagePack, or not the shape that was due.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct Malformed {
    /// Where, from the start of the frame or value.
    pub offset: usize,
    /// What is wrong there.
    pub what: String,
}

impl From<Malformed> for EventError {
    fn from(malformed: Malformed) -> Self {
        Self::new("bad_msgpack", malformed.to_string())
    }
}

/// One MessagePack token: a scalar, or the head of a container whose items follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// An unsigned integer beyond `i64`.
    TooLarge(u64),
    Float(f64),
    Text(&'a [u8]),
    Binary,
    Array(u32),
    Map(u32),
    Extension(i8, &'a [u8]),
}

impl Token<'_> {
    /// What it is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::TooLarge(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::Binary => "binary",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Extension(..) => "an extension",
        }
    }
}

/// A cursor over bytes from outside.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A cursor that begins inside `bytes`: offsets in errors count from the start of `bytes`.
    pub(crate) fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn malformed<T>(&self, offset: usize, what: impl Into<String>) -> Result<T, Malformed> {
        Err(Malformed { offset, what: what.into() })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let left = self.bytes.len() - self.at;
        if count > left {
            return self.malformed(self.at, format!("{count} bytes announced, {left} there"));
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut fixed = [0; N];
        fixed.copy_from_slice(self.take(N)?);
        Ok(fixed)
    }

    fn length_8(&mut self) -> Result<usize, Malformed> {
        Ok(usize::from(self.array::<1>()?[0]))
    }

    fn length_16(&mut self) -> Result<usize, Malformed> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    fn length_32(&mut self) -> Result<usize, Malformed> {
        Ok(u32::from_be_bytes(self.array()?) as usize)
    }

    fn text(&mut self, length: usize) -> Result<Token<'a>, Malformed> {
        Ok(Token::Text(self.take(length)?))
    }

    fn binary(&mut self, length: usize) -> Result<Token<'a>, Malformed> {
        self.take(length).map(|_| Token::Binary)
    }

    fn extension(&mut self, length: usize) -> Result<Token<'a>, Malformed> {
        let kind = i8::from_be_bytes(self.array()?);
        Ok(Token::Extension(kind, self.take(length)?))
    }

    /// The next token. Items of a container are left to be read.
    pub(crate) fn token(&mut self) -> Result<Token<'a>, Malformed> {
        let start = self.at;
        let Some(&first) = self.bytes.get(start) else {
            return self.malformed(start, "the bytes end where a value is due");
        };
        self.at += 1;
        Ok(match Marker::from_u8(first) {
            Marker::FixPos(n) => Token::Int(i64::from(n)),
            Marker::FixNeg(n) => Token::Int(i64::from(n)),
            Marker::FixMap(n) => Token::Map(u32::from(n)),
            Marker::FixArray(n) => Token::Array(u32::from(n)),
            Marker::FixStr(n) => self.text(usize::from(n))?,
            Marker::Null => Token::Nil,
            Marker::Reserved => return self.malformed(start, "byte 0xc1, which MessagePack never uses,"),
            Marker::False => Token::Bool(false),
            Marker::True => Token::Bool(true),
            Marker::Bin8 => self.length_8().and_then(|n| self.binary(n))?,
            Marker::Bin16 => self.length_16().and_then(|n| self.binary(n))?,
            Marker::Bin32 => self.length_32().and_then(|n| self.binary(n))?,
            Marker::Ext8 => self.length_8().and_then(|n| self.extension(n))?,
            Marker::Ext16 => self.length_16().and_then(|n| self.extension(n))?,
            Marker::Ext32 => self.length_32().and_then(|n| self.extension(n))?,
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::F32 => Token::Float(f64::from(f32::from_be_bytes(self.array()?))),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.array()?)),
            Marker::U8 => Token::Int(i64::from(u8::from_be_bytes(self.array()?))),
            Marker::U16 => Token::Int(i64::from(u16::from_be_bytes(self.array()?))),
            Marker::U32 => Token::Int(i64::from(u32::from_be_bytes(self.array()?))),
            Marker::U64 => {
                let number = u64::from_be_bytes(self.array()?);
                i64::try_from(number).map_or(Token::TooLarge(number), Token::Int)
            }
            Marker::I8 => Token::Int(i64::from(i8::from_be_bytes(self.array()?))),
            Marker::I16 => Token::Int(i64::from(i16::from_be_bytes(self.array()?))),
            Marker::I32 => Token::Int(i64::from(i32::from_be_bytes(self.array()?))),
            Marker::I64 => Token::Int(i64::from_be_bytes(self.array()?)),
            Marker::Str8 => self.length_8().and_then(|n| self.text(n))?,
            Marker::Str16 => self.length_16().and_then(|n| self.text(n))?,
            Marker::Str32 => self.length_32().and_then(|n| self.text(n))?,
            Marker::Array16 => Token::Array(u32::from(u16::from_be_bytes(self.array()?))),
            Marker::Array32 => Token::Array(u32::from_be_bytes(self.array()?)),
            Marker::Map16 => Token::Map(u32::from(u16::from_be_bytes(self.array()?))),
            Marker::Map32 => Token::Map(u32::from_be_bytes(self.array()?)),
        })
    }

    /// Steps over one whole value of any depth. Counts what is still due instead of recursing, so nesting costs nothing.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        // Every due value needs a byte of input, and a container adds < 2^33: the sum can't overflow.
        let mut due = 1u64;
        while due > 0 {
            due -= 1;
            match self.token()? {
                Token::Array(count) => due += u64::from(count),
                Token::Map(count) => due += 2 * u64::from(count),
                _ => {}
            }
        }
        Ok(())
    }

    /// The greatest depth of containers in the value that begins here, 0 for a scalar, stepping over it; stops
    /// with an error past `depth_max`.
    pub(crate) fn skip_to_depth(&mut self, depth_max: usize) -> Result<(), Malformed> {
        let start = self.at;
        let children = match self.token()? {
            Token::Array(count) => u64::from(count),
            Token::Map(count) => 2 * u64::from(count),
            _ => return Ok(()),
        };
        if depth_max == 0 {
            return self.malformed(start, format!("values nested deeper than {}", limits::DEPTH_MAX));
        }
        for _ in 0..children {
            self.skip_to_depth(depth_max - 1)?;
        }
        Ok(())
    }

    /// Text, or what stands there instead.
    pub(crate) fn utf8(&mut self, what: &str, code: &'static str) -> Result<&'a str, EventError> {
        let start = self.at;
        match self.token()? {
            Token::Text(bytes) => utf8(bytes, what, code, start),
            other => Err(EventError::new(code, format!("{what} is {}; text is due", other.describe()))),
        }
    }
}

fn utf8<'a>(bytes: &'a [u8], what: &str, code: &'static str, offset: usize) -> Result<&'a str, EventError> {
    std::str::from_utf8(bytes)
        .map_err(|_| EventError::new(code, format!("{what} at byte {offset} is not UTF-8; MessagePack text must be")))
}

/// Steps over the property map at the reader, checking all of it.
pub(crate) fn check_properties(reader: &mut Reader<'_>) -> Result<(), EventError> {
    match reader.token()? {
        Token::Map(count) => check_map(reader, count, 1),
        other => Err(properties_are(other.describe())),
    }
}

/// The refusal of properties that are no map.
pub(crate) fn properties_are(found: &str) -> EventError {
    EventError::new("bad_properties", format!("properties are {found}; a map of names to values is due"))
}

pub(crate) fn too_deep() -> EventError {
    EventError::new("too_deep", format!("properties nest deeper than {}", limits::DEPTH_MAX))
}

pub(crate) fn too_many_properties(count: usize) -> EventError {
    let what = format!("a map of {count} properties passes the limit of {}", limits::MAP_KEYS_MAX);
    EventError::new("too_many_properties", what)
}

pub(crate) fn duplicate_property(name: &str) -> EventError {
    EventError::new("duplicate_field", format!("property {name:?} stands twice in one map"))
}

pub(crate) fn number_too_large(number: u64) -> EventError {
    let what = format!("integer {number} passes the greatest of 64 bits with sign; send it as text or as a float");
    EventError::new("bad_number", what)
}

pub(crate) fn check_property_name(name: &str) -> Result<(), EventError> {
    check_name("name of a property", "bad_property", name, limits::NAME_BYTES_MAX)
}

fn check_scalar(token: Token<'_>, offset: usize) -> Result<(), EventError> {
    match token {
        Token::Nil | Token::Bool(_) | Token::Int(_) | Token::Array(_) | Token::Map(_) => Ok(()),
        Token::TooLarge(number) => Err(number_too_large(number)),
        Token::Float(float) if float.is_finite() => Ok(()),
        Token::Float(float) => {
            Err(EventError::new("bad_number", format!("{float} at byte {offset} is no finite number; send nil")))
        }
        Token::Text(bytes) => utf8(bytes, "a text", "bad_text", offset).map(drop),
        Token::Binary => Err(EventError::new(
            "bad_value",
            format!("binary at byte {offset}: properties hold text, not binary; send base64 text"),
        )),
        Token::Extension(TIMESTAMP_EXTENSION, bytes) => timestamp(bytes).map(drop),
        Token::Extension(kind, _) => Err(EventError::new(
            "bad_value",
            format!("extension type {kind} at byte {offset}: only timestamps (-1) are known"),
        )),
    }
}

fn check_value(reader: &mut Reader<'_>, depth: usize) -> Result<(), EventError> {
    let offset = reader.position();
    match reader.token()? {
        Token::Array(_) | Token::Map(_) if depth >= limits::DEPTH_MAX => Err(too_deep()),
        Token::Array(count) => (0..count).try_for_each(|_| check_value(reader, depth + 1)),
        Token::Map(count) => check_map(reader, count, depth + 1),
        scalar => check_scalar(scalar, offset),
    }
}

fn check_map(reader: &mut Reader<'_>, count: u32, depth: usize) -> Result<(), EventError> {
    if count as usize > limits::MAP_KEYS_MAX {
        return Err(too_many_properties(count as usize));
    }
    let mut names: SmallVec<[&str; 16]> = SmallVec::new();
    for _ in 0..count {
        let name = reader.utf8("name of a property", "bad_property")?;
        check_property_name(name)?;
        names.push(name);
        check_value(reader, depth)?;
    }
    first_duplicate(&mut names).map_or(Ok(()), |name| Err(duplicate_property(name)))
}

/// A name that stands twice. Sorting keeps a hostile map of many names from costing their square.
pub(crate) fn first_duplicate<'a>(names: &mut [&'a str]) -> Option<&'a str> {
    if names.len() <= 16 {
        return (1..names.len()).find(|&i| names[..i].contains(&names[i])).map(|i| names[i]);
    }
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// The instant of a timestamp extension: 4, 8 or 12 bytes as the MessagePack specification draws them, cut to milliseconds.
fn timestamp(bytes: &[u8]) -> Result<Millis, EventError> {
    let refused = || EventError::new("bad_time", "a timestamp extension is damaged or beyond every calendar");
    let (seconds, nanoseconds) = match bytes.len() {
        4 => (i64::from(u32::from_be_bytes(bytes.try_into().map_err(|_| refused())?)), 0),
        8 => {
            let both = u64::from_be_bytes(bytes.try_into().map_err(|_| refused())?);
            ((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
        }
        12 => {
            let nanoseconds = u32::from_be_bytes(bytes[..4].try_into().map_err(|_| refused())?);
            (i64::from_be_bytes(bytes[4..].try_into().map_err(|_| refused())?), nanoseconds)
        }
        _ => return Err(refused()),
    };
    if nanoseconds > 999_999_999 {
        return Err(refused());
    }
    let millis = i128::from(seconds) * 1_000 + i128::from(nanoseconds / 1_000_000);
    i64::try_from(millis).map(Millis).map_err(|_| refused())
}

/// The instant at the reader: a timestamp extension, ISO-8601 text, or an integer of milliseconds since 1970; nil is none.
pub(crate) fn read_time(reader: &mut Reader<'_>) -> Result<Option<Millis>, EventError> {
    let time = match reader.token()? {
        Token::Nil => return Ok(None),
        Token::Int(millis) => Millis(millis),
        Token::Extension(TIMESTAMP_EXTENSION, bytes) => timestamp(bytes)?,
        Token::Text(bytes) => parse_time(std::str::from_utf8(bytes).unwrap_or("(not UTF-8)"))?,
        other => {
            return Err(EventError::new(
                "bad_time",
                format!("time is {}; integer milliseconds since 1970, ISO-8601 text or nil is due", other.describe()),
            ));
        }
    };
    check_time(time).map(Some)
}

/// The instant of an ISO-8601 text with `Z` or an offset; a date alone means 00:00Z.
pub(crate) fn parse_time(text: &str) -> Result<Millis, EventError> {
    let time = Millis::parse_iso(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        EventError::new(
            "bad_time",
            format!("time {shown:?} is no ISO-8601 instant with a zone, e.g. 2019-11-01T17:59:13.273Z"),
        )
    })?;
    check_time(time)
}

/// Refuses instants that can only be a mistake (seconds or microseconds taken for milliseconds, a clock at 0001).
pub(crate) fn check_time(time: Millis) -> Result<Millis, EventError> {
    if (limits::EVENT_TIME_MIN..=limits::EVENT_TIME_MAX).contains(&time) {
        return Ok(time);
    }
    Err(EventError::new(
        "bad_time",
        format!("time {time} lies outside {} to {}", limits::EVENT_TIME_MIN, limits::EVENT_TIME_MAX),
    ))
}

/// A property map of the wire as values.
///
/// # Errors
/// Says what is wrong, as at the door; bytes that passed it never fail.
pub fn properties_to_map(bytes: &[u8]) -> Result<Map, EventError> {
    check_properties(&mut Reader::new(bytes))?;
    map_from(bytes).map_err(|error| EventError::new("bad_msgpack", error.to_string()))
}

/// A property map from outside, checked; no copy.
///
/// # Errors
/// Says what is wrong.
pub fn properties_from_msgpack(bytes: Bytes) -> Result<Bytes, EventError> {
    let mut reader = Reader::new(&bytes);
    check_properties(&mut reader)?;
    if !reader.is_at_end() {
        reader.malformed::<()>(reader.position(), "bytes behind the properties")?;
    }
    Ok(bytes)
}

/// Values as the property map of the wire; instants become timestamp extensions.
pub fn map_to_properties(map: &Map) -> Bytes {
    let mut out = Vec::with_capacity(64);
    put_map(&mut out, map);
    out.into()
}

pub(crate) fn write_nil(out: &mut Vec<u8>) {
    encode::write_nil(out).expect(VEC_TAKES_ALL);
}

pub(crate) fn write_bool(out: &mut Vec<u8>, bool: bool) {
    encode::write_bool(out, bool).expect(VEC_TAKES_ALL);
}

pub(crate) fn write_int(out: &mut Vec<u8>, int: i64) {
    encode::write_sint(out, int).expect(VEC_TAKES_ALL);
}

pub(crate) fn write_unsigned(out: &mut Vec<u8>, int: u64) {
    encode::write_uint(out, int).expect(VEC_TAKES_ALL);
}

pub(crate) fn write_float(out: &mut Vec<u8>, float: f64) {
    if float.is_finite() {
        encode::write_f64(out, float).expect(VEC_TAKES_ALL);
    } else {
        write_nil(out);
    }
}

pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    encode::write_str(out, text).expect(VEC_TAKES_ALL);
}

pub(crate) fn write_array_head(out: &mut Vec<u8>, count: usize) {
    encode::write_array_len(out, count as u32).expect(VEC_TAKES_ALL);
}

/// Where a container's head goes whose count is known only at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenHead(usize);

/// Leaves one byte for the head of a container.
pub(crate) fn open_head(out: &mut Vec<u8>) -> OpenHead {
    out.push(0);
    OpenHead(out.len() - 1)
}

/// Which container an [`OpenHead`] becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Container {
    Array,
    Map,
}

/// Writes the shortest head for `count` items, moving what follows if one byte is too few.
pub(crate) fn close_head(out: &mut Vec<u8>, head: OpenHead, container: Container, count: usize) {
    let mut bytes: SmallVec<[u8; 5]> = SmallVec::new();
    let (fix, wide, widest) = match container {
        Container::Array => (0x90, 0xdc, 0xdd),
        Container::Map => (0x80, 0xde, 0xdf),
    };
    match u16::try_from(count) {
        Ok(small @ 0..=15) => bytes.push(fix | small as u8),
        Ok(middle) => {
            bytes.push(wide);
            bytes.extend_from_slice(&middle.to_be_bytes());
        }
        Err(_) => {
            bytes.push(widest);
            bytes.extend_from_slice(&(count as u32).to_be_bytes());
        }
    }
    out.splice(head.0..=head.0, bytes);
}

#[cfg(test)]
mod tests;
