//! Parts of instants and durations, and the text of durations.

use jiff::tz::TimeZone;

use super::code::{Run, Typed};
use super::compile::Compiler;
use super::dates::Zone;
use super::parse::At;
use super::read::{Instant, Span};
use super::scope::{Fault, fault};
use super::types::Type;

/// What the accessors of instants and durations give. Counts follow CEL: month, day of month and day of year from 0,
/// weekday from Sunday = 0; only [`Part::Date`] counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    FullYear,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Part {
    pub(super) const NAMES: [(&'static str, Self); 10] = [
        ("getFullYear", Self::FullYear),
        ("getMonth", Self::Month),
        ("getDayOfYear", Self::DayOfYear),
        ("getDayOfMonth", Self::DayOfMonth),
        ("getDate", Self::Date),
        ("getDayOfWeek", Self::DayOfWeek),
        ("getHours", Self::Hours),
        ("getMinutes", Self::Minutes),
        ("getSeconds", Self::Seconds),
        ("getMilliseconds", Self::Milliseconds),
    ];

    /// The part that a method gives.
    pub(super) fn named(method: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == method).map(|(_, part)| *part)
    }

    fn of_instant(self, time: Instant, zone: &TimeZone) -> Result<i64, Fault> {
        let Ok(instant) = jiff::Timestamp::from_millisecond(time.0) else {
            return fault(format!("{} ms is no instant of the calendar", time.0));
        };
        let local = zone.to_datetime(instant);
        Ok(match self {
            Self::FullYear => local.year().into(),
            Self::Month => i64::from(local.month()) - 1,
            Self::DayOfYear => i64::from(local.day_of_year()) - 1,
            Self::DayOfMonth => i64::from(local.day()) - 1,
            Self::Date => local.day().into(),
            Self::DayOfWeek => local.weekday().to_sunday_zero_offset().into(),
            Self::Hours => local.hour().into(),
            Self::Minutes => local.minute().into(),
            Self::Seconds => local.second().into(),
            Self::Milliseconds => local.millisecond().into(),
        })
    }

    /// The whole duration in a unit; parts of a calendar have none.
    fn of_duration(self, ms: i64) -> Option<i64> {
        Some(match self {
            Self::Hours => ms / 3_600_000,
            Self::Minutes => ms / 60_000,
            Self::Seconds => ms / 1_000,
            Self::Milliseconds => ms % 1_000,
            _ => return None,
        })
    }
}

impl Compiler<'_> {
    /// `instant.getHours()`, `instant.getHours(zone)` and `duration.getHours()`.
    pub(super) fn part(
        &mut self,
        at: &At,
        name: &str,
        part: Part,
        typed: Typed,
        arguments: Vec<Typed>,
    ) -> Option<Typed> {
        let count = arguments.len();
        let argument = arguments.into_iter().next();
        match typed.ty {
            Type::Duration if count == 0 && part.of_duration(0).is_some() => {
                let span = typed.scalar::<Span>();
                Some(Typed::integer(move |env| Ok(span(env)?.and_then(|span| part.of_duration(span.0)))))
            }
            Type::Timestamp if count <= 1 => {
                let time = typed.scalar::<Instant>();
                let Some(argument) = argument else { return Some(in_zone(part, time, self.zone(at, None)?)) };
                if !argument.ty.fits(&Type::String) {
                    let message = format!("`{name}` takes the name of a zone, not {}", argument.ty);
                    return self.mismatch(at.clone(), message, None);
                }
                Some(in_zone(part, time, self.zone(at, Some(argument))?))
            }
            Type::Timestamp => self.wrong_arguments(at.clone(), name, "at most one argument", count),
            ty => {
                let message = format!("`{name}` is a function of timestamps, not of {ty}");
                self.mismatch(at.clone(), message, super::compile::bridge(&ty, &Type::Timestamp))
            }
        }
    }
}

fn in_zone(part: Part, time: Run<Instant>, zone: Zone) -> Typed {
    Typed::integer(move |env| match (time(env)?, zone.get(env)?) {
        (Some(time), Some(zone)) => part.of_instant(time, &zone).map(Some),
        _ => Ok(None),
    })
}

