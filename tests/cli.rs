//! The built program from outside: exit codes, the one object of `--json`, help, settings, keys, backups.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sojourn::store::directory::{DataDirectory, DirectoryOptions};

/// Runs the program in an empty environment (of ours), with no standard input.
fn sojourn(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sojourn"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SOJOURN_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(std::process::Stdio::null()).output().expect("the program starts")
}

/// The exit code, and the one object of `--json`.
fn json(arguments: &[&str]) -> (i32, Value) {
    let output = sojourn(&[arguments, &["--json"]].concat());
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(stdout.lines().count(), 1, "one line for {arguments:?}: {stdout}");
    (output.status.code().expect("it exits"), serde_json::from_str(&stdout).expect("JSON"))
}

/// Runs without `--json`; stdout must hold the first text, stderr the second.
fn check(arguments: &[&str], code: i32, stdout: &str, stderr: &str) {
    let output = sojourn(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    assert!(out.contains(stdout), "{arguments:?} printed {out:?}, not {stdout:?}");
    assert!(err.contains(stderr), "{arguments:?} complained {err:?}, not {stderr:?}");
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// An address where nobody listens: bound once, so that it is free, and let go.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn usage_errors_exit_with_2() {
    check(&["frobnicate"], 2, "", "unrecognized subcommand");
    check(&["shards", "set", "0"], 2, "", "0 is not in 1..=65535");
    check(&["deliveries", "resolve", "d-1", "maybe"], 2, "", "possible values: sent, drop, resend");
    check(&["check", "/nowhere"], 2, "", "can't read /nowhere");
    check(&["journeys", "--server", "ftp://x"], 2, "", "must begin with http:// or https://");
    check(&["profile", "4711"], 2, "", "write namespace:value");
    check(&["serve", "--shards", "none"], 2, "", "it takes a whole number above 0, or `cores`");
    check(&["serve", "--config", "/nowhere.toml"], 2, "", "configuration file /nowhere.toml");
    check(&["serve", "--log-filter", "sojourn=loud"], 2, "", "log.filter can't be");
    check(
        &["export", "events", "--out", "/tmp/e.parquet"],
        2,
        "",
        "events are written as NDJSON; name the file /tmp/e.ndjson",
    );
    let turned = ["profile", "crm:1", "--since", "2026-02-01", "--until", "2026-01-01"];
    check(&turned, 2, "", "is not before --until 2026-01-01T00:00:00.000Z");
    let (code, body) = json(&["frobnicate"]);
    assert_eq!((code, &body["error"]["code"]), (2, &"usage".into()));
    assert_eq!(body["error"]["message"], "unrecognized subcommand 'frobnicate'");
    assert_eq!(body["error"]["suggestion"], "a similar subcommand exists: 'forecast'");
    let (_, body) = json(&["profile"]);
    assert_eq!(body["error"]["message"], "the following required arguments were not provided: <NS:ID>");
    check(&["--help", "--json"], 0, "Usage:", "");
}

#[test]
fn an_unreachable_server_exits_with_3() {
    let server = nobody();
    for command in ["journeys", "report", "deliveries", "shards"] {
        check(&[command, "--server", &server], 3, "", "no server at");
        let (code, body) = json(&[command, "--server", &server]);
        assert_eq!((code, &body["error"]["code"]), (3, &"unreachable".into()));
    }
}

#[test]
fn findings_have_places_and_exit_with_1() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let bad = write(directory.path(), "bad.yaml", "kind: journey\nname: x\nstrat: a\n");
    let (code, body) = json(&["check", &bad]);
    assert_eq!(code, 1);
    let findings = body["findings"].as_array().expect("findings");
    let unknown = findings.iter().find(|f| f["code"] == "unknown_key").expect("the misspelt key");
    assert_eq!((&unknown["line"], &unknown["file"]), (&3.into(), &bad.as_str().into()));
    assert_eq!(body["errors"], findings.len());
    check(&["check", &bad], 1, "bad.yaml:3:1: error[unknown_key]", "");
    check(&["check", &bad], 1, "help: did you mean `start`?", "");
}

