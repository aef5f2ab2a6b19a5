//! Expressions drawn at random: the part of the language the oracle knows, often without the brackets nobody needs.

use crate::sim::dice::Dice;
use crate::sim::workload::durations::moment;
use crate::sim::workload::journeys::ZONES;
use crate::sim::workload::{drawn_duration, functions};

/// Which events an expression may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    /// The entry event only.
    Entry,
    /// The entry event and the latest one.
    Inside,
}

/// A boolean expression.
pub(super) fn condition(dice: &mut Dice, roots: Roots, depth: u32) -> String {
    if depth > 0 && dice.chance(45) {
        let left = condition(dice, roots, depth - 1);
        let right = condition(dice, roots, depth - 1);
        return match dice.below(8) {
            0..3 => bracketed(dice, &format!("{left} && {right}")),
            3..6 => bracketed(dice, &format!("{left} || {right}")),
            6 => format!("!({left})"),
            _ => format!("({left} ? {right} : {})", condition(dice, roots, 0)),
        };
    }
    let sign = *dice.pick(&["<", "<=", ">", ">=", "==", "!="]);
    let equality = *dice.pick(&["==", "!="]);
    match dice.below(25) {
        16 | 17 if roots == Roots::Inside => fact(dice),
        19.. => functions::condition(dice, roots),
        0..4 => format!("{} {sign} {}", integer(dice, roots, 1), integer(dice, roots, 0)),
        4..6 => format!("{} {sign} {}", number(dice, roots), number(dice, roots)),
        6 => format!("{} {sign} {}", integer(dice, roots, 0), number(dice, roots)),
        7 => format!("{} {equality} {}", text(dice, roots), text(dice, roots)),
        8 => format!("{} in ['a', 'b', 'gold']", field(dice, roots, "tag")),
        9 => boolean(dice, roots),
        10 => format!("!{}", boolean(dice, roots)),
        11 => format!("has({})", any_field(dice, roots)),
        12 => format!("{} {equality} null", any_field(dice, roots)),
        13 => format!("{} {sign} {}", instant(dice, roots), instant(dice, roots)),
        14 => format!("now - meta.time {sign} duration('{}')", drawn_duration(dice, i64::MAX).1),
        _ => format!("meta.type {equality} '{}'", dice.pick(&["go", "buy", "view"])),
    }
}

/// What journeys may say of themselves.
pub(super) const DESCRIPTIONS: [&str; 3] = ["a", "gold", "Greets all who come."];

/// Something about the running instance.
fn fact(dice: &mut Dice) -> String {
    match dice.below(18) {
        8 => format!("journey.error_code == '{}'", dice.pick(&["error", "http_503", "timed_out", "capped"])),
        9 => format!("journey.error_node_kind {} 'condition'", dice.pick(&["==", "!="])),
        10 => format!("journey.description == '{}'", dice.pick(&DESCRIPTIONS)),
        11 => "has(journey.description)".to_owned(),
        12 => format!("journey.timezone != '{}'", dice.pick::<&str>(&ZONES)),
        13 => format!("{} < now", local_instant(dice)),
        14 => format!("journey.key == '{}' || journey.profile == 'crm:1'", dice.below(3)),
        15 => format!("journey.name.size() > 2 && journey.name != '{}'", dice.pick(&["j0", "a-1"])),
        16 => "size(journey.instance) == 32 && has(journey.instance)".to_owned(),
        17 => format!("draw(journey.profile + journey.name) < 0.{}", dice.between(2, 8)),
        0 => format!("journey.previous_node == 'n{}'", dice.below(5)),
        1 => "has(journey.error)".to_owned(),
        2 => format!("journey.error_node != 'n{}'", dice.below(5)),
        3 => format!("journey.error == '{}'", dice.pick(&["expression", "jump", "action"])),
        4 => format!("journey.supplemental_id == '{}'", dice.pick(&["a", "k1", "gold"])),
        5 => format!("now - journey.entered_at < duration('{}')", drawn_duration(dice, i64::MAX).1),
        6 => "journey.version > 1 || journey.node == 'n2'".to_owned(),
        _ => "journey.supplemental_id == last.tag && journey.namespace == 'crm'".to_owned(),
    }
}

