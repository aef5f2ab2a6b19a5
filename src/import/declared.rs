//! Fields of the profile and of events that imported definitions read, and the types they are read as.
//!
//! Other engines declare nothing: a type follows from what a field is compared with. A field that is read as two types,
//! or as a value here and as a map there, keeps the first; the second reading is refused, for its caller to report.

use std::collections::BTreeMap;

use super::text;
use crate::domain::event::RESERVED_PREFIXES;
use crate::domain::limits;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Boolean,
    Timestamp,
    Texts,
}

impl Type {
    /// As schemas name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
            Self::Texts => "[string]",
        }
    }
}

/// Fields by their path. `None` is the type of a field of which only its text is wanted.
pub(super) type Fields = BTreeMap<Vec<String>, Option<Type>>;

/// All fields.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) profile: Fields,
    pub(super) events: BTreeMap<String, Fields>,
}

impl Declared {
    /// Declares a field of the profile: the expression that reads it, or why it can't be read so.
    pub(super) fn profile(&mut self, path: &[String], wanted: Option<Type>) -> Result<String, String> {
        // Dots in the name of an attribute nest.
        let path: Vec<String> = path.iter().flat_map(|part| part.split('.').map(str::to_owned)).collect();
        claim(&mut self.profile, &path, wanted)?;
        Ok(text::path("profile", &path))
    }

    /// Declares an event type. Its name as resources write it, or why there can't be such a type.
    pub(super) fn event(&mut self, name: &str) -> Result<String, String> {
        if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(format!("an event can't be called {:?}", text::shown(name)));
        }
        if RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(format!("event names such as `{name}` are reserved"));
        }
        self.events.entry(name.to_owned()).or_default();
        Ok(name.to_owned())
    }

    /// Declares a property of an event type, read by `root`.
    pub(super) fn property(
        &mut self,
        (event, root): (&str, &str),
        path: &[String],
        wanted: Option<Type>,
    ) -> Result<String, String> {
        let event = self.event(event)?;
        claim(self.events.entry(event).or_default(), path, wanted)?;
        Ok(text::path(root, path))
    }
}

fn claim(fields: &mut Fields, path: &[String], wanted: Option<Type>) -> Result<(), String> {
    let name = path.join(".");
    let badly_named = |part: &String| part.is_empty() || part.chars().any(char::is_control);
    if path.is_empty() || path.iter().any(badly_named) || name.len() > limits::NAME_BYTES_MAX {
        return Err(format!("a field can't be called {:?}", text::shown(&name)));
    }
    let begins = |other: &[String]| other.len() != path.len() && (other.starts_with(path) || path.starts_with(other));
    if let Some(other) = fields.keys().find(|other| begins(other)) {
        return Err(format!("`{name}` and `{}` can't both be fields", other.join(".")));
    }
    let known = fields.entry(path.to_vec()).or_insert(wanted);
    match (*known, wanted) {
        (Some(known), Some(wanted)) if known != wanted => {
            Err(format!("`{name}` is read as {} elsewhere, and as {} here", known.word(), wanted.word()))
        }
        (None, Some(_)) => {
            *known = wanted;
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> Vec<String> {
        vec![name.to_owned()]
    }

    #[test]
    fn a_field_has_one_type() {
        let mut declared = Declared::default();
        assert_eq!(declared.profile(&path("plan"), None).as_deref(), Ok("profile.plan"));
        assert_eq!(declared.profile(&path("plan"), Some(Type::Text)).as_deref(), Ok("profile.plan"));
        assert_eq!(declared.profile(&path("plan"), None).as_deref(), Ok("profile.plan"));
        let error = declared.profile(&path("plan"), Some(Type::Number)).expect_err("another type");
        assert_eq!(error, "`plan` is read as string elsewhere, and as number here");
        assert_eq!(declared.profile(&path("a.b"), Some(Type::Number)).as_deref(), Ok("profile.a.b"));
        assert_eq!(declared.profile(&path("a"), None).expect_err("a map"), "`a` and `a.b` can't both be fields");
        assert_eq!(
            declared.profile(&path("a.b.c"), None).expect_err("a value"),
            "`a.b.c` and `a.b` can't both be fields"
        );
        assert!(declared.profile(&path("a..b"), None).is_err() && declared.profile(&path(""), None).is_err());
    }

    #[test]
    fn properties_belong_to_their_event() {
        let mut declared = Declared::default();
        let read = declared.property(("go", "last"), &path("first name"), Some(Type::Number));
        assert_eq!(read.as_deref(), Ok("last['first name']"));
        assert!(declared.property(("go", "event"), &path("first name"), Some(Type::Text)).is_err());
        assert!(declared.property(("come", "event"), &path("first name"), Some(Type::Text)).is_ok());
        assert_eq!(declared.event("message.x").expect_err("reserved"), "event names such as `message.x` are reserved");
        assert!(declared.event("").is_err());
    }
}
