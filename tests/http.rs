//! The built server from outside: first line, feed, resources, reports, profiles, kills, second processes, backups, keys,
//! TLS, stops. Everything on free ports and in temporary directories.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

const JOURNEY: &str = r#"
kind: event
name: bought
schema: { total: number }
---
kind: message
name: thanks
channel: log
subject: "Thanks"
body: "You spent {{ event.total }}."
---
kind: journey
name: nurture
entry: { event: bought }
start: thank
nodes:
  thank: { message: thanks, then: pause }
  pause: { wait: 1d, then: done }
  done: { end: true }
"#;

/// A server process; killed when dropped.
struct Server {
    child: Child,
    addresses: Value,
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
    fn start(data: &Path, flags: &[&str]) -> Self {
        let data = data.display().to_string();
        let ports = ["serve", "--data", &data, "--http-listen", "127.0.0.1:0", "--tcp-listen", "127.0.0.1:0"];
        let mut child = program(&[&ports, flags].concat()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let addresses = serde_json::from_str(&line).expect("the first line is JSON");
        Self { child, addresses }
    }

    fn url(&self) -> String {
        format!("http://{}", self.addresses["http"].as_str().expect("an address"))
    }

    /// Runs a client command; its one object.
    fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{arguments:?}: {stdout} {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        program(&[arguments, &["--json", "--server", &self.url()]].concat()).output().expect("the program starts")
    }

    /// Sends a signal and gives the exit code.
    fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
        self.child.wait().expect("it ends").code()
    }
}

/// Writes resources and this many events of as many customers; their paths.
fn inputs(directory: &Path, events: u32) -> (String, String) {
    let lines: String = (0..events)
        .map(|i| format!("{}\n", json!({"id": format!("e-{i}"), "type": "bought", "profile": format!("crm:{i}"), "properties": {"total": i}})))
        .collect();
    let (resources, feed) = (directory.join("resources.yaml"), directory.join("events.ndjson"));
    std::fs::write(&resources, JOURNEY).expect("written");
    std::fs::write(&feed, lines).expect("written");
    (resources.display().to_string(), feed.display().to_string())
}

fn entered(server: &Server) -> Value {
    server.ask(&["report", "nurture"])["journeys"]["nurture"]["entered"].clone()
}

#[test]
fn a_journey_from_the_outside_through_kill_stop_and_restore() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (resources, feed) = inputs(directory.path(), 300);
    let data = directory.path().join("data");
    let server = Server::start(&data, &["--shards", "2"]);
    assert_eq!(server.addresses["grpc"], server.addresses["http"]);
    assert_eq!(server.addresses["pid"], server.child.id());
    server.ask(&["apply", &resources]);
    assert_eq!(
        server.ask(&["send", &feed, "--batch", "100"]),
        json!({"accepted": 300, "duplicates": 0, "rejected": 0})
    );
    assert_eq!(entered(&server), 300);
    assert_eq!(server.ask(&["shards", "set", "3"])["count"], 3);
    let hash = server.ask(&["report", "--hash"])["hash"].clone();
    let profile = server.ask(&["profile", "crm:7"]);
    assert_eq!(
        (&profile["instances"][0]["node"], &profile["instances"][0]["journey"]),
        (&"pause".into(), &"nurture".into())
    );
    let timeline = profile["timeline"].as_array().expect("a timeline");
    assert!(timeline.iter().any(|item| item["what"] == "event" && item["event_id"] == "e-7"), "{timeline:?}");

    // Killed: everything acknowledged is there again, repeats are known, decisions are the same.
    assert_eq!(server.end("-KILL"), None);
    let server = Server::start(&data, &["--shards", "1"]);
    assert_eq!(entered(&server), 300);
    assert_eq!(server.ask(&["send", &feed]), json!({"accepted": 0, "duplicates": 300, "rejected": 0}));
    assert_eq!(server.ask(&["report", "--hash"])["hash"], hash);

    // A second process keeps out, and so does a backup.
    let second = program(&[
        "serve",
        "--data",
        &data.display().to_string(),
        "--http-listen",
        "127.0.0.1:0",
        "--tcp-listen",
        "127.0.0.1:0",
    ]);
    let second = { second }.output().expect("the program starts");
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains(&server.child.id().to_string()));
    let (data_text, copy) = (data.display().to_string(), directory.path().join("copy").display().to_string());
    let refused = program(&["backup", "--data", &data_text, &copy]).output().expect("the program starts");
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));

    // Stopped in order, copied, restored elsewhere: the same again.
    assert_eq!(server.end("-TERM"), Some(0));
    let restored = directory.path().join("restored");
    for arguments in
        [["backup", "--data", &data_text, &copy], ["restore", "--data", &restored.display().to_string(), &copy]]
    {
        let output = program(&arguments).output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let server = Server::start(&restored, &[]);
    assert_eq!(entered(&server), 300);
    assert_eq!(server.ask(&["report", "--hash"])["hash"], hash);
    assert_eq!(server.ask(&["send", &feed])["duplicates"], 300);
    assert_eq!(server.end("-INT"), Some(0));
}

