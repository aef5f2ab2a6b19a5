//! `sojourn test` from outside: the examples' tests pass, failures have places and exit codes, JUnit is as CI reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use smol_str::SmolStr;
use sojourn::domain::catalog::{Rehearsal, SourceFile};
use sojourn::trial::run::run;

fn sojourn(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sojourn"));
    command.args(arguments).current_dir(directory).stdin(std::process::Stdio::null()).output().expect("it starts")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The exit code, and the one object of `--json`.
fn json(directory: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = sojourn(directory, &[&["test", "--json"], arguments].concat());
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    (output.status.code(), serde_json::from_str(&stdout).expect("JSON"))
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, text).expect("written");
}

#[test]
fn the_examples_pass() {
    let sets: [(&[&str], i32); 3] =
        [(&["examples/first"], 5), (&["examples/demo"], 9), (&["examples/journeys", "examples/tests"], 83)];
    for (directories, tests) in sets {
        let (code, body) = json(root(), directories);
        assert_eq!((code, &body["failed"], &body["errors"]), (Some(0), &0.into(), &0.into()), "{body:#}");
        assert_eq!((&body["tests"], &body["passed"]), (&tests.into(), &tests.into()));
        assert!(body["results"].as_array().expect("results").iter().all(|result| result["status"] == "passed"));
    }
}

/// Twelve journeys beside one another, each with at least five tests of its own.
#[test]
fn each_of_the_twelve_journeys_is_tested() {
    let (_, body) = json(root(), &["examples/journeys", "examples/tests"]);
    // Mails about orders and memberships, which are no advertising, ask for no consent: a hint.
    let mut warnings = body["warnings"].as_array().expect("a list").iter();
    assert!(warnings.all(|warning| warning["code"] == "unasked_consent"), "{:#}", body["warnings"]);
    let mut counts = BTreeMap::new();
    for result in body["results"].as_array().expect("results") {
        *counts.entry(result["journey"].as_str().expect("each is about one").to_owned()).or_insert(0) += 1;
    }
    let declared: Vec<String> =
        yaml_files("examples/journeys").iter().flat_map(|file| journeys_in(&file.text)).collect();
    assert_eq!(declared.len(), 12, "{declared:?}");
    assert_eq!(counts.keys().cloned().collect::<BTreeSet<_>>(), declared.into_iter().collect());
    assert!(counts.values().all(|tests| *tests >= 5), "{counts:?}");
}

/// The YAML files of a directory.
fn yaml_files(directory: &str) -> Vec<SourceFile> {
    let entries = std::fs::read_dir(root().join(directory)).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let paths = paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    paths.map(|path| SourceFile { name: path.display().to_string(), text: read(&path) }).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the journeys that a file declares.
fn journeys_in(text: &str) -> Vec<String> {
    text.split("kind: journey\nname: ").skip(1).filter_map(|rest| Some(rest.lines().next()?.to_owned())).collect()
}

/// What the page shows as a test is one, and passes; so do those of its file of tests. Together they leave out no journey
/// of the page, and no node of one.
#[test]
fn the_tests_of_the_language_page_pass() {
    let page = read(&root().join("docs/journeys.md"));
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap_or_default());
    let file = |text: &str| SourceFile { name: "docs/journeys.md".to_owned(), text: text.to_owned() };
    let mut files: Vec<SourceFile> = blocks.map(file).collect();
    let tests = "docs/journeys.tests.yaml";
    assert!(page.contains("](journeys.tests.yaml)"), "the page leads to its tests");
    files.push(SourceFile { name: tests.to_owned(), text: read(&root().join(tests)) });
    let Rehearsal { catalog, trials, warnings } = Rehearsal::of(&files).expect("no findings");
    assert!(warnings.iter().all(|warning| warning.code == "unasked_consent"), "{warnings:#?}");
    let catalog = Arc::new(catalog);
    let mut walked: BTreeMap<SmolStr, BTreeSet<SmolStr>> = BTreeMap::new();
    for trial in &trials {
        let outcome = run(trial, &catalog).expect("it runs");
        assert!(outcome.mismatches.is_empty(), "{}: {:#?}", trial.name.value, outcome.mismatches);
        walked.entry(trial.journey.clone().expect("each is about one")).or_default();
        for expectation in &trial.expectations {
            let (Some(journey), Some(path)) = (&expectation.journey, &expectation.path) else { continue };
            let nodes = path.value.iter().map(|node| node.value.clone());
            walked.entry(journey.value.clone()).or_default().extend(nodes);
        }
    }
    let declared: BTreeSet<SmolStr> = catalog.journeys.iter().cloned().collect();
    assert_eq!(declared.len(), page.matches("\nkind: journey\n").count(), "{declared:?}");
    let tested: BTreeSet<SmolStr> = trials.iter().filter_map(|trial| trial.journey.clone()).collect();
    assert_eq!(tested, declared, "journeys with a test, and journeys of the page");
    for version in &catalog.versions {
        let nodes = version.program.nodes.iter().map(|node| node.name.clone());
        let journey = &version.program.name;
        assert_eq!(walked[journey], nodes.collect(), "nodes of {journey} that tests lead to, and those it has");
    }
}

