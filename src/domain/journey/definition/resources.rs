//! What journeys refer to: events, attributes, rule sets, fragments.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::calendar::Period;
use crate::domain::expression::{Fields, Type};
use crate::domain::journey::definition::NodeDefinition;
use crate::domain::journey::findings::At;

/// `kind: event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDefinition {
    /// Type of the event.
    pub name: At<SmolStr>,
    /// What is declared of its properties; of a rule's events nothing.
    pub schema: Fields,
    /// It is recognised by a rule, and not sent as such.
    pub rule: Option<RuleDefinition>,
    /// Part of the schema could not be read.
    #[serde(skip)]
    pub broken: bool,
}

/// Which events count as events of another type, too (spec §1.2, "rule-based").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleDefinition {
    /// The type they are sent as.
    pub of: At<SmolStr>,
    /// What must hold of them.
    pub when: At<SmolStr>,
}

/// `kind: attribute`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeDefinition {
    /// Path in the profile document, with dots.
    pub name: At<SmolStr>,
    /// Its type.
    pub value_type: Type,
    /// The type could not be read.
    #[serde(skip)]
    pub broken: bool,
}

/// `kind: rule_set` (spec §7.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSetDefinition {
    /// Its name.
    pub name: At<SmolStr>,
    /// How often a profile may enter the journeys that carry it.
    pub entries: Option<EntryCap>,
    /// How many of those journeys a profile may be in at once.
    pub concurrent: Option<u32>,
    /// Something of it could not be read.
    #[serde(skip)]
    pub broken: bool,
}

/// So many entries a period of the UTC calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryCap {
    /// How many.
    pub max: u32,
    /// In which period.
    pub per: Period,
}

/// `kind: fragment`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentDefinition {
    /// Its name.
    pub name: At<SmolStr>,
    /// First node.
    pub start: At<SmolStr>,
    /// All nodes; ends are where the journey goes on.
    pub nodes: Vec<NodeDefinition>,
    /// Something of it could not be read.
    #[serde(skip)]
    pub broken: bool,
}
