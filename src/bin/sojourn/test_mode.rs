//! `sojourn test-mode` and `sojourn test-profiles`: tests of drafts on a server, with real messages to flagged profiles.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use reqwest::Method;
use sojourn::domain::journey::duration;
use sojourn::runtime::engine::testing::{TestLog, TestProfile};
use sojourn::runtime::view::JourneySummary;
use sojourn::transport::http::testing::{FlagRequest, FlaggedBody};

use crate::cli::ServerArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::journeys::rows;
use crate::output::Output;

/// Tests of drafts.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sojourn apply --draft journeys/ && sojourn test-profiles add crm:me\n  \
    sojourn test-mode start cart_abandonment --wait 5s\n  sojourn test-mode log cart_abandonment\n\n\
    docs/journeys.md, \"Drafts and test mode\", says what is real in a test and what is not.")]
pub struct TestModeArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    action: TestModeAction,
}

/// What to do with the test of a draft.
#[derive(Debug, Subcommand)]
enum TestModeAction {
    /// Let test profiles into a draft
    Start {
        /// The journey
        journey: String,
        /// How long every wait takes, 1s to 1h (default: 10s); feedback is waited for 40s at least
        #[arg(long, value_name = "DURATION")]
        wait: Option<String>,
    },
    /// Where everybody is, and what happened to them
    Log {
        /// The journey
        journey: String,
    },
    /// End the test: everybody leaves, and its counts go
    Stop {
        /// The journey
        journey: String,
    },
    /// Publish the draft as the next version; its test ends
    Publish {
        /// The journey
        journey: String,
    },
}

/// Test profiles.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sojourn test-profiles add crm:me crm:you")]
pub struct TestProfilesArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    action: Option<TestProfilesAction>,
}

/// What to do with test profiles.
#[derive(Debug, Subcommand)]
enum TestProfilesAction {
    /// All of them (what `test-profiles` alone does)
    List,
    /// Flag profiles, a hundred at most
    Add {
        /// The profiles, `namespace:value`
        #[arg(required = true, value_name = "NS:ID")]
        profiles: Vec<String>,
    },
    /// Take the flag from profiles
    Remove {
        /// The profiles, `namespace:value`
        #[arg(required = true, value_name = "NS:ID")]
        profiles: Vec<String>,
    },
}

/// Runs one of them.
pub fn run(args: TestModeArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    let change = |journey: &str, action: &str, query: &[(&str, String)]| {
        let url = client.url(&["v1", "journeys", journey, "test", action], query);
        let summary: JourneySummary = client.call(Method::POST, url, None::<&()>)?;
        output.result(&summary, |summary| rows(std::slice::from_ref(summary)));
        Ok(())
    };
    match args.action {
        TestModeAction::Start { journey, wait } => {
            let query: Vec<(&str, String)> = wait.into_iter().map(|wait| ("wait", wait)).collect();
            change(&journey, "start", &query)
        }
        TestModeAction::Stop { journey } => change(&journey, "stop", &[]),
        TestModeAction::Publish { journey } => change(&journey, "publish", &[]),
        TestModeAction::Log { journey } => {
            let log: TestLog = client.get(client.url(&["v1", "journeys", &journey, "test"], &[]))?;
            output.result(&log, people);
            Ok(())
        }
    }
}

/// Lists or flags test profiles.
pub fn profiles(args: TestProfilesArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    let url = client.url(&["v1", "test-profiles"], &[]);
    let flag = |request: FlagRequest| client.call(Method::POST, url.clone(), Some(&request));
    let flagged: FlaggedBody = match args.action {
        None | Some(TestProfilesAction::List) => client.get(url)?,
        Some(TestProfilesAction::Add { profiles }) => flag(FlagRequest { add: profiles, remove: Vec::new() })?,
        Some(TestProfilesAction::Remove { profiles }) => flag(FlagRequest { add: Vec::new(), remove: profiles })?,
    };
    output.result(&flagged, |flagged| match flagged.test_profiles.is_empty() {
        true => "no test profiles; flag some with `sojourn test-profiles add NS:ID`".to_owned(),
        false => flagged.test_profiles.join("\n"),
    });
    Ok(())
}

fn people(log: &TestLog) -> String {
    let wait = duration::print(log.wait_ms);
    let mut text =
        format!("{} in test since {}, waits take {wait}, {} inside\n", log.journey, log.started_at, log.inside);
    if log.profiles.is_empty() {
        text.push_str("nobody has entered; only test profiles do\n");
    }
    for profile in &log.profiles {
        text.push_str(&one(profile));
    }
    text.trim_end().to_owned()
}

fn one(profile: &TestProfile) -> String {
    let mut text = format!("\n{}\n", profile.profile);
    for instance in &profile.instances {
        let at = &instance.at;
        let _ =
            writeln!(text, "  at {} until {}, event {}, actions {}", at.node, at.due, instance.event, instance.actions);
    }
    if profile.instances.is_empty() {
        text.push_str("  not inside any more\n");
    }
    for item in &profile.transitions {
        let node = item.node.as_deref().map(|node| format!(" {node}")).unwrap_or_default();
        let message = item.message.as_deref().map(|message| format!(" {message}")).unwrap_or_default();
        let line = format!("  {} {:9}{node}{message} {}", item.at, item.what, item.reason);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