#[test]
fn journeys_stop_and_refusals_exit_with_4() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (resources, feed) = inputs(directory.path(), 3);
    let server = Server::start(&directory.path().join("data"), &[]);
    server.ask(&["apply", &resources]);
    server.ask(&["send", &feed]);
    let other = JOURNEY.replace("name: nurture", "name: thanks_again\npriority: 70");
    let journey = other.split("---\n").last().expect("the journey").to_owned();
    std::fs::write(&resources, format!("{JOURNEY}---\n{journey}")).expect("written");
    server.ask(&["apply", &resources]);
    let overlaps = server.ask(&["journeys", "conflicts", "nurture"]);
    let overlap = &overlaps["conflicts"][0];
    assert_eq!((&overlap["with"], &overlap["event"]), (&json!("thanks_again"), &json!("bought")), "{overlaps}");
    assert_eq!((&overlap["wins"], &overlap["wins_by"]), (&json!("thanks_again"), &json!("priority")), "{overlaps}");
    assert_eq!(server.run(&["journeys", "conflicts", "nurtur"]).status.code(), Some(4));
    let people = program(&["journeys", "conflicts", "--server", &server.url()]).output().expect("the program starts");
    let people = String::from_utf8(people.stdout).expect("UTF-8");
    assert!(people.contains("event bought") && people.contains("thanks_again"), "{people}");
    let stopped = server.ask(&["journeys", "stop", "nurture"]);
    assert_eq!(stopped["name"], "nurture");
    for arguments in
        [["journeys", "close", "nobody"], ["profile", "crm:unknown", "--timeline=1"], ["deliveries", "resolve", "x"]]
    {
        let mut arguments = arguments.to_vec();
        if arguments[1] == "resolve" {
            arguments.push("sent");
        }
        assert_eq!(server.run(&arguments).status.code(), Some(4), "{arguments:?}");
    }
    std::fs::write(&resources, "kind: journey\nname: x\n").expect("written");
    assert_eq!(server.run(&["apply", &resources]).status.code(), Some(1));
}

/// Over the rate: 429 with whole seconds to wait, and room again after that.
#[tokio::test]
async fn over_the_rate_is_429_with_retry_after() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let server =
        Server::start(&directory.path().join("data"), &["--limits-events-per-second", "10", "--http-patience", "1ms"]);
    let http = client(None);
    let send = async |from: u32| {
        let events: Vec<Value> =
            (from..from + 10).map(|i| json!({"id": format!("r-{i}"), "type": "seen", "profile": "n:1"})).collect();
        http.post(format!("{}/v1/events", server.url())).json(&events).send().await.expect("an answer")
    };
    assert_eq!(send(0).await.status(), 200);
    let refused = send(10).await;
    assert_eq!(refused.status(), 429);
    let seconds: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("whole seconds");
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert_eq!(refused.json::<Value>().await.expect("JSON")["error"]["code"], "throttled");
}

fn client(authority: Option<&[u8]>) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder().timeout(Duration::from_secs(60));
    if let Some(pem) = authority {
        builder = builder.tls_certs_only([reqwest::Certificate::from_pem(pem).expect("a certificate")]);
    }
    builder.build().expect("a client")
}

#[tokio::test]
async fn keys_and_tls_guard_a_listener_that_others_reach() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    let (chain, key) = (root.join("localhost.pem"), root.join("localhost.key.pem"));
    let data = directory.path().join("data");
    let data_text = data.display().to_string();
    let open = program(&["serve", "--data", &data_text, "--http-listen", "0.0.0.0:0"]).output().expect("it starts");
    assert_eq!(open.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&open.stderr).contains("sojourn keys new NAME"));
    assert!(!data.exists(), "a refused start leaves no directory");

    let made = program(&["keys", "new", "shop", "--json"]).output().expect("it starts");
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let (secret, setting) = (made["key"].as_str().expect("a key"), made["setting"].as_str().expect("a setting"));
    let (chain, key) = (chain.display().to_string(), key.display().to_string());
    let mut server = Server::start(&data, &["--auth-keys", setting, "--tls-certificate", &chain, "--tls-key", &key]);
    let authority = std::fs::read(root.join("authority.pem")).expect("the authority");
    let port = server.addresses["http"].as_str().and_then(|a| a.rsplit(':').next()).expect("a port").to_owned();
    let url = format!("https://localhost:{port}/v1/journeys");
    let http = client(Some(&authority));
    let status = async |request: reqwest::RequestBuilder| request.send().await.map(|r| r.status().as_u16()).ok();
    assert_eq!(status(http.get(&url)).await, Some(401));
    assert_eq!(status(http.get(&url).bearer_auth("wrong")).await, Some(401));
    assert_eq!(status(http.get(&url).bearer_auth(secret)).await, Some(200));
    assert_eq!(status(http.get(&url).header("x-api-key", secret)).await, Some(200));
    assert_eq!(status(http.get(server.url())).await, None, "in clear there is no answer");
    server.child.kill().expect("killed");
    let mut rest = String::new();
    assert!(server.child.stdout.as_mut().is_none_or(|out| out.read_to_string(&mut rest).is_ok()));
}
