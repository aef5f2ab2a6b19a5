//! Load tests: starts a server of its own in a child process, feeds it over its own feeds, and afterwards checks by
//! the server's reports and by what the receivers of messages got that nothing was lost or done twice. Every figure is
//! measured.
//!
//! `options` is the command line; `scenario` says what is published, fed and waited for; `stage` is what every scenario
//! needs around it; `target` is the server under test, `server` its process; `source` and `event` are what is sent,
//! `feed` sends and takes times; `sink` receives messages; `machine` reads what the system knows; `verify` checks;
//! `figures` are for people and as JSON, `report` as a page.

mod event;
mod feed;
mod figures;
mod machine;
mod options;
mod report;
mod scenario;
mod server;
mod sink;
mod source;
mod stage;
mod target;
mod verify;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use options::Run;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load tests for Sojourn. Every run verifies what it caused, and exits with 1 if something is missing or there twice.
#[derive(Debug, Parser)]
#[command(
    name = "loadtest",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  loadtest cart_abandonment\n  loadtest cart_abandonment --rate 50000 --duration 30 --json\n  \
        loadtest ingest --feed grpc --connections 4\n  loadtest timers --profiles 1000000 --report /tmp/timers\n  \
        loadtest cart_abandonment --connect 127.0.0.1:8080,127.0.0.1:7070\n\n\
        Environment:\n  SOJOURN_API_KEY  the key of a server given with --connect"
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
    let figures = runtime.block_on(scenario::perform(&run))?;
    eprintln!("\n{}", figures.table());
    if let Some(directory) = &run.report {
        let path = report::write(directory, &figures)?;
        eprintln!("report: {}", path.display());
    }
    if run.json {
        println!("{}", figures.json());
    }
    Ok(if figures.findings.verdict.is_verified() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
