//! Rules about the data that messages need to reach somebody: the address.

use super::subject::Subject;
use crate::domain::expression::{Reasoner, Type};
use crate::domain::journey::definition::{NodeDefinition, NodeForm, TestDefinition};
use crate::domain::journey::findings::Findings;
use crate::domain::journey::program::Channel;

/// The field of the document that holds the address of a channel.
fn address_of(channel: Channel) -> Option<&'static str> {
    match channel {
        Channel::Email => Some("email"),
        Channel::Log | Channel::Webhook | Channel::Call => None,
    }
}

/// `undeclared_address`, `wrong_address_type` and `always_excluded`.
pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    for node in &subject.definition.nodes {
        check_declared(subject, node, findings);
        check_branches(subject, node, findings);
    }
}

fn check_declared(subject: &Subject<'_>, node: &NodeDefinition, findings: &mut Findings<'_>) {
    let NodeForm::Message { message, .. } = &node.form else { return };
    let Some(field) = subject.message_of(node).and_then(|message| address_of(message.channel)) else { return };
    match subject.profile.iter().find(|(name, _)| name == field) {
        Some((_, Type::String)) => {}
        Some((_, declared)) => {
            let text = format!(
                "message `{}` goes to `profile.{field}`, which is declared as {declared}: everybody is excluded",
                message.value
            );
            let suggestion = format!("declare attribute `{field}` with `type: string`");
            findings.warning(message.place, "wrong_address_type", text, suggestion);
        }
        None => {
            let text = format!("message `{}` goes to `profile.{field}`, which no attribute declares", message.value);
            let suggestion = format!("declare it: `kind: attribute`, `name: {field}`, `type: string`");
            findings.hint(message.place, "undeclared_address", text, suggestion);
        }
    }
}

/// Branches that are true only without an address, and lead to a message that needs it.
fn check_branches(subject: &Subject<'_>, node: &NodeDefinition, findings: &mut Findings<'_>) {
    let NodeForm::Condition { branches, .. } = &node.form else { return };
    let schemas = subject.schemas();
    let mut reasoner = Reasoner::new(&schemas);
    let mut earlier = Vec::new();
    for branch in branches {
        let TestDefinition::When(when) = &branch.test else { continue };
        let Some(claim) = reasoner.read(&when.value) else { continue };
        let needs = subject.node(&branch.then.value).and_then(|node| subject.message_of(node));
        let field = needs.and_then(|message| address_of(message.channel));
        if let (Some(message), Some(field)) = (needs, field)
            && let Some(present) = reasoner.read(&format!("profile.{field} != null"))
            && !reasoner.never(claim, &earlier)
            && reasoner.never_all(&[claim, present], &earlier)
        {
            let text = format!(
                "on this way `profile.{field}` is always absent: message `{}` excludes everybody who comes by it",
                message.name.value
            );
            let suggestion = "ask for the address, or send by another channel".to_owned();
            findings.warning(branch.then.place, "always_excluded", text, suggestion);
        }
        earlier.push(claim);
    }
}
