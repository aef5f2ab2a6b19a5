//! The built program as a child process: started on free ports, killed or stopped, never left behind.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// Longest time for a start, a stop, or an answer. Nobody waits that long; it bounds a hang.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
pub const POLL: Duration = Duration::from_millis(25);

/// The program: the one built with these tests, or the one that `SOJOURN_BINARY` names.
pub fn program() -> OsString {
    std::env::var_os("SOJOURN_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_sojourn").into())
}

/// A process that is killed, by its id, when it goes out of scope.
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server on its way up; dropping it is `kill -9`.
pub struct Starting {
    process: Process,
    first_line: oneshot::Receiver<String>,
}

/// A server that has said where it listens.
pub struct Server {
    process: Process,
    /// Where it takes TCP feeds.
    pub tcp: String,
    /// Its HTTP API.
    pub api: Api,
}

impl Starting {
    /// Starts `sojourn serve` on the directory, on free ports of the loopback; its log goes to the end of `log`.
    pub fn new(data: &Path, settings: &[(&str, String)], log: &Path) -> Self {
        let stderr = File::options().create(true).append(true).open(log).expect("the log can be opened");
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SOJOURN_")) {
            command.env_remove(name);
        }
        command.arg("serve").arg("--data").arg(data);
        command.args(["--http-listen", "127.0.0.1:0", "--tcp-listen", "127.0.0.1:0"]);
        command.args(["--limits-events-per-second", "unlimited"]);
        for (flag, value) in settings {
            command.arg(format!("--{flag}")).arg(value);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("it is piped");
        let (told, first_line) = oneshot::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            if let Some(Ok(line)) = lines.next() {
                // Whoever started it may have killed it meanwhile.
                let _ = told.send(line);
            }
            // A pipe that nobody reads would stop a server that goes on writing.
            lines.for_each(drop);
        });
        Self { process: Process(child), first_line }
    }

    /// Waits until it listens.
    pub async fn listening(mut self) -> Server {
        let Ok(line) = timeout(PATIENCE, self.first_line).await.expect("the server starts in time") else {
            panic!("the server ended before it listened: {:?}", self.process.0.wait());
        };
        let line: Value = serde_json::from_str(&line).expect("the first line is JSON");
        let text = |key: &str| line[key].as_str().expect("an address").to_owned();
        Server { process: self.process, tcp: text("tcp"), api: Api::new(&text("http")) }
    }
}

impl Server {
    /// `kill -9`. It must be alive until then: a server that ended by itself is a failure.
    pub fn kill(mut self) {
        if let Some(status) = self.process.0.try_wait().expect("the child can be asked") {
            panic!("the server ended by itself: {status}");
        }
        self.process.kill();
    }

    /// Asks it to stop, and waits until it did.
    pub async fn stop(mut self) -> ExitStatus {
        let id = self.process.0.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(told.success(), "the server is there to be told");
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.0.try_wait().expect("the child can be asked") {
                return status;
            }
            assert!(Instant::now() < until, "the server stops in time");
            sleep(POLL).await;
        }
    }
}

/// The HTTP API of a server. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Its address, as commands take it.
    pub base: String,
    http: reqwest::Client,
}

impl Api {
    fn new(address: &str) -> Self {
        // The first one in the process stays; they are all the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Self { base: format!("http://{address}"), http }
    }

    /// One request; status and body, or an error where the connection failed.
    pub async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<(u16, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await?))
    }

    /// One GET that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(reqwest::Method::GET, path, None).await.expect("the server answers");
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// Publishes these files (name and text).
    pub async fn publish(&self, files: &[(String, String)]) {
        let files: Vec<Value> = files.iter().map(|(name, text)| json!({"name": name, "text": text})).collect();
        let body = json!({"files": files});
        let answer = self.call(reqwest::Method::POST, "/v1/resources/apply", Some(&body)).await;
        let (status, body) = answer.expect("the server answers");
        assert_eq!(status, 200, "publishing: {body}");
    }
}
