//! How an instance walks: what each node does, and what its timers mean.

use serde_json::{Map, Value as Json, json};

use crate::sim::observe::ObservedMessage;
use crate::sim::oracle::calls::Asked;
use crate::sim::oracle::clock;
use crate::sim::oracle::eval::{holds, stored};
use crate::sim::oracle::judge::{Judge, Place, at_path, merge};
use crate::sim::oracle::person::{Delivery, Timer, Wrong};
use crate::sim::oracle::resources::{Node, Test, Version};
use crate::sim::workload::ScriptEvent;

/// One event or timer moves an instance by at most so many steps (contract) …
const STEPS_MAX: usize = 200;
/// … and one that fails for it had come this far: a node takes up to three, failing two.
const STEPS_MIN_OF_FAILURE: usize = STEPS_MAX - 5;
/// Visits of a node by an instance (contract).
const VISITS_MAX: u32 = 1_000;
/// After how long a message that found no room tries again (`docs/journeys.md`).
pub(super) const RETRY_MS: i64 = 1_000;

/// What a node does with an instance that comes to it.
pub(super) enum Doing {
    /// Goes on to this node, by the path of this name.
    Go(String, String),
    /// Has found this, and goes on.
    Found(Vec<Json>, String),
    /// Stays until this instant, or for an event if there is none.
    Stay(Option<i64>),
    /// Sends this message and goes on to this node.
    Send(String, String),
    /// Calls its action, and stays until it has answered.
    Call(String),
    /// Merges this into the document and goes on to this node.
    Update(Map<String, Json>, String),
    /// Lets the profile into this journey, by an event with these properties, and goes on to this node.
    Jump(String, Map<String, Json>, String),
    /// Goes on to a node by a path, because of an event that came before for this way of its node.
    Recall(usize, Map<String, Json>, String, String),
    /// Stays until the wait of this way ends, or for an event.
    Race(Option<(i64, usize)>),
    /// Ends.
    End(&'static str),
}

impl Judge<'_> {
    /// Lets the profile in.
    pub(super) fn enter(
        &mut self,
        name: &str,
        version: &Version,
        event: &ScriptEvent,
        supplemental_id: Option<String>,
    ) -> Result<(), String> {
        self.person.entries += 1;
        if let Some(name) = &version.journey.rule_set {
            self.entered.push((name.clone(), version.journey.priority));
            if let Some((_, per)) = self.published.rule_sets.get(name).and_then(|rules| rules.entries.as_ref()) {
                let since_ms = clock::period_ms(self.now_ms, per);
                let known = self.person.caps.entry(name.clone()).or_insert((since_ms, 0));
                *known = if known.0 >= since_ms { (known.0, known.1 + 1) } else { (since_ms, 1) };
            }
        }
        self.person.entered_at_ms.insert((name.to_owned(), supplemental_id.clone()), self.now_ms);
        let run = self.run_of(name, version, event, supplemental_id);
        self.person.runs.push(run);
        self.moved = 0;
        let index = self.person.runs.len() - 1;
        self.person.runs[index].due_ms = self.person.runs[index].timeout_at_ms();
        self.expect_of(index, "entered", None)?;
        self.arrive(index)
    }

    /// The instance's next timer fires.
    pub(super) fn fire(&mut self, index: usize) -> Result<(), String> {
        let run = &self.person.runs[index];
        if let Some(held) = run.held.filter(|_| run.timer == Timer::Node) {
            return self.let_go(index, held);
        }
        let (timer, node, program) = (run.timer, run.node.clone(), run.program.clone());
        match (timer, &program.nodes[&node]) {
            (Timer::Timeout, _) if program.ends_at_ms.is_some_and(|ends_at_ms| ends_at_ms <= run.due_ms) => {
                self.end(index, "ended")
            }
            (Timer::Timeout, _) => self.end(index, "timeout"),
            (Timer::Parked, Node::Message { message, then }) => {
                self.moved = 0;
                if self.send(index, message)? {
                    self.go(index, then, "then")?;
                }
                Ok(())
            }
            (Timer::Parked, Node::Action { then, .. }) => {
                self.moved = 0;
                match self.call(index)? {
                    Asked::Answered => self.go(index, then, "then"),
                    Asked::Stays => Ok(()),
                    Asked::Fails => self.go_wrong(index),
                }
            }
            (_, Node::Wait { then, .. }) => self.go(index, then, "wait_ended"),
            (_, Node::FirstOf { arms }) => {
                let way = self.person.runs[index].way;
                self.go(index, &arms[way].1, &format!("branch {way}"))
            }
            (_, Node::Event { then, on_timeout, .. }) => {
                self.go(index, on_timeout.as_ref().unwrap_or(then), "timed_out")
            }
            (_, Node::ProfileCap { otherwise, .. }) => self.go(index, otherwise, "way 1"),
            (timer, node) => Err(format!("the model is wrong: a {timer:?} timer at {node:?}")),
        }
    }

