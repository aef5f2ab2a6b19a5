//! The compiled template and its rendering under limits.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value as Shown};

use super::check;
use super::escape::{Escape, text_of};
use super::filters;
use crate::domain::expression::{FieldPath, LOOKUP_PREFIX, SOURCE_PREFIX, Schemas, SourceError};
use crate::domain::limits;
use crate::domain::value::{Map, Value};

/// The name of the one template of an environment; the engine puts it into its messages.
const NAME: &str = "template";

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
    /// Needed facts of the instance.
    pub journey: Map,
    /// Needed answers of custom actions; of a call its parameters.
    pub action: Map,
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
    environment: Arc<Environment<'static>>,
}

impl Template {
    /// Compiles `source` and checks every field it names against `schemas`.
    ///
    /// # Errors
    /// Everything wrong with it, in the order of its places: codes `template_syntax`, `too_complex`, `unknown_field`,
    /// `root_not_available`, `unknown_filter`, `unknown_test`, `unknown_function`, `type_mismatch` and `unsupported`.
    pub fn compile(source: &str, schemas: &Schemas, escape: Escape) -> Result<Self, Vec<SourceError>> {
        let reads = check::check(source, schemas)?;
        let mut environment = Environment::new();
        environment.set_debug(false);
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(limits::TEMPLATE_FUEL));
        environment.set_recursion_limit(limits::TEMPLATE_DEPTH_MAX);
        environment.set_auto_escape_callback(move |_| escape.mode());
        environment.set_formatter(move |out, _, value| match value.as_str() {
            Some(text) if value.is_safe() => out.write_str(text).map_err(Error::from),
            Some(text) => escape.write(out, text).map_err(Error::from),
            None => escape.write(out, &text_of(value)?).map_err(Error::from),
        });
        filters::install(&mut environment, escape);
        if let Err(error) = environment.add_template_owned(NAME, source.to_owned()) {
            return Err(vec![check::syntax(source, &error)]);
        }
        Ok(Self { source: source.into(), escape, reads: reads.into(), environment: Arc::new(environment) })
    }

    /// Every field it may read, each once, sorted.
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
        let template = self.environment.get_template(NAME).map_err(|error| RenderError::Other(error.to_string()))?;
        let roots = [
            ("profile", &input.profile),
            ("event", &input.event),
            ("last", &input.last),
            ("meta", &input.meta),
            ("journey", &input.journey),
        ];
        let mut context: BTreeMap<&str, Shown> = roots.into_iter().map(|(name, map)| (name, shown_map(map))).collect();
        if !input.action.is_empty() {
            context.extend(answers(&input.action));
        }
        let mut out = Capped { bytes: Vec::with_capacity(self.source.len()), full: false };
        let rendered = template.render_captured_to(Shown::from(context), &mut out).map(drop);
        match rendered {
            Ok(()) => Ok(String::from_utf8(out.bytes).expect("the engine writes whole texts")),
            Err(_) if out.full => Err(RenderError::TooLong(limits::RENDERED_BYTES_MAX)),
            Err(error) if error.kind() == ErrorKind::OutOfFuel => Err(RenderError::Fuel(limits::TEMPLATE_FUEL)),
            Err(error) => Err(RenderError::Other(error.to_string())),
        }
    }
}

/// What custom actions, data sources and datasets said, each below its own root.
fn answers(kept: &Map) -> [(&'static str, Shown); 3] {
    let below = |prefix: &str| {
        let named =
            kept.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), shown(value))));
        Shown::from(named.collect::<BTreeMap<String, Shown>>())
    };
    [("action", below("")), ("source", below(SOURCE_PREFIX)), ("lookup", below(LOOKUP_PREFIX))]
}

/// A writer that refuses to hold more than a message may have.
struct Capped {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > limits::RENDERED_BYTES_MAX {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shown_map(map: &Map) -> Shown {
    Shown::from(map.0.iter().map(|(key, value)| (key.to_string(), shown(value))).collect::<BTreeMap<String, Shown>>())
}

/// A value as the engine sees it. Null is undefined, so that nothing comes of it and of what is below it; whole doubles
/// are integers, so that a total of 50.0 is shown as it was sent, `50`.
fn shown(value: &Value) -> Shown {
    // Beyond this a double no longer tells neighbouring integers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Null => Shown::UNDEFINED,
        Value::Bool(b) => Shown::from(*b),
        Value::Int(i) => Shown::from(*i),
        Value::Float(f) if f.fract() == 0.0 && f.abs() <= EXACT => Shown::from(*f as i64),
        Value::Float(f) => Shown::from(*f),
        Value::Str(text) => Shown::from(text.as_str()),
        Value::Time(time) => Shown::from(time.to_iso()),
        Value::List(items) => Shown::from(items.iter().map(shown).collect::<Vec<_>>()),
        Value::Map(map) => shown_map(map),
    }
}
