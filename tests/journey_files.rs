//! The journeys that newcomers read: every example file and every YAML block of the documentation has no findings.

use std::path::{Path, PathBuf};

use sojourn::domain::catalog::{Catalog, SourceFile};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read_directory(path: &Path) -> Vec<SourceFile> {
    let mut files: Vec<SourceFile> = std::fs::read_dir(path)
        .expect("directory of examples")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| SourceFile {
            name: path.display().to_string(),
            text: std::fs::read_to_string(&path).expect("text"),
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

fn assert_clean(files: &[SourceFile]) {
    assert!(!files.is_empty());
    let findings: Vec<String> = Catalog::check(files).iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// As [`assert_clean`], but mails about orders and memberships, which are no advertising, ask for no consent: a hint.
fn assert_hinted(files: &[SourceFile]) {
    assert!(!files.is_empty());
    let findings = Catalog::check(files);
    let others: Vec<String> =
        findings.iter().filter(|f| f.code != "unasked_consent").map(ToString::to_string).collect();
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn the_demo_is_clean() {
    assert_clean(&read_directory(&root().join("examples/demo")));
}

#[test]
fn the_first_journey_is_clean() {
    assert_clean(&read_directory(&root().join("examples/first")));
}

/// By themselves, as they are published, and with their tests.
#[test]
fn the_twelve_journeys_are_clean() {
    let mut files = read_directory(&root().join("examples/journeys"));
    assert_hinted(&files);
    files.extend(read_directory(&root().join("examples/tests")));
    assert_hinted(&files);
}

/// Text between ```` ```yaml ```` and ```` ``` ````, each block a file named by its line.
fn yaml_blocks(name: &str, text: &str) -> Vec<SourceFile> {
    let mut blocks = Vec::new();
    let mut open: Option<SourceFile> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            None if line == "```yaml" => {
                open = Some(SourceFile { name: format!("{name}, block at line {}", index + 1), text: String::new() });
            }
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// All blocks together are one set of resources, as the page says.
#[test]
fn the_language_page_is_clean() {
    let text = std::fs::read_to_string(root().join("docs/journeys.md")).expect("docs/journeys.md");
    let blocks = yaml_blocks("docs/journeys.md", &text);
    assert!(blocks.len() >= 9, "{} blocks", blocks.len());
    assert_hinted(&blocks);
}

/// What the page of messages takes for granted.
const AROUND_MESSAGES: &str = "
kind: event
name: cart_add
schema: { total: number }
---
kind: attribute
name: first_name
type: string
---
kind: attribute
name: email
type: string
---
kind: message
name: tell_crm
channel: webhook
surface: crm_hook
body: '{}'
---
kind: journey
name: carts
entry: { event: cart_add }
start: remind
nodes:
  remind: { message: cart_reminder, then: tell }
  tell: { message: tell_crm, then: done }
  done: { end: true }
";

#[test]
fn the_page_of_messages_is_clean() {
    let text = std::fs::read_to_string(root().join("docs/messages.md")).expect("docs/messages.md");
    let mut blocks = yaml_blocks("docs/messages.md", &text);
    assert_eq!(blocks.len(), 2, "messages, and surfaces");
    blocks.push(SourceFile { name: "around".to_owned(), text: AROUND_MESSAGES.to_owned() });
    assert_clean(&blocks);
}

/// A page that begins to show resources gets a test above.
#[test]
fn no_other_page_shows_resources() {
    let pages =
        ["", "docs", "docs/adr", "examples", "examples/data", "examples/journeys"].map(|name| root().join(name));
    let files = pages.iter().flat_map(|page| std::fs::read_dir(page).expect("a directory"));
    let mut showing: Vec<String> = Vec::new();
    for path in files.map(|entry| entry.expect("an entry").path()) {
        if path.extension().is_some_and(|ending| ending == "md") {
            let text = std::fs::read_to_string(&path).expect("text");
            if text.lines().any(|line| line.trim_start().starts_with("kind: ") || line.trim() == "```yaml") {
                showing.push(path.file_name().expect("a name").to_string_lossy().into_owned());
            }
        }
    }
    showing.sort();
    assert_eq!(showing, ["journeys.md", "messages.md"]);
}
