//! `sojourn dry-run`: a draft over what really happened, beside what the live version did. Reads files and the server, writes to
//! neither.

mod tell;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use sojourn::domain::catalog::{Rehearsal, Responses, SourceFile};
use sojourn::domain::ids::Millis;
use sojourn::replay::dry_run::account::Account;
use sojourn::replay::dry_run::past::Past;
use sojourn::replay::dry_run::recorded::RecordedAnswers;
use sojourn::replay::dry_run::run::{Beside, Options, dry_run};
use sojourn::replay::run::Pace;
use sojourn::replay::source::Recording;
use sojourn::runtime::engine::recorded::{HistoryView, RecordedEvent, RecordedProfile};
use sojourn::runtime::past::event::StepEvent;
use sojourn::transport::http::schema::{CheckBody, JourneysBody};

use crate::cli::ServerArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;
use crate::replay::{ABANDON_AFTER, cores, failure};

/// How a line of recorded events begins, as a server tells them.
const RECORDED: &[u8] = b"{\"at\":";

/// Dry runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn dry-run journeys/ --journey cart_abandonment\n  \
    sojourn dry-run journeys/ --journey cart_abandonment --from 2026-11-01 --samples 5 --responses answers.yaml\n  \
    sojourn dry-run journeys/ --journey cart_abandonment --events events.ndjson --profiles profiles.ndjson\n\n\
    docs/testing.md, \"Dry runs\", says what it shows and what it can't know.")]
