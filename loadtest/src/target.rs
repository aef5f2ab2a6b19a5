//! The server under test as the load test sees it: a child process of its own, or one that runs already; and what is
//! asked of it over HTTP. A child is ended by its id, also when the test fails.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use sojourn::runtime::view::Report;
use tokio::time::{Instant, sleep};

use crate::options::{Durability, Run};

/// Longest time for one answer, and until a started server is ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often readiness is looked at.
const POLL: Duration = Duration::from_millis(2);

/// Holds the key of a server that runs already.
const KEY_VARIABLE: &str = "SOJOURN_API_KEY";
/// Shows it, over HTTP and gRPC.
pub const KEY_HEADER: &str = "x-api-key";

/// How a child is started.
#[derive(Clone, Debug)]
struct Start {
    data: PathBuf,
    settings: Vec<(String, String)>,
    durability: Durability,
}

impl Start {
    fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("server").arg("--data").arg(&self.data);
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        if self.durability == Durability::Unsynced {
            command.arg("--no-sync");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(command)
    }
}

/// A process that is killed, by its id, when it goes out of scope.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server under test.
#[derive(Debug)]
pub struct Target {
    own: Option<(Process, Start)>,
    http: String,
    tcp: String,
    client: reqwest::Client,
    api_key: Option<String>,
}

/// How long a start took.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// From the start of the process until it takes events.
    pub ready: Duration,
    /// When the process was started.
    pub at: Instant,
}

impl Target {
    /// A server that runs already, or a child on an empty directory below `directory`; ready when this returns.
    pub async fn start(directory: &Path, run: &Run, settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let api_key = std::env::var(KEY_VARIABLE).ok().filter(|_| run.connect.is_some());
        let client = client(api_key.as_deref())?.timeout(PATIENCE).build()?;
        if let Some(address) = &run.connect {
            let target = Self { own: None, http: address.http.clone(), tcp: address.tcp.clone(), client, api_key };
            target.ready(Instant::now()).await?;
            return Ok(target);
        }
        let mut all: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        all.extend(run.shards().map(|shards| ("shards".to_owned(), shards.to_string())));
        all.extend(run.settings.iter().cloned());
        let start = Start { data: directory.join("data"), settings: all, durability: run.durability() };
        let (process, http, tcp) = spawn(&start).await?;
        let target = Self { own: Some((process, start)), http, tcp, client, api_key };
        target.ready(Instant::now()).await?;
        Ok(target)
    }

    /// Where it speaks HTTP and gRPC.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Where it takes TCP feeds.
    pub fn tcp(&self) -> &str {
        &self.tcp
    }

    /// The key that it asks for, if any.
    pub fn api_key(&self) -> Option<&str> {
        self.api_key.as_deref()
    }

    /// Its process, if it is a child.
    pub fn process(&self) -> Option<u32> {
        self.own.as_ref().map(|(process, _)| process.0.id())
    }

    /// Its data directory, if it is a child.
    pub fn data(&self) -> Option<&Path> {
        self.own.as_ref().map(|(_, start)| start.data.as_path())
    }

    /// Kills the child (`SIGKILL`) and starts another on what it left.
    pub async fn kill_and_start(&mut self) -> anyhow::Result<Started> {
        let (mut process, start) = self.own.take().context("only a server of its own can be killed")?;
        process.0.kill()?;
        process.0.wait()?;
        let at = Instant::now();
        let (process, http, tcp) = spawn(&start).await?;
        (self.own, self.http, self.tcp) = (Some((process, start)), http, tcp);
        self.ready(at).await?;
        Ok(Started { ready: at.elapsed(), at })
    }

    /// Asks the child to stop and waits for it; it must end in order. Leaves another's server alone.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some((process, _)) = &mut self.own else { return Ok(()) };
        drop(process.0.stdin.take());
        let status = process.0.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Waits until it takes events.
    async fn ready(&self, since: Instant) -> anyhow::Result<()> {
        loop {
            let answer = self.client.get(self.url("/health/ready")).send().await;
            if answer.as_ref().is_ok_and(|response| response.status() == StatusCode::OK) {
                return Ok(());
            }
            ensure!(since.elapsed() < PATIENCE, "the server at {} is not ready: {answer:?}", self.http);
            sleep(POLL).await;
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Publishes resources.
    pub async fn publish(&self, text: &str) -> anyhow::Result<()> {
        let body = json!({"files": [{"name": "resources.yaml", "text": text}]});
        let response = self.client.post(self.url("/v1/resources/apply")).json(&body).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "publishing was answered {status}: {text}");
        Ok(())
    }

    /// Its report over all journeys.
    pub async fn report(&self) -> anyhow::Result<Report> {
        let response = self.client.get(self.url("/v1/reports")).send().await?.error_for_status()?;
        Ok(response.json().await?)
    }

    /// Moves its partitions to so many shards; returns when every move is durable.
    pub async fn set_shards(&self, count: u16) -> anyhow::Result<()> {
        let request = self.client.put(self.url("/v1/shards")).json(&json!({ "count": count }));
        let response = request.send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "moving to {count} shards was answered {status}: {text}");
        Ok(())
    }
}

/// A client of HTTP that shows this key.
pub fn client(api_key: Option<&str>) -> anyhow::Result<reqwest::ClientBuilder> {
    let mut headers = HeaderMap::new();
    if let Some(key) = api_key {
        let mut key = HeaderValue::from_str(key).context("the key can't be a header's value")?;
        key.set_sensitive(true);
        headers.insert(KEY_HEADER, key);
    }
    Ok(reqwest::Client::builder().no_proxy().default_headers(headers))
}

/// Starts a child and reads where it listens.
async fn spawn(start: &Start) -> anyhow::Result<(Process, String, String)> {
    let mut process = Process(start.command()?.spawn().context("starting the server")?);
    let stdout = process.0.stdout.take().context("the server's stdout is piped")?;
    let first = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map(|_| line)
    });
    let line = first.await??;
    ensure!(!line.is_empty(), "the server did not start: {}", process.0.wait()?);
    let addresses: Value = serde_json::from_str(&line)?;
    let address = |key: &str| addresses[key].as_str().map(str::to_owned).context("the server's addresses");
    Ok((process, address("http")?, address("tcp")?))
}
