//! Rules about consent: a set that declares who agreed to what should ask before it sends, and send to those who said yes.

use std::collections::BTreeSet;

use super::conditions::inside;
use super::subject::{DeadWays, Subject};
use crate::domain::expression::{Claim, Expr, Reasoner, Root, Schemas, Type};
use crate::domain::journey::definition::{NodeForm, OptimizeMethod, TestDefinition};
use crate::domain::journey::findings::{Findings, Place};
use crate::domain::journey::graph::Graph;
use crate::domain::journey::program::Channel;

/// The word below `profile.consents` that stands for a channel.
fn consent_to(channel: Channel) -> Option<&'static str> {
    match channel {
        Channel::Email => Some("email"),
        Channel::Log | Channel::Webhook | Channel::Call => None,
    }
}

/// Channels that need consent.
const ASKING: [Channel; 1] = [Channel::Email];

/// `without_consent` and `unasked_consent`, where `profile.consents.CHANNEL` is declared.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph, dead: &DeadWays, findings: &mut Findings<'_>) {
    for channel in ASKING {
        let Some(word) = consent_to(channel).filter(|word| is_declared(subject, word)) else { continue };
        let schemas = subject.schemas();
        let asks = |when: &str| asks(when, &schemas, word);
        let definition = subject.definition;
        if definition.exit_when.iter().any(|when| asks(&when.value)) {
            // Asked wherever something is about to be sent.
            continue;
        }
        let knowledge = definition.nodes.iter().map(|node| known_after(subject, &node.form, word, &schemas)).collect();
        let map = Map { subject, graph, dead, word, knowledge };
        let is_sent =
            |index: &usize| subject.message_of(&definition.nodes[*index]).is_some_and(|m| m.channel == channel);
        let mails: Vec<usize> = (0..definition.nodes.len()).filter(is_sent).collect();
        let refused_before = map.note_refused(&mails, findings);
        let is_asked_at_entry = definition.entry.when.iter().any(|when| asks(&when.value));
        let unasked = if is_asked_at_entry { BTreeSet::new() } else { map.reached_unasked() };
        for mail in mails {
            let NodeForm::Message { message, .. } = &definition.nodes[mail].form else { continue };
            let what = if unasked.contains(&mail) {
                format!("a way leads to message `{}` without asking for `profile.consents.{word}`", message.value)
            } else if refused_before.contains(&mail) {
                format!(
                    "a way leads to message `{}` on which `profile.consents.{word}` was asked for before a wait, was not \
                     true, and is not asked for again",
                    message.value
                )
            } else {
                continue;
            };
            let suggestion = format!("put a condition `when: profile.consents.{word}` before it");
            findings.hint(definition.nodes[mail].name.place, "unasked_consent", what, suggestion);
        }
    }
}

/// What is known of the consent on one way of a node that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It is true for all who go this way.
    Given,
    /// It is false or absent for all who go this way.
    Refused,
    /// Neither is certain.
    Open,
}

/// The journey as one consent sees it.
struct Map<'m, 's> {
    subject: &'m Subject<'s>,
    graph: &'m Graph,
    dead: &'m DeadWays,
    word: &'static str,
    /// By node, of those that ask: by way.
    knowledge: Vec<Option<Vec<Known>>>,
}

impl Map<'_, '_> {
    /// Ways of a node that somebody may go: index and where it leads.
    fn ways(&self, node: usize) -> impl Iterator<Item = (usize, usize)> {
        let edges = self.graph.edges[node].iter().enumerate().map(|(way, edge)| (way, edge.to));
        edges.filter(move |(way, _)| !self.dead.contains_key(&(node, *way)))
    }

