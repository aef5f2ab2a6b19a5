//! Definitions of other engines: the examples come out as they lie beside them, are checked and walk; no field is lost
//! silently; whatever is given, an answer comes out.
//!
//! `SOJOURN_WRITE_REFERENCE=1 cargo test --test import` writes what comes out anew.

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

/// Choices from bytes; zeros at their end, so that fewer bytes are a smaller definition.
struct Dice<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Dice<'_> {
    fn roll(&mut self) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        usize::from(byte)
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.roll() % choices.len()].clone()
    }

    /// A node's id, sometimes of one that is not there.
    fn id(&mut self) -> String {
        format!("n{}", self.roll() % 8)
    }

    fn text(&mut self) -> String {
        let words = [
            "plan",
            "pro",
            "first name",
            "a.b",
            "ü\u{1}",
            "",
            "true",
            "{{User.UserId}}",
            "{% if x %}",
            "'\\",
            "2026-05-01T00:00:00Z",
        ];
        self.of(&words).to_owned()
    }

    fn number(&mut self) -> f64 {
        self.of(&[0.0, 1.0, 33.3, 50.0, 100.0, -5.0, 1e300, 259_200.0])
    }

    fn span(&mut self) -> &'static str {
        self.of(&["PT1H", "P2D", "P400D", "PT0S", "P1M", "soon", ""])
    }

    fn many(&mut self, mut one: impl FnMut(&mut Self) -> Value) -> Value {
        (0..self.roll() % 4).map(|_| one(self)).collect()
    }

    fn map(&mut self, mut one: impl FnMut(&mut Self) -> Value) -> Value {
        let entries: Map<String, Value> = (0..self.roll() % 3).map(|_| (self.text(), one(self))).collect();
        Value::Object(entries)
    }
}

/// Texts that templates may hold.
fn template(dice: &mut Dice<'_>) -> String {
    let parts = [
        "<p>",
        "{{user.a}}",
        "{{ user.a.b }}",
        "{{journey.in.event.y}}",
        "{{event.z}}",
        "{{User.UserAttributes.Plan}}",
        "{{Attributes.Plan}}",
        "{{#if user.vip}}",
        "{{else}}",
        "{{/if}}",
        "{% if user.vip == 'x' %}",
        "{% else %}",
        "{% endif %}",
        "{#",
        "{% raw %}",
        "{{{user.h}}}",
        "{{ user.n | default: 'x' }}",
        "{{#each user.l}}",
        "{{/each}}",
        "{{",
        "%}",
        "{{User.UserId}}",
        "\r\n",
        "{{ user.id | size }}",
    ];
    (0..dice.roll() % 6).map(|_| dice.of(&parts)).collect()
}

fn pinpoint_dimension(dice: &mut Dice<'_>) -> Value {
    let kind = dice.of(&["INCLUSIVE", "EXCLUSIVE", "CONTAINS", "BEFORE", "AFTER", "ON", "BETWEEN", "LIKE"]);
    json!({"AttributeType": kind, "Values": dice.many(|dice| json!(dice.text()))})
}

fn pinpoint_events(dice: &mut Dice<'_>) -> Value {
    let metric = |dice: &mut Dice<'_>| json!({"ComparisonOperator": dice.of(&["EQUAL", "LESS_THAN", "?"]), "Value": dice.number()});
    let event = |dice: &mut Dice<'_>| {
        json!(dice.of(&["_email.open", "_SMS.SUCCESS", "_session.start", "bought", "sojourn.x", ""]))
    };
    json!({
        "EventType": {"DimensionType": dice.of(&["INCLUSIVE", "EXCLUSIVE"]), "Values": dice.many(event)},
        "Attributes": dice.map(pinpoint_dimension),
        "Metrics": dice.map(metric),
    })
}

fn pinpoint_condition(dice: &mut Dice<'_>) -> Value {
    match dice.roll() % 4 {
        0 => json!({"SegmentCondition": {"SegmentId": dice.text()}}),
        1 => json!({"EventCondition": {"Dimensions": pinpoint_events(dice), "MessageActivity": dice.id()}}),
        2 => {
            json!({"SegmentDimensions": {"UserAttributes": dice.map(pinpoint_dimension), "Attributes": dice.map(pinpoint_dimension)}})
        }
        _ => json!({"EventCondition": {"Dimensions": pinpoint_events(dice)}}),
    }
}

