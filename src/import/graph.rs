//! The nodes of one journey while it is put together: ways lead to ids of the source, and become names in the end.
//!
//! Owns what any graph of ours must be and those of others need not: no way leads nowhere, none goes round without a wait or a
//! way out, no node lies aside, feedback is awaited behind its message. Whatever is changed for that is reported.

use std::collections::BTreeMap;

use super::report::{Report, Subject};
use super::split::AT_ONCE_MS;
use super::text::Names;

/// Where a way leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    End,
    /// To whatever a part of the source becomes.
    Source(String),
    /// To a node of ours.
    Node(String),
}

impl Target {
    /// To a part of the source; to the end where it names none.
    pub(super) fn to(id: Option<&str>) -> Self {
        id.filter(|id| !id.is_empty()).map_or(Self::End, |id| Self::Source(id.to_owned()))
    }
}

/// When a wait ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wait {
    /// After so many milliseconds, 1 to 90 days.
    For(i64),
    /// At the instant an expression gives.
    Until(String),
    /// When the clock shows this, on these days (all of them if empty).
    At(String, Vec<&'static str>),
}

/// An event that is awaited.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    pub(super) event: String,
    /// Id in the source of the part that sends the message it is about.
    pub(super) of: Option<String>,
    pub(super) when: Option<String>,
    /// Whether what came since the entry counts.
    pub(super) since: Since,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    Here,
    Entry,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    Wait(Wait, Target),
    Condition(Vec<(String, Target)>, Target),
    /// Shares in hundredths of a percent; together 10,000.
    Split(Vec<(u32, Target)>),
    Message(String, Target),
    /// An event, for how long (milliseconds), where it leads, and where its absence does.
    Event(Heard, i64, Target, Target),
    FirstOf(Vec<(Heard, Target)>, Wait, Target),
    Update(Vec<(String, String)>, Target),
    Jump(String, Target),
}

impl Form {
    /// Where its ways lead.
    pub(super) fn targets_mut(&mut self) -> Vec<&mut Target> {
        match self {
            Self::Wait(_, then) | Self::Message(_, then) | Self::Update(_, then) | Self::Jump(_, then) => vec![then],
            Self::Condition(branches, otherwise) => {
                branches.iter_mut().map(|(_, then)| then).chain([otherwise]).collect()
            }
            Self::Split(ways) => ways.iter_mut().map(|(_, then)| then).collect(),
            Self::Event(_, _, then, on_timeout) => vec![then, on_timeout],
            Self::FirstOf(ways, _, then) => ways.iter_mut().map(|(_, then)| then).chain([then]).collect(),
        }
    }

    /// Whether everybody stays here for some time: an instant that has passed, and an event that came before, keep nobody.
    fn takes_time(&self) -> bool {
        let waits = |wait: &Wait| match wait {
            Wait::For(span_ms) => *span_ms > AT_ONCE_MS,
            Wait::At(..) => true,
            Wait::Until(_) => false,
        };
        let hears = |heard: &Heard| heard.since == Since::Here;
        match self {
            Self::Wait(wait, _) => waits(wait),
            Self::Event(heard, within_ms, ..) => hears(heard) && *within_ms > AT_ONCE_MS,
            Self::FirstOf(ways, wait, _) => waits(wait) && ways.iter().all(|(heard, _)| hears(heard)),
            _ => false,
        }
    }

    /// Whether it awaits feedback that nobody can send.
    pub(super) fn is_deaf(&self) -> bool {
        match self {
            Self::Event(heard, ..) => heard.event == UNHEARD,
            Self::FirstOf(ways, ..) => ways.iter().any(|(heard, _)| heard.event == UNHEARD),
            _ => false,
        }
    }

    fn heard_mut(&mut self) -> Vec<&mut Heard> {
        match self {
            Self::Event(heard, ..) => vec![heard],
            Self::FirstOf(ways, ..) => ways.iter_mut().map(|(heard, _)| heard).collect(),
            _ => Vec::new(),
        }
    }
}

