//! Rules with the values they saw. A rule's text and outcome are of the record; its values are read again: those of events
//! as they came, those of the profile as they are now, marked where they may have been others then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::expression::{Expr, FieldPath, Root, Scope};
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};

/// Characters of one value that are shown: a story of many long texts is bounded by this.
const VALUE_CHARS_MAX: usize = 256;

/// A rule that decided something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rule {
    /// As it stands in the journey.
    pub rule: String,
    /// Whether it held; absent where neither the record nor the values tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<bool>,
    /// What it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<RuleValue>,
}

/// One value that a rule reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RuleValue {
    /// `event.total`, `profile.tier`, …; of hours and dates `local time`.
    pub field: String,
    /// The value; null if there is none. Long ones are cut.
    #[schema(value_type = Object)]
    pub value: serde_json::Value,
    /// `then`: what the rule saw. `now`: what the profile holds now; the field was changed since.
    pub as_of: String,
}

/// An event as a rule sees it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: SmolStr,
    pub(super) kind: SmolStr,
    pub(super) time: Millis,
    pub(super) properties: Map,
    /// Whether these are only what its run remembers of it: what is not there may have been.
    pub(super) is_partial: bool,
}

/// What is known of what a rule could see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    /// The entry event, if it is remembered.
    pub(super) entry: Option<&'a Seen>,
    /// The latest event, if it is remembered.
    pub(super) last: Option<&'a Map>,
    /// The profile's document as it is now.
    pub(super) document: &'a Map,
    /// When it was.
    pub(super) at: Millis,
}

/// A rule in the making: which of its values are of the document is judged once all changes are known.
#[derive(Clone, Debug)]
pub(super) struct RuleDraft {
    pub(super) rule: Rule,
    /// For each value its field of the document, if it is one.
    fields: Vec<Option<SmolStr>>,
}

impl RuleDraft {
    /// A rule without values.
    pub(super) fn plain(rule: String, held: Option<bool>) -> Self {
        Self { rule: Rule { rule, held, values: Vec::new() }, fields: Vec::new() }
    }

    /// Adds a value; `field` is its field of the document, if it is one.
    pub(super) fn sees(&mut self, name: &str, value: serde_json::Value, field: Option<SmolStr>) {
        self.rule.values.push(RuleValue { field: name.to_owned(), value, as_of: String::new() });
        self.fields.push(field);
    }

    /// Names what stands before the expression, e.g. the event of an exit criterion.
    pub(super) fn of(mut self, prefix: &str) -> Self {
        self.rule.rule = format!("{prefix} {}", self.rule.rule);
        self
    }

    /// The rule, its values of the document marked: `changed` says when each field changed last.
    pub(super) fn finish(mut self, tick: u64, changed: &BTreeMap<SmolStr, u64>) -> Rule {
        for (value, field) in self.rule.values.iter_mut().zip(&self.fields) {
            let is_old = field.as_ref().is_some_and(|field| match field.is_empty() {
                // The document as a whole.
                true => changed.values().any(|last| *last > tick),
                false => changed.get(field).is_some_and(|last| *last > tick),
            });
            value.as_of = if is_old { "now" } else { "then" }.to_owned();
        }
        self.rule
    }
}

/// A boolean rule; `held` as recorded, or else what it comes to with what is known.
pub(super) fn rule(expression: &Expr, held: Option<bool>, sight: Sight<'_>) -> RuleDraft {
    let held = held.or_else(|| holds(expression, sight));
    draft(expression.source().to_owned(), held, expression.reads(), sight)
}

/// Whether the rule holds with what is known now; `None` if not all is known, or it fails.
pub(super) fn holds(expression: &Expr, sight: Sight<'_>) -> Option<bool> {
    is_known(expression, sight).then(|| expression.eval_bool(&scope(sight)).ok()).flatten()
}

/// Whether the expression fails with this error; `None` if not all that it reads is known.
pub(super) fn fails(expression: &Expr, error: &str, sight: Sight<'_>) -> Option<bool> {
    let failed = || expression.eval(&scope(sight)).is_err_and(|wrong| wrong.to_string() == error);
    is_known(expression, sight).then(failed)
}

fn is_known(expression: &Expr, sight: Sight<'_>) -> bool {
    expression.reads().iter().all(|read| value_of(read, sight).is_some())
}

/// What is known, for an expression that is asked again.
pub(super) fn scope(sight: Sight<'_>) -> Scope<'_> {
    let entry = sight.entry;
    Scope {
        event: entry.map_or(Map::EMPTY, |event| &event.properties),
        last: sight.last.unwrap_or(Map::EMPTY),
        profile: sight.document,
        meta_id: entry.map_or("", |event| &event.id),
        meta_type: entry.map_or("", |event| &event.kind),
        meta_time: entry.map_or(sight.at, |event| event.time),
        action: Map::EMPTY,
        now: sight.at,
        facts: None,
    }
}

/// A rule with the values of `reads`.
pub(super) fn draft(text: String, held: Option<bool>, reads: &[FieldPath], sight: Sight<'_>) -> RuleDraft {
    let mut draft = RuleDraft::plain(text, held);
    for read in reads {
        let Some(value) = value_of(read, sight) else { continue };
        let of_document = (read.root == Root::Profile).then(|| read.path.first().cloned().unwrap_or_default());
        draft.sees(&read.to_string(), shown(&value), of_document);
    }
    draft
}

/// The value of a field; `None` where it is not known.
fn value_of(read: &FieldPath, sight: Sight<'_>) -> Option<Value> {
    let is_partial = sight.entry.is_some_and(|event| event.is_partial);
    let within = |map: &Map, is_partial: bool| match map.path(&read.path) {
        _ if read.path.is_empty() => (!is_partial).then(|| Value::Map(map.clone())),
        Some(value) => Some(value.clone()),
        None => (!is_partial).then(Value::default),
    };
    match read.root {
        Root::Event => within(&sight.entry?.properties, is_partial),
        Root::Last => within(sight.last?, is_partial),
        Root::Profile => within(sight.document, false),
        // Facts of a run, and what it was answered, change on its way.
        Root::Journey | Root::Action | Root::With | Root::Source | Root::Lookup => None,
        Root::Meta => {
            let event = sight.entry?;
            match read.path.first()?.as_str() {
                "id" => Some(Value::Str(event.id.clone())),
                "type" => Some(Value::Str(event.kind.clone())),
                "time" => Some(Value::Time(event.time)),
                _ => None,
            }
        }
    }
}

/// As JSON, cut if it is long.
fn shown(value: &Value) -> serde_json::Value {
    let json = value.to_json();
    let text = match &json {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => json.to_string(),
        _ => return json,
    };
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        None => json,
        Some((end, _)) => serde_json::Value::String(format!("{}…", &text[..end])),
    }
}

/// `event.total >= 50 (event.total = 12.5)`.
pub(super) fn rule_text(rule: &Rule) -> String {
    if rule.values.is_empty() {
        return format!("`{}`", rule.rule);
    }
    let values: Vec<String> = rule
        .values
        .iter()
        .map(|value| {
            let late = if value.as_of == "now" { " now, changed since" } else { "" };
            format!("{} = {}{late}", value.field, value.value)
        })
        .collect();
    format!("`{}` ({})", rule.rule, values.join(", "))
}
