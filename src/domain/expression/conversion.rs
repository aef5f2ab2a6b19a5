//! `int`, `double`, `string`, `bool`, `timestamp` and `duration`. Literal texts are converted at publish, where a wrong
//! one is an error of the source; others while running.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::code::{Code, Literal, Run, Typed, run, run_text};
use super::compile::{Compiler, Problem};
use super::dates::local_instant;
use super::operators::overflow;
use super::parse::At;
use super::read::{Instant, Span};
use super::scope::{EvalError, Fault, fault};
use super::time;
use super::types::Type;
use crate::domain::ids::Millis;

/// What to do about a literal that is a time of some clock, one knows not where.
const NO_ZONE: &str = "say in which zone: `timestamp('…', 'Europe/Paris')` or, inside a journey, `timestamp('…', journey.timezone)`; `until` takes the text alone, and reads it by that clock";

/// `f` where the operand is not null.
pub(super) fn each<A: 'static, R: 'static>(
    operand: Run<A>,
    f: impl Fn(A) -> Result<R, Fault> + Send + Sync + 'static,
) -> Run<R> {
    run(move |env| operand(env)?.map(&f).transpose())
}

pub(super) fn shown(
    f: impl Fn(&super::scope::Env<'_>) -> Result<Option<String>, Fault> + Send + Sync + 'static,
) -> Code {
    Code::Text(run_text(move |env| Ok(f(env)?.map(Cow::Owned))))
}

/// `f` of a text that is not null; the message of its failure names the text.
fn parsed<R: 'static>(typed: Typed, to: &'static str, f: fn(&str) -> Option<R>) -> Run<R> {
    let text = typed.text();
    run(move |env| match text(env)? {
        Some(text) => match f(&text) {
            Some(value) => Ok(Some(value)),
            None => fault(unreadable(&text, to)),
        },
        None => Ok(None),
    })
}

pub(super) fn unreadable(text: &str, to: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("text {shown:?} is no {to}")
}

fn to_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "0" => Some(false),
        _ => None,
    }
}

fn to_number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn to_integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

fn to_instant(text: &str) -> Option<Instant> {
    Millis::parse_iso(text).map(|time| Instant(time.0))
}

fn truncated(number: f64) -> Result<i64, Fault> {
    super::read::whole(number.trunc()).ok_or_else(overflow)
}

fn from_unix_seconds(seconds: i64) -> Result<Instant, Fault> {
    let ms = seconds.checked_mul(1_000).ok_or_else(overflow)?;
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(_) => Ok(Instant(ms)),
        Err(_) => Err(Box::new(EvalError::Other(format!("{seconds} seconds are no instant of the calendar")))),
    }
}

impl Compiler<'_> {
    pub(super) fn conversion(&mut self, at: At, name: &str, typed: Typed) -> Option<Typed> {
        if let Some(text) = typed.literal_text() {
            let text = text.clone();
            let literal = match name {
                "timestamp" => Some((Type::Timestamp, to_instant(&text).map(Literal::Time))),
                "duration" => Some((Type::Duration, time::parse_duration(&text).map(|ms| Literal::Span(Span(ms))))),
                _ => None,
            };
            match literal {
                Some((ty, Some(literal))) => return Some(Typed::literal(ty, literal)),
                Some((ty, None)) => {
                    let suggestion = match ty {
                        Type::Timestamp if local_instant(&text, &TimeZone::UTC).is_some() => NO_ZONE,
                        Type::Timestamp => "write it like '2026-03-01' or '2026-03-01T09:00:00+01:00'",
                        _ => "write it like '1d12h', '90s' or 'PT5M'",
                    };
                    let problem = Problem {
                        code: "bad_literal",
                        message: unreadable(&text, &ty.to_string()),
                        suggestion: Some(suggestion.to_owned()),
                    };
                    return self.report(at, problem);
                }
                None => {}
            }
        }
        let from = typed.ty.clone();
        let code = match (name, &from) {
            ("int", Type::Integer) => Code::Int(typed.scalar()),
            ("int", Type::Number) => Code::Int(each(typed.scalar::<f64>(), truncated)),
            ("int", Type::Boolean) => Code::Int(each(typed.scalar(), |value: bool| Ok(i64::from(value)))),
            ("int", Type::String) => Code::Int(parsed(typed, "integer", to_integer)),
            ("int", Type::Timestamp) => Code::Int(each(typed.scalar(), |time: Instant| Ok(time.0.div_euclid(1_000)))),
            ("double", Type::Integer | Type::Number) => Code::Number(typed.scalar()),
            ("double", Type::Boolean) => {
                Code::Number(each(typed.scalar(), |value: bool| Ok(f64::from(u8::from(value)))))
            }
            ("double", Type::String) => Code::Number(parsed(typed, "number", to_number)),
            ("bool", Type::Boolean) => Code::Bool(typed.scalar()),
            ("bool", Type::Integer | Type::Number) => Code::Bool(each(typed.scalar(), |value: f64| Ok(value != 0.0))),
            ("bool", Type::String) => Code::Bool(parsed(typed, "boolean", to_bool)),
            ("timestamp", Type::Timestamp) => Code::Time(typed.scalar()),
            ("timestamp", Type::Integer) => Code::Time(each(typed.scalar(), from_unix_seconds)),
            ("timestamp", Type::String) => Code::Time(parsed(typed, "timestamp", to_instant)),
            ("duration", Type::Duration) => Code::Span(typed.scalar()),
            ("duration", Type::String) => {
                Code::Span(parsed(typed, "duration", |text| time::parse_duration(text).map(Span)))
            }
            ("string", Type::String) => Code::Text(typed.text()),
            ("string", _) if !matches!(from, Type::List(_) | Type::Object(_) | Type::Null) => to_text(typed),
            _ => {
                let message = format!("`{name}` can't convert {from}");
                return self.mismatch(at, message, None);
            }
        };
        let ty = match name {
            "int" => Type::Integer,
            "double" => Type::Number,
            "bool" => Type::Boolean,
            "timestamp" => Type::Timestamp,
            "duration" => Type::Duration,
            _ => Type::String,
        };
        Some(Typed::code_of(ty, code))
    }
}

/// `string(…)` of a scalar.
fn to_text(typed: Typed) -> Code {
    match typed.ty {
        Type::Boolean => {
            let value = typed.scalar::<bool>();
            shown(move |env| Ok(value(env)?.map(|value| value.to_string())))
        }
        Type::Integer => {
            let value = typed.scalar::<i64>();
            shown(move |env| Ok(value(env)?.map(|value| value.to_string())))
        }
        Type::Number => {
            let value = typed.scalar::<f64>();
            shown(move |env| Ok(value(env)?.map(|value| value.to_string())))
        }
        Type::Timestamp => {
            let value = typed.scalar::<Instant>();
            shown(move |env| Ok(value(env)?.map(|value| Millis(value.0).to_iso())))
        }
        _ => {
            let value = typed.scalar::<Span>();
            shown(move |env| Ok(value(env)?.map(|value| time::show_duration(value.0))))
        }
    }
}
