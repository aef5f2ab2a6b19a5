//! `sojourn journeys`: list, stop, close.

use reqwest::Method;
use sojourn::runtime::view::JourneySummary;
use sojourn::transport::http::schema::JourneysBody;

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
    let mut table = table(&["journey", "#version", "status", "#entered", "#active", "#held"]);
    for journey in journeys {
        for v in &journey.versions {
            let (number, entered, active) = (v.number.to_string(), v.entered.to_string(), v.active.to_string());
            let held = (v.held + v.held_entrants).to_string();
            table.add_row([&journey.name, &number, &v.status, &entered, &active, &held]);
        }
    }
    table.to_string()
}
