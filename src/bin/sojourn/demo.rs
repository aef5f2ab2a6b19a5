//! `sojourn demo`: real purchases through three journeys, in seconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sojourn::config::Sources;
use sojourn::demo::embedded::{HISTORY_ROWS, MAPPING};
use sojourn::demo::{self, CUSTOMER, Outcome, Scene};
use sojourn::replay::balance::imbalances;
use sojourn::runtime::view::{ProfileView, TimelineItem};
use sojourn::server;

use crate::cli::DemoArgs;
use crate::failure::Failure;
use crate::output::{Output, table};
use crate::{logging, report};

/// Runs it.
#[expect(clippy::disallowed_methods, reason = "how long it took is real time, not engine time")]
pub fn run(args: &DemoArgs, output: &Output) -> Result<(), Failure> {
    let data = directory(args)?;
    let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let sources = Sources { file: args.config.clone(), environment: environment.collect(), flags: Vec::new() };
    let config = demo::settings(sources, &data, args.shards).map_err(|error| Failure::Usage(error.to_string()))?;
    logging::start(&config.log)?;
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("{error}"));
    let metrics = server::record_metrics().map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("sojourn-io").build();
    let runtime = runtime.map_err(|error| failed(&error))?;

    eprintln!(
        "The purchases of 23,570 customers of an on-line music shop, January 1997 to June 1998, walk through three\n\
         journeys: {HISTORY_ROWS} events over the TCP feed of a real server, on the events' own clock."
    );
    let stage = Stage::new();
    let started = Instant::now();
    let api_key = std::env::var("SOJOURN_API_KEY").ok().filter(|key| !key.is_empty());
    let outcome = runtime.block_on(demo::show(&config, api_key, metrics, |scene| stage.show(scene)));
    stage.bar.finish_and_clear();
    let outcome = outcome.map_err(|error| failed(&error))?;

    output.result(&outcome.report, |_| people(&outcome, &data, started.elapsed()));
    let wrong = imbalances(&outcome.report);
    if !wrong.is_empty() {
        return Err(Failure::Failed(format!("the reports do not add up:\n  {}", wrong.join("\n  "))));
    }
    Ok(())
}

/// The given directory, or a new one that stays: it is what there is to look at afterwards.
fn directory(args: &DemoArgs) -> Result<PathBuf, Failure> {
    if let Some(data) = &args.data {
        return Ok(data.clone());
    }
    let made = tempfile::Builder::new().prefix("sojourn-demo-").tempdir();
    let made = made.map_err(|error| Failure::Failed(format!("can't make a temporary directory: {error}")))?;
    Ok(made.keep())
}

/// What is shown while it runs, on stderr.
struct Stage {
    bar: ProgressBar,
}

impl Stage {
    fn new() -> Self {
        let bar = ProgressBar::new(HISTORY_ROWS);
        let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}");
        bar.set_style(style.expect("the template above is valid"));
        Self { bar }
    }

    fn show(&self, scene: Scene) {
        match scene {
            Scene::Serving(addresses, journeys) => {
                let (http, tcp, data) = (addresses.http, addresses.tcp, addresses.data);
                self.bar.suspend(|| {
                    eprintln!(
                        "Serving on {http} (HTTP, gRPC) and {tcp} (TCP), {journeys} journeys published, data in {data}"
                    );
                });
            }
            Scene::Feeding(events, time) => {
                self.bar.set_position(events);
                let day = time.to_iso();
                self.bar.set_message(day.get(..10).unwrap_or(&day).to_owned());
            }
            Scene::RunningOn => self.bar.set_message("on until every journey has ended"),
            Scene::Delivering => self.bar.set_message("the last messages leave"),
        }
    }
}

fn people(outcome: &Outcome, data: &Path, elapsed: Duration) -> String {
    let Outcome { report, fed, duplicates, customer } = outcome;
    let entered: u64 = report.journeys.values().map(|journey| journey.entered).sum();
    let sent: u64 = report.journeys.values().flat_map(|j| j.messages.values()).map(|m| m.sent).sum();
    let mut text = format!("{}\n{}\n", report::in_detail(report), report::overview(report));
    let _ = write!(
        text,
        "\nIn {:.1} s: {fed} purchases, {entered} journeys walked, {sent} messages written. ",
        elapsed.as_secs_f64()
    );
    if imbalances(report).is_empty() {
        text.push_str("Everything adds up: entered = active + exited + errors, in every journey and at every node.\n");
    }
    if *duplicates > 0 {
        let _ = writeln!(text, "{duplicates} purchases were known from an earlier run here; none counted twice.");
    }
    let _ = write!(text, "\nThe way of one customer, {CUSTOMER}:\n{}\n{}", story(customer), next(data));
    text
}

/// What a customer did and was told, oldest first.
fn story(customer: &ProfileView) -> String {
    let mut rows = table(&["day", "journey", "what"]);
    for item in customer.timeline.iter().rev() {
        if let Some(what) = told(item) {
            let day = item.at.get(..10).unwrap_or(&item.at);
            rows.add_row([day, item.journey.as_deref().unwrap_or(""), &what]);
        }
    }
    rows.to_string()
}

/// A line for what matters to the customer; nothing for the steps between.
fn told(item: &TimelineItem) -> Option<String> {
    match item.what.as_str() {
        "event" => {
            let properties: BTreeMap<String, serde_json::Value> =
                item.properties.clone().and_then(|p| serde_json::from_value(p).ok()).unwrap_or_default();
            let listed: Vec<String> = properties.iter().map(|(name, value)| format!("{name} {value}")).collect();
            Some(format!("{} ({})", item.reason, listed.join(", ")))
        }
        "entered" => Some("comes in".to_owned()),
        // Its result comes when the channel is done, which on the events' clock says nothing.
        "message" if item.reason == "requested" => {
            Some(format!("gets message {}", item.message.as_deref().unwrap_or_default()))
        }
        "exited" => Some(format!("leaves: {}", item.reason)),
        _ => None,
    }
}

/// What to look at now.
fn next(data: &Path) -> String {
    let data = data.display();
    format!(
        "\nWhat to look at next\n  \
         every message that was written   less {data}/messages.ndjson\n  \
         the server, with all its state   sojourn serve --data {data} --clock events\n  \
         … and then, beside it            sojourn report vip, sojourn profile {CUSTOMER}, sojourn journeys\n  \
         the journeys                     {data}/examples/demo/*.yaml\n  \
         change one, and see at once      sojourn replay --journeys {data}/examples/demo \\\n    \
             --events {data}/examples/data/cdnow.csv.gz \\\n    \
             --map \"{MAPPING}\"\n  \
         when you have seen enough        rm -r {data}"
    )
}
