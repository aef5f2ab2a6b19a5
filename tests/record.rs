//! The record of a running server from outside: step events as NDJSON and Parquet, timelines in part, and why. On the
//! events' clock, so that every time is known.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use serde_json::{Value, json};

const RESOURCES: &str = r#"
kind: event
name: cart_add
schema: { total: number }
---
kind: event
name: purchase
schema: { total: number }
---
kind: attribute
name: email
type: string
---
kind: message
name: reminder
channel: email
surface: mail
subject: "Your cart"
body: "{{ event.total }} EUR"
---
kind: surface
name: mail
channel: email
smtp: { host: 127.0.0.1, port: 1, from: "shop@example.com", tls: none }
---
kind: journey
name: cart
entry: { event: cart_add, when: "event.total >= 50" }
reentry: { after: 1d }
exit: [ { event: purchase } ]
start: hold
nodes:
  hold: { wait: 1h, then: remind }
  remind: { message: reminder, then: done }
  done: { end: true }
---
kind: journey
name: thanks
entry: { event: purchase }
start: done
nodes:
  done: { end: true }
"#;

/// A server process; killed when dropped.
struct Server {
    child: Child,
    url: String,
    directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sojourn"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SOJOURN_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

impl Server {
    /// A server with the resources, and these events.
    fn with(events: &[Value]) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let server = Self::start(directory);
        let (resources, feed) = (server.path("resources.yaml"), server.path("events.ndjson"));
        std::fs::write(&resources, RESOURCES).expect("written");
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        std::fs::write(&feed, lines).expect("written");
        server.ask(&["apply", &resources]);
        server.ask(&["send", &feed]);
        server
    }

    fn start(directory: tempfile::TempDir) -> Self {
        let data = directory.path().join("data").display().to_string();
        let listen = ["--http-listen", "127.0.0.1:0", "--tcp-listen", "127.0.0.1:0", "--shards", "2"];
        let limits = ["--clock", "events", "--limits-events-per-second", "unlimited"];
        let arguments = [&["serve", "--data", &data][..], &listen, &limits].concat();
        let mut child = program(&arguments).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let addresses: Value = serde_json::from_str(&line).expect("the first line is JSON");
        let url = format!("http://{}", addresses["http"].as_str().expect("an address"));
        Self { child, url, directory }
    }

    /// Kills it, and starts one on the same directory.
    fn again(mut self) -> Self {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().expect("temporary directory"));
        Self::start(directory)
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        program(&[arguments, &["--server", &self.url]].concat()).output().expect("the program starts")
    }

    /// Runs a client command; its one object.
    fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{arguments:?}: {stdout} {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON")
    }

    /// Runs a client command for people.
    fn tell(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Step events on stdout.
    fn steps(&self, arguments: &[&str]) -> Vec<Value> {
        let lines = self.tell(&[&["export", "steps", "--out", "-"][..], arguments].concat());
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn event(id: &str, kind: &str, profile: &str, time: &str, total: u32) -> Value {
    json!({"id": id, "type": kind, "profile": profile, "time": format!("2026-11-{time}:00Z"), "properties": {"total": total}})
}

/// One customer who is refused, enters, comes too early again, buys; and one who has no address.
fn history() -> Vec<Value> {
    vec![
        event("e1", "cart_add", "crm:ann", "01T10:00", 20),
        event("e2", "cart_add", "crm:ann", "01T11:00", 60),
        event("e3", "cart_add", "crm:bob", "01T11:10", 70),
        event("e4", "purchase", "crm:ann", "01T11:30", 60),
        event("e5", "cart_add", "crm:ann", "01T12:00", 80),
        event("e6", "cart_add", "crm:bob", "02T12:00", 90),
    ]
}

fn of<'v>(events: &'v [Value], field: &str) -> Vec<&'v str> {
    events.iter().map(|event| event[field].as_str().unwrap_or("-")).collect()
}

#[test]
fn why_is_a_story_and_an_object() {
    let server = Server::with(&history());
    let story = server.tell(&["why", "crm:ann", "--journey", "cart"]);
    assert_eq!(
        story.lines().collect::<Vec<_>>(),
        [
            "2026-11-01T10:00:00.000Z event e1 `cart_add` did not let it in: the entry filter of version 1; \
             `event.total >= 50` (event.total = 20) was false",
            "2026-11-01T11:00:00.000Z event e2 `cart_add` let it in, version 1; \
             `event.total >= 50` (event.total = 60) was true",
            "2026-11-01T11:00:00.000Z waits at `hold` until 2026-11-01T12:00:00.000Z",
            "2026-11-01T11:30:00.000Z left the journey at `hold`: event e4 `purchase` met the exit criterion; \
             `event purchase` was true",
            "2026-11-01T12:00:00.000Z event e5 `cart_add` discarded: re-entrance is allowed again from \
             2026-11-02T11:00:00.000Z (1d after the entry at 2026-11-01T11:00:00.000Z)",
            "crm:ann is not in `cart`: it entered last at 2026-11-01T11:00:00.000Z and has left; \
             an event `cart_add` may let it in from 2026-11-02T11:00:00.000Z",
        ]
    );
    let why = server.ask(&["why", "crm:bob", "--journey", "cart"]);
    assert_eq!(why["state"], "inside");
    let excluded = why["story"].as_array().expect("a story").iter().find(|item| item["what"] == "message");
    let excluded = excluded.expect("the message");
    assert_eq!((&excluded["reason"], &excluded["message"]), (&"excluded".into(), &"reminder".into()));
    assert_eq!(excluded["rules"][0]["values"], json!([{"field": "profile.email", "value": null, "as_of": "then"}]));

    // The same after a start, when history comes from files and the journal.
    let server = server.again();
    assert_eq!(server.tell(&["why", "crm:ann", "--journey", "cart"]), story);
    let why = server.ask(&["why", "crm:ann", "--journey", "thanks"]);
    assert_eq!((&why["state"], &why["story"][0]["event_id"]), (&"left".into(), &"e4".into()));
    for (arguments, code) in [
        (["why", "crm:nobody", "--journey", "cart"], "profile"),
        (["why", "crm:ann", "--journey", "carts"], "did you mean `cart`?"),
    ] {
        let output = server.run(&arguments);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains(code), "{complaint}");
    }
    assert_eq!(server.run(&["why", "ann", "--journey", "cart"]).status.code(), Some(2));
}

