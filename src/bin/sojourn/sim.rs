//! `sojourn sim`: seeds through the simulator, and what came of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
#[cfg(feature = "planted-bugs")]
use sojourn::planted::Bug;
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
        return planted(args, output);
    }
    #[cfg(feature = "planted-bugs")]
    if let Some(name) = &args.bug {
        let unknown = || Failure::Usage(format!("there is no bug {name:?} to plant"));
        let bug = Bug::ALL.iter().find(|bug| format!("{bug:?}") == *name).ok_or_else(unknown)?;
        sojourn::planted::plant(Some(*bug));
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

/// One planted bug.
#[cfg(feature = "planted-bugs")]
#[derive(Debug, Serialize)]
struct Search {
    bug: String,
    text: &'static str,
    found: bool,
    seeds: u64,
    by: String,
}

/// Plants every bug and looks for it.
#[cfg(feature = "planted-bugs")]
fn planted(args: &SimArgs, output: &Output) -> Result<(), Failure> {
    let first = args.seed.unwrap_or(0);
    let mut searches = Vec::new();
    let named = |bug: &&Bug| args.bug.as_ref().is_none_or(|name| format!("{bug:?}") == *name);
    for bug in Bug::ALL.iter().filter(named) {
        sojourn::planted::plant(Some(*bug));
        let found = (first..first + args.seeds).map(|seed| run_seed(seed, Trace::Off)).find(|o| o.violation.is_some());
        let seeds = found.as_ref().map_or(args.seeds, |outcome| outcome.seed - first + 1);
        let by = found.as_ref().and_then(|outcome| outcome.violation.clone()).unwrap_or_default();
        let search = Search { bug: format!("{bug:?}"), text: bug.text(), found: found.is_some(), seeds, by };
        eprintln!(
            "{:<24} {:>6} {}",
            search.bug,
            if search.found { seeds.to_string() } else { "-".to_owned() },
            search.by.lines().next().unwrap_or_default()
        );
        searches.push(search);
    }
    sojourn::planted::plant(None);
    let missed = searches.iter().filter(|search| !search.found).count();
    let cpu_seconds = cpu_seconds();
    output.result(&searches, |searches| {
        let mut rows = crate::output::table(&["bug", "what is wrong", "found", "#seeds"]);
        for search in searches {
            let found = if search.found { "yes" } else { "no" };
            rows.add_row([&search.bug, search.text, found, &search.seeds.to_string()]);
        }
        format!("{rows}\n{} of {} found, {cpu_seconds:.0} CPU seconds", searches.len() - missed, searches.len())
    });
    if missed == 0 { Ok(()) } else { Err(Failure::Failed(String::new())) }
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.days += outcome.days;
        self.steps += outcome.steps;
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
        "{} seeds, {} failed; {:.0} simulated days, {} steps, {} events, {} records, {} timers fired, {} delivery attempts; \
         {:.3} CPU seconds a seed",
        summary.seeds,
        summary.failed.len(),
        summary.days,
        summary.steps,
        summary.events,
        summary.records,
        summary.timers,
        summary.attempts,
        summary.cpu_seconds / seeds
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
