//! Calendar arithmetic: moving an instant, asking how far it is, and going between instants and local texts. Days, weeks,
//! months and years are those of the calendar in a zone, UTC if none is named; hours and less are spans of time.
//!
//! A local time that a zone skips counts as if the clock had not been set forward yet (02:30 is 03:30 then); one that comes
//! twice counts the first time (RFC 5545, section 3.3.5).

use std::borrow::Cow;

use cel::common::ast::CallExpr;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span as Calendar, Timestamp, Zoned};

use super::code::{Code, Literal, Run, RunText, Typed, run, run_text};
use super::compile::{Compiler, Problem, bridge};
use super::conversion::{each, unreadable};
use super::cost;
use super::operators::overflow;
use super::parse::At;
use super::read::{Instant, Span};
use super::scope::{Env, EvalError, Fault, Out, fault};
use super::types::Type;
use crate::domain::calendar;
use crate::domain::ids::Millis;
use crate::domain::suggest::did_you_mean;

/// A unit to move by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// So many milliseconds each.
    Span(i64),
    Days,
    Weeks,
    Months,
    Years,
}

impl Unit {
    const NAMES: [(&'static str, Self); 7] = [
        ("seconds", Self::Span(1_000)),
        ("minutes", Self::Span(60_000)),
        ("hours", Self::Span(3_600_000)),
        ("days", Self::Days),
        ("weeks", Self::Weeks),
        ("months", Self::Months),
        ("years", Self::Years),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit)
    }

    /// `time` moved by `count` of it. The last day of a month stays the last of a shorter one.
    fn after(self, time: Instant, count: i64, zone: &TimeZone) -> Result<Instant, Fault> {
        let span = match self {
            Self::Span(ms) => {
                let moved = count.checked_mul(ms).and_then(|by| time.0.checked_add(by));
                return moved.map(Instant).ok_or_else(overflow);
            }
            Self::Days => Calendar::new().try_days(count),
            Self::Weeks => Calendar::new().try_weeks(count),
            Self::Months => Calendar::new().try_months(count),
            Self::Years => Calendar::new().try_years(count),
        };
        let moved = span.and_then(|span| zoned(time, zone)?.checked_add(span));
        moved.map(|moved| instant(&moved)).map_err(|_| overflow())
    }
}

/// The words of all units.
#[cfg(all(test, feature = "sim"))]
pub(crate) fn unit_names() -> impl Iterator<Item = &'static str> {
    Unit::NAMES.into_iter().map(|(name, _)| name)
}

fn zoned(time: Instant, zone: &TimeZone) -> Result<Zoned, jiff::Error> {
    Ok(Timestamp::from_millisecond(time.0)?.to_zoned(zone.clone()))
}

fn instant(zoned: &Zoned) -> Instant {
    Instant(zoned.timestamp().as_millisecond())
}

fn beyond_calendar(time: Instant) -> Fault {
    Box::new(EvalError::Other(format!("{} ms is no instant of the calendar", time.0)))
}

/// The zone an argument names.
pub(super) enum Zone {
    Known(TimeZone),
    Named(RunText),
}

impl Zone {
    /// The zone; one that does not exist is an error, whatever is asked of it.
    pub(super) fn get(&self, env: &Env<'_>) -> Out<TimeZone> {
        match self {
            Self::Known(zone) => Ok(Some(zone.clone())),
            Self::Named(name) => {
                let Some(name) = name(env)? else { return Ok(None) };
                // Looking a zone up takes a lock and a search.
                env.charge(8)?;
                match calendar::zone(&name) {
                    Some(zone) => Ok(Some(zone)),
                    None => fault(format!("{name:?} is no time zone")),
                }
            }
        }
    }
}

