//! Local time: zones, hours of days, and the instant a clock on the wall next shows a time. Zones come from the IANA data
//! compiled in, never from the machine: the same journey must do the same on every host.
//!
//! A local time that a zone skips counts as if the clock had not been set forward yet (02:30 is 03:30 then); one that comes
//! twice counts the first time. So it is in RFC 5545, section 3.3.5, and in most calendars.

use std::fmt;
use std::sync::LazyLock;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::domain::ids::Millis;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Milliseconds of a day by the clock on the wall.
const DAY_MS: u32 = 86_400_000;

/// An IANA zone or an offset such as `+02:00`.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name.starts_with(['+', '-']) {
        let (hours, minutes) = name[1..].split_once(':')?;
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        let seconds = hours.checked_mul(3_600)?.checked_add(minutes.checked_mul(60)?)?;
        let signed = if name.starts_with('-') { -seconds } else { seconds };
        return Some(TimeZone::fixed(Offset::from_seconds(signed).ok()?));
    }
    ZONES.get(name).ok()
}

/// Names of all IANA zones.
pub fn zone_names() -> Vec<String> {
    ZONES.available().map(|name| name.to_string()).collect()
}

/// Days of the week; one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days(u8);

impl Days {
    /// All of them.
    pub const ALL: Self = Self(0b111_1111);
    /// Names, Monday first.
    pub const NAMES: [&'static str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    /// Those of `names`; `None` if one is no name of a day, or there is none.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        let mut days = 0;
        for name in names {
            days |= 1 << Self::NAMES.iter().position(|known| *known == name)?;
        }
        (days != 0).then_some(Self(days))
    }

    fn has(self, day: Weekday) -> bool {
        self.0 & (1 << day.to_monday_zero_offset()) != 0
    }
}

/// `mon, tue`.
impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().enumerate().filter(|(day, _)| self.0 & (1 << day) != 0);
        f.write_str(&named.map(|(_, name)| *name).collect::<Vec<_>>().join(", "))
    }
}

/// A time of day, in milliseconds since the clock showed 00:00; 24:00 is the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DayTime(u32);

impl DayTime {
    /// 00:00.
    pub const MIDNIGHT: Self = Self(0);
    /// 24:00.
    pub const END: Self = Self(DAY_MS);

    /// `HH:MM` or `HH:MM:SS`, up to `24:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut total = 0;
        let mut count = 0;
        for (part, (size, max)) in text.split(':').zip([(3_600_000, 24), (60_000, 59), (1_000, 59)]) {
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let value: u32 = part.parse().ok()?;
            if value > max {
                return None;
            }
            total += value * size;
            count += 1;
        }
        (count >= 2 && count == text.split(':').count() && total <= DAY_MS).then_some(Self(total))
    }

    fn of(time: Time) -> Self {
        let seconds = (u32::from(time.hour().unsigned_abs()) * 60 + u32::from(time.minute().unsigned_abs())) * 60
            + u32::from(time.second().unsigned_abs());
        Self(seconds * 1_000 + u32::from(time.millisecond().unsigned_abs()))
    }
}

/// `09:30`, with seconds where there are any.
impl fmt::Display for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000;
        write!(f, "{:02}:{:02}", seconds / 3_600, seconds / 60 % 60)?;
        if seconds.is_multiple_of(60) { Ok(()) } else { write!(f, ":{:02}", seconds % 60) }
    }
}

/// Hours of some days: from a time on, up to another. Where the second is earlier they go on into the next day, and belong
/// to the day on which they began (spec §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// Days on which they begin.
    pub days: Days,
    /// From, that time included.
    pub from: DayTime,
    /// To, that time excluded.
    pub to: DayTime,
}

/// `from 09:00 to 17:00 on mon, tue`.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {}", self.from, self.to)?;
        if self.days == Days::ALL { Ok(()) } else { write!(f, " on {}", self.days) }
    }
}

impl Hours {
    /// Whether it is such an hour at `now`.
    pub fn hold(&self, now: Millis, zone: &TimeZone) -> bool {
        let Ok(instant) = jiff::Timestamp::from_millisecond(now.0) else { return false };
        let local = zone.to_datetime(instant);
        let (day, time) = (local.date().weekday(), DayTime::of(local.time()));
        if self.from < self.to {
            return self.days.has(day) && (self.from..self.to).contains(&time);
        }
        (self.days.has(day) && time >= self.from) || (self.days.has(day.previous()) && time < self.to)
    }
}

