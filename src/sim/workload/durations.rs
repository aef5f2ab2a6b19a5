//! Spans of time drawn at random, and how somebody may have written them.

use crate::domain::ids::Millis;
use crate::sim::dice::Dice;

pub(super) const MINUTE_MS: i64 = 60_000;
pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 86_400_000;
/// The longest wait (contract).
pub(super) const WAIT_MS_MAX: i64 = 90 * DAY_MS;

/// A simulation begins a little later.
const FIRST_DAY: Millis = Millis(1_767_225_600_000);

/// A duration of at most `max_ms`, and how somebody may have written it.
pub(super) fn drawn_duration(dice: &mut Dice, max_ms: i64) -> (i64, String) {
    let drawn_ms = match dice.below(12) {
        0 => dice.between(1, 999),
        1 => dice.between(1, 59) * 1_000,
        2..5 => *dice.pick(&[MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS, 30 * MINUTE_MS]),
        5..8 => *dice.pick(&[HOUR_MS, 2 * HOUR_MS, 90 * MINUTE_MS, 36 * HOUR_MS]),
        8..10 => dice.between(1, 7) * DAY_MS,
        10 => dice.between(8, 90) * DAY_MS,
        _ => WAIT_MS_MAX,
    };
    let duration_ms = drawn_ms.min(max_ms);
    (duration_ms, if dice.chance(20) { iso_text(duration_ms) } else { duration_text(duration_ms) })
}

/// As the documents write it.
pub(super) fn duration_text(mut rest_ms: i64) -> String {
    let mut text = String::new();
    for (unit, size_ms) in [("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", 1_000), ("ms", 1)] {
        let count = rest_ms / size_ms;
        rest_ms %= size_ms;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

/// As ISO-8601 writes it, where it can.
pub(super) fn iso_text(duration_ms: i64) -> String {
    if duration_ms % MINUTE_MS == 0 { format!("PT{}M", duration_ms / MINUTE_MS) } else { duration_text(duration_ms) }
}

/// A day of 2026, or a time of that day, with an offset of one sort or another, or without one.
pub(super) fn moment(day: i64, form: i64) -> String {
    let instant = Millis(FIRST_DAY.0 + day * DAY_MS);
    match form % 4 {
        0 => instant.to_iso()[..10].to_owned(),
        1 => format!("{}T02:30", &instant.to_iso()[..10]),
        2 => format!("{}T02:30:00Z", &instant.to_iso()[..10]),
        _ => format!("{}T02:30:00+02:00", &instant.to_iso()[..10]),
    }
}
