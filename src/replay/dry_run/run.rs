//! One dry run: the engine of a replay, fed with the past in the order in which it was handled.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::domain::apply::Calls;
use crate::domain::catalog::Responses;
use crate::domain::ids::{HashKey, JourneyId, Millis, SandboxId};
use crate::domain::step::MessageOutcome;
use crate::domain::suggest::did_you_mean;
use crate::replay::dry_run::account::Account;
use crate::replay::dry_run::doubts::{Known, doubts};
use crate::replay::dry_run::observe::{Observed, Observer};
use crate::replay::dry_run::past::{Feed, Past};
use crate::replay::dry_run::recorded::RecordedAnswers;
use crate::replay::dry_run::view::{DryRun, Sample};
use crate::replay::run::{BATCH_EVENTS, BadRows, Feed as Way, Pace, Repeats, ReplayError, STOP_DEADLINE};
use crate::replay::run::{refused, run_on, start};
use crate::runtime::engine::Engine;
use crate::runtime::projection::Projection;
use crate::runtime::report::{outcome_word, timeline_items};
use crate::runtime::view::{Report, TimelineItem};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The journey it is about: one of the files.
    pub journey: String,
    /// Begin here instead of with the first event.
    pub from: Option<Millis>,
    /// End here, that instant included, instead of with the last event.
    pub until: Option<Millis>,
    /// Timelines to show.
    pub samples: usize,
    /// Shards; the result does not depend on it.
    pub shards: u16,
}

/// What there is beside files and past.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// What the live version did.
    pub live: Option<Account>,
    /// What custom actions are declared to answer.
    pub responses: Responses,
    /// What they answered, where nothing is declared.
    pub answers: RecordedAnswers,
}

/// Runs `resources` (name and text of each file) over `past`, with the engine's files in `directory`, which is empty and
/// belongs to this run.
///
/// # Errors
/// Nothing is reported then.
pub async fn dry_run(
    directory: &Path,
    resources: Vec<(String, String)>,
    past: Past,
    beside: &Beside,
    options: &Options,
    mut observe: impl FnMut(Pace),
) -> Result<DryRun, ReplayError> {
    let mut known = Known {
        is_whole: past.is_whole,
        is_from_the_start: options.from.is_none(),
        live: beside.live.as_ref(),
        answers: Arc::new(beside.answers.answers(&beside.responses)),
        others: Vec::new(),
    };
    let feed = past.cut(options.from, options.until);
    let observer = Arc::new(Observer::new(options.samples, Arc::clone(&known.answers)));
    let calls = Calls::Answered(Arc::clone(&known.answers));
    let (engine, sink) = start(directory, options.shards, calls, Arc::clone(&observer) as Arc<dyn Projection>)?;
    sink.connect(&engine);
    let run = Run { engine: &engine, options, observer: &observer };
    let ran = run.through(resources, &feed, &mut observe).await;
    // ORDER: the journal's thread ends with the engine, and tells the observer last.
    engine.stop(STOP_DEADLINE).await;
    let (report, journey) = ran.map_err(|error| match engine.failure().reason() {
        Some(reason) => ReplayError::Stopped(reason),
        None => error,
    })?;
    let catalog = engine.catalog();
    known.others = catalog.live.keys().filter(|name| **name != options.journey).map(SmolStr::to_string).collect();
    let observed = observer.take();
    if let Some(fault) = observed.fault {
        return Err(ReplayError::Stopped(format!("a record of the run can't be read: {fault}")));
    }
    let (from, until) = feed.span.unwrap_or_default();
    let samples = samples(&observed, &feed.identities, &catalog, journey);
    let whole = report.journeys.get(&options.journey).cloned().unwrap_or_default();
    Ok(DryRun {
        journey: options.journey.clone(),
        from: from.to_iso(),
        until: until.to_iso(),
        events: feed.gaps.events,
        profiles: feed.identities.len() as u64,
        unknown: doubts(&known, &feed.gaps, from, &observed, whole.active),
        report: whole,
        draft: observed.account,
        live: beside.live.clone(),
        samples,
        hash: report.hash,
    })
}

struct Run<'a> {
    engine: &'a Engine,
    options: &'a Options,
    observer: &'a Observer,
}

impl Run<'_> {
    async fn through(
        &self,
        resources: Vec<(String, String)>,
        feed: &Feed,
        observe: &mut impl FnMut(Pace),
    ) -> Result<(Report, JourneyId), ReplayError> {
        let engine = self.engine;
        engine.apply(resources).await.map_err(refused)?;
        let catalog = engine.catalog();
        let name = &self.options.journey;
        let journey = catalog.journey_id(name).ok_or_else(|| {
            let near = did_you_mean(name, catalog.journeys.iter().map(SmolStr::as_str));
            let near = near.map(|near| format!("; {near}")).unwrap_or_default();
            ReplayError::UnknownJourney(format!("no journey of the files is called `{name}`{near}"))
        })?;
        self.observer.watch(catalog, journey);
        let mut way = Way::new(engine, Repeats::None, BadRows::Stop);
        let mut fed = 0;
        for batch in feed.events.chunks(BATCH_EVENTS) {
            fed += batch.len() as u64;
            let latest = batch.last().map_or(Millis::MIN, |(at, _)| *at);
            let (times, events) = batch.iter().cloned().unzip();
            way.submit((events, times)).await?;
            observe(Pace::Feeding(fed, latest));
        }
        way.finish().await?;
        observe(Pace::RunningOn);
        let until = feed.span.map(|(_, until)| until);
        Ok((run_on(engine, until.or(Some(Millis(0)))).await?, journey))
    }
}

/// Timelines of samples, in order of their names.
fn samples(
    observed: &Observed,
    identities: &BTreeSet<SmolStr>,
    catalog: &crate::domain::catalog::Catalog,
    journey: JourneyId,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    for identity in identities {
        let Some(entries) = observed.samples.get(&HashKey::FIXED.key_of(SandboxId::DEFAULT, identity)) else {
            continue;
        };
        let mut timeline = Vec::new();
        for entry in entries {
            // That the sink took a message says nothing: nothing is sent, and it has no instant of its own.
            let is_of_sink =
                |item: &TimelineItem| item.what == "message" && item.reason == outcome_word(MessageOutcome::Sent);
            let items = timeline_items(entry, catalog, Some(journey)).into_iter().rev();
            timeline.extend(items.filter(|item| !is_of_sink(item)));
        }
        samples.push(Sample { profile: identity.to_string(), timeline });
    }
    samples
}
