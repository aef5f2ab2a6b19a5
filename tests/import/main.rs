//! Definitions of other engines: the examples come out as they lie beside them, are checked and walk; no field is lost
//! silently; whatever is given, an answer comes out.
//!
//! `SOJOURN_WRITE_REFERENCE=1 cargo test --test import` writes what comes out anew.

mod drawn;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sojourn::domain::catalog::{Rehearsal, SourceFile};
use sojourn::domain::finding::Severity;
use sojourn::import::{Format, Imported, Outcome, import, translate};
use sojourn::trial::run::run;

use drawn::Dice;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/import")
}

fn folder(format: Format) -> &'static str {
    match format {
        Format::Pinpoint => "pinpoint",
        Format::Dittofeed => "dittofeed",
        Format::Parcelvoy => "parcelvoy",
    }
}

/// Every example: its format, its folder.
fn sets() -> Vec<(Format, PathBuf)> {
    let mut sets = Vec::new();
    for format in Format::ALL {
        let entries = fs::read_dir(examples().join(folder(format))).expect("a folder of examples");
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        folders.sort();
        sets.extend(folders.into_iter().filter(|path| path.is_dir()).map(|path| (format, path)));
    }
    sets
}

/// Files directly in a folder that end so, by name, each named by its last part.
fn files(folder: &Path, ending: &str) -> Vec<SourceFile> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == ending));
    paths.sort();
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| SourceFile { name: name(path), text: fs::read_to_string(path).expect("text") }).collect()
}

fn report(imported: &Imported) -> String {
    let mut text = String::new();
    for item in &imported.items {
        text.push_str(&format!("{}: {item}\n", if item.file.is_empty() { "-" } else { &item.file }));
    }
    for finding in &imported.findings {
        text.push_str(&format!("{finding}\n"));
    }
    text
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("written");
}

/// Holds what came out against what lies beside the example, or puts it there.
fn hold(folder: &Path, imported: &Imported) {
    let mut expected: Vec<(PathBuf, String)> = Vec::new();
    for file in &imported.files {
        expected.push((folder.join("imported").join(&file.name), file.text.clone()));
    }
    expected.push((folder.join("report.txt"), report(imported)));
    if std::env::var_os("SOJOURN_WRITE_REFERENCE").is_some() {
        let _ = fs::remove_dir_all(folder.join("imported"));
        for (path, text) in &expected {
            write(path, text);
        }
    }
    for (path, text) in &expected {
        let written = fs::read_to_string(path).unwrap_or_default();
        assert_eq!(&written, text, "{} is not what comes out now", path.display());
    }
    let written =
        files(&folder.join("imported"), "yaml").len() + files(&folder.join("imported/journeys"), "yaml").len();
    assert_eq!(written, imported.files.len(), "{} holds what does not come out any more", folder.display());
}

#[test]
fn the_examples_come_out_as_they_lie_beside() {
    for (format, folder) in sets() {
        let imported = import(format, &files(&folder, "json")).expect("an import");
        hold(&folder, &imported);
        let errors: Vec<String> =
            imported.findings.iter().filter(|f| f.severity == Severity::Error).map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{}: {}", folder.display(), errors.join("\n"));
        let again = import(format, &files(&folder, "json")).expect("an import");
        assert_eq!(imported, again, "the same comes out every time");
    }
}

/// Each format has at least one example with tests of what comes out; all of them pass.
#[test]
fn the_examples_walk() {
    let mut walked = BTreeSet::new();
    for (format, folder) in sets() {
        let tests = files(&folder, "yaml");
        if tests.is_empty() {
            continue;
        }
        let mut all = import(format, &files(&folder, "json")).expect("an import").files;
        all.extend(tests);
        let rehearsed = Rehearsal::of(&all);
        let Rehearsal { catalog, trials, .. } = rehearsed.unwrap_or_else(|findings| panic!("{findings:#?}"));
        let catalog = Arc::new(catalog);
        assert!(!trials.is_empty(), "{}", folder.display());
        for trial in &trials {
            let outcome = run(trial, &catalog).expect("it runs");
            assert!(outcome.mismatches.is_empty(), "{}: {:#?}", trial.name.value, outcome.mismatches);
        }
        walked.insert(self::folder(format));
    }
    assert_eq!(walked.len(), Format::ALL.len(), "{walked:?}");
}

