//! Functions of lists, their items, and objects.

use super::{place, sign};
use crate::sim::dice::Dice;
use crate::sim::workload::expressions::{Roots, field, instant, integer, number, text};

/// Texts that are stored.
fn tags(dice: &mut Dice, roots: Roots) -> String {
    if dice.chance(30) { "profile.badges".to_owned() } else { field(dice, roots, "tags") }
}

/// A boolean expression around a list.
pub(super) fn condition(dice: &mut Dice, roots: Roots) -> String {
    match dice.below(4) {
        0 => of_texts(dice, roots),
        1 => of_integers(dice, roots),
        2 => of_items(dice, roots),
        _ => of_literals(dice, roots),
    }
}

fn of_texts(dice: &mut Dice, roots: Roots) -> String {
    let (tags, more, one) = (tags(dice, roots), tags(dice, roots), text(dice, roots));
    match dice.below(16) {
        14.. => format!("{}.exists(i, {tags}.exists(t, t == i.id))", field(dice, roots, "items")),
        12 => format!("{tags} {} ['a', 'gold']", dice.pick::<&str>(&["==", "!="])),
        13 => format!("{tags}.all(t, t != null)"),
        0 => format!("{one} in {tags}"),
        1 => format!("{tags}.sort().first() == {one}"),
        2 => format!("{tags}.intersect({more}).size() > {}", dice.below(2)),
        3 => format!("[{tags}, {more}, ['a']].flatten().count() > {}", dice.below(5)),
        4 => format!("{tags}.limitLast({}).join() {} {one}", place(dice, roots), sign(dice)),
        5 => format!("{tags}[{}] == {one}", place(dice, roots)),
        6 => format!("({tags} + {more}).distinct().size() > {}", dice.below(4)),
        7 => format!("{tags}.slice({}, {}).join('-') {} {one}", dice.below(2), place(dice, roots), sign(dice)),
        8 => format!("{tags}.exists(t, t == {one})"),
        9 => format!("{tags}.map(t, t != 'a', t.upper()).last() {} {one}", sign(dice)),
        10 => format!("{tags}.distinctBy(t, t.size()).size() {} {}", sign(dice), dice.below(3)),
        _ => format!("{tags}.reverse().first() {} {one}", sign(dice)),
    }
}

fn of_integers(dice: &mut Dice, roots: Roots) -> String {
    let (sizes, n) = (field(dice, roots, "sizes"), integer(dice, roots, 0));
    let sign = sign(dice);
    match dice.below(9) {
        0 => format!("{sizes}.avg() {sign} {}", number(dice, roots)),
        1 => format!("{sizes}.sum() {sign} {n}"),
        2 => format!("{sizes}[0] {sign} {n}"),
        3 => format!("{n} in {sizes}"),
        4 => format!("math.{}({sizes}) {sign} {n}", dice.pick::<&str>(&["greatest", "least"])),
        5 => format!("{sizes}.map(s, s > 1, s * 2).sum() {sign} {n}"),
        6 => format!("{sizes}.sort().last() {sign} {n}"),
        7 => format!("{sizes}.all(s, s {sign} {n})"),
        _ => format!("{sizes}.sortBy(s, -s).limit({}).min() {sign} {n}", place(dice, roots)),
    }
}

fn of_items(dice: &mut Dice, roots: Roots) -> String {
    let (items, one) = (field(dice, roots, "items"), text(dice, roots));
    match dice.below(6) {
        0 => format!("{items}.exists(i, has(i.id))"),
        1 => format!("{items}.distinctBy(i, i.id).size() {} {}", sign(dice), dice.below(3)),
        2 => format!("{items}[{}].id == {one}", place(dice, roots)),
        3 => format!("{items}.slice(0, {}).map(i, i.id).join() {} {one}", dice.below(3), sign(dice)),
        4 => format!("{items}.limitLast({}).first().id == {one}", dice.between(1, 2)),
        _ => format!("'size' in {}", field(dice, roots, "cart")),
    }
}

/// Lists and objects that stand in the expression.
fn of_literals(dice: &mut Dice, roots: Roots) -> String {
    let (a, b) = (number(dice, roots), number(dice, roots));
    let (n, one) = (integer(dice, roots, 0), text(dice, roots));
    let sign = sign(dice);
    let way = *dice.pick(&["sum", "avg", "min", "max"]);
    let span = format!("now - {}", instant(dice, roots));
    match dice.below(9) {
        0 => format!("[{a}, {b}].{way}() {sign} {a}"),
        1 => format!("[{}, {}].max() {sign} now", instant(dice, roots), instant(dice, roots)),
        2 => format!("[{span}, duration('1h')].sum() {sign} duration('1d')"),
        3 => format!("math.least({}, {}) {sign} now", instant(dice, roots), instant(dice, roots)),
        4 => format!("{{'a': {n}, 'b': {a}}}.a {sign} 1"),
        5 => format!("{one} in {{'a': 1, 'gold': 2}}"),
        6 => {
            format!("size({{'a': {n}}}) {sign} 1 || {}['n'] > 1", if roots == Roots::Inside { "last" } else { "event" })
        }
        7 => format!("math.sign({a}) {sign} 0.0"),
        _ => format!("math.{}({n}) {sign} {b}", dice.pick::<&str>(&["round", "floor", "ceil", "trunc"])),
    }
}
