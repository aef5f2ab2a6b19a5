//! Every scenario, tiny, against a real server in a child process: it runs, verifies, and prints what the contract says.
//! No figure is looked at.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What the line of `--json` holds at least.
const KEYS: [&str; 15] = [
    "scenario",
    "feed",
    "events_per_s",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "max_ms",
    "cpu_s_per_million",
    "rss_mb",
    "bytes_per_waiting",
    "disk_bytes_per_event",
    "disk_sync_p99_ms",
    "lost",
    "duplicated",
    "verified",
];

fn run(arguments: &[&str]) -> Output {
    // Not the system's place for temporary files: that may be in memory, which the load test refuses.
    let data = env!("CARGO_TARGET_TMPDIR");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments).args(["--json", "--data", data]).stdin(Stdio::null());
    command.output().expect("the load test can be started")
}

/// Runs and gives the last line of stdout.
fn check(arguments: &[&str]) -> Value {
    let output = run(arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{stderr}\n{stdout}", output.status);
    let figures: Value = serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON");
    for key in KEYS {
        assert!(figures.get(key).is_some(), "{key} is missing in {figures}");
    }
    assert_eq!((&figures["lost"], &figures["duplicated"]), (&Value::from(0), &Value::from(0)), "{figures}");
    assert_eq!(figures["verified"], Value::from(true), "{figures}");
    figures
}

#[test]
fn every_feed_brings_events() {
    for feed in ["tcp", "grpc", "http"] {
        check(&["cart_abandonment", "--feed", feed, "--rate", "1000", "--duration", "1", "--wait", "100ms"]);
    }
}

#[test]
fn flows_are_verified() {
    check(&["ingest", "--duration", "1", "--in-flight", "2000"]);
    check(&["hot_profile", "--rate", "1000", "--duration", "1", "--wait", "100ms"]);
    check(&["cart_abandonment", "--rate", "1000", "--duration", "1", "--wait", "1h", "--no-sync"]);
}

#[test]
fn profiles_wait_and_survive_a_kill() {
    assert_eq!(check(&["waiting", "--profiles", "2000"])["waiting"], Value::from(2_000));
    assert!(check(&["restart", "--profiles", "2000"])["first_ack_s"].as_f64().is_some_and(|s| s > 0.0));
}

#[test]
fn timers_fire_and_messages_arrive() {
    assert_eq!(check(&["timers", "--profiles", "2000", "--due", "10"])["timers"], Value::from(2_000));
    let delivered = check(&["delivery", "--profiles", "50"]);
    assert_eq!((&delivered["webhooks"], &delivered["mails"]), (&Value::from(50), &Value::from(50)));
}

#[test]
fn shards_change_and_overload_is_refused() {
    check(&["reshard", "--rate", "200", "--duration", "2", "--wait", "100ms"]);
    let overload = check(&["overload", "--feed", "http", "--rate", "200", "--duration", "3", "--wait", "100ms"]);
    assert!(overload["refused"].as_u64().is_some_and(|refused| refused > 0), "{overload}");
}

#[test]
fn the_page_needs_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("deep");
    check(&["ingest", "--duration", "1", "--in-flight", "1000", "--report", path.to_str().expect("a path")]);
    let page = std::fs::read_to_string(path.join("report.html")).expect("written");
    assert!(
        page.contains("<svg") && page.contains("nothing lost") && !page.contains("<script") && !page.contains("src=")
    );
}

#[test]
fn what_cannot_be_is_refused() {
    assert_eq!(run(&["restart", "--connect", "127.0.0.1:1"]).status.code(), Some(1), "it kills its server");
    assert_eq!(run(&["overload", "--rate", "max"]).status.code(), Some(1));
    assert_eq!(run(&["nothing"]).status.code(), Some(2));
}