/// Paths of all fields and of all items of lists.
fn paths(value: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let mut visit = |key: String, value: &Value| {
        at.push(key);
        found.push(at.clone());
        paths(value, at, found);
        at.pop();
    };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| visit(key.clone(), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| visit(index.to_string(), value)),
        _ => {}
    }
}

fn at_mut<'v>(value: &'v mut Value, path: &[String]) -> &'v mut Value {
    path.iter().fold(value, |value, key| match value {
        Value::Array(items) => &mut items[key.parse::<usize>().expect("a place")],
        value => value.get_mut(key).expect("a field"),
    })
}

/// Fields that `docs/importing.md` lists as having no meaning here, as `format` and the end of their path.
fn immaterial(format: Format) -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/importing.md")).expect("a page");
    let table = page.split("## Fields without a meaning here").nth(1).expect("a chapter of fields");
    let rows = table.lines().filter(|line| line.starts_with(&format!("| {} |", format.title())));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Puts another value in place of each text, number and truth value of the examples, and takes away each list and map:
/// whatever has a meaning changes what comes out, be it a resource or a line of the report.
#[test]
fn no_field_is_lost_silently() {
    let mut lost = Vec::new();
    for (format, folder) in sets() {
        let sources = files(&folder, "json");
        let before = translate(format, &sources).expect("an import");
        let immaterial = immaterial(format);
        for (index, source) in sources.iter().enumerate() {
            let value: Value = serde_json::from_str(&source.text).expect("JSON");
            let mut found = Vec::new();
            paths(&value, &mut Vec::new(), &mut found);
            for path in found {
                let names: Vec<&str> =
                    path.iter().map(String::as_str).filter(|key| key.parse::<usize>().is_err()).collect();
                let dotted = names.join(".");
                if immaterial
                    .iter()
                    .any(|field| dotted == *field || format!(".{dotted}.").contains(&format!(".{field}.")))
                {
                    continue;
                }
                if let Some(changed) = otherwise(&value, &path) {
                    let mut sources = sources.clone();
                    sources[index].text = changed.to_string();
                    if translate(format, &sources).is_ok_and(|after| after == before) {
                        lost.push(format!("{} {}: {}", folder.display(), source.name, path.join(".")));
                    }
                }
            }
        }
    }
    lost.dedup();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// With another value in this place; without what is a list or a map.
fn otherwise(value: &Value, path: &[String]) -> Option<Value> {
    let mut value = value.clone();
    let place = at_mut(&mut value, path);
    *place = match place {
        Value::String(text) => json!(format!("{text}7")),
        Value::Number(number) => json!(number.as_f64().expect("a number") + 1.0),
        Value::Bool(truth) => json!(!*truth),
        Value::Array(items) if !items.is_empty() => json!([]),
        Value::Object(entries) if !entries.is_empty() => json!({}),
        _ => return None,
    };
    Some(value)
}

fn sojourn(directory: &Path, arguments: &[&str], input: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sojourn"));
    let input = match input {
        Some(text) => {
            write(&directory.join("input"), text);
            Stdio::from(fs::File::open(directory.join("input")).expect("a file"))
        }
        None => Stdio::null(),
    };
    command.args(arguments).current_dir(directory).stdin(input).output().expect("it starts")
}

const WHOLE: &str = r#"{"Name":"hour","StartActivity":"a","Limits":{"EndpointReentryCap":1},
    "StartCondition":{"EventStartCondition":{"EventFilter":{"Dimensions":{"EventType":{"Values":["go"]}}}}},
    "Activities":{"a":{"Wait":{"WaitTime":{"WaitFor":"PT1H"}}}}}"#;

