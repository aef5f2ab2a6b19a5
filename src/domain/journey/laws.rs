//! Laws over random journeys and random text: nothing panics, and what compiles keeps the promises of `program`.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::ids::{Millis, NodeNo, VersionId};
use crate::domain::journey::program::{Node, NodeKind, Program};
use crate::domain::limits;

const PRELUDE: &str = "\
kind: event
name: go
schema: { n: integer, at: timestamp }
---
kind: attribute
name: points
type: integer
---
kind: message
name: hello
channel: log
body: hi
---
kind: journey
name: j
entry: { event: go }
start: n0
nodes:
";

/// One node as text; targets may be one past the last node, so some do not exist.
fn node(count: usize) -> impl Strategy<Value = String> {
    let target = 0..=count;
    (0..16u8, target.clone(), target).prop_map(|(form, a, b)| match form {
        0 => format!("{{ wait: 1h, then: n{a} }}"),
        1 => format!("{{ wait: {{ until: meta.time }}, then: n{a} }}"),
        2 | 3 => format!("{{ condition: [ {{ when: event.n > 1, then: n{a} }} ], otherwise: n{b} }}"),
        4 => format!("{{ condition: [ {{ when: event.n > 1, then: n{a} }}, {{ when: 'true', then: n{b} }} ] }}"),
        5 => format!("{{ event: go, then: n{a} }}"),
        6 => format!("{{ event: go, within: 1d, then: n{a}, on_timeout: n{b} }}"),
        7 => format!("{{ message: hello, then: n{a} }}"),
        8 => format!("{{ wait: {{ time: '09:00', days: [mon] }}, then: n{a} }}"),
        9 => format!("{{ split: [ {{ percent: 30, then: n{a} }}, {{ percent: 70, then: n{b} }} ] }}"),
        11 => format!("{{ update_profile: {{ points: event.n + 1 }}, then: n{a} }}"),
        12 => format!("{{ jump: j, with: {{ n: event.n }}, then: n{a}, on_error: n{b} }}"),
        10 => format!("{{ wait: {{ until: event.at }}, then: n{a}, on_error: n{b} }}"),
        13 => format!("{{ first_of: [ {{ event: go, since: entry, then: n{a} }}, {{ wait: 1h, then: n{b} }} ] }}"),
        14 => format!("{{ first_of: [ {{ wait: {{ until: event.at }}, then: n{a} }}, {{ wait: 2h, then: n{b} }} ] }}"),
        _ => "{ end: true }".to_owned(),
    })
}

/// Mostly whole journeys, so that many compile.
pub(crate) fn journey() -> impl Strategy<Value = String> {
    (1..8usize).prop_flat_map(|count| {
        prop::collection::vec(node(count), count).prop_map(|nodes| {
            let mut text = PRELUDE.to_owned();
            for (index, node) in nodes.iter().enumerate() {
                text.push_str(&format!("  n{index}: {node}\n"));
            }
            // The node one past the last exists in half of all sizes.
            if nodes.len() % 2 == 0 {
                text.push_str(&format!("  n{}: {{ end: true }}\n", nodes.len()));
            }
            text
        })
    })
}

fn targets(node: &Node) -> Vec<NodeNo> {
    let ways = match &node.kind {
        NodeKind::Wait { then, .. }
        | NodeKind::Message { then, .. }
        | NodeKind::UpdateProfile { then, .. }
        | NodeKind::Jump { then, .. }
        | NodeKind::Action { then, .. } => vec![*then],
        NodeKind::Optimize { method } => method.targets(),
        NodeKind::ProfileCap { then, otherwise, .. } => vec![*then, *otherwise],
        NodeKind::Lookup(lookup) => vec![lookup.then],
        NodeKind::Split { ways } => ways.iter().map(|(_, to)| *to).collect(),
        NodeKind::Condition { branches, otherwise } => branches.iter().map(|(_, to)| *to).chain(*otherwise).collect(),
        NodeKind::Event { then, on_timeout, .. } => [*then].into_iter().chain(*on_timeout).collect(),
        NodeKind::FirstOf { arms } => arms.iter().map(|(_, to)| *to).collect(),
        NodeKind::End => Vec::new(),
    };
    ways.into_iter().chain(node.on_error).collect()
}

/// Nodes that `from` reaches by at least one step, passing only nodes for which `passes`.
fn reached(program: &Program, from: NodeNo, passes: impl Fn(&NodeKind) -> bool) -> Vec<NodeNo> {
    let mut seen = Vec::new();
    let mut open = targets(program.node(from));
    while let Some(no) = open.pop() {
        if !seen.contains(&no) && passes(&program.node(no).kind) {
            seen.push(no);
            open.extend(targets(program.node(no)));
        }
    }
    seen
}

