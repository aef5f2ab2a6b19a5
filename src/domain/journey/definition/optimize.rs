//! What a node `optimize` was written with.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::journey::findings::At;

/// How a node chooses among ways that are counted (spec §3.3, §9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizeMethod {
    /// `experiment: [ … ]`: a draw that stays.
    Experiment {
        /// 2 to 10, in order.
        treatments: Vec<TreatmentDefinition>,
        /// Hundredths of a percent that get no treatment, and their target.
        holdout: Option<(u32, At<SmolStr>)>,
    },
    /// `targeting: [ … ]`: the first rule that holds.
    Targeting {
        /// In order.
        rules: Vec<TargetDefinition>,
        /// Target if none holds.
        fallback: Option<At<SmolStr>>,
    },
}

/// One treatment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreatmentDefinition {
    /// Its name.
    pub name: At<SmolStr>,
    /// Its weight among all.
    pub weight: u32,
    /// Target.
    pub then: At<SmolStr>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetDefinition {
    /// Its name.
    pub name: At<SmolStr>,
    /// Expression that must be true.
    pub when: At<SmolStr>,
    /// Target.
    pub then: At<SmolStr>,
}
