//! [`Value`]s as MessagePack. Instants are the timestamp extension (type −1); other extensions and binary are refused.
//! Depth is checked while descending, against [`limits::DEPTH_MAX`]; lengths never allocate before their bytes are seen.

use rmp::Marker;
use smol_str::SmolStr;

use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::domain::value::{Map, Value};
use crate::wire::cursor::{Cursor, WireError};

/// Appends `value` as MessagePack.
pub fn put_value(out: &mut Vec<u8>, value: &Value) {
    use rmp::encode as w;
    const VEC: &str = "writing to a vector does not fail";
    match value {
        Value::Null => w::write_nil(out).expect(VEC),
        Value::Bool(b) => w::write_bool(out, *b).expect(VEC),
        Value::Int(i) => {
            w::write_sint(out, *i).expect(VEC);
        }
        Value::Float(f) => w::write_f64(out, *f).expect(VEC),
        Value::Str(s) => w::write_str(out, s).expect(VEC),
        Value::Time(t) => {
            // Timestamp 96: nanoseconds u32, seconds i64, both big-endian.
            out.extend_from_slice(&[0xc7, 12, 0xff]);
            let nanos = (t.0.rem_euclid(1000) as u32) * 1_000_000;
            out.extend_from_slice(&nanos.to_be_bytes());
            out.extend_from_slice(&t.0.div_euclid(1000).to_be_bytes());
        }
        Value::List(items) => {
            w::write_array_len(out, items.len() as u32).expect(VEC);
            for item in items {
                put_value(out, item);
            }
        }
        Value::Map(map) => put_map(out, map),
    }
}

/// Appends `map` as a MessagePack map.
pub fn put_map(out: &mut Vec<u8>, map: &Map) {
    rmp::encode::write_map_len(out, map.0.len() as u32).expect("writing to a vector does not fail");
    for (key, value) in &map.0 {
        rmp::encode::write_str(out, key).expect("writing to a vector does not fail");
        put_value(out, value);
    }
}

/// Reads one map that fills `bytes`.
pub fn map_from(bytes: &[u8]) -> Result<Map, WireError> {
    let mut cursor = Cursor::new(bytes);
    let map = read_map(&mut cursor)?;
    if !cursor.is_empty() {
        return Err(WireError::invalid("map", format!("{} bytes after its end", cursor.rest().len())));
    }
    Ok(map)
}

/// Reads one map.
#[inline]
pub fn read_map(cursor: &mut Cursor<'_>) -> Result<Map, WireError> {
    match read_value(cursor, 0)? {
        Value::Map(map) => Ok(map),
        _ => Err(WireError::invalid("map", "another type")),
    }
}