fn pinpoint(dice: &mut Dice<'_>) -> Value {
    let mut activities = Map::new();
    for index in 0..dice.roll() % 8 {
        let wait = json!({"WaitFor": dice.span(), "WaitUntil": dice.of(&["", "", "2026-12-01T08:00:00Z", "never"])});
        let send = json!({"TemplateName": dice.text(), "NextActivity": dice.id()});
        let activity = match dice.roll() % 12 {
            0 => json!({"EMAIL": send}),
            1 => json!({"SMS": send}),
            2 => json!({"PUSH": send}),
            3 => {
                json!({"CUSTOM": {"DeliveryUri": dice.of(&["https://a.example/x", "arn:aws:x", "http://{{"]), "MessageConfig": {"Data": dice.text()}, "NextActivity": dice.id()}})
            }
            4 => json!({"Wait": {"WaitTime": wait, "NextActivity": dice.id()}}),
            5 | 6 => json!({"ConditionalSplit": {
                "Condition": {"Conditions": dice.many(pinpoint_condition), "Operator": dice.of(&["ALL", "ANY", "XOR"])},
                "EvaluationWaitTime": wait, "TrueActivity": dice.id(), "FalseActivity": dice.id(),
            }}),
            7 => json!({"MultiCondition": {
                "Branches": dice.many(|dice| json!({"Condition": pinpoint_condition(dice), "NextActivity": dice.id()})),
                "EvaluationWaitTime": wait, "DefaultActivity": dice.id(),
            }}),
            8 => {
                json!({"RandomSplit": {"Branches": dice.many(|dice| json!({"Percentage": dice.number(), "NextActivity": dice.id()}))}})
            }
            9 => json!({"Holdout": {"Percentage": dice.number(), "NextActivity": dice.id()}}),
            10 => json!({"ContactCenter": {"NextActivity": dice.id()}, "Description": dice.text()}),
            _ => {
                json!({"Unheard": {"NextActivity": dice.id()}, "EMAIL": dice.of(&[json!(null), json!(7), json!({"Odd": 1})])})
            }
        };
        activities.insert(format!("n{index}"), activity);
    }
    let start = match dice.roll() % 3 {
        0 => json!({"SegmentStartCondition": {"SegmentId": dice.text()}}),
        1 => {
            json!({"EventStartCondition": {"EventFilter": {"Dimensions": pinpoint_events(dice), "FilterType": "ENDPOINT"}, "SegmentId": dice.text()}})
        }
        _ => json!({}),
    };
    let journey = json!({
        "Name": dice.text(), "StartActivity": dice.id(), "StartCondition": start, "Activities": activities,
        "Limits": {"EndpointReentryCap": dice.roll() % 3, "EndpointReentryInterval": dice.span()},
        "Schedule": {"StartTime": dice.of(&["2026-01-01T00:00:00Z", "x", "0001-01-01T00:00:00Z"]), "EndTime": dice.of(&["2027-01-01T00:00:00+02:00", "2025-01-01T00:00:00Z"])},
    });
    let mail = |dice: &mut Dice<'_>, name: &str| json!({"TemplateName": name, "TemplateType": "EMAIL", "Subject": template(dice), "HtmlPart": template(dice), "DefaultSubstitutions": dice.of(&["{\"User.UserAttributes.Plan\":\"it's\"}", "{", ""])});
    json!([journey, mail(dice, "plan"), mail(dice, "a.b"), {"TemplateName": "plan", "TemplateType": "SMS", "Body": template(dice)}])
}

fn dittofeed_operator(dice: &mut Dice<'_>) -> Value {
    let kinds = [
        "Equals",
        "NotEquals",
        "Exists",
        "NotExists",
        "Within",
        "HasBeen",
        "AbsoluteTimestamp",
        "LessThan",
        "GreaterThanOrEqual",
    ];
    let value = dice.of(&[json!("pro"), json!(3), json!(true), json!(null)]);
    json!({"type": dice.of(&kinds), "value": value, "windowSeconds": dice.number(), "absoluteTimestamp": dice.text(), "direction": "before"})
}

