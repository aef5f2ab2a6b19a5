//! Durations as people write them: `90d`, `1d12h`, `30m`, `500ms`, `PT5M`. Owns parsing and printing, nothing else.
//!
//! Days are 24 hours and weeks 7 days: a wait is an amount of time, never a calendar walk.

/// Units from the longest down, in milliseconds.
const UNITS: [(&str, i64); 6] =
    [("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing there.
    #[error("duration is empty; write 90s, 15m or 1d12h")]
    Empty,
    /// A number without a unit.
    #[error("duration {0:?} has no unit; write {0}s or {0}m")]
    NoUnit(String),
    /// A unit that does not exist.
    #[error("{unit:?} is no unit of time in {text:?}; w, d, h, m, s and ms are")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The unit found.
        unit: String,
    },
    /// Units repeat or do not descend.
    #[error("units of {0:?} do not go from longer to shorter")]
    Order(String),
    /// More than 64 bits of milliseconds.
    #[error("duration {0:?} is too long")]
    TooLong(String),
    /// Anything else.
    #[error("{0:?} is no duration; write 90s, 15m or 1d12h")]
    Syntax(String),
}

/// Milliseconds of `text`: units `w d h m s ms` from longer to shorter, or ISO-8601 (`P1DT12H`, `PT0.5S`).
pub fn parse(text: &str) -> Result<i64, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    match text.strip_prefix('P') {
        Some(rest) => parse_iso(text, rest),
        None => parse_units(text),
    }
}

/// Shortest text of a duration that [`parse`] reads back: `1d12h`, `500ms`, `0s`. Negative amounts print as `-…`,
/// which no resource may hold.
pub fn print(duration_ms: i64) -> String {
    if duration_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::from(if duration_ms < 0 { "-" } else { "" });
    let mut rest = duration_ms.unsigned_abs();
    // Weeks are read but not printed: people count waits in days.
    for (unit, size_ms) in UNITS.iter().skip(1) {
        let count = rest / size_ms.unsigned_abs();
        rest %= size_ms.unsigned_abs();
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

fn parse_units(text: &str) -> Result<i64, DurationError> {
    let mut total_ms = 0i64;
    let mut rest = text;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let (count, after) = split_number(text, rest)?;
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let unit = &after[..unit_len];
        if unit.is_empty() {
            return Err(DurationError::NoUnit(text.to_owned()));
        }
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() });
        };
        if index < next_unit {
            return Err(DurationError::Order(text.to_owned()));
        }
        next_unit = index + 1;
        total_ms = add(text, total_ms, count, UNITS[index].1)?;
        rest = &after[unit_len..];
    }
    Ok(total_ms)
}

/// `rest` follows the `P`. Years and months have no fixed length and are refused.
fn parse_iso(text: &str, rest: &str) -> Result<i64, DurationError> {
    let syntax = || DurationError::Syntax(text.to_owned());
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return Err(syntax()),
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(syntax());
    }
    let mut total_ms = 0i64;
    for (part, designators) in [
        (date, &[('W', 7 * 86_400_000), ('D', 86_400_000)][..]),
        (time, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)]),
    ] {
        let mut rest = part;
        let mut next = 0;
        while !rest.is_empty() {
            let (count, after) = split_number(text, rest)?;
            let (fraction_ms, after) = split_fraction(after).ok_or_else(syntax)?;
            let designator = after.chars().next().ok_or_else(syntax)?;
            let index = designators.iter().position(|(name, _)| *name == designator).ok_or_else(syntax)?;
            if index < next || (fraction_ms.is_some() && designator != 'S') {
                return Err(syntax());
            }
            next = index + 1;
            total_ms = add(text, total_ms, count, designators[index].1)?;
            total_ms = add(text, total_ms, fraction_ms.unwrap_or(0), 1)?;
            rest = &after[designator.len_utf8()..];
        }
    }
    Ok(total_ms)
}

fn add(text: &str, total_ms: i64, count: i64, unit_ms: i64) -> Result<i64, DurationError> {
    count
        .checked_mul(unit_ms)
        .and_then(|ms| total_ms.checked_add(ms))
        .ok_or_else(|| DurationError::TooLong(text.to_owned()))
}

fn split_number<'a>(text: &str, rest: &'a str) -> Result<(i64, &'a str), DurationError> {
    let len = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    if len == 0 {
        return Err(DurationError::Syntax(text.to_owned()));
    }
    let count = rest[..len].parse().map_err(|_| DurationError::TooLong(text.to_owned()))?;
    Ok((count, &rest[len..]))
}

/// `.5` → 500; at most three digits, since the engine counts milliseconds. `None`: malformed.
fn split_fraction(rest: &str) -> Option<(Option<i64>, &str)> {
    let Some(digits) = rest.strip_prefix(['.', ',']) else { return Some((None, rest)) };
    let len = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    if !(1..=3).contains(&len) {
        return None;
    }
    let value: i64 = digits[..len].parse().ok()?;
    let scale = [100, 10, 1][len - 1];
    Some((Some(value * scale), &digits[len..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, ms) in [
            ("90d", 90 * 86_400_000),
            ("1d12h", 36 * 3_600_000),
            ("30m", 1_800_000),
            ("PT5M", 300_000),
            ("500ms", 500),
            ("1m500ms", 60_500),
            ("2w", 14 * 86_400_000),
            ("0s", 0),
            ("P1DT12H", 36 * 3_600_000),
            ("PT0.5S", 500),
            ("P2W", 14 * 86_400_000),
            ("PT1H0.25S", 3_600_250),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for text in
            ["", "90", "d", "1h1d", "1h1h", "1x", "-1h", "1.5h", "P", "PT", "P1Y", "P1M", "PT1D", "PT1.5H", "1 h"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("30"), Err(DurationError::NoUnit("30".to_owned())));
        assert_eq!(parse("99999999999999999w"), Err(DurationError::TooLong("99999999999999999w".to_owned())));
        assert_eq!(parse("99999999999999999999d"), Err(DurationError::TooLong("99999999999999999999d".to_owned())));
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(ms in 0i64..=i64::MAX) {
            prop_assert_eq!(parse(&print(ms)), Ok(ms));
        }

        #[test]
        fn never_panics(text in "\\PC{0,12}|[P0-9TWDHMSwdhms.,]{0,12}") {
            let _ = parse(&text);
            if let Ok(ms) = parse(&text) {
                prop_assert_eq!(parse(&print(ms)), Ok(ms));
            }
        }
    }
}
