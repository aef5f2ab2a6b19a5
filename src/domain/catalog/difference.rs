//! What differs between a published journey and a changed one, in the words of the language: for people who review.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;

use crate::domain::journey::definition::{JourneyDefinition, NodeDefinition};
use crate::domain::journey::duration;

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of the journey as a whole, sorted.
    pub settings: Vec<Changed>,
    /// Nodes that differ, sorted by name.
    pub nodes: Vec<NodeDifference>,
    /// What the journey refers to differs: types of fields, or wording of messages.
    pub references: bool,
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Which.
    pub what: String,
    /// What it was; empty: nothing.
    pub before: String,
    /// What it is; empty: nothing.
    pub after: String,
}

/// A node that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeDifference {
    /// Its name.
    pub node: SmolStr,
    /// `added`, `removed` or `changed`.
    pub change: NodeChange,
    /// What of it.
    pub settings: Vec<Changed>,
    /// Profiles that are at it now, in all versions. Known to servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
}

/// How a node differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeChange {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It does something else, or leads elsewhere.
    Changed,
}

impl Difference {
    /// What differs between two definitions of one journey.
    pub fn between(before: &JourneyDefinition, after: &JourneyDefinition) -> Self {
        let settings = |definition: &JourneyDefinition| {
            let mut value = serde_json::to_value(definition).expect("definitions have text keys only");
            if let Some(map) = value.as_object_mut() {
                map.remove("nodes");
                map.remove("name");
                map.remove("migration");
            }
            leaves(&value)
        };
        let node = |definition: &'_ JourneyDefinition| -> BTreeMap<SmolStr, BTreeMap<String, String>> {
            definition.nodes.iter().map(|node| (node.name.value.clone(), node_leaves(node))).collect()
        };
        let (old, new) = (node(before), node(after));
        let names: BTreeSet<&SmolStr> = old.keys().chain(new.keys()).collect();
        let nothing = BTreeMap::new();
        let nodes = names.into_iter().filter_map(|name| {
            let change = match (old.get(name), new.get(name)) {
                (Some(_), Some(_)) => NodeChange::Changed,
                (None, _) => NodeChange::Added,
                (_, None) => NodeChange::Removed,
            };
            let settings = changes(old.get(name).unwrap_or(&nothing), new.get(name).unwrap_or(&nothing));
            (!settings.is_empty()).then(|| NodeDifference { node: name.clone(), change, settings, waiting: None })
        });
        Self { settings: changes(&settings(before), &settings(after)), nodes: nodes.collect(), references: false }
    }
}

fn node_leaves(node: &NodeDefinition) -> BTreeMap<String, String> {
    let mut value = serde_json::to_value(node).expect("definitions have text keys only");
    if let Some(map) = value.as_object_mut() {
        map.remove("name");
    }
    // `{ end: true }` has nothing below it.
    let leaves = leaves(&value);
    if leaves.is_empty() { BTreeMap::from([("end".to_owned(), "true".to_owned())]) } else { leaves }
}

fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Changed> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |map: &BTreeMap<String, String>, name: &String| map.get(name).cloned().unwrap_or_default();
    let all = names.into_iter().map(|name| Changed {
        what: name.clone(),
        before: value(before, name),
        after: value(after, name),
    });
    all.filter(|changed| changed.before != changed.after).collect()
}

/// Values by dotted path, as people write them: what only the encoding has is left out.
fn leaves(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(value, &mut Vec::new(), &mut found);
    found
}

fn collect(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                collect(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                path.push((index + 1).to_string());
                collect(value, path, found);
                path.pop();
            }
        }
        leaf => {
            let shown: Vec<&str> =
                path.iter().map(String::as_str).filter(|part| !matches!(*part, "value" | "form")).collect();
            let text = leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned);
            let is_span = shown.last().is_some_and(|last| last.ends_with("_ms") || matches!(*last, "for" | "after"));
            let text = leaf.as_i64().filter(|_| is_span).map_or(text, duration::print);
            let name = shown.join(".");
            found.insert(name.strip_suffix("_ms").unwrap_or(&name).to_owned(), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::{Catalog, SourceFile};
    use crate::domain::ids::Millis;

    const BEFORE: &str = "kind: event
name: go
schema: { n: integer }
---
kind: journey
name: j
entry: { event: go, when: event.n > 1 }
start: a
nodes:
  a: { wait: 1h, then: b }
  b: { condition: [ { when: event.n > 2, then: c } ], otherwise: done }
  c: { wait: 1d, then: done }
  done: { end: true }
";

    fn definition(text: &str) -> JourneyDefinition {
        let file = SourceFile { name: "f.yaml".to_owned(), text: text.to_owned() };
        let (catalog, _) = Catalog::default().apply(&[file], Millis(0)).unwrap_or_else(|found| panic!("{found:#?}"));
        catalog.versions[0].source.definition.clone()
    }

    fn check(from: &str, to: &str, settings: &[&str], nodes: &[&str]) {
        assert!(BEFORE.contains(from), "{from}");
        let found = Difference::between(&definition(BEFORE), &definition(&BEFORE.replace(from, to)));
        let told = |changed: &Changed| format!("{}: {} -> {}", changed.what, changed.before, changed.after);
        assert_eq!(found.settings.iter().map(told).collect::<Vec<_>>(), settings, "{to}");
        let told = |node: &NodeDifference| {
            let settings: Vec<String> = node.settings.iter().map(told).collect();
            format!("{:?} {} {}", node.change, node.node, settings.join("; "))
        };
        assert_eq!(found.nodes.iter().map(told).collect::<Vec<_>>(), nodes, "{to}");
    }

    #[test]
    fn changes_are_told_in_words_of_the_language() {
        check("wait: 1h", "wait: 1h", &[], &[]);
        check("wait: 1h", "wait: 2h", &[], &["Changed a wait.wait.for: 1h -> 2h"]);
        check("event.n > 1", "event.n > 3", &["entry.when: event.n > 1 -> event.n > 3"], &[]);
        check("start: a", "timeout: 10d\nstart: a", &["timeout: 91d -> 10d"], &[]);
        check(
            "wait: 1d, then: done }",
            "wait: 1d, then: d }\n  d: { wait: { days: [mon] }, then: done }",
            &[],
            &[
                "Changed c wait.then: done -> d",
                "Added d wait.then:  -> done; wait.wait.local.days:  -> 1; wait.wait.local.time:  -> 0",
            ],
        );
        check(
            "then: c } ], otherwise: done }\n  c: { wait: 1d",
            "then: e } ], otherwise: done }\n  e: { wait: 1d",
            &[],
            &[
                "Changed b condition.branches.1.then: c -> e",
                "Removed c wait.then: done -> ; wait.wait.for: 1d -> ",
                "Added e wait.then:  -> done; wait.wait.for:  -> 1d",
            ],
        );
    }
}
