//! Journeys as they are written down, and what of a node is drawn as text.

use super::{DAYS, Journey, Node, TIMES, ways};
use crate::sim::dice::Dice;
use crate::sim::workload::durations::{duration_text, iso_text, moment};
use crate::sim::workload::{Roots, condition};

impl Journey {
    /// It as a document.
    pub(in crate::sim::workload) fn text(&self) -> String {
        let id = self.supplemental_id.map(|id| format!(", supplemental_id: \"{id}\"")).unwrap_or_default();
        let mut text = format!("kind: journey\nname: {}\nentry: {{ {}{id} }}\n", self.name, self.entry.text());
        text.extend(self.description.map(|description| format!("description: {description}\n")));
        text.extend(self.rule_set.map(|name| format!("rule_set: {name}\n")));
        text.extend(self.priority.map(|priority| format!("priority: {priority}\n")));
        match self.reentry_ms {
            None => {}
            Some(None) => text.push_str("reentry: never\n"),
            Some(Some(ms)) => text.push_str(&format!("reentry: {{ after: {} }}\n", duration_text(ms))),
        }
        let mut exits: Vec<String> = self.exits.iter().map(|exit| format!("{{ {} }}", exit.text())).collect();
        exits.extend(self.exit_when.iter().map(|when| format!("{{ when: \"{when}\" }}")));
        if !exits.is_empty() {
            text.push_str(&format!("exit: [ {} ]\n", exits.join(", ")));
        }
        if let Some(ms) = self.timeout_ms {
            text.push_str(&format!("timeout: {}\n", duration_text(ms)));
        }
        text.extend(self.call_timeout.map(|timeout| format!("call_timeout: {timeout}\n")));
        if let Some(zone) = self.timezone {
            text.push_str(&format!("timezone: {zone}\n"));
        }
        if self.is_local_to_profile {
            text.push_str("local_time: profile\n");
        }
        for (key, day) in [("start_date", self.start_day), ("end_date", self.end_day)] {
            text.extend(day.map(|(day, form)| format!("{key}: {}\n", moment(day, form))));
        }
        text.extend(self.migration.iter().map(|migration| format!("migration: {{ {migration} }}\n")));
        text.push_str("start: n0\nnodes:\n");
        for (number, (node, on_error)) in self.nodes.iter().zip(&self.on_error).enumerate() {
            text.push_str(&node_text(number, node, *on_error));
        }
        text
    }
}

/// A node as a line.
pub(super) fn node_text(number: usize, node: &Node, on_error: Option<usize>) -> String {
    let on_error = on_error.map(|to| format!(", on_error: n{to}")).unwrap_or_default();
    format!("  n{number}: {{ {}{on_error} }}\n", form_text(node))
}

fn form_text(node: &Node) -> String {
    match node {
        Node::Wait(ms, to) => format!("wait: {}, then: n{to}", duration_text(*ms)),
        Node::Until(instant, to) => format!("wait: {{ until: \"{instant}\" }}, then: n{to}"),
        Node::Condition(branches, otherwise) => {
            let branches: Vec<String> =
                branches.iter().map(|(test, to)| format!("{{ {test}, then: n{to} }}")).collect();
            let otherwise = otherwise.map(|to| format!(", otherwise: n{to}")).unwrap_or_default();
            format!("condition: [ {} ]{otherwise}", branches.join(", "))
        }
        Node::Clock(clock, to) => format!("wait: {{ {clock} }}, then: n{to}"),
        Node::Split(shares) => {
            let shares: Vec<String> =
                shares.iter().map(|(percent, to)| format!("{{ percent: {percent}, then: n{to} }}")).collect();
            format!("split: [ {} ]", shares.join(", "))
        }
        Node::Experiment(..) | Node::Targeting(..) | Node::Cap(..) => ways::text(node),
        Node::FirstOf(arms) => {
            let arms: Vec<String> = arms.iter().map(|(arm, _, to)| format!("{{ {arm}, then: n{to} }}")).collect();
            format!("first_of: [ {} ]", arms.join(", "))
        }
        Node::Event { filter, since, within_ms, then, on_timeout } => {
            let within = within_ms.map(|ms| format!(", within: {}", iso_text(ms))).unwrap_or_default();
            let late = on_timeout.map(|to| format!(", on_timeout: n{to}")).unwrap_or_default();
            format!("{}{since}{within}, then: n{then}{late}", filter.text())
        }
        Node::Fragment(fragment, to) => format!("fragment: {fragment}, then: n{to}"),
        Node::Message(message, to) => format!("message: {message}, then: n{to}"),
        Node::Update(fields, to) => format!("update_profile: {{ {fields} }}, then: n{to}"),
        Node::Jump(journey, with, to) => format!("jump: \"{journey}\", with: {{ {with} }}, then: n{to}"),
        Node::Action(callee, with, to) => format!("{callee}, with: {{ {with} }}, then: n{to}"),
        Node::Lookup(keys, fields, to) => format!("lookup: gems, keys: \"{keys}\", fields: [{fields}], then: n{to}"),
        Node::End => "end: true".to_owned(),
    }
}

/// What a branch asks for: mostly an expression.
pub(super) fn test_text(dice: &mut Dice) -> String {
    match dice.below(10) {
        0 => {
            let from = dice.index(TIMES.len());
            let (from, to) = (TIMES[from], TIMES[(from + 1 + dice.index(TIMES.len() - 1)) % TIMES.len()]);
            let options =
                [format!("days: [{}]", dice.pick(&DAYS)), format!("from: \"{from}\""), format!("to: \"{to}\"")];
            // What is left out is every day, and the day's begin and end: with one of them the other is none of them.
            let left_out = [4, 4, 4, 0, 1, 2][dice.index(6)];
            let whole = (left_out == 1 && to == "00:00") || (left_out == 2 && from == "24:00");
            let options = options.iter().enumerate().filter(|(place, _)| whole || *place != left_out);
            format!("time: {{ {} }}", options.map(|(_, option)| option.as_str()).collect::<Vec<_>>().join(", "))
        }
        1 => {
            let from = dice.between(0, 30);
            let (from, to) = (moment(from, dice.between(0, 3)), moment(from + dice.between(0, 60), dice.between(0, 3)));
            match dice.below(3) {
                0 => format!("date: {{ from: {from} }}"),
                1 => format!("date: {{ to: {to} }}"),
                _ => format!("date: {{ from: {from}, to: {to} }}"),
            }
        }
        _ => format!("when: \"{}\"", condition(dice, Roots::Inside, 2)),
    }
}

pub(super) fn clock_text(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => format!("time: \"{}\"", dice.pick(&TIMES)),
        1 => format!("days: [{}]", dice.pick(&DAYS)),
        _ => format!("time: \"{}\", days: [{}]", dice.pick(&TIMES), dice.pick(&DAYS)),
    }
}