impl Hours {
    /// The same hours as ranges of the week that the clock on the wall shows: milliseconds since Monday 00:00, ends excluded.
    pub fn of_week(self) -> Vec<(u32, u32)> {
        let week = 7 * DAY_MS;
        let mut ranges = Vec::new();
        for day in (0..7).filter(|day| self.days.0 & (1 << day) != 0) {
            let begins = day * DAY_MS + self.from.0;
            let ends = day * DAY_MS + self.to.0 + if self.from < self.to { 0 } else { DAY_MS };
            ranges.push((begins.min(week), ends.min(week)));
            if ends > week {
                ranges.push((begins.saturating_sub(week), ends - week));
            }
        }
        ranges.retain(|(begins, ends)| begins < ends);
        ranges
    }
}

/// What the clock in `zone` shows at `now`: `mon 2026-11-02T09:30:00+01:00`.
pub fn local_text(now: Millis, zone: &TimeZone) -> String {
    let Ok(instant) = jiff::Timestamp::from_millisecond(now.0) else { return now.to_iso() };
    let local = zone.to_datetime(instant);
    let day = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
    format!("{} {}", Days::NAMES[day], instant.display_with_offset(zone.to_offset(instant)))
}

/// The first instant after `now` at which the clock shows `time` on one of `days`; `now` itself beyond the calendar. Never the
/// present instant, so that what comes round every morning comes once a morning.
pub fn next_local(now: Millis, time: DayTime, days: Days, zone: &TimeZone) -> Millis {
    let Ok(instant) = jiff::Timestamp::from_millisecond(now.0) else { return now };
    // A skipped time of the day before may count today; a day of the week comes at the latest after seven others.
    let Ok(mut date) = zone.to_datetime(instant).date().yesterday() else { return now };
    for _ in 0..10 {
        if days.has(date.weekday())
            && let Ok(wall) = date.at(0, 0, 0, 0).checked_add(i64::from(time.0).milliseconds())
            && let Some(found) = instant_of(wall, zone).filter(|found| *found > now)
        {
            return found;
        }
        let Ok(next) = date.tomorrow() else { return now };
        date = next;
    }
    now
}

fn instant_of(wall: DateTime, zone: &TimeZone) -> Option<Millis> {
    let instant = zone.to_ambiguous_timestamp(wall).compatible().ok()?;
    Some(Millis(instant.as_millisecond()))
}

/// A moment as somebody wrote it: an instant, or what the clock shows somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// With an offset or `Z`.
    Instant(Millis),
    /// Without: it depends on the zone.
    Local(DateTime),
    /// A day.
    Day(Date),
}

impl Moment {
    /// Reads ISO-8601.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(Self::Instant(Millis(instant.as_millisecond())));
        }
        if text.len() == "2026-01-01".len() {
            return text.parse().ok().map(Self::Day);
        }
        text.parse().ok().map(Self::Local)
    }

    /// When it begins in `zone`; `None` at the ends of the calendar.
    pub fn begins(self, zone: &TimeZone) -> Option<Millis> {
        match self {
            Self::Instant(instant) => Some(instant),
            Self::Local(wall) => instant_of(wall, zone),
            Self::Day(date) => instant_of(date.at(0, 0, 0, 0), zone),
        }
    }

    /// When it is over in `zone`: a day lasts to its midnight, everything else is over when it begins.
    pub fn ends(self, zone: &TimeZone) -> Option<Millis> {
        match self {
            Self::Day(date) => instant_of(date.tomorrow().ok()?.at(0, 0, 0, 0), zone),
            _ => self.begins(zone),
        }
    }
}

/// As ISO-8601.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(instant) => write!(f, "{instant}"),
            Self::Local(wall) => write!(f, "{wall}"),
            Self::Day(date) => write!(f, "{date}"),
        }
    }
}

/// A period of the UTC calendar (spec §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Sunday on.
    Week,
    /// A month.
    Month,
}

