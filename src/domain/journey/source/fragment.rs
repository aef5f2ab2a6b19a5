//! `kind: fragment`: nodes that journeys take over as a copy (spec §3.8b), and the copying.

use std::collections::BTreeMap;

use smol_str::{SmolStr, format_smolstr};

use crate::domain::guardrails::tighter_by;
use crate::domain::journey::definition::{FragmentDefinition, JourneyDefinition, NodeDefinition, NodeForm};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::nodes;
use crate::domain::journey::source::reader::{MapReader, full_text, name};
use crate::domain::limits;
use crate::domain::suggest::did_you_mean;

/// Reads a fragment. Whatever can't be read leaves `broken` set and a finding behind.
pub fn read(fragment_name: At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> FragmentDefinition {
    let before = findings.count();
    name(&fragment_name, "a fragment", findings);
    let start = map.required("start", findings).and_then(|tree| full_text(tree, "`start`", findings));
    let nodes = map.required("nodes", findings).map(|tree| nodes::read(tree, findings)).unwrap_or_default();
    map.finish(findings);
    let mut fragment =
        FragmentDefinition { name: fragment_name, start: start.unwrap_or_default(), nodes, broken: false };
    if !findings.any_error_since(before) {
        check(&fragment, findings);
    }
    fragment.broken = findings.any_error_since(before);
    fragment
}

/// The rules of a fragment by itself; those of graphs are asked of the journeys that take it over.
fn check(fragment: &FragmentDefinition, findings: &mut Findings<'_>) {
    let what = &fragment.name.value;
    let mut refuse = |place, message: String, suggestion: &str| {
        findings.error_with(place, "bad_fragment", message, suggestion.to_owned());
    };
    let count = fragment.nodes.iter().filter(|node| !matches!(node.form, NodeForm::End)).count();
    if count > limits::FRAGMENT_NODES_MAX {
        let message =
            format!("fragment `{what}` has {count} nodes: the limit is {}, as in AJO", limits::FRAGMENT_NODES_MAX);
        refuse(fragment.name.place, message, &format!("split it; {}", tighter_by("fragment_nodes_max")));
    }
    for node in &fragment.nodes {
        let (what, name) = match &node.form {
            NodeForm::Jump { .. } => ("jumps", &node.name),
            NodeForm::Fragment { .. } => ("takes over another fragment", &node.name),
            _ => continue,
        };
        let message = format!("node `{}` of fragment `{}` {what}", name.value, fragment.name.value);
        refuse(name.place, message, "leave that to the journey");
    }
    let find = |target: &At<SmolStr>| fragment.nodes.iter().find(|node| node.name.value == target.value);
    for target in fragment.nodes.iter().flat_map(NodeDefinition::targets).chain([&fragment.start]) {
        if find(target).is_none() {
            let names = fragment.nodes.iter().map(|node| node.name.value.as_str());
            let suggestion = did_you_mean(&target.value, names).unwrap_or_else(|| "name a node of it".to_owned());
            refuse(
                target.place,
                format!("fragment `{what}` leads to `{}`, which is no node of it", target.value),
                &suggestion,
            );
        }
    }
    if find(&fragment.start).is_some_and(|start| matches!(start.form, NodeForm::End)) {
        refuse(
            fragment.start.place,
            format!("fragment `{what}` does nothing"),
            "let it start at a node that is no end",
        );
    }
    if !fragment.nodes.iter().any(|node| matches!(node.form, NodeForm::End)) {
        let suggestion = "lead out of it at a node `{ end: true }`: there the journey goes on";
        refuse(fragment.name.place, format!("fragment `{what}` has no end"), suggestion);
    }
}

/// Fragments that a journey may take over.
#[derive(Clone, Copy, Debug)]
pub struct Fragments<'a> {
    /// Those of the files.
    pub given: &'a BTreeMap<SmolStr, FragmentDefinition>,
    /// Those that are published.
    pub published: &'a BTreeMap<SmolStr, FragmentDefinition>,
    /// Part of the files could not be read: an unknown one may stand there.
    pub partial: bool,
}

/// Puts copies of fragments in the place of the nodes that name them. The first node of a fragment gets the name of the
/// node in the journey, others that name and their own behind a dot.
pub fn expand(journey: &mut JourneyDefinition, fragments: Fragments<'_>, findings: &mut Findings<'_>) {
    let before = findings.count();
    let mut nodes = Vec::with_capacity(journey.nodes.len());
    for mut node in std::mem::take(&mut journey.nodes) {
        let NodeForm::Fragment { fragment, then } = &node.form else {
            nodes.push(node);
            continue;
        };
        let known = fragments.given.get(&fragment.value).or_else(|| fragments.published.get(&fragment.value));
        match known {
            Some(found) if !found.broken => nodes.extend(copies(&node, found, then, findings)),
            _ => {
                if known.is_none() && !fragments.partial {
                    let names = fragments.given.keys().chain(fragments.published.keys()).map(SmolStr::as_str);
                    let suggestion = did_you_mean(&fragment.value, names)
                        .unwrap_or_else(|| format!("declare it: `kind: fragment`, `name: {}`", fragment.value));
                    let message =
                        format!("node `{}` takes over the unknown fragment `{}`", node.name.value, fragment.value);
                    findings.error_with(fragment.place, "unknown_fragment", message, suggestion);
                }
                node.form = NodeForm::Broken;
                journey.broken = true;
                nodes.push(node);
            }
        }
    }
    journey.nodes = nodes;
    journey.broken |= findings.any_error_since(before);
}

fn copies(
    user: &NodeDefinition,
    fragment: &FragmentDefinition,
    then: &At<SmolStr>,
    findings: &mut Findings<'_>,
) -> Vec<NodeDefinition> {
    let renamed = |inner: &SmolStr| match *inner == fragment.start.value {
        true => user.name.value.clone(),
        false => format_smolstr!("{}.{inner}", user.name.value),
    };
    let ends = |inner: &SmolStr| {
        fragment.nodes.iter().any(|node| node.name.value == *inner && matches!(node.form, NodeForm::End))
    };
    let mut copies = Vec::new();
    for node in fragment.nodes.iter().filter(|node| !matches!(node.form, NodeForm::End)) {
        let mut copy = node.clone();
        for target in copy.targets_mut() {
            *target = if ends(&target.value) { then.clone() } else { At::new(renamed(&target.value), target.place) };
        }
        for awaited in copy.form.awaited_mut() {
            if let Some(of) = &mut awaited.of {
                of.value = renamed(&of.value);
            }
        }
        // Where the copy stands in a journey is where the journey names the fragment.
        copy.name = At::new(renamed(&node.name.value), user.name.place);
        name(&copy.name, "a node", findings);
        if copy.on_error.is_none() && copy.form.may_fail() {
            copy.on_error.clone_from(&user.on_error);
        }
        copies.push(copy);
    }
    copies
}
