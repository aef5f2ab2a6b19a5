//! What became of a definition, line by line. Owns the shape and the order; formats say what they did.

use serde::Serialize;

use serde_json::Value;

use super::graph::Target;
use super::text;
use super::unread::is_nothing;

/// What became of a part of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It does here what it did there.
    Mapped,
    /// It does nearly that; the text says what differs.
    Differs,
    /// It is not here; the help says what to do by hand.
    NotMapped,
}

impl Outcome {
    /// As reports name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Differs => "differs",
            Self::NotMapped => "not mapped",
        }
    }
}

/// What became of one part of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The file it stands in, as it was named.
    pub file: String,
    /// What the source calls this kind of part: `EMAIL`, `DelayNode`, `gate`, `journey`.
    pub kind: String,
    /// Its id in the source; empty for parts without one.
    pub id: String,
    /// Its name in the source, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// In words: the resource it became, or what is different.
    pub text: String,
    /// What to do by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<10}  {}", self.outcome.word(), self.kind)?;
        if !self.id.is_empty() {
            write!(f, " {}", self.id)?;
        }
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, ": {}", self.text)?;
        match &self.help {
            Some(help) => write!(f, "\n            by hand: {help}"),
            None => Ok(()),
        }
    }
}

/// A part of a definition, as the report names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) file: String,
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) name: Option<String>,
}

impl Subject {
    /// A part of the same file. An empty name is none.
    pub(super) fn part(&self, kind: &str, id: &str, name: Option<&str>) -> Self {
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        Self { file: self.file.clone(), kind: kind.to_owned(), id: id.to_owned(), name }
    }
}

/// The report while it is written.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) items: Vec<Item>,
}

impl Report {
    pub(super) fn mapped(&mut self, subject: &Subject, text: impl Into<String>) {
        self.note(subject, Outcome::Mapped, text.into(), None);
    }

    pub(super) fn differs(&mut self, subject: &Subject, text: impl Into<String>, help: &str) {
        self.note(subject, Outcome::Differs, text.into(), Some(help));
    }

    pub(super) fn lost(&mut self, subject: &Subject, text: impl Into<String>, help: &str) {
        self.note(subject, Outcome::NotMapped, text.into(), Some(help));
    }

    /// That nothing refers to what is not used.
    pub(super) fn unused(&mut self, known: impl Iterator<Item = (Subject, bool)>) {
        for (subject, _) in known.filter(|(_, is_used)| !is_used) {
            self.lost(&subject, "no journey refers to it: left out", "give the journey that does");
        }
    }

    /// That these fields are nowhere here. What says nothing (nulls, empty texts, lists and maps) needs no word.
    pub(super) fn left_out<'f>(
        &mut self,
        subject: &Subject,
        fields: impl IntoIterator<Item = (&'f str, Option<Value>)>,
        help: &str,
    ) {
        for (field, value) in fields {
            if let Some(value) = value.filter(|value| !is_nothing(value) && *value != "") {
                self.lost(subject, format!("`{field}` is left out: {}", text::json(&value)), help);
            }
        }
    }

    /// That a part became what its nodes say. Where it became none, and why was told, there is no more to say.
    pub(super) fn placed(&mut self, subject: &Subject, target: &Target) {
        let is_lost =
            |item: &Item| item.outcome == Outcome::NotMapped && item.kind == subject.kind && item.id == subject.id;
        let text = match target {
            Target::Node(name) => format!("node `{name}`"),
            _ if self.items.iter().any(is_lost) => return,
            Target::Source(_) => "needs no node: what comes next follows".to_owned(),
            Target::End => "needs no node: the journey ends".to_owned(),
        };
        self.mapped(subject, text);
    }

    fn note(&mut self, subject: &Subject, outcome: Outcome, text: String, help: Option<&str>) {
        let Subject { file, kind, id, name } = subject.clone();
        let help = help.filter(|help| !help.is_empty()).map(str::to_owned);
        let item = Item { file, kind, id, name, outcome, text, help };
        // Two nodes may share a template: what is said of it is said once.
        if !self.items.contains(&item) {
            self.items.push(item);
        }
    }
}