#[test]
fn step_events_are_exported_in_part_and_whole() {
    let server = Server::with(&history());
    let ann = server.steps(&["--profile", "crm:ann", "--journey", "cart"]);
    assert_eq!(of(&ann, "step"), ["entered", "arrived", "exited", "discarded"]);
    assert_eq!(of(&ann, "status"), ["done", "waiting", "ended", "discarded"]);
    assert_eq!(of(&ann, "event_id"), ["e2", "e2", "e4", "e5"]);
    assert_eq!(of(&ann, "time")[2], "2026-11-01T11:30:00.000Z");
    assert_eq!(ann[0]["instance"], ann[2]["instance"]);
    assert_eq!((&ann[3]["instance"], &ann[3]["node"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&ann[0]["entrance"], &ann[0]["reentrance"], &ann[2]["ended"]),
        (&true.into(), &false.into(), &true.into())
    );
    let bob = server.steps(&["--profile", "crm:bob", "--since", "2026-11-02"]);
    assert_eq!((of(&bob, "step"), &bob[0]["reentrance"]), (vec!["entered", "arrived"], &true.into()));
    assert_eq!(server.steps(&["--profile", "crm:bob", "--until", "2026-11-02", "--limit", "2"]).len(), 2);
    assert_eq!(server.steps(&["--until", "2026-11-01"]), Vec::<Value>::new());

    let all = server.steps(&[]);
    let to = server.path("steps.parquet");
    let summary = server.ask(&["export", "steps", "--out", &to]);
    assert_eq!((&summary["format"], &summary["steps"]), (&"parquet".into(), &all.len().into()));
    assert_eq!(summary["bytes"], std::fs::metadata(&to).expect("the file").len());
    assert!(!Path::new(&format!("{to}.partial")).exists());
    let reader = SerializedFileReader::new(std::fs::File::open(&to).expect("the file")).expect("a Parquet file");
    let columns = reader.metadata().file_metadata().schema_descr();
    let column = |name: &str| columns.columns().iter().position(|known| known.name() == name).expect("a column");
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    let mut told: Vec<(&str, &str, bool)> =
        all.iter().map(|e| (text(e, "id"), text(e, "step"), e["ended"] == true)).collect();
    let mut read: Vec<(&str, &str, bool)> = rows
        .iter()
        .map(|r| {
            (
                r.get_string(column("id")).expect("id").as_str(),
                r.get_string(column("step")).expect("step").as_str(),
                r.get_bool(column("ended")).expect("ended"),
            )
        })
        .collect();
    told.sort_unstable();
    read.sort_unstable();
    assert_eq!(read, told);

    for (arguments, code) in [
        (&["--out", "-", "--json"][..], 2),
        (&["--out", "-", "--since", "yesterday"], 2),
        (&["--out", "-", "--journey", "nothing"], 4),
        (&["--out", "-", "--profile", "crm:nobody"], 4),
        (&["--out", "/nowhere/steps"], 2),
    ] {
        let output = server.run(&[&["export", "steps"][..], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn text<'v>(event: &'v Value, field: &str) -> &'v str {
    event[field].as_str().expect("a text")
}

#[test]
fn timelines_are_told_in_part() {
    let server = Server::with(&history());
    let timeline = |arguments: &[&str]| {
        let profile = server.ask(&[&["profile", "crm:ann"][..], arguments].concat());
        profile["timeline"].as_array().expect("a timeline").clone()
    };
    assert_eq!(
        of(&timeline(&["--journey", "cart"]), "what"),
        ["discarded", "event", "exited", "event", "arrived", "entered", "event"]
    );
    assert_eq!(of(&timeline(&["--since", "2026-11-01T12:00:00Z"]), "what"), ["discarded", "event"]);
    assert_eq!(of(&timeline(&["--until", "2026-11-01T11:00:00Z"]), "what"), ["event"]);
    assert_eq!(of(&timeline(&["--timeline", "1"]), "what"), ["discarded"]);
    assert_eq!(server.run(&["profile", "crm:ann", "--journey", "nothing"]).status.code(), Some(4));
    assert_eq!(server.run(&["profile", "crm:ann", "--since", "today"]).status.code(), Some(2));
}
