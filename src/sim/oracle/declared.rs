//! What resources declare: types of fields, records of datasets, what calls say.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::sim::oracle::resources::Published;
use crate::sim::oracle::yaml::Tree;

/// What every feedback has, beside what a drawn event has.
const OF_FEEDBACK: [&str; 3] = ["delivery", "url", "reason"];

impl Published {
    /// Types of events are declared by property, for all events alike: drawn schemas never differ in a property.
    pub(super) fn declare(&mut self, path: &str, declared: Option<&Tree>) {
        let path = if path.starts_with("event.") { "event" } else { path };
        for name in OF_FEEDBACK {
            self.types.insert(format!("event.{name}"), "string".to_owned());
        }
        match declared {
            Some(Tree::Map(fields)) => {
                for (name, declared) in fields {
                    self.declare_field(&format!("{path}.{name}"), declared);
                }
            }
            Some(declared) => self.declare_field(path, declared),
            None => {}
        }
    }

    /// A dataset; what any node may find in it is declared at once.
    pub(super) fn declare_dataset(&mut self, name: String, document: &Tree) -> Result<(), String> {
        const NODES: usize = 20;
        for node in 0..NODES {
            self.types.insert(format!("lookup.n{node}.entities"), "list".to_owned());
            for (field, declared) in document.entries("schema") {
                self.declare_field(&format!("lookup.n{node}.entities[].{field}"), declared);
            }
        }
        // Where none are given, those that there are stay.
        if document.get("records").is_none() {
            self.datasets.entry(name).or_default();
            return Ok(());
        }
        let key = document.must("key")?;
        let mut records = BTreeMap::new();
        for record in document.items("records") {
            let mut fields = serde_json::Map::new();
            for (field, declared) in document.entries("schema") {
                let (Some(word), Tree::Word(declared)) = (record.word(field), declared) else { continue };
                fields.insert(field.clone(), recorded(word, declared)?);
            }
            records.insert(record.must(key)?.to_owned(), fields);
        }
        self.datasets.insert(name, records);
        Ok(())
    }

    pub(super) fn declare_action(&mut self, name: &str, document: &Tree) {
        if let Some(response) = document.get("response") {
            self.declare_field(name, response);
        }
        if let Some(error) = document.get("error_response") {
            self.declare_field(&format!("{name}.error_response"), error);
        }
        self.types.insert(format!("{name}.status"), "string".to_owned());
    }

    /// What a call says and hears; where it goes, who it says it is and how often it may be made is nothing of that.
    pub(super) fn change_callee(&mut self, name: String, document: &Tree) {
        const COUNTING_AT_ONCE: [&str; 5] = ["url", "auth", "cache", "rating", "allow_private"];
        let Tree::Map(entries) = document else { return };
        let usual = if name.starts_with("source:") { "GET" } else { "POST" };
        let mut said: Vec<(String, Tree)> =
            entries.iter().filter(|(key, _)| !COUNTING_AT_ONCE.contains(&key.as_str())).cloned().collect();
        if document.get("method").is_none() {
            said.push(("method".to_owned(), Tree::Word(usual.to_owned())));
        }
        said.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.callees.insert(name, Tree::Map(said));
    }

    fn declare_field(&mut self, path: &str, declared: &Tree) {
        match declared {
            Tree::Word(word) => drop(self.types.insert(path.to_owned(), word.clone())),
            Tree::List(items) => {
                self.types.insert(path.to_owned(), "list".to_owned());
                items.iter().for_each(|item| self.declare_field(&format!("{path}[]"), item));
            }
            Tree::Map(fields) => {
                for (name, declared) in fields {
                    self.declare_field(&format!("{path}.{name}"), declared);
                }
            }
        }
    }
}

/// A field of a record as it is stored.
fn recorded(word: &str, declared: &str) -> Result<Json, String> {
    let wrong = || format!("`{word}` is no {declared}");
    Ok(match declared {
        "integer" => Json::from(word.parse::<i64>().map_err(|_| wrong())?),
        "number" => Json::from(word.parse::<f64>().map_err(|_| wrong())?),
        "boolean" => Json::from(word == "true"),
        _ => Json::from(word),
    })
}
