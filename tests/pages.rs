//! Pages that say what the code does, held against it: the table of findings, the page of guardrails and that of step
//! events.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sojourn::config;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).expect("a page")
}

/// All Rust files below `directory`.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let mut open = vec![root().join(directory)];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            found.push((path, text));
        }
    }
    found.sort();
    found
}

/// Rows of the tables of a page whose first cell is such as `is_first` says, by cells.
fn rows(page: &str, is_first: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = lines.map(|line| line.replace("\\|", "\u{1}").split(" | ").map(str::to_owned).collect::<Vec<_>>());
    cells.filter(|cells| is_first(&cells[0])).collect()
}

/// Texts in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The arguments of the call whose bracket opened right before `text`, as far as they are needed.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0_i32, 0, Vec::new());
    let mut within_text = false;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '"' if previous != '\\' => within_text = !within_text,
            _ if within_text => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => {
                found.push(text[from..at].trim());
                return found;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
        previous = c;
    }
    found
}

/// Codes that the sources note, each with the letters of the severities it is noted with.
fn noted() -> BTreeMap<String, BTreeSet<char>> {
    const CALLS: [(&str, usize, char); 6] = [
        ("findings.error(", 1, 'E'),
        ("findings.error_with(", 1, 'E'),
        ("findings.error_within(", 2, 'E'),
        ("findings.warning(", 1, 'W'),
        ("findings.warning_within(", 2, 'W'),
        ("findings.hint(", 1, 'H'),
    ];
    let mut noted: BTreeMap<String, BTreeSet<char>> = BTreeMap::new();
    let mut note = |argument: &str, letter: char| {
        if let Some(code) = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            noted.entry(code.to_owned()).or_default().insert(letter);
        }
    };
    let is_test = |path: &Path| path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
    for directory in ["src/domain/journey", "src/domain/catalog", "src/domain/expression", "src/domain/content"] {
        for (path, text) in sources(directory).into_iter().filter(|(path, _)| !is_test(path)) {
            for (call, index, letter) in CALLS {
                for (at, _) in text.match_indices(call) {
                    let found = arguments(&text[at + call.len()..]);
                    note(found.get(index).unwrap_or_else(|| panic!("{} in {}", call, path.display())), letter);
                }
            }
            for (at, _) in text.match_indices("code: \"") {
                let code = text[at + "code: ".len()..].split(',').next().unwrap_or_default();
                note(code.trim(), 'E');
            }
        }
    }
    noted
}

#[test]
fn the_table_of_findings_is_that_of_the_code() {
    let page = page("journeys.md");
    let table = page.split("## Findings").nth(1).expect("a chapter of findings");
    let rows = rows(table, |cell| cell.starts_with('`'));
    let documented: BTreeMap<&str, &str> = rows.iter().map(|cells| (quoted(&cells[0])[0], cells[0].as_str())).collect();
    assert_eq!(documented.len(), rows.len(), "each code stands there once");
    let noted = noted();
    assert!(noted.len() >= 90, "{} codes", noted.len());
    for (code, letters) in &noted {
        let first = documented.get(code.as_str()).unwrap_or_else(|| panic!("`{code}` stands in no row"));
        for letter in letters.iter().filter(|letter| **letter != 'E') {
            assert!(first.contains(&format!("({letter}")), "`{code}` is marked ({letter})");
        }
        assert!(letters.contains(&'E') || !first.ends_with('`'), "`{code}` is no error");
    }
    let all: String = sources("src/domain").into_iter().map(|(_, text)| text).collect();
    for (code, _) in documented {
        assert!(all.contains(&format!("\"{code}\"")), "`{code}` is noted by nothing");
    }
    for cells in &rows {
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{cells:?}");
    }
}

/// The function called `name` in `text`: from its name to the bracket that stands where its line begins.
fn function<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let from = text.find(&format!("fn {name}("))?;
    let line = &text[text[..from].rfind('\n').map_or(0, |at| at + 1)..];
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    let length = text[from..].find(&format!("\n{indent}}}"))?;
    Some(&text[from..from + length])
}

/// What the test `name` says, and the functions of its file that it calls. Flags are written as settings are.
fn asserted(files: &[(PathBuf, String)], name: &str) -> String {
    let is_there = |(_, text): &&(PathBuf, String)| text.contains(&format!("fn {name}()"));
    let (_, file) = files.iter().find(is_there).unwrap_or_else(|| panic!("there is no test `{name}`"));
    let body = function(file, name).unwrap_or_else(|| panic!("`{name}` has an end"));
    let words = body.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '(');
    let called: BTreeSet<&str> = words.filter_map(|word| word.split('(').next()).filter(|word| *word != name).collect();
    let helpers = called.into_iter().filter(|word| !word.is_empty()).filter_map(|word| function(file, word));
    [body].into_iter().chain(helpers).collect::<String>().replace('-', "_")
}

