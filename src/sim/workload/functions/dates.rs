//! Functions of instants and spans.

use super::{behind, sign, zone};
use crate::sim::dice::Dice;
use crate::sim::workload::expressions::{Roots, instant, integer};

/// Parts of instants, and of what number the half of them is less.
const PARTS: [(&str, i64); 10] = [
    ("getFullYear", 2026),
    ("getMonth", 5),
    ("getDayOfYear", 150),
    ("getDayOfMonth", 15),
    ("getDate", 15),
    ("getDayOfWeek", 3),
    ("getHours", 12),
    ("getMinutes", 30),
    ("getSeconds", 30),
    ("getMilliseconds", 500),
];
const UNITS: [&str; 7] = ["seconds", "minutes", "hours", "days", "weeks", "months", "years"];
/// Days and times around those that zones skip and show twice.
const WRITTEN: [&str; 5] =
    ["2026-09-06", "2026-01-02T12:00:00+01:00", "2026-03-29T02:30:00", "2026-10-25T02:30:00", "2026-03-08T02:30"];

/// A boolean expression around a function of instants.
pub(super) fn condition(dice: &mut Dice, roots: Roots) -> String {
    let (at, other) = (instant(dice, roots), instant(dice, roots));
    let (zone, sign) = (zone(dice, roots), sign(dice));
    match dice.below(12) {
        0..3 => {
            let (part, half) = *dice.pick(&PARTS);
            format!("{at}.{part}({zone}) {sign} {half}")
        }
        3 => {
            let (part, half) = *dice.pick(&PARTS[6..]);
            format!("({at} - {other}).{part}() {sign} {half}")
        }
        4 => format!("{at}.daysSince({other}{}) {sign} {}", behind(&zone), dice.between(-2, 10)),
        5 | 6 => format!("{} {sign} {other}", moved(dice, roots)),
        7 => {
            let (way, unit, n) = (*dice.pick(&["inLast", "inNext"]), dice.pick(&UNITS), dice.between(-1, 40));
            format!("{at}.{way}({n}, '{unit}'{})", behind(&zone))
        }
        8 => {
            // Without a zone a text needs an offset, or no time.
            let written = if zone.is_empty() { &WRITTEN[..2] } else { &WRITTEN[..] };
            format!("timestamp('{}'{}) {sign} {at}", dice.pick(written), behind(&zone))
        }
        9 => match zone.is_empty() {
            true => format!("string({at}).startsWith('2026-0')"),
            false => format!("string({at}, {zone}).substring(11, 13) {sign} '12'"),
        },
        10 => format!("millis({at}) % 2 == 0 || millis({at} - {other}) {sign} 0"),
        _ => of_numbers(dice, roots),
    }
}

fn of_numbers(dice: &mut Dice, roots: Roots) -> String {
    let (at, n, sign) = (instant(dice, roots), integer(dice, roots, 0), sign(dice));
    match dice.below(5) {
        0 => format!("timestampMillis(millis({at}) + {n}) {sign} {at}"),
        1 => format!("durationMillis({n} * 3600000) {sign} now - {at}"),
        2 => format!("timestamp({n} * 600000000) {sign} {at}"),
        3 => format!("timestamp(string({at})) == {at}"),
        _ => format!("millis(duration('{}')) {sign} millis(now - {at})", dice.pick(&["90m", "1d12h", "PT5M"])),
    }
}

/// An instant that functions make of another.
pub(super) fn moved(dice: &mut Dice, roots: Roots) -> String {
    let (at, zone) = (instant(dice, roots), zone(dice, roots));
    match dice.below(8) {
        0 => format!("{at}.setMinutes({}{})", dice.pick(&[0, 30, 59]), behind(&zone)),
        1 => format!("{at}.setDate({}{})", dice.between(1, 31), behind(&zone)),
        2 => match zone.is_empty() {
            true => format!("timestamp(string({at}))"),
            false => format!("timestamp(string({at}, {zone}), {zone})"),
        },
        3 if !zone.is_empty() => format!("timestamp('{}', {zone})", dice.pick(&WRITTEN)),
        4 => format!("{at}.setHours({}{})", dice.pick(&[0, 2, 9, 23]), behind(&zone)),
        _ => format!("{at}.plus({}, '{}'{})", dice.between(-3, 9), dice.pick(&UNITS), behind(&zone)),
    }
}