/// A node with its name.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) form: Form,
    subject: Subject,
}

/// The graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    entries: BTreeMap<String, Target>,
    names: Names,
}

/// A graph that is one of ours: its first node, its nodes in the order one comes to them, the name of its end.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) start: String,
    pub(super) nodes: Vec<Node>,
    pub(super) end: String,
}

impl Graph {
    /// Adds a node called like `wanted`. Answers how to lead to it.
    pub(super) fn add(&mut self, subject: &Subject, wanted: &str, form: Form) -> (String, Target) {
        let name = self.names.take(wanted, &subject.id);
        self.nodes.push(Node { name: name.clone(), form, subject: subject.clone() });
        (name.clone(), Target::Node(name))
    }

    /// Says what a part of the source becomes.
    pub(super) fn enter(&mut self, id: &str, target: Target) {
        self.entries.insert(id.to_owned(), target);
    }

    /// Where a way really leads: a node, or the end. Ways through parts that became nothing are followed.
    fn resolve(&self, target: &Target) -> Result<Option<usize>, String> {
        let mut target = target;
        for _ in 0..=self.entries.len() {
            match target {
                Target::End => return Ok(None),
                Target::Node(name) => return Ok(self.nodes.iter().position(|node| node.name == *name)),
                Target::Source(id) => target = self.entries.get(id).ok_or_else(|| id.clone())?,
            }
        }
        Ok(None)
    }

    /// Resolves every way, and makes the graph one of ours.
    pub(super) fn finish(mut self, start: &Target, journey: &Subject, report: &mut Report) -> Finished {
        let end = self.names.take("end", "end");
        let ways: Vec<Vec<Option<usize>>> = (0..self.nodes.len()).map(|index| self.ways_of(index, report)).collect();
        let start = match self.resolve(start) {
            Ok(start) => start,
            Err(id) => {
                report.lost(journey, format!("starts at `{id}`, which is not there"), "correct the definition");
                None
            }
        };
        let (ways, order) = self.without_circles(ways, start, report);
        for (index, node) in self.nodes.iter().enumerate() {
            if !order.contains(&index) {
                let text = format!("no way leads to node `{}`: left out", node.name);
                report.lost(&node.subject, text, "lead to it, or leave it");
            }
        }
        self.await_behind_messages(&ways, &order, report);
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        for (node, ways) in self.nodes.iter_mut().zip(ways) {
            for (target, way) in node.form.targets_mut().into_iter().zip(ways) {
                *target = way.map_or(Target::End, |index| Target::Node(names[index].clone()));
            }
        }
        let start = start.map_or_else(|| end.clone(), |index| names[index].clone());
        let nodes = order.into_iter().map(|index| self.nodes[index].clone()).collect();
        Finished { start, nodes, end }
    }

    fn ways_of(&self, index: usize, report: &mut Report) -> Vec<Option<usize>> {
        let mut node = self.nodes[index].clone();
        let resolved = node.form.targets_mut().into_iter().map(|target| self.resolve(target));
        let resolved: Vec<Result<Option<usize>, String>> = resolved.collect();
        let lost = |id: &String, report: &mut Report| {
            let text = format!("leads to `{id}`, which is not there: it ends the journey");
            report.lost(&node.subject, text, "correct the definition");
        };
        resolved
            .into_iter()
            .map(|way| {
                way.unwrap_or_else(|id| {
                    lost(&id, report);
                    None
                })
            })
            .collect()
    }

