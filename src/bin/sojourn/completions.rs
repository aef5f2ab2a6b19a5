//! `sojourn completions`: the completion script of a shell.

use std::io::Write as _;

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs};

/// Prints it. A reader that has seen enough, and closed the pipe, is no failure.
pub fn run(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sojourn", &mut script);
    let _ = std::io::stdout().write_all(&script);
}
