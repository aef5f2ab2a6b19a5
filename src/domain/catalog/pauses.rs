//! Pauses in the catalog: which journeys are paused, when, and what that means for their versions.

use crate::domain::catalog::{Catalog, CatalogError, Version, VersionStatus};
use crate::domain::ids::{JourneyId, Millis, VersionId};
use crate::domain::journey::program::Program;
use crate::domain::limits;
use crate::domain::pause::{Overdue, Pause, PauseEnding, PauseMode, window_ms};

/// What somebody asks for who pauses a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseOrder {
    /// What becomes of profiles and events.
    pub mode: PauseMode,
    /// From when on.
    pub at: Millis,
    /// For how long in milliseconds, if nobody resumes it.
    pub for_ms: i64,
    /// What happens at its end, if nobody resumes it.
    pub ending: PauseEnding,
    /// What becomes of overdue messages, if nobody says otherwise.
    pub overdue: Overdue,
    /// Within how many milliseconds everybody is let go then.
    pub window_ms: i64,
    /// Profiles let go in a second then; 0 is without a bound.
    pub rate: u32,
}

/// What somebody asks for who resumes a journey.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumeOrder {
    /// What becomes of overdue messages; else what the pause says.
    pub overdue: Option<Overdue>,
    /// Profiles let go in a second, 0 is without a bound; else what the pause says.
    pub rate: Option<u32>,
    /// How many it holds.
    pub held: u64,
}

impl Catalog {
    /// The latest pause of a journey that has begun by `now`.
    pub fn pause_before(&self, journey: JourneyId, now: Millis) -> Option<&Pause> {
        self.pauses.get(&journey)?.iter().rev().find(|pause| pause.at <= now)
    }

    /// The pause that `now` falls into, for those who walk `program`. Tests of drafts go on: a pause is when they are needed.
    #[inline]
    pub fn pause_at(&self, program: &Program, now: Millis) -> Option<&Pause> {
        if self.pauses.is_empty() || program.is_in_test {
            return None;
        }
        self.pause_before(program.journey, now).filter(|pause| pause.is_on(now))
    }

    /// When somebody of a journey who is held since `since` is let go, as it is known at `now`: by the end of the latest pause
    /// that began before. One that keeps nobody lets whoever was held before leave when they would have been let go.
    pub fn released_at(&self, journey: JourneyId, identity: &str, since: Millis, now: Millis) -> Option<Millis> {
        let pauses = self.pauses.get(&journey)?;
        let keeps = |pause: &Pause| pause.at <= now && !(pause.mode == PauseMode::Discard && pause.is_on(now));
        let holding = pauses.iter().rposition(keeps)?;
        let mut released_at = pauses[holding].releases_at(identity, since);
        for later in &pauses[holding + 1..] {
            if later.at > released_at || (later.mode == PauseMode::Discard && released_at < later.ends_at) {
                break;
            }
            released_at = later.releases_at(identity, since);
        }
        Some(released_at)
    }

    /// Pauses of a journey that stood its clock still and are over.
    pub fn shifts_before(&self, program: &Program, now: Millis) -> impl Iterator<Item = &Pause> {
        let pauses = self.pauses.get(&program.journey).filter(|_| !program.is_in_test).map_or(&[][..], Vec::as_slice);
        pauses.iter().filter(move |pause| pause.shifts() && pause.ends_at <= now)
    }

    /// Since when those inside version `id` leave at once: it was stopped (at no instant that counts), or a pause has ended in
    /// that by `now`.
    #[inline]
    pub fn stopped_at(&self, id: VersionId, now: Millis) -> Option<Millis> {
        let version = self.get(id);
        if version.status == VersionStatus::Stopped {
            return Some(Millis::MIN);
        }
        if self.pauses.is_empty() || version.test.is_some() {
            return None;
        }
        self.stopped_by_pause(version.program.journey, now)
    }

    /// Whether those inside version `id` leave at once.
    #[inline]
    pub fn is_stopped(&self, id: VersionId, now: Millis) -> bool {
        self.stopped_at(id, now).is_some()
    }

    fn stopped_by_pause(&self, journey: JourneyId, now: Millis) -> Option<Millis> {
        let ended = |pause: &&Pause| pause.ending == PauseEnding::Stop && pause.ends_at <= now;
        self.pause_before(journey, now).filter(ended).map(|pause| pause.ends_at)
    }