fn dittofeed_segment_node(dice: &mut Dice<'_>, id: &str) -> Value {
    let kinds = [
        "Trait",
        "And",
        "Or",
        "Performed",
        "KeyedPerformed",
        "Everyone",
        "Includes",
        "Manual",
        "Email",
        "RandomBucket",
    ];
    let property = |dice: &mut Dice<'_>| json!({"path": dice.text(), "operator": dittofeed_operator(dice)});
    json!({
        "id": id, "type": dice.of(&kinds), "path": dice.text(), "operator": dittofeed_operator(dice), "item": dice.text(),
        "children": dice.many(|dice| json!(dice.id())), "event": dice.text(), "key": dice.text(), "properties": dice.many(property),
        "times": dice.of(&[json!(null), json!(1), json!(2)]),
    })
}

fn dittofeed(dice: &mut Dice<'_>) -> Value {
    let mut nodes = Vec::new();
    for index in 0..dice.roll() % 8 {
        let segment = dice.of(&["s0", "s1", "s2"]);
        let variant = match dice.roll() % 5 {
            0 => json!({"type": "Second", "seconds": dice.number()}),
            1 => {
                json!({"type": "LocalTime", "hour": dice.roll() % 26, "minute": 30, "allowedDaysOfWeek": dice.many(|dice| json!(dice.roll() % 9)), "defaultTimezone": dice.of(&["Europe/Berlin", "Mars/Base"])})
            }
            2 => {
                json!({"type": "UserProperty", "userProperty": dice.text(), "offsetSeconds": dice.number(), "offsetDirection": "before"})
            }
            3 => json!({"type": "Boolean", "segment": segment, "trueChild": dice.id(), "falseChild": "ExitNode"}),
            _ => json!({"type": dice.of(&["Email", "Sms", "Webhook", "MobilePush"]), "templateId": dice.text()}),
        };
        let kind = dice.of(&[
            "DelayNode",
            "MessageNode",
            "SegmentSplitNode",
            "RandomCohortNode",
            "WaitForNode",
            "RateLimitNode",
            "ExitNode",
            "OtherNode",
        ]);
        nodes.push(json!({
            "id": format!("n{index}"), "type": kind, "variant": variant, "child": dice.id(), "timeoutSeconds": dice.number(), "timeoutChild": dice.id(),
            "children": dice.many(|dice| json!({"id": dice.id(), "percent": dice.number(), "name": dice.text()})),
            "segmentChildren": dice.many(|dice| json!({"id": dice.id(), "segmentId": dice.of(&["s0", "s1", "s2"])})),
        }));
    }
    let entry = match dice.roll() % 3 {
        0 => json!({"type": "EntryNode", "segment": dice.of(&["s0", "s1", "s2"]), "child": dice.id(), "reEnter": true}),
        1 => json!({"type": "EventEntryNode", "event": dice.text(), "key": dice.text(), "child": dice.id()}),
        _ => json!({"type": "EventEntryNode", "event": "go", "child": dice.id()}),
    };
    let segment = |dice: &mut Dice<'_>, id: &str| {
        let nodes: Vec<Value> = (0..3).map(|index| dittofeed_segment_node(dice, &format!("n{index}"))).collect();
        json!({"id": id, "name": dice.text(), "definition": {"entryNode": dittofeed_segment_node(dice, "top"), "nodes": nodes}})
    };
    let segments = [segment(dice, "s0"), segment(dice, "s1")];
    json!({
        "journeys": [{"id": "j", "name": dice.text(), "status": "Running", "canRunMultiple": dice.of(&[true, false]),
            "definition": {"entryNode": entry, "exitNode": {"type": "ExitNode"}, "nodes": nodes}}],
        "segments": segments,
        "templates": [
            {"id": "plan", "name": dice.text(), "definition": {"type": "Email", "from": dice.text(), "subject": template(dice), "body": template(dice)}},
            {"id": "pro", "name": dice.text(), "definition": {"type": "Webhook", "body": json!({"config": {"url": "https://a.example", "data": template(dice)}}).to_string()}},
            {"id": "", "draft": {"type": "Sms", "body": template(dice)}},
        ],
    })
}