pub struct DryRunArgs {
    /// Files or directories (recursive) of the draft; references are resolved over everything given
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The journey it is about
    #[arg(long, value_name = "NAME")]
    journey: String,
    /// Begin here instead of with the first recorded event
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End here instead of now (with --events: instead of with the last event)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Timelines to show of profiles that entered
    #[arg(long, alias = "seed-samples", default_value_t = 3, value_name = "N")]
    samples: usize,
    /// What custom actions answer, written as `actions` of a test
    #[arg(long, value_name = "FILE")]
    responses: Option<PathBuf>,
    /// Events from a file instead of a server: of `export events`, or as `replay` reads them
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// With --events: profiles as they are now, of `export profiles`
    #[arg(long, value_name = "FILE", requires = "events")]
    profiles: Option<PathBuf>,
    /// Shards; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: Option<u16>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What is known of the past, and when it ends if it says so.
struct Known {
    past: Past,
    live: Option<Account>,
    answers: RecordedAnswers,
    now: Option<Millis>,
}

impl Known {
    /// Events and profiles, and nothing else.
    fn of(past: Past) -> Self {
        Self { past, live: None, answers: RecordedAnswers::default(), now: None }
    }
}

/// Runs one.
pub fn run(args: &DryRunArgs, output: &Output) -> Result<(), Failure> {
    let (from, until) = (instant("from", args.from.as_deref())?, instant("until", args.until.as_deref())?);
    if let (Some(from), Some(until)) = (from, until)
        && from > until
    {
        return Err(Failure::Usage("--from is after --until".to_owned()));
    }
    let resources = files::read(&args.files)?;
    let responses = responses(args.responses.as_deref(), &resources, output)?;
    let known = match &args.events {
        Some(events) => of_files(events, args.profiles.as_deref())?,
        None => of_server(args, from, until)?,
    };
    if known.past.is_empty() {
        return Err(Failure::Failed("there are no events to run the draft over".to_owned()));
    }
    let until = until.or(known.now);
    if let (Some(from), Some(until)) = (from, until)
        && from > until
    {
        return Err(Failure::Usage(format!("--from {from} is after the end of the run, {until}")));
    }
    let options = Options {
        journey: args.journey.clone(),
        from,
        until,
        samples: args.samples,
        shards: args.shards.unwrap_or_else(cores),
    };
    let directory = tempfile::Builder::new().prefix("sojourn-dry-run-").tempdir();
    let directory = directory.map_err(|error| Failure::Failed(format!("can't make a temporary directory: {error}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("can't start: {error}")))?;
    let beside = Beside { live: known.live, responses, answers: known.answers };
    let progress = ProgressBar::new_spinner();
    let observe = |pace| match pace {
        Pace::Feeding(events, time) => {
            progress.set_message(format!("{events} events, {time}"));
            progress.tick();
        }
        Pace::RunningOn => progress.set_message("timers run on"),
    };
    let outcome = runtime.block_on(dry_run(directory.path(), resources, known.past, &beside, &options, observe));
    progress.finish_and_clear();
    runtime.shutdown_timeout(ABANDON_AFTER);
    let outcome = outcome.map_err(|error| failure(error, output, "run"))?;
    output.result(&outcome, tell::people);
    Ok(())
}

fn instant(name: &str, text: Option<&str>) -> Result<Option<Millis>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let at = Millis::parse_iso(text);
    at.map(Some).ok_or_else(|| Failure::Usage(format!("--{name} {text:?} is no instant; e.g. 2026-11-01T12:00:00Z")))
}

fn responses(path: Option<&Path>, resources: &[(String, String)], output: &Output) -> Result<Responses, Failure> {
    let Some(path) = path else { return Ok(Responses::new()) };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let of = |(name, text): &(String, String)| SourceFile { name: name.clone(), text: text.clone() };
    let sources: Vec<SourceFile> = resources.iter().map(of).collect();
    Rehearsal::responses(&sources, SourceFile { name: path.display().to_string(), text }).map_err(|findings| {
        output.result(&CheckBody::new(&findings), |_| findings.iter().map(|finding| format!("{finding}\n")).collect());
        Failure::Failed(String::new())
    })
}

/// What a running server has recorded. Only questions: nothing there changes.
fn of_server(args: &DryRunArgs, from: Option<Millis>, until: Option<Millis>) -> Result<Known, Failure> {
    let client = Client::new(&args.server)?;
    let history: HistoryView = client.get(client.url(&["v1", "history"], &[]))?;
    if history.since.is_none() {
        return Err(Failure::Failed(
            "the server has recorded nothing yet; --events takes events from a file instead".to_owned(),
        ));
    }
    let now = Millis::parse_iso(&history.now);
    let ends = until.or(now).map(|until| until.plus(1).to_iso());
    let until: Vec<(&str, String)> = ends.into_iter().map(|until| ("until", until)).collect();
    let mut past = Past::default();
    past.is_whole = history.whole;
    client.lines(client.url(&["v1", "profiles"], &[]), |line| take_profile(&mut past, line))?;
    client.lines(client.url(&["v1", "history", "events"], &until), |line| take_recorded(&mut past, line))?;
    let journeys: JourneysBody = client.get(client.url(&["v1", "journeys"], &[]))?;
    let (mut live, mut answers) = (None, RecordedAnswers::default());
    if journeys.journeys.iter().any(|journey| journey.name == args.journey) {
        let mut query = until;
        query.push(("journey", args.journey.clone()));
        query.extend(from.map(|from| ("since", from.to_iso())));
        let account: &mut Account = live.insert(Account::default());
        client.lines(client.url(&["v1", "steps"], &query), |line| {
            let step: StepEvent = serde_json::from_slice(line).map_err(|error| strange(&error))?;
            account.take(&step);
            answers.take(&step);
            Ok(())
        })?;
    }
    Ok(Known { past, live, answers, now })
}

/// What files hold.
fn of_files(events: &Path, profiles: Option<&Path>) -> Result<Known, Failure> {
    let mut past = Past::default();
    if let Some(path) = profiles {
        each_line(path, |line| take_profile(&mut past, line))?;
    }
    let mut head = BufReader::new(std::fs::File::open(events).map_err(|error| unreadable(events, &error))?);
    let is_recorded = head.fill_buf().is_ok_and(|bytes| bytes.trim_ascii_start().starts_with(RECORDED));
    if is_recorded {
        each_line(events, |line| take_recorded(&mut past, line))?;
        return Ok(Known::of(past));
    }
    let recording = Recording::open(events).map_err(|error| unreadable(events, &error))?;
    let recorded = recording.events(None, Default::default()).map_err(|error| Failure::Failed(error.to_string()))?;
    let mut latest = Millis::MIN;
    for event in recorded {
        let event = event.map_err(|error| Failure::Failed(error.to_string()))?;
        latest = latest.max(event.time.unwrap_or(latest));
        past.take_event(latest, event);
    }
    Ok(Known::of(past))
}

fn each_line(path: &Path, mut take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|error| unreadable(path, &error))?;
        if !line.trim_ascii().is_empty() {
            let at_line = |failure| Failure::Failed(format!("{}:{}: {failure}", path.display(), index + 1));
            take(&line).map_err(at_line)?;
        }
    }
    Ok(())
}

fn take_profile(past: &mut Past, line: &[u8]) -> Result<(), Failure> {
    let profile: RecordedProfile = serde_json::from_slice(line).map_err(|error| strange(&error))?;
    past.take_profile(profile).map_err(|error| Failure::Failed(error.to_string()))
}

fn take_recorded(past: &mut Past, line: &[u8]) -> Result<(), Failure> {
    let event: RecordedEvent = serde_json::from_slice(line).map_err(|error| strange(&error))?;
    past.take_recorded(event).map_err(|error| Failure::Failed(error.to_string()))
}

fn strange(error: &serde_json::Error) -> Failure {
    Failure::Failed(format!("this is no record: {error}"))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("can't read {}: {error}", path.display()))
}
