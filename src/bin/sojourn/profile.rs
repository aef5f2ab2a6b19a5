//! `sojourn profile`: state and timeline of one profile.

use sojourn::runtime::view::ProfileView;

use crate::cli::ProfileArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, table};

/// Asks the server.
pub fn run(args: &ProfileArgs, output: &Output) -> Result<(), Failure> {
    if !args.profile.contains(':') {
        return Err(Failure::Usage(format!(
            "{:?} has no namespace; write namespace:value, e.g. crm:4711",
            args.profile
        )));
    }
    let client = Client::new(&args.server)?;
    let url = client.url(&["v1", "profiles", &args.profile], &[("timeline", args.timeline.to_string())]);
    let profile: ProfileView = client.get(url)?;
    output.result(&profile, people);
    Ok(())
}

fn people(profile: &ProfileView) -> String {
    let mut text = format!("{} (partition {})\ndocument: {}\n", profile.profile, profile.partition, profile.document);
    if profile.instances.is_empty() {
        text.push_str("in no journey\n");
    } else {
        let mut rows = table(&["journey", "#version", "node", "entered at", "next timer"]);
        for i in &profile.instances {
            rows.add_row([&i.journey, &i.version.to_string(), &i.node, &i.entered_at, &i.due]);
        }
        text.push_str(&format!("{rows}\n"));
    }
    let mut rows = table(&["at", "what", "journey", "node", "why"]);
    for item in &profile.timeline {
        let journey = match (&item.journey, item.version) {
            (Some(journey), Some(version)) => format!("{journey} v{version}"),
            (Some(journey), None) => journey.clone(),
            (None, _) => String::new(),
        };
        let mut why = item.reason.clone();
        if let Some(message) = &item.message {
            why = format!("{message}: {why}");
        }
        if let Some(id) = &item.event_id {
            why = format!("{why} ({id})");
        }
        rows.add_row([&item.at, &item.what, &journey, item.node.as_deref().unwrap_or(""), why.as_str()]);
    }
    text.push_str(&rows.to_string());
    text
}
