//! What a jump does: the profile is in the other journey too, or the jump fails.

use serde_json::{Map, Value as Json};

use crate::sim::oracle::judge::Judge;
use crate::sim::oracle::resources::{Version, Versions};
use crate::sim::workload::ScriptEvent;

impl Judge<'_> {
    /// Lets the profile into another journey; false if that failed.
    pub(super) fn jump(&mut self, index: usize, name: &str, properties: Map<String, Json>) -> Result<bool, String> {
        let published = self.published;
        let run = &self.person.runs[index];
        let own = published.version(&run.journey, run.version).ok_or("an instance of no version")?;
        let event = ScriptEvent {
            id: format!("jump:{}:{}:{}", run.journey, run.entry, run.node),
            kind: own.entrances.get(name).cloned().ok_or("a jump to nowhere")?,
            profile: self.observed.profile.clone(),
            time_ms: Some(self.now_ms),
            properties,
        };
        let live = published.journeys.iter().find(|journey| journey.name == name).and_then(Versions::live);
        let is_open = |target: &&Version| {
            target.journey.entry.event == event.kind && !published.is_stopped(name, target.number, self.now_ms)
        };
        let Some(target) = live.filter(is_open) else { return Ok(false) };
        let ids = match self.entry_ids(&target.journey, &event) {
            Ok(None) => return Ok(true),
            Ok(Some(ids)) => ids,
            Err(_) => {
                self.expect(name, target.number, "", 0, "entry_filter_error", None)?;
                return Ok(false);
            }
        };
        if ids.is_empty() {
            self.expect(name, target.number, "", 0, "no_supplemental_id", None)?;
            return Ok(false);
        }
        let mut went_well = true;
        for id in ids {
            let pause = self.pause_now(name, target.number);
            let lost = pause.as_ref().filter(|pause| !pause.holds).map(|_| "paused");
            match lost.or_else(|| self.refusal(name, &target.journey, &id)) {
                None if pause.is_some() => self.keep_entrant(name, target, &event, id)?,
                Some(reason) => {
                    self.expect(name, target.number, "", 0, reason, None)?;
                    went_well &= reason == "already_in_journey";
                }
                None => {
                    let moved = self.moved;
                    self.enter(name, target, &event, id)?;
                    self.moved = moved;
                }
            }
        }
        Ok(went_well)
    }

    /// The other journey did not take it; whether it goes on.
    pub(super) fn leave_jump(&mut self, index: usize) -> Result<bool, String> {
        let run = &self.person.runs[index];
        let Some(target) = run.program.on_error.get(&run.node).cloned() else {
            return self.end(index, "failed jump").map(|()| false);
        };
        self.note_error(index, "jump", "error");
        self.leave(index, &target, "error").map(|()| true)
    }
}
