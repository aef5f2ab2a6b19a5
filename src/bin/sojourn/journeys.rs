//! `sojourn journeys`: list, overlaps, stop, close.

use reqwest::Method;
use sojourn::runtime::conflicts::ConflictView;
use sojourn::runtime::view::JourneySummary;
use sojourn::transport::http::schema::{ConflictsBody, JourneysBody};

use crate::cli::{JourneyArgs, JourneysAction, JourneysArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, table};

/// Runs one of them.
pub fn run(args: JourneysArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    match args.action {
        None | Some(JourneysAction::List) => {
            let body: JourneysBody = client.get(client.url(&["v1", "journeys"], &[]))?;
            output.result(&body, |body| rows(&body.journeys));
        }
        Some(JourneysAction::Conflicts { name }) => {
            let query: Vec<(&str, String)> = name.into_iter().map(|name| ("journey", name)).collect();
            let body: ConflictsBody = client.get(client.url(&["v1", "journeys", "conflicts"], &query))?;
            output.result(&body, |body| overlaps(&body.conflicts));
        }
        Some(JourneysAction::Stop(journey)) => change(&client, &journey, "stop", output)?,
        Some(JourneysAction::Close(journey)) => change(&client, &journey, "close", output)?,
    }
    Ok(())
}

fn change(client: &Client, journey: &JourneyArgs, action: &str, output: &Output) -> Result<(), Failure> {
    let query: Vec<(&str, String)> = journey.version.iter().map(|v| ("version", v.to_string())).collect();
    let url = client.url(&["v1", "journeys", &journey.name, action], &query);
    let summary: JourneySummary = client.call(Method::POST, url, None::<&()>)?;
    output.result(&summary, |summary| rows(std::slice::from_ref(summary)));
    Ok(())
}

/// A line for each version.
pub fn rows(journeys: &[JourneySummary]) -> String {
    if journeys.is_empty() {
        return "no journeys; publish some with `sojourn apply DIR`".to_owned();
    }
    let mut table = table(&["journey", "#version", "status", "#entered", "#active", "#held", "#events kept"]);
    for journey in journeys {
        for v in &journey.versions {
            let (number, entered, active) = (v.number.to_string(), v.entered.to_string(), v.active.to_string());
            let held = (v.held + v.held_entrants).to_string();
            let status = match &v.finished_as {
                Some(how) => format!("{} ({how})", v.status),
                None => v.status.clone(),
            };
            let events = v.held_events.to_string();
            table.add_row([&journey.name, &number, &status, &entered, &active, &held, &events]);
        }
    }
    table.to_string()
}

/// A line for each pair.
fn overlaps(conflicts: &[ConflictView]) -> String {
    if conflicts.is_empty() {
        return "no overlaps".to_owned();
    }
    let mut table = table(&["journey", "#priority", "with", "#priority", "overlap", "enters first"]);
    for conflict in conflicts {
        let named = |name: &str, version: Option<u32>| {
            if version.is_none() { format!("{name} (draft)") } else { name.to_owned() }
        };
        let wins = match (&conflict.wins, conflict.wins_by.as_deref()) {
            (Some(name), Some("priority")) => name.clone(),
            (Some(name), _) => format!("{name}, published first"),
            (None, _) => "—".to_owned(),
        };
        table.add_row([
            named(&conflict.journey, conflict.version),
            conflict.priority.to_string(),
            named(&conflict.with, conflict.with_version),
            conflict.with_priority.to_string(),
            overlap(conflict),
            wins,
        ]);
    }
    table.to_string()
}

/// In what respects two journeys overlap.
fn overlap(conflict: &ConflictView) -> String {
    let mut parts: Vec<String> = conflict.event.iter().map(|event| format!("event {event}")).collect();
    parts.extend(conflict.channels.iter().map(|shared| match shared.surfaces.as_slice() {
        [] => shared.channel.clone(),
        surfaces => format!("{} by {}", shared.channel, surfaces.join(", ")),
    }));
    parts.extend(conflict.rule_set.iter().map(|rules| format!("rule set {rules}")));
    let day = |instant: &str| instant.split('T').next().unwrap_or(instant).to_owned();
    parts.extend(conflict.from.iter().map(|from| format!("from {}", day(from))));
    parts.extend(conflict.until.iter().map(|until| format!("until {}", day(until))));
    parts.join("; ")
}