    /// Versions of journeys whose pause ends with a stop later than at `after` and by `now`; and the latest such end.
    pub fn stopped_between(&self, after: Millis, now: Millis) -> Option<(Vec<VersionId>, Millis)> {
        let ended = |pause: &&Pause| pause.ending == PauseEnding::Stop && pause.ends_at > after && pause.ends_at <= now;
        let stopped = |journey: &JourneyId| self.pauses[journey].last().filter(ended);
        let journeys: Vec<JourneyId> =
            self.pauses.keys().filter(|journey| stopped(journey).is_some()).copied().collect();
        let last = journeys.iter().filter_map(stopped).map(|pause| pause.ends_at).max()?;
        Some((self.versions_among(|version| journeys.contains(&version.program.journey)), last))
    }

    /// Versions of journeys whose last pause is not as in `before`: it has another end, or is another. Whoever an earlier one
    /// holds has to learn of it: they may be let go sooner.
    pub fn released_anew_since(&self, before: &Self) -> Vec<VersionId> {
        let end = |catalog: &Self, journey: &JourneyId| {
            catalog.pauses.get(journey).and_then(|pauses| pauses.last()).map(|pause| (pause.number, pause.ends_at))
        };
        let is_changed = |journey: &JourneyId| end(before, journey).is_some_and(|was| end(self, journey) != Some(was));
        self.versions_among(|version| is_changed(&version.program.journey))
    }

    /// Every version whose journey has been paused.
    pub fn paused_ever(&self) -> Vec<VersionId> {
        self.versions_among(|version| self.pauses.contains_key(&version.program.journey))
    }

    fn versions_among(&self, wanted: impl Fn(&Version) -> bool) -> Vec<VersionId> {
        self.versions.iter().filter(|version| wanted(version)).map(|version| version.program.version).collect()
    }

    /// Pauses a live journey.
    pub fn pause(&self, name: &str, order: PauseOrder) -> Result<Self, CatalogError> {
        let ids = self.select(name, None)?;
        if ids.iter().all(|id| self.get(*id).status != VersionStatus::Live) {
            return Err(CatalogError::NotLive { name: name.to_owned() });
        }
        let journey = self.program(ids[0]).journey;
        let mut next = self.clone();
        let pauses = next.pauses.entry(journey).or_default();
        if let Some(last) = pauses.last().filter(|last| last.ends_at > order.at) {
            return Err(CatalogError::Paused { name: name.to_owned(), ends_at: last.ends_at });
        }
        // Whoever was inside in one that is over for so long has run out of time.
        pauses.retain(|pause| pause.ends_at.plus(limits::TIMEOUT_MS_MAX + limits::PAUSE_MS_MAX) > order.at);
        let surplus = (pauses.len() + 1).saturating_sub(limits::PAUSES_KEPT_MAX);
        pauses.drain(..surplus);
        let number = self.pauses.get(&journey).and_then(|pauses| pauses.last()).map_or(1, |last| last.number + 1);
        let PauseOrder { mode, at, for_ms, ending, overdue, window_ms, rate } = order;
        pauses.push(Pause { number, mode, at, ends_at: at.plus(for_ms), ending, overdue, window_ms, rate });
        next.version.0 += 1;
        Ok(next)
    }

    /// Resumes a paused journey at `now`. What the order leaves open is as the pause says.
    pub fn resume(&self, name: &str, now: Millis, order: ResumeOrder) -> Result<Self, CatalogError> {
        let ids = self.select(name, None)?;
        // A journey that was only ever in test has no version to pause.
        let journey = ids.first().map(|id| self.program(*id).journey);
        let is_on = |journey: &JourneyId| self.pause_before(*journey, now).is_some_and(|pause| pause.is_on(now));
        let Some(journey) = journey.filter(is_on) else {
            return Err(CatalogError::NotPaused { name: name.to_owned() });
        };
        let mut next = self.clone();
        let last = next.pauses.get_mut(&journey).and_then(|pauses| pauses.last_mut());
        let last = last.expect("it is paused");
        let (overdue, rate) = (order.overdue.unwrap_or(last.overdue), order.rate.unwrap_or(last.rate));
        let window_ms = window_ms(order.held, rate);
        *last = Pause { ends_at: now, ending: PauseEnding::Resume, overdue, window_ms, rate, ..*last };
        next.version.0 += 1;
        Ok(next)
    }

    /// Ends the pause of a journey whose versions are all stopped; whether it was in one.
    pub(super) fn end_pause_of_nobody(&mut self, name: &str, now: Millis) -> bool {
        let Some(journey) = self.journey_id(name) else { return false };
        if self.versions_of(journey).any(|version| version.status != VersionStatus::Stopped) {
            return false;
        }
        let last = self.pauses.get_mut(&journey).and_then(|pauses| pauses.last_mut());
        let Some(last) = last.filter(|last| last.is_on(now)) else { return false };
        *last = Pause { ends_at: now, ending: PauseEnding::Resume, ..*last };
        true
    }