/// Milliseconds of `1d12h`, `90s`, `1.5h`, `-5m`, `300ms` or ISO-8601 `PT5M`, `P2DT3H`; days have 24 hours. What is
/// finer than a millisecond is cut off.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let total = match text.strip_prefix('P') {
        Some(iso) => parse_iso_duration(iso)?,
        None => sum_parts(
            text,
            &[("ms", 1_000), ("us", 1), ("ns", 0), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)],
            Signs::None,
        )?,
    };
    let ms = i64::try_from(total / 1_000).ok()?;
    Some(if negative { -ms } else { ms })
}

// Units in microseconds, so that a sum of small parts is cut off once.
const SECOND: i128 = 1_000_000;
const MINUTE: i128 = 60 * SECOND;
const HOUR: i128 = 60 * MINUTE;
const DAY: i128 = 24 * HOUR;

/// Whether parts may have signs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signs {
    None,
    PerPart,
}

fn parse_iso_duration(text: &str) -> Option<i128> {
    let (date, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let days = if date.is_empty() { 0 } else { sum_parts(date, &[("W", 7 * DAY), ("D", DAY)], Signs::PerPart)? };
    match time {
        Some(time) => days.checked_add(sum_parts(time, &[("H", HOUR), ("M", MINUTE), ("S", SECOND)], Signs::PerPart)?),
        None if date.is_empty() => None,
        None => Some(days),
    }
}

/// The sum of one or more parts, each a decimal number and a unit. In ISO-8601 each may have a sign of its own.
fn sum_parts(mut text: &str, units: &[(&str, i128)], signs: Signs) -> Option<i128> {
    const DIGITS_MAX: usize = 18;
    let mut total = 0_i128;
    loop {
        let (sign, unsigned) = match text.as_bytes().first() {
            Some(b'-') if signs == Signs::PerPart => (-1, &text[1..]),
            Some(b'+') if signs == Signs::PerPart => (1, &text[1..]),
            _ => (1, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = unsigned.split_at(end);
        let (unit, size) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.len() > DIGITS_MAX || fraction.len() > DIGITS_MAX || fraction.is_empty() {
            return None;
        }
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        let digits = whole.parse::<i128>().ok()?.checked_mul(scale)?.checked_add(fraction.parse().ok()?)?;
        total = total.checked_add(sign * (digits.checked_mul(*size)? / scale))?;
        text = &rest[unit.len()..];
        if text.is_empty() {
            return Some(total);
        }
    }
}

/// Seconds with a fraction where there is one, e.g. `90s`, `1.5s`, as CEL writes durations.
pub(super) fn show_duration(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let fraction = format!("{:03}", ms % 1_000);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{}s", ms / 1_000),
        fraction => format!("{sign}{}.{fraction}s", ms / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, show_duration};

    #[test]
    fn durations_are_read_and_shown() {
        for (text, ms, shown) in [
            ("90d", Some(90 * 86_400_000), "7776000s"),
            ("1d12h", Some(129_600_000), "129600s"),
            ("1.5s", Some(1_500), "1.5s"),
            ("300ms", Some(300), "0.3s"),
            ("1m1ms", Some(60_001), "60.001s"),
            ("-5m", Some(-300_000), "-300s"),
            ("999us", Some(0), "0s"),
            ("PT5M", Some(300_000), "300s"),
            ("P2DT3H4M", Some(183_840_000), "183840s"),
            ("P1W", Some(604_800_000), "604800s"),
            ("PT-6H3M", Some(-21_420_000), "-21420s"),
            ("-PT-6H+3M", Some(21_420_000), "21420s"),
            ("-P1DT-1S", Some(-86_399_000), "-86399s"),
            ("1h-3m", None, ""),
            ("PT--1S", None, ""),
            ("P1M", None, ""),
            ("", None, ""),
            ("5", None, ""),
            ("h", None, ""),
            ("1h ", None, ""),
            ("1y", None, ""),
            ("P", None, ""),
            ("PT", None, ""),
            ("P1DT", None, ""),
            ("1..5s", None, ""),
            ("1.s", None, ""),
            ("999999999999999999d", None, ""),
            ("9999999999999999999d", None, ""),
        ] {
            assert_eq!(parse_duration(text), ms, "{text}");
            if let Some(ms) = ms {
                assert_eq!(show_duration(ms), shown, "{text}");
            }
        }
    }
}
