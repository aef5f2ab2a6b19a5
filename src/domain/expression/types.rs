//! The types of expressions, the declarations they are checked against, and the errors of a source text.

use std::fmt;

use smol_str::{SmolStr, format_smolstr};

use crate::domain::expression::about::Fact;

/// The type of a field or of a whole expression. Published schemas are stored with it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Text.
    String,
    /// 64-bit integer.
    Integer,
    /// Double; integers widen to it.
    Number,
    /// Truth value.
    Boolean,
    /// Instant.
    Timestamp,
    /// Span of time (results of `duration()` and timestamp differences; no field has it).
    Duration,
    /// List of one type.
    List(Box<Type>),
    /// Map with declared fields.
    Object(Fields),
    /// The type of `null`.
    Null,
}

/// Declared fields, in the order of their declaration.
pub type Fields = Vec<(SmolStr, Type)>;

/// What is declared for each root. `None`: the root can't be used here.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    /// Fields of `event`.
    pub event: Option<Fields>,
    /// Fields of `last`.
    pub last: Option<Fields>,
    /// Fields of `profile`.
    pub profile: Option<Fields>,
    /// Fields of `journey`: [`Schemas::of_instance`] inside of one.
    pub journey: Option<Fields>,
    /// Fields of `action`: one object for each custom action.
    pub action: Option<Fields>,
    /// Fields of `with`: parameters of the custom action that the expression belongs to.
    pub with: Option<Fields>,
    /// Fields of `source`: one object for each data source.
    pub source: Option<Fields>,
    /// Fields of `lookup`: one object for each node that looks up.
    pub lookup: Option<Fields>,
}

/// Begins the names under which answers of data sources are kept.
pub const SOURCE_PREFIX: &str = "source:";
/// Begins the names under which results of lookups are kept.
pub const LOOKUP_PREFIX: &str = "lookup:";

/// An error in the source of an expression. `offset` is in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// Byte offset in the expression.
    pub offset: usize,
    /// Stable code, e.g. `unknown_field`, `type_mismatch`, `syntax`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub suggestion: Option<String>,
}

/// A path an expression or template reads, e.g. root `event`, path `["cart","total"]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath {
    /// Where it begins.
    pub root: Root,
    /// Names below it; empty = the root as a whole.
    pub path: Vec<SmolStr>,
}

/// As it is written: `profile.address.city`.
impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.root.word())?;
        self.path.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

impl FieldPath {
    /// Of what reads an answer of a custom action or data source: its name, as it is called by, and the path within.
    pub fn of_answer(&self) -> Option<(SmolStr, &[SmolStr])> {
        let (name, within) = self.path.split_first().filter(|_| matches!(self.root, Root::Action | Root::Source))?;
        Some((self.root.kept_as(name), within))
    }
}

/// The things an expression can start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// Entry event.
    Event,
    /// Latest event.
    Last,
    /// Profile document.
    Profile,
    /// Entry event's id, type, time.
    Meta,
    /// Facts of the running instance.
    Journey,
    /// Answers of custom actions.
    Action,
    /// Parameters of a custom action, in its own expressions.
    With,
    /// What data sources said.
    Source,
    /// What was looked up in datasets.
    Lookup,
}

impl Root {
    /// Every root, in the order messages list them.
    pub(in crate::domain) const ALL: [Self; 9] = [
        Self::Event,
        Self::Last,
        Self::Profile,
        Self::Meta,
        Self::Journey,
        Self::Action,
        Self::With,
        Self::Source,
        Self::Lookup,
    ];

    /// The word that names it in expressions and templates.
    pub(in crate::domain) fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Last => "last",
            Self::Profile => "profile",
            Self::Meta => "meta",
            Self::Journey => "journey",
            Self::Action => "action",
            Self::With => "with",
            Self::Source => "source",
            Self::Lookup => "lookup",
        }
    }

    /// The name under which an instance keeps what is read as `field` of this root. Answers of all kinds are kept in one map:
    /// names of actions hold no `:`, so that they never meet.
    pub(in crate::domain) fn kept_as(self, field: &str) -> SmolStr {
        match self {
            Self::Source => format_smolstr!("{SOURCE_PREFIX}{field}"),
            Self::Lookup => format_smolstr!("{LOOKUP_PREFIX}{field}"),
            _ => SmolStr::new(field),
        }
    }

    /// The root named `word`.
    pub(in crate::domain) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|root| root.word() == word)
    }
}

impl Schemas {
    /// What `journey` has inside of a running instance.
    pub fn of_instance() -> Option<Fields> {
        Some(Fact::fields())
    }

    /// The fields of `root`, unless it can't be used here.
    pub(in crate::domain) fn fields(&self, root: Root) -> Option<Fields> {
        match root {
            Root::Event => self.event.clone(),
            Root::Last => self.last.clone(),
            Root::Profile => self.profile.clone(),
            Root::Journey => self.journey.clone(),
            Root::Meta => Some(vec![
                (SmolStr::new_static("id"), Type::String),
                (SmolStr::new_static("type"), Type::String),
                (SmolStr::new_static("time"), Type::Timestamp),
            ]),
            Root::Action => self.action.clone(),
            Root::With => self.with.clone(),
            Root::Source => self.source.clone(),
            Root::Lookup => self.lookup.clone(),
        }
    }
}

impl Type {
    /// Whether a value of this type may stand where `expected` is asked for.
    pub(in crate::domain) fn fits(&self, expected: &Type) -> bool {
        match (self, expected) {
            (Self::Null, _) | (Self::Integer, Self::Number) => true,
            (Self::List(item), Self::List(wanted)) => item.fits(wanted),
            (Self::Object(fields), Self::Object(wanted)) => {
                wanted.iter().all(|(name, ty)| fields.iter().any(|(other, actual)| other == name && actual.fits(ty)))
            }
            (actual, expected) => actual == expected,
        }
    }

    /// The one type that holds values of both, if there is one.
    pub(super) fn join(&self, other: &Type) -> Option<Type> {
        match (self, other) {
            (Self::List(a), Self::List(b)) => Some(Self::List(Box::new(a.join(b)?))),
            (a, b) if a.fits(b) => Some(b.clone()),
            (a, b) if b.fits(a) => Some(a.clone()),
            _ => None,
        }
    }

    /// The type under which values of both can be told apart: what one lacks, the other may have.
    pub(super) fn union(&self, other: &Type) -> Option<Type> {
        match (self, other) {
            (Self::List(a), Self::List(b)) => Some(Self::List(Box::new(a.union(b)?))),
            (Self::Object(a), Self::Object(b)) => {
                let mut fields = a.clone();
                for (name, ty) in b {
                    match fields.iter_mut().find(|(known, _)| known == name) {
                        Some((_, known)) => *known = known.union(ty)?,
                        None => fields.push((name.clone(), ty.clone())),
                    }
                }
                Some(Self::Object(fields))
            }
            (a, b) => a.join(b),
        }
    }

    /// Whether it is an integer or a number.
    pub(super) fn is_numeric(&self) -> bool {
        matches!(self, Self::Integer | Self::Number)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Integer => f.write_str("integer"),
            Self::Number => f.write_str("number"),
            Self::Boolean => f.write_str("boolean"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(item) if **item == Self::Null => f.write_str("[]"),
            Self::List(item) => write!(f, "[{item}]"),
            Self::Object(_) => f.write_str("object"),
            Self::Null => f.write_str("null"),
        }
    }
}
