//! An executable reference of what journeys mean, written from the documents (`docs/journeys.md`, `docs/expressions.md`),
//! which judges what the engine decided. Shares no code with `domain` but ids; knows no shard, journal or timer wheel.
//!
//! It is shown every durable decision about a profile in the order of their sequence, works out what had to happen at that
//! instant for that cause, and says precisely where the two differ. Where the documents leave the engine a choice (which
//! messages channels had tried already, whether a surface had room) it takes the engine's and holds it to that.

mod calls;
mod caps;
mod cel;
mod clock;
mod declared;
mod drafts;
mod entries;
mod eval;
mod functions;
mod judge;
mod jumps;
mod migrations;
mod nodes;
mod optimize;
mod pauses;
mod person;
mod races;
mod reading;
mod resources;
mod said;
mod tally;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use crate::sim::observe::{Cause, Observed, instant_text};
use judge::{Judge, Room};
use person::Person;
use resources::{Published, Status};

pub use tally::JourneyCounts;

/// The number of the catalog that holds what was published first.
pub const FIRST_CATALOG: u32 = 1;

/// What time is when a timer fires (`docs/journeys.md`, "What happens in which order").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Engine time, which may be later than it was due.
    Wall,
    /// The instant it was due.
    Events,
}

/// Whether surfaces may be so full that instances stay at their message nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parking {
    /// There is always room.
    Never,
    /// There may be none, and nobody knows when.
    Possible,
    /// There is none while so many messages of the surface are on their way from the partition, decided before this one.
    At(usize),
}

/// The judge.
#[derive(Clone, Debug)]
pub struct Oracle {
    clock: Clock,
    parking: Parking,
    calls_are_assumed: bool,
    ids_known_for_ms: Option<i64>,
    /// By number of the catalog.
    published: BTreeMap<u32, Published>,
    people: BTreeMap<String, Person>,
    /// Which partition each profile is in, and how far the time of each has come, which never goes back.
    homes: BTreeMap<String, u16>,
    reached_ms: BTreeMap<u16, i64>,
    /// When each event id was decided last, by profile.
    ids: BTreeMap<String, BTreeMap<String, i64>>,
    counts: BTreeMap<String, JourneyCounts>,
    waiting: Waiting,
    passed: caps::Passed,
}

/// Messages on their way, by partition and surface (`None` = the log).
type Waiting = BTreeMap<(u16, Option<String>), usize>;

impl Oracle {
    /// An oracle for an engine on the wall clock, whose surfaces always have room, after `resources_yaml` was published
    /// first.
    pub fn new(resources_yaml: &str) -> Result<Self, String> {
        let published = Published::default().publish(resources_yaml)?;
        Ok(Self {
            clock: Clock::Wall,
            parking: Parking::Never,
            calls_are_assumed: false,
            ids_known_for_ms: None,
            published: BTreeMap::from([(FIRST_CATALOG, published)]),
            people: BTreeMap::new(),
            homes: BTreeMap::new(),
            reached_ms: BTreeMap::new(),
            ids: BTreeMap::new(),
            counts: BTreeMap::new(),
            waiting: Waiting::new(),
            passed: caps::Passed::new(),
        })
    }

    /// The same for another clock.
    #[must_use]
    pub fn on_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The same where surfaces may be full.
    #[must_use]
    pub fn with_parking(self, parking: Parking) -> Self {
        Self { parking, ..self }
    }

    /// The same where every call counts as answered at once, by 200 and nothing.
    #[must_use]
    pub fn with_calls_assumed(self, calls_are_assumed: bool) -> Self {
        Self { calls_are_assumed, ..self }
    }

    /// The same where a profile's event ids are known for so long, in milliseconds of engine time: deciding one again is
    /// an error.
    #[must_use]
    pub fn with_ids_known_for(self, window_ms: i64) -> Self {
        Self { ids_known_for_ms: Some(window_ms), ..self }
    }

    /// Judges one observation; afterwards the model is where the engine is. After an error it is of no more use.
    pub fn observe(&mut self, observed: &Observed) -> Result<(), String> {
        match &observed.cause {
            Cause::Publish(text) => self.change(observed, |before| before.publish(text)),
            Cause::Stop(journey) => self.change(observed, |before| {
                let stopped = before.close(journey, Status::Stopped)?;
                stopped.paused(journey, |pauses| {
                    if let Some(last) = pauses.last_mut().filter(|last| last.is_on(observed.engine_time_ms)) {
                        (last.ends_ms, last.stops) = (observed.engine_time_ms, false);
                    }
                })
            }),
            Cause::Close(journey) => self.change(observed, |before| before.close(journey, Status::Closed)),
            Cause::Draft(act) => self.change(observed, |before| before.act(act)),
            Cause::Pause(journey, terms) => {
                self.change(observed, |before| before.paused(journey, |pauses| pauses.push(terms.clone())))
            }
            Cause::Resume(journey, now_ms, overdue, window_ms) => self.change(observed, |before| {
                before.paused(journey, |pauses| {
                    if let Some(last) = pauses.last_mut() {
                        (last.ends_ms, last.stops, last.window_ms) = (*now_ms, false, *window_ms);
                        last.overdue = overdue.clone().unwrap_or_else(|| last.overdue.clone());
                    }
                })
            }),
            Cause::Event(_) | Cause::Timers | Cause::Report => {
                self.judge(observed).map_err(|error| self.explain(observed, &error))
            }
        }
    }