/// Exit codes, standard input, files that are there already.
#[test]
fn the_program_says_what_became_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let check = |arguments: &[&str], input: Option<&str>, code: i32, said: &str| {
        let output = sojourn(path, arguments, input);
        let all = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {all}");
        assert!(all.contains(said), "{arguments:?} said {all:?}, not {said:?}");
    };
    check(&["import", "pinpoint", "-"], Some(WHOLE), 0, "2 mapped, 0 with a difference, 0 not");
    assert!(path.join("imported/journeys/hour.yaml").exists());
    check(&["check", "imported"], None, 0, "0 errors, 0 warnings, 0 hints");
    write(&path.join("imported/events.yaml"), "# mine\n");
    check(&["import", "pinpoint", "-"], Some(WHOLE), 2, "imported/events.yaml is there already");
    assert_eq!(fs::read_to_string(path.join("imported/events.yaml")).expect("text"), "# mine\n");
    check(&["import", "pinpoint", "-", "--force"], Some(WHOLE), 0, "written: imported/events.yaml");
    let differs = WHOLE.replace("\"Name\"", "\"QuietTime\":{\"Start\":\"21:00\"},\"Name\"");
    check(&["import", "pinpoint", "-", "--out", "o"], Some(&differs), 1, "not mapped  journey \"hour\": `QuietTime`");
    check(&["import", "dittofeed", "-"], Some(WHOLE), 1, "- is no Dittofeed definition");
    check(&["import", "parcelvoy", "-"], Some("{"), 1, "- is no JSON");
    check(&["import", "pinpoint", "/nowhere.json"], None, 2, "can't read /nowhere.json");
    check(&["import", "braze", "-"], None, 2, "possible values: pinpoint, dittofeed, parcelvoy");

    let output = sojourn(path, &["import", "pinpoint", "-", "--out", "p", "--json"], Some(&differs));
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!((output.status.code(), stdout.lines().count()), (Some(1), 1), "{stdout}");
    let body: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((&body["mapped"], &body["differs"], &body["not_mapped"]), (&json!(2), &json!(0), &json!(1)));
    assert_eq!((&body["written"], &body["check"]["errors"]), (&json!(true), &json!(0)));
    assert_eq!(body["items"][0]["outcome"], "not_mapped");
    assert_eq!(body["files"], json!(["p/events.yaml", "p/journeys/hour.yaml"]));
}

/// What the checker refuses is told, and nothing is written.
#[test]
fn what_cannot_be_said_here_is_refused() {
    let wait =
        |index: usize| json!({"Wait": {"WaitTime": {"WaitFor": "PT1H"}, "NextActivity": format!("a{}", index + 1)}});
    let activities: Map<String, Value> = (0..60).map(|index| (format!("a{index}"), wait(index))).collect();
    let definition = json!({"Name": "long", "StartActivity": "a0", "Activities": activities}).to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let output = sojourn(directory.path(), &["import", "pinpoint", "-"], Some(&definition));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout.contains("error[too_many_nodes]") && stdout.contains("nothing is written"), "{stdout}");
    assert!(!directory.path().join("imported").exists());
}

/// An answer comes out: files without errors, or findings that refuse them, or an error. What comes out is the same when
/// it is read again.
fn answers(format: Format, text: &str) {
    let source = SourceFile { name: "f.json".to_owned(), text: text.to_owned() };
    if let Ok(imported) = import(format, &[source]) {
        assert!(!imported.journeys.is_empty());
        assert!(!imported.items.is_empty(), "a report says something");
        for item in imported.items.iter().filter(|item| item.outcome == Outcome::NotMapped) {
            assert!(item.help.is_some(), "{item}");
        }
    }
}

/// What may be said there and not here, so that the checker refuses it.
const REFUSALS: [&str; 3] = ["too_many_nodes", "too_many_branches", "too_many_exits"];

