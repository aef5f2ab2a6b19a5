//! Pausing and resuming journeys, and forecasts of what a resume would do.

use crate::domain::catalog::{Catalog, CatalogError, PauseOrder, ResumeOrder};
use crate::domain::ids::{JourneyId, Millis, PartitionId};
use crate::domain::journey::duration;
use crate::domain::limits;
use crate::domain::pause::{Overdue, PauseEnding, PauseMode, window_ms};
use crate::runtime::api::Refusal;
use crate::runtime::engine::requests::{answering, to_the_end};
use crate::runtime::engine::{Engine, RequestError, known_journey};
use crate::runtime::forecast::{Forecast, Survey};
use crate::runtime::partition::counts::VersionCounts;
use crate::runtime::report::{Tally, summary};
use crate::runtime::shard::input::ShardInput;
use crate::runtime::view::JourneySummary;

/// How a journey is to be paused.
#[derive(Clone, Copy, Debug)]
pub struct PauseRequest {
    /// What becomes of profiles and events.
    pub mode: PauseMode,
    /// For how long in milliseconds; none is as long as may be.
    pub for_ms: Option<i64>,
    /// What happens at its end, if nobody resumes it.
    pub then: PauseEnding,
    /// What becomes of overdue messages then.
    pub overdue: Overdue,
    /// Profiles let go in a second then; 0 is without a bound.
    pub rate: u32,
}

/// How a journey is to be resumed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResumeRequest {
    /// What becomes of overdue messages; as the pause says if absent.
    pub overdue: Option<Overdue>,
    /// Profiles let go in a second, 0 is without a bound; as the pause says if absent.
    pub rate: Option<u32>,
}

impl Default for PauseRequest {
    fn default() -> Self {
        Self {
            mode: PauseMode::default(),
            for_ms: None,
            then: PauseEnding::default(),
            overdue: Overdue::default(),
            rate: limits::RELEASE_RATE,
        }
    }
}

impl Engine {
    /// Pauses a live journey.
    ///
    /// # Errors
    /// It is not known, is not live, is paused already; or the pause is too long.
    pub async fn pause_journey(&self, name: &str, asked: PauseRequest) -> Result<JourneySummary, RequestError> {
        let longest_ms = self.core.guardrails.pause_max_ms;
        let for_ms = asked.for_ms.unwrap_or(longest_ms);
        if !(1..=longest_ms).contains(&for_ms) {
            let longest = duration::print(longest_ms);
            let message = format!("a pause lasts at most {longest} (`guardrails.pause_max`), and longer than nothing");
            return Err(RequestError::Invalid(message));
        }
        self.change_paused(name, move |catalog, name, of| {
            let PauseRequest { mode, then: ending, overdue, rate, .. } = asked;
            // Nobody counts at its end: of those inside now no more can be held then.
            let window_ms = window_ms(of.active, rate);
            catalog.pause(name, PauseOrder { mode, at: of.now, for_ms, ending, overdue, window_ms, rate })
        })
        .await
    }

    /// Resumes a paused journey.
    ///
    /// # Errors
    /// It is not known, or not paused.
    pub async fn resume_journey(&self, name: &str, asked: ResumeRequest) -> Result<JourneySummary, RequestError> {
        self.change_paused(name, move |catalog, name, of| {
            let ResumeRequest { overdue, rate } = asked;
            catalog.resume(name, of.now, ResumeOrder { overdue, rate, held: of.held })
        })
        .await
    }

    async fn change_paused(
        &self,
        name: &str,
        change: impl FnOnce(&Catalog, &str, Inside) -> Result<Catalog, CatalogError> + Send + 'static,
    ) -> Result<JourneySummary, RequestError> {
        let (engine, name) = (self.clone(), name.to_owned());
        to_the_end(async move {
            let _changing = engine.core.changing.lock().await;
            let tally = engine.tally().await?;
            let catalog = engine.catalog().settled(tally.now);
            let journey = known_journey(&catalog, &name)?;
            let inside = Inside::of(&tally, &catalog, journey);
            let changed = change(&catalog, &name, inside).map_err(|e| RequestError::Conflict(e.to_string()))?;
            engine.install_catalog(changed).await?;
            Ok(summary(&engine.tally().await?, &engine.catalog(), journey))
        })
        .await
    }

    /// The catalog as changes go on from it: what pauses have stopped by now is stopped in it.
    ///
    /// # Errors
    /// The engine is stopping.
    pub(super) async fn settled_catalog(&self) -> Result<Catalog, RequestError> {
        let catalog = self.catalog();
        let mut pauses = catalog.pauses.values().flatten();
        if !pauses.any(|pause| pause.ending == PauseEnding::Stop) {
            return Ok((*catalog).clone());
        }
        // By the time of the partitions, which may be ahead of a clock that was set back.
        Ok(catalog.settled(self.tally().await?.now))
    }

    /// What a resume of a paused journey would do now.
    ///
    /// # Errors
    /// It is not known or not paused, or the engine is stopping.
    pub async fn forecast(&self, name: &str, asked: ResumeRequest) -> Result<Forecast, RequestError> {
        let (tally, catalog) = (self.tally().await?, self.catalog());
        let journey = known_journey(&catalog, name)?;
        let Some(pause) = catalog.pause_before(journey, tally.now).filter(|pause| pause.is_on(tally.now)) else {
            let text = format!(
                "{}; a forecast says what a resume would do",
                CatalogError::NotPaused { name: name.to_owned() }
            );
            return Err(RequestError::Conflict(text));
        };
        let chosen = (asked.overdue.unwrap_or(pause.overdue), asked.rate.unwrap_or(pause.rate));
        let _settled = self.core.moving.read().await;
        let mut whole = Survey::new(tally.now);
        // One partition after the other: none holds up its shard for longer than its own rows take.
        for id in (0..self.core.router.partition_count()).map(PartitionId) {
            let (told, answer) = tokio::sync::oneshot::channel();
            let (catalog, now) = (self.catalog(), tally.now);
            let question = Box::new(move |partitions: &mut dyn Iterator<Item = &_>| {
                let mut survey = Survey::new(now);
                partitions.for_each(|partition| survey.look_at(partition, &catalog, journey));
                answering(told, survey)
            });
            self.core.router.send(id, ShardInput::Ask(Some(id), question));
            whole.add(answer.await.map_err(|_| Refusal::Stopping)?);
        }
        Ok(whole.forecast(&catalog, journey, summary(&tally, &catalog, journey), chosen))
    }
}

/// How many profiles a journey has, over all its versions.
#[derive(Clone, Copy, Debug)]
struct Inside {
    active: u64,
    /// Held at actions, and at the entrance.
    held: u64,
    now: Millis,
}

impl Inside {
    fn of(tally: &Tally, catalog: &Catalog, journey: JourneyId) -> Self {
        let counts = || catalog.versions_of(journey).filter_map(|version| tally.counts.get(version.program.version));
        Self {
            active: counts().map(VersionCounts::active).sum(),
            held: counts().map(|counts| counts.held() + counts.entrants).sum(),
            now: tally.now,
        }
    }
}
