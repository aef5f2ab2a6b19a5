//! Which of the given files is what: journeys, maps of steps, campaigns, each alone or in a page of an API answer.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::journey;
use super::shapes::{Campaign, Journey};
use crate::import::ImportError;
use crate::import::bundle::Bundle;
use crate::import::report::{Report, Subject};
use crate::import::text::json;
use crate::import::unread;

/// What steps refer to.
#[derive(Debug, Default)]
pub(super) struct Library {
    /// By id.
    pub(super) campaigns: BTreeMap<i64, Known>,
    /// Journeys of this import that can be jumped to, and their names here: by the ids of journeys and of their entrances.
    pub(super) journeys: BTreeMap<i64, String>,
}

/// A campaign.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) subject: Subject,
    pub(super) shape: Campaign,
    /// The messages that it became: one for each entry event, and name of its data in templates.
    pub(super) messages: BTreeMap<(String, Option<String>), String>,
    pub(super) is_used: bool,
}

/// The steps of one journey, and what is known of it besides.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) subject: Subject,
    pub(super) journey: Journey,
    pub(super) steps: Map<String, Value>,
}

/// Imports everything given.
pub(in crate::import) fn import(values: &[(Subject, Value)], bundle: &mut Bundle) -> Result<(), ImportError> {
    let (mut library, mut given, mut journeys) = (Library::default(), Vec::new(), Vec::new());
    for (subject, value) in values {
        for part in parts(value, subject, &mut bundle.report) {
            sort(part, subject, &mut library, (&mut given, &mut journeys), &mut bundle.report)?;
        }
    }
    if given.is_empty() {
        return Err(ImportError::NoJourney("give the answer of `GET /api/admin/projects/:id/journeys/:id/steps`"));
    }
    match (given.as_mut_slice(), journeys.len()) {
        // Steps don't say whose they are: one journey beside the steps of one is theirs.
        ([only], 1) if only.journey.name.is_none() => (only.subject, only.journey) = journeys.remove(0),
        _ => {
            for (subject, _) in journeys {
                bundle.report.lost(
                    &subject,
                    "has no steps here: left out",
                    "import one journey and its steps at a time",
                );
            }
        }
    }
    journey::import(given, &mut library, bundle);
    for known in library.campaigns.into_values().filter(|known| !known.is_used) {
        let channel = known.shape.channel.unwrap_or_default();
        let text = format!("no step sends it by {channel}: left out");
        bundle.report.lost(&known.subject, text, "give the journey that does");
    }
    Ok(())
}

fn parts<'v>(value: &'v Value, of_file: &Subject, report: &mut Report) -> Vec<&'v Value> {
    match (value, value.get("results")) {
        (Value::Array(items), _) => items.iter().collect(),
        (_, Some(Value::Array(items))) => {
            let known = |key: &str| matches!(key, "results" | "nextCursor" | "prevCursor" | "limit");
            for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| !known(key)) {
                let subject = of_file.part(key, "", None);
                report.lost(&subject, format!("is not known: {}", json(value)), "see what it meant there");
            }
            items.iter().collect()
        }
        _ => vec![value],
    }
}

/// Whether these are steps: a map of objects that have a type.
fn are_steps(value: &Value) -> bool {
    let typed = |step: &Value| step.get("type").is_some_and(Value::is_string);
    value.as_object().is_some_and(|steps| !steps.is_empty() && steps.values().all(typed))
}

fn sort(
    value: &Value,
    of_file: &Subject,
    library: &mut Library,
    (given, journeys): (&mut Vec<Given>, &mut Vec<(Subject, Journey)>),
    report: &mut Report,
) -> Result<(), ImportError> {
    let refuse =
        |reason: String| ImportError::NotOfThisFormat { file: of_file.file.clone(), title: "Parcelvoy", reason };
    let id = value.get("id").map(json).unwrap_or_default();
    let of_kind = |kind: &str| of_file.part(kind, &id, value.get("name").and_then(Value::as_str));
    if are_steps(value) {
        let steps = value.as_object().cloned().unwrap_or_default();
        given.push(Given { subject: of_file.part("journey", "", None), journey: Journey::default(), steps });
    } else if let Some(steps) = value.get("steps").filter(|steps| are_steps(steps)) {
        // A journey with its steps put into it by hand.
        let mut alone = value.clone();
        alone.as_object_mut().map(|fields| fields.shift_remove("steps"));
        let subject = of_kind("journey");
        let journey = unread::read(&alone, &subject, report).map_err(refuse)?;
        given.push(Given { subject, journey, steps: steps.as_object().cloned().unwrap_or_default() });
    } else if value.get("channel").is_some() || value.get("templates").is_some() {
        let subject = of_kind("campaign");
        let shape: Campaign = unread::read(value, &subject, report).map_err(refuse)?;
        let id = shape.id.unwrap_or_default();
        library.campaigns.insert(id, Known { subject, shape, messages: BTreeMap::new(), is_used: false });
    } else if value.get("name").is_some() {
        let subject = of_kind("journey");
        let journey = unread::read(value, &subject, report).map_err(refuse)?;
        journeys.push((subject, journey));
    } else {
        return Err(refuse("expected the steps of a journey, a journey or a campaign".to_owned()));
    }
    Ok(())
}