    /// Ways that go back to where one came from lead to the end, unless the circle they close takes time and has a way out. Answers
    /// the ways, and the nodes in the order a walk in depth comes to them.
    fn without_circles(
        &self,
        mut ways: Vec<Vec<Option<usize>>>,
        start: Option<usize>,
        report: &mut Report,
    ) -> (Vec<Vec<Option<usize>>>, Vec<usize>) {
        let (mut open, mut order) = (vec![false; ways.len()], Vec::new());
        let mut seen = vec![false; ways.len()];
        let mut back: Vec<(usize, usize, usize)> = Vec::new();
        // Where the walk is: nodes, and which of its ways comes next. Depth is that of the source, so no recursion.
        let mut walk: Vec<(usize, usize)> = Vec::new();
        if let Some(start) = start {
            walk.push((start, 0));
            (open[start], seen[start]) = (true, true);
            order.push(start);
        }
        while let Some((node, way)) = walk.last_mut() {
            let (node, slot) = (*node, *way);
            *way += 1;
            match ways[node].get(slot).copied() {
                None => {
                    open[node] = false;
                    walk.pop();
                }
                Some(Some(next)) if open[next] => {
                    ways[node][slot] = None;
                    back.push((node, slot, next));
                }
                Some(Some(next)) if !seen[next] => {
                    (open[next], seen[next]) = (true, true);
                    order.push(next);
                    walk.push((next, 0));
                }
                Some(_) => {}
            }
        }
        let takes_time: Vec<bool> = self.nodes.iter().map(|node| node.form.takes_time()).collect();
        for (node, slot, next) in back {
            ways[node][slot] = Some(next);
            let name = &self.nodes[next].name;
            if goes_round_in_time(&ways, &takes_time, node, next) && order.iter().all(|node| ends(&ways, *node)) {
                let text = format!("goes back to node `{name}`: a profile comes to a node 1,000 times at most");
                report.differs(
                    &self.nodes[node].subject,
                    text,
                    "let the journey's `timeout` end it, or count the rounds",
                );
                continue;
            }
            ways[node][slot] = None;
            let text = format!("goes back to node `{name}`: it ends the journey instead");
            let help = "lead back by hand; a circle needs a wait or an event in it, and a way out";
            report.lost(&self.nodes[node].subject, text, help);
        }
        (ways, order)
    }

    /// Names the message nodes that feedback is about. Where there is none before, or one that nobody comes to, the wait stays
    /// and nothing is heard.
    fn await_behind_messages(&mut self, ways: &[Vec<Option<usize>>], reached: &[usize], report: &mut Report) {
        for index in 0..self.nodes.len() {
            let mut form = self.nodes[index].form.clone();
            let mut deaf = Vec::new();
            for (slot, heard) in form.heard_mut().into_iter().enumerate() {
                let Some(of) = heard.of.take() else { continue };
                let message = self.resolve(&Target::Source(of.clone())).ok().flatten();
                let sends = message.filter(|message| matches!(self.nodes[*message].form, Form::Message(..)));
                match sends.filter(|message| reached.contains(message) && leads(ways, *message, index)) {
                    Some(message) => heard.of = Some(self.nodes[message].name.clone()),
                    None => deaf.push((slot, of, heard.event.clone())),
                }
            }
            for (_, of, event) in &deaf {
                let text = format!("`{event}` of `{of}` is not heard: no message is sent there before");
                let help = "await the right event in place of `feedback_not_mapped`, and name the message node in `of`";
                report.lost(&self.nodes[index].subject, text, help);
            }
            if !deaf.is_empty() {
                form = without(form, &deaf.iter().map(|(slot, ..)| *slot).collect::<Vec<_>>());
            }
            self.nodes[index].form = form;
        }
    }
}

/// Whether everybody who goes round by the way from `node` back to `next` waits somewhere.
fn goes_round_in_time(ways: &[Vec<Option<usize>>], takes_time: &[bool], node: usize, next: usize) -> bool {
    let at_once =
        ways.iter().zip(takes_time).map(|(ways, takes_time)| if *takes_time { Vec::new() } else { ways.clone() });
    let at_once: Vec<_> = at_once.collect();
    takes_time[node] || takes_time[next] || (node != next && !leads(&at_once, next, node))
}

