//! `int(…)`, `string(…)` and their like, and chance drawn by a text.

use crate::domain::ids::{Millis, stable_hash};
use crate::sim::oracle::clock::is_zone;
use crate::sim::oracle::eval::{Value, instant};
use crate::sim::oracle::functions::dates::{read_in, shown_in, shown_span};
use crate::sim::oracle::reading::duration_ms;

/// Beyond this the calendar of the engine's library has no days: years -9999 to 9999.
const CALENDAR_MS: std::ops::RangeInclusive<i64> = -377_705_023_201_000..=253_402_207_200_999;

/// `name(argument)`.
pub(in crate::sim::oracle) fn converted(name: &str, argument: Value) -> Result<Value, String> {
    let none = || "no value of that type".to_owned();
    Ok(match (name, argument) {
        ("dyn", value) => value,
        (_, Value::Null) => Value::Null,
        ("size", Value::Text(text)) => Value::Integer(text.chars().count() as i64),
        ("size", Value::List(items)) => Value::Integer(items.len() as i64),
        ("size", Value::Map(fields)) => Value::Integer(fields.len() as i64),
        ("int", Value::Integer(n)) => Value::Integer(n),
        ("int", Value::Number(n)) if n.abs() < 9e18 => Value::Integer(n as i64),
        ("int", Value::Boolean(b)) => Value::Integer(i64::from(b)),
        ("int", Value::Text(text)) => Value::Integer(text.trim().parse().map_err(|_| none())?),
        ("int", Value::Instant(at_ms)) => Value::Integer(at_ms.div_euclid(1_000)),
        ("double", Value::Integer(n)) => Value::Number(n as f64),
        ("double", Value::Number(n)) => Value::Number(n),
        ("double", Value::Boolean(b)) => Value::Number(if b { 1.0 } else { 0.0 }),
        ("double", Value::Text(text)) => {
            let number: Option<f64> = text.trim().parse().ok();
            Value::Number(number.filter(|n| n.is_finite()).ok_or_else(none)?)
        }
        ("bool", Value::Boolean(b)) => Value::Boolean(b),
        ("bool", Value::Integer(n)) => Value::Boolean(n != 0),
        ("bool", Value::Number(n)) => Value::Boolean(n != 0.0),
        ("bool", Value::Text(text)) => Value::Boolean(match text.as_str() {
            "true" | "True" | "TRUE" | "t" | "1" => true,
            "false" | "False" | "FALSE" | "f" | "0" => false,
            _ => return Err(none()),
        }),
        ("string", Value::Text(text)) => Value::Text(text),
        ("string", Value::Integer(n)) => Value::Text(n.to_string()),
        ("string", Value::Number(n)) => Value::Text(n.to_string()),
        ("string", Value::Boolean(b)) => Value::Text(b.to_string()),
        ("string", Value::Instant(at_ms)) => Value::Text(Millis(at_ms).to_iso()),
        ("string", Value::Span(ms)) => Value::Text(shown_span(ms)),
        ("timestamp", Value::Text(text)) => instant(&text)?,
        ("timestamp", Value::Instant(at_ms)) => Value::Instant(at_ms),
        ("timestamp", Value::Integer(seconds)) => of_calendar(seconds.checked_mul(1_000).ok_or_else(none)?)?,
        ("timestampMillis", Value::Integer(ms)) => of_calendar(ms)?,
        ("durationMillis", Value::Integer(ms)) => Value::Span(ms),
        ("duration", Value::Text(text)) => Value::Span(duration_ms(&text)?),
        ("duration", Value::Span(ms)) => Value::Span(ms),
        ("millis", Value::Instant(ms) | Value::Span(ms)) => Value::Integer(ms),
        ("draw", Value::Text(text)) => Value::Number(drawn(&text)),
        ("uuid", Value::Text(text)) => Value::Text(uuid(&text)),
        (name, argument) => return Err(format!("{name}({argument:?}) is not known here")),
    })
}

/// `timestamp(text, zone)` and `string(instant, zone)`. A zone that is none is an error, whatever it is asked for.
pub(in crate::sim::oracle) fn converted_in(name: &str, value: Value, zone: Value) -> Result<Value, String> {
    match (name, value, zone) {
        (_, _, Value::Text(zone)) if !is_zone(&zone) => Err(format!("{zone:?} is no zone")),
        ("timestamp", Value::Text(text), Value::Text(zone)) => read_in(&text, &zone),
        ("string", Value::Instant(at_ms), Value::Text(zone)) => Ok(Value::Text(shown_in(at_ms, &zone))),
        (_, Value::Null, _) | (_, _, Value::Null) => Ok(Value::Null),
        (name, value, zone) => Err(format!("{name}({value:?}, {zone:?}) is not known here")),
    }
}

fn of_calendar(at_ms: i64) -> Result<Value, String> {
    if CALENDAR_MS.contains(&at_ms) { Ok(Value::Instant(at_ms)) } else { Err("beyond the calendar".to_owned()) }
}

/// 53 bits of a hash, as a fraction.
fn drawn(text: &str) -> f64 {
    let bits = stable_hash(&[b"draw", text.as_bytes()]) >> 75;
    bits as f64 * 2.0_f64.powi(-53)
}

/// A hash in the form of a UUID: its thirteenth digit is the version, the two upper bits of its seventeenth the variant.
fn uuid(text: &str) -> String {
    let digits: Vec<char> = format!("{:032x}", stable_hash(&[b"uuid", text.as_bytes()])).chars().collect();
    let mut made = String::new();
    for (place, digit) in digits.into_iter().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            made.push('-');
        }
        made.push(match place {
            12 => '8',
            16 => ['8', '9', 'a', 'b'][digit.to_digit(16).unwrap_or(0) as usize % 4],
            _ => digit,
        });
    }
    made
}
