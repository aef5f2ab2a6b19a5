//! What the compiler does not see: layers name only what lies below them, transports and channels do not know each
//! other, `domain` is pure, files say what they own and stay short.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Layers, bottom up. A file may name its own layer and those before it.
const LAYERS: [&str; 15] = [
    "planted",
    "domain",
    "import",
    "wire",
    "store",
    "runtime",
    "channel",
    "report",
    "replay",
    "trial",
    "transport",
    "config",
    "server",
    "demo",
    "sim",
];
/// Modules beside each other that must not name each other: what they share lies in other files of their layer.
const SIBLINGS: [(&str, &[&str]); 2] =
    [("transport", &["grpc", "http", "tcp"]), ("channel", &["inbox", "log", "push", "sms", "smtp", "webhook"])];
/// Lines of one file, tests aside.
const FILE_LINES_MAX: usize = 500;
/// What makes a decision depend on more than its arguments.
const IMPURE: [&str; 13] = [
    "std::time::Instant",
    "std::time::SystemTime",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "tokio::",
    "tracing::",
    "metrics::",
    "rand::",
    "HashMap",
    "HashSet",
];

/// One source file.
struct Source {
    /// From the root of the repository.
    path: String,
    /// Everything up to the tests, lines as they are; empty for files that hold tests only.
    lines: Vec<String>,
    /// The whole text.
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// All sources below `directory`. Tests are what follows `#[cfg(test)] mod name {`, and files declared that way.
fn sources(directory: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    rust_files(&root().join(directory), &mut paths);
    paths.sort();
    let texts: Vec<(PathBuf, String)> =
        paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("UTF-8"))).collect();
    let mut test_modules: BTreeSet<PathBuf> = BTreeSet::new();
    for (path, text) in &texts {
        let mut after_cfg = false;
        for line in text.lines() {
            let declared =
                line.trim().trim_start_matches("pub ").strip_prefix("mod ").and_then(|l| l.strip_suffix(';'));
            if let (true, Some(name)) = (after_cfg, declared) {
                let stem = path.file_stem().expect("a name").to_string_lossy();
                let parent = path.parent().expect("a directory");
                let home = if matches!(&*stem, "mod" | "lib" | "main") { parent.into() } else { parent.join(&*stem) };
                test_modules.insert(home.join(format!("{name}.rs")));
                test_modules.insert(home.join(name).join("mod.rs"));
            }
            after_cfg = line.trim() == "#[cfg(test)]" || (after_cfg && line.trim().starts_with("#["));
        }
    }
    texts
        .into_iter()
        .map(|(path, text)| {
            let within_tests = test_modules
                .iter()
                .any(|m| *m == path || (m.ends_with("mod.rs") && path.starts_with(m.parent().expect("a directory"))));
            let all: Vec<&str> = text.lines().collect();
            let inline_tests = all
                .windows(2)
                .position(|w| w[0].trim() == "#[cfg(test)]" && w[1].contains("mod ") && w[1].ends_with('{'))
                .unwrap_or(all.len());
            let lines = if within_tests { 0 } else { inline_tests };
            Source {
                path: path.strip_prefix(root()).expect("below the root").display().to_string(),
                lines: all[..lines].iter().map(|line| (*line).to_owned()).collect(),
                text,
            }
        })
        .collect()
}

/// The code of a line: nothing for comments.
fn code(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line }
}

/// Names that follow `prefix` in `line`.
fn named_after<'a>(line: &'a str, prefix: &str) -> Vec<&'a str> {
    let end = |rest: &str| rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    line.match_indices(prefix).map(|(at, _)| &line[at + prefix.len()..]).map(|rest| &rest[..end(rest)]).collect()
}

/// Fails with all offences, one a line.
fn expect_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

fn each_line(directory: &str, mut visit: impl FnMut(&Source, usize, &str)) {
    for source in sources(directory) {
        for (index, line) in source.lines.iter().enumerate() {
            visit(&source, index + 1, code(line));
        }
    }
}

