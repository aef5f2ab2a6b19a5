//! Reads maps key by key and says what is missing, unknown, doubled or of the wrong type. Knows no resource.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::domain::event::check_name;
use crate::domain::journey::duration;
use crate::domain::journey::findings::{At, Findings, Place};
use crate::domain::journey::source::tree::{Shape, Tree};
use crate::domain::limits;
use crate::domain::suggest::did_you_mean;

/// A map being read. Keys that nobody asked for are found by [`MapReader::finish`].
pub struct MapReader<'t> {
    /// Where the map starts.
    pub place: Place,
    /// What findings call it, e.g. ``node `wait_an_hour` ``.
    pub what: String,
    entries: Vec<(&'t str, Place, &'t Tree)>,
    asked: Vec<&'static str>,
}

impl<'t> MapReader<'t> {
    /// Reads `tree` as a map; `None` (and a finding) if it is none.
    pub fn open(tree: &'t Tree, what: impl Into<String>, findings: &mut Findings<'_>) -> Option<Self> {
        let what = what.into();
        let entries = entries(tree, &what, findings)?;
        Some(Self { place: tree.place, what, entries, asked: Vec::new() })
    }

    /// The value of `key`, if it is there.
    pub fn optional(&mut self, key: &'static str) -> Option<&'t Tree> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.entries.iter().find(|(name, _, _)| *name == key).map(|(_, _, tree)| *tree)
    }

    /// The value of `key`; a finding if it is not there.
    pub fn required(&mut self, key: &'static str, findings: &mut Findings<'_>) -> Option<&'t Tree> {
        let found = self.optional(key);
        if found.is_none() {
            let message = format!("{} has no `{key}`", self.what);
            findings.error_with(self.place, "missing_key", message, format!("add `{key}: …`"));
        }
        found
    }

    /// Whether `key` is there. Does not count as reading it.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _, _)| *name == key)
    }

    /// All keys with their places.
    pub fn keys(&self) -> impl Iterator<Item = (&'t str, Place)> + '_ {
        self.entries.iter().map(|(name, place, _)| (*name, *place))
    }

    /// Takes `key` out as a later release's feature: a finding that says so, and no second one about an unknown key.
    pub fn not_available(&mut self, key: &'static str, supported: &str, findings: &mut Findings<'_>) -> bool {
        let Some((_, place, _)) = self.entries.iter().find(|(name, _, _)| *name == key) else { return false };
        let message = format!("`{key}` in {} is not available in this release", self.what);
        findings.error_with(*place, "not_available", message, supported.to_owned());
        self.asked.push(key);
        true
    }

    /// Findings for every key that was not asked for.
    pub fn finish(self, findings: &mut Findings<'_>) {
        for (name, place, _) in &self.entries {
            if self.asked.contains(name) {
                continue;
            }
            let suggestion = did_you_mean(name, self.asked.iter().copied())
                .unwrap_or_else(|| format!("known keys are {}", listed(&self.asked)));
            findings.error_with(*place, "unknown_key", format!("unknown key `{name}` in {}", self.what), suggestion);
        }
    }
}

/// `` `a`, `b`, `c` ``.
pub fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Keys, their places and values of a map whose keys are all text; doubled keys count once. `None` if it is no map.
pub fn entries<'t>(tree: &'t Tree, what: &str, findings: &mut Findings<'_>) -> Option<Vec<(&'t str, Place, &'t Tree)>> {
    let Shape::Map(map) = &tree.shape else {
        findings.error(tree.place, "wrong_type", format!("{what} must be a map, not {}", tree.describe()));
        return None;
    };
    let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
    let mut entries = Vec::with_capacity(map.len());
    for (key, value) in map {
        let Some(name) = key.text() else {
            findings.error(key.place, "wrong_type", format!("a key of {what} must be a text, not {}", key.describe()));
            continue;
        };
        if let Some(first) = seen.get(name) {
            let message = format!("key `{name}` stands twice in {what}; first at {}", findings.name_place(*first));
            findings.error_with(key.place, "duplicate_key", message, "remove one of them".to_owned());
            continue;
        }
        seen.insert(name, key.place);
        entries.push((name, key.place, value));
    }
    Some(entries)
}

/// The items of a list; `None` (and a finding) if it is none.
pub fn items<'t>(tree: &'t Tree, what: &str, findings: &mut Findings<'_>) -> Option<&'t [Tree]> {
    if let Shape::List(items) = &tree.shape {
        return Some(items);
    }
    let message = format!("{what} must be a list, not {}", tree.describe());
    findings.error_with(tree.place, "wrong_type", message, "write `[ … ]` or lines that begin with `- `".to_owned());
    None
}

