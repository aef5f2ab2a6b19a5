//! Functions of instants and spans: the calendar worked out from the number of a day.

use crate::sim::oracle::clock::{first_ms, is_zone, offset_ms, shown_ms, weekday};
use crate::sim::oracle::eval::{Scope, Value, instant};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A day of the calendar; month and day count from 1.
#[derive(Clone, Copy)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// The day of this number; 1970-01-01 is 0. (H. Hinnant, "chrono-compatible low-level date algorithms".)
    fn of(number: i64) -> Self {
        let shifted = number + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    fn number(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let year_of_era = year.rem_euclid(400);
        let shifted_month = (self.month + 9) % 12;
        let day_of_year = (153 * shifted_month + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        year.div_euclid(400) * 146_097 + day_of_era - 719_468
    }

    fn days_of_month(self) -> i64 {
        let next = if self.month == 12 { (self.year + 1, 1) } else { (self.year, self.month + 1) };
        let first = |(year, month)| Self { year, month, day: 1 }.number();
        first(next) - first((self.year, self.month))
    }

    /// So many months later; the last day of a shorter month stands for those it has not.
    fn plus_months(self, months: i64) -> Self {
        let month = self.year * 12 + self.month - 1 + months;
        let there = Self { year: month.div_euclid(12), month: month.rem_euclid(12) + 1, day: 1 };
        Self { day: self.day.min(there.days_of_month()), ..there }
    }
}

/// How many arguments a function of an instant takes before the zone.
pub(super) fn own_arguments(name: &str) -> Option<usize> {
    match name {
        "plus" | "inLast" | "inNext" => Some(2),
        "setHours" | "setMinutes" | "setDate" | "daysSince" => Some(1),
        "startOfDay" => Some(0),
        part if part.starts_with("get") => Some(0),
        _ => None,
    }
}

/// `arguments` without the zone behind them; and the zone, UTC without one.
pub(super) fn zoned(arguments: &[Value], count: usize) -> Result<(&[Value], &str), String> {
    let (own, zone) = arguments.split_at(count.min(arguments.len()));
    match zone {
        [] | [Value::Null] => Ok((own, "UTC")),
        [Value::Text(zone)] if is_zone(zone) => Ok((own, zone)),
        other => Err(format!("{other:?} is no zone")),
    }
}

/// `instant.name(arguments)`.
pub(super) fn of_instant(at_ms: i64, name: &str, arguments: &[Value], scope: &Scope<'_>) -> Result<Value, String> {
    let (own, zone) = zoned(arguments, own_arguments(name).unwrap_or(0))?;
    let shown = shown_ms(at_ms, zone);
    let (day, time) = (shown.div_euclid(DAY_MS), shown.rem_euclid(DAY_MS));
    let date = Date::of(day);
    let set = |shown: i64| Ok(Value::Instant(first_ms(shown, zone)));
    match (name, own) {
        ("startOfDay", []) => set(day * DAY_MS),
        ("setHours", [Value::Integer(hour)]) if (0..24).contains(hour) => {
            set(day * DAY_MS + hour * HOUR_MS + time % HOUR_MS)
        }
        ("setMinutes", [Value::Integer(minute)]) if (0..60).contains(minute) => {
            set(shown - time % HOUR_MS + minute * MINUTE_MS + time % MINUTE_MS)
        }
        ("setDate", [Value::Integer(wanted)]) if (1..=date.days_of_month()).contains(wanted) => {
            set((day - date.day + wanted) * DAY_MS + time)
        }
        ("daysSince", [Value::Instant(since_ms)]) => {
            Ok(Value::Integer(day - shown_ms(*since_ms, zone).div_euclid(DAY_MS)))
        }
        ("plus", [Value::Integer(n), Value::Text(unit)]) => Ok(Value::Instant(plus(at_ms, *n, unit, zone)?)),
        ("inLast", [Value::Integer(n), Value::Text(unit)]) => {
            let from = plus(scope.now_ms, n.checked_neg().ok_or("overflow")?, unit, zone)?;
            Ok(Value::Boolean((from..=scope.now_ms).contains(&at_ms)))
        }
        ("inNext", [Value::Integer(n), Value::Text(unit)]) => {
            Ok(Value::Boolean((scope.now_ms..=plus(scope.now_ms, *n, unit, zone)?).contains(&at_ms)))
        }
        (part, []) => Ok(Value::Integer(match part {
            "getFullYear" => date.year,
            "getMonth" => date.month - 1,
            "getDate" => date.day,
            "getDayOfMonth" => date.day - 1,
            "getDayOfYear" => day - Date { month: 1, day: 1, ..date }.number(),
            // Sunday is 0 here.
            "getDayOfWeek" => (weekday(shown) + 1) % 7,
            "getHours" => time / HOUR_MS,
            "getMinutes" => time / MINUTE_MS % 60,
            "getSeconds" => time / SECOND_MS % 60,
            "getMilliseconds" => time % SECOND_MS,
            other => return Err(format!("a timestamp's {other}() is not known here")),
        })),
        (name, own) => Err(format!("a timestamp's {name}({own:?}) is not known here")),
    }
}

/// A span as a whole in a unit; of milliseconds what is beyond its seconds.
pub(super) fn of_span(span_ms: i64, name: &str) -> Result<Value, String> {
    Ok(Value::Integer(match name {
        "getHours" => span_ms / HOUR_MS,
        "getMinutes" => span_ms / MINUTE_MS,
        "getSeconds" => span_ms / SECOND_MS,
        "getMilliseconds" => span_ms % SECOND_MS,
        other => return Err(format!("a duration's {other}() is not known here")),
    }))
}

/// `n` units later: hours and less are spans of time, others go by the calendar of the zone.
fn plus(at_ms: i64, n: i64, unit: &str, zone: &str) -> Result<i64, String> {
    let span_ms = match unit {
        "seconds" => SECOND_MS,
        "minutes" => MINUTE_MS,
        "hours" => HOUR_MS,
        _ => {
            // No step at all leaves an instant that a clock shows twice as it is.
            if n == 0 {
                return Ok(at_ms);
            }
            let shown = shown_ms(at_ms, zone);
            let (day, time) = (shown.div_euclid(DAY_MS), shown.rem_euclid(DAY_MS));
            if n.abs() > 100_000 {
                return Err("beyond the calendar".to_owned());
            }
            let later = match unit {
                "days" => day + n,
                "weeks" => day + 7 * n,
                "months" => Date::of(day).plus_months(n).number(),
                "years" => Date::of(day).plus_months(12 * n).number(),
                other => return Err(format!("{other} are no unit")),
            };
            return Ok(first_ms(later * DAY_MS + time, zone));
        }
    };
    n.checked_mul(span_ms).and_then(|by| at_ms.checked_add(by)).ok_or_else(|| "overflow".to_owned())
}

/// `timestamp(text, zone)`: without an offset in it, what the clock of the zone shows.
pub(super) fn read_in(text: &str, zone: &str) -> Result<Value, String> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    if time.ends_with('Z') || time.contains(['+', '-']) {
        return instant(text);
    }
    let Value::Instant(shown) = instant(&format!("{date}T{time}Z"))? else { return Err(format!("`{text}`")) };
    Ok(Value::Instant(first_ms(shown, zone)))
}

/// `string(instant, zone)`: what the clock of the zone shows, with its offset.
pub(super) fn shown_in(at_ms: i64, zone: &str) -> String {
    let shown = shown_ms(at_ms, zone);
    let Date { year, month, day } = Date::of(shown.div_euclid(DAY_MS));
    let time = shown.rem_euclid(DAY_MS);
    let (hour, minute) = (time / HOUR_MS, time / MINUTE_MS % 60);
    let (second, millisecond) = (time / SECOND_MS % 60, time % SECOND_MS);
    let offset = offset_ms(at_ms, zone) / MINUTE_MS;
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}{sign}{hours:02}:{minutes:02}"
    )
}

/// `string(span)`: seconds, with a fraction where there is one.
pub(super) fn shown_span(span_ms: i64) -> String {
    let sign = if span_ms < 0 { "-" } else { "" };
    let (seconds, rest) = (span_ms.abs() / SECOND_MS, span_ms.abs() % SECOND_MS);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_owned() };
    format!("{sign}{seconds}{fraction}s")
}
