//! `migration` of a journey: what becomes of profiles in versions published before.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::journey::findings::At;

/// What becomes of the profiles inside older versions when this one is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationDefinition {
    /// At nodes that are not named; `None` = not written, which keeps.
    pub default: Option<At<ChoiceDefinition>>,
    /// At nodes of versions published before, sorted by name.
    pub nodes: Vec<(At<SmolStr>, At<ChoiceDefinition>)>,
}

/// What becomes of the profiles at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChoiceDefinition {
    /// `keep`: they go on as their version has it.
    Keep,
    /// `exit`: they leave.
    Exit,
    /// `recompute`: they stay at the node of this name, and it is as if it had been in this version that they came to it.
    Recompute,
    /// `{ move: NODE }`: they come to this node of the new version.
    Move(At<SmolStr>),
}

impl MigrationDefinition {
    /// What was chosen for `node`, by its name or by default.
    pub fn choice(&self, node: &str) -> &ChoiceDefinition {
        let named = self.named(node).or(self.default.as_ref());
        named.map_or(&ChoiceDefinition::Keep, |choice| &choice.value)
    }

    /// What was chosen for `node` by its name.
    pub fn named(&self, node: &str) -> Option<&At<ChoiceDefinition>> {
        self.nodes.iter().find(|(name, _)| name.value == node).map(|(_, choice)| choice)
    }

    /// Every node that profiles are moved to.
    pub fn targets(&self) -> impl Iterator<Item = &At<SmolStr>> {
        let choices = self.default.iter().chain(self.nodes.iter().map(|(_, choice)| choice));
        choices.filter_map(|choice| match &choice.value {
            ChoiceDefinition::Move(target) => Some(target),
            _ => None,
        })
    }
}
