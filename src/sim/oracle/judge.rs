//! One decision: what had to happen for its cause, held step by step against what was observed.

use serde_json::{Map, Value as Json};

use crate::sim::observe::{Cause, Observed, ObservedMessage, ObservedStep, instant_text};
use crate::sim::oracle::eval::{Scope, holds};
use crate::sim::oracle::person::{Delivery, Person, Timer};
use crate::sim::oracle::resources::{Filter, Published};
use crate::sim::oracle::{Clock, Parking};
use crate::sim::workload::ScriptEvent;

/// What is known of the room that surfaces have.
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    pub(super) parking: Parking,
    /// Messages of a surface that were on their way from the partition before this decision.
    pub(super) waiting: &'a dyn Fn(&Option<String>) -> usize,
}

/// What must become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is requested.
    Found,
    /// The instance stays with it.
    Missing,
    /// Either.
    Unknown,
}

impl Room<'_> {
    /// On the events' clock decisions don't depend on how fast channels are.
    pub(super) fn of(&self, surface: &Option<String>, clock: Clock) -> Place {
        match self.parking {
            _ if clock == Clock::Events => Place::Found,
            Parking::Never => Place::Found,
            Parking::Possible => Place::Unknown,
            Parking::At(most) if (self.waiting)(surface) < most => Place::Found,
            Parking::At(_) => Place::Missing,
        }
    }
}

