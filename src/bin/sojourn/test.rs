//! `sojourn test`: runs the tests of journeys (`kind: test`) among resource files; no server needed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sojourn::domain::catalog::{Catalog, Rehearsal, SourceFile};
use sojourn::domain::finding::{Finding, Severity};
use sojourn::domain::guardrails::Guardrails;
use sojourn::domain::journey::findings::Place;
use sojourn::domain::journey::trial::Trial;
use sojourn::transport::http::schema::{CheckBody, FindingBody};
use sojourn::trial::judge::Mismatch;
use sojourn::trial::junit::{self, Case, Suite, Verdict};
use sojourn::trial::run::run as run_one;
use sojourn::trial::tell::indented;

use crate::cli::TestArgs;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

/// The result of all tests.
#[derive(Debug, Serialize)]
struct TestBody {
    tests: usize,
    passed: usize,
    failed: usize,
    errors: usize,
    duration_ms: u64,
    results: Vec<TestResult>,
    warnings: Vec<FindingBody>,
}

/// The result of one.
#[derive(Debug, Serialize)]
struct TestResult {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    journey: Option<String>,
    file: String,
    line: u32,
    status: Status,
    mismatches: Vec<MismatchBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    took: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Passed,
    Failed,
    Error,
}

/// One expectation that was not met.
#[derive(Debug, Serialize)]
struct MismatchBody {
    file: String,
    line: u32,
    column: u32,
    message: String,
    detail: String,
    timeline: String,
}

/// Runs them; fails if one does.
#[expect(clippy::disallowed_methods, reason = "how long it took is real time, not engine time")]
pub fn run(args: &TestArgs, output: &Output) -> Result<(), Failure> {
    let files = files::read(&args.files)?;
    let files: Vec<SourceFile> = files.into_iter().map(|(name, text)| SourceFile { name, text }).collect();
    let Rehearsal { catalog, trials, warnings } = match Rehearsal::within(&files, &Guardrails::WIDEST) {
        Ok(rehearsal) => rehearsal,
        Err(findings) => return refuse(&findings, args.junit.as_deref(), output),
    };
    let trials = select(trials, args.filter.as_deref())?;
    let (catalog, started) = (Arc::new(catalog), Instant::now());
    let progress = progress(trials.len());
    let mut results = Vec::with_capacity(trials.len());
    for trial in &trials {
        progress.set_message(trial.name.value.to_string());
        results.push(result(trial, &catalog, &files));
        progress.inc(1);
    }
    progress.finish_and_clear();
    let count = |status: Status| results.iter().filter(|result| result.status == status).count();
    let body = TestBody {
        tests: results.len(),
        passed: count(Status::Passed),
        failed: count(Status::Failed),
        errors: count(Status::Error),
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        results,
        warnings: warnings.iter().map(FindingBody::from).collect(),
    };
    if let Some(path) = &args.junit {
        write(path, &junit::document(&suites(&body.results)))?;
    }
    for warning in &warnings {
        eprintln!("{warning}");
    }
    output.result(&body, in_words);
    if body.passed == body.tests { Ok(()) } else { Err(Failure::Failed(String::new())) }
}

