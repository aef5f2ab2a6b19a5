//! Pauses (`docs/journeys.md`, "Pausing a journey"): who is held, who leaves, when they are let go, and what becomes of
//! what was overdue.

use std::collections::BTreeSet;

use crate::domain::ids::stable_hash;
use crate::sim::observe::{TESTS_FROM, Terms};
use crate::sim::oracle::calls::Asked;
use crate::sim::oracle::judge::Judge;
use crate::sim::oracle::person::{Run, Timer};
use crate::sim::oracle::resources::{Arm, Node, Published, Status, Version, Wait};
use crate::sim::workload::ScriptEvent;

/// Events kept for one who is held.
const KEPT_MAX: usize = 10;

/// Since when an instance is held, and whether it has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) since_ms: i64,
    pub(super) is_entrant: bool,
}

impl Terms {
    pub(super) fn is_on(&self, now_ms: i64) -> bool {
        self.at_ms <= now_ms && now_ms < self.ends_ms
    }

    fn shifts(&self) -> bool {
        self.holds && !self.stops && self.overdue == "shift"
    }

    /// When somebody held since then is let go: at an instant of their own within the window.
    pub(super) fn lets_go_ms(&self, profile: &str, since_ms: i64) -> i64 {
        if self.stops {
            return self.ends_ms;
        }
        let drawn = stable_hash(&[profile.as_bytes(), b"release"]) as u64;
        let paced_ms = self.ends_ms + ((u128::from(drawn) * self.window_ms as u128) >> 64) as i64;
        match self.shifts() {
            true => paced_ms.max(since_ms.max(self.at_ms) + self.ends_ms - self.at_ms),
            false => paced_ms,
        }
    }
}

impl Published {
    /// Those of a version: none, if it is a test of a draft.
    fn pauses(&self, journey: &str, version: u32) -> &[Terms] {
        if version >= TESTS_FROM {
            return &[];
        }
        self.journeys.iter().find(|known| known.name == journey).map_or(&[], |known| &known.pauses)
    }

    /// The latest pause that has begun.
    pub(super) fn pause_before(&self, journey: &str, version: u32, now_ms: i64) -> Option<&Terms> {
        self.pauses(journey, version).iter().rev().find(|pause| pause.at_ms <= now_ms)
    }

    /// When a run that is held since then is let go: by the end of the latest pause that keeps those it holds, or has ended,
    /// and of those to come that begin before.
    pub(super) fn lets_go_ms(&self, run: &Run, profile: &str, since_ms: i64, now_ms: i64) -> Option<i64> {
        let pauses = self.pauses(&run.journey, run.version);
        let mut at_ms = None;
        for pause in pauses {
            let is_past = pause.at_ms <= now_ms && (pause.holds || !pause.is_on(now_ms));
            let catches = at_ms.is_some_and(|at_ms| pause.at_ms <= at_ms && (pause.holds || pause.ends_ms <= at_ms));
            if is_past || catches {
                at_ms = Some(pause.lets_go_ms(profile, since_ms));
            } else if at_ms.is_some_and(|at_ms| pause.at_ms > at_ms || !pause.holds) {
                break;
            }
        }
        at_ms
    }

    /// Since when those inside leave at once; first those that no pause has stopped.
    pub(super) fn stopped_at_ms(&self, journey: &str, version: u32, now_ms: i64) -> Option<i64> {
        if self.version(journey, version).is_none_or(|version| version.status == Status::Stopped) {
            return Some(i64::MIN);
        }
        let pause = self.pause_before(journey, version, now_ms)?;
        (pause.stops && pause.ends_ms <= now_ms).then_some(pause.ends_ms)
    }

    /// Whether those inside leave at once.
    pub(super) fn is_stopped(&self, journey: &str, version: u32, now_ms: i64) -> bool {
        self.stopped_at_ms(journey, version, now_ms).is_some()
    }

    /// The same, paused or with the last pause at an end.
    pub(super) fn paused(&self, name: &str, change: impl FnOnce(&mut Vec<Terms>)) -> Result<Self, String> {
        let mut next = self.clone();
        let journey = next.journeys.iter_mut().find(|journey| journey.name == name);
        change(&mut journey.ok_or_else(|| format!("there is no journey `{name}`"))?.pauses);
        Ok(next)
    }

    /// The same with everything stopped that pauses have stopped.
    pub(super) fn settled(&self, now_ms: i64) -> Self {
        let mut next = self.clone();
        for journey in &mut next.journeys {
            let Some(last) = journey.pauses.iter_mut().rev().find(|pause| pause.at_ms <= now_ms) else { continue };
            if last.stops && last.ends_ms <= now_ms {
                last.stops = false;
                journey.versions.iter_mut().for_each(|version| version.status = Status::Stopped);
            }
        }
        next
    }
}

