//! Which of the given files is what: journeys, templates and segments, each alone, in the wrapper of its API call, or in a list.

use std::collections::BTreeMap;

use serde_json::Value;

use super::journey;
use super::shapes::{Journey, Segment, Template};
use crate::import::ImportError;
use crate::import::bundle::Bundle;
use crate::import::report::{Report, Subject};
use crate::import::{text, unread};

/// What journeys refer to.
#[derive(Debug, Default)]
pub(super) struct Library {
    /// By name and kind (`EMAIL`, `SMS`, `PUSH`).
    pub(super) templates: BTreeMap<(String, &'static str), Known<Template>>,
    /// By id.
    pub(super) segments: BTreeMap<String, Known<Segment>>,
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

/// Wrappers of API answers, and of lists of them.
const WRAPPERS: [&str; 8] = [
    "JourneyResponse",
    "WriteJourneyRequest",
    "EmailTemplateResponse",
    "SMSTemplateResponse",
    "PushNotificationTemplateResponse",
    "SegmentResponse",
    "JourneysResponse",
    "SegmentsResponse",
];

/// Imports everything given.
pub(in crate::import) fn import(values: &[(Subject, Value)], bundle: &mut Bundle) -> Result<(), ImportError> {
    let (mut library, mut journeys) = (Library::default(), Vec::new());
    for (subject, value) in values {
        for part in parts(value, &subject.file, &mut bundle.report) {
            sort(part, subject, &mut library, &mut journeys, &mut bundle.report)?;
        }
    }
    if journeys.is_empty() {
        return Err(ImportError::NoJourney("give the answer of `aws pinpoint get-journey`"));
    }
    for (subject, journey) in journeys {
        journey::import(&subject, journey, &mut library, bundle);
    }
    tell_lists(bundle);
    let templates = library.templates.into_values().map(|known| (known.subject, known.is_used));
    let segments = library.segments.into_values().map(|known| (known.subject, known.is_used));
    bundle.report.unused(templates.chain(segments));
    Ok(())
}

/// What is inside wrappers and lists.
fn parts<'v>(value: &'v Value, file: &str, report: &mut Report) -> Vec<&'v Value> {
    let wrapped = |value: &'v Value| WRAPPERS.iter().find_map(|wrapper| value.get(wrapper)).unwrap_or(value);
    let inner = wrapped(value);
    let beside = |value: &Value, known: &dyn Fn(&str) -> bool, report: &mut Report| {
        for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| !known(key)) {
            let subject = Subject { file: file.to_owned(), kind: key.clone(), ..Subject::default() };
            report.lost(&subject, format!("is not known: {}", text::json(value)), "see what it meant there");
        }
    };
    if !std::ptr::eq(inner, value) {
        // What the command line adds about the call itself.
        beside(value, &|key| WRAPPERS.contains(&key) || key == "ResponseMetadata", report);
    }
    match (inner.get("Item"), inner) {
        (Some(Value::Array(items)), _) => {
            beside(inner, &|key| matches!(key, "Item" | "NextToken"), report);
            items.iter().map(wrapped).collect()
        }
        (_, Value::Array(items)) => items.iter().map(wrapped).collect(),
        _ => vec![inner],
    }
}

fn sort(
    value: &Value,
    of_file: &Subject,
    library: &mut Library,
    journeys: &mut Vec<(Subject, Journey)>,
    report: &mut Report,
) -> Result<(), ImportError> {
    let refuse =
        |reason: String| ImportError::NotOfThisFormat { file: of_file.file.clone(), title: "Amazon Pinpoint", reason };
    let has = |key: &str| value.get(key).is_some();
    let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    if has("Activities") || has("StartActivity") || has("StartCondition") {
        let subject = of_file.part("journey", word("Id"), Some(word("Name")));
        journeys.push((subject.clone(), unread::read(value, &subject, report).map_err(refuse)?));
    } else if has("TemplateType") || has("TemplateName") {
        let kind = ["EMAIL", "SMS", "PUSH"].into_iter().find(|kind| *kind == word("TemplateType"));
        let subject = of_file.part("template", word("TemplateName"), None);
        match kind {
            Some(kind) => {
                let shape = unread::read(value, &subject, report).map_err(refuse)?;
                let known = Known { subject, shape, message: None, is_used: false };
                library.templates.insert((word("TemplateName").to_owned(), kind), known);
            }
            None => {
                let text = format!("a template of type `{}` is left out", word("TemplateType"));
                report.lost(&subject, text, "journeys send EMAIL, SMS and PUSH templates only");
            }
        }
    } else if has("SegmentType") || has("Dimensions") || has("SegmentGroups") {
        let subject = of_file.part("segment", word("Id"), Some(word("Name")));
        let shape = unread::read(value, &subject, report).map_err(refuse)?;
        let known = Known { subject, shape, message: None, is_used: false };
        library.segments.insert(word("Id").to_owned(), known);
    } else {
        return Err(refuse("expected a journey, a message template or a segment".to_owned()));
    }
    Ok(())
}

/// Says of which attributes only one value is left.
fn tell_lists(bundle: &mut Bundle) {
    const OTHERS: [&str; 5] = ["metrics", "demographic", "location", "segments", "email"];
    let listed = bundle.declared.profile.keys().filter(|path| !OTHERS.contains(&path[0].as_str()));
    let names: Vec<String> = listed.map(|path| format!("`{}`", text::path("profile", path))).collect();
    if !names.is_empty() {
        let subject = Subject { kind: "attributes".to_owned(), ..Subject::default() };
        let text = format!("attributes were lists of texts, and are one value now: {}", names.join(", "));
        bundle.report.differs(
            &subject,
            text,
            "send the first of each list; or declare `[string]`, and ask by `'x' in profile.…`",
        );
    }
}
