//! Journeys drawn at random, and written down. Node `i` leads to `i + 1` in one of its ways, so that every node is reached
//! and every path can end; other ways lead ahead, or back where a wait or an event lies between.

mod migrations;
mod ways;

use crate::sim::dice::Dice;
use crate::sim::workload::durations::{
    DAY_MS, HOUR_MS, MINUTE_MS, WAIT_MS_MAX, drawn_duration, duration_text, iso_text, moment,
};
use crate::sim::workload::{
    EVENT_KINDS, FEEDBACK_KINDS, FRAGMENTS, MESSAGES, RULE_SETS, RULED, Roots, condition, expressions,
};
use ways::{goes_round_at_once, lead_ahead, treadmill};

pub(super) use migrations::Origin;

/// The longest life of an instance (contract).
const TIMEOUT_MS_MAX: i64 = 91 * DAY_MS;
/// Zones that set their clocks by an hour, by half an hour, at midnight, and never.
pub(super) const ZONES: [&str; 6] =
    ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu", "Africa/Cairo"];
const TIMES: [&str; 7] = ["00:00", "00:30", "02:30", "09:00", "12:15", "23:59", "24:00"];
const DAYS: [&str; 4] = ["mon", "sat, sun", "mon, tue, wed, thu, fri", "sun"];
/// Unless a journey says otherwise (contract).
const REENTRY_MS: i64 = 5 * MINUTE_MS;

