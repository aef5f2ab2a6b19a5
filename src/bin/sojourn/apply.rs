//! `sojourn plan` and `sojourn apply`: what publishing would change, and publishing.

use clap::Args;
use reqwest::Method;
use serde::Deserialize as _;
use serde_json::Value;
use sojourn::transport::http::schema::{FindingBody, ResourceFile, ResourceFiles};

use crate::cli::ServerFilesArgs;
use crate::client::{Answer, Client, refused};
use crate::failure::Failure;
use crate::files;
use crate::output::{Output, table};

/// Publishing.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Keep journeys as drafts, which nobody enters, instead of publishing them
    #[arg(long)]
    pub draft: bool,
    #[command(flatten)]
    pub files: ServerFilesArgs,
}

/// What publishing would change.
pub fn plan(args: &ServerFilesArgs, output: &Output) -> Result<(), Failure> {
    post(args, "plan", output)
}

/// Publishes, or keeps drafts.
pub fn apply(args: &ApplyArgs, output: &Output) -> Result<(), Failure> {
    post(&args.files, if args.draft { "draft" } else { "apply" }, output)
}

fn post(args: &ServerFilesArgs, action: &str, output: &Output) -> Result<(), Failure> {
    let files = files::read(&args.files)?.into_iter().map(|(name, text)| ResourceFile { name, text }).collect();
    let client = Client::new(&args.server)?;
    let url = client.url(&["v1", "resources", action], &[]);
    match client.ask::<Value>(Method::POST, url, Some(&ResourceFiles { files }))? {
        Answer::Ok(report) => {
            output.result(&report, people);
            Ok(())
        }
        Answer::Refused(422, body, _) => {
            for finding in &body.error.findings {
                eprintln!("{}", line(finding));
            }
            // The findings are the result: with --json they are on stdout, and nothing may follow them.
            let message = body.error.message.clone();
            output.result(&body, |_| message);
            Err(Failure::Failed(String::new()))
        }
        Answer::Refused(_, body, _) => Err(refused(*body)),
    }
}

/// A finding as `check` prints it.
fn line(f: &FindingBody) -> String {
    let help = f.suggestion.as_deref().map(|s| format!("\n    help: {s}")).unwrap_or_default();
    format!("{}:{}:{}: {}[{}]: {}{help}", f.file, f.line, f.column, f.severity, f.code, f.message)
}

/// Rows of the report as a table; whatever else it holds as `key: value`.
fn people(report: &Value) -> String {
    let mut text = String::new();
    let Some(fields) = report.as_object() else { return report.to_string() };
    for (key, value) in fields.iter().filter(|(key, _)| *key != "warnings") {
        match value.as_array().and_then(|rows| rows.iter().map(Value::as_object).collect::<Option<Vec<_>>>()) {
            Some(rows) if !rows.is_empty() => {
                let mut headings: Vec<&str> = Vec::new();
                for heading in rows.iter().flat_map(|row| row.keys()) {
                    let is_told = matches!(heading.as_str(), "difference" | "migration");
                    if !is_told && !headings.contains(&heading.as_str()) {
                        headings.push(heading);
                    }
                }
                let mut table = table(&headings);
                for row in &rows {
                    table.add_row(headings.iter().map(|heading| row.get(*heading).map_or_else(String::new, plain)));
                }
                text.push_str(&format!("{table}\n"));
                text.push_str(&what_stays(&rows));
                for row in rows {
                    if let Some(difference) = row.get("difference") {
                        let name = row.get("name").map_or_else(String::new, plain);
                        text.push_str(&told(&name, difference, row.get("migration")));
                    }
                }
            }
            _ => text.push_str(&format!("{key}: {}\n", plain(value))),
        }
    }
    let warnings = fields.get("warnings").and_then(Value::as_array).into_iter().flatten();
    for warning in warnings {
        let told = FindingBody::deserialize(warning).map_or_else(|_| plain(warning), |warning| line(&warning));
        text.push_str(&format!("{told}\n"));
    }
    text.trim_end().to_owned()
}

/// Statuses of journeys that take no entries any more.
const ENDED: [&str; 3] = ["closed", "stopped", "finished"];