fn keeps_promises(program: &Program) {
    assert!(program.nodes.len() <= limits::NODES_MAX + 10);
    let from_start = reached(program, program.start, |_| true);
    let pauses =
        |kind: &NodeKind| matches!(kind, NodeKind::Wait { .. } | NodeKind::Event { .. } | NodeKind::FirstOf { .. });
    let may_end = |kind: &NodeKind| matches!(kind, NodeKind::End | NodeKind::Condition { otherwise: None, .. });
    for (index, node) in program.nodes.iter().enumerate() {
        let no = NodeNo(index as u16);
        for target in targets(node) {
            assert!(usize::from(target.0) < program.nodes.len(), "a target exists");
        }
        assert!(no == program.start || from_start.contains(&no), "{} is reachable", node.name);
        let onwards = reached(program, no, |_| true);
        assert!(
            may_end(&node.kind) || onwards.iter().any(|n| may_end(&program.node(*n).kind)),
            "{} can end",
            node.name
        );
        assert_eq!(node.on_cycle, onwards.contains(&no), "{} on a cycle", node.name);
        if !pauses(&node.kind) {
            let at_once = reached(program, no, |kind| !pauses(kind));
            assert!(!at_once.contains(&no), "{} on a cycle without a pause", node.name);
        }
        if let NodeKind::Message { message, .. } = node.kind {
            assert!(usize::from(message) < program.messages.len());
        }
    }
}

fn one(text: &str) -> [SourceFile; 1] {
    [SourceFile { name: "f.yaml".to_owned(), text: text.to_owned() }]
}

/// Pieces of which files are made, to come past the first error more often than letters do.
const PIECES: [&str; 40] = [
    "kind: ",
    "journey",
    "event",
    "message",
    "name: ",
    "a",
    "\n",
    "\n  ",
    "\n    ",
    "---\n",
    "{ ",
    " }",
    "[",
    "]",
    ", ",
    ": ",
    "- ",
    "nodes:",
    "wait: ",
    "1h",
    "then: ",
    "end: true",
    "schema: ",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "#",
    "&x",
    "*x",
    "!!str ",
    "? ",
    "entry: ",
    "when: ",
    "event.a > 1",
    "\t",
    "\u{feff}",
    "é",
    "%YAML 1.2\n",
    "\\",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_compiles_keeps_its_promises(text in journey()) {
        match Catalog::default().apply(&one(&text), Millis(0)) {
            Ok((catalog, _)) => keeps_promises(catalog.program(VersionId(0))),
            Err(findings) => prop_assert!(!findings.is_empty()),
        }
    }

    #[test]
    fn random_text_never_panics(text in "\\PC{0,80}|[ -~\n]{0,120}") {
        let _ = Catalog::check(&one(&text));
    }

    #[test]
    fn random_pieces_never_panic(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        let _ = Catalog::check(&one(&pieces.concat()));
    }

    #[test]
    fn broken_journeys_never_panic(text in journey(), cut in any::<prop::sample::Index>(), piece in prop::sample::select(&PIECES[..])) {
        let at = cut.index(text.len());
        let _ = Catalog::check(&one(&format!("{}{piece}{}", &text[..at], &text[at..])));
    }
}

/// Some random journeys do compile: the law above is not empty.
#[test]
fn the_generator_makes_good_journeys_too() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut good = 0;
    for _ in 0..600 {
        let text = journey().new_tree(&mut runner).expect("generates").current();
        good += usize::from(Catalog::default().apply(&one(&text), Millis(0)).is_ok());
    }
    assert!(good >= 10, "{good} of 600");
}

/// Inputs that make careless parsers slow or overflow their stack.
#[test]
fn hostile_files_are_refused_quickly() {
    for text in
        ["[".repeat(200_000), "- ".repeat(200_000), "{a: ".repeat(100_000), "a: ".repeat(50_000), "\"".repeat(100_001)]
    {
        assert!(!Catalog::check(&one(&text)).is_empty());
    }
    let many = format!(
        "kind: event\nname: x\nschema: {{ {} }}\n",
        (0..20_000).map(|i| format!("f{i}: string, ")).collect::<String>()
    );
    assert!(Catalog::check(&one(&many)).is_empty());
    let large = " ".repeat(limits::RESOURCE_BYTES_MAX + 1);
    assert_eq!(Catalog::check(&one(&large))[0].code, "file_too_large");
}
