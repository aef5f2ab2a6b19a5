//! Journeys drawn at random, and written down. Node `i` leads to `i + 1` in one of its ways, so that every node is reached
//! and every path can end; other ways lead ahead, or back where a wait or an event lies between.

pub(super) mod fragment;
mod migrations;
mod text;
mod ways;

use crate::sim::dice::Dice;
use crate::sim::workload::durations::{DAY_MS, HOUR_MS, MINUTE_MS, WAIT_MS_MAX, drawn_duration, duration_text};
use crate::sim::workload::{
    EVENT_KINDS, FEEDBACK_KINDS, FRAGMENTS, MESSAGES, RULE_SETS, RULED, Roots, condition, expressions,
};
use text::{clock_text, test_text};
use ways::{goes_round_at_once, lead_ahead, treadmill};

pub(super) use migrations::Origin;

/// The longest life of an instance (contract).
const TIMEOUT_MS_MAX: i64 = 91 * DAY_MS;
/// Zones that set their clocks by an hour, by half an hour, at midnight, and never.
pub(super) const ZONES: [&str; 6] =
    ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu", "Africa/Cairo"];
const TIMES: [&str; 8] = ["00:00", "00:30", "02:30", "09:00", "12:15", "23:59", "24:00", "17:45:30"];
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
    exit_when: Vec<String>,
    timeout_ms: Option<i64>,
    call_timeout: Option<&'static str>,
    timezone: Option<&'static str>,
    is_local_to_profile: bool,
    /// Days since the simulation began, in either direction, and how they are written.
    start_day: Option<(i64, i64)>,
    end_day: Option<(i64, i64)>,
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
    /// Weights, and the percentage held out, as far as they are written.
    Experiment(Vec<(Option<i64>, usize)>, Option<(Option<&'static str>, usize)>),
    /// What rules ask for, as text, and where others go.
    Targeting(Vec<(String, usize)>, Option<usize>),
    /// Places, if they are written; the way of those who get one, that of others.
    Cap(Option<i64>, usize, usize),
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
    /// Keys, fields, and where it leads.
    Lookup(&'static str, &'static str, usize),
    End,
}

impl Node {
    fn pauses(&self) -> bool {
        matches!(self, Self::Wait(..) | Self::Until(..) | Self::Clock(..) | Self::FirstOf(..) | Self::Event { .. })
    }

    fn may_fail(&self) -> bool {
        let always = matches!(self, Self::Condition(..) | Self::Targeting(..) | Self::Event { .. } | Self::FirstOf(..));
        let others = matches!(self, Self::Update(..) | Self::Jump(..) | Self::Action(..) | Self::Lookup(..));
        always || others || matches!(self, Self::Until(..) | Self::Fragment(..))
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
            | Self::Lookup(_, _, to)
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
        let exits = (0..*dice.pick(&[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3]))
            .map(|_| Filter::draw(dice, Roots::Inside, 65))
            .collect();
        let timezone = dice.chance(50).then(|| *dice.pick(&ZONES));
        let is_local_to_profile = dice.chance(40);
        let start_day = dice.chance(8).then(|| (dice.between(-5, 20), dice.between(0, 3)));
        let first_day = start_day.map_or(0, |(day, _)| day);
        let end_day = dice.chance(12).then(|| (first_day + dice.between(1, 60), dice.between(0, 3)));
        let exits_when = if dice.chance(12) { *dice.pick(&[1, 1, 1, 2]) } else { 0 };
        let exit_when = (0..exits_when).map(|_| condition(dice, Roots::Inside, 1)).collect();
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
            call_timeout: dice.chance(15).then(|| *dice.pick::<&str>(&["1s", "5s", "PT20S", "30s"])),
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
}

/// Nodes 0 to `count - 1` and the end.
fn draw_nodes(dice: &mut Dice, timeout_ms: i64, others: &[String]) -> Vec<Node> {
    if dice.chance(1) {
        return treadmill(timeout_ms);
    }
    let count = dice.between(0, 9) as usize;
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..count {
        let wait_ms_max = timeout_ms.min(WAIT_MS_MAX);
        let node = draw_node(dice, Site { before: &nodes, count, wait_ms_max, others: Some(others) });
        nodes.push(node);
    }
    nodes.push(Node::End);
    ask_for_answers(dice, &mut nodes, |node| matches!(node, Node::Action(..) | Node::Lookup(..)));
    for number in 0..count {
        if goes_round_at_once(&nodes, &[], number, Node::pauses) {
            // Ways of its own that lead ahead can't be part of a cycle.
            lead_ahead(&mut nodes[number], number);
        }
    }
    let goes_back = nodes.iter().enumerate().any(|(number, node)| node.targets().iter().any(|to| *to <= number));
    if goes_back {
        // Going round a thousand times is worth seeing, but rarely: it costs as much as a hundred other journeys. With calls it
        // would take thousands of profiles hours.
        let calls = nodes.iter().any(|node| matches!(node, Node::Action(..)));
        let (low_ms, high_ms) =
            if dice.chance(92) || calls { (timeout_ms / 50, i64::MAX) } else { (1, timeout_ms / 5_000) };
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

/// Where a journey calls the action, conditions may ask what it answered; and so for all nodes that are `readable`.
fn ask_for_answers(dice: &mut Dice, nodes: &mut [Node], readable: fn(&Node) -> bool) {
    let called = nodes.iter().enumerate().filter(|(_, node)| readable(node)).filter_map(|(number, node)| match node {
        Node::Action(callee, ..) if callee.starts_with("data") => Some((number, "source.sky".to_owned(), "")),
        Node::Action(..) => Some((number, "action.ask".to_owned(), "")),
        Node::Lookup(_, fields, _) => Some((number, format!("lookup.n{number}"), *fields)),
        _ => None,
    });
    let called: Vec<(usize, String, &str)> = called.collect();
    if called.is_empty() {
        return;
    }
    for (number, node) in nodes.iter_mut().enumerate() {
        // Mostly of what was called before.
        let earlier = called.partition_point(|(known, ..)| *known < number);
        let known = if earlier > 0 && dice.chance(80) { &called[..earlier] } else { &called[..] };
        let (_, read, fields) = dice.pick(known);
        let callee = read.split('.').next().unwrap_or_default();
        match node {
            Node::Condition(branches, _) if dice.chance(70) => {
                let asked =
                    if fields.is_empty() { expressions::answer(dice) } else { expressions::found(dice, fields) };
                branches[0].0 = format!("when: \"{}\"", asked.replace("ANSWER", read).replace("CALLEE", callee));
            }
            Node::Update(fields, _) if callee != "lookup" && dice.chance(70) => {
                *fields = format!("points: \"journey.{callee}_ms\"");
            }
            _ => {}
        }
    }
}

/// Where a node is drawn.
#[derive(Clone, Copy)]
struct Site<'a> {
    before: &'a [Node],
    /// Nodes in all.
    count: usize,
    wait_ms_max: i64,
    /// Journeys to jump to. None: in a fragment, whose ways all lead ahead, and which takes over no other.
    others: Option<&'a [String]>,
}

fn draw_node(dice: &mut Dice, site: Site<'_>) -> Node {
    let Site { before, count, wait_ms_max, others } = site;
    let next = before.len() + 1;
    let back_percent = if others.is_some() { 25 } else { 0 };
    let anywhere = |dice: &mut Dice| match dice.chance(back_percent) {
        true => dice.index(count),
        false => next + dice.index(count + 1 - next),
    };
    if matches!(before.last(), Some(Node::Message(..) | Node::Action(..))) && dice.chance(15) {
        // What comes while a pause holds somebody just before is to be there afterwards.
        let filter = Filter::draw(dice, Roots::Inside, 20);
        let within_ms = Some(drawn_duration(dice, wait_ms_max).0);
        return Node::Event { filter, since: "", within_ms, then: next, on_timeout: None };
    }
    match (dice.below(24), others) {
        (23, _) => {
            let keys = dice.pick::<&str>(&["last.tag", "event.cart.id", "last.items.map(i, i.id)", "event.tags"]);
            Node::Lookup(keys, dice.pick::<&str>(&["points, id", "points, id, price, rare, found"]), next)
        }
        (16, Some(_)) => Node::Fragment(dice.pick::<&str>(&FRAGMENTS), next),
        (17 | 18, _) => {
            let callee = dice.pick::<&str>(&["action: ask", "data: sky"]);
            // With something in it that a path can't have as it is.
            let with = expressions::all_values(dice, &expressions::PARAMETERS).replace("'a'", "'a b/ä'");
            Node::Action(callee, with, next)
        }
        (19..23, _) => ways::draw(dice, next, anywhere),
        (14 | 15, _) => {
            draw_race(dice, before, wait_ms_max, |dice, place| if place == 0 { next } else { anywhere(dice) })
        }
        (12, _) => Node::Update(expressions::values(dice, &expressions::PROFILE_FIELDS), next),
        (13, Some(others)) if !others.is_empty() => {
            Node::Jump(dice.pick(others).clone(), expressions::values(dice, &expressions::EVENT_FIELDS), next)
        }
        (0..2, _) => Node::Wait(drawn_duration(dice, wait_ms_max).0, next),
        (2, _) => Node::Until(expressions::until(dice), next),
        (10, _) => Node::Clock(clock_text(dice), next),
        (11, _) => Node::Split(match dice.below(8) {
            6 => vec![("25", next), ("25", anywhere(dice)), ("25", anywhere(dice)), ("25", anywhere(dice))],
            0 | 7 => vec![("50", next), ("50", anywhere(dice))],
            1 | 2 => vec![("33.3", anywhere(dice)), ("66.7", next)],
            _ => vec![("0", anywhere(dice)), ("0.5", anywhere(dice)), ("99.5", next)],
        }),
        (3..6, _) => {
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
        (6..8, _) => {
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
        filter.when = match dice.below(20) {
            0..4 => Some(condition(dice, Roots::Entry, 1)),
            4 | 5 => Some(expressions::of_feedback(dice)),
            _ => None,
        };
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
