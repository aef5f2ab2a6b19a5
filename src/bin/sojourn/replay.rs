//! `sojourn replay`: recorded events through journeys on a virtual clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sojourn::domain::ids::Millis;
use sojourn::replay::mapping::Mapping;
use sojourn::replay::run::{BadRows, Options, Outcome, Pace, ReplayError, replay};
use sojourn::replay::source::Recording;
use sojourn::replay::timeline::Order;
use sojourn::transport::http::schema::CheckBody;

use crate::cli::ReplayArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::{files, report};

/// How long the rest may take after a failure: a read of stdin can't be interrupted.
pub const ABANDON_AFTER: Duration = Duration::from_millis(100);

/// Runs them.
#[expect(clippy::disallowed_methods, reason = "how long it took is real time, not engine time")]
pub fn run(args: &ReplayArgs, output: &Output) -> Result<(), Failure> {
    let options = options(args)?;
    let resources = files::read(&args.journeys)?;
    let path = &args.events;
    let recording =
        Recording::open(path).map_err(|error| Failure::Usage(format!("can't read {}: {error}", path.display())))?;
    let directory = tempfile::Builder::new().prefix("sojourn-replay-").tempdir();
    let directory = directory.map_err(|error| Failure::Failed(format!("can't make a temporary directory: {error}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("can't start: {error}")))?;

    let progress = Progress::new(&recording);
    let started = Instant::now();
    let outcome =
        runtime.block_on(replay(directory.path(), resources, recording, &options, |pace| progress.show(pace)));
    progress.end();
    runtime.shutdown_timeout(ABANDON_AFTER);
    let outcome = outcome.map_err(|error| failure(error, output, "replayed"))?;
    tell(&outcome, started.elapsed(), path);
    output.result(&outcome.report, |r| format!("{}\n\n{}", report::in_detail(r), report::overview(r)));
    Ok(())
}

fn options(args: &ReplayArgs) -> Result<Options, Failure> {
    let mapping = args.map.as_deref().map(Mapping::parse).transpose();
    let until = args.until.as_deref().map(|text| {
        Millis::parse_iso(text).ok_or_else(|| {
            Failure::Usage(format!(
                "--until {text:?} is no instant; write it like 1998-07-01 or 1998-07-01T00:00:00Z (a date means 00:00Z)"
            ))
        })
    });
    Ok(Options {
        shards: args.shards.unwrap_or_else(cores),
        mapping: mapping.map_err(|error| Failure::Usage(error.to_string()))?,
        order: if args.sort { Order::ByTime } else { Order::AsRead },
        until: until.transpose()?,
        bad_rows: if args.skip_bad { BadRows::Skip } else { BadRows::Stop },
    })
}

/// One shard a core.
pub fn cores() -> u16 {
    std::thread::available_parallelism().map_or(1, |n| u16::try_from(n.get()).unwrap_or(256).min(256))
}

/// What a run that came to nothing is; `done` says what was not done.
pub fn failure(error: ReplayError, output: &Output, done: &str) -> Failure {
    match error {
        ReplayError::Findings(findings) => {
            let body = CheckBody::new(&findings);
            output.result(&body, |body| {
                let listed: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
                format!("{listed}{} errors, {} warnings; nothing was {done}", body.errors, body.warnings)
            });
            Failure::Failed(String::new())
        }
        ReplayError::Source(error) => Failure::Failed(format!(
            "{error}\n    help: --skip-bad leaves out events that can't be read, and counts them"
        )),
        other => Failure::Failed(other.to_string()),
    }
}

/// What people want to know besides the report, on stderr.
fn tell(outcome: &Outcome, elapsed: Duration, path: &Path) {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let rate = outcome.submitted as f64 / seconds;
    eprintln!("{} events of {} in {seconds:.2} s ({rate:.0} events/s)", outcome.submitted, path.display());
    if let Some((first, latest)) = outcome.span {
        eprintln!("their times: {first} to {latest}");
    }
    if outcome.duplicates > 0 {
        eprintln!("{} had an id that was known, and counted once", outcome.duplicates);
    }
    if outcome.late > 0 {
        eprintln!(
            "{} came after later ones and were handled at the later time; --sort takes all of them in order of time",
            outcome.late
        );
    }
    if outcome.skipped > 0 {
        eprintln!("{} could not be read and were left out:", outcome.skipped);
        for flaw in &outcome.flaws {
            eprintln!("  {flaw}");
        }
    }
}

/// A bar, or without a known size a line, on a terminal only.
struct Progress {
    bar: ProgressBar,
    position: Arc<AtomicU64>,
}

impl Progress {
    fn new(recording: &Recording) -> Self {
        let (bar, template) = match recording.size() {
            Some(size) => (ProgressBar::new(size), "{bar:40} {percent:>3} %  {msg}"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the templates above are valid"));
        Self { bar, position: recording.position() }
    }

    fn show(&self, pace: Pace) {
        match pace {
            Pace::Feeding(events, time) => {
                self.bar.set_position(self.position.load(Ordering::Relaxed));
                let day = time.to_iso();
                self.bar.set_message(format!("{events} events, {}", day.get(..10).unwrap_or(&day)));
            }
            Pace::RunningOn => self.bar.set_message("running on until every instance has ended"),
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