/// Whether a way leads from a node to the end.
fn ends(ways: &[Vec<Option<usize>>], from: usize) -> bool {
    let (mut open, mut seen) = (vec![from], vec![false; ways.len()]);
    while let Some(node) = open.pop() {
        if ways[node].contains(&None) {
            return true;
        }
        open.extend(ways[node].iter().flatten().filter(|next| !std::mem::replace(&mut seen[**next], true)));
    }
    false
}

/// Whether a way leads from one node to another.
fn leads(ways: &[Vec<Option<usize>>], from: usize, to: usize) -> bool {
    let (mut open, mut seen) = (vec![from], vec![false; ways.len()]);
    while let Some(node) = open.pop() {
        for next in ways[node].iter().flatten() {
            if *next == to {
                return true;
            }
            if !std::mem::replace(&mut seen[*next], true) {
                open.push(*next);
            }
        }
    }
    false
}

/// The event in the place of feedback that can't be awaited: nobody sends it, until somebody says what is meant.
pub(super) const UNHEARD: &str = "feedback_not_mapped";

fn unheard(since: Since) -> Heard {
    Heard { event: UNHEARD.to_owned(), of: None, when: None, since }
}

/// A form that no longer hears what stands in these places, with as many ways as before.
fn without(form: Form, slots: &[usize]) -> Form {
    match form {
        // Both ways stay, so that ways and targets keep their places.
        Form::Event(heard, within, then, on_timeout) if slots.contains(&0) => {
            Form::Event(unheard(heard.since), within, then, on_timeout)
        }
        Form::FirstOf(ways, wait, then) => {
            let deafen = |(slot, (heard, target)): (usize, (Heard, Target))| {
                (if slots.contains(&slot) { unheard(heard.since) } else { heard }, target)
            };
            Form::FirstOf(ways.into_iter().enumerate().map(deafen).collect(), wait, then)
        }
        form => form,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::report::Item;

    fn subject(id: &str) -> Subject {
        Subject { kind: "node".to_owned(), id: id.to_owned(), ..Subject::default() }
    }

    fn to(id: &str) -> Target {
        Target::to(Some(id))
    }

    /// Nodes by the ids of their source; what the report says of them.
    fn check(parts: &[(&str, Form)], start: &str, expected: &[(&str, &[Option<&str>])], told: &[&str]) {
        let (mut graph, mut report) = (Graph::default(), Report::default());
        for (id, form) in parts {
            let (_, target) = graph.add(&subject(id), id, form.clone());
            graph.enter(id, target);
        }
        let finished = graph.finish(&to(start), &subject("journey"), &mut report);
        let way = |target: &Target| if let Target::Node(name) = target { Some(name.clone()) } else { None };
        let found: Vec<(String, Vec<Option<String>>)> = finished
            .nodes
            .into_iter()
            .map(|mut node| (node.name, node.form.targets_mut().into_iter().map(|target| way(target)).collect()))
            .collect();
        let owned = |ways: &[Option<&str>]| ways.iter().map(|way| way.map(str::to_owned)).collect::<Vec<_>>();
        let expected: Vec<_> = expected.iter().map(|(name, ways)| ((*name).to_owned(), owned(ways))).collect();
        assert_eq!(found, expected);
        let texts: Vec<String> = report.items.iter().map(|Item { id, text, .. }| format!("{id}: {text}")).collect();
        assert_eq!(texts, told);
    }

    fn wait(then: &str) -> Form {
        Form::Wait(Wait::For(60_000), to(then))
    }

    #[test]
    fn ways_lead_to_nodes_or_end() {
        check(&[("a", wait("b")), ("b", wait(""))], "a", &[("a", &[Some("b")]), ("b", &[None])], &[]);
        check(
            &[("a", wait("x"))],
            "a",
            &[("a", &[None])],
            &["a: leads to `x`, which is not there: it ends the journey"],
        );
        check(&[], "a", &[], &["journey: starts at `a`, which is not there"]);
        let aside = ["b: no way leads to node `b`: left out"];
        check(&[("a", wait("")), ("b", wait("a"))], "a", &[("a", &[None])], &aside);
    }

    #[test]
    fn circles_without_a_wait_or_a_way_out_end() {
        let split = |one: &str, other: &str| Form::Split(vec![(5_000, to(one)), (5_000, to(other))]);
        // Nobody would ever come out.
        let parts = [("a", wait("b")), ("b", split("c", "a")), ("c", wait("b"))];
        let told = [
            "c: goes back to node `b`: a profile comes to a node 1,000 times at most",
            "b: goes back to node `a`: it ends the journey instead",
        ];
        check(&parts, "a", &[("a", &[Some("b")]), ("b", &[Some("c"), None]), ("c", &[Some("b")])], &told);
        // Nobody would wait.
        let update = |then: &str| Form::Update(Vec::new(), to(then));
        let parts = [("a", wait("b")), ("b", split("c", "")), ("c", update("b"))];
        let told = ["c: goes back to node `b`: it ends the journey instead"];
        check(&parts, "a", &[("a", &[Some("b")]), ("b", &[Some("c"), None]), ("c", &[None])], &told);
        let parts = [("a", split("a", ""))];
        check(&parts, "a", &[("a", &[None, None])], &["a: goes back to node `a`: it ends the journey instead"]);
        // A wait that is over at once is none.
        let now = Form::Wait(Wait::For(AT_ONCE_MS), to("b"));
        let told = ["b: goes back to node `a`: it ends the journey instead"];
        check(&[("a", now), ("b", split("a", ""))], "a", &[("a", &[Some("b")]), ("b", &[None, None])], &told);
    }

    #[test]
    fn circles_with_a_wait_and_a_way_out_stay() {
        let split = |one: &str, other: &str| Form::Split(vec![(5_000, to(one)), (5_000, to(other))]);
        let message = |then: &str| Form::Message("m".to_owned(), to(then));
        let parts = [("a", wait("b")), ("b", split("c", "")), ("c", message("a"))];
        let told = ["c: goes back to node `a`: a profile comes to a node 1,000 times at most"];
        check(&parts, "a", &[("a", &[Some("b")]), ("b", &[Some("c"), None]), ("c", &[Some("a")])], &told);
        // Two ways that meet are no circle.
        let parts = [("a", Form::Split(vec![(5_000, to("b")), (5_000, to("c"))])), ("b", wait("c")), ("c", wait(""))];
        check(&parts, "a", &[("a", &[Some("b"), Some("c")]), ("b", &[Some("c")]), ("c", &[None])], &[]);
    }

    #[test]
    fn parts_that_become_nothing_are_passed() {
        let (mut graph, mut report) = (Graph::default(), Report::default());
        graph.enter("a", to("b"));
        graph.enter("b", to("a"));
        let finished = graph.finish(&to("a"), &subject("journey"), &mut report);
        assert_eq!((finished.start.as_str(), finished.nodes.len()), ("end", 0));
    }

    #[test]
    fn feedback_is_awaited_behind_its_message() {
        let heard = |of: &str| Heard {
            event: "message.opened".to_owned(),
            of: Some(of.to_owned()),
            when: None,
            since: Since::Entry,
        };
        let message = |then: &str| Form::Message("m".to_owned(), to(then));
        let opened = |of: &str, then: &str| Form::Event(heard(of), 1_000, to(then), Target::End);
        check(&[("m", message("o")), ("o", opened("m", ""))], "m", &[("m", &[Some("o")]), ("o", &[None, None])], &[]);
        let told = ["o: `message.opened` of `m` is not heard: no message is sent there before"];
        let ways: &[(&str, &[Option<&str>])] = &[("o", &[Some("m"), None]), ("m", &[None])];
        check(&[("o", opened("m", "m")), ("m", message(""))], "o", ways, &told);
        // Nobody comes to the message, though it leads here.
        let told = ["m: no way leads to node `m`: left out", told[0]];
        check(&[("o", opened("m", "")), ("m", message("o"))], "o", &[("o", &[None, None])], &told);
    }
}
