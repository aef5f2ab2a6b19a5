//! Rules about `when`: what can never be true, what always is, what an earlier branch takes, and what an absent field
//! makes false against expectation.

use smol_str::SmolStr;

use super::subject::{DeadWays, EntryEvent, Subject};
use crate::domain::expression::{Claim, Part, Reasoner, Schemas};
use crate::domain::journey::definition::{
    BranchDefinition, FilterDefinition, JourneyDefinition, NodeForm, OptimizeMethod, RacerDefinition, TestDefinition,
};
use crate::domain::journey::findings::{At, Findings};

/// Parts of a conflict that a message still lists.
const PARTS_SHOWN_MAX: usize = 3;

/// `never_true`, `always_true`, `hidden_branch` and `absent_is_unequal`.
pub(super) fn check(subject: &Subject<'_>, dead: &mut DeadWays, findings: &mut Findings<'_>) {
    let definition = subject.definition;
    let at_entry = Schemas { last: None, journey: None, ..subject.schemas() };
    if let Some(when) = &definition.entry.when {
        let nobody = format!("nobody enters journey `{}`", definition.name.value);
        let mut reasoner = Reasoner::new(&at_entry);
        know_type(subject, &mut reasoner);
        check_filter(when, reasoner, &nobody, findings);
    }
    for exit in &definition.exit {
        check_event_filter(subject, exit, "the exit criterion never ends an instance", findings);
    }
    check_asked(definition, findings);
    for when in &definition.exit_when {
        let schemas = subject.schemas();
        check_filter(when, inside(subject, &schemas), "the exit criterion never ends an instance", findings);
    }
    for (index, node) in definition.nodes.iter().enumerate() {
        match &node.form {
            NodeForm::Event { awaited, .. } => {
                let never = format!("node `{}` never receives its event", node.name.value);
                if check_event_filter(subject, &awaited.filter, &never, findings) && is_left_by_event(&node.form) {
                    dead.insert((index, 0), NO_EVENT.to_owned());
                }
            }
            NodeForm::FirstOf { arms } => {
                for (way, arm) in arms.iter().enumerate() {
                    let RacerDefinition::Event(awaited) = &arm.what else { continue };
                    let never = format!("nobody goes from `{}` to `{}` this way", node.name.value, arm.then.value);
                    if check_event_filter(subject, &awaited.filter, &never, findings) {
                        dead.insert((index, way), NO_EVENT.to_owned());
                    }
                }
            }
            NodeForm::Condition { branches, otherwise } => {
                let ways = branches.iter().map(|branch| (expression(branch), &branch.then)).collect();
                Branches { subject, index, ways, rest: "otherwise" }.check(otherwise.as_ref(), dead, findings);
            }
            NodeForm::Optimize { method: OptimizeMethod::Targeting { rules, fallback } } => {
                let ways = rules.iter().map(|rule| (Some(&rule.when), &rule.then)).collect();
                Branches { subject, index, ways, rest: "fallback" }.check(fallback.as_ref(), dead, findings);
            }
            _ => {}
        }
    }
}

/// Why nobody goes a way that waits for an event.
const NO_EVENT: &str = "the event of the node before never comes";

/// Whether the way of an event node's event is gone by nothing else: its timeout goes elsewhere, or there is none.
pub(super) fn is_left_by_event(form: &NodeForm) -> bool {
    match form {
        NodeForm::Event { within_ms, on_timeout, .. } => on_timeout.is_some() || within_ms.is_none(),
        _ => false,
    }
}

/// A reasoner inside the journey: what the entry's filter says of the entry event holds.
pub(super) fn inside<'s>(subject: &Subject<'_>, schemas: &'s Schemas) -> Reasoner<'s> {
    let mut reasoner = Reasoner::new(schemas);
    know_type(subject, &mut reasoner);
    if let Some(when) = &subject.definition.entry.when {
        reasoner.entered_by(&when.value);
        if reasoner.is_contradicted() {
            // Nobody comes inside: that is said of the entry, and not of everything behind it.
            return Reasoner::new(schemas);
        }
    }
    reasoner
}

/// The rule by which events are recognised as `name`: `never_true` and `always_true`.
pub(super) fn check_rule(name: &str, when: &At<SmolStr>, schemas: &Schemas, findings: &mut Findings<'_>) {
    check_filter(when, Reasoner::new(schemas), &format!("no event is `{name}`"), findings);
}

/// The type of the entry event is that of the entry, if events are sent as such.
fn know_type(subject: &Subject<'_>, reasoner: &mut Reasoner<'_>) {
    let event = &subject.definition.entry.event.value;
    if subject.entry == EntryEvent::Sent && !event.contains(['\'', '\\']) {
        reasoner.entered_by(&format!("meta.type == '{event}'"));
    }
}

/// `never_asked`: exit criteria about the profile are asked where an instance is about to send, and nothing is sent.
fn check_asked(definition: &JourneyDefinition, findings: &mut Findings<'_>) {
    // Every form that asks nothing: a form that is new is taken to ask.
    let asks = |form: &NodeForm| {
        !matches!(
            form,
            NodeForm::Wait { .. }
                | NodeForm::Condition { .. }
                | NodeForm::Split { .. }
                | NodeForm::Event { .. }
                | NodeForm::FirstOf { .. }
                | NodeForm::UpdateProfile { .. }
                | NodeForm::Jump { .. }
                | NodeForm::ProfileCap { .. }
                | NodeForm::Optimize { .. }
                | NodeForm::Lookup { .. }
                | NodeForm::End
        )
    };
    if let Some(when) = definition.exit_when.first()
        && !definition.nodes.iter().any(|node| asks(&node.form))
    {
        let message =
            format!("`{}` ends nobody: it is asked where something is about to be sent, and nothing is", when.value);
        let suggestion = "exit by an event, or put a condition where it matters".to_owned();
        findings.warning(when.place, "never_asked", message, suggestion);
    }
}