impl Compiler<'_> {
    /// The zone that `argument`, a text, names; UTC without one.
    pub(super) fn zone(&mut self, at: &At, argument: Option<Typed>) -> Option<Zone> {
        let Some(argument) = argument else { return Some(Zone::Known(TimeZone::UTC)) };
        let Some(text) = argument.literal_text() else {
            self.spend(cost::SLOW);
            return Some(Zone::Named(argument.text()));
        };
        if let Some(zone) = calendar::zone(text) {
            return Some(Zone::Known(zone));
        }
        let message = format!("`{text}` is no time zone");
        let suggestion = Some("write an IANA name such as 'Europe/Paris', or '+02:00'".to_owned());
        self.report(at.clone(), Problem { code: "bad_literal", message, suggestion })
    }

    /// The unit that argument 1 of the call names.
    fn unit(&mut self, call: &CallExpr, argument: Option<&Typed>) -> Option<Unit> {
        let text = argument.and_then(Typed::literal_text);
        if let Some(unit) = text.and_then(|text| Unit::named(text)) {
            return Some(unit);
        }
        let names = Unit::NAMES.map(|(name, _)| name);
        let near = text.and_then(|text| did_you_mean(text, names));
        let problem = Problem {
            code: "bad_literal",
            message: "the unit is one of the literal texts 'seconds' to 'years'".to_owned(),
            suggestion: near.or_else(|| Some(format!("write one of '{}'", names.join("', '")))),
        };
        self.report(At::Node(call.args.get(1).map_or(0, |argument| argument.id)), problem)
    }

    /// The methods of instants, their arguments checked. Parts of instants are in [`time`](super::time).
    pub(super) fn time_method(
        &mut self,
        at: &At,
        call: &CallExpr,
        typed: Typed,
        arguments: Vec<Typed>,
    ) -> Option<Typed> {
        let name = call.func_name.as_str();
        let unit = match name {
            "plus" | "inLast" | "inNext" => Some(self.unit(call, arguments.get(1))?),
            _ => None,
        };
        let mut arguments = arguments.into_iter();
        let takes_zone_only = name == "startOfDay";
        let first = if takes_zone_only { None } else { arguments.next() };
        let zone = if unit.is_some() { arguments.nth(1) } else { arguments.next() };
        let zone = self.zone(at, zone)?;
        let time = typed.scalar::<Instant>();
        Some(match (name, unit, first) {
            ("plus", Some(unit), Some(count)) => {
                of_time(time, count.scalar(), zone, move |time, count, zone| unit.after(time, count, zone))
            }
            (_, Some(unit), Some(count)) => within(name, unit, time, count.scalar(), zone),
            ("daysSince", _, Some(since)) => days_since(time, since.scalar(), zone),
            ("startOfDay", ..) => of_time(time, run(|_| Ok(Some(0_i64))), zone, |time, _, zone| {
                let start = zoned(time, zone).and_then(|zoned| zoned.start_of_day());
                start.map(|start| instant(&start)).map_err(|_| beyond_calendar(time))
            }),
            (_, _, Some(value)) => {
                let set: fn(DateTime, i8) -> Result<DateTime, jiff::Error> = match name {
                    "setHours" => |local, hour| local.with().hour(hour).build(),
                    "setMinutes" => |local, minute| local.with().minute(minute).build(),
                    _ => |local, day| local.with().day(day).build(),
                };
                let what = if name == "setDate" { "day of that month" } else { "time of day" };
                of_time(time, value.scalar(), zone, move |time, value, zone| set_part(time, value, zone, set, what))
            }
            _ => return None,
        })
    }

    /// `timestamp(text, zone)` and `string(timestamp, zone)`.
    pub(super) fn with_zone(&mut self, at: At, name: &str, value: Typed, zone: Typed) -> Option<Typed> {
        if !zone.ty.fits(&Type::String) {
            let message = format!("`{name}` takes the name of a zone, not {}", zone.ty);
            return self.mismatch(at, message, None);
        }
        let wanted = if name == "timestamp" { Type::String } else { Type::Timestamp };
        if !value.ty.fits(&wanted) {
            let message = format!("`{name}` with a zone takes {wanted}, not {}", value.ty);
            return self.mismatch(at, message, bridge(&value.ty, &wanted));
        }
        let zone = self.zone(&at, Some(zone))?;
        if name == "string" {
            return Some(local_text(value.scalar(), zone));
        }
        if let (Some(text), Zone::Known(zone)) = (value.literal_text(), &zone) {
            if let Some(time) = local_instant(text, zone) {
                return Some(Typed::literal(Type::Timestamp, Literal::Time(time)));
            }
            let message = unreadable(text, "timestamp");
            let suggestion = Some("write it like '2026-03-01' or '2026-03-01T09:00:00'".to_owned());
            return self.report(at, Problem { code: "bad_literal", message, suggestion });
        }
        let text = value.text();
        let code = run(move |env| {
            let (Some(text), Some(zone)) = (text(env)?, zone.get(env)?) else { return Ok(None) };
            match local_instant(&text, &zone) {
                Some(time) => Ok(Some(time)),
                None => fault(unreadable(&text, "timestamp")),
            }
        });
        Some(Typed::code_of(Type::Timestamp, Code::Time(code)))
    }

    /// `millis(x)`, `timestampMillis(n)` and `durationMillis(n)`.
    pub(super) fn millis(&mut self, at: At, name: &str, typed: Typed) -> Option<Typed> {
        let (ty, code) = match (name, &typed.ty) {
            ("millis", Type::Duration) => (Type::Integer, Code::Int(each(typed.scalar(), |span: Span| Ok(span.0)))),
            ("millis", Type::Timestamp | Type::Null) => {
                (Type::Integer, Code::Int(each(typed.scalar(), |time: Instant| Ok(time.0))))
            }
            ("timestampMillis", Type::Integer | Type::Null) => {
                let time = each(typed.scalar(), |ms: i64| match Timestamp::from_millisecond(ms) {
                    Ok(_) => Ok(Instant(ms)),
                    Err(_) => Err(beyond_calendar(Instant(ms))),
                });
                (Type::Timestamp, Code::Time(time))
            }
            ("durationMillis", Type::Integer | Type::Null) => {
                (Type::Duration, Code::Span(each(typed.scalar(), |ms: i64| Ok(Span(ms)))))
            }
            (_, ty) => {
                let wanted = if name == "millis" { "a timestamp or a duration" } else { "an integer" };
                let message = format!("`{name}` takes {wanted}, not {ty}");
                let hint = bridge(ty, if name == "millis" { &Type::Timestamp } else { &Type::Integer });
                return self.mismatch(at, message, hint);
            }
        };
        Some(Typed::code_of(ty, code))
    }
}