    /// Leaves the node by `path` and walks on from `to`.
    pub(super) fn go(&mut self, index: usize, to: &str, path: &str) -> Result<(), String> {
        self.moved = 0;
        self.leave(index, to, path)?;
        self.arrive(index)
    }

    /// An expression of the node has failed.
    pub(super) fn go_wrong(&mut self, index: usize) -> Result<(), String> {
        let run = &self.person.runs[index];
        match run.program.on_error.get(&run.node).cloned() {
            Some(target) => {
                self.note_error(index, "expression", "error");
                self.go(index, &target, "error")
            }
            None => self.end(index, "failed expression"),
        }
    }

    /// An expression has failed on the way: off by the way for errors, or at the end; whether the instance goes on.
    fn leave_wrong(&mut self, index: usize) -> Result<bool, String> {
        let run = &self.person.runs[index];
        match run.program.on_error.get(&run.node).cloned() {
            Some(target) => {
                self.note_error(index, "expression", "error");
                self.leave(index, &target, "error").map(|()| true)
            }
            None => self.end(index, "failed expression").map(|()| false),
        }
    }

    pub(super) fn note_error(&mut self, index: usize, error: &str, code: &str) {
        let run = &mut self.person.runs[index];
        run.error = Some(Wrong { error: error.to_owned(), code: code.to_owned(), node: run.node.clone() });
    }

    pub(super) fn leave(&mut self, index: usize, to: &str, path: &str) -> Result<(), String> {
        self.expect_of(index, path, None)?;
        let run = &mut self.person.runs[index];
        run.previous_node = Some(std::mem::replace(&mut run.node, to.to_owned()));
        Ok(())
    }