const JOURNEY: &str = "
kind: event
name: cart_add
schema: { total: number }
---
kind: message
name: reminder
channel: log
body: 'Your cart holds {{ event.total }} EUR.'
---
kind: journey
name: cart
entry: { event: cart_add }
start: give_time
nodes:
  give_time: { wait: 1h, then: remind }
  remind: { message: reminder, then: done }
  done: { end: true }
";
const TESTS: &str = "kind: test
name: passes
journey: cart
events: [ { type: cart_add, properties: { total: 5 } } ]
expect: { messages: [ { message: reminder, at: 1h } ] }
---
kind: test
name: fails <twice> & \"loudly\"
journey: cart
events: [ { type: cart_add, properties: { total: 5 } } ]
expect:
  messages: [ { message: reminder, at: 2h } ]
  path: [give_time, done]
---
kind: test
name: belongs to nobody
events: [ { type: cart_add, properties: { total: 5 } } ]
expect: { end: completed }
";

fn shop() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "journeys/cart.yaml", JOURNEY);
    write(directory.path(), "tests/cart.yaml", TESTS);
    directory
}

#[test]
fn failures_have_places_for_people_machines_and_ci() {
    let shop = shop();
    let output = sojourn(shop.path(), &["test", "journeys", "tests", "--junit", "out.xml"]);
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    for expected in [
        "ok     cart: passes",
        "FAILED cart: fails <twice> & \"loudly\"",
        "tests/cart.yaml:12:40: message `reminder` was sent at 1h, not at 2h",
        "tests/cart.yaml:13:9: test:1 took another path",
        "≠ -           remind",
        "1h  arrived cart/remind",
        "3 tests: 2 passed, 1 failed",
    ] {
        assert!(stdout.contains(expected), "{expected:?} is not in\n{stdout}");
    }
    let text = std::fs::read_to_string(shop.path().join("out.xml")).expect("it was written");
    let document = roxmltree::Document::parse(&text).expect("well-formed");
    let suites: Vec<_> = document.descendants().filter(|node| node.has_tag_name("testsuite")).collect();
    let [suite] = suites.as_slice() else { panic!("{text}") };
    assert_eq!((suite.attribute("name"), suite.attribute("tests")), (Some("tests/cart.yaml"), Some("3")));
    assert_eq!((suite.attribute("failures"), suite.attribute("errors")), (Some("1"), Some("0")));
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    let of = |name: &str| cases.iter().map(|case| case.attribute(name).expect("it is there")).collect::<Vec<_>>();
    assert_eq!(of("name"), ["passes", "fails <twice> & \"loudly\"", "belongs to nobody"]);
    assert_eq!((of("classname"), of("line")), (vec!["cart", "cart", "journeys"], vec!["2", "8", "16"]));
    let failures: Vec<_> = document.descendants().filter(|node| node.has_tag_name("failure")).collect();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].text().expect("it says what").contains("tests/cart.yaml:13:9: test:1 took another path"));

    let (code, body) = json(shop.path(), &["journeys", "tests"]);
    assert_eq!(code, Some(1));
    assert_eq!((&body["tests"], &body["passed"], &body["failed"]), (&3.into(), &2.into(), &1.into()));
    let failed = &body["results"][1];
    assert_eq!((&failed["status"], &failed["line"], &failed["journey"]), (&"failed".into(), &8.into(), &"cart".into()));
    let mismatch = &failed["mismatches"][0];
    assert_eq!((&mismatch["file"], &mismatch["line"]), (&"tests/cart.yaml".into(), &12.into()));
    assert_eq!(mismatch["message"], "message `reminder` was sent at 1h, not at 2h");
}

