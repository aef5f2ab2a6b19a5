//! Nodes that call custom actions: what is asked, what the answer does, and whose it is.

use serde_json::{Map, Value as Json};

use crate::sim::channels::says;
use crate::sim::observe::ObservedMessage;
use crate::sim::oracle::Clock;
use crate::sim::oracle::cel::Cel;
use crate::sim::oracle::eval::{Value, eval, holds, stored};
use crate::sim::oracle::judge::{Judge, Place};
use crate::sim::oracle::nodes::RETRY_MS;
use crate::sim::oracle::person::{Delivery, Timer};
use crate::sim::oracle::resources::Node;
use crate::sim::oracle::said::said;

/// What a call that was decided does to its instance.
pub(super) enum Asked {
    /// It was answered at once: on by `then`.
    Answered,
    /// It stays, or has left.
    Stays,
    /// A parameter can't be worked out.
    Fails,
}

impl Judge<'_> {
    /// Whether an exit criterion by what the profile is ends the instance before it sends or calls. All others of the
    /// journey that it holds for end with it.
    pub(super) fn leaves_before_acting(&mut self, index: usize) -> Result<bool, String> {
        let program = self.person.runs[index].program.clone();
        let journey = self.person.runs[index].journey.clone();
        for when in &program.exits_when {
            match holds(when, &self.scope(index)) {
                Ok(false) => {}
                Ok(true) => {
                    self.end(index, "criteria")?;
                    let inside = self.person.runs.iter().filter(|run| run.journey == journey);
                    let inside = inside.filter(|run| !run.held.is_some_and(|held| held.is_entrant));
                    for entry in inside.map(|run| run.entry).collect::<Vec<_>>() {
                        let Some(index) = self.person.runs.iter().position(|run| run.entry == entry) else { continue };
                        let criteria = self.person.runs[index].program.exits_when.clone();
                        if criteria.iter().any(|when| holds(when, &self.scope(index)) == Ok(true)) {
                            self.end(index, "criteria")?;
                        }
                    }
                    return Ok(true);
                }
                Err(_) => return self.end(index, "failed expression").map(|()| true),
            }
        }
        Ok(false)
    }

    /// Decides a call.
    pub(super) fn call(&mut self, index: usize) -> Result<Asked, String> {
        if self.leaves_before_acting(index)? || self.stops_at_action(index)?.is_some() {
            return Ok(Asked::Stays);
        }
        let run = &self.person.runs[index];
        let program = run.program.clone();
        let Node::Action { action, with, .. } = &program.nodes[&run.node] else {
            return Err(format!("the model is wrong: {run} is at no action"));
        };
        let mut parameters = Map::new();
        for (name, value) in with {
            let Ok(value) = stored(value, &self.scope(index)) else { return Ok(Asked::Fails) };
            parameters.insert(name.clone(), value);
        }
        if self.calls_are_assumed {
            self.expect_of(index, "called http_200", None)?;
            self.keep(index, action, "http_200", &Map::new());
            self.note_call(index, action, "http_200", 0);
            return Ok(Asked::Answered);
        }
        let queue = Some(format!("action:{action}"));
        let put_out = self.delivery(index, action);
        let place = self.room.of(&queue, self.clock);
        if place == Place::Missing || (place == Place::Unknown && put_out.is_none()) {
            self.set_timer(index, Some(self.now_ms + RETRY_MS), Timer::Parked);
            return Ok(Asked::Stays);
        }
        self.set_timer(index, None, Timer::Timeout);
        let run = &self.person.runs[index];
        let version = self.published.version(&run.journey, run.version);
        let callee = version.and_then(|version| version.calls.get(action));
        let callee = callee.ok_or_else(|| format!("the model is wrong: {run} knows no `{action}`"))?;
        let says = said(callee, &parameters, self.now_ms);
        let run = &mut self.person.runs[index];
        run.calling.clone_from(&put_out);
        run.called_at_ms = self.now_ms;
        self.requested.push(ObservedMessage {
            journey: run.journey.clone(),
            version: run.version,
            node: run.node.clone(),
            entry: run.entry,
            message: action.clone(),
            delivery: String::new(),
            channel: "call",
            recipient: String::new(),
            input: parameters.into_iter().map(|(name, value)| (format!("action.{name}"), value)).collect(),
            says,
        });
        // One that is taken back by the same input never comes to the outbox.
        if put_out.is_some() {
            self.person.deliveries.push(Delivery {
                journey: run.journey.clone(),
                version: run.version,
                entry: run.entry,
                node: run.node.clone(),
                message: action.clone(),
                surface: queue,
                in_doubt: false,
                call: put_out,
            });
        }
        Ok(Asked::Stays)
    }

    /// Timers first; then, if this is an answer, its instance hears it.
    pub(super) fn hear_answer(&mut self) -> Result<(), String> {
        // On the events' clock messages come before what is due at their instant, and behind what versions and pauses say.
        if self.clock == Clock::Events {
            self.settle_changes()?;
            if self.hear_place()? && self.next_step().is_none() {
                return Ok(());
            }
        }
        // So do answers: when what is due before them fires, time has come to it.
        match self.clock == Clock::Events && !self.observed.gone.is_empty() {
            true => self.settle_changes()?,
            false => self.pass_time()?,
        }
        if self.hear_place()? {
            return Ok(());
        }
        let Some(step) = self.next_step() else { return Ok(()) };
        let Some(status) = step.reason.strip_prefix("called ") else { return Ok(()) };
        let index = self.person.runs.iter().position(|run| run.entry == step.entry);
        let index = index.ok_or_else(|| format!("an answer to nobody: {step:?}"))?;
        let run = &mut self.person.runs[index];
        let id = run.calling.take().ok_or_else(|| format!("an answer that nobody waits for: {step:?}"))?;
        let program = run.program.clone();
        let Node::Action { action, then, .. } = &program.nodes[&run.node] else {
            return Err(format!("an answer to {run}"));
        };
        if !self.observed.gone.contains(&id) {
            return Err(format!("the call {id} is answered, and stays"));
        }
        self.moved = 0;
        self.expect_of(index, &step.reason, None)?;
        let is_answer = status.starts_with("http_");
        let is_error = !(is_answer && status.starts_with("http_2"));
        // 204 is "no content".
        let has_words = is_answer && status != "http_204";
        let said = if has_words { says(&id, is_error) } else { Map::new() };
        self.keep(index, action, status, &said);
        self.note_call(index, action, status, self.now_ms - self.person.runs[index].called_at_ms);
        if !is_error {
            return self.go(index, then, "then");
        }
        match program.on_error.get(&self.person.runs[index].node) {
            Some(target) => {
                self.note_error(index, "action", status);
                self.go(index, target, "error")
            }
            None => self.end(index, &format!("failed {status}")),
        }
    }

    /// How it went, for facts of the journey.
    fn note_call(&mut self, index: usize, action: &str, status: &str, took_ms: i64) {
        let asking = &mut self.person.runs[index].asked[usize::from(action.starts_with("source:"))];
        asking.took_ms = Some(took_ms);
        if !status.starts_with("http_2") {
            asking.error = Some(status.to_owned());
        }
    }

    /// The answer takes the place of the one before.
    fn keep(&mut self, index: usize, action: &str, status: &str, said: &Map<String, Json>) {
        let is_error = !status.starts_with("http_2");
        let mut answer = if is_error { Map::new() } else { said.clone() };
        answer.insert("status".to_owned(), Json::from(status));
        if is_error && !said.is_empty() {
            answer.insert("error_response".to_owned(), Json::Object(said.clone()));
        }
        self.person.runs[index].answers.insert(action.to_owned(), Json::Object(answer));
    }

    /// Calls whose rows are gone: nobody waits for them any more.
    pub(super) fn forget_calls(&mut self) -> Result<(), String> {
        for id in &self.observed.gone {
            let of_it = |delivery: &Delivery| delivery.call.as_ref() == Some(id);
            let Some(place) = self.person.deliveries.iter().position(of_it) else { continue };
            if let Some(run) = self.person.runs.iter().find(|run| run.calling.as_ref() == Some(id)) {
                return Err(format!("the call {id} goes, and {run} still waits for it"));
            }
            self.person.deliveries.remove(place);
        }
        Ok(())
    }
}

impl Judge<'_> {
    /// Fields of the records of a dataset that have the keys, in the order of those.
    pub(super) fn found(
        &self,
        index: usize,
        dataset: &str,
        keys: &Cel,
        fields: &[String],
    ) -> Result<Vec<Json>, String> {
        let keys = match eval(keys, &self.scope(index))? {
            Value::List(keys) => keys,
            key => vec![key],
        };
        let records = self.published.datasets.get(dataset).ok_or("an unknown dataset")?;
        // What is no text is no key.
        let record_of = |key: &Value| match key {
            Value::Text(key) | Value::Stored(Json::String(key), _) => records.get(key),
            _ => None,
        };
        let entity = |record: &Map<String, Json>| {
            let mut entity = record.clone();
            entity.retain(|name, _| fields.contains(name));
            Json::Object(entity)
        };
        Ok(keys.iter().filter_map(record_of).map(entity).collect())
    }
}
