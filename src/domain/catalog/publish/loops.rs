//! Journeys that lead back to each other by jumps.

use std::collections::{BTreeMap, VecDeque};

use smol_str::SmolStr;

use super::Merged;
use crate::domain::journey::definition::{JourneyDefinition, NodeForm};
use crate::domain::journey::findings::{At, Findings};

impl Merged<'_> {
    /// `jump_loop`: by jumps that lead back nobody would ever get rid of a profile (spec §3.5: prevented at authoring). Each loop
    /// once, at the journey of the files that comes first by name; one that is published stays until one of its journeys changes.
    pub(super) fn check_jump_loops(&self, findings: &mut Findings<'_>) {
        let definitions = self.files.journeys.values().chain(&self.others);
        let jumps: BTreeMap<&str, Vec<&At<SmolStr>>> =
            definitions.map(|definition| (definition.name.value.as_str(), jumps_of(definition))).collect();
        for definition in self.files.journeys.values() {
            let name = definition.name.value.as_str();
            for target in &jumps[name] {
                let Some(way) = shortest_way(&jumps, &target.value, name) else { continue };
                if way.iter().any(|other| self.files.journeys.contains_key(*other) && *other < name) {
                    continue;
                }
                let message = match way.as_slice() {
                    [_] => format!("journey `{name}` jumps to itself: a profile that is in it would never be let go"),
                    _ => {
                        let way = way.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", to ");
                        format!("journey `{name}` jumps to {way}: a profile that is in them would never be let go")
                    }
                };
                let suggestion = match way.as_slice() {
                    [_] => "lead to an earlier node behind a wait".to_owned(),
                    _ => "take one of the jumps out; a cycle with a wait may be within one journey".to_owned(),
                };
                findings.error_with(target.place, "jump_loop", message, suggestion);
            }
        }
    }
}

/// Where a journey jumps to, each journey once.
fn jumps_of(definition: &JourneyDefinition) -> Vec<&At<SmolStr>> {
    let mut found: Vec<&At<SmolStr>> = Vec::new();
    for node in &definition.nodes {
        if let NodeForm::Jump { journey, .. } = &node.form
            && !found.iter().any(|known| known.value == journey.value)
        {
            found.push(journey);
        }
    }
    found
}

/// The shortest way by jumps, both ends included.
fn shortest_way<'n>(
    jumps: &BTreeMap<&'n str, Vec<&'n At<SmolStr>>>,
    from: &'n str,
    to: &'n str,
) -> Option<Vec<&'n str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::from([(from, from)]);
    let mut open = VecDeque::from([from]);
    while let Some(name) = open.pop_front() {
        if name == to {
            let mut way = vec![to];
            let mut at = to;
            while at != from {
                at = came_from[at];
                way.push(at);
            }
            way.reverse();
            return Some(way);
        }
        for target in jumps.get(name).into_iter().flatten() {
            let next = target.value.as_str();
            if !came_from.contains_key(next) {
                came_from.insert(next, name);
                open.push_back(next);
            }
        }
    }
    None
}
