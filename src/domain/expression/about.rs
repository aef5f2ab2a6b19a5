//! What the root `journey` reads: facts of the running instance (spec §5.5, "Journey properties").

use std::borrow::Cow;

use smol_str::SmolStr;

use crate::domain::calendar;
use crate::domain::expression::types::{Fields, Type};
use crate::domain::ids::{InstanceId, JourneyId, Millis, SandboxId};
use crate::domain::profile::LastCall;
use crate::domain::step::Failure;
use crate::domain::value::Value;

/// A fact of a running instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain) enum Fact {
    /// Name of the journey.
    Name,
    /// Number of its version.
    Version,
    /// What its version says of itself.
    Description,
    /// Id of the instance.
    Instance,
    /// `namespace:value`.
    Profile,
    /// The part before the colon.
    Namespace,
    /// The part behind it.
    Key,
    /// The supplemental id it runs under.
    SupplementalId,
    /// When it entered.
    EnteredAt,
    /// The node it is at.
    Node,
    /// The node it came from.
    PreviousNode,
    /// How it failed last where there was a way on.
    Error,
    /// The code of that error.
    ErrorCode,
    /// Where it was.
    ErrorNode,
    /// What the node there does.
    ErrorNodeKind,
    /// How the latest call of a custom action that failed had ended.
    ActionErrorCode,
    /// How the latest question to a data source that failed had ended.
    SourceErrorCode,
    /// How long the latest call of a custom action took, in milliseconds.
    ActionMs,
    /// How long the latest question to a data source took, in milliseconds.
    SourceMs,
    /// The zone whose clock it goes by.
    Timezone,
}

impl Fact {
    const ALL: [(&str, Self); 20] = [
        ("name", Self::Name),
        ("version", Self::Version),
        ("description", Self::Description),
        ("instance", Self::Instance),
        ("profile", Self::Profile),
        ("namespace", Self::Namespace),
        ("key", Self::Key),
        ("supplemental_id", Self::SupplementalId),
        ("entered_at", Self::EnteredAt),
        ("node", Self::Node),
        ("previous_node", Self::PreviousNode),
        ("error", Self::Error),
        ("error_code", Self::ErrorCode),
        ("error_node", Self::ErrorNode),
        ("error_node_kind", Self::ErrorNodeKind),
        ("action_error_code", Self::ActionErrorCode),
        ("source_error_code", Self::SourceErrorCode),
        ("action_ms", Self::ActionMs),
        ("source_ms", Self::SourceMs),
        ("timezone", Self::Timezone),
    ];

    /// The fact of this name.
    pub(in crate::domain) fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, fact)| *fact)
    }

    fn value_type(self) -> Type {
        match self {
            Self::Version | Self::ActionMs | Self::SourceMs => Type::Integer,
            Self::EnteredAt => Type::Timestamp,
            _ => Type::String,
        }
    }

    /// Names and types of all.
    pub(in crate::domain) fn fields() -> Fields {
        Self::ALL.iter().map(|(name, fact)| (SmolStr::new_static(name), fact.value_type())).collect()
    }
}

/// The running instance, as expressions may know it.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// Name of its journey.
    pub journey: &'a str,
    /// Number of its version.
    pub version: u32,
    /// What that version says of itself.
    pub description: Option<&'a str>,
    /// `namespace:value`.
    pub identity: &'a str,
    /// What its id is made of beside the identity.
    pub instance: (SandboxId, JourneyId, u32),
    /// The supplemental id it runs under.
    pub supplemental_id: Option<&'a str>,
    /// When it entered.
    pub entered_at: Millis,
    /// The node it is at.
    pub node: &'a str,
    /// The node it came from.
    pub previous_node: Option<&'a str>,
    /// How it failed last where there was a way on, and where.
    pub error: Option<Failed<'a>>,
    /// How its calls of custom actions went.
    pub action: LastCall,
    /// How its questions to data sources went.
    pub source: LastCall,
    /// The zone that the profile names, if its clock is to count, and the journey's, which counts where there is no such zone.
    pub zones: (Option<&'a str>, &'a str),
}