/// Whether the filter lets no event pass.
fn check_event_filter(
    subject: &Subject<'_>,
    filter: &FilterDefinition,
    never: &str,
    findings: &mut Findings<'_>,
) -> bool {
    let Some(when) = &filter.when else { return false };
    let schemas = subject.schemas_at(&filter.event.value);
    check_filter(when, inside(subject, &schemas), never, findings)
}

/// Whether it is never true.
fn check_filter(when: &At<SmolStr>, mut reasoner: Reasoner<'_>, never: &str, findings: &mut Findings<'_>) -> bool {
    let Some(claim) = reasoner.read(&when.value) else { return false };
    if note_never(when, claim, &mut reasoner, never, findings) {
        return true;
    }
    if reasoner.always_one(&[claim]) {
        let message = format!("`{}` is always true", when.value);
        findings.warning(when.place, "always_true", message, "leave it out, or correct it".to_owned());
    }
    note_unguarded(when, claim, &reasoner, findings);
    false
}

fn note_never(
    when: &At<SmolStr>,
    claim: Claim,
    reasoner: &mut Reasoner<'_>,
    effect: &str,
    findings: &mut Findings<'_>,
) -> bool {
    if !reasoner.never(claim, &[]) {
        return false;
    }
    let parts = reasoner.conflict(claim);
    let why = match parts.as_slice() {
        [part] => format!("`{}` is never true", part.text),
        [first, second] => format!("`{}` and `{}` are never true together{}", first.text, second.text, given(second)),
        parts if parts.len() <= PARTS_SHOWN_MAX => {
            let texts: Vec<String> = parts.iter().map(|part| format!("`{}`", part.text)).collect();
            format!("{} are never true together", texts.join(", "))
        }
        _ => format!("`{}` is never true", when.value),
    };
    let offset = parts.first().and_then(|part| part.offset).unwrap_or(0);
    let suggestion = "correct it, or remove what hangs on it".to_owned();
    findings.warning_within(when, offset, "never_true", format!("{why}: {effect}"), Some(suggestion));
    true
}

/// Where the second part of a conflict comes from, if not from the condition itself.
fn given(part: &Part) -> &'static str {
    if part.offset.is_none() { " (the entry asks for the latter)" } else { "" }
}

fn note_unguarded(when: &At<SmolStr>, claim: Claim, reasoner: &Reasoner<'_>, findings: &mut Findings<'_>) {
    for field in reasoner.unguarded(claim, "profile") {
        let message =
            format!("where `{field}` is absent, `{}` is false: a comparison with nothing always is", when.value);
        let suggestion =
            format!("write `!({field} == …)` to count the absent in, or `has({field}) && …` to say you mean it");
        findings.hint(when.place, "absent_is_unequal", message, suggestion);
    }
}

/// What a branch asks, if that is an expression.
fn expression(branch: &BranchDefinition) -> Option<&At<SmolStr>> {
    match &branch.test {
        TestDefinition::When(when) => Some(when),
        _ => None,
    }
}

/// The ways of one node of which the first that holds is taken: branches of a condition, rules of targeting.
struct Branches<'b, 's> {
    subject: &'b Subject<'s>,
    /// The node's number.
    index: usize,
    /// What is asked, if that is an expression, and where it leads.
    ways: Vec<(Option<&'b At<SmolStr>>, &'b At<SmolStr>)>,
    /// The key of the way of those for whom none holds.
    rest: &'static str,
}

impl Branches<'_, '_> {
    fn check(&self, otherwise: Option<&At<SmolStr>>, dead: &mut DeadWays, findings: &mut Findings<'_>) {
        let schemas = self.subject.schemas();
        let mut reasoner = inside(self.subject, &schemas);
        let name = &self.subject.definition.nodes[self.index].name.value;
        let mut earlier: Vec<Claim> = Vec::new();
        for (index, (when, then)) in self.ways.iter().enumerate() {
            let Some(when) = when else { continue };
            let Some(claim) = reasoner.read(&when.value) else { continue };
            let effect = format!("nobody goes from `{name}` to `{}` this way", then.value);
            if note_never(when, claim, &mut reasoner, &effect, findings) {
                dead.insert((self.index, index), "the condition before is never true".to_owned());
                continue;
            }
            if reasoner.never(claim, &earlier) {
                let message = format!("whenever `{}` is true, an earlier branch of `{name}` is: {effect}", when.value);
                let suggestion = "put it before the branch that is wider, or remove it".to_owned();
                findings.warning(when.place, "hidden_branch", message, suggestion);
                dead.insert((self.index, index), "an earlier branch takes everybody".to_owned());
                continue;
            }
            note_unguarded(when, claim, &reasoner, findings);
            earlier.push(claim);
        }
        if let Some(target) = otherwise
            && reasoner.always_one(&earlier)
        {
            let message =
                format!("one branch of `{name}` is always true: nobody goes to `{}: {}`", self.rest, target.value);
            let suggestion = format!("remove `{}`, or correct the branches", self.rest);
            findings.warning(target.place, "hidden_branch", message, suggestion);
            dead.insert((self.index, self.ways.len()), "a branch is always true".to_owned());
        }
    }
}
