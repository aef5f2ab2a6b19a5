//! `sojourn deliveries`: messages on their way out, and decisions about those in doubt.

use reqwest::Method;
use sojourn::runtime::view::Resolution;
use sojourn::transport::http::schema::{DeliveriesBody, ResolveBody, ResolvedBody};

use crate::cli::{DeliveriesAction, DeliveriesArgs, ResolutionArg};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, table};

/// Lists, or decides.
pub fn run(args: DeliveriesArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    if let Some(DeliveriesAction::Resolve { id, resolution }) = args.action {
        let resolution = match resolution {
            ResolutionArg::Sent => Resolution::Sent,
            ResolutionArg::Drop => Resolution::Drop,
            ResolutionArg::Resend => Resolution::Resend,
        };
        let url = client.url(&["v1", "deliveries", &id, "resolve"], &[]);
        let resolved: ResolvedBody = client.call(Method::POST, url, Some(&ResolveBody { resolution }))?;
        output.result(&resolved, |resolved| format!("{} is decided", resolved.id));
        return Ok(());
    }
    let state = if args.in_doubt { "in_doubt" } else { "all" };
    let query = [("state", state.to_owned()), ("max", args.max.to_string())];
    let body: DeliveriesBody = client.get(client.url(&["v1", "deliveries"], &query))?;
    output.result(&body, people);
    Ok(())
}

fn people(body: &DeliveriesBody) -> String {
    if body.deliveries.is_empty() {
        return "none".to_owned();
    }
    let mut rows =
        table(&["delivery", "profile", "journey", "message", "channel", "state", "decided at", "first attempt"]);
    for d in &body.deliveries {
        let attempt = d.first_attempt_at.as_deref().unwrap_or("");
        rows.add_row([&d.id, &d.profile, &d.journey, &d.message, &d.channel, &d.state, &d.decided_at, attempt]);
    }
    rows.to_string()
}