/// Text of a scalar.
pub fn text(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<At<SmolStr>> {
    let found = tree.text().map(|text| At::new(SmolStr::new(text), tree.place));
    if found.is_none() {
        findings.error(tree.place, "wrong_type", format!("{what} must be a text, not {}", tree.describe()));
    }
    found
}

/// Text that is not blank.
pub fn full_text(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<At<SmolStr>> {
    let found = text(tree, what, findings)?;
    if found.value.trim().is_empty() {
        findings.error(tree.place, "wrong_type", format!("{what} is empty"));
        return None;
    }
    Some(found)
}

/// `true` or `false`.
pub fn truth(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<bool> {
    match &tree.shape {
        Shape::Word(word) if word == "true" => Some(true),
        Shape::Word(word) if word == "false" => Some(false),
        _ => {
            findings.error(tree.place, "wrong_type", format!("{what} must be `true` or `false`"));
            None
        }
    }
}

/// A whole number within bounds.
pub fn number(tree: &Tree, what: &str, (min, max): (u32, u32), findings: &mut Findings<'_>) -> Option<u32> {
    let written = full_text(tree, what, findings)?;
    let number = written.value.parse().ok().filter(|number| (min..=max).contains(number));
    if number.is_none() {
        let message = format!("{what} can't be `{}`", written.value);
        findings.error_with(tree.place, "bad_number", message, format!("use a whole number from {min} to {max}"));
    }
    number
}

/// A TCP port.
pub fn port(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<u16> {
    let found = tree.text().and_then(|text| text.parse::<u16>().ok()).filter(|port| *port > 0);
    if found.is_none() {
        findings.error(tree.place, "wrong_type", format!("{what} must be a port from 1 to 65535"));
    }
    found
}

/// One of `words`.
pub fn choice<T: Copy>(tree: &Tree, what: &str, words: &[(&str, T)], findings: &mut Findings<'_>) -> Option<T> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let found = tree.text().unwrap_or_default();
    let choice = words.iter().find(|(name, _)| *name == found).map(|(_, value)| *value);
    if choice.is_none() {
        let suggestion =
            did_you_mean(found, names.iter().copied()).unwrap_or_else(|| format!("write one of {}", listed(&names)));
        findings.error_with(tree.place, "unknown_value", format!("{what} can't be `{found}`"), suggestion);
    }
    choice
}

/// A duration in milliseconds, and as it was written.
pub fn written_duration(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<(i64, SmolStr)> {
    let written = full_text(tree, what, findings)?;
    match duration::parse(&written.value) {
        Ok(duration_ms) => Some((duration_ms, written.value)),
        Err(error) => {
            let suggestion = "write it as `90d`, `1d12h`, `30m`, `500ms` or `PT5M`".to_owned();
            findings.error_with(tree.place, "bad_duration", format!("{what}: {error}"), suggestion);
            None
        }
    }
}

/// A duration of `min..=max` milliseconds.
pub fn duration(tree: &Tree, what: &str, (min, max): (i64, i64), findings: &mut Findings<'_>) -> Option<At<i64>> {
    let (duration_ms, written) = written_duration(tree, what, findings)?;
    if (min..=max).contains(&duration_ms) {
        return Some(At::new(duration_ms, tree.place));
    }
    let message = if duration_ms < min {
        format!("{what} of {written} is too short")
    } else {
        format!("{what} of {written} is too long")
    };
    let suggestion = format!("use {} to {}", duration::print(min), duration::print(max));
    findings.error_with(tree.place, "duration_out_of_range", message, suggestion);
    None
}

/// A name of a journey, node, message or surface: letters, digits, `_`, `-`, `.`; it begins with a letter or `_`.
pub fn name(text: &At<SmolStr>, what: &str, findings: &mut Findings<'_>) -> bool {
    let begins_well = text.value.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let goes_on_well = text.value.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if begins_well && goes_on_well && text.value.len() <= limits::NAME_BYTES_MAX {
        return true;
    }
    let suggestion = format!(
        "use letters, digits, `_`, `-` and `.`, beginning with a letter or `_`, at most {} bytes",
        limits::NAME_BYTES_MAX
    );
    findings.error_with(
        text.place,
        "bad_name",
        format!("{what} can't be called {:?}", shortened(&text.value)),
        suggestion,
    );
    false
}

/// A name that comes with events (types, fields): any text up to the limit without control characters.
pub fn event_name(text: &At<SmolStr>, what: &str, findings: &mut Findings<'_>) -> bool {
    match check_name(what, "bad_name", &text.value, limits::NAME_BYTES_MAX) {
        Ok(()) => true,
        Err(error) => {
            findings.error(text.place, "bad_name", error.message);
            false
        }
    }
}

/// The beginning of a text that may be long.
pub fn shortened(text: &str) -> String {
    if text.chars().count() <= 40 { text.to_owned() } else { text.chars().take(40).chain(['…']).collect() }
}
