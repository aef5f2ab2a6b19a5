//! `migration` as written: a default, and choices by node of the versions published before.

use smol_str::SmolStr;

use crate::domain::journey::definition::{ChoiceDefinition, MigrationDefinition};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::reader::{MapReader, entries, full_text};
use crate::domain::journey::source::tree::{Shape, Tree};
use crate::domain::suggest::did_you_mean;

const CHOICE_HELP: &str = "write `keep`, `exit`, `recompute` or `{ move: NODE }`";
const DEFAULT_HELP: &str = "write `keep`, `exit` or `{ move: NODE }`, and name the nodes to `recompute` under `nodes`";

/// Reads a migration.
pub fn read(tree: &Tree, findings: &mut Findings<'_>) -> Option<At<MigrationDefinition>> {
    let mut map = MapReader::open(tree, "`migration`", findings)?;
    let default = match map.optional("default") {
        None => None,
        Some(tree) => {
            let choice = read_choice(tree, "`default`", DEFAULT_HELP, findings)?;
            if choice.value == ChoiceDefinition::Recompute {
                let message = "`default` can't be `recompute`: not every node is a wait".to_owned();
                findings.error_with(choice.place, "unknown_value", message, DEFAULT_HELP.to_owned());
                return None;
            }
            Some(choice)
        }
    };
    let mut nodes = Vec::new();
    let written = map.optional("nodes").map(|tree| entries(tree, "`nodes` of `migration`", findings));
    for (name, place, tree) in written.flatten().unwrap_or_default() {
        let what = format!("the choice for `{name}`");
        if let Some(choice) = read_choice(tree, &what, CHOICE_HELP, findings) {
            nodes.push((At::new(SmolStr::new(name), place), choice));
        }
    }
    map.finish(findings);
    // The order of keys is no meaning.
    nodes.sort_by(|(one, _), (other, _)| one.value.cmp(&other.value));
    Some(At::new(MigrationDefinition { default, nodes }, tree.place))
}

fn read_choice(tree: &Tree, what: &str, help: &str, findings: &mut Findings<'_>) -> Option<At<ChoiceDefinition>> {
    if let Shape::Map(_) = tree.shape {
        let mut map = MapReader::open(tree, what, findings)?;
        let target = map.required("move", findings).and_then(|tree| full_text(tree, "`move`", findings));
        map.finish(findings);
        return Some(At::new(ChoiceDefinition::Move(target?), tree.place));
    }
    let words = [
        ("keep", ChoiceDefinition::Keep),
        ("exit", ChoiceDefinition::Exit),
        ("recompute", ChoiceDefinition::Recompute),
    ];
    let written = full_text(tree, what, findings)?;
    if let Some((_, choice)) = words.iter().find(|(word, _)| *word == written.value) {
        return Some(At::new(choice.clone(), tree.place));
    }
    let known = words.iter().map(|(word, _)| *word);
    let suggestion = did_you_mean(&written.value, known).unwrap_or_else(|| help.to_owned());
    findings.error_with(tree.place, "unknown_value", format!("{what} can't be `{}`", written.value), suggestion);
    None
}