#[test]
fn every_guardrail_has_its_setting_and_its_test_or_a_reason() {
    let page = page("guardrails.md");
    let rows = rows(&page, |cell| !cell.starts_with("area") && !cell.starts_with('-'));
    assert_eq!(rows.len(), 69, "as many as in Adobe's table, some of them in several parts");
    let limits = fs::read_to_string(root().join("src/domain/limits.rs")).expect("limits");
    let files: Vec<(PathBuf, String)> = ["src", "tests"].into_iter().flat_map(sources).collect();
    let settings: BTreeSet<&str> = config::descriptions().map(|setting| setting.key).collect();
    let mut guardrails: BTreeSet<&str> =
        settings.iter().copied().filter(|key| key.starts_with("guardrails.")).collect();
    for cells in &rows {
        let [_, _, _, here, kept_by, test] = cells.as_slice() else { panic!("six cells: {cells:?}") };
        if kept_by == "—" {
            assert!(here.starts_with("not applicable: ") || here.starts_with("later, with "), "a reason: {cells:?}");
            assert_eq!(test, "—", "{cells:?}");
            continue;
        }
        assert!(!quoted(kept_by).is_empty() && !quoted(test).is_empty(), "{cells:?}");
        for name in quoted(kept_by) {
            let is_constant = limits.contains(&format!("pub const {name}: "));
            assert!(is_constant || settings.contains(name), "`{name}` is no setting and no limit");
            guardrails.remove(name);
        }
        let bodies: String = quoted(test).into_iter().map(|name| asserted(&files, name)).collect();
        for name in quoted(kept_by) {
            let word = name.rsplit('.').next().unwrap_or(name);
            assert!(bodies.contains(word), "`{name}` occurs in none of the tests {test}");
        }
    }
    assert_eq!(guardrails, BTreeSet::new(), "guardrails that stand in no row");
}