#[test]
fn directories_are_searched_and_other_files_left_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    write(directory.path(), "a/b/event.yaml", "kind: event\nname: bought\nschema: { total: number }\n");
    write(directory.path(), "a/notes.txt", "not: [yaml");
    write(directory.path(), ".hidden/x.yaml", "kind: nonsense\n");
    let path = directory.path().display().to_string();
    let (code, body) = json(&["check", &path]);
    assert_eq!((code, &body["errors"]), (0, &0.into()), "{body}");
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).expect("a directory");
    check(&["check", &empty.display().to_string()], 2, "", "no files ending in");
}

#[test]
fn settings_show_their_origin() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = write(directory.path(), "s.toml", "[http]\nlisten = \"127.0.0.1:9\"\n");
    let (code, body) = json(&["config", "--config", &file, "--limits-events-per-second", "unlimited"]);
    assert_eq!(code, 0);
    assert_eq!(body["http.listen"]["value"], "127.0.0.1:9");
    assert_eq!(body["http.listen"]["origin"], file);
    assert_eq!(body["limits.events_per_second"]["origin"], "--limits-events-per-second");
    assert_eq!(body["tcp.listen"]["origin"], "default");
    let misspelt = write(directory.path(), "t.toml", "[http]\nlitsen = \"x\"\n");
    check(&["config", "--config", &misspelt], 2, "", "did you mean \"http.listen\"?");
}

#[test]
fn help_shows_settings_with_defaults_and_variables() {
    let output = sojourn(&["serve", "--help"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for expected in ["--http-listen", "127.0.0.1:8080", "SOJOURN_HTTP_LISTEN", "--clock", "takes: wall or events"] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    check(&["completions", "bash"], 0, "_sojourn", "");
}

#[test]
fn keys_are_random_and_their_digest_is_a_setting() {
    let (_, first) = json(&["keys", "new", "shop"]);
    let (_, second) = json(&["keys", "new", "shop"]);
    assert_ne!(first["key"], second["key"]);
    let setting = first["setting"].as_str().expect("text");
    check(&["config", "--auth-keys", setting], 0, setting, "");
    check(&["keys", "new", "a,b"], 2, "", "holds no = and no comma");
}

#[test]
fn a_backup_comes_back_whole_and_an_interrupted_one_does_not() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = |name: &str| directory.path().join(name).display().to_string();
    let data = directory.path().join("data");
    drop(DataDirectory::open(&data, DirectoryOptions::default()).expect("made"));
    write(directory.path(), "data/journal/0.seg", "blocks");
    write(directory.path(), "data/RESERVE", "nothing but space");
    let (code, body) = json(&["backup", "--data", &place("data"), &place("copy")]);
    assert_eq!((code, body["bytes"].as_u64().map(|b| b >= 6)), (0, Some(true)), "{body}");
    check(&["backup", "--data", &place("data"), &place("copy")], 2, "", "exists");
    check(&["backup", "--data", &place("nothing"), &place("copy2")], 2, "", "is no data directory");
    check(&["restore", "--data", &place("data"), &place("copy")], 2, "", "is not empty");
    check(&["restore", "--data", &place("back"), &place("copy")], 0, "restored", "");
    assert!(!directory.path().join("copy/RESERVE").exists());
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("restored");
    assert_eq!((read("back/journal/0.seg"), read("back/SOJOURN")), ("blocks".to_owned(), read("data/SOJOURN")));
    std::fs::remove_file(directory.path().join("copy/BACKUP-COMPLETE")).expect("removed");
    check(&["restore", "--data", &place("other"), &place("copy")], 2, "", "is no complete backup");
}

#[test]
fn a_directory_in_use_is_not_copied() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let data = directory.path().join("data");
    let _held = DataDirectory::open(&data, DirectoryOptions::default()).expect("made");
    let (data, copy) = (data.display().to_string(), directory.path().join("copy"));
    check(&["backup", "--data", &data, &copy.display().to_string()], 1, "", &std::process::id().to_string());
    assert!(!copy.exists());
}