    /// The same with versions stopped that pauses have stopped by `now`: what changes the catalog goes by their status.
    #[must_use]
    pub fn settled(&self, now: Millis) -> Self {
        let mut next = self.clone();
        let stopped: Vec<JourneyId> =
            self.pauses.keys().filter(|journey| self.stopped_by_pause(**journey, now).is_some()).copied().collect();
        for journey in &stopped {
            let of_journey = |version: &&mut Version| version.program.journey == *journey && version.test.is_none();
            for version in next.versions.iter_mut().filter(of_journey) {
                version.status = VersionStatus::Stopped;
            }
            if let Some(last) = next.pauses.get_mut(journey).and_then(|pauses| pauses.last_mut()) {
                last.ending = PauseEnding::Resume;
            }
        }
        if !stopped.is_empty() {
            next.version.0 += 1;
            next.index();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::SourceFile;

    const HOUR: i64 = 3_600_000;

    fn catalog() -> Catalog {
        let text = "kind: event\nname: go\nschema: {}\n---\nkind: journey\nname: j\nentry: { event: go }\nstart: a\n\
                    nodes:\n  a: { wait: 1h, then: b }\n  b: { end: true }\n";
        let file = SourceFile { name: "f.yaml".to_owned(), text: text.to_owned() };
        Catalog::default().apply(&[file], Millis(0)).expect("applies").0
    }

    fn order(at: i64, for_ms: i64) -> PauseOrder {
        let (mode, ending, overdue) = (PauseMode::Hold, PauseEnding::Resume, Overdue::Send);
        PauseOrder { mode, at: Millis(at), for_ms, ending, overdue, window_ms: 0, rate: 5_000 }
    }

    #[test]
    fn a_pause_ends_by_itself_or_by_a_resume() {
        let paused = catalog().pause("j", order(10, HOUR)).expect("is live");
        let j = JourneyId(0);
        let on = |catalog: &Catalog| {
            [9, 10, 500, HOUR + 10].map(|now| catalog.pause_at(catalog.program(VersionId(0)), Millis(now)).is_some())
        };
        assert_eq!(on(&paused), [false, true, true, false]);
        let resumed = paused
            .resume("j", Millis(400), ResumeOrder { overdue: Some(Overdue::Drop), ..ResumeOrder::default() })
            .expect("is paused");
        assert_eq!(on(&resumed), [false, true, false, false]);
        assert_eq!(resumed.released_anew_since(&paused), [VersionId(0)]);
        assert!(paused.released_anew_since(&catalog()).is_empty(), "a first pause lets nobody go");
        assert!(resumed.released_anew_since(&resumed).is_empty());
        let again = resumed.pause("j", order(400, HOUR)).expect("is live");
        assert_eq!(again.released_anew_since(&resumed), [VersionId(0)], "it may let go who was to go later");
        assert_eq!(again.released_anew_since(&paused), [VersionId(0)]);
        assert_eq!(again.pauses[&j].iter().map(|pause| pause.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(Catalog::from_record(&again.to_record()).expect("reads").pauses, again.pauses);
    }

    #[test]
    fn a_resume_does_as_the_pause_says_unless_it_says_otherwise() {
        let paused = catalog().pause("j", PauseOrder { overdue: Overdue::Drop, rate: 10, ..order(0, HOUR) });
        let paused = paused.expect("is live");
        let resumed = |overdue, rate| {
            let order = ResumeOrder { overdue, rate, held: 100 };
            let catalog = paused.resume("j", Millis(5), order).expect("is paused");
            let pause = *catalog.pause_before(JourneyId(0), Millis(5)).expect("was paused");
            (pause.overdue, pause.rate, pause.window_ms)
        };
        assert_eq!(resumed(None, None), (Overdue::Drop, 10, 10_000));
        assert_eq!(resumed(Some(Overdue::Send), None), (Overdue::Send, 10, 10_000), "the default, but asked for");
        assert_eq!(resumed(None, Some(0)), (Overdue::Drop, 0, 0));
        assert_eq!(resumed(Some(Overdue::Merge), Some(100)), (Overdue::Merge, 100, 1_000));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let told = |result: Result<Catalog, CatalogError>| result.expect_err("is refused").to_string();
        let catalog = catalog();
        let paused = catalog.pause("j", order(0, HOUR)).expect("is live");
        assert_eq!(
            told(paused.pause("j", order(5, HOUR))),
            "journey `j` is paused until 1970-01-01T01:00:00.000Z already"
        );
        assert_eq!(told(catalog.resume("j", Millis(0), ResumeOrder::default())), "journey `j` is not paused");
        assert_eq!(told(paused.resume("j", Millis(HOUR), ResumeOrder::default())), "journey `j` is not paused");
        let closed = catalog.close("j", None).expect("closes");
        assert_eq!(
            told(closed.pause("j", order(0, HOUR))),
            "journey `j` has no live version, and only those can be paused"
        );
        assert_eq!(told(catalog.pause("jj", order(0, HOUR))), "there is no journey `jj`");
    }

    #[test]
    fn a_journey_that_was_only_in_test_is_neither_paused_nor_resumed() {
        let text = "kind: journey\nname: k\nentry: { event: go }\nstart: a\nnodes:\n  a: { end: true }\n";
        let file = SourceFile { name: "f.yaml".to_owned(), text: text.to_owned() };
        let kept = catalog().apply_draft_within(&[file], Millis(0), &crate::domain::guardrails::Guardrails::DEFAULT);
        let in_test = kept.expect("is kept").0.start_test("k", 10_000, Millis(0)).expect("starts");
        for catalog in [in_test.clone(), in_test.stop_test("k").expect("ends")] {
            let resumed = catalog.resume("k", Millis(5), ResumeOrder::default()).expect_err("is not paused");
            assert_eq!(resumed.to_string(), "journey `k` is not paused");
            let paused = catalog.pause("k", order(0, HOUR)).expect_err("is not live");
            assert_eq!(paused.to_string(), "journey `k` has no live version, and only those can be paused");
        }
    }

    #[test]
    fn a_pause_may_end_with_a_stop() {
        let order = PauseOrder { ending: PauseEnding::Stop, ..order(0, HOUR) };
        let paused = catalog().pause("j", order).expect("is live");
        let v = VersionId(0);
        assert_eq!([HOUR - 1, HOUR].map(|now| paused.is_stopped(v, Millis(now))), [false, true]);
        assert_eq!(paused.stopped_between(Millis(0), Millis(HOUR)), Some((vec![v], Millis(HOUR))));
        assert_eq!(paused.stopped_between(Millis(HOUR), Millis(2 * HOUR)), None);
        assert_eq!(paused.settled(Millis(HOUR - 1)).version, paused.version);
        let settled = paused.settled(Millis(HOUR));
        assert_eq!((settled.get(v).status, settled.version.0), (VersionStatus::Stopped, paused.version.0 + 1));
        assert!(settled.live.is_empty());
    }

    #[test]
    fn a_stop_of_the_whole_journey_ends_its_pause() {
        let text = "kind: journey\nname: j\nentry: { event: go }\nstart: a\nnodes:\n  a: { wait: 2h, then: b }\n  \
                    b: { end: true }\n";
        let file = [SourceFile { name: "f.yaml".to_owned(), text: text.to_owned() }];
        let paused = catalog().pause("j", order(0, HOUR)).expect("is live");
        let two = paused.apply(&file, Millis(5)).expect("applies").0;
        let is_paused = |catalog: &Catalog, now: i64| {
            let newest = catalog.versions_of(JourneyId(0)).next_back().expect("has versions");
            catalog.pause_at(&newest.program, Millis(now)).is_some()
        };
        let first = two.stop("j", Some(1), Millis(10)).expect("stops");
        assert!(is_paused(&first, 20), "the second version goes on");
        let both = first.stop("j", None, Millis(30)).expect("stops");
        let again = both.apply(&file, Millis(40)).expect("applies").0;
        assert_eq!(([20, 30, 40].map(|now| is_paused(&again, now))), [true, false, false]);
        assert_eq!(Catalog::from_record(&again.to_record()).expect("reads").pauses, again.pauses);
        // One that was stopped before stops ended pauses.
        let mut left = paused.clone();
        left.versions[0].status = VersionStatus::Stopped;
        let ended = left.stop("j", None, Millis(30)).expect("stops");
        assert_eq!((ended.version.0, ended.pauses[&JourneyId(0)][0].ends_at), (left.version.0 + 1, Millis(30)));
        let unpaused = catalog().stop("j", None, Millis(30)).expect("stops");
        assert_eq!(unpaused.stop("j", None, Millis(31)).expect("stops").version, unpaused.version);
    }

    #[test]
    fn old_pauses_are_forgotten() {
        let mut catalog = catalog();
        for n in 0..(limits::PAUSES_KEPT_MAX as i64 + 20) {
            catalog = catalog.pause("j", order(n * HOUR, HOUR)).expect("is live");
        }
        let pauses = &catalog.pauses[&JourneyId(0)];
        assert_eq!((pauses.len(), pauses[0].number), (limits::PAUSES_KEPT_MAX, 21));
    }
}
