//! A second, simple interpreter of journeys, written from the contract alone, against which random runs are compared.
//!
//! It knows one journey at a time, since journeys of one profile share nothing but its document.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;
use crate::domain::journey::program::NodeKind;
use crate::runtime::report::{Tally, report};

/// Whether something is greater than a bound: `event.n`, `last.n`, `profile.points`, or `60 / event.n`.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Event(i64),
    Last(i64),
    Points(i64),
    Ratio(i64),
}

#[derive(Clone, Debug)]
struct Filter {
    kind: &'static str,
    ask: Option<Ask>,
}

/// A node; targets are numbers of nodes, times are minutes.
#[derive(Clone, Debug)]
enum Form {
    Wait(i64, usize),
    Until(i64, usize),
    If(Vec<(Ask, usize)>, Option<usize>),
    Hear(Filter, Option<i64>, usize, Option<usize>),
    Say(usize),
    End,
}

#[derive(Clone, Debug)]
struct Plan {
    entry: Filter,
    exit: Vec<Filter>,
    /// `None` = never.
    again_after: Option<i64>,
    timeout: i64,
    nodes: Vec<Form>,
}

impl Ask {
    fn text(self) -> String {
        match self {
            Self::Event(k) => format!("event.n > {k}"),
            Self::Last(k) => format!("last.n > {k}"),
            Self::Points(k) => format!("profile.points > {k}"),
            Self::Ratio(k) => format!("60 / event.n > {k}"),
        }
    }

    fn holds(self, event: Option<i64>, last: Option<i64>, points: Option<i64>) -> Result<bool, ()> {
        Ok(match self {
            Self::Event(k) => event.is_some_and(|n| n > k),
            Self::Last(k) => last.is_some_and(|n| n > k),
            Self::Points(k) => points.is_some_and(|n| n > k),
            Self::Ratio(_) if event == Some(0) => return Err(()),
            Self::Ratio(k) => event.is_some_and(|n| 60 / n > k),
        })
    }
}

impl Filter {
    fn text(&self) -> String {
        let when = self.ask.map(|ask| format!(", when: {}", ask.text())).unwrap_or_default();
        format!("event: {}{when}", self.kind)
    }
}

impl Plan {
    fn text(&self, name: &str) -> String {
        let exits: Vec<String> = self.exit.iter().map(|exit| format!("{{ {} }}", exit.text())).collect();
        let again = self.again_after.map_or("never".to_owned(), |after| format!("{{ after: {after}m }}"));
        let mut text = format!(
            "---\nkind: journey\nname: {name}\nentry: {{ {} }}\nexit: [ {} ]\nreentry: {again}\ntimeout: {}m\nstart: n0\nnodes:\n",
            self.entry.text(),
            exits.join(", "),
            self.timeout
        );
        for (number, node) in self.nodes.iter().enumerate() {
            let form = match node {
                Form::Wait(minutes, to) => format!("wait: {minutes}m, then: n{to}"),
                Form::Until(minutes, to) => {
                    format!("wait: {{ until: meta.time + duration('{minutes}m') }}, then: n{to}")
                }
                Form::If(branches, otherwise) => {
                    let branch = |(ask, to): &(Ask, usize)| format!("{{ when: {}, then: n{to} }}", ask.text());
                    let branches: Vec<String> = branches.iter().map(branch).collect();
                    let otherwise = otherwise.map(|to| format!(", otherwise: n{to}")).unwrap_or_default();
                    format!("condition: [ {} ]{otherwise}", branches.join(", "))
                }
                Form::Hear(filter, within, to, late) => {
                    let within = within.map(|minutes| format!(", within: {minutes}m")).unwrap_or_default();
                    let late = late.map(|to| format!(", on_timeout: n{to}")).unwrap_or_default();
                    format!("{}{within}, then: n{to}{late}", filter.text())
                }
                Form::Say(to) => format!("message: hello, then: n{to}"),
                Form::End => "end: true".to_owned(),
            };
            text.push_str(&format!("  n{number}: {{ {form} }}\n"));
        }
        text
    }
}

