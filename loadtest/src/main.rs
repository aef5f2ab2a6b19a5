//! Load tests: starts a server of its own in a child process, feeds it over its own feed, and afterwards checks by
//! the server's reports and by the log of messages that nothing was lost or done twice. Every figure is measured.
//!
//! `scenario` says what is sent and published, `server` is the child process and its other side, `feed` sends and takes
//! times, `machine` reads what the system knows, `verify` checks, `summary` prints.

mod feed;
mod machine;
mod scenario;
mod server;
mod summary;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

use scenario::Scenario;
use sojourn::config::{Setting as _, Span};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load tests for Sojourn. Every run verifies what it caused, and exits with 1 if something is missing or there twice.
#[derive(Debug, Parser)]
#[command(
    name = "loadtest",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  loadtest cart_abandonment\n  loadtest cart_abandonment --rate 50000 --duration 30 --json\n  \
        loadtest ingest --connections 4"
)]
struct Cli {
    #[command(subcommand)]
    inner: Option<Inner>,
    #[command(flatten)]
    run: Option<Run>,
}

/// What the program does when it starts itself.
#[derive(Debug, Subcommand)]
enum Inner {
    /// The server under test
    #[command(hide = true)]
    Server(server::ServerArgs),
}

/// How events reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Feed {
    /// Framed MessagePack
    Tcp,
}

/// How fast events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// As fast as they are acknowledged: a closed loop.
    Max,
    /// So many a second, come what may: an open loop.
    PerSecond(u64),
}

fn pace(text: &str) -> Result<Pace, String> {
    match text {
        "max" => Ok(Pace::Max),
        number => match number.parse() {
            Ok(rate) if rate > 0 => Ok(Pace::PerSecond(rate)),
            _ => Err("`max`, or events per second above 0".to_owned()),
        },
    }
}

/// One run.
#[derive(Clone, Debug, clap::Args)]
struct Run {
    /// What to do
    scenario: Scenario,
    /// How events reach the server
    #[arg(long, value_enum, default_value_t = Feed::Tcp)]
    feed: Feed,
    /// Events per second at fixed times (latency counts from those), or `max`: as fast as they are acknowledged
    #[arg(long, value_name = "max|N", default_value = "max", value_parser = pace)]
    rate: Pace,
    /// Profiles; when all have come they come again, and are refused entry: less work than the first time
    #[arg(long, value_name = "N", default_value_t = 100_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    profiles: u64,
    /// Seconds of feeding
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    duration: u64,
    /// Connections, each a producer
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Shards of the server (default: its own, the number of cores)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    shards: Option<u16>,
    /// Events of one batch
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// Events unacknowledged at most, per connection
    #[arg(long, value_name = "N", default_value_t = 32_768, value_parser = clap::value_parser!(u64).range(1..))]
    in_flight: u64,
    /// How long profiles wait before the journey looks for the purchase, and then for it; above 30s they are left waiting
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = wait)]
    wait: Wait,
    /// Where the temporary data directory is made; must be on a disk (default: the system's place for those)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A setting of the server, e.g. `checkpoint.interval=10s`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    json: bool,
}

/// How long profiles wait.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wait {
    /// As the language writes it.
    text: String,
    /// The same.
    span: Duration,
}

fn wait(text: &str) -> Result<Wait, String> {
    let span = Span::parse(text).ok_or_else(|| format!("it takes {}", Span::EXPECTS))?;
    Ok(Wait { text: text.to_owned(), span: span.0 })
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    // One TLS provider for the whole process; it is installed once, so a second one can't be there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(Inner::Server(args)) = cli.inner {
        server::serve(&args)?;
        return Ok(ExitCode::SUCCESS);
    }
    let run = cli.run.context("name a scenario; --help shows them")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(perform(&run))?;
    eprintln!("\n{}", figures.table());
    if run.json {
        println!("{}", figures.json());
    }
    Ok(if figures.verdict.is_verified() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts the server, feeds it, waits until all is quiet, checks, stops it.
async fn perform(run: &Run) -> anyhow::Result<summary::Figures> {
    let parent = run.data.clone().unwrap_or_else(std::env::temp_dir);
    let directory = tempfile::Builder::new().prefix("sojourn-loadtest-").tempdir_in(&parent)?;
    machine::check_disk(directory.path())?;
    let disk_sync = machine::probe_sync(directory.path())?;
    let mut child = server::Child::start(&directory.path().join("data"), run).await?;
    child.publish(&run.scenario.resources(&run.wait.text)).await?;
    let before = machine::Usage::of(child.id())?;
    let written_before = machine::device_written_bytes(directory.path())?;
    let fed = feed::feed(&child, run).await?;
    let after = machine::Usage::of(child.id())?;
    let written_after = machine::device_written_bytes(directory.path())?;
    let written_bytes = written_before.zip(written_after).map(|(before, after)| after.saturating_sub(before));
    let waiting = verify::active(&child.report().await?);
    let verdict = verify::verify(&child, directory.path(), run, &fed).await?;
    child.stop()?;
    Ok(summary::Figures { run: run.clone(), fed, disk_sync, before, after, written_bytes, waiting, verdict })
}

impl Run {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.duration)
    }
}
