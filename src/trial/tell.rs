//! Differences and timelines as text for people. Decides nothing.

use std::fmt::Write as _;

use smol_str::SmolStr;

use crate::domain::catalog::Catalog;
use crate::domain::ids::{Millis, ProfileKey};
use crate::domain::journey::duration;
use crate::domain::journey::trial::Trial;
use crate::runtime::report::timeline;
use crate::runtime::view::TimelineItem;
use crate::trial::record::{Account, Letter};

/// Lines of a timeline that are shown: the first and the last of them.
const LINES_FIRST: usize = 40;
const LINES_LAST: usize = 20;
/// Items compared one by one with all others; beyond it, place by place.
const ALIGNED_MAX: usize = 500;
/// Characters of one item of a list.
const ITEM_CHARS_MAX: usize = 60;

/// How long after the start of `trial`: `1d12h`.
pub fn since_start(trial: &Trial, at: Millis) -> String {
    duration::print(at.0 - trial.start.0)
}

/// Two lists side by side, equal items in one line, others marked.
pub fn side_by_side(expected: &[String], actual: &[String]) -> String {
    let shown = |item: Option<&String>| item.map_or_else(|| "-".to_owned(), |item| cut(item));
    let rows: Vec<(String, String, bool)> = align(expected, actual)
        .into_iter()
        .map(|(e, a)| (shown(e.map(|e| &expected[e])), shown(a.map(|a| &actual[a])), e.is_some() && a.is_some()))
        .collect();
    let heading = "expected";
    let width = rows.iter().map(|(left, ..)| left.chars().count()).fold(heading.len(), usize::max);
    let mut text = format!("  {heading:width$}   actual\n");
    for (left, right, is_same) in rows {
        let mark = if is_same { ' ' } else { '≠' };
        let _ = writeln!(text, "{mark} {left:width$}   {right}");
    }
    text
}

/// Indices of both lists in order; those in one pair are equal. The longest common subsequence, by the textbook.
fn align(expected: &[String], actual: &[String]) -> Vec<(Option<usize>, Option<usize>)> {
    let (n, m) = (expected.len(), actual.len());
    if n.max(m) > ALIGNED_MAX {
        return place_by_place(expected, actual);
    }
    let mut common = vec![vec![0_usize; m + 1]; n + 1];
    for e in (0..n).rev() {
        for a in (0..m).rev() {
            common[e][a] = if expected[e] == actual[a] {
                common[e + 1][a + 1] + 1
            } else {
                common[e + 1][a].max(common[e][a + 1])
            };
        }
    }
    let (mut e, mut a, mut pairs) = (0, 0, Vec::new());
    while e < n || a < m {
        if e < n && a < m && expected[e] == actual[a] {
            pairs.push((Some(e), Some(a)));
            (e, a) = (e + 1, a + 1);
        } else if a == m || (e < n && common[e + 1][a] >= common[e][a + 1]) {
            pairs.push((Some(e), None));
            e += 1;
        } else {
            pairs.push((None, Some(a)));
            a += 1;
        }
    }
    pairs
}

/// Pairs of equal items at one place.
fn place_by_place(expected: &[String], actual: &[String]) -> Vec<(Option<usize>, Option<usize>)> {
    let mut pairs = Vec::new();
    for place in 0..expected.len().max(actual.len()) {
        let (e, a) = (expected.get(place), actual.get(place));
        if e == a {
            pairs.push((Some(place), Some(place)));
            continue;
        }
        pairs.extend(e.map(|_| (Some(place), None)));
        pairs.extend(a.map(|_| (None, Some(place))));
    }
    pairs
}

fn cut(item: &str) -> String {
    if item.chars().count() <= ITEM_CHARS_MAX {
        return item.to_owned();
    }
    item.chars().take(ITEM_CHARS_MAX - 1).chain(['…']).collect()
}

/// Two texts below each other.
pub fn texts(expected: &str, actual: &str) -> String {
    let mut text = String::new();
    for (what, block) in [("expected", expected), ("actual  ", actual)] {
        for line in if block.is_empty() { vec![""] } else { block.lines().collect() } {
            let _ = writeln!(text, "{what} │ {line}");
        }
    }
    text
}

/// A message in one line: when, what, to whom, subject.
pub fn letter(trial: &Trial, letter: &Letter) -> String {
    let mut text = format!("{} {}", since_start(trial, letter.at), letter.message);
    if !letter.to.is_empty() {
        let _ = write!(text, " to {}", letter.to);
    }
    if let Ok(content) = &letter.content
        && let Some(subject) = &content.subject
    {
        let _ = write!(text, " {subject:?}");
    }
    text
}