fn comes_out(format: Format, definition: &Value) -> Result<(), TestCaseError> {
    let source = SourceFile { name: "f.json".to_owned(), text: definition.to_string() };
    if let Ok(imported) = import(format, &[source]) {
        let errors = imported.findings.iter().filter(|finding| finding.severity == Severity::Error);
        let strange: Vec<String> = errors.filter(|f| !REFUSALS.contains(&f.code)).map(ToString::to_string).collect();
        let texts: Vec<&str> = imported.files.iter().map(|file| file.text.as_str()).collect();
        prop_assert!(strange.is_empty(), "{}\n{:#}\n{}", strange.join("\n"), definition, texts.join("\n"));
    }
    answers(format, &definition.to_string());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_journey_of_pinpoint_comes_out(bytes in proptest::collection::vec(any::<u8>(), 0..250)) {
        comes_out(Format::Pinpoint, &drawn::pinpoint(&mut Dice::of_bytes(&bytes)))?;
    }

    #[test]
    fn any_journey_of_dittofeed_comes_out(bytes in proptest::collection::vec(any::<u8>(), 0..350)) {
        comes_out(Format::Dittofeed, &drawn::dittofeed(&mut Dice::of_bytes(&bytes)))?;
    }

    #[test]
    fn any_journey_of_parcelvoy_comes_out(bytes in proptest::collection::vec(any::<u8>(), 0..250)) {
        comes_out(Format::Parcelvoy, &drawn::parcelvoy(&mut Dice::of_bytes(&bytes)))?;
    }
}

/// Delay, gate, action and back to the delay: here as there, for a wait lies in the circle and the gate leads out of it.
#[test]
fn a_circle_with_a_wait_of_parcelvoy_stays() {
    let rule = json!({"uuid": "r1", "type": "wrapper", "group": "user", "path": "$", "operator": "and", "children": [
        {"uuid": "r2", "root_uuid": "r1", "parent_uuid": "r1", "type": "number", "group": "user", "path": "$.points",
         "operator": "<", "value": "3"}]});
    let steps = json!({
        "e": {"type": "entrance", "data": {"trigger": "event", "event_name": "joined"}, "children": [{"external_id": "d"}]},
        "d": {"type": "delay", "name": "a day", "data": {"format": "duration", "days": 1}, "children": [{"external_id": "g"}]},
        "g": {"type": "gate", "name": "enough", "data": {"rule": rule}, "children": [{"external_id": "a", "path": "yes"}]},
        "a": {"type": "action", "name": "remind", "data": {"campaign_id": 5}, "children": [{"external_id": "d"}]},
    });
    let source = SourceFile { name: "steps.json".to_owned(), text: steps.to_string() };
    let imported = import(Format::Parcelvoy, &[source]).expect("an import");
    let errors: Vec<String> =
        imported.findings.iter().filter(|f| f.severity == Severity::Error).map(ToString::to_string).collect();
    assert_eq!(errors, [""; 0]);
    let told = report(&imported);
    assert!(told.contains("goes back to node `a_day`: a profile comes to a node 1,000 times at most"), "{told}");
    assert!(!told.contains("ends the journey instead"), "{told}");
    let journey = imported.files.iter().find(|file| file.name.starts_with("journeys/")).expect("a journey");
    let remind = journey.text.split("remind:").nth(1).expect("the node");
    assert!(remind.lines().take(4).any(|line| line.contains("then: a_day")), "{}", journey.text);
}

/// Each kind of template has a command of its own that gives it.
#[test]
fn missing_templates_of_pinpoint_name_their_command() {
    let commands = [("EMAIL", "get-email-template"), ("SMS", "get-sms-template"), ("PUSH", "get-push-template")];
    for (activity, command) in commands {
        let sends = format!("\"{activity}\":{{\"TemplateName\":\"hi\"}}");
        let definition = WHOLE.replace("\"Wait\":{\"WaitTime\":{\"WaitFor\":\"PT1H\"}}", &sends);
        let source = SourceFile { name: "f.json".to_owned(), text: definition };
        let told = report(&import(Format::Pinpoint, &[source]).expect("an import"));
        assert!(told.contains(&format!("`aws pinpoint {command}`")), "{activity}: {told}");
    }
}
