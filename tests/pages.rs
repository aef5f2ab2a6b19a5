//! Pages that say what the code does, held against it: the table of findings and the page of guardrails.

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

#[test]
fn every_guardrail_has_its_setting_and_its_test_or_a_reason() {
    let page = page("guardrails.md");
    let rows = rows(&page, |cell| !cell.starts_with("area") && !cell.starts_with('-'));
    assert_eq!(rows.len(), 69, "as many as in Adobe's table, some of them in several parts");
    let limits = fs::read_to_string(root().join("src/domain/limits.rs")).expect("limits");
    let all: String = ["src", "tests"].into_iter().flat_map(sources).map(|(_, text)| text).collect();
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
        for name in quoted(test) {
            assert!(all.contains(&format!("fn {name}()")), "there is no test `{name}`");
        }
    }
    assert_eq!(guardrails, BTreeSet::new(), "guardrails that stand in no row");
}