    /// Walks from the node the instance has just come to until it stays or ends.
    pub(super) fn arrive(&mut self, index: usize) -> Result<(), String> {
        let entry = self.person.runs[index].entry;
        // What it does may take others out, or it with them.
        while let Ok(index) = self.index_of(entry) {
            let failure = self.step_after().map(|step| step.reason.as_str());
            if failure == Some("failed step_limit") && self.moved > STEPS_MIN_OF_FAILURE {
                self.expect_of(index, "arrived", None)?;
                return self.end(index, "failed step_limit");
            }
            if self.moved >= STEPS_MAX {
                return Err(format!("one input moved an instance by more than {STEPS_MAX} steps"));
            }
            let run = &mut self.person.runs[index];
            let visits = run.visits.entry(run.node.clone()).or_default();
            *visits += 1;
            if *visits > VISITS_MAX {
                self.expect_of(index, "arrived", None)?;
                return self.end(index, "failed visit_limit");
            }
            run.came_ms = self.now_ms;
            if !self.act(index)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The node does what it does with the instance that came to it; whether that goes on to another.
    pub(super) fn act(&mut self, index: usize) -> Result<bool, String> {
        let run = &mut self.person.runs[index];
        let timeout_at_ms = run.timeout_at_ms();
        (run.due_ms, run.timer) = (timeout_at_ms, Timer::Timeout);
        match self.doing(index) {
            Err(_) => {
                self.expect_of(index, "arrived", Some(timeout_at_ms))?;
                return self.leave_wrong(index);
            }
            Ok(Doing::End(reason)) => {
                self.expect_of(index, "arrived", Some(timeout_at_ms))?;
                return self.end(index, reason).map(|()| false);
            }
            Ok(Doing::Stay(until_ms)) => return self.stay(index, until_ms),
            Ok(Doing::Go(to, path)) => {
                self.expect_of(index, "arrived", Some(timeout_at_ms))?;
                self.leave(index, &to, &path)?;
            }
            Ok(Doing::Found(entities, then)) => {
                self.expect_of(index, "arrived", Some(timeout_at_ms))?;
                let run = &mut self.person.runs[index];
                run.answers.insert(format!("lookup:{}", run.node), serde_json::json!({ "entities": entities }));
                self.leave(index, &then, "then")?;
            }
            Ok(Doing::Recall(way, properties, to, path)) => {
                let run = &mut self.person.runs[index];
                run.heard.remove(&(run.node.clone(), way));
                run.kept.clear();
                run.last = properties;
                self.expect_of(index, "arrived", Some(timeout_at_ms))?;
                self.leave(index, &to, &path)?;
            }
            Ok(Doing::Race(first)) => {
                self.person.runs[index].way = first.map_or(0, |(_, way)| way);
                return self.stay(index, first.map(|(until_ms, _)| until_ms));
            }
            Ok(Doing::Send(message, then)) => {
                self.expect_of(index, "arrived", Some(timeout_at_ms))?;
                if !self.send(index, &message)? {
                    return Ok(false);
                }
                self.leave(index, &then, "then")?;
            }
            Ok(Doing::Call(then)) => {
                self.expect_of(index, "arrived", Some(timeout_at_ms))?;
                match self.call(index)? {
                    Asked::Answered => self.leave(index, &then, "then")?,
                    Asked::Stays => return Ok(false),
                    Asked::Fails => return self.leave_wrong(index),
                }
            }
            Ok(Doing::Update(patch, then)) => {
                self.expect_of(index, "arrived", Some(timeout_at_ms))?;
                merge(&mut self.person.document, &patch);
                self.leave(index, &then, "then")?;
            }
            Ok(Doing::Jump(journey, properties, then)) => {
                self.expect_of(index, "arrived", Some(timeout_at_ms))?;
                let entry = self.person.runs[index].entry;
                let went_well = self.jump(index, &journey, properties)?;
                let Ok(index) = self.index_of(entry) else { return Ok(false) };
                if !went_well {
                    return self.leave_jump(index);
                }
                self.leave(index, &then, "then")?;
            }
        }
        Ok(true)
    }

    /// It stays where it has come to.
    fn stay(&mut self, index: usize, until_ms: Option<i64>) -> Result<bool, String> {
        let run = &mut self.person.runs[index];
        if !matches!(run.program.nodes[&run.node], Node::ProfileCap { .. }) {
            run.kept.clear();
        }
        self.set_timer(index, until_ms, Timer::Node);
        let due_ms = self.person.runs[index].due_ms;
        self.expect_of(index, "arrived", Some(due_ms)).map(|()| false)
    }

    /// A node's own timer at the very instant of the journey's timeout goes first.
    pub(super) fn set_timer(&mut self, index: usize, due_ms: Option<i64>, timer: Timer) {
        let run = &mut self.person.runs[index];
        (run.due_ms, run.timer) = match due_ms {
            Some(due_ms) if due_ms <= run.timeout_at_ms() => (due_ms, timer),
            _ => (run.timeout_at_ms(), Timer::Timeout),
        };
    }

    fn doing(&self, index: usize) -> Result<Doing, String> {
        let run = &self.person.runs[index];
        Ok(match &run.program.nodes[&run.node] {
            Node::Wait { wait, then } => match self.wait_ends_ms(index, wait)? {
                Some(instant_ms) if instant_ms > self.now_ms => Doing::Stay(Some(instant_ms)),
                _ => Doing::Go(then.clone(), "wait_ended".to_owned()),
            },
            Node::FirstOf { arms } => self.race(index, arms)?,
            Node::Event { within_ms, .. } => match self.heard(index, 0) {
                Some(doing) => doing,
                None => Doing::Stay(within_ms.map(|within_ms| self.now_ms + within_ms)),
            },
            Node::Message { message, then } => Doing::Send(message.clone(), then.clone()),
            Node::Action { then, .. } => Doing::Call(then.clone()),
            Node::Update { fields, then } => {
                let mut patch = Map::new();
                for (path, value) in fields {
                    put(&mut patch, path, stored(value, &self.scope(index))?);
                }
                Doing::Update(patch, then.clone())
            }
            Node::Lookup { dataset, keys, fields, then } => {
                Doing::Found(self.found(index, dataset, keys, fields)?, then.clone())
            }
            Node::Jump { journey, with, then } => {
                let mut properties = Map::new();
                for (name, value) in with {
                    properties.insert(name.clone(), stored(value, &self.scope(index))?);
                }
                properties.retain(|_, value| !value.is_null());
                Doing::Jump(journey.clone(), properties, then.clone())
            }
            Node::End => Doing::End("completed"),
            Node::ProfileCap { max: u64::MAX, then, .. } => Doing::Go(then.clone(), "way 0".to_owned()),
            Node::ProfileCap { otherwise, .. } => self.come_to_cap(index, otherwise),
            Node::Split { .. } | Node::Experiment { .. } | Node::Targeting { .. } => self.drawn_or_targeted(index)?,
            Node::Condition { branches, otherwise } => {
                for (number, (test, then)) in branches.iter().enumerate() {
                    if self.holds(index, test)? {
                        return Ok(Doing::Go(then.clone(), format!("branch {number}")));
                    }
                }
                match otherwise {
                    Some(then) => Doing::Go(then.clone(), "otherwise".to_owned()),
                    None => Doing::End("completed"),
                }
            }
        })
    }

    fn holds(&self, index: usize, test: &Test) -> Result<bool, String> {
        let zone = self.zone(index);
        Ok(match test {
            Test::When(when) => holds(when, &self.scope(index))?,
            Test::Time { days, from_ms, to_ms } => clock::is_between(self.now_ms, days, *from_ms, *to_ms, zone),
            Test::Date { from, to } => {
                let from_ms = from.as_ref().map(|from| clock::begins_ms(from, zone)).transpose()?;
                let to_ms = to.as_ref().map(|to| clock::ends_ms(to, zone)).transpose()?;
                from_ms.is_none_or(|from_ms| from_ms <= self.now_ms) && to_ms.is_none_or(|to_ms| self.now_ms < to_ms)
            }
        })
    }

    /// The zone whose clock the instance goes by.
    pub(super) fn zone(&self, index: usize) -> &str {
        clock::zone_of(&self.person.runs[index].program, &self.person.document)
    }

    /// Decides a message; false if the instance does not go on: it found no room and stays, or left before.
    pub(super) fn send(&mut self, index: usize, name: &str) -> Result<bool, String> {
        if self.leaves_before_acting(index)? || self.stops_at_action(index)?.is_some() {
            return Ok(false);
        }
        let run = &self.person.runs[index];
        let version = self.published.version(&run.journey, run.version);
        let message = version.and_then(|version| version.messages.get(name)).cloned();
        let message = message.ok_or_else(|| format!("the model is wrong: {run} has no message `{name}`"))?;
        let address = match self.person.document.get("email") {
            Some(Json::String(address)) if !address.is_empty() => Some(address.clone()),
            _ => None,
        };
        let recipient = if message.channel == "email" { address } else { Some(String::new()) };
        let Some(recipient) = recipient else {
            self.expect_of(index, &format!("excluded message {name}"), None)?;
            return Ok(true);
        };
        let wanted = format!("requested message {name}");
        let entry = self.person.runs[index].entry;
        let requested = self.next_step().is_some_and(|step| step.entry == entry && step.reason == wanted);
        let place = self.room.of(&message.surface, self.clock);
        if place == Place::Missing || (place == Place::Unknown && !requested) {
            self.set_timer(index, Some(self.now_ms + RETRY_MS), Timer::Parked);
            return Ok(false);
        }
        let reads = self.frozen(index, &message.reads);
        self.expect_of(index, &wanted, None)?;
        let delivery = self.delivery(index, name);
        self.note_message(index, delivery);
        let run = &self.person.runs[index];
        self.requested.push(ObservedMessage {
            journey: run.journey.clone(),
            version: run.version,
            node: run.node.clone(),
            entry,
            message: name.to_owned(),
            delivery: String::new(),
            channel: match message.channel.as_str() {
                "log" => "log",
                "webhook" => "webhook",
                _ => "email",
            },
            recipient,
            input: Json::Object(reads),
            says: Json::Null,
        });
        self.person.deliveries.push(Delivery {
            journey: run.journey.clone(),
            version: run.version,
            entry,
            node: run.node.clone(),
            message: name.to_owned(),
            surface: message.surface.clone(),
            in_doubt: false,
            call: None,
        });
        Ok(true)
    }

    /// The id of the message that is requested next, if it is not taken back at once.
    pub(super) fn delivery(&self, index: usize, name: &str) -> Option<String> {
        let run = &self.person.runs[index];
        let is_same = |message: &&ObservedMessage| {
            message.entry == run.entry && message.node == run.node && message.message == name
        };
        let before = self.requested.iter().filter(is_same).count();
        self.observed.messages.iter().filter(is_same).nth(before).map(|message| message.delivery.clone())
    }

    /// What templates read, by path.
    fn frozen(&self, index: usize, reads: &[String]) -> Map<String, Json> {
        let run = &self.person.runs[index];
        let all = json!({
            "event": run.event,
            "last": run.last,
            "profile": self.person.document,
            "meta": { "id": run.meta_id, "type": run.meta_type },
        });
        let known = reads.iter().filter(|path| *path != "meta.time");
        known.map(|path| (path.clone(), at_path(&all, path))).collect()
    }
}

/// Puts a value at a dotted path.
fn put(map: &mut Map<String, Json>, path: &str, value: Json) {
    match path.split_once('.') {
        None => drop(map.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = map.entry(first).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
