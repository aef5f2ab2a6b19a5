//! One import from beginning to end: JSON in, resources and a report out, checked by the checker of resources.

use serde::Serialize;
use serde_json::Value;

use super::bundle::Bundle;
use super::declared::Fields;
use super::report::Subject;
use super::{Item, dittofeed, parcelvoy, pinpoint, text};
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::finding::{Finding, Severity};
use crate::domain::limits;

/// Whose definitions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Amazon Pinpoint: journeys, message templates and segments as its API gives them.
    Pinpoint,
    /// Dittofeed: journeys, segments, message templates and user properties as its API gives them.
    Dittofeed,
    /// Parcelvoy: journeys, their steps and campaigns as its API gives them.
    Parcelvoy,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pinpoint, Self::Dittofeed, Self::Parcelvoy];

    /// As people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Pinpoint => "Amazon Pinpoint",
            Self::Dittofeed => "Dittofeed",
            Self::Parcelvoy => "Parcelvoy",
        }
    }
}

/// Why a source can't be imported at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// No JSON.
    #[error("{file} is no JSON: {reason}")]
    NotJson {
        /// The file as it was named.
        file: String,
        /// With line and column.
        reason: String,
    },
    /// JSON of something else.
    #[error("{file} is no {title} definition: {reason}")]
    NotOfThisFormat {
        /// The file as it was named.
        file: String,
        /// Whose definition was expected.
        title: &'static str,
        /// What was expected in it.
        reason: String,
    },
    /// More than a file may hold.
    #[error("{file} has {bytes} bytes; the limit is {}", limits::RESOURCE_BYTES_MAX)]
    TooLarge {
        /// The file as it was named.
        file: String,
        /// Its size.
        bytes: usize,
    },
    /// There is nothing to make a journey of.
    #[error("there is no journey in what was given: {0}")]
    NoJourney(&'static str),
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Names of the journeys.
    pub journeys: Vec<String>,
    /// Files to write, by their path below the directory that takes them.
    pub files: Vec<SourceFile>,
    /// What became of each part.
    pub items: Vec<Item>,
    /// What the checker says of the files.
    pub findings: Vec<Finding>,
}

impl Imported {
    /// Whether the checker refuses the files: the definition says something that can't be said here.
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Imports definitions, all of one set: what they refer to is looked for among all of them. What comes out is checked.
pub fn import(format: Format, sources: &[SourceFile]) -> Result<Imported, ImportError> {
    let translated = translate(format, sources)?;
    let findings = Catalog::check(&translated.files);
    Ok(Imported { findings, ..translated })
}

/// The same without the checker: there are no findings.
pub fn translate(format: Format, sources: &[SourceFile]) -> Result<Imported, ImportError> {
    let mut values = Vec::new();
    for SourceFile { name, text } in sources {
        if text.len() > limits::RESOURCE_BYTES_MAX {
            return Err(ImportError::TooLarge { file: name.clone(), bytes: text.len() });
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| ImportError::NotJson { file: name.clone(), reason: error.to_string() })?;
        values.push((Subject { file: name.clone(), ..Subject::default() }, value));
    }
    let mut bundle = Bundle::default();
    match format {
        Format::Pinpoint => pinpoint::import(&values, &mut bundle)?,
        Format::Dittofeed => dittofeed::import(&values, &mut bundle)?,
        Format::Parcelvoy => parcelvoy::import(&values, &mut bundle)?,
    }
    tell_types(&mut bundle);
    let files = bundle.files();
    let mut items = bundle.report.items;
    // What is said of a file stands together, whatever was looked at first.
    items.sort_by_key(|item| sources.iter().position(|source| source.name == item.file).unwrap_or(usize::MAX));
    let journeys = bundle.journeys.iter().map(|journey| journey.name.clone()).collect();
    Ok(Imported { journeys, files, items, findings: Vec::new() })
}

/// Says of which fields nothing told the type.
fn tell_types(bundle: &mut Bundle) {
    let name = |root: &str, path: &[String]| format!("`{}`", text::path(root, path));
    let untold = |fields: &Fields| {
        fields.iter().filter(|(_, ty)| ty.is_none()).map(|(path, _)| path.clone()).collect::<Vec<_>>()
    };
    let mut names: Vec<String> = untold(&bundle.declared.profile).iter().map(|path| name("profile", path)).collect();
    for (event, fields) in &bundle.declared.events {
        names.extend(untold(fields).iter().map(|path| name(event, path)));
    }
    if !names.is_empty() {
        let subject = Subject { kind: "types".to_owned(), ..Subject::default() };
        let text = format!("nothing tells the types of these fields, which are texts now: {}", names.join(", "));
        bundle.report.differs(
            &subject,
            text,
            "correct `type` in profile.yaml and `schema` in events.yaml, truth values above all",
        );
    }
}
