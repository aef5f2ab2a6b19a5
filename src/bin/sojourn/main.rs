//! The `sojourn` program: reads the command line, runs one command, turns its outcome into an exit code.
//! Commands live in one file each; what they do lives in the library.

mod apply;
mod backup;
mod check;
mod cli;
mod client;
mod clock;
mod completions;
mod datasets;
mod deliveries;
mod demo;
mod dry_run;
mod export;
mod failure;
mod files;
mod import;
mod journeys;
mod keys;
mod logging;
mod output;
mod pauses;
mod profile;
mod replay;
mod report;
mod send;
mod serve;
mod settings;
mod shards;
#[cfg(feature = "sim")]
mod sim;
mod test;
mod test_mode;
mod why;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use failure::Failure;
use output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One TLS provider for the whole process; it is installed once, so a second one can't be there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    let output = Output::new(cli.json);
    match run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

/// The command line can't be read, or asks for help. What `--json` promises holds for the former too.
fn misread(error: &clap::Error) -> ExitCode {
    // Where nobody reads it any more there is nothing to be done.
    let _ = error.print();
    let is_json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && is_json {
        let text = error.render().to_string();
        let said = text.lines().take_while(|line| !line.starts_with("Usage:")).map(str::trim);
        let (tips, said): (Vec<_>, Vec<_>) =
            said.filter(|line| !line.is_empty()).partition(|line| line.starts_with("tip: "));
        let message = said.join(" ");
        let message = message.trim_start_matches("error: ");
        let mut error = serde_json::json!({"code": Failure::Usage(String::new()).name(), "message": message});
        if let Some(tip) = tips.first() {
            error["suggestion"] = tip.trim_start_matches("tip: ").into();
        }
        let error = serde_json::json!({ "error": error });
        output::print_line(&error.to_string());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}

fn run(cli: Cli, output: &Output) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(&args, output),
        Command::Replay(args) => replay::run(&args, output),
        #[cfg(feature = "sim")]
        Command::Sim(args) => sim::run(&args, output),
        Command::Config(args) => settings::print(args, output),
        Command::Check(args) => check::run(&args, output),
        Command::Import(args) => import::run(&args, output),
        Command::Test(args) => test::run(&args, output),
        Command::DryRun(args) => dry_run::run(&args, output),
        Command::Plan(args) => apply::plan(&args, output),
        Command::Apply(args) => apply::apply(&args, output),
        Command::TestMode(args) => test_mode::run(args, output),
        Command::TestProfiles(args) => test_mode::profiles(args, output),
        Command::Journeys(args) => journeys::run(args, output),
        Command::Pauses(command) => pauses::run(&command, output),
        Command::Report(args) => report::run(&args, output),
        Command::Profile(args) => profile::run(&args, output),
        Command::Why(args) => why::run(&args, output),
        Command::Export(args) => export::run(&args, output),
        Command::Deliveries(args) => deliveries::run(args, output),
        Command::Datasets(args) => datasets::run(&args, output),
        Command::Shards(args) => shards::run(&args, output),
        Command::Clock(args) => clock::run(&args, output),
        Command::Send(args) => send::run(&args, output),
        Command::Backup(args) => backup::backup(&args, output),
        Command::Restore(args) => backup::restore(&args, output),
        Command::Keys(args) => keys::run(args, output),
        Command::Completions(args) => {
            completions::run(&args);
            Ok(())
        }
    }
}
