//! `kind: event` and `kind: attribute`: declared names and types.

use smol_str::SmolStr;

use crate::domain::event::{PROFILE_UPDATE, RESERVED_PREFIXES};
use crate::domain::expression::{Fields, Type};
use crate::domain::journey::definition::{AttributeDefinition, EventDefinition, RuleDefinition};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::reader::{MapReader, entries, event_name, full_text, listed};
use crate::domain::journey::source::tree::{Shape, Tree};
use crate::domain::suggest::did_you_mean;

const TYPE_WORDS: [(&str, Type); 5] = [
    ("string", Type::String),
    ("integer", Type::Integer),
    ("number", Type::Number),
    ("boolean", Type::Boolean),
    ("timestamp", Type::Timestamp),
];

/// Reads an event type.
pub fn read_event(name: At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> EventDefinition {
    let mut broken = !event_name(&name, "an event type", findings);
    if !broken && RESERVED_PREFIXES.iter().any(|prefix| name.value.starts_with(prefix)) {
        let message = format!("type names that begin with {} are reserved", listed(&RESERVED_PREFIXES));
        let suggestion = if name.value == PROFILE_UPDATE {
            "declare the fields that `profile.update` sets with `kind: attribute`"
        } else {
            "choose another name"
        };
        findings.error_with(name.place, "reserved_event", message, suggestion.to_owned());
        broken = true;
    }
    let is_ruled = map.has("of") || map.has("when");
    let (schema, rule) = if is_ruled {
        let of = map.required("of", findings).and_then(|tree| full_text(tree, "`of`", findings));
        let when = map.required("when", findings).and_then(|tree| full_text(tree, "`when`", findings));
        if let Some(tree) = map.optional("schema") {
            let message = format!("{} has the schema of the events that it is recognised among", map.what);
            findings.error_with(tree.place, "rule_with_schema", message, "remove `schema`".to_owned());
        }
        (Some(Fields::new()), of.zip(when).map(|(of, when)| RuleDefinition { of, when }))
    } else {
        let schema = map.required("schema", findings);
        (schema.and_then(|tree| read_fields(tree, &format!("schema of {}", map.what), findings)), None)
    };
    map.finish(findings);
    broken |= schema.is_none() || (is_ruled && rule.is_none());
    EventDefinition { name, broken, schema: schema.unwrap_or_default(), rule }
}

/// Reads a field of the profile document.
pub fn read_attribute(name: At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> AttributeDefinition {
    let mut broken = !event_name(&name, "an attribute", findings);
    if !broken && name.value.split('.').any(str::is_empty) {
        let message = format!("attribute `{}` has an empty part", name.value);
        findings.error_with(name.place, "bad_name", message, "write a path such as `address.city`".to_owned());
        broken = true;
    }
    let value_type = match map.required("type", findings) {
        Some(tree) => read_type(tree, &format!("`type` of {}", map.what), findings),
        None => None,
    };
    map.finish(findings);
    AttributeDefinition { name, broken: broken || value_type.is_none(), value_type: value_type.unwrap_or(Type::Null) }
}

/// `{ field: type, … }`. `None` if any of it can't be read.
pub(super) fn read_fields(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<Fields> {
    let before = findings.count();
    let mut fields = Fields::new();
    for (name, place, value) in entries(tree, what, findings)? {
        let name = At::new(SmolStr::new(name), place);
        let fine = event_name(&name, "a field", findings);
        if let Some(value_type) = read_type(value, &format!("field `{}`", name.value), findings)
            && fine
        {
            fields.push((name.value, value_type));
        }
    }
    (!findings.any_error_since(before)).then_some(fields)
}

/// A type word, `[T]` or `{ field: T }`. Depth is bounded by the tree's.
fn read_type(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<Type> {
    let words = TYPE_WORDS.map(|(word, _)| word);
    let help = || format!("types are {}, `[type]` and `{{ field: type }}`", listed(&words));
    match &tree.shape {
        Shape::Map(_) => Some(Type::Object(read_fields(tree, what, findings)?)),
        Shape::List(items) => match items.as_slice() {
            [item] => Some(Type::List(Box::new(read_type(item, what, findings)?))),
            _ => {
                let message = format!("{what}: a list type holds exactly one type");
                findings.error_with(tree.place, "unknown_type", message, "write `[string]`".to_owned());
                None
            }
        },
        Shape::Text(word) | Shape::Word(word) => {
            let found = TYPE_WORDS.iter().find(|(name, _)| name == word).map(|(_, value_type)| value_type.clone());
            if found.is_none() {
                let synonym = match word.as_str() {
                    "int" | "int64" | "long" => Some("integer"),
                    "float" | "double" | "decimal" => Some("number"),
                    "bool" => Some("boolean"),
                    "text" | "str" => Some("string"),
                    "date" | "datetime" | "time" => Some("timestamp"),
                    _ => None,
                };
                let suggestion = synonym
                    .map(|name| format!("did you mean `{name}`?"))
                    .or_else(|| did_you_mean(word, words))
                    .unwrap_or_else(help);
                findings.error_with(
                    tree.place,
                    "unknown_type",
                    format!("{what} has the unknown type `{word}`"),
                    suggestion,
                );
            }
            found
        }
    }
}
