//! `sojourn pause`, `sojourn resume`, `sojourn forecast`.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use sojourn::domain::journey::duration;
use sojourn::domain::limits;
use sojourn::domain::pause::PauseEnding;
use sojourn::runtime::forecast::Forecast;
use sojourn::runtime::view::{JourneySummary, PauseView};

use crate::cli::ServerArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::journeys::rows;
use crate::output::{Output, table};

/// What to do with a pause.
#[derive(Debug, Subcommand)]
pub enum PauseCommand {
    /// Pause a live journey: nothing is sent or called until it is resumed
    Pause(PauseArgs),
    /// Resume a paused journey: those it holds are let go
    Resume(ResumeArgs),
    /// What a resume would do now: who is held where, and what is overdue
    Forecast(ForecastArgs),
}

/// A pause.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn pause cart_abandonment --for 2h\n  sojourn pause welcome --mode discard")]
pub struct PauseArgs {
    /// The journey
    pub journey: String,
    /// Whether profiles, entrants and awaited events are kept, or lost as in AJO
    #[arg(long, value_enum, default_value_t = Mode::Hold)]
    pub mode: Mode,
    /// For how long, if nobody resumes it; at most 14 days
    #[arg(long = "for", value_name = "DURATION")]
    pub lasts: Option<String>,
    /// What happens then
    #[arg(long, value_enum, default_value_t = Then::Resume)]
    pub then: Then,
    /// What becomes of overdue messages then, unless the resume says otherwise
    #[arg(long, value_enum, default_value_t = Choice::Send)]
    pub overdue: Choice,
    /// Profiles let go in a second then, unless the resume says otherwise; 0 for no bound
    #[arg(long, value_name = "N", default_value_t = limits::RELEASE_RATE)]
    pub rate: u32,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// A resume.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn resume cart_abandonment --overdue merge\n  \
    sojourn resume cart_abandonment --forecast")]
pub struct ResumeArgs {
    /// The journey
    pub journey: String,
    #[command(flatten)]
    pub release: ReleaseArgs,
    /// Only show what it would do
    #[arg(long)]
    pub forecast: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// A forecast.
#[derive(Debug, Args)]
pub struct ForecastArgs {
    /// The journey
    pub journey: String,
    #[command(flatten)]
    pub release: ReleaseArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How those held are let go.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// What becomes of overdue messages, if not what the pause says
    #[arg(long, value_enum)]
    pub overdue: Option<Choice>,
    /// Profiles let go in a second, if not what the pause says; 0 for no bound
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
}

/// What becomes of profiles and events in a pause.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Mode {
    /// They are kept
    Hold,
    /// They are lost, as in AJO
    Discard,
}

/// What happens at the end of a pause.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Then {
    /// The journey goes on
    Resume,
    /// The journey is stopped
    Stop,
}

/// What becomes of overdue messages.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Choice {
    /// Each goes when its profile is let go
    Send,
    /// The journey's clock stood still: what was due, and waits that still run, come later by the length of the pause
    Shift,
    /// Of those one profile has for one channel only the latest goes
    Merge,
    /// They are skipped, and profiles go on
    Drop,
}

/// Runs one of them.
pub fn run(command: &PauseCommand, output: &Output) -> Result<(), Failure> {
    match command {
        PauseCommand::Pause(args) => {
            let mut query = vec![("mode", word(&args.mode)), ("then", word(&args.then))];
            query.extend(args.lasts.iter().map(|lasts| ("for", lasts.clone())));
            query.extend([("overdue", word(&args.overdue)), ("rate", args.rate.to_string())]);
            change(&args.server, &args.journey, "pause", &query, output)
        }
        PauseCommand::Resume(args) if args.forecast => forecast(&args.server, &args.journey, &args.release, output),
        PauseCommand::Resume(args) => change(&args.server, &args.journey, "resume", &release(&args.release), output),
        PauseCommand::Forecast(args) => forecast(&args.server, &args.journey, &args.release, output),
    }
}

fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn release(args: &ReleaseArgs) -> Vec<(&'static str, String)> {
    let overdue = args.overdue.iter().map(|overdue| ("overdue", word(overdue)));
    overdue.chain(args.rate.map(|rate| ("rate", rate.to_string()))).collect()
}

fn change(
    server: &ServerArgs,
    journey: &str,
    action: &str,
    query: &[(&str, String)],
    output: &Output,
) -> Result<(), Failure> {
    let client = Client::new(server)?;
    let url = client.url(&["v1", "journeys", journey, action], query);
    let summary: JourneySummary = client.call(Method::POST, url, None::<&()>)?;
    output.result(&summary, |summary| {
        let effect = summary.pause.as_ref().map_or_else(String::new, |pause| effect(action, pause));
        format!("{}{effect}", rows(std::slice::from_ref(summary)))
    });
    Ok(())
}

/// What is in effect from now on: also what nobody has said this time.
fn effect(action: &str, pause: &PauseView) -> String {
    let release = format!("overdue {}, {}", pause.overdue.word(), paced(pause.rate));
    match (action, pause.then) {
        ("pause", PauseEnding::Stop) => {
            format!("\npaused until {}, then stopped; a resume before: {release}", pause.until)
        }
        ("pause", PauseEnding::Resume) => format!("\npaused until {}, then resumed: {release}", pause.until),
        _ => format!("\nresumed: {release}"),
    }
}

fn paced(rate: u32) -> String {
    match rate {
        0 => "all at once".to_owned(),
        rate => format!("{rate} profiles a second"),
    }
}

fn forecast(server: &ServerArgs, journey: &str, args: &ReleaseArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(server)?;
    let url = client.url(&["v1", "journeys", journey, "forecast"], &release(args));
    let forecast: Forecast = client.get(url)?;
    output.result(&forecast, told);
    Ok(())
}

fn told(forecast: &Forecast) -> String {
    let mut nodes = table(&["node", "waits", "channel", "#held", "#overdue, latest", "#overdue, oldest"]);
    for (name, node) in &forecast.nodes {
        let (least, most) = (duration::print(node.overdue_least_ms), duration::print(node.overdue_most_ms));
        nodes.add_row([name, &node.waits, &node.channel, &node.held.to_string(), &least, &most]);
    }
    let mut ways = table(&["--overdue", "#sent", "#shifted", "#merged", "#dropped", "#called", "#takes"]);
    for (word, outcome) in &forecast.overdue {
        let counts = [outcome.sent, outcome.shifted, outcome.merged, outcome.dropped, outcome.called];
        let mark = if *word == forecast.chosen { " *" } else { "" };
        let mut row = vec![format!("{word}{mark}")];
        row.extend(counts.map(|count| count.to_string()));
        row.push(duration::print(outcome.takes_ms));
        ways.add_row(row);
    }
    format!(
        "{} profiles are held, with {} events kept for them, and {} wait to enter; a resume (overdue {}, {}):\n\n{nodes}\n\n{ways}\n* in effect",
        forecast.held,
        forecast.held_events,
        forecast.held_entrants,
        forecast.chosen,
        paced(forecast.rate)
    )
}
