//! Rules about cycles with a wait: an instance visits a node so many times and no more.

use super::subject::Subject;
use crate::domain::journey::constant::length_ms;
use crate::domain::journey::definition::{NodeForm, WaitDefinition};
use crate::domain::journey::duration::print;
use crate::domain::journey::findings::Findings;
use crate::domain::journey::graph::{Edge, Graph};
use crate::domain::limits;

/// The next time of a day on a day of the week is that far at most, clock changes included.
const WEEK_MS: i64 = 8 * 86_400_000;

/// `cycle_exceeds_visits`: whoever stays in the cycle is failed by the bound on visits before the timeout comes.
///
/// However an instance goes round, it spends at no node of the cycle longer than that node's wait; so it has used up the
/// visits of one of them after the bound times the sum of all waits.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph, findings: &mut Findings<'_>) {
    check_instants(subject, graph, findings);
    let definition = subject.definition;
    for component in graph.components(|_, _| true) {
        if !graph.is_cycle(&component, |_, _| true) {
            continue;
        }
        let stays = component.iter().map(|index| longest_stay_ms(&definition.nodes[*index].form));
        let Some(round_ms) = stays.sum::<Option<i64>>() else { continue };
        let staying_ms = round_ms.saturating_mul(i64::from(limits::NODE_VISITS_MAX));
        // What never stops anybody is `cycle_may_not_wait`.
        if round_ms == 0 || staying_ms >= definition.timeout_ms {
            continue;
        }
        let node = component.iter().map(|index| &definition.nodes[*index]).find(|node| node.form.pauses());
        let Some(node) = node else { continue };
        let message = format!(
            "whoever goes round by node `{}` for {} fails there: an instance visits a node {} times at most, and the timeout is {}",
            node.name.value,
            print(staying_ms),
            limits::NODE_VISITS_MAX,
            print(definition.timeout_ms)
        );
        let suggestion = "wait longer in the cycle, lead out of it, or shorten `timeout`".to_owned();
        findings.warning(node.name.place, "cycle_exceeds_visits", message, suggestion);
    }
}

/// `cycle_may_not_wait`: all that stops anybody in the cycle are instants to wait for. One that has passed is not waited for, so
/// that an instance may go round, and send, until the bound on the steps of one input fails it.
fn check_instants(subject: &Subject<'_>, graph: &Graph, findings: &mut Findings<'_>) {
    let may_pass = |_: usize, edge: Edge| edge.may_pass;
    for component in graph.components(may_pass) {
        if !graph.is_cycle(&component, may_pass) {
            continue;
        }
        let pausing = component.iter().filter(|index| subject.definition.nodes[**index].form.pauses());
        let Some(node) = pausing.min().map(|index| &subject.definition.nodes[*index]) else { continue };
        let message = format!(
            "whoever comes round to node `{}` after its instant goes round at once, {} steps at most: what has passed is not waited for",
            node.name.value,
            limits::STEPS_PER_INPUT_MAX
        );
        let suggestion = "put a wait of some length, or an event, into the cycle".to_owned();
        findings.warning(node.name.place, "cycle_may_not_wait", message, suggestion);
    }
}

/// The longest an instance stays at a node; none where there is no bound.
fn longest_stay_ms(form: &NodeForm) -> Option<i64> {
    match form {
        NodeForm::Event { within_ms, .. } => within_ms.as_ref().map(|within_ms| within_ms.value),
        // The shortest of several ends them all.
        _ if form.pauses() => form.waits().filter_map(longest_ms).min(),
        // Messages may have to wait for room: that is not foreseen.
        NodeForm::Condition { .. }
        | NodeForm::Split { .. }
        | NodeForm::Optimize { .. }
        | NodeForm::Message { .. }
        | NodeForm::UpdateProfile { .. }
        | NodeForm::Jump { .. }
        | NodeForm::Lookup { .. }
        | NodeForm::End => Some(0),
        _ => None,
    }
}

fn longest_ms(wait: &WaitDefinition) -> Option<i64> {
    let otherwise_ms = matches!(wait, WaitDefinition::Local { .. }).then_some(WEEK_MS);
    length_ms(wait).map(|length| length.value).or(otherwise_ms)
}