impl Judge<'_> {
    /// The pause that a journey is in.
    pub(super) fn pause_now(&self, journey: &str, version: u32) -> Option<Terms> {
        self.published.pause_before(journey, version, self.now_ms).filter(|pause| pause.is_on(self.now_ms)).cloned()
    }

    /// What pauses have done to timers by now.
    pub(super) fn settle_pauses(&mut self) {
        for index in 0..self.person.runs.len() {
            let run = &self.person.runs[index];
            let Some(held) = run.held else {
                self.shift(index);
                continue;
            };
            self.hold(index, held);
        }
    }

    fn hold(&mut self, index: usize, held: Hold) {
        let (run, profile) = (&self.person.runs[index], &self.observed.profile);
        let Some(at_ms) = self.published.lets_go_ms(run, profile, held.since_ms, self.now_ms) else { return };
        let before = (self.person.runs[index].due_ms, self.person.runs[index].timer);
        if held.is_entrant {
            let run = &mut self.person.runs[index];
            (run.due_ms, run.timer) = (at_ms, Timer::Node);
        } else {
            self.set_timer(index, Some(at_ms), Timer::Node);
        }
        self.settled |= before != (self.person.runs[index].due_ms, self.person.runs[index].timer);
    }

    /// Spans that ran while the journey's clock stood still end later, each once.
    fn shift(&mut self, index: usize) {
        let run = &self.person.runs[index];
        let pauses = self.published.pauses(&run.journey, run.version).iter().enumerate();
        let counts = |(number, pause): &(usize, &Terms)| {
            pause.shifts()
                && pause.ends_ms <= self.now_ms
                && *number >= run.shifted
                && run.entered_at_ms < pause.ends_ms
        };
        let found: Vec<(usize, i64)> =
            pauses.filter(counts).map(|(number, pause)| (number, pause.ends_ms - pause.at_ms)).collect();
        let Some((last, _)) = found.last() else { return };
        let (last, by_ms) = (*last, found.iter().map(|(_, by_ms)| by_ms).sum::<i64>());
        let is_span = match &run.program.nodes[&run.node] {
            Node::Wait { wait, .. } => matches!(wait, Wait::For(_)),
            Node::Event { .. } => true,
            Node::FirstOf { arms } => {
                arms.iter().all(|(arm, _)| matches!(arm, Arm::Event(_) | Arm::Wait(Wait::For(_))))
            }
            _ => false,
        };
        let due_ms = (run.timer == Timer::Node).then_some(run.due_ms + by_ms);
        if is_span {
            self.person.runs[index].came_ms += by_ms;
        }
        if is_span && due_ms.is_some() {
            self.set_timer(index, due_ms, Timer::Node);
        }
        self.person.runs[index].shifted = last + 1;
        self.settled = true;
    }

    /// A paused journey does not act. None if it is not paused; else the instance stays, or has left.
    pub(super) fn stops_at_action(&mut self, index: usize) -> Result<Option<()>, String> {
        let run = &self.person.runs[index];
        let Some(pause) = self.pause_now(&run.journey, run.version) else { return Ok(None) };
        if !pause.holds {
            return self.end(index, "forced").map(Some);
        }
        let held = Hold { since_ms: self.now_ms, is_entrant: false };
        self.person.runs[index].held = Some(held);
        self.hold(index, held);
        self.expect_of(index, &self.with_kept(index, "held"), None).map(Some)
    }

    /// Keeps an entrant until the pause is over.
    pub(super) fn keep_entrant(
        &mut self,
        name: &str,
        version: &Version,
        event: &ScriptEvent,
        id: Option<String>,
    ) -> Result<(), String> {
        self.pause_now(name, version.number).ok_or("kept without a pause")?;
        self.person.entries += 1;
        let mut run = self.run_of(name, version, event, id);
        let held = Hold { since_ms: self.now_ms, is_entrant: true };
        run.held = Some(held);
        let entry = run.entry;
        self.person.runs.push(run);
        self.hold(self.person.runs.len() - 1, held);
        self.expect(name, version.number, "", entry, "held", None)
    }

    /// An entrant is kept no longer.
    fn take_entrant(&mut self, index: usize) -> Result<Run, String> {
        let run = self.person.runs.remove(index);
        self.expect(&run.journey, run.version, "", run.entry, "released", None)?;
        Ok(run)
    }

    pub(super) fn drop_entrant(&mut self, index: usize) -> Result<(), String> {
        let run = self.take_entrant(index)?;
        self.expect(&run.journey, run.version, "", 0, "paused", None)
    }

    /// Whoever is held is held no longer.
    pub(super) fn end_hold(&mut self, index: usize) -> Result<(), String> {
        self.expect_of(index, &self.with_kept(index, "released"), None)?;
        let run = &self.person.runs[index];
        let shifted = self.published.pauses(&run.journey, run.version).iter().enumerate();
        let over = shifted.filter(|(_, pause)| pause.shifts() && pause.ends_ms <= self.now_ms);
        let last = over.map(|(number, _)| number + 1).max().unwrap_or(0);
        let run = &mut self.person.runs[index];
        run.held = None;
        run.shifted = run.shifted.max(last);
        self.set_timer(index, None, Timer::Timeout);
        Ok(())
    }

    /// The instant has come at which a held instance is let go.
    pub(super) fn let_go(&mut self, index: usize, held: Hold) -> Result<(), String> {
        let run = &self.person.runs[index];
        let is_paused = self.pause_now(&run.journey, run.version).is_some();
        match (held.is_entrant, is_paused) {
            (true, true) => self.drop_entrant(index),
            (true, false) => self.let_in(index),
            (false, true) => self.end(index, "forced"),
            (false, false) => self.let_act(index),
        }
    }

    fn let_in(&mut self, index: usize) -> Result<(), String> {
        let run = self.take_entrant(index)?;
        let published = self.published;
        let journey = published.journeys.iter().find(|journey| journey.name == run.journey);
        let live = journey.and_then(|journey| journey.live());
        let Some(target) = live.filter(|version| version.journey.entry.event == run.meta_type) else {
            return self.expect(&run.journey, run.version, "", 0, "paused", None);
        };
        let event = ScriptEvent {
            id: run.meta_id,
            kind: run.meta_type,
            profile: self.observed.profile.clone(),
            time_ms: Some(run.meta_time_ms),
            properties: run.event,
        };
        let refused = match self.entry_holds(&target.journey.entry, &event) {
            Err(_) => Some("entry_filter_error"),
            Ok(false) => Some("paused"),
            Ok(true) => self.refusal(&run.journey, &target.journey, &run.supplemental_id),
        };
        match refused {
            Some(reason) => self.expect(&run.journey, target.number, "", 0, reason, None),
            None => self.enter(&run.journey, target, &event, run.supplemental_id),
        }
    }

    /// What the pause that is over says of overdue messages.
    fn overdue(&self, run: &Run) -> Option<String> {
        let pause = self.published.pause_before(&run.journey, run.version, self.now_ms)?;
        (pause.holds && !pause.is_on(self.now_ms)).then(|| pause.overdue.clone())
    }

    fn let_act(&mut self, index: usize) -> Result<(), String> {
        let run = self.person.runs[index].clone();
        match (&run.program.nodes[&run.node], self.overdue(&run).as_deref()) {
            (Node::Message { message, .. }, Some("merge")) => self.let_latest_act(index, message),
            (Node::Message { .. }, Some("drop")) => {
                self.end_hold(index)?;
                self.skip(index, "dropped")
            }
            (Node::Message { message, then }, _) => {
                self.end_hold(index)?;
                self.moved = 0;
                if self.send(index, message)? { self.go(index, then, "then") } else { Ok(()) }
            }
            (Node::Action { then, .. }, _) => {
                self.end_hold(index)?;
                self.moved = 0;
                match self.call(index)? {
                    Asked::Answered => self.go(index, then, "then"),
                    Asked::Stays => Ok(()),
                    Asked::Fails => self.go_wrong(index),
                }
            }
            (node, _) => Err(format!("the model is wrong: held at {node:?}")),
        }
    }

    fn skip(&mut self, index: usize, outcome: &str) -> Result<(), String> {
        let run = self.person.runs[index].clone();
        let Node::Message { message, then } = &run.program.nodes[&run.node] else {
            return Err(format!("the model is wrong: {run} has no message"));
        };
        if self.leaves_before_acting(index)? {
            return Ok(());
        }
        self.expect_of(index, &format!("{outcome} message {message}"), None)?;
        self.go(index, then, "then")
    }

    fn channel_of(&self, run: &Run) -> Option<String> {
        let Node::Message { message, .. } = &run.program.nodes[&run.node] else { return None };
        Some(self.published.version(&run.journey, run.version)?.messages.get(message)?.channel.clone())
    }

    /// Of what the profile holds for one channel the latest goes.
    fn let_latest_act(&mut self, index: usize, message: &str) -> Result<(), String> {
        let channel = self.channel_of(&self.person.runs[index]).ok_or_else(|| format!("no message `{message}`"))?;
        let runs = self.person.runs.iter().filter(|run| {
            run.held.is_some_and(|held| !held.is_entrant)
                && self.overdue(run).as_deref() == Some("merge")
                && self.channel_of(run).as_ref() == Some(&channel)
        });
        let since = |run: &Run| run.held.map_or(0, |held| held.since_ms);
        let mut alike: Vec<(i64, u32)> = runs.map(|run| (since(run), run.entry)).collect();
        alike.sort_unstable();
        let mut staying = Vec::new();
        for (_, entry) in alike {
            let Ok(index) = self.index_of(entry) else { continue };
            self.end_hold(index)?;
            if !self.leaves_before_acting(index)? {
                staying.push(entry);
            }
        }
        let Some(latest) = staying.pop() else { return Ok(()) };
        for entry in staying {
            if let Ok(index) = self.index_of(entry) {
                self.skip(index, "merged")?;
            }
        }
        let Ok(index) = self.index_of(latest) else { return Ok(()) };
        let run = self.person.runs[index].clone();
        let Node::Message { message, then } = &run.program.nodes[&run.node] else {
            return Err(format!("the model is wrong: {run} has no message"));
        };
        self.moved = 0;
        if self.send(index, message)? { self.go(index, then, "then") } else { Ok(()) }
    }

    pub(super) fn index_of(&self, entry: u32) -> Result<usize, String> {
        let place = self.person.runs.iter().position(|run| run.entry == entry);
        place.ok_or_else(|| format!("entry {entry} is gone"))
    }

    fn with_kept(&self, index: usize, word: &str) -> String {
        match self.person.runs[index].kept.len() {
            0 => word.to_owned(),
            kept => format!("{word} with {kept}"),
        }
    }

    /// A held instance hears what the event nodes that come next would have taken, the first for each and ten in all; each is
    /// told, and so is an event that finds no room, once.
    pub(super) fn keep_event(&mut self, index: usize, event: &ScriptEvent) -> Result<(), String> {
        let run = self.person.runs[index].clone();
        if self.pause_now(&run.journey, run.version).is_some_and(|pause| !pause.holds) {
            return Ok(());
        }
        let mut is_lost = false;
        for name in next_events(&run) {
            let awaited = run.program.nodes[&name].awaited();
            let way = awaited.into_iter().find(|(_, awaited)| self.takes(index, awaited, event).unwrap_or(false));
            let kept = &mut self.person.runs[index].kept;
            let Some((way, _)) = way.filter(|_| kept.iter().all(|(node, ..)| *node != name)) else { continue };
            if kept.len() == KEPT_MAX {
                is_lost = true;
                continue;
            }
            let reason = format!("kept for {name}");
            kept.push((name, way, event.properties.clone()));
            self.expect_of(index, &reason, None)?;
        }
        if is_lost { self.expect_of(index, "not kept: too many", None) } else { Ok(()) }
    }
}