/// One decision being judged.
pub(super) struct Judge<'a> {
    pub(super) person: Person,
    pub(super) published: &'a Published,
    pub(super) observed: &'a Observed,
    pub(super) clock: Clock,
    pub(super) room: Room<'a>,
    /// Calls are answered at once, by 200 and nothing.
    pub(super) calls_are_assumed: bool,
    /// The instant at which what happens now counts as happening.
    pub(super) now_ms: i64,
    /// Observed steps accounted for.
    taken: usize,
    /// Steps of the instance that is moving.
    pub(super) moved: usize,
    /// Messages that had to be put into the outbox by this decision.
    pub(super) requested: Vec<ObservedMessage>,
    /// Entries that an exit criterion or a stop ended in this decision.
    taken_out: Vec<u32>,
    /// Types that the event is of.
    pub(super) kinds: Vec<String>,
    /// Rule set and priority of what was entered by one input.
    pub(super) entered: Vec<(String, usize)>,
    /// Newer versions were asked about somebody.
    pub(super) asked: bool,
    /// No answers.
    pub(super) nothing: Map<String, Json>,
    /// A pause has changed a timer.
    pub(super) settled: bool,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        person: Person,
        published: &'a Published,
        observed: &'a Observed,
        clock: Clock,
        room: Room<'a>,
    ) -> Self {
        Self {
            person,
            published,
            observed,
            clock,
            room,
            calls_are_assumed: false,
            now_ms: observed.engine_time_ms,
            taken: 0,
            moved: 0,
            requested: Vec::new(),
            taken_out: Vec::new(),
            kinds: Vec::new(),
            entered: Vec::new(),
            asked: false,
            nothing: Map::new(),
            settled: false,
        }
    }

    pub(super) fn into_person(self) -> Person {
        self.person
    }

    pub(super) fn decide(&mut self) -> Result<(), String> {
        let engine_time_ms = self.observed.engine_time_ms;
        if self.person.engine_time_ms.is_some_and(|before| engine_time_ms < before) {
            return Err("engine time went back".to_owned());
        }
        if self.observed.catalog < self.person.catalog {
            return Err(format!("decided with an older catalog than before, {}", self.person.catalog));
        }
        self.person.engine_time_ms = Some(engine_time_ms);
        self.person.catalog = self.observed.catalog;
        match &self.observed.cause {
            Cause::Event(event) => self.decide_event(event)?,
            Cause::Timers => {
                let parked_before = self.person.runs.iter().any(|run| run.timer == Timer::Parked);
                self.hear_answer()?;
                let is_asked = self.settled || self.asked;
                if self.taken == 0 && !parked_before && !is_asked && self.observed.gone.is_empty() {
                    return Err("a decision without a cause: nothing was due".to_owned());
                }
            }
            Cause::Report => return self.settle_reports(),
            Cause::Publish(_)
            | Cause::Stop(_)
            | Cause::Close(_)
            | Cause::Draft(_)
            | Cause::Pause(..)
            | Cause::Resume(..) => {
                return Err("a change of what is published is no decision about a profile".to_owned());
            }
        }
        self.cancel()?;
        self.forget_calls()?;
        if let Some(step) = self.next_step() {
            return Err(format!("step {} should not be: {step:?}", self.taken));
        }
        self.compare_messages()
    }

    fn decide_event(&mut self, event: &ScriptEvent) -> Result<(), String> {
        let updates = event.kind == "profile.update";
        if !updates && !self.published.listens(&event.kind) && self.observed.steps.is_empty() {
            // An event nobody listens to need not wake the profile: its timers fire by themselves.
            return Ok(());
        }
        self.pass_time()?;
        if updates {
            merge(&mut self.person.document, &event.properties);
            return Ok(());
        }
        self.entered.clear();
        self.kinds = vec![event.kind.clone()];
        for (name, (of, when)) in &self.published.rules {
            if *of == event.kind && holds(when, &self.entry_scope(event)).unwrap_or(false) {
                self.kinds.push(name.clone());
            }
        }
        self.offer(event)?;
        self.enter_all(event)
    }

    /// Settles what pauses and versions say.
    pub(super) fn settle_changes(&mut self) -> Result<(), String> {
        self.settle_pauses();
        self.settle()
    }

    /// Settles what versions say, then fires every timer due by now: the earliest first, equal ones in the order of entry.
    pub(super) fn pass_time(&mut self) -> Result<(), String> {
        self.settle_changes()?;
        let engine_time_ms = self.now_ms;
        loop {
            let runs = self.person.runs.iter().enumerate();
            let Some((index, run)) = runs.min_by_key(|(_, run)| (run.due_ms, run.entry)) else { break };
            if run.due_ms > engine_time_ms {
                break;
            }
            // On the events' clock each due instant is a decision of its own; what else is due has the next one.
            let by_itself = self.clock == Clock::Events && self.observed.cause == Cause::Timers;
            if by_itself && self.taken > 0 && self.next_step().is_none() {
                break;
            }
            if self.clock == Clock::Events {
                self.now_ms = run.due_ms;
            }
            self.entered.clear();
            self.fire(index)?;
        }
        self.now_ms = engine_time_ms;
        Ok(())
    }

    /// Exit criteria, then the node that awaits the event, for each instance in the order of entry.
    fn offer(&mut self, event: &ScriptEvent) -> Result<(), String> {
        let entries: Vec<u32> = self.person.runs.iter().map(|run| run.entry).collect();
        for entry in entries {
            let Some(index) = self.person.runs.iter().position(|run| run.entry == entry) else { continue };
            let program = self.person.runs[index].program.clone();
            if let Some(held) = self.person.runs[index].held
                && held.is_entrant
            {
                if self.first_true(index, &program.exits, event) == Ok(true) {
                    self.drop_entrant(index)?;
                }
                continue;
            }
            match self.first_true(index, &program.exits, event) {
                Err(_) => self.end(index, "failed expression")?,
                Ok(true) => self.end(index, "criteria")?,
                Ok(false) => self.receive(index, event)?,
            }
        }
        Ok(())
    }

    /// Whether one of `filters` takes `event`; inside them `last` is the event itself.
    pub(super) fn first_true(&self, index: usize, filters: &[Filter], event: &ScriptEvent) -> Result<bool, String> {
        let mut scope = self.scope(index);
        scope.last = &event.properties;
        for filter in filters.iter().filter(|filter| self.kinds.contains(&filter.event)) {
            if filter.when.as_ref().map_or(Ok(true), |when| holds(when, &scope))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What an instance's expressions read now.
    pub(super) fn scope(&self, index: usize) -> Scope<'_> {
        let run = &self.person.runs[index];
        Scope {
            event: &run.event,
            last: &run.last,
            profile: &self.person.document,
            meta_id: &run.meta_id,
            meta_type: &run.meta_type,
            meta_time_ms: run.meta_time_ms,
            now_ms: self.now_ms,
            types: &self.published.types,
            bound: None,
            action: &run.answers,
            about: Some((&self.observed.profile, run)),
        }
    }

    /// The instance ends at its node.
    pub(super) fn end(&mut self, index: usize, reason: &str) -> Result<(), String> {
        match self.person.runs[index].held {
            Some(held) if held.is_entrant => return self.drop_entrant(index),
            Some(_) => self.end_hold(index)?,
            None => {}
        }
        self.expect_of(index, reason, None)?;
        let run = self.person.runs.remove(index);
        if matches!(reason, "criteria" | "stopped" | "withdrawn") {
            self.taken_out.push(run.entry);
        }
        Ok(())
    }

    pub(super) fn next_step(&self) -> Option<&'a ObservedStep> {
        self.observed.steps.get(self.taken)
    }

    pub(super) fn step_after(&self) -> Option<&'a ObservedStep> {
        self.observed.steps.get(self.taken + 1)
    }

    /// The next step of instance `index` must be this one.
    pub(super) fn expect_of(&mut self, index: usize, reason: &str, due_ms: Option<i64>) -> Result<(), String> {
        let run = &self.person.runs[index];
        let (journey, version, node, entry) = (run.journey.clone(), run.version, run.node.clone(), run.entry);
        self.moved += 1;
        self.expect(&journey, version, &node, entry, reason, due_ms)
    }

    /// The next step must be this one; `due_ms` is compared where it is given.
    pub(super) fn expect(
        &mut self,
        journey: &str,
        version: u32,
        node: &str,
        entry: u32,
        reason: &str,
        due_ms: Option<i64>,
    ) -> Result<(), String> {
        let wanted = format!("`{reason}` of entry {entry} into {journey} v{version} at `{node}`");
        let Some(step) = self.next_step() else {
            return Err(format!("step {} is missing: {wanted}", self.taken));
        };
        let same = (step.journey.as_str(), step.version, step.node.as_str(), step.entry, step.reason.as_str())
            == (journey, version, node, entry, reason);
        if !same {
            return Err(format!("step {} should be {wanted}, but is {step:?}", self.taken));
        }
        if due_ms.is_some_and(|due_ms| step.due_ms != Some(due_ms)) {
            let due = due_ms.map(instant_text).unwrap_or_default();
            let observed = step.due_ms.map(instant_text).unwrap_or_default();
            return Err(format!("step {}: {wanted} should be due at {due}, but is at {observed}", self.taken));
        }
        self.taken += 1;
        Ok(())
    }

    /// An instance taken out early takes back what no channel has tried: surely what this very decision put out.
    fn cancel(&mut self) -> Result<(), String> {
        if self.clock == Clock::Events {
            return Ok(());
        }
        let mut cancelled: Vec<Delivery> = Vec::new();
        while let Some(step) = self.next_step() {
            let Some(message) = step.reason.strip_prefix("cancelled message ") else { break };
            if !self.taken_out.contains(&step.entry) {
                return Err(format!("step {}: nobody took this message back: {step:?}", self.taken));
            }
            cancelled.push(self.take_delivery(step, message, false)?);
            self.taken += 1;
        }
        let taken_out = std::mem::take(&mut self.taken_out);
        self.requested.retain(|message| !taken_out.contains(&message.entry));
        let untried = |delivery: &&Delivery| taken_out.contains(&delivery.entry);
        let decided_now = self
            .observed
            .steps
            .iter()
            .filter(|step| step.reason.starts_with("requested message ") && taken_out.contains(&step.entry));
        if decided_now.count() > cancelled.iter().filter(untried).count() {
            return Err("a message that no channel can have tried was not taken back".to_owned());
        }
        Ok(())
    }

    /// The delivery that a step of a report is about, which is then gone.
    fn take_delivery(&mut self, step: &ObservedStep, message: &str, in_doubt: bool) -> Result<Delivery, String> {
        let wanted = Delivery {
            journey: step.journey.clone(),
            version: step.version,
            entry: step.entry,
            node: step.node.clone(),
            message: message.to_owned(),
            surface: None,
            in_doubt,
            call: None,
        };
        let same = |known: &Delivery| Delivery { surface: None, ..known.clone() } == wanted;
        let place = self.person.deliveries.iter().position(same);
        let place = place.ok_or_else(|| format!("no such message is on its way: {step:?}"))?;
        Ok(self.person.deliveries.remove(place))
    }

    /// What channels and operators say: each message is settled once, and each doubt resolved once.
    fn settle_reports(&mut self) -> Result<(), String> {
        while let Some(step) = self.next_step() {
            let (outcome, message) = step.reason.split_once(" message ").unwrap_or((step.reason.as_str(), ""));
            match outcome {
                "sent" | "failed" => drop(self.take_delivery(step, message, false)?),
                "in_doubt" | "resolved" => {
                    let mut delivery = self.take_delivery(step, message, outcome == "resolved")?;
                    delivery.in_doubt = outcome == "in_doubt";
                    self.person.deliveries.push(delivery);
                }
                _ => return Err(format!("no report does this: {step:?}")),
            }
            self.taken += 1;
        }
        self.forget_calls()?;
        self.compare_messages()
    }

    /// What was put into the outbox is what was requested, with the values that its templates read.
    fn compare_messages(&self) -> Result<(), String> {
        let observed = &self.observed.messages;
        for (index, wanted) in self.requested.iter().enumerate() {
            let Some(found) = observed.get(index) else { return Err(format!("not in the outbox: {wanted:?}")) };
            let mut comparable = found.clone();
            comparable.delivery.clear();
            comparable.input = Json::Null;
            let mut plain = wanted.clone();
            plain.input = Json::Null;
            if comparable != plain {
                return Err(format!("in the outbox should be {wanted:?}, but is {found:?}"));
            }
            let reads = wanted.input.as_object().into_iter().flatten();
            for (path, value) in reads {
                let frozen = at_path(&found.input, path);
                if frozen != *value {
                    return Err(format!("`{path}` should be {value} for {wanted:?}, but is {frozen} in {found:?}"));
                }
            }
        }
        match observed.get(self.requested.len()) {
            Some(more) => Err(format!("nobody requested {more:?}")),
            None => Ok(()),
        }
    }
}

/// The value at a dotted path; null if there is none.
pub(super) fn at_path(value: &Json, path: &str) -> Json {
    path.split('.').try_fold(value, |value, name| value.get(name)).cloned().unwrap_or(Json::Null)
}

/// RFC 7396.
pub(super) fn merge(document: &mut Map<String, Json>, patch: &Map<String, Json>) {
    for (name, change) in patch {
        match change {
            Json::Null => drop(document.remove(name)),
            Json::Object(inner) => {
                let target = document.entry(name.clone()).or_insert(Json::Null);
                if !target.is_object() {
                    *target = Json::Object(Map::new());
                }
                if let Json::Object(target) = target {
                    merge(target, inner);
                }
            }
            other => drop(document.insert(name.clone(), other.clone())),
        }
    }
}