#[derive(Clone, Debug)]
struct Inside {
    node: usize,
    event: Option<i64>,
    last: Option<i64>,
    since: i64,
    /// When the node's own timer is due.
    wakes: Option<i64>,
}

/// One journey of one profile; instants are minutes.
struct Model {
    plan: Plan,
    virtual_time: bool,
    inside: Option<Inside>,
    entered_last: Option<i64>,
    points: Option<i64>,
    counts: BTreeMap<String, u64>,
}

impl Model {
    fn new(plan: Plan, virtual_time: bool) -> Self {
        Self { plan, virtual_time, inside: None, entered_last: None, points: None, counts: BTreeMap::new() }
    }

    fn take(&mut self, now: i64, input: &Input) {
        match input {
            Input::Event(kind, n) => self.event(now, kind, *n),
            Input::Tick => self.time(now),
            Input::Points(n) => {
                self.time(now);
                self.points = *n;
            }
        }
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    fn end(&mut self, how: &str) {
        let node = self.inside.take().expect("someone is inside").node;
        self.count(how);
        self.count(if how == "errors" { format!("n{node} errors") } else { format!("n{node} exited") });
    }

    fn time(&mut self, now: i64) {
        while let Some(inside) = self.inside.clone() {
            let ends = inside.since + self.plan.timeout;
            let own = inside.wakes.filter(|wakes| *wakes <= ends);
            let due = own.unwrap_or(ends);
            if due > now {
                return;
            }
            if own.is_none() {
                self.end("timeout");
                return;
            }
            let to = match &self.plan.nodes[inside.node] {
                Form::Wait(_, to) | Form::Until(_, to) => *to,
                Form::Hear(_, _, to, late) => late.unwrap_or(*to),
                other => panic!("nobody waits at {other:?}"),
            };
            self.go(to, if self.virtual_time { due } else { now });
        }
    }

    fn event(&mut self, now: i64, kind: &str, n: Option<i64>) {
        self.time(now);
        self.offer(now, kind, n);
        if self.plan.entry.kind != kind {
            return;
        }
        match self.plan.entry.ask.map_or(Ok(true), |ask| ask.holds(n, n, self.points)) {
            Err(()) => return self.count("entry_filter_error"),
            Ok(false) => return,
            Ok(true) => {}
        }
        if self.inside.is_some() {
            return self.count("already_in_journey");
        }
        let soon = |before: i64| self.plan.again_after.is_none_or(|after| now - before < after);
        if self.entered_last.is_some_and(soon) {
            return self.count("reentrance_not_allowed");
        }
        self.count("entered");
        self.entered_last = Some(now);
        self.inside = Some(Inside { node: 0, event: n, last: n, since: now, wakes: None });
        self.arrive(now);
    }

    fn offer(&mut self, now: i64, kind: &str, n: Option<i64>) {
        let Some(inside) = self.inside.clone() else { return };
        for exit in self.plan.exit.clone().iter().filter(|exit| exit.kind == kind) {
            match exit.ask.map_or(Ok(true), |ask| ask.holds(inside.event, n, self.points)) {
                Err(()) => return self.end("errors"),
                Ok(true) => return self.end("criteria"),
                Ok(false) => {}
            }
        }
        let Form::Hear(filter, _, to, _) = self.plan.nodes[inside.node].clone() else { return };
        if filter.kind != kind {
            return;
        }
        match filter.ask.map_or(Ok(true), |ask| ask.holds(inside.event, n, self.points)) {
            Err(()) => self.end("errors"),
            Ok(false) => {}
            Ok(true) => {
                self.inside.as_mut().expect("still inside").last = n;
                self.go(to, now);
            }
        }
    }

    fn go(&mut self, to: usize, now: i64) {
        let inside = self.inside.as_mut().expect("someone is inside");
        let from = std::mem::replace(&mut inside.node, to);
        inside.wakes = None;
        self.count(format!("n{from} left"));
        self.arrive(now);
    }

    fn arrive(&mut self, now: i64) {
        let inside = self.inside.clone().expect("someone is inside");
        self.count(format!("n{} entered", inside.node));
        let wakes = match self.plan.nodes[inside.node].clone() {
            Form::Wait(minutes, _) => Some(now + minutes),
            Form::Until(minutes, to) if inside.since + minutes <= now => return self.go(to, now),
            Form::Until(minutes, _) => Some(inside.since + minutes),
            Form::Hear(_, within, _, _) => within.map(|within| now + within),
            Form::Say(to) => {
                self.count("hello");
                return self.go(to, now);
            }
            Form::End => return self.end("completed"),
            Form::If(branches, otherwise) => {
                for (ask, to) in branches {
                    match ask.holds(inside.event, inside.last, self.points) {
                        Err(()) => return self.end("errors"),
                        Ok(true) => return self.go(to, now),
                        Ok(false) => {}
                    }
                }
                return match otherwise {
                    Some(to) => self.go(to, now),
                    None => self.end("completed"),
                };
            }
        };
        self.inside.as_mut().expect("still inside").wakes = wakes;
    }
}

fn ask(among: std::ops::Range<u8>) -> impl Strategy<Value = Ask> {
    (among, -1..4i64).prop_map(|(which, k)| match which {
        0 => Ask::Event(k),
        1 => Ask::Points(k),
        2 => Ask::Ratio(k * 20),
        _ => Ask::Last(k),
    })
}

fn filter(asks: std::ops::Range<u8>) -> impl Strategy<Value = Filter> {
    (prop::sample::select(vec!["go", "buy"]), prop::option::of(ask(asks))).prop_map(|(kind, ask)| Filter { kind, ask })
}

/// The node `number` of `count`: the first way on leads to the next node, so that all are reached; only what pauses may
/// lead back.
fn form(number: usize, count: usize) -> BoxedStrategy<Form> {
    let next = number + 1;
    if next == count {
        return Just(Form::End).boxed();
    }
    let minutes = || prop::sample::select(vec![1i64, 30, 45, 60]);
    let (ahead, anywhere) = (next..count, 0..count);
    prop_oneof![
        minutes().prop_map(move |m| Form::Wait(m, next)),
        minutes().prop_map(move |m| Form::Until(m, next)),
        (prop::collection::vec((ask(0..4), ahead.clone()), 0..3), ask(0..4), prop::option::of(ahead)).prop_map(
            move |(mut branches, ask, otherwise)| {
                branches.push((ask, next));
                Form::If(branches, otherwise)
            }
        ),
        (filter(0..4), prop::option::of((minutes(), prop::option::of(anywhere)))).prop_map(move |(filter, late)| {
            let (within, late) = late.map_or((None, None), |(within, late)| (Some(within), late));
            Form::Hear(filter, within, next, late)
        }),
        Just(Form::Say(next)),
    ]
    .boxed()
}

fn plan() -> impl Strategy<Value = Plan> {
    let again = prop::option::of(prop::sample::select(vec![5i64, 30, 60]));
    let timeout = prop::sample::select(vec![60i64, 90, 180, 2_000]);
    let nodes = (1..8usize).prop_flat_map(|count| (0..count).map(|n| form(n, count)).collect::<Vec<_>>());
    (filter(0..3), prop::collection::vec(filter(0..4), 0..2), again, timeout, nodes)
        .prop_map(|(entry, exit, again_after, timeout, nodes)| Plan { entry, exit, again_after, timeout, nodes })
}

#[derive(Clone, Debug)]
enum Input {
    Event(&'static str, Option<i64>),
    Points(Option<i64>),
    Tick,
}

fn input() -> impl Strategy<Value = (i64, Input)> {
    let n = || prop::option::weighted(0.9, -1..5i64);
    let what = prop_oneof![
        6 => (prop::sample::select(vec!["go", "buy"]), n()).prop_map(|(kind, n)| Input::Event(kind, n)),
        1 => n().prop_map(Input::Points),
        2 => Just(Input::Tick),
    ];
    (prop_oneof![Just(0), Just(1), Just(5), Just(30), Just(60), 0..100i64], what)
}

/// What the engine's report says, in the words of [`Model::counts`], without zeros.
fn reported(rig: &Rig, name: &str) -> BTreeMap<String, u64> {
    let tally = Tally { counts: rig.counts.clone(), events: 0, hash_sum: 0, now: Millis(0) };
    let report = report(&tally, &rig.catalog, None).journeys[name].clone();
    let mut counts: BTreeMap<String, u64> = report.exited.into_iter().chain(report.discarded).collect();
    counts.insert("entered".to_owned(), report.entered);
    counts.insert("errors".to_owned(), report.errors);
    for (node, n) in report.nodes {
        for (what, n) in [("entered", n.entered), ("left", n.left), ("exited", n.exited), ("errors", n.errors)] {
            counts.insert(format!("{node} {what}"), n);
        }
    }
    counts.extend(report.messages.into_iter().map(|(message, n)| (message, n.pending)));
    counts.retain(|_, n| *n > 0);
    counts
}

/// Where an instance is, and when its next timer is due in minutes.
fn stands(rig: &Rig, name: &str) -> Option<(String, i64)> {
    let journey = rig.catalog.journey_id(name).expect("is published");
    let instance = rig.profile.running(journey, None)?;
    let node = rig.catalog.program(instance.version).node(instance.node);
    assert!(!matches!(node.kind, NodeKind::Condition { .. } | NodeKind::End));
    Some((node.name.to_string(), (instance.due.0 - START.0) / 60_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn engine_and_reference_agree(
        plans in prop::collection::vec(plan(), 1..3),
        inputs in prop::collection::vec(input(), 1..40),
        virtual_time in any::<bool>(),
    ) {
        let texts: Vec<String> = plans.iter().enumerate().map(|(n, plan)| plan.text(&format!("p{n}"))).collect();
        let mut rig = Rig::new(&texts.concat()[4..]);
        rig.firing = if virtual_time { Firing::Due } else { Firing::Engine };
        let mut models: Vec<Model> = plans
            .into_iter()
            .map(|plan| Model { plan, virtual_time, inside: None, entered_last: None, points: None, counts: BTreeMap::new() })
            .collect();
        let mut now = 0;
        for (later, input) in inputs {
            now += later;
            let line = match &input {
                Input::Event(kind, n) => format!("{kind} {{\"n\": {}}}", n.map_or("null".to_owned(), |n| n.to_string())),
                Input::Points(n) => format!("profile.update {{\"points\": {}}}", n.map_or("null".to_owned(), |n| n.to_string())),
                Input::Tick => "tick".to_owned(),
            };
            rig.line(START.plus(now * 60_000), &line);
            for (number, model) in models.iter_mut().enumerate() {
                model.take(now, &input);
                let name = format!("p{number}");
                let expected = model.inside.as_ref().map(|inside| {
                    let ends = inside.since + model.plan.timeout;
                    (format!("n{}", inside.node), inside.wakes.map_or(ends, |wakes| wakes.min(ends)))
                });
                prop_assert_eq!(stands(&rig, &name), expected, "after `{}` at {} min\n{}\n{}", line, now, texts.concat(), rig.log.join("\n"));
                prop_assert_eq!(reported(&rig, &name), model.counts.clone(), "after `{}` at {} min\n{}\n{}", line, now, texts.concat(), rig.log.join("\n"));
            }
        }
    }
}

/// Random runs come to every kind of end, or comparing them would say little.
#[test]
fn random_runs_come_to_every_end() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let runs = (plan(), prop::collection::vec(input(), 1..40));
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..300 {
        let (plan, inputs) = runs.new_tree(&mut runner).expect("generates").current();
        let mut model = Model::new(plan, false);
        let mut now = 0;
        for (later, input) in inputs {
            now += later;
            model.take(now, &input);
        }
        for (what, n) in model.counts {
            *seen.entry(what).or_default() += n;
        }
    }
    for what in [
        "entered",
        "completed",
        "criteria",
        "timeout",
        "errors",
        "already_in_journey",
        "reentrance_not_allowed",
        "entry_filter_error",
        "hello",
        "n0 left",
        "n5 exited",
    ] {
        assert!(seen.get(what).is_some_and(|n| *n > 5), "{what}: {seen:#?}");
    }
}
