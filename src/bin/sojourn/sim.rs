//! `sojourn sim`: seeds through the simulator, and what came of them.

#[cfg(feature = "planted-bugs")]
mod planted;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use sojourn::sim::run::{Outcome, Trace, keep_panics, run_seed};

use crate::cli::SimArgs;
use crate::failure::Failure;
use crate::output::{Output, print_line};

/// What all seeds came to.
#[derive(Debug, Default, Serialize)]
struct Summary {
    seeds: u64,
    failed: Vec<Outcome>,
    days: f64,
    steps: u64,
    calls_most: u64,
    profiles: u64,
    profiles_most: u64,
    events: u64,
    records: u64,
    timers: u64,
    attempts: u64,
    faults: BTreeMap<&'static str, u64>,
    cpu_seconds: f64,
}

/// Findings after which no more seeds are run.
const FAILURES_MAX: usize = 20;

/// Runs them.
pub fn run(args: &SimArgs, output: &Output) -> Result<(), Failure> {
    keep_panics();
    #[cfg(feature = "planted-bugs")]
    if args.planted {
        return planted::search(args, output);
    }
    #[cfg(feature = "planted-bugs")]
    if let Some(name) = &args.bug {
        planted::plant(name)?;
    }
    let first = args.seed.unwrap_or(0);
    let count = if args.seed.is_some() && args.trace { 1 } else { args.seeds };
    let trace = if args.trace { Trace::Kept } else { Trace::Off };
    let mut summary = Summary::default();
    for seed in first..first + count {
        let outcome = run_seed(seed, trace);
        for line in &outcome.trace {
            print_line(line);
        }
        summary.add(outcome);
        if summary.failed.len() >= FAILURES_MAX {
            break;
        }
    }
    summary.cpu_seconds = cpu_seconds();
    output.result(&summary, people);
    if summary.failed.is_empty() { Ok(()) } else { Err(Failure::Failed(String::new())) }
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.days += outcome.days;
        self.steps += outcome.steps;
        self.calls_most = self.calls_most.max(outcome.calls);
        self.profiles += outcome.profiles;
        self.profiles_most = self.profiles_most.max(outcome.profiles);
        self.events += outcome.events;
        self.records += outcome.records;
        self.timers += outcome.timers;
        self.attempts += outcome.attempts;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        if let Some(violation) = &outcome.violation {
            eprintln!("seed {}: {violation}", outcome.seed);
            self.failed.push(outcome);
        }
    }
}

fn people(summary: &Summary) -> String {
    let seeds = summary.seeds.max(1) as f64;
    let mut text = format!(
        "{} seeds, {} failed; {:.0} simulated days, {} steps, {} profiles (at most {} in one seed), {} events, {} records, \
         {} timers fired, {} delivery attempts; {:.3} CPU seconds a seed, at most {} calls in one",
        summary.seeds,
        summary.failed.len(),
        summary.days,
        summary.steps,
        summary.profiles,
        summary.profiles_most,
        summary.events,
        summary.records,
        summary.timers,
        summary.attempts,
        summary.cpu_seconds / seeds,
        summary.calls_most
    );
    for (kind, count) in &summary.faults {
        let _ = write!(text, "\n  {:>9.2} a seed  {kind}", *count as f64 / seeds);
    }
    for outcome in &summary.failed {
        let violation = outcome.violation.as_deref().unwrap_or_default();
        let _ = write!(
            text,
            "\nseed {} failed: {violation}\n  replay: sojourn sim --seed {} --trace",
            outcome.seed, outcome.seed
        );
    }
    text
}

/// Processor time of this thread so far, as the kernel counts it; nothing where it does not say.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos: u64 = stat.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    nanos as f64 / 1e9
}
