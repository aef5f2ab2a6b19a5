//! Clocks on walls, worked out from nothing but the offset that a zone has at an instant.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use serde_json::{Map, Value as Json};

use crate::domain::ids::Millis;
use crate::sim::oracle::resources::Journey;
use crate::sim::oracle::yaml::Tree;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

const DAY_MS: i64 = 86_400_000;
const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Days of a week under `days`, Monday is 0; all without.
pub(super) fn days(tree: &Tree) -> Result<Vec<i64>, String> {
    let Some(Tree::List(days)) = tree.get("days") else { return Ok((0..7).collect()) };
    let day = |tree: &Tree| match tree {
        Tree::Word(word) => NAMES.iter().position(|name| name == word).map(|day| day as i64),
        Tree::List(_) | Tree::Map(_) => None,
    };
    days.iter().map(day).collect::<Option<_>>().ok_or_else(|| format!("{days:?} are no days"))
}

/// Milliseconds since midnight of `HH:MM` or `HH:MM:SS`.
pub(super) fn time_ms(text: &str) -> Result<i64, String> {
    let parts: Option<Vec<i64>> = text.split(':').map(|part| part.parse().ok()).collect();
    match parts.as_deref() {
        Some([hours, minutes]) => Ok((hours * 60 + minutes) * 60_000),
        Some([hours, minutes, seconds]) => Ok(((hours * 60 + minutes) * 60 + seconds) * 1_000),
        _ => Err(format!("`{text}` is no time of day")),
    }
}

/// Whether there is such a zone: a name, or an offset.
pub(super) fn is_zone(name: &str) -> bool {
    fixed_ms(name).is_some() || ZONES.get(name).is_ok()
}

/// Milliseconds of `+02:00`.
fn fixed_ms(name: &str) -> Option<i64> {
    let (sign, time) =
        name.strip_prefix('+').map(|time| (1, time)).or(name.strip_prefix('-').map(|time| (-1, time)))?;
    time_ms(time).ok().map(|ms| sign * ms)
}

/// The zone whose clock counts in a journey, for who has this document.
pub(super) fn zone_of<'a>(journey: &'a Journey, document: &'a Map<String, Json>) -> &'a str {
    match document.get("timezone") {
        Some(Json::String(name)) if journey.is_local_to_profile && is_zone(name) => name,
        _ => &journey.timezone,
    }
}

/// What the clock shows at an instant, as if it were UTC.
pub(super) fn shown_ms(at_ms: i64, zone: &str) -> i64 {
    at_ms + offset_ms(at_ms, zone)
}

/// How far the clock is before UTC.
pub(super) fn offset_ms(at_ms: i64, zone: &str) -> i64 {
    if let Some(ms) = fixed_ms(zone) {
        return ms;
    }
    let zone = ZONES.get(zone).expect("zones are checked before");
    let instant = Timestamp::from_millisecond(at_ms).expect("an instant of the calendar");
    i64::from(zone.to_offset(instant).seconds()) * 1_000
}

/// When the clock first shows this; for what it skips, when it would have, had it not been set.
pub(super) fn first_ms(shown: i64, zone: &str) -> i64 {
    let (before, after) = (offset_ms(shown - 2 * DAY_MS, zone), offset_ms(shown + 2 * DAY_MS, zone));
    let shows = |offset: &i64| shown_ms(shown - offset, zone) == shown;
    let shown_by = [before, after].into_iter().filter(shows).map(|offset| shown - offset).min();
    shown_by.unwrap_or(shown - before)
}

/// Monday is 0.
pub(super) fn weekday(shown_ms: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (shown_ms.div_euclid(DAY_MS) + 3).rem_euclid(7)
}

/// When the clock next shows `time_ms` on one of `days`.
pub(super) fn next_ms(now_ms: i64, time_ms: i64, days: &[i64], zone: &str) -> i64 {
    let today = shown_ms(now_ms, zone).div_euclid(DAY_MS) * DAY_MS;
    let dates = (-2..12).map(|n| today + n * DAY_MS).filter(|date| days.contains(&weekday(*date)));
    let instants = dates.map(|date| first_ms(date + time_ms, zone));
    instants.filter(|at| *at > now_ms).min().unwrap_or(now_ms)
}

/// Whether it is between two times of day that begin on one of `days`.
pub(super) fn is_between(now_ms: i64, days: &[i64], from_ms: i64, to_ms: i64, zone: &str) -> bool {
    let shown = shown_ms(now_ms, zone);
    let (time, day) = (shown.rem_euclid(DAY_MS), weekday(shown));
    let today = days.contains(&day);
    if from_ms < to_ms {
        return today && time >= from_ms && time < to_ms;
    }
    (today && time >= from_ms) || (days.contains(&((day + 6) % 7)) && time < to_ms)
}

/// When what `text` says begins: an instant, a local time, or a day.
pub(super) fn begins_ms(text: &str, zone: &str) -> Result<i64, String> {
    if text.ends_with('Z') || text.len() == 25 {
        return Millis::parse_iso(text).map(|at| at.0).ok_or_else(|| format!("`{text}` is no instant"));
    }
    let seconds = match text.len() {
        10 => "T00:00:00Z",
        16 => ":00Z",
        _ => "Z",
    };
    let shown = Millis::parse_iso(&format!("{text}{seconds}")).ok_or_else(|| format!("`{text}` is no date"))?;
    Ok(first_ms(shown.0, zone))
}

/// When it is over: a day lasts to its midnight.
pub(super) fn ends_ms(text: &str, zone: &str) -> Result<i64, String> {
    if text.len() > "2026-01-01".len() {
        return begins_ms(text, zone);
    }
    let shown = Millis::parse_iso(&format!("{text}T00:00:00Z")).ok_or_else(|| format!("`{text}` is no date"))?;
    Ok(first_ms(shown.0 + DAY_MS, zone))
}

/// When the period of the UTC calendar began that an instant is in; weeks begin on Sundays.
pub(super) fn period_ms(now_ms: i64, per: &str) -> i64 {
    let text = Millis(now_ms).to_iso();
    let days = now_ms.div_euclid(DAY_MS);
    match per {
        "hour" => now_ms.div_euclid(DAY_MS / 24) * (DAY_MS / 24),
        "day" => days * DAY_MS,
        // 1970-01-04 was a Sunday.
        "week" => ((days - 3).div_euclid(7) * 7 + 3) * DAY_MS,
        _ => Millis::parse_iso(&format!("{}-01T00:00:00Z", &text[..7])).map_or(0, |at| at.0),
    }
}
