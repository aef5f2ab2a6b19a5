//! Which of the given files is what: resources alone, in the list of an API answer, or a bare journey definition.

use std::collections::BTreeMap;

use serde_json::Value;

use super::journey;
use super::shapes::{Definition, Journey, Segment, Template, UserProperty};
use crate::import::ImportError;
use crate::import::bundle::Bundle;
use crate::import::report::{Report, Subject};
use crate::import::text::json;
use crate::import::unread;

/// What journeys refer to.
#[derive(Debug, Default)]
pub(super) struct Library {
    /// By id.
    pub(super) segments: BTreeMap<String, Known<Segment>>,
    pub(super) templates: BTreeMap<String, Known<Template>>,
    pub(super) properties: Vec<UserProperty>,
}

impl Library {
    /// The id of a segment that is called by its id or, as in files that are applied from outside, by its name.
    pub(super) fn segment(&self, called: &str) -> String {
        by_name(&self.segments, called, |segment| segment.name.as_deref())
    }

    /// The same of a template.
    pub(super) fn template(&self, called: &str) -> String {
        by_name(&self.templates, called, |template| template.name.as_deref())
    }

    /// A user property by its id or its name.
    pub(super) fn property(&self, called: &str) -> Option<&UserProperty> {
        let is = |text: &Option<String>| text.as_deref() == Some(called);
        self.properties.iter().find(|property| is(&property.id) || is(&property.name))
    }
}

fn by_name<T>(known: &BTreeMap<String, Known<T>>, called: &str, name: impl Fn(&T) -> Option<&str>) -> String {
    if known.contains_key(called) {
        return called.to_owned();
    }
    let found = known.iter().find(|(_, known)| name(&known.shape) == Some(called));
    found.map_or_else(|| called.to_owned(), |(id, _)| id.clone())
}

/// A part that others refer to.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub(super) subject: Subject,
    pub(super) shape: T,
    /// The message that a template became.
    pub(super) message: Option<String>,
    pub(super) is_used: bool,
}

/// Names under which API answers list resources.
const LISTS: [&str; 4] = ["journeys", "segments", "templates", "userProperties"];

/// Imports everything given.
pub(in crate::import) fn import(values: &[(Subject, Value)], bundle: &mut Bundle) -> Result<(), ImportError> {
    let (mut library, mut journeys) = (Library::default(), Vec::new());
    for (subject, value) in values {
        for part in parts(value, subject, &mut bundle.report) {
            sort(part, subject, &mut library, &mut journeys, &mut bundle.report)?;
        }
    }
    if journeys.is_empty() {
        return Err(ImportError::NoJourney("give the answer of `GET /api/admin/journeys`"));
    }
    for (subject, journey) in journeys {
        journey::import(&subject, journey, &mut library, bundle);
    }
    let segments = library.segments.into_values().map(|known| (known.subject, known.is_used));
    let templates = library.templates.into_values().map(|known| (known.subject, known.is_used));
    bundle.report.unused(segments.chain(templates));
    Ok(())
}

fn parts<'v>(value: &'v Value, of_file: &Subject, report: &mut Report) -> Vec<&'v Value> {
    if let Value::Array(items) = value {
        return items.iter().collect();
    }
    let lists: Vec<&Value> = LISTS.iter().filter_map(|list| value.get(list)).collect();
    if lists.is_empty() {
        return vec![value];
    }
    for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| !LISTS.contains(&key.as_str())) {
        let subject = of_file.part(key, "", None);
        report.lost(&subject, format!("is not known: {}", json(value)), "see what it meant there");
    }
    lists
        .into_iter()
        .flat_map(|list| list.as_array().map(|items| items.iter().collect()).unwrap_or_else(|| vec![list]))
        .collect()
}

fn sort(
    value: &Value,
    of_file: &Subject,
    library: &mut Library,
    journeys: &mut Vec<(Subject, Journey)>,
    report: &mut Report,
) -> Result<(), ImportError> {
    let refuse =
        |reason: String| ImportError::NotOfThisFormat { file: of_file.file.clone(), title: "Dittofeed", reason };
    let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let definition = value.get("definition").or_else(|| value.get("draft"));
    let within = |key: &str| definition.and_then(|definition| definition.get(key));
    let of_kind = |kind: &str| of_file.part(kind, word("id"), Some(word("name")));
    // Nodes of segments know operators and paths, those of journeys children; an entry node tells them apart.
    let entry = value.get("entryNode").or_else(|| within("entryNode"));
    let entry_type = entry.and_then(|entry| entry.get("type")).and_then(Value::as_str).unwrap_or_default();
    let leads_on = entry.is_some_and(|entry| entry.get("child").is_some());
    if value.get("entryNode").is_some() {
        let subject = of_file.part("journey", "", None);
        let definition: Definition = unread::read(value, &subject, report).map_err(refuse)?;
        journeys.push((subject, Journey { definition: Some(definition), ..Journey::default() }));
    } else if leads_on || matches!(entry_type, "EntryNode" | "EventEntryNode") || value.get("canRunMultiple").is_some()
    {
        let subject = of_kind("journey");
        journeys.push((subject.clone(), unread::read(value, &subject, report).map_err(refuse)?));
    } else if entry.is_some() {
        let subject = of_kind("segment");
        let shape = unread::read(value, &subject, report).map_err(refuse)?;
        library.segments.insert(word("id").to_owned(), Known { subject, shape, message: None, is_used: false });
    } else if matches!(within("type").and_then(Value::as_str), Some("Email" | "Sms" | "MobilePush" | "Webhook")) {
        let subject = of_kind("template");
        let shape = unread::read(value, &subject, report).map_err(refuse)?;
        library.templates.insert(word("id").to_owned(), Known { subject, shape, message: None, is_used: false });
    } else if within("type").is_some() {
        let subject = of_kind("userProperty");
        let property: UserProperty = unread::read(value, &subject, report).map_err(refuse)?;
        library.properties.push(property);
    } else {
        return Err(refuse("expected journeys, segments, message templates or user properties".to_owned()));
    }
    Ok(())
}