#[test]
fn layers_name_only_what_lies_below() {
    let rank = |layer: &str| LAYERS.iter().position(|l| *l == layer);
    let mut offences = Vec::new();
    each_line("src", |source, number, line| {
        let Some(own) = source.path.split('/').nth(1).map(|layer| layer.trim_end_matches(".rs")) else { return };
        let Some(own_rank) = rank(own) else { return };
        if line.contains("crate::{") {
            offences.push(format!("{}:{number}: name one layer per `use`", source.path));
        }
        for named in named_after(line, "crate::") {
            if rank(named).is_none_or(|named_rank| named_rank > own_rank) {
                offences.push(format!("{}:{number}: {own} names {named}", source.path));
            }
        }
    });
    expect_none("a layer names only those below it", &offences);
}

#[test]
fn every_module_is_a_known_layer() {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    let modules: BTreeSet<&str> = text.lines().flat_map(|line| named_after(line, "pub mod ")).collect();
    let unknown: Vec<String> = modules.iter().filter(|m| !LAYERS.contains(m)).map(|m| (*m).to_owned()).collect();
    expect_none("a new layer needs its place in LAYERS", &unknown);
}

#[test]
fn siblings_do_not_know_each_other() {
    let mut offences = Vec::new();
    each_line("src", |source, number, line| {
        let parts: Vec<&str> = source.path.trim_end_matches(".rs").split('/').collect();
        for (layer, siblings) in SIBLINGS {
            let (Some(own), true) = (parts.get(2), parts.get(1) == Some(&layer)) else { continue };
            if !siblings.contains(own) {
                continue;
            }
            for prefix in [format!("crate::{layer}::"), "super::".to_owned()] {
                for named in named_after(line, &prefix) {
                    if siblings.contains(&named) && named != *own {
                        offences.push(format!("{}:{number}: {layer}::{own} names {layer}::{named}", source.path));
                    }
                }
            }
        }
    });
    expect_none("what siblings share lies beside them", &offences);
}

#[test]
fn domain_is_pure() {
    let mut offences = Vec::new();
    each_line("src/domain", |source, number, line| {
        for impure in IMPURE.iter().filter(|impure| line.contains(**impure)) {
            offences.push(format!("{}:{number}: {impure}", source.path));
        }
        if line.contains("async ") {
            offences.push(format!("{}:{number}: async", source.path));
        }
    });
    expect_none("domain has no clock, randomness, I/O, threads, logging or unordered maps", &offences);
}

#[test]
fn files_say_what_they_own_and_stay_short() {
    let mut offences = Vec::new();
    for directory in ["src", "loadtest/src", "tests"] {
        for source in sources(directory) {
            if !source.text.starts_with("//!") {
                offences.push(format!("{}: begins without //!", source.path));
            }
            if source.lines.len() > FILE_LINES_MAX && directory != "tests" {
                offences.push(format!("{}: {} lines, at most {FILE_LINES_MAX}", source.path, source.lines.len()));
            }
        }
    }
    expect_none("one noun a file", &offences);
}

#[test]
fn nothing_is_unwrapped_or_silenced() {
    let (mut offences, silenced) = (Vec::new(), concat!("[", "allow("));
    for directory in ["src", "loadtest/src"] {
        each_line(directory, |source, number, line| {
            for forbidden in [".unwrap()", "todo!(", "unimplemented!(", "dbg!("] {
                if line.contains(forbidden) {
                    offences.push(format!("{}:{number}: {forbidden}", source.path));
                }
            }
        });
    }
    for directory in ["src", "loadtest/src", "tests"] {
        for source in sources(directory) {
            for (index, line) in source.text.lines().enumerate().filter(|(_, line)| code(line).contains(silenced)) {
                offences.push(format!("{}:{}: {}; use #[expect(.., reason)]", source.path, index + 1, line.trim()));
            }
        }
    }
    expect_none("expect(\"why it cannot fail\"), or an error", &offences);
}

/// Names of metrics as string literals in the sources.
#[test]
fn every_metric_is_documented() {
    let page = fs::read_to_string(root().join("docs/operations.md")).expect("docs/operations.md");
    let mut undocumented = Vec::new();
    each_line("src", |source, number, line| {
        for name in named_after(line, "!(\"sojourn_") {
            if !page.contains(&format!("`sojourn_{name}")) {
                undocumented.push(format!("{}:{number}: sojourn_{name}", source.path));
            }
        }
    });
    expect_none("docs/operations.md explains every metric", &undocumented);
}