    /// What the engine must have done by `now_ms` with nothing left to do: no timer is overdue, and nobody is inside a
    /// stopped version.
    pub fn finish(&self, now_ms: i64) -> Result<(), String> {
        caps::finish(&self.people, self.clock)?;
        let latest = self.latest();
        for (profile, person) in &self.people {
            let reached_ms = self.homes.get(profile).and_then(|home| self.reached_ms.get(home));
            // Where the clock went back, what pauses say is still asked as of then.
            let reached_ms = reached_ms.copied().unwrap_or(now_ms).max(now_ms);
            for run in &person.runs {
                if run.due_ms <= now_ms {
                    let due = instant_text(run.due_ms);
                    return Err(format!("{profile}: a timer is overdue since {due}: {run}"));
                }
                let held = run.held.as_ref();
                let let_go_ms = held.and_then(|held| latest.lets_go_ms(run, profile, held.since_ms, reached_ms));
                if let_go_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                    return Err(format!("{profile}: still held, and the pause is over: {run}"));
                }
                if latest.is_stopped(&run.journey, run.version, now_ms) {
                    return Err(format!("{profile}: still inside a stopped version: {run}"));
                }
                if migrations::lets_go(latest, run) {
                    return Err(format!("{profile}: a newer version lets it go, and it is still there: {run}"));
                }
            }
        }
        Ok(())
    }

    /// When the next timer of any profile is due, in milliseconds.
    pub fn next_due_ms(&self) -> Option<i64> {
        self.people.values().flat_map(|person| &person.runs).map(|run| run.due_ms).min()
    }

    /// What happened in each journey so far.
    pub fn counts(&self) -> &BTreeMap<String, JourneyCounts> {
        &self.counts
    }

    fn latest(&self) -> &Published {
        self.published.values().next_back().expect("something was published first")
    }

    fn change(
        &mut self,
        observed: &Observed,
        change: impl FnOnce(&Published) -> Result<Published, String>,
    ) -> Result<(), String> {
        let next = change(&self.latest().settled(observed.engine_time_ms))?;
        let latest = self.published.keys().next_back().copied().unwrap_or_default();
        if observed.catalog < latest {
            return Err(format!("catalog {} was published after catalog {latest}", observed.catalog));
        }
        self.published.insert(observed.catalog, next);
        Ok(())
    }

    /// An event id is decided once within the time it is known for.
    fn check_repeat(&mut self, observed: &Observed) -> Result<(), String> {
        let (Cause::Event(event), Some(window_ms)) = (&observed.cause, self.ids_known_for_ms) else { return Ok(()) };
        let ids = self.ids.entry(observed.profile.clone()).or_default();
        let before_ms = ids.insert(event.id.clone(), observed.engine_time_ms);
        match before_ms.filter(|before_ms| observed.engine_time_ms < before_ms + window_ms) {
            Some(before_ms) => {
                Err(format!("event {} was decided twice, first at {}", event.id, instant_text(before_ms)))
            }
            None => Ok(()),
        }
    }

    fn judge(&mut self, observed: &Observed) -> Result<(), String> {
        self.check_repeat(observed)?;
        let published = self.published.get(&observed.catalog);
        let published = published.ok_or_else(|| format!("nobody published catalog {}", observed.catalog))?;
        let before = self.people.get(&observed.profile).cloned().unwrap_or_default();
        for delivery in &before.deliveries {
            *self.waiting.entry((observed.place.0, delivery.surface.clone())).or_default() -= 1;
        }
        let others = &self.waiting;
        let own = |surface: &Option<String>| before.deliveries.iter().filter(|d| d.surface == *surface).count();
        let waiting = |surface: &Option<String>| {
            others.get(&(observed.place.0, surface.clone())).copied().unwrap_or(0) + own(surface)
        };
        let mut judge = Judge::new(
            before.clone(),
            published,
            observed,
            self.clock,
            Room { parking: self.parking, waiting: &waiting },
        );
        judge.calls_are_assumed = self.calls_are_assumed;
        judge.decide()?;
        let after = judge.into_person();
        caps::count(&mut self.passed, published, observed)?;
        for delivery in &after.deliveries {
            *self.waiting.entry((observed.place.0, delivery.surface.clone())).or_default() += 1;
        }
        for step in &observed.steps {
            self.counts.entry(step.journey.clone()).or_default().count(&step.reason);
        }
        let reached_ms = self.reached_ms.entry(observed.place.0).or_insert(observed.engine_time_ms);
        *reached_ms = observed.engine_time_ms.max(*reached_ms);
        self.homes.insert(observed.profile.clone(), observed.place.0);
        self.people.insert(observed.profile.clone(), after);
        Ok(())
    }

    fn explain(&self, observed: &Observed, error: &str) -> String {
        let (partition, pseq) = observed.place;
        let mut text = format!(
            "{error}\n  {} at {} (partition {partition}, record {pseq}, catalog {}), cause {:?}\n",
            observed.profile,
            instant_text(observed.engine_time_ms),
            observed.catalog,
            observed.cause
        );
        match self.people.get(&observed.profile) {
            None => text.push_str("  never seen before\n"),
            Some(person) => text.push_str(&format!("  before: {person}")),
        }
        for step in &observed.steps {
            text.push_str(&format!("  observed: {step:?}\n"));
        }
        for message in &observed.messages {
            text.push_str(&format!("  observed: {message:?}\n"));
        }
        text
    }
}
