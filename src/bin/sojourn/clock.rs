//! `sojourn clock`: moves the time of a server that runs on the events' clock.

use reqwest::Method;
use sojourn::transport::http::schema::{AdvanceRequest, AdvancedBody};

use crate::cli::{ClockAction, ClockArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;

/// Moves it.
pub fn run(args: &ClockArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    let ClockAction::Advance { to } = &args.action;
    let url = client.url(&["v1", "clock", "advance"], &[]);
    let advanced: AdvancedBody = client.call(Method::POST, url, Some(&AdvanceRequest { to: to.clone() }))?;
    output.result(&advanced, |advanced| match &advanced.to {
        Some(to) => format!("time is at {to}, or later if it was"),
        None => "no timer is left".to_owned(),
    });
    Ok(())
}