#[test]
fn a_filter_chooses_by_name_or_journey() {
    let shop = shop();
    let tests = |filter: &str| json(shop.path(), &["journeys", "tests", "--filter", filter]).1["tests"].clone();
    assert_eq!((tests("pass"), tests("cart")), (1.into(), 2.into()));
    let output = sojourn(shop.path(), &["test", "journeys", "tests", "--filter", "zzz"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no test has \"zzz\" in its name"));
    let output = sojourn(shop.path(), &["test", "journeys"]);
    assert_eq!(output.status.code(), Some(2), "no tests at all");
}

#[test]
fn findings_come_before_tests() {
    let shop = shop();
    write(shop.path(), "tests/more.yaml", "kind: test\nname: typo\nevents: []\nexpect: { path: [remnd] }\n");
    let (code, body) = json(shop.path(), &["journeys", "tests", "--junit", "out.xml"]);
    assert_eq!((code, &body["errors"]), (Some(1), &1.into()));
    let finding = &body["findings"][0];
    assert_eq!((&finding["file"], &finding["line"]), (&"tests/more.yaml".into(), &4.into()));
    assert_eq!((&finding["code"], &finding["suggestion"]), (&"unknown_node".into(), &"did you mean `remind`?".into()));
    let text = std::fs::read_to_string(shop.path().join("out.xml")).expect("it was written");
    let document = roxmltree::Document::parse(&text).expect("well-formed");
    assert_eq!(document.root_element().attribute("errors"), Some("1"));
    let checked = sojourn(shop.path(), &["check", "journeys", "tests"]);
    assert_eq!(checked.status.code(), Some(1), "`check` finds it too");
}

/// The commands of the workflow that people copy, in a repository laid out as it says.
#[test]
fn the_workflow_example_runs() {
    let workflow = std::fs::read_to_string(root().join("examples/github-actions/journeys.yml")).expect("the example");
    let shop = shop();
    write(shop.path(), "tests/cart.yaml", TESTS.split("---").next().unwrap_or_default());
    let commands: Vec<&str> = workflow.lines().filter_map(|line| line.trim().strip_prefix("run: sojourn ")).collect();
    assert_eq!(commands.len(), 2, "check and test");
    for command in commands {
        let arguments: Vec<&str> = command.split(" | ").next().unwrap_or_default().split_whitespace().collect();
        let output = sojourn(shop.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&output.stdout));
        std::fs::write(shop.path().join("journeys.txt"), output.stdout).expect("written");
    }
    assert!(workflow.contains("path: journeys.xml") && shop.path().join("journeys.xml").exists());
    // What the run's page shows.
    let script =
        workflow.split("        run: |\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a script");
    let summary = shop.path().join("summary.md");
    let mut shell = Command::new("bash");
    shell.args(["-e", "-c", script]).current_dir(shop.path()).env("GITHUB_STEP_SUMMARY", &summary);
    assert!(shell.status().expect("bash").success(), "{script}");
    let shown = std::fs::read_to_string(summary).expect("a summary");
    assert!(shown.starts_with("| result | test |\n|---|---|\n| ok | cart: "), "{shown}");
    assert!(shown.contains("1 tests: 1 passed, 0 failed"), "{shown}");
}