/// What readers of the table may take for something else: what is in no file is not closed, and what was stopped or closed takes
/// no entries however often it is applied.
fn what_stays(rows: &[&serde_json::Map<String, Value>]) -> String {
    let word = |row: &serde_json::Map<String, Value>, key: &str| row.get(key).map_or_else(String::new, plain);
    let mut text = String::new();
    let vanished = rows.iter().filter(|row| word(row, "change") == "vanished");
    let goes_on = |row: &&&serde_json::Map<String, Value>| {
        word(row, "kind") == "journey" && !ENDED.contains(&word(row, "status").as_str())
    };
    let journeys: Vec<String> = vanished.clone().filter(goes_on).map(|row| word(row, "name")).collect();
    if vanished.count() > 0 {
        text.push_str(
            "vanished: published and in none of these files; all of it stays as it is, and nothing is closed\n",
        );
    }
    for name in journeys {
        text.push_str(&format!("    journey {name} goes on; `sojourn journeys close {name}` closes it\n"));
    }
    for row in rows.iter().filter(|row| word(row, "kind") == "journey" && word(row, "change") == "unchanged") {
        let (name, status) = (word(row, "name"), word(row, "status"));
        if ENDED.contains(&status.as_str()) {
            text.push_str(&format!(
                "journey {name} is {status} and takes no entries, and applying the same again opens nothing: change it, in any \
                 setting or node, to publish a new version\n"
            ));
        }
    }
    text
}

/// What differs in a journey, a line each, and what becomes of the profiles inside.
fn told(journey: &str, difference: &Value, migration: Option<&Value>) -> String {
    let mut text = format!("\njourney {journey}\n");
    let list = |key: &str| difference.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for setting in list("settings") {
        text.push_str(&format!("  ~ {}\n", changed(&setting)));
    }
    if difference.get("references") == Some(&Value::Bool(true)) {
        text.push_str("  ~ types of fields, or messages that it sends\n");
    }
    for node in list("nodes") {
        let word = |key: &str| node.get(key).map_or_else(String::new, plain);
        let sign = match word("change").as_str() {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        };
        text.push_str(&format!("  {sign} {}\n", word("node")));
        for setting in node.get("settings").and_then(Value::as_array).into_iter().flatten() {
            text.push_str(&format!("      {}\n", changed(setting)));
        }
    }
    if let Some(migration) = migration {
        text.push_str(&disposed(migration));
    }
    text
}

/// What becomes of the profiles inside, a line for each node.
fn disposed(migration: &Value) -> String {
    let list = |key: &str| migration.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let versions: Vec<String> = list("from").iter().map(plain).collect();
    let mut text = format!("  profiles inside, of version {}\n", versions.join(", "));
    for node in list("nodes") {
        let word = |key: &str| node.get(key).map_or_else(String::new, plain);
        let choice = match word("choice").as_str() {
            "keep" => "go on as their version has it".to_owned(),
            "exit" => "leave".to_owned(),
            "recompute" => "go on here, the wait computed anew from their arrival".to_owned(),
            _ => format!("move to `{}`", word("to")),
        };
        let by = match word("chosen_by").as_str() {
            "nobody" => " (nothing is chosen)",
            "default" => " (by default)",
            _ => "",
        };
        let count = match word("waiting") {
            count if count.is_empty() => "all".to_owned(),
            count => count,
        };
        text.push_str(&format!("      {count:>8} at {}: {choice}{by}\n", word("node")));
    }
    text
}

/// A setting, before and after.
fn changed(setting: &Value) -> String {
    let word = |key: &str| setting.get(key).map_or_else(String::new, plain);
    match (word("before"), word("after")) {
        (before, after) if before.is_empty() => format!("{}: {after}", word("what")),
        (before, after) if after.is_empty() => format!("{}: {before} is gone", word("what")),
        (before, after) => format!("{}: {before} -> {after}", word("what")),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stays_is_told() {
        let row = |name: &str, change: &str, status: Option<&str>| {
            let mut row = json!({"kind": "journey", "name": name, "change": change, "version": 1});
            if let Some(status) = status {
                row["status"] = status.into();
            }
            row
        };
        let told = |rows: &[Value]| people(&json!({"catalog_version": 3, "resources": rows, "warnings": []}));
        let text = told(&[row("a", "unchanged", Some("live")), row("b", "created", None)]);
        assert!(!text.contains("closes it") && !text.contains("takes no entries"), "{text}");
        let (live, ended) = (row("a", "vanished", Some("live")), row("c", "vanished", Some("finished")));
        let text = told(&[live, ended, row("b", "unchanged", Some("stopped"))]);
        assert!(
            text.contains("nothing is closed\n    journey a goes on; `sojourn journeys close a` closes it"),
            "{text}"
        );
        assert!(text.contains("journey b is stopped and takes no entries"), "{text}");
        assert!(!text.contains("journey c goes on"), "{text}");
        assert!(text.contains("to publish a new version"), "{text}");
    }

    #[test]
    fn a_plan_without_counts_speaks_of_all() {
        let migration = json!({"from": [1], "nodes": [{"node": "again", "choice": "exit", "chosen_by": "nobody"}]});
        assert_eq!(
            disposed(&migration),
            "  profiles inside, of version 1\n           all at again: leave (nothing is chosen)\n"
        );
        let migration = json!({"from": [1], "nodes": [{"node": "again", "choice": "exit", "waiting": 7}]});
        assert_eq!(disposed(&migration), "  profiles inside, of version 1\n             7 at again: leave\n");
    }
}