/// Something about the last answer of what a journey calls, which stands for `ANSWER`; `CALLEE` stands for what
/// is called, an action or a source.
pub(super) fn answer(dice: &mut Dice) -> String {
    match dice.below(14) {
        7 => format!("journey.CALLEE_error_code == '{}'", dice.pick(&["http_503", "timed_out", "capped"])),
        8 => "has(journey.CALLEE_error_code)".to_owned(),
        9 | 12 | 13 => format!("journey.CALLEE_ms < {}", dice.pick(&[1, 20, 1_000, 30_000])),
        10 => format!("journey.error_code == '{}'", dice.pick(&["http_503", "timed_out", "internal_error"])),
        11 => "journey.error_node_kind == 'action' && journey.CALLEE_ms >= 30000".to_owned(),
        0 => format!("ANSWER.level == '{}'", dice.pick(&["gold", "silver"])),
        1 => format!("ANSWER.points > {}", dice.below(7)),
        2 => "has(ANSWER.level)".to_owned(),
        3 => format!("ANSWER.status == '{}'", dice.pick(&["http_200", "http_503", "timed_out", "capped"])),
        4 => "ANSWER.error_response.code != 'E1'".to_owned(),
        5 => "ANSWER.points != null || ANSWER.status == 'internal_error'".to_owned(),
        _ => "ANSWER.level == last.tag".to_owned(),
    }
}

/// Something about what a node found, which stands for `ANSWER`.
pub(super) fn found(dice: &mut Dice, fields: &str) -> String {
    if fields.contains("price") && dice.chance(60) {
        return match dice.below(4) {
            0 => format!("ANSWER.entities.map(e, e.price).max() > {}.5", dice.below(20)),
            1 => "ANSWER.entities.exists_one(e, e.rare)".to_owned(),
            2 => "ANSWER.entities.sortBy(e, e.found).first().found < now".to_owned(),
            _ => format!("ANSWER.entities[{}].price < 10.0", dice.below(2)),
        };
    }
    match dice.below(4) {
        0 => format!("size(ANSWER.entities) > {}", dice.below(2)),
        1 => format!("ANSWER.entities.exists(e, e.points > {})", dice.below(7)),
        2 => "ANSWER.entities.all(e, e.id != 'gold')".to_owned(),
        _ => "has(ANSWER.entities)".to_owned(),
    }
}

/// Something about feedback, which has properties of its own.
pub(super) fn of_feedback(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => "last.url != ''".to_owned(),
        1 => "last.reason.containsIgnoreCase('FULL')".to_owned(),
        _ => "last.url.startsWith('https://') && last.delivery.startsWith('d-')".to_owned(),
    }
}

/// When a wait ends.
pub(super) fn until(dice: &mut Dice) -> String {
    let span = drawn_duration(dice, i64::MAX).1;
    match dice.below(12) {
        7..9 => field(dice, Roots::Inside, "local"),
        9 => format!("'{}'", moment(dice.between(0, 90), dice.between(0, 2))),
        10 => format!("event.flag ? last.local : {}", text(dice, Roots::Inside)),
        11 => local_instant(dice),
        // What anybody can see to be too far ahead is refused.
        6 => match functions::moved(dice, Roots::Inside) {
            moved if moved.starts_with("now") => moved.replace("'years'", "'weeks'").replace("'months'", "'days'"),
            moved => moved,
        },
        0 => format!("meta.time + duration('{span}')"),
        1 => "event.at".to_owned(),
        2 => format!("last.at + duration('{span}')"),
        3 => format!("profile.renewal - duration('{span}')"),
        4 => format!("now + duration('{span}')"),
        _ => format!("event.flag ? now + duration('{span}') : meta.time"),
    }
}

/// The instant at which some clock shows what an event says.
fn local_instant(dice: &mut Dice) -> String {
    let zone = if dice.chance(75) { "journey.timezone" } else { "profile.timezone" };
    format!("timestamp({}, {zone})", field(dice, Roots::Inside, "local"))
}

/// Fields that an update may set, and fields of events.
pub(super) const PROFILE_FIELDS: [(&str, Sort); 5] = [
    ("points", Sort::Integer),
    ("tier", Sort::Text),
    ("score", Sort::Number),
    ("consents.email", Sort::Boolean),
    ("renewal", Sort::Instant),
];
pub(super) const EVENT_FIELDS: [(&str, Sort); 5] = [
    ("n", Sort::Integer),
    ("tag", Sort::Text),
    ("total", Sort::Number),
    ("flag", Sort::Boolean),
    ("at", Sort::Instant),
];

