//! `sojourn sim --planted`: does the simulator find mistakes that are known?

use serde::Serialize;
use sojourn::planted::{self, Bug};
use sojourn::sim::run::{Trace, run_seed};

use super::cpu_seconds;
use crate::cli::SimArgs;
use crate::failure::Failure;
use crate::output::{Output, table};

/// Characters of a finding in the table.
const FINDING_CHARS: usize = 110;

/// One planted bug.
#[derive(Debug, Serialize)]
struct Search {
    bug: String,
    /// What is wrong with it on.
    text: &'static str,
    found: bool,
    /// Seeds run until then.
    seeds: u64,
    /// The one that found it.
    seed: Option<u64>,
    /// What was violated.
    by: Option<String>,
    cpu_seconds: f64,
}

/// What came of all.
#[derive(Debug, Serialize)]
struct Recall {
    bugs: usize,
    found: usize,
    cpu_seconds: f64,
    searches: Vec<Search>,
}

/// Plants one bug for all seeds to come.
pub fn plant(name: &str) -> Result<(), Failure> {
    planted::plant(Some(named(name)?));
    Ok(())
}

/// Plants every bug, or the one asked for, and looks for it until it is found or the seeds are used up.
pub fn search(args: &SimArgs, output: &Output) -> Result<(), Failure> {
    let bugs = match &args.bug {
        Some(name) => vec![named(name)?],
        None => Bug::ALL.to_vec(),
    };
    let mut searches = Vec::new();
    for bug in bugs {
        let search = look_for(bug, args.seed.unwrap_or(0), args.seeds);
        let seed = search.seed.map_or_else(|| "not found".to_owned(), |seed| format!("seed {seed}"));
        eprintln!("{:<24} {seed:<10} {:>6.1} s  {}", search.bug, search.cpu_seconds, search.finding());
        searches.push(search);
    }
    planted::plant(None);
    let found = searches.iter().filter(|search| search.found).count();
    let recall = Recall { bugs: searches.len(), found, cpu_seconds: cpu_seconds(), searches };
    output.result(&recall, people);
    if recall.found == recall.bugs { Ok(()) } else { Err(Failure::Failed(String::new())) }
}

fn named(name: &str) -> Result<Bug, Failure> {
    let unknown = || Failure::Usage(format!("there is no bug {name:?} to plant"));
    Bug::ALL.iter().find(|bug| format!("{bug:?}") == *name).copied().ok_or_else(unknown)
}

fn look_for(bug: Bug, first: u64, seeds: u64) -> Search {
    planted::plant(Some(bug));
    let before = cpu_seconds();
    let found =
        (first..first + seeds).map(|seed| run_seed(seed, Trace::Off)).find(|outcome| outcome.violation.is_some());
    let seed = found.as_ref().map(|outcome| outcome.seed);
    Search {
        bug: format!("{bug:?}"),
        text: bug.text(),
        found: found.is_some(),
        seeds: seed.map_or(seeds, |seed| seed - first + 1),
        seed,
        by: found.and_then(|outcome| outcome.violation),
        cpu_seconds: cpu_seconds() - before,
    }
}

impl Search {
    /// What was violated, in short.
    fn finding(&self) -> String {
        let line = self.by.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
        line.chars().take(FINDING_CHARS).collect()
    }
}

fn people(recall: &Recall) -> String {
    let mut rows = table(&["bug", "what is wrong", "#seeds", "#seed", "found by"]);
    for search in &recall.searches {
        let seed = search.seed.map_or_else(|| "-".to_owned(), |seed| seed.to_string());
        rows.add_row([&search.bug, search.text, &search.seeds.to_string(), &seed, &search.finding()]);
    }
    format!("{rows}\n{} of {} found, {:.0} CPU seconds", recall.found, recall.bugs, recall.cpu_seconds)
}
