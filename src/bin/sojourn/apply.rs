//! `sojourn plan` and `sojourn apply`: what publishing would change, and publishing.

use reqwest::Method;
use serde_json::Value;
use sojourn::transport::http::schema::{FindingBody, ResourceFile, ResourceFiles};

use crate::cli::ServerFilesArgs;
use crate::client::{Answer, Client, refused};
use crate::failure::Failure;
use crate::files;
use crate::output::{Output, table};

/// What publishing would change.
pub fn plan(args: &ServerFilesArgs, output: &Output) -> Result<(), Failure> {
    post(args, "plan", output)
}

/// Publishes.
pub fn apply(args: &ServerFilesArgs, output: &Output) -> Result<(), Failure> {
    post(args, "apply", output)
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
    for (key, value) in fields {
        match value.as_array().and_then(|rows| rows.iter().map(Value::as_object).collect::<Option<Vec<_>>>()) {
            Some(rows) if !rows.is_empty() => {
                let mut headings: Vec<&str> = Vec::new();
                for heading in rows.iter().flat_map(|row| row.keys()) {
                    if heading != "difference" && !headings.contains(&heading.as_str()) {
                        headings.push(heading);
                    }
                }
                let mut table = table(&headings);
                for row in &rows {
                    table.add_row(headings.iter().map(|heading| row.get(*heading).map_or_else(String::new, plain)));
                }
                text.push_str(&format!("{table}\n"));
                for row in rows {
                    if let Some(difference) = row.get("difference") {
                        let name = row.get("name").map_or_else(String::new, plain);
                        text.push_str(&told(&name, difference));
                    }
                }
            }
            _ => text.push_str(&format!("{key}: {}\n", plain(value))),
        }
    }
    text.trim_end().to_owned()
}

/// What differs in a journey, a line each.
fn told(journey: &str, difference: &Value) -> String {
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
        let waiting = match node.get("waiting").and_then(Value::as_u64) {
            Some(count) if count > 0 => format!(" ({count} there now go on as their version has it)"),
            _ => String::new(),
        };
        text.push_str(&format!("  {sign} {}{waiting}\n", word("node")));
        for setting in node.get("settings").and_then(Value::as_array).into_iter().flatten() {
            text.push_str(&format!("      {}\n", changed(setting)));
        }
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