/// Parameters of the action.
pub(super) const PARAMETERS: [(&str, Sort); 2] = [("n", Sort::Integer), ("tag", Sort::Text)];

/// What an expression comes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sort {
    Integer,
    Text,
    Number,
    Boolean,
    Instant,
}

/// One to five fields, each with a value.
pub(super) fn values(dice: &mut Dice, fields: &[(&str, Sort)]) -> String {
    let first = dice.index(fields.len());
    let count = *dice.pick(&[1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5]);
    let chosen: Vec<_> = (0..count).map(|n| fields[(first + n) % fields.len()]).collect();
    all_values(dice, &chosen)
}

/// All fields, each with a value.
pub(super) fn all_values(dice: &mut Dice, fields: &[(&str, Sort)]) -> String {
    let drawn = fields.iter().map(|(name, sort)| {
        let roots = Roots::Inside;
        let value = match sort {
            _ if dice.chance(5) => "null".to_owned(),
            Sort::Integer => integer(dice, roots, 1),
            Sort::Text => text(dice, roots),
            Sort::Number => number(dice, roots),
            Sort::Boolean => condition(dice, roots, 0),
            Sort::Instant => instant(dice, roots),
        };
        format!("{name}: \"{value}\"")
    });
    drawn.collect::<Vec<_>>().join(", ")
}

/// Brackets where the place does not say how the operators bind: three times of four.
fn bracketed(dice: &mut Dice, text: &str) -> String {
    if dice.chance(75) { format!("({text})") } else { text.to_owned() }
}

pub(super) fn field(dice: &mut Dice, roots: Roots, name: &str) -> String {
    let root = if roots == Roots::Inside && dice.chance(50) { "last" } else { "event" };
    format!("{root}.{name}")
}

fn any_field(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(8) {
        0 => "profile.tier".to_owned(),
        1 => "profile.consents.email".to_owned(),
        2 => "profile.points".to_owned(),
        3 => field(dice, roots, "cart.size"),
        4 => field(dice, roots, "cart.id"),
        5 => field(dice, roots, "total"),
        6 => field(dice, roots, "at"),
        _ => field(dice, roots, "n"),
    }
}

fn boolean(dice: &mut Dice, roots: Roots) -> String {
    if dice.chance(50) { "profile.consents.email".to_owned() } else { field(dice, roots, "flag") }
}

pub(super) fn integer(dice: &mut Dice, roots: Roots, depth: u32) -> String {
    if depth > 0 && dice.chance(25) {
        let (left, right) = (integer(dice, roots, depth - 1), integer(dice, roots, depth - 1));
        return match dice.below(6) {
            0 => format!("{left} + {right}"),
            1 => format!("{left} * {right} - 1"),
            2 => format!("60 / {}", field(dice, roots, "n")),
            3 => format!("({left} - {right}) % 3"),
            4 => format!("-{}", field(dice, roots, "n")),
            _ => format!("1 + {left} * 2"),
        };
    }
    match dice.below(5) {
        0 => dice.between(-1, 6).to_string(),
        1 => "profile.points".to_owned(),
        2 => field(dice, roots, "cart.size"),
        _ => field(dice, roots, "n"),
    }
}

pub(super) fn number(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(5) {
        0 => format!("{:.1}", dice.between(-2, 8) as f64 / 2.0),
        1 => "profile.score".to_owned(),
        2 => format!("{} + 0.5", field(dice, roots, "total")),
        3 => format!("{} / 2", field(dice, roots, "total")),
        _ => field(dice, roots, "total"),
    }
}

pub(super) fn text(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(5) {
        0 => "'a'".to_owned(),
        1 => "'gold'".to_owned(),
        2 => "profile.tier".to_owned(),
        3 => field(dice, roots, "cart.id"),
        _ => field(dice, roots, "tag"),
    }
}

pub(super) fn instant(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(5) {
        0 => "now".to_owned(),
        1 => "meta.time".to_owned(),
        2 => "timestamp('2026-01-02T12:00:00+01:00')".to_owned(),
        3 => "profile.renewal".to_owned(),
        _ => field(dice, roots, "at"),
    }
}