/// What happened to a profile, in one journey or in all: a line each, with the time since the start.
pub fn happened(
    trial: &Trial,
    account: &Account,
    key: ProfileKey,
    journey: Option<&SmolStr>,
    catalog: &Catalog,
) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut letters = account.letters.iter();
    for (owner, entry) in &account.entries {
        if *owner != key {
            continue;
        }
        let mut items = timeline(std::slice::from_ref(entry), catalog);
        items.reverse();
        let of_journey = |item: &TimelineItem| {
            item.journey.is_none() || journey.is_none_or(|journey| item.journey.as_deref() == Some(journey.as_str()))
        };
        for item in items.iter().filter(|item| of_journey(item)) {
            // The step "sent" follows each message at once; the message itself says more.
            if item.what == "message" && item.reason == "sent" {
                continue;
            }
            let mut told = line(item);
            let is_it = |letter: &&Letter| {
                item.what == "message"
                    && item.reason == "requested"
                    && letter.at == entry.at
                    && item.message.as_deref() == Some(letter.message.as_str())
            };
            if let Some(found) = letters.clone().find(is_it) {
                told = format!("message {}", letter(trial, found).split_once(' ').map_or("", |(_, rest)| rest));
                letters.by_ref().find(is_it);
            }
            lines.push((since_start(trial, entry.at), told));
        }
    }
    if lines.is_empty() {
        return "nothing\n".to_owned();
    }
    let width = lines.iter().map(|(at, _)| at.chars().count()).max().unwrap_or(0);
    let left_out = lines.len().saturating_sub(LINES_FIRST + LINES_LAST);
    let mut text = String::new();
    for (index, (at, told)) in lines.iter().enumerate() {
        if left_out > 0 && index == LINES_FIRST {
            let _ = writeln!(text, "… {left_out} more …");
        }
        if left_out == 0 || index < LINES_FIRST || index >= LINES_FIRST + left_out {
            let _ = writeln!(text, "{at:>width$}  {told}");
        }
    }
    text
}

fn line(item: &TimelineItem) -> String {
    let place = match (&item.journey, &item.node) {
        (Some(journey), Some(node)) => format!(" {journey}/{node}"),
        (Some(journey), None) => format!(" {journey}"),
        _ => String::new(),
    };
    match item.what.as_str() {
        "event" => match &item.properties {
            Some(properties) => format!("event {} {properties}", item.reason),
            None => format!("event {}", item.reason),
        },
        // When its timer is due is seen when it fires.
        "entered" | "arrived" => format!("{}{place}", item.what),
        "message" => format!("message {} {}{place}", item.message.as_deref().unwrap_or_default(), item.reason),
        what => format!("{what}{place}: {}", item.reason),
    }
}

/// `text` with `by` before each line.
pub fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}").trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &[&str], actual: &[&str], rows: &[&str]) {
        let strings = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let text = side_by_side(&strings(expected), &strings(actual));
        let found: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(found, rows);
    }

    #[test]
    fn equal_items_stand_in_one_line() {
        check(&["a", "b"], &["a", "b"], &["  a          a", "  b          b"]);
        check(&["a", "c"], &["a", "b", "c"], &["  a          a", "≠ -          b", "  c          c"]);
        check(&["x", "b"], &["b"], &["≠ x          -", "  b          b"]);
        check(&[], &["b"], &["≠ -          b"]);
        check(&[], &[], &[]);
    }

    /// Long lists are compared in time that grows with their length only.
    #[test]
    fn long_lists_are_compared_place_by_place() {
        let mut expected: Vec<String> = (0..=ALIGNED_MAX).map(|n| n.to_string()).collect();
        let actual = expected.clone();
        expected[3] = "x".to_owned();
        expected.push("y".to_owned());
        let rows = side_by_side(&expected, &actual);
        let marked: Vec<&str> = rows.lines().filter(|row| row.starts_with('≠')).collect();
        assert_eq!(marked, ["≠ x          -", "≠ -          3", "≠ y          -"]);
    }

    #[test]
    fn long_items_are_cut() {
        let long = "é".repeat(ITEM_CHARS_MAX + 1);
        assert_eq!(cut(&long).chars().count(), ITEM_CHARS_MAX);
        assert_eq!(cut(&long[2..]), long[2..]);
    }
}