fn of_time(
    time: Run<Instant>,
    value: Run<i64>,
    zone: Zone,
    f: impl Fn(Instant, i64, &TimeZone) -> Result<Instant, Fault> + Send + Sync + 'static,
) -> Typed {
    let code = run(move |env| match (time(env)?, value(env)?, zone.get(env)?) {
        (Some(time), Some(value), Some(zone)) => f(time, value, &zone).map(Some),
        _ => Ok(None),
    });
    Typed::code_of(Type::Timestamp, Code::Time(code))
}

/// `inLast` and `inNext`: both ends count.
fn within(name: &str, unit: Unit, time: Run<Instant>, count: Run<i64>, zone: Zone) -> Typed {
    let is_last = name == "inLast";
    Typed::boolean(move |env| {
        let (Some(time), Some(count), Some(zone)) = (time(env)?, count(env)?, zone.get(env)?) else { return Ok(None) };
        let now = Instant(env.scope.now.0);
        let signed = if is_last { count.checked_neg().ok_or_else(overflow)? } else { count };
        let end = unit.after(now, signed, &zone)?;
        Ok(Some(if is_last { end <= time && time <= now } else { now <= time && time <= end }))
    })
}

/// Dates of the calendar from `since` to `time`.
fn days_since(time: Run<Instant>, since: Run<Instant>, zone: Zone) -> Typed {
    Typed::integer(move |env| {
        let (Some(time), Some(since), Some(zone)) = (time(env)?, since(env)?, zone.get(env)?) else { return Ok(None) };
        let date = |time| zoned(time, &zone).map(|zoned| zoned.date()).map_err(|_| beyond_calendar(time));
        Ok(Some(i64::from(date(time)?.since(date(since)?).map_err(|_| overflow())?.get_days())))
    })
}

fn set_part(
    time: Instant,
    value: i64,
    zone: &TimeZone,
    set: fn(DateTime, i8) -> Result<DateTime, jiff::Error>,
    what: &str,
) -> Result<Instant, Fault> {
    let local = zoned(time, zone).map_err(|_| beyond_calendar(time))?.datetime();
    let changed = i8::try_from(value).ok().and_then(|value| set(local, value).ok());
    match changed.and_then(|local| local.to_zoned(zone.clone()).ok()) {
        Some(zoned) => Ok(instant(&zoned)),
        None => fault(format!("{value} is no {what}")),
    }
}

/// The instant that a text means: by itself if it has an offset, else as local time in `zone`, a date alone as its midnight.
///
/// # Errors
/// The text is no date or time.
pub fn moment(text: &str, zone: &TimeZone) -> Result<Millis, EvalError> {
    match local_instant(text, zone) {
        Some(Instant(ms)) => Ok(Millis(ms)),
        None => Err(EvalError::Other(unreadable(text, "timestamp"))),
    }
}

/// A text with an offset is an instant by itself; one without is local time in the zone, a date alone its midnight.
pub(super) fn local_instant(text: &str, zone: &TimeZone) -> Option<Instant> {
    const DATE_ALONE: usize = 10;
    if text.len() != DATE_ALONE
        && let Some(time) = Millis::parse_iso(text)
    {
        return Some(Instant(time.0));
    }
    let local = text.parse::<DateTime>().ok()?;
    Some(instant(&local.to_zoned(zone.clone()).ok()?))
}

/// ISO-8601 with the zone's offset at that instant.
fn local_text(time: Run<Instant>, zone: Zone) -> Typed {
    let code = run_text(move |env| {
        let (Some(time), Some(zone)) = (time(env)?, zone.get(env)?) else { return Ok(None) };
        let zoned = zoned(time, &zone).map_err(|_| beyond_calendar(time))?;
        Ok(Some(Cow::Owned(zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string())))
    });
    Typed::code_of(Type::String, Code::Text(code))
}