impl Period {
    /// When the period began that `now` is in.
    pub fn start(self, now: Millis) -> Millis {
        const HOUR_MS: i64 = 3_600_000;
        const DAY_MS: i64 = 24 * HOUR_MS;
        let midnight = now.0 - now.0.rem_euclid(DAY_MS);
        match self {
            Self::Hour => Millis(now.0 - now.0.rem_euclid(HOUR_MS)),
            Self::Day => Millis(midnight),
            // 1970-01-01 was a Thursday, the fifth day of its week.
            Self::Week => Millis(midnight - (midnight.div_euclid(DAY_MS) + 4).rem_euclid(7) * DAY_MS),
            Self::Month => {
                let day = jiff::Timestamp::from_millisecond(midnight).map(|at| at.to_zoned(TimeZone::UTC).day());
                // Instants are within the years that calendars know: events and clocks are checked for it.
                Millis(midnight - (i64::from(day.unwrap_or(1)) - 1) * DAY_MS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        Millis::parse_iso(text).expect("an instant")
    }

    #[test]
    fn times_of_day_are_read() {
        for (text, time) in [
            ("00:00", Some(DayTime::MIDNIGHT)),
            ("24:00", Some(DayTime::END)),
            ("09:30", Some(DayTime(34_200_000))),
            ("09:30:15", Some(DayTime(34_215_000))),
            ("24:01", None),
            ("9:30", None),
            ("09", None),
            ("09:60", None),
            ("09:30:15:00", None),
            ("+9:30", None),
            ("", None),
        ] {
            assert_eq!(DayTime::parse(text), time, "{text}");
        }
    }

    fn hours(days: &[&str], from: &str, to: &str) -> Hours {
        Hours {
            days: Days::of(days.iter().copied()).expect("days"),
            from: DayTime::parse(from).expect("a time"),
            to: DayTime::parse(to).expect("a time"),
        }
    }

    #[test]
    fn hours_hold_by_the_clock_on_the_wall() {
        let paris = zone("Europe/Paris").expect("a zone");
        // A Monday; Paris is at +01:00.
        for (days, from, to, now, holds) in [
            (&["mon"][..], "09:00", "17:00", "2026-01-05T08:00:00Z", true),
            (&["mon"], "09:00", "17:00", "2026-01-05T07:59:59.999Z", false),
            (&["mon"], "09:00", "17:00", "2026-01-05T16:00:00Z", false),
            (&["tue"], "09:00", "17:00", "2026-01-05T08:00:00Z", false),
            (&["sun", "mon"], "00:00", "24:00", "2026-01-05T22:59:59.999Z", true),
            // Over midnight: they belong to the day on which they began.
            (&["mon"], "21:00", "09:00", "2026-01-05T20:00:00Z", true),
            (&["mon"], "21:00", "09:00", "2026-01-06T07:59:00Z", true),
            (&["mon"], "21:00", "09:00", "2026-01-06T08:00:00Z", false),
            (&["mon"], "21:00", "09:00", "2026-01-05T07:00:00Z", false),
        ] {
            assert_eq!(hours(days, from, to).hold(at(now), &paris), holds, "{days:?} {from} to {to} at {now}");
        }
    }

    #[test]
    fn hours_of_a_week_are_the_hours_that_hold() {
        let monday = at("2026-01-05T00:00:00Z");
        for (days, from, to) in [
            (&["mon", "wed"][..], "09:00", "17:00"),
            (&["sun"], "21:00", "09:00"),
            (&["sat", "sun"], "00:00", "24:00"),
            (&["sun"], "24:00", "09:00"),
            (&["fri"], "12:00", "00:00"),
        ] {
            let hours = hours(days, from, to);
            let ranges = hours.of_week();
            for half_hour in 0..7 * 48 {
                let since = half_hour * 1_800_000;
                let within = ranges.iter().any(|(begins, ends)| (*begins..*ends).contains(&since));
                let holds = hours.hold(monday.plus(i64::from(since)), &TimeZone::UTC);
                assert_eq!(within, holds, "{days:?} {from} to {to}, half hour {half_hour}");
            }
        }
    }

    #[test]
    fn the_next_time_of_day_comes_once_a_day_whatever_clocks_do() {
        for (name, now, time, days, next) in [
            ("UTC", "2026-01-05T08:00:00Z", "09:00", "mon", "2026-01-05T09:00:00Z"),
            ("UTC", "2026-01-05T08:59:59.999Z", "09:00", "mon", "2026-01-05T09:00:00Z"),
            ("UTC", "2026-01-05T09:00:00Z", "09:00", "mon", "2026-01-12T09:00:00Z"),
            ("Europe/Paris", "2026-01-05T09:00:00Z", "09:00", "tue", "2026-01-06T08:00:00Z"),
            // 02:30 is skipped on 2026-03-29 and comes twice on 2026-10-25.
            ("Europe/Paris", "2026-03-29T00:00:00Z", "02:30", "sun", "2026-03-29T01:30:00Z"),
            ("Europe/Paris", "2026-10-25T00:00:00Z", "02:30", "sun", "2026-10-25T00:30:00Z"),
            ("Europe/Paris", "2026-10-25T00:30:00Z", "02:30", "sun", "2026-11-01T01:30:00Z"),
            // A whole day is skipped: 2011-12-30 was no day in Apia.
            ("Pacific/Apia", "2011-12-30T09:00:00Z", "09:00", "fri", "2011-12-30T19:00:00Z"),
            ("UTC", "2026-01-05T23:00:00Z", "24:00", "mon", "2026-01-06T00:00:00Z"),
        ] {
            let zone = zone(name).expect("a zone");
            let found =
                next_local(at(now), DayTime::parse(time).expect("a time"), Days::of([days]).expect("a day"), &zone);
            assert_eq!(found, at(next), "{time} on {days} in {name} after {now}");
        }
    }

    #[test]
    fn moments_without_an_offset_are_local() {
        let paris = zone("Europe/Paris").expect("a zone");
        for (text, begins, ends) in [
            ("2026-07-01T09:00", Some("2026-07-01T07:00:00Z"), Some("2026-07-01T07:00:00Z")),
            ("2026-07-01", Some("2026-06-30T22:00:00Z"), Some("2026-07-01T22:00:00Z")),
            ("2026-07-01T09:00:00Z", Some("2026-07-01T09:00:00Z"), Some("2026-07-01T09:00:00Z")),
            ("2026-07-01T09:00:00+05:00", Some("2026-07-01T04:00:00Z"), Some("2026-07-01T04:00:00Z")),
            ("soon", None, None),
        ] {
            let moment = Moment::parse(text);
            assert_eq!(moment.and_then(|moment| moment.begins(&paris)), begins.map(at), "{text}");
            assert_eq!(moment.and_then(|moment| moment.ends(&paris)), ends.map(at), "{text}");
        }
    }

    #[test]
    fn hours_are_printed_as_they_are_written() {
        let time = |text| DayTime::parse(text).expect(text);
        let hours = |days, from, to| Hours { days, from: time(from), to: time(to) }.to_string();
        assert_eq!(hours(Days::ALL, "22:00", "06:00"), "from 22:00 to 06:00");
        let some = Days::of(["tue", "mon"]).expect("days");
        assert_eq!(hours(some, "09:05:30", "24:00"), "from 09:05:30 to 24:00 on mon, tue");
    }

    #[test]
    fn periods_begin_with_the_calendar() {
        for (now, hour, day, week, month) in [
            ("2026-03-05T10:20:30Z", "2026-03-05T10:00:00Z", "2026-03-05", "2026-03-01", "2026-03-01"),
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-01", "2026-03-01", "2026-03-01"),
            ("2026-02-28T23:59:59.999Z", "2026-02-28T23:00:00Z", "2026-02-28", "2026-02-22", "2026-02-01"),
            ("1969-12-31T23:00:00Z", "1969-12-31T23:00:00Z", "1969-12-31", "1969-12-28", "1969-12-01"),
        ] {
            let day_of = |text: &str| at(&format!("{text}T00:00:00Z"));
            assert_eq!(Period::Hour.start(at(now)), at(hour), "{now}");
            let starts = [Period::Day, Period::Week, Period::Month].map(|period| period.start(at(now)));
            assert_eq!(starts, [day, week, month].map(day_of), "{now}");
        }
    }
}