/// The body of a function, or of what else `opening` begins.
fn body(file: &str, opening: &str) -> String {
    let text = fs::read_to_string(root().join(file)).expect("UTF-8");
    let line = text.lines().find(|line| line.contains(opening)).unwrap_or_else(|| panic!("{opening} in {file}"));
    let indent = &line[..line.len() - line.trim_start().len()];
    let rest = &text[text.find(line).expect("it is there")..];
    rest[..rest.find(&format!("\n{indent}}}\n")).expect("it ends")].to_owned()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// The words that such a body may give: its literals without those that only begin one.
fn given(file: &str, opening: &str) -> BTreeSet<String> {
    let body = body(file, opening);
    let words: BTreeSet<String> =
        body.split('"').skip(1).step_by(2).filter(|text| is_word(text)).map(str::to_owned).collect();
    assert!(!words.is_empty(), "{opening} in {file}");
    words
}

/// Rows of the table of a page that has this first cell at its head.
fn table(page: &str, head: &str) -> Vec<Vec<String>> {
    let opening = format!("| {head} |");
    let mut heads = page.match_indices("\n|--").filter_map(|(at, _)| page[..at].rfind('\n'));
    let at = heads.find(|at| page[at + 1..].starts_with(&opening)).unwrap_or_else(|| panic!("a table of {head}"));
    let table = page[at + 1..].split("\n\n").next().unwrap_or_default();
    rows(table, |cell| cell != head)
}

/// The words that its first cells name. Those with a number or a space in them stand for many.
fn named(page: &str, head: &str) -> BTreeSet<String> {
    let rows = table(page, head);
    let words: Vec<String> = rows.iter().flat_map(|cells| quoted(&cells[0])).map(str::to_owned).collect();
    let words: Vec<String> = words.into_iter().filter(|word| is_word(word)).collect();
    let named: BTreeSet<String> = words.iter().cloned().collect();
    assert_eq!(named.len(), words.len(), "each stands there once: {words:?}");
    named
}

#[test]
fn the_words_of_step_events_are_those_of_the_code() {
    const EVENT: &str = "src/runtime/past/event.rs";
    const REPORT: &str = "src/runtime/report.rs";
    let page = page("step-events.md");
    let mut paths = given(REPORT, "fn path_words(");
    paths.extend(given(REPORT, "fn way_names("));
    for name in ["HOLDOUT", "FALLBACK"] {
        let text = fs::read_to_string(root().join("src/domain/journey/source/optimize.rs")).expect("UTF-8");
        let rest = text.split(&format!("const {name}: &str = \"")).nth(1).expect("a constant");
        paths.insert(rest.split('"').next().unwrap_or_default().to_owned());
    }
    let mut status = given(EVENT, "fn status_word(");
    status.extend(given(EVENT, "fn call_word("));
    let calls = given("src/domain/effect.rs", "impl fmt::Display for CallStatus");
    let mut failed = given("src/domain/step.rs", "pub const fn word(self)");
    failed.extend(calls.iter().cloned());
    for (head, words) in [
        ("`step`", given(EVENT, "fn step_word(")),
        ("`status`", status),
        ("`node_kind`", given("src/domain/journey/program.rs", "pub const fn word(&self)")),
        ("`reason` of `left`", paths),
        ("`reason` of `discarded`", given(REPORT, "fn discard_word(")),
        ("`reason` of `exited`", given(REPORT, "fn exit_word(")),
        ("`reason` of `failed`", failed),
        ("`reason` of `called`", calls),
        ("`reason` of `message`", given(REPORT, "fn outcome_word(")),
    ] {
        assert_eq!(named(&page, head), words, "{head}: what the page names, and what the code may say");
    }
}

/// What is said of step events in the description of the interface, held against the page and its tables.
#[test]
fn the_fields_of_step_events_are_those_of_the_interface() {
    let page = page("step-events.md");
    let text = fs::read_to_string(root().join("docs/openapi.json")).expect("UTF-8");
    let described: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let schemas = &described["components"]["schemas"];
    let said = |schema: &str, field: &str| -> BTreeSet<String> {
        let text = schemas[schema]["properties"][field]["description"].as_str().expect("a description");
        quoted(text).into_iter().map(str::to_owned).collect()
    };
    let fields = schemas["StepEvent"]["properties"].as_object().expect("fields");
    assert_eq!(named(&page, "ours"), fields.keys().cloned().collect());
    for field in ["step", "status", "node_kind"] {
        assert_eq!(said("StepEvent", field), named(&page, &format!("`{field}`")), "{field}");
    }
    let items = page.split("for each item `what` (").nth(1).and_then(|rest| rest.split(')').next());
    let items: BTreeSet<String> = quoted(items.expect("a list")).into_iter().map(str::to_owned).collect();
    assert_eq!(said("WhyItem", "what"), items);
    let mut told: BTreeSet<String> = BTreeSet::new();
    for (_, text) in sources("src/runtime/past") {
        let words = text.split("what: \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
        told.extend(words);
    }
    assert_eq!(told, items);
    let ignored: BTreeSet<String> = said("WhyItem", "reason").into_iter().filter(|word| word != "ignored").collect();
    assert_eq!(named(&page, "`reason` of `ignored`"), ignored);
}

/// Fields of Adobe's step events, and the codes by which it discards: each has a counterpart on the page, or a reason why
/// it has none.
#[test]
fn every_field_and_code_of_adobe_is_on_the_page_of_step_events() {
    const FIELDS: &str =
        "journeyID journeyVersionID journeyVersionName journeyVersion instanceID instanceType externalKey
        nodeID nodeName nodeType stepID stepName stepType stepStatus eventID parentStepID parentStepName
        parentTransitionID parentTransitionName entrance reentrance instanceEnded journeyNodeProcessed inTest inDryRun
        dryRunID processingTime recurrenceIndex batchInstanceID batchExternalKey profileID profileNamespace
        actionID actionName actionType actionExecutionTime actionExecutionError actionExecutionErrorCode
        actionExecutionOriginError actionExecutionOriginErrorCode actionBusinessType deliveryJobID
        fetchError fetchErrorCode fetchOriginError fetchOriginErrorCode fetchTypeInError fetchCount fetchTotalTime
        fetchPlatformCount fetchPlatformTotalTime fetchCustomCount fetchCustomTotalTime";
    const VALUES: &str = "ended error transitions capped timedout instanceTimedout http capping timeout
        TimedOut ErrorConnecting InvalidResponse businessRuleProfileDiscarded";
    const CODES: &str = "EVENT_WITH_NO_JOURNEY EXTERNAL_KEY_COMPUTATION_ERROR JOURNEY_INSTANCE_ID_NOT_CREATED
        NO_INTERESTED_JOURNEYS_FOR_SEGMENTMEMBERSHIP_EVENT ERROR_SEGMENT_REALISATION_CONDITION_MISMATCH
        PAUSED_JOURNEY_VERSION ERROR_SERVICE_INTERNAL quietHours forcedDiscardDueToQuietHours rejectedRuleset
        CAP_REACHED LOWER_PRIORITY reentranceNotAllowed notSuitableInitialEvent maxInstanceStackEventsReached
        JOURNEY_IN_PAUSED_STATE segmentExportJob INFO_EXPORTJOB_SUCCEEDED ERROR_TOPIC_CREATION
        ERROR_EXPORTJOB_APICALL ERROR_EXPORTJOB_APICALL_TIMEOUT ERROR_EXPORTJOB_FAILED ERROR_INSTANCE_DUPLICATION
        ERROR_INSTANCE_BAD_NAMESPACE ERROR_INSTANCE_NO_IDENTITY_MAP ERROR_INSTANCE_NOT_A_TEST_PROFILE
        ERROR_INSTANCE_INTERNAL";
    let page = page("step-events.md");
    let missing: Vec<&str> = [FIELDS, VALUES, CODES]
        .iter()
        .flat_map(|names| names.split_whitespace())
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