fn parcelvoy_rule(dice: &mut Dice<'_>, depth: usize) -> Value {
    let kind = if depth == 0 { dice.of(&["string", "number", "boolean", "date", "array"]) } else { "wrapper" };
    let operators =
        ["=", "!=", "<", "is set", "is not set", "and", "or", "xor", "none", "empty", "contains", "starts with", "any"];
    let children = if depth == 0 { json!([]) } else { dice.many(|dice| parcelvoy_rule(dice, depth - 1)) };
    json!({
        "type": kind, "group": dice.of(&["user", "event"]), "path": dice.of(&["$.name", "$.plan", "$.a.b", "$.c[0]", "id"]),
        "operator": dice.of(&operators), "value": dice.of(&[json!("bought"), json!(3), json!(null), json!("2026-01-01"), json!("{{x}}")]),
        "children": children,
    })
}

fn parcelvoy(dice: &mut Dice<'_>) -> Value {
    let mut steps = Map::new();
    let first = json!({"type": "entrance", "id": 1, "data_key": "in", "children": [{"external_id": dice.id()}], "data": {
        "trigger": dice.of(&["none", "event", "schedule"]), "event_name": dice.text(), "multiple": dice.of(&[true, false]), "concurrent": dice.of(&[true, false]), "rule": parcelvoy_rule(dice, 2)}});
    steps.insert("in".to_owned(), first);
    for index in 0..dice.roll() % 8 {
        let kinds = [
            "delay",
            "action",
            "gate",
            "experiment",
            "link",
            "update",
            "balancer",
            "exit",
            "event",
            "entrance",
            "sticky",
        ];
        let templates = [
            "{\"a\": 1, \"b\": \"{{user.c}}\", \"d\": [1], \"e.f\": true}",
            "{\"x\": \"{{journey.in.event.y}}\"}",
            "{{",
            "",
        ];
        let child = |dice: &mut Dice<'_>| json!({"external_id": dice.id(), "path": dice.of(&["yes", "no", "maybe"]), "data": {"ratio": dice.number()}});
        steps.insert(format!("n{index}"), json!({
            "type": dice.of(&kinds), "id": index + 2, "name": dice.text(), "children": dice.many(child),
            "data": {
                "format": dice.of(&["duration", "time", "date"]), "days": dice.number(), "time": dice.of(&["08:15", "25:00", ""]),
                "date": dice.of(&["2026-05-01", "{{user.when}}", "{{x y}}", "soon"]), "campaign_id": dice.roll() % 3, "rule": parcelvoy_rule(dice, 2),
                "target_id": dice.roll() % 9, "delay": "1 hour", "template": dice.of(&templates), "event_name": dice.text(), "entrance_uuid": "in",
            },
        }));
    }
    let mail = |dice: &mut Dice<'_>, id: usize| {
        json!({"id": id, "name": dice.text(), "channel": dice.of(&["email", "text", "webhook"]), "templates": [
        {"locale": "en", "data": {"from": {"name": dice.text(), "address": "a@b.example"}, "subject": template(dice), "html": template(dice), "endpoint": "https://a.example", "body": {"k": template(dice)}}}]})
    };
    json!([steps, mail(dice, 0), mail(dice, 1)])
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
        comes_out(Format::Pinpoint, &pinpoint(&mut Dice { bytes: &bytes, at: 0 }))?;
    }

    #[test]
    fn any_journey_of_dittofeed_comes_out(bytes in proptest::collection::vec(any::<u8>(), 0..350)) {
        comes_out(Format::Dittofeed, &dittofeed(&mut Dice { bytes: &bytes, at: 0 }))?;
    }

    #[test]
    fn any_journey_of_parcelvoy_comes_out(bytes in proptest::collection::vec(any::<u8>(), 0..250)) {
        comes_out(Format::Parcelvoy, &parcelvoy(&mut Dice { bytes: &bytes, at: 0 }))?;
    }
}
