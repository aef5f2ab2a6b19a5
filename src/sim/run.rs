//! Runs seeds and says what came of them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::Mutex;
use serde::Serialize;

use crate::domain::apply::{Calls, Firing};
use crate::domain::finding::Finding;
use crate::sim::Violation;
use crate::sim::simulation::Simulation;
use crate::sim::workload::Given;

/// What one seed came to.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was violated, if anything was.
    pub violation: Option<String>,
    /// Steps of the scheduler.
    pub steps: u64,
    /// Days that passed in it.
    pub days: f64,
    /// Calls of shards, journal, keeper, opener and channels.
    pub calls: u64,
    /// Profiles at the end.
    pub profiles: u64,
    /// Events acknowledged.
    pub events: u64,
    /// Records made durable.
    pub records: u64,
    /// Timers fired.
    pub timers: u64,
    /// Attempts of deliveries.
    pub attempts: u64,
    /// Faults, and what else puts the engine under pressure, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How many entered each journey, over its versions.
    #[serde(skip)]
    pub entered: BTreeMap<String, u64>,
    /// What happened, step by step, if it was asked for.
    #[serde(skip)]
    pub trace: Vec<String>,
}

/// Whether a run keeps its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// It does.
    Kept,
    /// It does not.
    Off,
}

/// The last panic's text and place: a panic of the engine is a finding like any other.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps what panics say instead of printing it. For a process that does nothing but simulate.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| *PANIC.lock() = Some(panic.to_string().replace('\n', " "))));
}

/// Runs one seed.
pub fn run_seed(seed: u64, trace: Trace) -> Outcome {
    run(seed, trace, || Simulation::new(seed))
}

/// Runs one seed with the resources of files instead of drawn ones: what holds for every record, and at rest.
///
/// # Errors
/// What is wrong with the resources.
pub fn run_given(seed: u64, resources: &str) -> Result<Outcome, Vec<Finding>> {
    let given = Given::read(resources)?;
    Ok(run(seed, Trace::Off, || Simulation::given(seed, given.clone())))
}

fn run(seed: u64, trace: Trace, world: impl Fn() -> Simulation) -> Outcome {
    let mut simulation = world();
    if trace == Trace::Kept {
        let plan = format!("{:?}", simulation.plan);
        simulation.trace = Some(vec![plan]);
        simulation.history.lines = Some(Vec::new());
    }
    let ran = catch_unwind(AssertUnwindSafe(|| {
        simulation.run()?;
        let decide = &simulation.plan.machine.decide;
        // Where calls are made, what is decided hangs on when their answers come.
        let is_repeatable = decide.firing == Firing::Due && decide.calls == Calls::Assumed;
        if is_repeatable { simulation.check_replay(world()) } else { Ok(()) }
    }));
    let violation = match ran {
        Ok(Ok(())) => None,
        Ok(Err(Violation(text))) => Some(text),
        Err(_) => Some(PANIC.lock().take().unwrap_or_else(|| "it panicked".to_owned())),
    };
    // What panicked half way may panic again when it is dropped.
    let left = AssertUnwindSafe(simulation);
    let outcome = Outcome {
        seed,
        violation,
        steps: left.tally.steps,
        calls: left.tally.calls,
        profiles: left.history.books.values().map(|book| book.shadow.table.len() as u64).sum(),
        days: left.steady.as_secs_f64() / 86_400.0,
        events: left.client.acked_count,
        records: left.history.record_count,
        timers: left.history.fired_count,
        attempts: left.channels.attempt_count,
        faults: faults_of(&left),
        entered: entered_of(&left),
        trace: left.trace.iter().chain(&left.history.lines).flatten().cloned().collect(),
    };
    let _ = catch_unwind(move || drop(left));
    outcome
}

/// What durable counters say of every journey.
fn entered_of(world: &Simulation) -> BTreeMap<String, u64> {
    let catalog = world.history.catalog();
    let mut entered: BTreeMap<String, u64> = catalog.journeys.iter().map(|name| (name.to_string(), 0)).collect();
    for (version, counts) in world.history.books.values().flat_map(|book| book.shadow.counts.iter()) {
        *entered.entry(catalog.program(version).name.to_string()).or_default() += counts.entered;
    }
    entered
}

/// What happened to a world, to its senders and to its providers.
fn faults_of(world: &Simulation) -> BTreeMap<&'static str, u64> {
    let mut faults = world.tally.faults.clone();
    for (kind, count) in world.client.faults.iter().chain(&world.channels.faults) {
        *faults.entry(kind).or_default() += count;
    }
    let others = [
        ("load: repeat acknowledged", world.client.duplicate_count),
        ("load: submission refused for want of room", world.client.refused_count),
        ("load: event put off for want of room for ids", world.client.deferred_count),
    ];
    faults.extend(others.into_iter().filter(|(_, count)| *count > 0));
    faults
}
