//! The built program on a disk whose syncs fail: it acknowledges nothing more and exits with 75, and the next start has every
//! event that was acknowledged. The disk's failure is that of a small C library loaded before the system's.
#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Bounds a hang; nobody waits that long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server; killed when dropped.
struct Server {
    child: Child,
    http: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(data: &Path, environment: &[(&str, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sojourn"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SOJOURN_")) {
            command.env_remove(name);
        }
        command.arg("serve").arg("--data").arg(data).args(["--shards", "1", "--partitions", "8"]);
        command.args(["--http-listen", "127.0.0.1:0", "--tcp-listen", "127.0.0.1:0"]);
        command.args(["--journal-segment-bytes", "4MiB", "--journal-tail-bytes-max", "16MiB"]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let line: Value = serde_json::from_str(&line).expect("the first line is JSON");
        Self { child, http: line["http"].as_str().expect("an address").to_owned() }
    }

    /// One request on a connection of its own: status and body, or nothing if the server went away.
    fn call(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.http).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).ok()?))
    }

    /// The fate of event `n`, sent alone: `accepted` or `duplicate`, or nothing if it was not acknowledged.
    fn send(&self, n: usize) -> Option<String> {
        let event = json!({"id": format!("e{n}"), "type": "visit", "profile": format!("crm:{n}"), "properties": {}});
        let (status, body) = self.call("POST", "/v1/events", &event.to_string())?;
        (status == 200).then(|| body["results"][0]["status"].as_str().expect("a status").to_owned())
    }
}

/// Compiles the library that lets syncs fail.
fn failing_sync(directory: &Path) -> PathBuf {
    let library = directory.join("failing_sync.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/failing_sync.c");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(command.status().expect("a C compiler is needed to build the program, too").success());
    library
}

/// Sends events until one is not acknowledged, with so many syncs before the first that fails.
fn check(library: &Path, syncs: usize) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    // A first life without failures: the directory and its segments are there.
    let mut first = Server::start(&data, &[]);
    assert_eq!(first.send(0).as_deref(), Some("accepted"));
    first.child.kill().expect("killed");
    drop(first);

    let preload = [("LD_PRELOAD", library.display().to_string()), ("SYNCS_BEFORE_FAILURE", syncs.to_string())];
    let mut server = Server::start(&data, &preload);
    let mut acknowledged = 1;
    while server.send(acknowledged).is_some() {
        acknowledged += 1;
        assert!(acknowledged < 10 * syncs, "each acknowledgement takes a sync");
    }
    assert!(acknowledged > 1, "some were acknowledged before");
    let status = server.child.wait().expect("it ends by itself");
    assert_eq!(status.code(), Some(75), "{syncs} syncs: restart me");

    let server = Server::start(&data, &[]);
    for n in 0..acknowledged {
        assert_eq!(server.send(n).as_deref(), Some("duplicate"), "{syncs} syncs: event {n} was acknowledged");
    }
    let (_, report) = server.call("GET", "/v1/reports", "").expect("a report");
    let events = report["events"].as_u64().expect("a count") as usize;
    assert!((acknowledged..=acknowledged + 1).contains(&events), "{syncs} syncs: {events} of {acknowledged}");
}

#[test]
fn a_failed_sync_exits_with_75_and_the_next_start_has_all_that_was_acknowledged() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let library = failing_sync(place.path());
    for syncs in [60, 101] {
        check(&library, syncs);
    }
}