/// Nodes that await events and can be reached without waiting before.
fn next_events(run: &Run) -> BTreeSet<String> {
    let (mut seen, mut ahead) = (BTreeSet::new(), vec![run.node.clone()]);
    let mut found = BTreeSet::new();
    while let Some(name) = ahead.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        match &run.program.nodes[&name] {
            Node::Event { .. } | Node::FirstOf { .. } => {
                found.insert(name);
                continue;
            }
            Node::Wait { .. } | Node::End => continue,
            Node::Condition { branches, otherwise } => {
                ahead.extend(branches.iter().map(|(_, then)| then.clone()).chain(otherwise.clone()));
            }
            Node::Split { shares } => ahead.extend(shares.iter().map(|(_, then)| then.clone())),
            Node::Experiment { ways } => ahead.extend(ways.iter().map(|(_, then)| then.clone())),
            Node::Targeting { rules, fallback } => {
                ahead.extend(rules.iter().map(|(_, then)| then.clone()).chain(fallback.clone()));
            }
            Node::ProfileCap { then, otherwise, .. } => ahead.extend([then.clone(), otherwise.clone()]),
            Node::Message { then, .. }
            | Node::Update { then, .. }
            | Node::Lookup { then, .. }
            | Node::Action { then, .. }
            | Node::Jump { then, .. } => ahead.push(then.clone()),
        }
        ahead.extend(run.program.on_error.get(&name).cloned());
    }
    found
}