/// How an instance failed where there was a way on.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// How.
    pub failure: Failure,
    /// At which node.
    pub node: &'a str,
    /// What that does.
    pub kind: &'a str,
}

/// Whoever knows the instances that expressions run in.
pub trait Knows {
    /// What there is to know of the instance at `position`.
    fn about(&self, position: usize) -> About<'_>;
}

/// Where to ask for the facts of a running instance: they are worked out only where an expression reads them.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Whom to ask.
    pub source: &'a dyn Knows,
    /// Which instance.
    pub position: usize,
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.source.about(self.position).fmt(f)
    }
}

impl<'a> About<'a> {
    /// The facts below `path`, with their names: one, or all for an empty path.
    pub fn values(&self, path: &[SmolStr]) -> Vec<(SmolStr, Value)> {
        let asked = |name: &str| path.first().is_none_or(|asked| asked == name);
        let value = |fact| match fact {
            Fact::Version | Fact::ActionMs | Fact::SourceMs => self.integer(fact).map_or(Value::Null, Value::Int),
            Fact::EnteredAt => Value::Time(self.entered_at),
            _ => self.text(fact).map_or(Value::Null, |text| Value::Str(text.as_ref().into())),
        };
        let facts = Fact::ALL.iter().filter(|(name, _)| asked(name));
        facts.map(|(name, fact)| (SmolStr::new_static(name), value(*fact))).collect()
    }

    /// A fact that is an integer; `None` is null.
    pub(in crate::domain) fn integer(&self, fact: Fact) -> Option<i64> {
        match fact {
            Fact::Version => Some(i64::from(self.version)),
            Fact::ActionMs => self.action.took_ms,
            Fact::SourceMs => self.source.took_ms,
            _ => None,
        }
    }

    /// A fact as text; `None` is null.
    pub(in crate::domain) fn text(&self, fact: Fact) -> Option<Cow<'a, str>> {
        let (namespace, key) = self.identity.split_once(':').unwrap_or(("", self.identity));
        Some(Cow::Borrowed(match fact {
            Fact::Name => self.journey,
            Fact::Profile => self.identity,
            Fact::Namespace => namespace,
            Fact::Key => key,
            Fact::Node => self.node,
            Fact::SupplementalId => return self.supplemental_id.map(Cow::Borrowed),
            Fact::PreviousNode => return self.previous_node.map(Cow::Borrowed),
            Fact::Description => return self.description.map(Cow::Borrowed),
            Fact::Error => return self.error.map(|error| Cow::Borrowed(error.failure.word())),
            Fact::ErrorCode => return self.error.map(|error| error.failure.error_code()),
            Fact::ErrorNode => return self.error.map(|error| Cow::Borrowed(error.node)),
            Fact::ErrorNodeKind => return self.error.map(|error| Cow::Borrowed(error.kind)),
            Fact::ActionErrorCode => return self.action.error.map(|status| Cow::Owned(status.to_string())),
            Fact::SourceErrorCode => return self.source.error.map(|status| Cow::Owned(status.to_string())),
            Fact::Timezone => {
                let (own, journeys) = self.zones;
                own.filter(|name| calendar::zone(name).is_some()).unwrap_or(journeys)
            }
            Fact::Instance => {
                let (sandbox, journey, ordinal) = self.instance;
                return Some(Cow::Owned(InstanceId::new(sandbox, self.identity, journey, ordinal).to_string()));
            }
            Fact::Version | Fact::ActionMs | Fact::SourceMs => {
                return self.integer(fact).map(|integer| Cow::Owned(integer.to_string()));
            }
            Fact::EnteredAt => return Some(Cow::Owned(self.entered_at.to_iso())),
        }))
    }
}
