//! Functions of texts, patterns, chance, and conversions.

use super::{place, sign};
use crate::sim::dice::Dice;
use crate::sim::workload::expressions::{Roots, field, instant, integer, number, text};

/// Patterns whose meaning the oracle knows by heart.
const PATTERNS: [&str; 6] = ["^g", "[aeiou]", "[0-9]+", "o|l", "^(gold|k[0-9])$", "(k)([0-9])"];

/// A boolean expression around a function of texts.
pub(super) fn condition(dice: &mut Dice, roots: Roots) -> String {
    let (one, other) = (text(dice, roots), text(dice, roots));
    let part = *dice.pick(&["a", "o", "l", "k", "ld"]);
    match dice.below(10) {
        0 => format!("{one}.matches('{}')", dice.pick(&PATTERNS)),
        1 => {
            let way = *dice.pick(&["equals", "contains", "startsWith", "endsWith"]);
            let case = *dice.pick(&["lower", "upper", "upperAscii", "lowerAscii"]);
            format!("{one}.{way}IgnoreCase({other}.{case}())")
        }
        2 => format!("{one}.lastIndexOf('{part}') {} {}", sign(dice), dice.between(-1, 3)),
        3 => {
            let way = *dice.pick(&["indexOf", "lastIndexOf"]);
            format!("{one}.{way}('{part}', {}) {} {}", place(dice, roots), sign(dice), dice.between(-1, 3))
        }
        4 => format!("{one}.charAt({}) == '{}'", place(dice, roots), dice.pick(&["a", "g", "o", "d", ""])),
        5 => format!("draw({}) {} 0.5", seed(dice, roots), sign(dice)),
        6 => format!("uuid({one}) {} uuid({})", sign(dice), seed(dice, roots)),
        7 => converted(dice, roots),
        _ => format!("{} {} {other}", made(dice, roots), sign(dice)),
    }
}

fn seed(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(3) {
        0 => "meta.id".to_owned(),
        1 => "meta.id + ':gift'".to_owned(),
        _ => text(dice, roots),
    }
}

/// A text that functions make.
fn made(dice: &mut Dice, roots: Roots) -> String {
    let (one, other) = (text(dice, roots), text(dice, roots));
    match dice.below(14) {
        0 => format!("strings.quote({one}).substring(1)"),
        1 => format!("regex.replace({one}, '[aeiou]', '_')"),
        // The pattern is within two sorts of quotes.
        2 => format!("regex.replace({one}, '(k)([0-9])', r'\\\\2\\\\1', {})", dice.between(-1, 2)),
        3 => format!("regex.split({one}, '{}').last()", dice.pick(&["[0-9]+", "o|l"])),
        4 => format!("{one}.replace('o', 'a', {})", place(dice, roots)),
        5 => format!("{one}.split('{}', {}).last()", dice.pick(&["", "o", "l"]), place(dice, roots)),
        6 => format!("{one}.split('').sort().join('')"),
        7 => format!("{one}.substring({}, {})", place(dice, roots), dice.between(0, 4)),
        8 => format!("{one} + '-' + {other}"),
        9 => format!("{one}.upper().lower()"),
        10 => format!("{one}.upperAscii()"),
        11 => format!("string({})", number(dice, roots)),
        12 => format!("string({one} == {other})"),
        _ => format!("{one}.lower().trim()"),
    }
}

/// A boolean expression around a conversion.
fn converted(dice: &mut Dice, roots: Roots) -> String {
    let flag = field(dice, roots, "flag");
    match dice.below(14) {
        0 => format!("int('{}') < {}", dice.pick(&["4", "-2", " 1 "]), integer(dice, roots, 0)),
        1 => format!("int({}) >= 0", text(dice, roots)),
        2 => format!("int({flag}) == {}", integer(dice, roots, 0)),
        3 => format!("int({}) % 2 == 0", instant(dice, roots)),
        4 => format!("double({}) / 2.0 < {}", integer(dice, roots, 0), number(dice, roots)),
        5 => format!("double('{}') < {}", dice.pick(&["2.5", "1e1"]), number(dice, roots)),
        6 => format!("double({flag}) < {}", number(dice, roots)),
        7 => format!("bool({})", integer(dice, roots, 0)),
        8 => format!("bool({})", number(dice, roots)),
        9 => format!("bool('{}') != {flag}", dice.pick(&["true", "f", "1"])),
        10 => format!("!bool({})", text(dice, roots)),
        11 => format!("string({}).size() > {}", integer(dice, roots, 1), dice.between(1, 3)),
        12 => format!("dyn({}) < {}", integer(dice, roots, 0), number(dice, roots)),
        _ => format!("string(now - {}).endsWith('s')", instant(dice, roots)),
    }
}
