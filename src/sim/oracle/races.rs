//! What an instance hears: events its node waits for, events that came before, and which of several things is first.

use serde_json::{Map, Value as Json};

use crate::sim::oracle::clock;
use crate::sim::oracle::eval::instant_ms;
use crate::sim::oracle::judge::Judge;
use crate::sim::oracle::nodes::Doing;
use crate::sim::oracle::resources::{Arm, Awaited, Node, Wait};
use crate::sim::workload::ScriptEvent;

impl Judge<'_> {
    /// The instance's node may be waiting for this event; others may hear it for later.
    pub(super) fn receive(&mut self, index: usize, event: &ScriptEvent) -> Result<(), String> {
        let program = self.person.runs[index].program.clone();
        for (name, node) in &program.nodes {
            for (way, awaited) in node.awaited() {
                if awaited.since != "here" && self.takes(index, awaited, event).unwrap_or(false) {
                    let heard = (name.clone(), way);
                    self.person.runs[index].heard.insert(heard, event.properties.clone());
                }
            }
        }
        if self.person.runs[index].held.is_some() {
            return self.keep_event(index, event);
        }
        let name = self.person.runs[index].node.clone();
        for (way, awaited) in program.nodes[&name].awaited() {
            match self.takes(index, awaited, event) {
                Err(_) => return self.go_wrong(index),
                Ok(false) => {}
                Ok(true) => {
                    let run = &mut self.person.runs[index];
                    run.heard.remove(&(name.clone(), way));
                    run.last = event.properties.clone();
                    return match &program.nodes[&name] {
                        Node::FirstOf { arms } => self.go(index, &arms[way].1, &format!("branch {way}")),
                        Node::Event { then, .. } => self.go(index, then, "event_received"),
                        other => Err(format!("the model is wrong: {other:?} awaits events")),
                    };
                }
            }
        }
        Ok(())
    }

    /// Whether a node that awaits this takes the event.
    pub(super) fn takes(&self, index: usize, awaited: &Awaited, event: &ScriptEvent) -> Result<bool, String> {
        if let Some(of) = &awaited.of {
            let sent = self.person.runs[index].sent.get(of);
            if sent.is_none() || event.properties.get("delivery").and_then(Json::as_str) != sent.map(String::as_str) {
                return Ok(false);
            }
        }
        self.first_true(index, std::slice::from_ref(&awaited.filter), event)
    }

    /// What came for this way of its node before the instance got there.
    pub(super) fn heard(&self, index: usize, way: usize) -> Option<Doing> {
        let run = &self.person.runs[index];
        let kept = || run.kept.iter().find(|(node, known, _)| (node, *known) == (&run.node, way));
        let heard = run.heard.get(&(run.node.clone(), way)).or_else(|| kept().map(|(_, _, properties)| properties));
        let properties: Map<String, Json> = heard?.clone();
        let (to, path) = match &run.program.nodes[&run.node] {
            Node::FirstOf { arms } => (arms[way].1.clone(), format!("branch {way}")),
            Node::Event { then, .. } => (then.clone(), "event_received".to_owned()),
            _ => return None,
        };
        Some(Doing::Recall(way, properties, to, path))
    }

    /// What has happened already, from top to bottom; else the wait that ends first, the upper one of equals.
    pub(super) fn race(&self, index: usize, arms: &[(Arm, String)]) -> Result<Doing, String> {
        let mut ends: Vec<(i64, usize)> = Vec::new();
        for (way, (arm, to)) in arms.iter().enumerate() {
            match arm {
                Arm::Event(_) => {
                    if let Some(doing) = self.heard(index, way) {
                        return Ok(doing);
                    }
                }
                Arm::Wait(wait) => match self.wait_ends_ms(index, wait)? {
                    Some(instant_ms) if instant_ms > self.now_ms => ends.push((instant_ms, way)),
                    _ => return Ok(Doing::Go(to.clone(), format!("branch {way}"))),
                },
            }
        }
        ends.sort_unstable();
        Ok(Doing::Race(ends.first().copied()))
    }

    /// When a wait that begins now is over; at once without an instant.
    pub(super) fn wait_ends_ms(&self, index: usize, wait: &Wait) -> Result<Option<i64>, String> {
        Ok(match wait {
            Wait::For(wait_ms) => Some(self.now_ms + wait_ms),
            Wait::Until(until) => instant_ms(until, &self.scope(index), self.zone(index))?,
            Wait::Clock { time_ms, days } => Some(clock::next_ms(self.now_ms, *time_ms, days, self.zone(index))),
        })
    }

    /// A message of its node was decided.
    pub(super) fn note_message(&mut self, index: usize, delivery: Option<String>) {
        let run = &mut self.person.runs[index];
        let program = run.program.clone();
        let is_old = |(node, way): &(String, usize)| {
            program.nodes[node].awaited().iter().any(|(known, awaited)| known == way && awaited.since == "last_message")
        };
        run.heard.retain(|heard, _| !is_old(heard));
        match delivery {
            Some(delivery) => drop(run.sent.insert(run.node.clone(), delivery)),
            None => drop(run.sent.remove(&run.node)),
        }
    }
}
