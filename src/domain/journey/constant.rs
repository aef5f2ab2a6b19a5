//! What can be told at publish of expressions that read nothing: what they come to, or how far ahead it is.

use crate::domain::expression::{Expr, Schemas, Scope};
use crate::domain::ids::Millis;
use crate::domain::journey::definition::WaitDefinition;
use crate::domain::journey::findings::At;
use crate::domain::value::{Map, Value};

/// What `expr` comes to at `now`; none if that depends on whom it is about, or fails.
pub fn value_at(expr: &Expr, now: Millis) -> Option<Value> {
    if !expr.reads().is_empty() {
        return None;
    }
    let scope = Scope {
        event: Map::EMPTY,
        last: Map::EMPTY,
        profile: Map::EMPTY,
        meta_id: "",
        meta_type: "",
        meta_time: now,
        action: Map::EMPTY,
        now,
        facts: None,
    };
    expr.eval(&scope).ok()
}

/// How many milliseconds after now the instant is that `source` gives, if that is the same at any time: `now + duration('100d')`.
pub fn span_ms(source: &str) -> Option<i64> {
    /// Of different seasons, days of the week and times of day, so that what goes by the calendar differs too.
    const NOWS: [Millis; 2] = [Millis(1_767_225_600_000), Millis(1_784_553_433_000)];
    let expr = Expr::compile_any(source, &Schemas::default()).ok()?;
    let [one, other] = NOWS.map(|now| match value_at(&expr, now)? {
        Value::Time(instant) => Some(instant.0 - now.0),
        _ => None,
    });
    one.filter(|_| one == other)
}

/// How many milliseconds a wait takes if that is the same whenever it begins: `1h`, or `{ until: now + duration('1h') }`.
pub fn length_ms(wait: &WaitDefinition) -> Option<At<i64>> {
    match wait {
        WaitDefinition::For(length_ms) => Some(length_ms.clone()),
        // An instant that has passed is not waited for.
        WaitDefinition::Until(until) => span_ms(&until.value).map(|ms| At::new(ms.max(0), until.place)),
        WaitDefinition::Local { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::span_ms;

    #[test]
    fn only_what_is_always_as_far_ahead_is_a_span() {
        const DAY_MS: i64 = 86_400_000;
        for (source, ms) in [
            ("now + duration('100d')", Some(100 * DAY_MS)),
            ("now.plus(100, 'days')", Some(100 * DAY_MS)),
            ("now", Some(0)),
            ("now - duration('1d')", Some(-DAY_MS)),
            ("now.plus(100, 'days', 'Europe/Paris')", None),
            ("now.plus(3, 'months')", None),
            ("now.setHours(9).plus(90, 'days')", None),
            ("timestamp('2026-12-24')", None),
            ("meta.time + duration('100d')", None),
            ("event.at", None),
            ("'2026-12-24'", None),
            ("1 / 0", None),
            ("now +", None),
        ] {
            assert_eq!(span_ms(source), ms, "{source}");
        }
    }
}