    /// Nodes that a way leads to on which nothing asks for the consent or sets it.
    fn reached_unasked(&self) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.graph.start];
        while let Some(node) = open.pop() {
            if seen.insert(node) && self.knowledge[node].is_none() {
                open.extend(self.ways(node).filter(|(way, _)| !self.is_set_on(node, *way)).map(|(_, to)| to));
            }
        }
        seen
    }

    /// Notes `without_consent`; gives the nodes that are reached from such ways, but by a wait.
    fn note_refused(&self, mails: &[usize], findings: &mut Findings<'_>) -> BTreeSet<usize> {
        let mut later = BTreeSet::new();
        for (place, from) in self.refused_ways() {
            let (at_once, after_time) = self.reached_refused(from);
            later.extend(after_time);
            for mail in mails.iter().filter(|mail| at_once.contains(mail)) {
                let NodeForm::Message { message, .. } = &self.subject.definition.nodes[*mail].form else { continue };
                let text = format!(
                    "on this way `profile.consents.{}` is never true: message `{}` goes to those who have not agreed",
                    self.word, message.value
                );
                let suggestion = "send it on the way of those who have, or exchange the ways".to_owned();
                findings.warning(place, "without_consent", text, suggestion);
            }
        }
        later
    }

    /// Where the consent is certain to be false or absent: the place of the way, and the node it leads to.
    fn refused_ways(&self) -> Vec<(Place, usize)> {
        let definition = self.subject.definition;
        let mut found = Vec::new();
        // With several ids one event lets several instances in, and the first may set what was asked for all.
        if let Some(when) = definition.entry.when.as_ref().filter(|_| definition.supplemental_id.is_none()) {
            let schemas = Schemas { last: None, journey: None, ..self.subject.schemas() };
            let mut reasoner = Reasoner::new(&schemas);
            let claims = (reasoner.read(&when.value), reasoner.read(&consent(self.word)));
            if let (Some(claim), Some(consent)) = claims
                && known(&mut reasoner, &[claim], &[], consent) == Some(Known::Refused)
            {
                found.push((when.place, self.graph.start));
            }
        }
        for (index, node) in definition.nodes.iter().enumerate() {
            let Some(known) = &self.knowledge[index] else { continue };
            let targets = node.targets();
            let ways = self.ways(index).filter(|(way, _)| known.get(*way) == Some(&Known::Refused));
            found.extend(ways.map(|(way, to)| (targets[way].place, to)));
        }
        found
    }

    /// Nodes reached from a way on which the consent is refused: at once, and after some time, in which it may change.
    fn reached_refused(&self, from: usize) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let (mut at_once, mut later) = (BTreeSet::new(), BTreeSet::new());
        let mut open = vec![(from, true)];
        while let Some((node, is_at_once)) = open.pop() {
            let seen = if is_at_once { &mut at_once } else { &mut later };
            if !seen.insert(node) {
                continue;
            }
            let stays = is_at_once && is_at_once_left(&self.subject.definition.nodes[node].form);
            match &self.knowledge[node] {
                // Ways on which it is refused begin anew from there.
                Some(known) if is_at_once => {
                    let ways = self.ways(node).filter(|(way, _)| known.get(*way).is_none_or(|k| *k == Known::Open));
                    open.extend(ways.map(|(_, to)| (to, stays)));
                }
                Some(_) => {}
                None => {
                    let ways = self.ways(node).filter(|(way, _)| !self.is_set_on(node, *way));
                    open.extend(ways.map(|(_, to)| (to, stays)));
                }
            }
        }
        (at_once, later)
    }

    /// Whether the node sets the consent before it goes this way. A value that is plainly no consent does not count.
    fn is_set_on(&self, node: usize, way: usize) -> bool {
        let NodeForm::UpdateProfile { fields, .. } = &self.subject.definition.nodes[node].form else { return false };
        let own = consent(self.word);
        let sets = fields.iter().any(|(field, value)| {
            let field = format!("profile.{}", field.value);
            (field == own || own.starts_with(&format!("{field}.")))
                && !["false", "null"].contains(&value.value.as_str())
        });
        // The second way is that of errors: nothing was set.
        sets && way == 0
    }
}

/// Whether nothing can happen to the profile between the arrival at a node of this form and its leaving. Messages, calls and
/// shared caps may make it wait; a jump lets another journey act first.
fn is_at_once_left(form: &NodeForm) -> bool {
    match form {
        NodeForm::Condition { .. }
        | NodeForm::Split { .. }
        | NodeForm::Optimize { .. }
        | NodeForm::UpdateProfile { .. }
        | NodeForm::Lookup { .. }
        | NodeForm::End => true,
        NodeForm::Wait { .. }
        | NodeForm::Event { .. }
        | NodeForm::FirstOf { .. }
        | NodeForm::Message { .. }
        | NodeForm::Jump { .. }
        | NodeForm::ProfileCap { .. }
        | NodeForm::Action { .. }
        | NodeForm::Fragment { .. }
        | NodeForm::Broken => false,
    }
}

/// The field of the consent.
fn consent(word: &str) -> String {
    format!("profile.consents.{word}")
}

/// What is known on each way of a node that asks for the consent; none if it does not.
fn known_after(subject: &Subject<'_>, form: &NodeForm, word: &str, schemas: &Schemas) -> Option<Vec<Known>> {
    let (tests, has_rest): (Vec<Option<&str>>, bool) = match form {
        NodeForm::Condition { branches, otherwise } => {
            let tests = branches.iter().map(|branch| match &branch.test {
                TestDefinition::When(when) => Some(when.value.as_str()),
                _ => None,
            });
            (tests.collect(), otherwise.is_some())
        }
        NodeForm::Optimize { method: OptimizeMethod::Targeting { rules, fallback } } => {
            (rules.iter().map(|rule| Some(rule.when.value.as_str())).collect(), fallback.is_some())
        }
        _ => return None,
    };
    if !tests.iter().flatten().any(|when| asks(when, schemas, word)) {
        return None;
    }
    let mut reasoner = inside(subject, schemas);
    let consent = reasoner.read(&consent(word));
    let mut earlier = Vec::new();
    let mut ways = Vec::new();
    for test in tests.into_iter().map(Some).chain(has_rest.then_some(None)) {
        let claim = test.flatten().and_then(|when| reasoner.read(when));
        let own: Vec<Claim> = claim.into_iter().collect();
        let known = consent.and_then(|consent| known(&mut reasoner, &own, &earlier, consent));
        ways.push(known.unwrap_or(Known::Open));
        earlier.extend(claim);
    }
    Some(ways)
}

/// What is certain of the consent where `claims` are true and none of `denied` is; none if that is never so.
fn known(reasoner: &mut Reasoner<'_>, claims: &[Claim], denied: &[Claim], consent: Claim) -> Option<Known> {
    let with = |claims: &[Claim]| claims.iter().copied().chain([consent]).collect::<Vec<_>>();
    let never_given = reasoner.never_all(&with(claims), denied);
    let never_refused = reasoner.never_all(claims, &with(denied));
    match (never_given, never_refused) {
        (true, true) => None,
        (true, false) => Some(Known::Refused),
        (false, true) => Some(Known::Given),
        (false, false) => Some(Known::Open),
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
