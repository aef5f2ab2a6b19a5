//! `sojourn why`: why a profile is, or is not, where it is in a journey.

use sojourn::runtime::past::why::Why;

use crate::cli::WhyArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::profile::has_namespace;

/// Asks the server.
pub fn run(args: &WhyArgs, output: &Output) -> Result<(), Failure> {
    has_namespace(&args.profile)?;
    let client = Client::new(&args.server)?;
    let url = client.url(&["v1", "profiles", &args.profile, "why"], &[("journey", args.journey.clone())]);
    let why: Why = client.get(url)?;
    output.result(&why, people);
    Ok(())
}

/// A line for each thing that happened, under which supplemental id if there is one, and how it stands.
fn people(why: &Why) -> String {
    let mut text = String::new();
    if why.is_cut {
        text.push_str("(older ones are left out)\n");
    }
    for item in &why.story {
        let under = item.supplemental_id.as_ref().map_or(String::new(), |id| format!("[{id}] "));
        text.push_str(&format!("{} {under}{}\n", item.time, item.text));
    }
    text.push_str(&why.summary);
    text
}