/// A journey as drawn.
#[derive(Clone, Debug)]
pub(super) struct Journey {
    pub(super) name: String,
    /// `None` = not written; `Some(None)` = never.
    pub(super) reentry_ms: Option<Option<i64>>,
    entry: Filter,
    supplemental_id: Option<&'static str>,
    rule_set: Option<&'static str>,
    priority: Option<i64>,
    exits: Vec<Filter>,
    exit_when: Option<String>,
    timeout_ms: Option<i64>,
    timezone: Option<&'static str>,
    is_local_to_profile: bool,
    /// Days since the simulation began, in either direction.
    start_day: Option<i64>,
    end_day: Option<i64>,
    nodes: Vec<Node>,
    /// Where errors lead, by node.
    on_error: Vec<Option<usize>>,
    /// What becomes of those in older versions, as text.
    migration: Option<String>,
    /// What it says of itself.
    description: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Filter {
    event: &'static str,
    when: Option<String>,
    /// The node whose message it is about.
    of: Option<usize>,
}

/// A node; targets are numbers of nodes.
#[derive(Clone, Debug)]
enum Node {
    Wait(i64, usize),
    Until(String, usize),
    /// Time of day and days, as text.
    Clock(String, usize),
    /// What branches ask for, as text.
    Condition(Vec<(String, usize)>, Option<usize>),
    /// Percentages, as text.
    Split(Vec<(&'static str, usize)>),
    /// Weights, and the percentage held out.
    Experiment(Vec<(i64, usize)>, Option<(&'static str, usize)>),
    /// What rules ask for, as text, and where others go.
    Targeting(Vec<(String, usize)>, Option<usize>),
    /// Places, the way of those who get one, that of others.
    Cap(i64, usize, usize),
    /// Each an event or a wait, as text, and whether it is an event.
    FirstOf(Vec<(String, bool, usize)>),
    Event {
        filter: Filter,
        /// `, since: …`, or nothing.
        since: &'static str,
        within_ms: Option<i64>,
        then: usize,
        on_timeout: Option<usize>,
    },
    Message(&'static str, usize),
    /// Name of the fragment.
    Fragment(&'static str, usize),
    /// Fields and values, as text.
    Update(String, usize),
    /// Name of the other journey, properties and values as text.
    Jump(String, String, usize),
    /// Parameters and values, as text.
    Action(&'static str, String, usize),
    /// Keys, and where it leads.
    Lookup(&'static str, usize),
    End,
}

impl Node {
    fn pauses(&self) -> bool {
        matches!(self, Self::Wait(..) | Self::Until(..) | Self::Clock(..) | Self::FirstOf(..) | Self::Event { .. })
    }

    fn may_fail(&self) -> bool {
        let always = matches!(self, Self::Condition(..) | Self::Targeting(..) | Self::Event { .. } | Self::FirstOf(..));
        always
            || matches!(self, Self::Until(..) | Self::Update(..) | Self::Jump(..) | Self::Action(..) | Self::Lookup(..))
    }

    /// Whether an instant has to be worked out here, which may fail.
    fn reckons(&self) -> bool {
        match self {
            Self::Until(..) => true,
            Self::FirstOf(arms) => arms.iter().any(|(arm, ..)| arm.contains("until")),
            _ => false,
        }
    }

    fn targets(&self) -> Vec<usize> {
        match self {
            Self::Wait(_, to)
            | Self::Until(_, to)
            | Self::Clock(_, to)
            | Self::Message(_, to)
            | Self::Fragment(_, to)
            | Self::Update(_, to)
            | Self::Action(_, _, to)
            | Self::Lookup(_, to)
            | Self::Jump(_, _, to) => vec![*to],
            Self::FirstOf(arms) => arms.iter().map(|(_, _, to)| *to).collect(),
            Self::Split(shares) => shares.iter().map(|(_, to)| *to).collect(),
            Self::Experiment(ways, holdout) => {
                ways.iter().map(|(_, to)| *to).chain(holdout.map(|(_, to)| to)).collect()
            }
            Self::Targeting(rules, fallback) => rules.iter().map(|(_, to)| *to).chain(*fallback).collect(),
            Self::Cap(_, then, otherwise) => vec![*then, *otherwise],
            Self::Condition(branches, otherwise) => branches.iter().map(|(_, to)| *to).chain(*otherwise).collect(),
            Self::Event { then, on_timeout, .. } => [*then].into_iter().chain(*on_timeout).collect(),
            Self::End => Vec::new(),
        }
    }
}

impl Filter {
    fn draw(dice: &mut Dice, roots: Roots, filtered_percent: u64) -> Self {
        let event = if dice.chance(12) { dice.pick(&RULED).0 } else { *dice.pick(&EVENT_KINDS) };
        let when = dice.chance(filtered_percent).then(|| condition(dice, roots, 2));
        Self { event, when, of: None }
    }

    fn text(&self) -> String {
        let when = self.when.as_ref().map(|when| format!(", when: \"{when}\"")).unwrap_or_default();
        let of = self.of.map(|of| format!(", of: n{of}")).unwrap_or_default();
        format!("event: {}{when}{of}", self.event)
    }
}

impl Journey {
    /// Draws a journey that may jump to those of `others` that come before it: none leads back.
    pub(super) fn draw(dice: &mut Dice, name: String, others: &[String]) -> Self {
        let before = others.iter().position(|other| *other == name).unwrap_or(others.len());
        let others = &others[..before];
        let timeout_ms = match dice.below(4) {
            0 => None,
            1 => Some(*dice.pick(&[10 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS])),
            2 => Some(dice.between(1, 30) * DAY_MS),
            _ => Some(TIMEOUT_MS_MAX),
        };
        let reentry_ms = match dice.below(6) {
            0 => None,
            1 => Some(None),
            2..5 => Some(Some(*dice.pick(&[5 * MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, DAY_MS]))),
            _ => Some(Some(WAIT_MS_MAX)),
        };
        // Most come in by the same event: several journeys at once.
        let mut entry = Filter::draw(dice, Roots::Entry, 35);
        if dice.chance(50) {
            entry.event = "go";
        }
        let supplemental_id =
            dice.chance(25).then(|| *dice.pick::<&str>(&["event.tag", "event.cart.id", "event.items.map(i, i.id)"]));
        let exits = (0..*dice.pick(&[0, 0, 1, 1, 2])).map(|_| Filter::draw(dice, Roots::Inside, 65)).collect();
        let timezone = dice.chance(50).then(|| *dice.pick(&ZONES));
        let is_local_to_profile = dice.chance(40);
        let start_day = dice.chance(8).then(|| dice.between(-5, 20));
        let end_day = dice.chance(12).then(|| start_day.unwrap_or(0) + dice.between(1, 60));
        let exit_when = dice.chance(12).then(|| condition(dice, Roots::Inside, 1));
        let nodes = draw_nodes(dice, timeout_ms.unwrap_or(TIMEOUT_MS_MAX), others);
        let on_error = draw_error_ways(dice, &nodes);
        Self {
            name,
            reentry_ms,
            entry,
            supplemental_id,
            rule_set: dice.chance(35).then(|| *dice.pick(&RULE_SETS)),
            priority: dice.chance(40).then(|| dice.between(0, 100)),
            exits,
            exit_when,
            timeout_ms,
            timezone,
            is_local_to_profile,
            start_day,
            end_day,
            nodes,
            on_error,
            migration: None,
            description: dice.chance(40).then(|| *dice.pick(&expressions::DESCRIPTIONS)),
        }
    }

    /// Every span of time it names, in milliseconds.
    pub(super) fn spans_ms(&self) -> impl Iterator<Item = i64> + '_ {
        let own = [self.timeout_ms.unwrap_or(TIMEOUT_MS_MAX), self.reentry_ms.unwrap_or(Some(REENTRY_MS)).unwrap_or(0)];
        let nodes = self.nodes.iter().filter_map(|node| match node {
            Node::Wait(ms, _) => Some(*ms),
            Node::Event { within_ms, .. } => *within_ms,
            _ => None,
        });
        own.into_iter().chain(nodes)
    }

    /// It as a document.
    pub(super) fn text(&self) -> String {
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
        if let Some(zone) = self.timezone {
            text.push_str(&format!("timezone: {zone}\n"));
        }
        if self.is_local_to_profile {
            text.push_str("local_time: profile\n");
        }
        for (key, day) in [("start_date", self.start_day), ("end_date", self.end_day)] {
            text.extend(day.map(|day| format!("{key}: {}\n", moment(day, key.len() as i64))));
        }
        text.extend(self.migration.iter().map(|migration| format!("migration: {{ {migration} }}\n")));
        text.push_str("start: n0\nnodes:\n");
        for (number, (node, on_error)) in self.nodes.iter().zip(&self.on_error).enumerate() {
            let on_error = on_error.map(|to| format!(", on_error: n{to}")).unwrap_or_default();
            text.push_str(&format!("  n{number}: {{ {}{on_error} }}\n", node_text(node)));
        }
        text
    }
}

fn node_text(node: &Node) -> String {
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
        Node::Lookup(keys, to) => format!("lookup: gems, keys: \"{keys}\", fields: [points, id], then: n{to}"),
        Node::End => "end: true".to_owned(),
    }
}

/// Nodes 0 to `count - 1` and the end.
fn draw_nodes(dice: &mut Dice, timeout_ms: i64, others: &[String]) -> Vec<Node> {
    if dice.chance(1) {
        return treadmill(timeout_ms);
    }
    let count = dice.between(0, 9) as usize;
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..count {
        let node = draw_node(dice, &nodes, count, timeout_ms.min(WAIT_MS_MAX), others);
        nodes.push(node);
    }
    nodes.push(Node::End);
    ask_for_answers(dice, &mut nodes);
    for number in 0..count {
        if goes_round_at_once(&nodes, &[], number, Node::pauses) {
            // Ways of its own that lead ahead can't be part of a cycle.
            lead_ahead(&mut nodes[number], number);
        }
    }
    let goes_back = nodes.iter().enumerate().any(|(number, node)| node.targets().iter().any(|to| *to <= number));
    if goes_back {
        // Going round a thousand times is worth seeing, but rarely: it costs as much as a hundred other journeys.
        let (low_ms, high_ms) = if dice.chance(92) { (timeout_ms / 50, i64::MAX) } else { (1, timeout_ms / 5_000) };
        for node in &mut nodes {
            if let Node::Wait(ms, _) | Node::Event { within_ms: Some(ms), .. } = node {
                *ms = (*ms).clamp(low_ms, high_ms);
            }
        }
        let is_rare = high_ms < i64::MAX;
        for number in (0..count).filter(|_| !is_rare) {
            if goes_round_at_once(&nodes, &[], number, Node::surely_pauses) {
                lead_ahead(&mut nodes[number], number);
                nodes[number].lead_on(number + 1);
            }
        }
    }
    nodes
}

/// Where a journey calls the action, conditions may ask what it answered.
fn ask_for_answers(dice: &mut Dice, nodes: &mut [Node]) {
    let called = nodes.iter().enumerate().filter_map(|(number, node)| match node {
        Node::Action(callee, ..) if callee.starts_with("data") => Some("source.sky".to_owned()),
        Node::Action(..) => Some("action.ask".to_owned()),
        Node::Lookup(..) => Some(format!("lookup.n{number}")),
        _ => None,
    });
    let called: Vec<String> = called.collect();
    if called.is_empty() {
        return;
    }
    for node in nodes {
        if let Node::Condition(branches, _) = node
            && dice.chance(70)
        {
            let read = dice.pick(&called);
            let asked = if read.starts_with("lookup") { expressions::found(dice) } else { expressions::answer(dice) };
            branches[0].0 = format!("when: \"{}\"", asked.replace("ANSWER", read));
        }
    }
}

fn draw_node(dice: &mut Dice, before: &[Node], count: usize, wait_ms_max: i64, others: &[String]) -> Node {
    let next = before.len() + 1;
    let anywhere =
        |dice: &mut Dice| if dice.chance(25) { dice.index(count) } else { next + dice.index(count + 1 - next) };
    if matches!(before.last(), Some(Node::Message(..) | Node::Action(..))) && dice.chance(15) {
        // What comes while a pause holds somebody just before is to be there afterwards.
        let filter = Filter::draw(dice, Roots::Inside, 20);
        let within_ms = Some(drawn_duration(dice, wait_ms_max).0);
        return Node::Event { filter, since: "", within_ms, then: next, on_timeout: None };
    }
    match dice.below(24) {
        23 => Node::Lookup(dice.pick::<&str>(&["last.tag", "event.cart.id", "last.items.map(i, i.id)"]), next),
        16 => Node::Fragment(dice.pick::<&str>(&FRAGMENTS), next),
        17 | 18 => {
            let callee = dice.pick::<&str>(&["action: ask", "data: sky"]);
            Node::Action(callee, expressions::all_values(dice, &expressions::PARAMETERS), next)
        }
        19..23 => ways::draw(dice, next, anywhere),
        14 | 15 => draw_race(dice, before, wait_ms_max, |dice, place| if place == 0 { next } else { anywhere(dice) }),
        12 => Node::Update(expressions::values(dice, &expressions::PROFILE_FIELDS), next),
        13 if !others.is_empty() => {
            Node::Jump(dice.pick(others).clone(), expressions::values(dice, &expressions::EVENT_FIELDS), next)
        }
        0..2 => Node::Wait(drawn_duration(dice, wait_ms_max).0, next),
        2 => Node::Until(expressions::until(dice), next),
        10 => Node::Clock(clock_text(dice), next),
        11 => Node::Split(match dice.below(3) {
            0 => vec![("50", next), ("50", anywhere(dice))],
            1 => vec![("33.3", anywhere(dice)), ("66.7", next)],
            _ => vec![("0", anywhere(dice)), ("0.5", anywhere(dice)), ("99.5", next)],
        }),
        3..6 => {
            let mut branches: Vec<(String, usize)> =
                (0..dice.between(1, 4)).map(|_| (test_text(dice), anywhere(dice))).collect();
            let otherwise = dice.chance(60).then(|| anywhere(dice));
            let certain = dice.index(branches.len() + usize::from(otherwise.is_some()));
            match branches.get_mut(certain) {
                Some(branch) => branch.1 = next,
                None => return Node::Condition(branches, Some(next)),
            }
            Node::Condition(branches, otherwise)
        }
        6..8 => {
            let filter = awaited(dice, before);
            let since = since(dice);
            let within_ms = dice.chance(75).then(|| drawn_duration(dice, wait_ms_max).0);
            let other = (within_ms.is_some() && dice.chance(70)).then(|| anywhere(dice));
            match other {
                Some(other) if dice.chance(50) => {
                    Node::Event { filter, since, within_ms, then: other, on_timeout: Some(next) }
                }
                on_timeout => Node::Event { filter, since, within_ms, then: next, on_timeout },
            }
        }
        _ => Node::Message(dice.pick(&MESSAGES).0, next),
    }
}

/// From when on an event counts: mostly as usual.
fn since(dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(&["", "", "", ", since: here", ", since: entry", ", since: last_message"])
}

/// An event to await: feedback, where there is a message before.
fn awaited(dice: &mut Dice, before: &[Node]) -> Filter {
    let senders: Vec<usize> =
        before.iter().enumerate().filter(|(_, node)| matches!(node, Node::Message(..))).map(|(n, _)| n).collect();
    let mut filter = Filter::draw(dice, Roots::Inside, 40);
    if !senders.is_empty() && dice.chance(60) {
        // Feedback has properties of its own.
        filter.event = *dice.pick(&FEEDBACK_KINDS);
        filter.when = dice.chance(20).then(|| condition(dice, Roots::Entry, 1));
        filter.of = Some(*dice.pick(&senders));
    }
    filter
}

/// Two to four events and waits.
fn draw_race(dice: &mut Dice, before: &[Node], wait_ms_max: i64, target: impl Fn(&mut Dice, usize) -> usize) -> Node {
    let mut arms: Vec<(String, bool, usize)> = (0..dice.between(2, 4) as usize)
        .map(|place| {
            let arm = match dice.below(6) {
                0..3 => format!("{}{}", awaited(dice, before).text(), since(dice)),
                3 => format!("wait: {{ {} }}", clock_text(dice)),
                4 => format!("wait: {{ until: \"{}\" }}", expressions::until(dice)),
                _ => format!("wait: {}", duration_text(drawn_duration(dice, wait_ms_max).0)),
            };
            let is_event = arm.starts_with("event");
            (arm, is_event, target(dice, place))
        })
        .collect();
    let first = dice.index(arms.len());
    arms.swap(0, first);
    Node::FirstOf(arms)
}

/// What a branch asks for: mostly an expression.
fn test_text(dice: &mut Dice) -> String {
    match dice.below(10) {
        0 => {
            let from = dice.index(TIMES.len());
            let (from, to) = (TIMES[from], TIMES[(from + 1 + dice.index(TIMES.len() - 1)) % TIMES.len()]);
            format!("time: {{ days: [{}], from: \"{from}\", to: \"{to}\" }}", dice.pick(&DAYS))
        }
        1 => {
            let from = dice.between(0, 30);
            let (from, to) = (moment(from, dice.between(0, 2)), moment(from + dice.between(0, 60), dice.between(0, 2)));
            match dice.below(3) {
                0 => format!("date: {{ from: {from} }}"),
                1 => format!("date: {{ to: {to} }}"),
                _ => format!("date: {{ from: {from}, to: {to} }}"),
            }
        }
        _ => format!("when: \"{}\"", condition(dice, Roots::Inside, 2)),
    }
}

fn clock_text(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => format!("time: \"{}\"", dice.pick(&TIMES)),
        1 => format!("days: [{}]", dice.pick(&DAYS)),
        _ => format!("time: \"{}\", days: [{}]", dice.pick(&TIMES), dice.pick(&DAYS)),
    }
}

/// Ways for errors that lead ahead, where they close no cycle.
fn draw_error_ways(dice: &mut Dice, nodes: &[Node]) -> Vec<Option<usize>> {
    let mut ways = vec![None; nodes.len()];
    for (number, node) in nodes.iter().enumerate() {
        let ahead = nodes.len() - 1 - number;
        if node.may_fail() && dice.chance(40) {
            ways[number] = Some(number + 1 + dice.index(ahead));
            if goes_round_at_once(nodes, &ways, number, Node::pauses) {
                ways[number] = None;
            }
        }
    }
    ways
}
