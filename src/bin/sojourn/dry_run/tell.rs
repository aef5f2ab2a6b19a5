//! A dry run as text: side by side with the live version, by node, by channel and day, timelines, and what is not known.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sojourn::replay::dry_run::account::{Account, Day};
use sojourn::replay::dry_run::view::{DryRun, NULL_ANSWERS, Sample, Unknown};
use sojourn::runtime::view::JourneyReport;

use crate::output::table;

/// Characters of the longest bar.
const BAR_CHARS: u64 = 30;
/// Days that are shown one by one, the latest of them.
const DAYS_MAX: usize = 62;

/// Everything.
pub fn people(run: &DryRun) -> String {
    let mut text = format!(
        "dry run of {}: {} to {}, {} events, {} profiles; nothing was sent\n\n",
        run.journey, run.from, run.until, run.events, run.profiles
    );
    let (grave, other): (Vec<&Unknown>, Vec<&Unknown>) = run.unknown.iter().partition(|it| it.code == NULL_ANSWERS);
    if !grave.is_empty() {
        text.push_str("branches that nobody knows\n");
        list(&mut text, &grave);
        text.push('\n');
    }
    text.push_str(&side_by_side(run));
    text.push_str(&nodes(run, &run.report));
    text.push_str(&days(run));
    for sample in &run.samples {
        text.push_str(&timeline(sample));
    }
    text.push_str("what this could not know\n");
    list(&mut text, &other);
    text.trim_end().to_owned()
}

fn list(text: &mut String, unknown: &[&Unknown]) {
    for one in unknown {
        let _ = writeln!(text, "  - {}", one.message);
    }
}

/// Entries, ends and messages of draft and live version.
fn side_by_side(run: &DryRun) -> String {
    let mut rows = table(&["", "#draft", "#live", "#difference"]);
    let mut row = |what: String, of: &dyn Fn(&Account) -> u64| {
        let (draft, live) = (of(&run.draft), run.live.as_ref().map(of));
        let difference = live.map(|live| format!("{:+}", draft.cast_signed().wrapping_sub(live.cast_signed())));
        let live = live.map_or_else(|| "-".to_owned(), |live| live.to_string());
        rows.add_row([what, draft.to_string(), live, difference.unwrap_or_default()]);
    };
    row("entered".to_owned(), &|account| account.entered);
    for reason in names(run, |account| account.exited.keys()) {
        row(format!("exited: {reason}"), &|account| account.exited.get(&reason).copied().unwrap_or_default());
    }
    row("errors".to_owned(), &|account| account.errors);
    for reason in names(run, |account| account.failed.keys()) {
        row(format!("failed: {reason}"), &|account| account.failed.get(&reason).copied().unwrap_or_default());
    }
    for reason in names(run, |account| account.discarded.keys()) {
        row(format!("discarded: {reason}"), &|account| account.discarded.get(&reason).copied().unwrap_or_default());
    }
    for channel in names(run, |account| account.days.values().flat_map(|day| day.messages.keys())) {
        row(format!("messages by {channel}"), &|account| account.channels().get(&channel).copied().unwrap_or_default());
    }
    for message in names(run, |account| account.messages.keys()) {
        row(format!("message {message}"), &|account| account.messages.get(&message).copied().unwrap_or_default());
    }
    for action in names(run, |account| account.calls.keys()) {
        row(format!("calls of {action}"), &|account| {
            account.calls.get(&action).map_or(0, |outcomes| outcomes.values().sum())
        });
    }
    format!("{rows}\n\n")
}

/// Names that draft or live version have.
fn names<'a, I: Iterator<Item = &'a String>>(run: &'a DryRun, of: impl Fn(&'a Account) -> I) -> BTreeSet<String> {
    std::iter::once(&run.draft).chain(&run.live).flat_map(of).cloned().collect()
}

fn nodes(run: &DryRun, report: &JourneyReport) -> String {
    let mut rows = table(&["node", "#entered", "#in node", "#left", "#exited", "#errors", "#live entered"]);
    for (name, node) in &report.nodes {
        let entered = |live: &Account| live.nodes.get(name).copied().unwrap_or_default().to_string();
        let live = run.live.as_ref().map_or_else(|| "-".to_owned(), entered);
        let figures = [node.entered, node.in_node, node.left, node.exited, node.errors];
        rows.add_row(std::iter::once(name.clone()).chain(figures.iter().map(u64::to_string)).chain([live]));
    }
    format!("{rows}\n\n")
}

/// A line for each day and channel, with a bar of the draft's messages.
fn days(run: &DryRun) -> String {
    let nothing = Day::default();
    let all: BTreeSet<&String> =
        std::iter::once(&run.draft).chain(&run.live).flat_map(|account| account.days.keys()).collect();
    let day = |account: Option<&'_ Account>, day: &str| -> Day {
        account.and_then(|account| account.days.get(day)).unwrap_or(&nothing).clone()
    };
    let channels = names(run, |account| account.days.values().flat_map(|day| day.messages.keys()));
    let most = run.draft.days.values().flat_map(|day| day.messages.values()).copied().max().unwrap_or_default();
    let mut rows = table(&["day (UTC)", "#entered", "#live", "channel", "#messages", "#live", ""]);
    for name in all.iter().skip(all.len().saturating_sub(DAYS_MAX)) {
        let (draft, live) = (day(Some(&run.draft), name), day(run.live.as_ref(), name));
        let shown = |n: u64| if run.live.is_some() { n.to_string() } else { "-".to_owned() };
        let mut head = [(*name).clone(), draft.entered.to_string(), shown(live.entered)];
        if channels.is_empty() {
            rows.add_row(head.iter().cloned());
        }
        for channel in &channels {
            let (sent, before) = (draft.messages.get(channel).copied(), live.messages.get(channel).copied());
            let (sent, before) = (sent.unwrap_or_default(), before.unwrap_or_default());
            let figures = [channel.clone(), sent.to_string(), shown(before), bar(sent, most)];
            rows.add_row(head.iter().cloned().chain(figures));
            head = Default::default();
        }
    }
    let cut =
        if all.len() > DAYS_MAX { format!("(the latest {DAYS_MAX} of {} days)\n", all.len()) } else { String::new() };
    format!("{rows}\n{cut}\n")
}

fn bar(n: u64, most: u64) -> String {
    let chars = (n * BAR_CHARS).div_ceil(most.max(1));
    "█".repeat(usize::try_from(chars).unwrap_or_default())
}

fn timeline(sample: &Sample) -> String {
    let mut text = format!("{}\n", sample.profile);
    for item in &sample.timeline {
        let node = item.node.as_deref().map(|node| format!(" {node}")).unwrap_or_default();
        let message = item.message.as_deref().map(|message| format!(" {message}")).unwrap_or_default();
        let line = format!("  {} {:9}{node}{message} {}", item.at, item.what, item.reason);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    text
}
