//! Functions and loops drawn at random: those that the oracle knows.

mod dates;
mod lists;
mod texts;

use crate::sim::dice::Dice;
use crate::sim::workload::expressions::{Roots, field, instant, integer, number, text};
use crate::sim::workload::journeys::ZONES;

/// A boolean expression around a function.
pub(super) fn condition(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(16) {
        8..11 => texts::condition(dice, roots),
        11..13 => lists::condition(dice, roots),
        13.. => dates::condition(dice, roots),
        0 => of_text(dice, roots),
        1 => a_loop(dice, roots),
        2 | 3 => format!("{} {} {}", whole(dice, roots), dice.pick::<&str>(&["<", ">=", "=="]), dice.between(-1, 4)),
        4 => format!("{} == {}", made(dice, roots), text(dice, roots)),
        5 => {
            let (way, unit) = (*dice.pick(&["inLast", "inNext"]), *dice.pick(&["hours", "days", "weeks"]));
            format!("{}.{way}({}, '{unit}'{})", instant(dice, roots), dice.between(0, 30), behind(&zone(dice, roots)))
        }
        6 => format!("{} {} now", moved(dice, roots), dice.pick::<&str>(&["<", ">="])),
        _ => format!(
            "math.{}({}) > {}",
            dice.pick::<&str>(&["round", "floor", "ceil", "trunc", "abs"]),
            number(dice, roots),
            number(dice, roots)
        ),
    }
}

fn items(dice: &mut Dice, roots: Roots) -> String {
    let items = field(dice, roots, "items");
    match dice.below(6) {
        0 => format!("{items}.limit({})", dice.below(3)),
        1 => format!("{items}.reverse()"),
        2 => format!("{items}.filter(i, i.id != 'k2')"),
        3 => format!("{items}.sortBy(i, i.id)"),
        _ => items,
    }
}

/// Texts of a list.
fn ids(dice: &mut Dice, roots: Roots) -> String {
    let items = items(dice, roots);
    match dice.below(4) {
        0 => format!("{items}.map(i, i.id).distinct()"),
        1 => format!("{}.split('{}')", text(dice, roots), dice.pick::<&str>(&["o", ",", "a"])),
        _ => format!("{items}.map(i, i.id)"),
    }
}

fn a_loop(dice: &mut Dice, roots: Roots) -> String {
    let way = *dice.pick(&["exists", "all", "exists_one"]);
    let inner = match dice.below(4) {
        0 => format!("i.id == {}", text(dice, roots)),
        1 => format!("i.id.startsWith('k') || {} > 2", field(dice, roots, "n")),
        2 => "i.id.size() > 2".to_owned(),
        _ => format!("i.id in ['k1', 'gold'] && {}", field(dice, roots, "flag")),
    };
    format!("{}.{way}(i, {inner})", items(dice, roots))
}

fn of_text(dice: &mut Dice, roots: Roots) -> String {
    let (one, other) = (text(dice, roots), text(dice, roots));
    match dice.below(6) {
        0 => format!("{one}.startsWith({other})"),
        1 => format!("{one}.endsWith('d')"),
        2 => format!("{one}.contains({other})"),
        3 => format!("{one}.equalsIgnoreCase({other}.upperAscii())"),
        4 => format!("{one}.isEmpty()"),
        _ => format!("{}.isEmpty()", items(dice, roots)),
    }
}

/// A text that functions make.
fn made(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(8) {
        0 => format!("{}.first().id", items(dice, roots)),
        1 => format!("{}.last()", ids(dice, roots)),
        2 => format!("{}.replace('o', 'a')", text(dice, roots)),
        3 => format!("{}.reverse().trim()", text(dice, roots)),
        4 => format!("{}.substring({})", text(dice, roots), dice.below(3)),
        5 => format!("{}.join('')", ids(dice, roots)),
        6 => format!("string({})", integer(dice, roots, 0)),
        _ => format!("{}.lowerAscii()", text(dice, roots)),
    }
}

/// An integer that functions make.
fn whole(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(10) {
        0 => format!("{}.size()", text(dice, roots)),
        1 => format!("size({})", ids(dice, roots)),
        2 => format!("{}.count()", items(dice, roots)),
        3 => format!("{}.countNull()", items(dice, roots)),
        4 => format!("{}.indexOf('{}')", text(dice, roots), dice.pick::<&str>(&["o", "ld", "a"])),
        5 => format!(
            "[{}, {}, 2].{}()",
            integer(dice, roots, 0),
            integer(dice, roots, 0),
            dice.pick::<&str>(&["sum", "min", "max"])
        ),
        6 => {
            let way = *dice.pick(&["greatest", "least"]);
            format!("math.{way}({}, {})", integer(dice, roots, 0), integer(dice, roots, 0))
        }
        7 => format!("int({})", number(dice, roots)),
        8 => format!("math.{}({})", dice.pick::<&str>(&["abs", "sign"]), field(dice, roots, "n")),
        _ => {
            let part = *dice.pick(&["getHours", "getMinutes", "getDayOfWeek", "getDate"]);
            format!("{}.{part}({})", instant(dice, roots), zone(dice, roots))
        }
    }
}

/// An instant that functions make of another.
pub(super) fn moved(dice: &mut Dice, roots: Roots) -> String {
    if dice.chance(30) {
        return dates::moved(dice, roots);
    }
    let at = instant(dice, roots);
    let zone = zone(dice, roots);
    match dice.below(4) {
        0 => format!("{at}.startOfDay({zone})"),
        1 => format!("{at}.setHours({}{})", dice.below(24), behind(&zone)),
        _ => {
            let unit = *dice.pick(&["hours", "days", "weeks"]);
            format!("{at}.plus({}, '{unit}'{})", dice.between(-2, 9), behind(&zone))
        }
    }
}

/// A zone as an argument; nothing: UTC.
fn zone(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(5) {
        0 => String::new(),
        1 => "profile.timezone".to_owned(),
        2 if roots == Roots::Inside => "journey.timezone".to_owned(),
        3 if dice.chance(25) => format!("'{}'", dice.pick::<&str>(&["+02:00", "-03:30", "UTC"])),
        _ => format!("'{}'", dice.pick::<&str>(&ZONES)),
    }
}

/// A place in a text or list: mostly a small number.
fn place(dice: &mut Dice, roots: Roots) -> String {
    if dice.chance(85) { dice.below(3).to_string() } else { integer(dice, roots, 1) }
}

fn sign(dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(&["<", "<=", ">", ">=", "==", "!="])
}

/// A zone as one more argument.
fn behind(zone: &str) -> String {
    if zone.is_empty() { String::new() } else { format!(", {zone}") }
}
