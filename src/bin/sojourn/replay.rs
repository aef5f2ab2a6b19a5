//! `sojourn replay`: recorded events through journeys on a virtual clock.

use crate::cli::ReplayArgs;
use crate::failure::Failure;
use crate::output::Output;

/// Runs them.
pub fn run(args: &ReplayArgs, output: &Output) -> Result<(), Failure> {
    let _ = (args, output);
    Err(Failure::Failed("replay is not built in".to_owned()))
}
