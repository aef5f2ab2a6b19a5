//! Rules about consent: a set that declares who agreed to what should ask before it sends.

use super::subject::Subject;
use crate::domain::expression::{Expr, Root, Schemas, Type};
use crate::domain::journey::definition::{NodeForm, TestDefinition};
use crate::domain::journey::findings::Findings;
use crate::domain::journey::graph::Graph;
use crate::domain::journey::program::Channel;

/// The word below `profile.consents` that stands for a channel.
fn consent_to(channel: Channel) -> Option<&'static str> {
    match channel {
        Channel::Email => Some("email"),
        Channel::Log | Channel::Webhook | Channel::Call => None,
    }
}

/// `unasked_consent`: `profile.consents.CHANNEL` is declared, and a way leads to a message of that channel that asks nowhere.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph, findings: &mut Findings<'_>) {
    let definition = subject.definition;
    let schemas = subject.schemas();
    for (index, node) in definition.nodes.iter().enumerate() {
        let NodeForm::Message { message, .. } = &node.form else { continue };
        let Some(word) = subject.message_of(node).and_then(|message| consent_to(message.channel)) else { continue };
        if !is_declared(subject, word) {
            continue;
        }
        let asks = |when: &str| asks(when, &schemas, word);
        let everywhere = definition.entry.when.iter().chain(&definition.exit_when).any(|when| asks(&when.value));
        let stops: Vec<bool> = definition
            .nodes
            .iter()
            .map(|node| match &node.form {
                NodeForm::Condition { branches, .. } => branches.iter().any(|branch| match &branch.test {
                    TestDefinition::When(when) => asks(&when.value),
                    _ => false,
                }),
                _ => false,
            })
            .collect();
        if !everywhere && leads(graph, index, &stops) {
            let text =
                format!("a way leads to message `{}` without asking for `profile.consents.{word}`", message.value);
            let suggestion = format!("put a condition `when: profile.consents.{word}` before it");
            findings.hint(node.name.place, "unasked_consent", text, suggestion);
        }
    }
}

fn is_declared(subject: &Subject<'_>, word: &str) -> bool {
    let consents = subject.profile.iter().find(|(name, _)| name == "consents");
    matches!(consents, Some((_, Type::Object(fields))) if fields.iter().any(|(name, _)| name == word))
}

/// Whether a condition reads the consent.
fn asks(when: &str, schemas: &Schemas, word: &str) -> bool {
    let Ok(expr) = Expr::compile(when, schemas, &Type::Boolean) else { return false };
    expr.reads().iter().any(|read| {
        let mut path = read.path.iter();
        read.root == Root::Profile
            && path.next().is_some_and(|name| name == "consents")
            && path.next().is_none_or(|name| name == word)
    })
}

/// Whether a way leads from the start to `target` past none of the nodes that stop it.
pub(super) fn leads(graph: &Graph, target: usize, stops: &[bool]) -> bool {
    let mut seen = vec![false; graph.edges.len()];
    let mut open = vec![graph.start];
    while let Some(index) = open.pop() {
        if std::mem::replace(&mut seen[index], true) || stops[index] {
            continue;
        }
        open.extend(graph.edges[index].iter().map(|edge| edge.to));
    }
    seen[target]
}