/// Resources with errors: no test can run.
fn refuse(findings: &[Finding], junit: Option<&Path>, output: &Output) -> Result<(), Failure> {
    if let Some(path) = junit {
        let case = |finding: &Finding| Case {
            name: finding.code.to_owned(),
            class: "check".to_owned(),
            line: finding.line,
            took: Duration::ZERO,
            verdict: Verdict::Broken(finding.to_string()),
        };
        let mut by_file: BTreeMap<&str, Vec<Case>> = BTreeMap::new();
        for finding in findings.iter().filter(|finding| finding.severity == Severity::Error) {
            by_file.entry(&finding.file).or_default().push(case(finding));
        }
        let suites = by_file.into_iter().map(|(name, cases)| Suite { name: name.to_owned(), cases });
        write(path, &junit::document(&suites.collect::<Vec<_>>()))?;
    }
    let body = CheckBody::new(findings);
    output.result(&body, |body| {
        let listed: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        format!("{listed}{} errors, {} warnings; nothing was tested", body.errors, body.warnings)
    });
    Err(Failure::Failed(String::new()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::Usage(format!("can't write {}: {error}", path.display())))
}

/// The tests whose name or journey holds the filter.
fn select(mut trials: Vec<Trial>, filter: Option<&str>) -> Result<Vec<Trial>, Failure> {
    if trials.is_empty() {
        return Err(Failure::Usage("there are no tests (`kind: test`) in these files".to_owned()));
    }
    if let Some(filter) = filter {
        trials.retain(|trial| {
            trial.name.value.contains(filter) || trial.journey.as_ref().is_some_and(|journey| journey.contains(filter))
        });
        if trials.is_empty() {
            return Err(Failure::Usage(format!("no test has {filter:?} in its name or its journey's")));
        }
    }
    Ok(trials)
}

#[expect(clippy::disallowed_methods, reason = "how long it took is real time, not engine time")]
fn result(trial: &Trial, catalog: &Arc<Catalog>, files: &[SourceFile]) -> TestResult {
    let started = Instant::now();
    let outcome = run_one(trial, catalog);
    let took = started.elapsed();
    let (status, mismatches, error) = match outcome {
        Ok(outcome) if outcome.mismatches.is_empty() => (Status::Passed, Vec::new(), None),
        Ok(outcome) => (Status::Failed, outcome.mismatches, None),
        Err(error) => (Status::Error, Vec::new(), Some(error.to_string())),
    };
    let (file, line, _) = place(trial.name.place, files);
    let mut mismatches: Vec<MismatchBody> = mismatches.into_iter().map(|m| mismatch_body(m, files)).collect();
    mismatches.sort_by_key(|mismatch| (mismatch.line, mismatch.column));
    TestResult {
        name: trial.name.value.to_string(),
        journey: trial.journey.as_ref().map(ToString::to_string),
        file,
        line,
        status,
        mismatches,
        error,
        took,
    }
}

fn place(place: Place, files: &[SourceFile]) -> (String, u32, u32) {
    place.find(files).map_or_else(Default::default, |(file, line, column)| (file.to_owned(), line, column))
}

fn mismatch_body(mismatch: Mismatch, files: &[SourceFile]) -> MismatchBody {
    let (file, line, column) = place(mismatch.place, files);
    let Mismatch { message, detail, timeline, .. } = mismatch;
    MismatchBody { file, line, column, message, detail, timeline }
}

fn progress(count: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}").expect("the template is valid");
    ProgressBar::new(count as u64).with_style(style)
}

/// A line a test, the failed ones in full, and a sum.
fn in_words(body: &TestBody) -> String {
    let mut text = String::new();
    for result in &body.results {
        let word = match result.status {
            Status::Passed => "ok    ",
            Status::Failed => "FAILED",
            Status::Error => "ERROR ",
        };
        text.push_str(&format!("{word} {}\n", title(result)));
    }
    for result in body.results.iter().filter(|result| result.status != Status::Passed) {
        text.push_str(&format!("\n{}\n{}", title(result), indented(&in_full(result), "  ")));
    }
    let rate = body.tests as f64 * 1_000.0 / body.duration_ms.max(1) as f64;
    let errors = if body.errors > 0 { format!(", {} errors", body.errors) } else { String::new() };
    text.push_str(&format!(
        "\n{} tests: {} passed, {} failed{errors} ({} ms, {rate:.0} tests/s)",
        body.tests, body.passed, body.failed, body.duration_ms
    ));
    text
}

fn title(result: &TestResult) -> String {
    match &result.journey {
        Some(journey) => format!("{journey}: {}", result.name),
        None => result.name.clone(),
    }
}

/// Everything about a failed test: each mismatch with its place, and each timeline once.
fn in_full(result: &TestResult) -> String {
    let mut text = String::new();
    if let Some(error) = &result.error {
        text.push_str(&format!("{}:{}: the test could not be run: {error}\n", result.file, result.line));
    }
    for (index, mismatch) in result.mismatches.iter().enumerate() {
        text.push_str(&format!("{}:{}:{}: {}\n", mismatch.file, mismatch.line, mismatch.column, mismatch.message));
        text.push_str(&indented(&mismatch.detail, "    "));
        if result.mismatches.get(index + 1).is_none_or(|next| next.timeline != mismatch.timeline) {
            text.push_str(&indented(&mismatch.timeline, "    "));
        }
    }
    text
}

/// Results by file.
fn suites(results: &[TestResult]) -> Vec<Suite> {
    let mut suites: Vec<Suite> = Vec::new();
    for result in results {
        let verdict = match result.status {
            Status::Passed => Verdict::Passed,
            Status::Failed => {
                let messages: Vec<&str> = result.mismatches.iter().map(|m| m.message.as_str()).collect();
                Verdict::Failed(messages.join("; "), in_full(result))
            }
            Status::Error => Verdict::Broken(result.error.clone().unwrap_or_default()),
        };
        let case = Case {
            name: result.name.clone(),
            class: result.journey.clone().unwrap_or_else(|| "journeys".to_owned()),
            line: result.line,
            took: result.took,
            verdict,
        };
        match suites.iter_mut().find(|suite| suite.name == result.file) {
            Some(suite) => suite.cases.push(case),
            None => suites.push(Suite { name: result.file.clone(), cases: vec![case] }),
        }
    }
    suites
}
