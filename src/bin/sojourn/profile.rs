//! `sojourn profile`: state and timeline of one profile.

use sojourn::domain::ids::Millis;
use sojourn::runtime::view::ProfileView;

use crate::cli::{ProfileArgs, SpanArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, table};

/// Asks the server.
pub fn run(args: &ProfileArgs, output: &Output) -> Result<(), Failure> {
    has_namespace(&args.profile)?;
    let client = Client::new(&args.server)?;
    let mut query = vec![("timeline", args.timeline.to_string())];
    query.extend(args.journey.clone().map(|journey| ("journey", journey)));
    query.extend(span(&args.span)?);
    let url = client.url(&["v1", "profiles", &args.profile], &query);
    let profile: ProfileView = client.get(url)?;
    output.result(&profile, people);
    Ok(())
}

/// Refuses what is no `namespace:value`.
pub fn has_namespace(profile: &str) -> Result<(), Failure> {
    if profile.contains(':') {
        return Ok(());
    }
    Err(Failure::Usage(format!("{profile:?} has no namespace; write namespace:value, e.g. crm:4711")))
}

/// A span of time as parameters.
pub fn span(span: &SpanArgs) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut query = Vec::new();
    let mut instants = Vec::new();
    for (name, text) in [("since", &span.since), ("until", &span.until)] {
        let Some(text) = text else { continue };
        let at = Millis::parse_iso(text)
            .ok_or_else(|| Failure::Usage(format!("--{name} {text:?} is no instant; e.g. 2026-11-01T12:00:00Z")))?;
        query.push((name, at.to_iso()));
        instants.push(at);
    }
    if let [since, until] = instants[..]
        && since >= until
    {
        return Err(Failure::Usage(format!(
            "--since {since} is not before --until {until}: there is nothing between them"
        )));
    }
    Ok(query)
}

fn people(profile: &ProfileView) -> String {
    let mut text = format!("{} (partition {})\ndocument: {}\n", profile.profile, profile.partition, profile.document);
    if profile.instances.is_empty() {
        text.push_str("in no journey\n");
    } else {
        let mut rows = table(&["journey", "node", "entered at", "held since", "#events kept", "next timer"]);
        for i in &profile.instances {
            let mut journey = named(&i.journey, i.version, i.in_test);
            if let Some(id) = &i.supplemental_id {
                journey.push_str(&format!(", id {id}"));
            }
            let held_since = i.held_since.as_deref().unwrap_or_default();
            let (node, entered_at) =
                if i.waits_to_enter { ("(waits to enter)", "") } else { (i.node.as_str(), i.entered_at.as_str()) };
            let events = if i.held_events == 0 { String::new() } else { i.held_events.to_string() };
            rows.add_row([&journey, node, entered_at, held_since, &events, &i.due]);
        }
        text.push_str(&format!("{rows}\n"));
    }
    let mut rows = table(&["at", "what", "journey", "node", "why"]);
    for item in &profile.timeline {
        let journey = match (&item.journey, item.version) {
            (Some(journey), Some(version)) => named(journey, version, item.in_test),
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

/// A version of a journey.
fn named(journey: &str, version: u32, in_test: bool) -> String {
    let in_test = if in_test { " (test)" } else { "" };
    format!("{journey} v{version}{in_test}")
}