/// Reads one value.
pub fn read_value(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, WireError> {
    const WHAT: &str = "value";
    if depth > limits::DEPTH_MAX {
        return Err(WireError::TooDeep(limits::DEPTH_MAX));
    }
    let marker = Marker::from_u8(cursor.u8(WHAT)?);
    Ok(match marker {
        Marker::Null => Value::Null,
        Marker::True => Value::Bool(true),
        Marker::False => Value::Bool(false),
        Marker::FixPos(n) => Value::Int(i64::from(n)),
        Marker::FixNeg(n) => Value::Int(i64::from(n)),
        Marker::U8 => Value::Int(i64::from(cursor.u8(WHAT)?)),
        Marker::U16 => Value::Int(i64::from(big(cursor, 2)? as u16)),
        Marker::U32 => Value::Int(big(cursor, 4)? as i64),
        Marker::U64 => {
            let n = big(cursor, 8)?;
            i64::try_from(n).map_or(Value::Float(n as f64), Value::Int)
        }
        Marker::I8 => Value::Int(i64::from(cursor.u8(WHAT)? as i8)),
        Marker::I16 => Value::Int(i64::from(big(cursor, 2)? as i16)),
        Marker::I32 => Value::Int(i64::from(big(cursor, 4)? as i32)),
        Marker::I64 => Value::Int(big(cursor, 8)? as i64),
        Marker::F32 => Value::Float(f64::from(f32::from_bits(big(cursor, 4)? as u32))),
        Marker::F64 => Value::Float(f64::from_bits(big(cursor, 8)?)),
        Marker::FixStr(n) => text(cursor, usize::from(n))?,
        Marker::Str8 => sized_text(cursor, 1)?,
        Marker::Str16 => sized_text(cursor, 2)?,
        Marker::Str32 => sized_text(cursor, 4)?,
        Marker::FixArray(n) => list(cursor, usize::from(n), depth)?,
        Marker::Array16 => sized(cursor, 2, depth, list)?,
        Marker::Array32 => sized(cursor, 4, depth, list)?,
        Marker::FixMap(n) => map(cursor, usize::from(n), depth)?,
        Marker::Map16 => sized(cursor, 2, depth, map)?,
        Marker::Map32 => sized(cursor, 4, depth, map)?,
        Marker::FixExt4 => timestamp(cursor, 4)?,
        Marker::FixExt8 => timestamp(cursor, 8)?,
        Marker::Ext8 => {
            let length = usize::from(cursor.u8(WHAT)?);
            timestamp(cursor, length)?
        }
        other => return Err(WireError::invalid(WHAT, format!("MessagePack type {other:?} is not supported"))),
    })
}

fn big(cursor: &mut Cursor<'_>, width: usize) -> Result<u64, WireError> {
    let bytes = cursor.take(width, "number")?;
    Ok(bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

fn sized(
    cursor: &mut Cursor<'_>,
    width: usize,
    depth: usize,
    read: fn(&mut Cursor<'_>, usize, usize) -> Result<Value, WireError>,
) -> Result<Value, WireError> {
    let count = big(cursor, width)? as usize;
    read(cursor, count, depth)
}

fn sized_text(cursor: &mut Cursor<'_>, width: usize) -> Result<Value, WireError> {
    let length = big(cursor, width)? as usize;
    text(cursor, length)
}

fn text(cursor: &mut Cursor<'_>, length: usize) -> Result<Value, WireError> {
    let bytes = cursor.take(length, "text")?;
    let text = std::str::from_utf8(bytes).map_err(|e| WireError::invalid("text", e))?;
    Ok(Value::Str(SmolStr::new(text)))
}

fn list(cursor: &mut Cursor<'_>, count: usize, depth: usize) -> Result<Value, WireError> {
    // Each item takes a byte or more: a count beyond the rest can't be honest.
    if count > cursor.rest().len() {
        return Err(WireError::Short("list"));
    }
    let mut items = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        items.push(read_value(cursor, depth + 1)?);
    }
    Ok(Value::List(items))
}

fn map(cursor: &mut Cursor<'_>, count: usize, depth: usize) -> Result<Value, WireError> {
    if count > cursor.rest().len() {
        return Err(WireError::Short("map"));
    }
    let mut entries: Vec<(SmolStr, Value)> = Vec::with_capacity(count.min(64));
    let mut keys = (count > LINEAR_KEYS_MAX).then(std::collections::BTreeSet::new);
    for _ in 0..count {
        let Value::Str(key) = read_value(cursor, depth + 1)? else {
            return Err(WireError::invalid("map", "a key that is no text"));
        };
        let repeated = match &mut keys {
            Some(seen) => !seen.insert(key.clone()),
            None => entries.iter().any(|(k, _)| *k == key),
        };
        if repeated {
            return Err(WireError::invalid("map", format!("key {key:?} twice")));
        }
        entries.push((key, read_value(cursor, depth + 1)?));
    }
    Ok(Value::Map(Map(entries)))
}

/// Up to here comparing a new key with all others is cheaper than a set.
const LINEAR_KEYS_MAX: usize = 16;

fn timestamp(cursor: &mut Cursor<'_>, length: usize) -> Result<Value, WireError> {
    let kind = cursor.u8("extension")? as i8;
    if kind != -1 {
        return Err(WireError::invalid("value", format!("MessagePack extension {kind} is not supported")));
    }
    let (seconds, nanos) = match length {
        4 => (big(cursor, 4)? as i64, 0),
        8 => {
            let packed = big(cursor, 8)?;
            ((packed & 0x3_ffff_ffff) as i64, packed >> 34)
        }
        12 => {
            let nanos = big(cursor, 4)?;
            (big(cursor, 8)? as i64, nanos)
        }
        other => return Err(WireError::invalid("timestamp", format!("length {other}"))),
    };
    if nanos >= 1_000_000_000 {
        return Err(WireError::invalid("timestamp", "nanoseconds of a second or more"));
    }
    let millis = seconds.checked_mul(1000).and_then(|ms| ms.checked_add((nanos / 1_000_000) as i64));
    millis.map(|ms| Value::Time(Millis(ms))).ok_or_else(|| WireError::invalid("timestamp", "out of range"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            prop::num::f64::NORMAL.prop_map(Value::Float),
            ".{0,40}".prop_map(|s| Value::Str(s.into())),
            (-8_000_000_000_000_000i64..8_000_000_000_000_000).prop_map(|ms| Value::Time(Millis(ms))),
        ];
        leaf.prop_recursive(4, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::List),
                prop::collection::btree_map("[a-z]{1,6}", inner, 0..30)
                    .prop_map(|m| Value::Map(Map(m.into_iter().map(|(k, v)| (k.into(), v)).collect()))),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_read_back(value in any_value()) {
            let mut bytes = Vec::new();
            put_value(&mut bytes, &value);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(read_value(&mut cursor, 0), Ok(value));
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut cursor = Cursor::new(&bytes);
            if let Ok(value) = read_value(&mut cursor, 0) {
                prop_assert!(value.weight() <= bytes.len() * 10);
            }
        }
    }

    #[test]
    fn a_nesting_bomb_is_refused() {
        let bytes = vec![0x91; 100_000];
        assert_eq!(read_value(&mut Cursor::new(&bytes), 0), Err(WireError::TooDeep(limits::DEPTH_MAX)));
        let map_of_four_billion = [0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1];
        assert_eq!(map_from(&map_of_four_billion), Err(WireError::Short("map")));
    }
}
