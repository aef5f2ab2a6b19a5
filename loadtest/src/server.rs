//! The server under test: this program again, as a child process with the production wiring; and what the load test asks
//! of it over HTTP. The child ends when its standard input does, so it never outlives the test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use sojourn::config::{self, Sources};
use sojourn::runtime::view::Report;
use sojourn::server::{self, Backend, Lifecycle, Outcome, Parts, Server, Upkeep};
use sojourn::store::directory::CreatedBy;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Run;

/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The child's command line.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    /// Data directory
    #[arg(long)]
    data: PathBuf,
    /// Settings, `KEY=VALUE`
    #[arg(long = "set", value_parser = crate::setting)]
    settings: Vec<(String, String)>,
}

/// The child: serves until its standard input ends.
pub fn serve(args: &ServerArgs) -> anyhow::Result<()> {
    let mut flags = vec![
        ("data".to_owned(), args.data.display().to_string()),
        ("http.listen".to_owned(), "127.0.0.1:0".to_owned()),
        ("tcp.listen".to_owned(), "127.0.0.1:0".to_owned()),
        ("limits.events_per_second".to_owned(), "unlimited".to_owned()),
    ];
    flags.extend(args.settings.iter().cloned());
    let config = config::load(&Sources { flags, ..Sources::default() })?.config;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("sojourn-io").build()?;
    let metrics = server::record_metrics()?;
    let backend = Backend::open(&config, CreatedBy::Serve, runtime.handle())?;
    let ended = Arc::new(Notify::new());
    let ends = Arc::clone(&ended);
    std::thread::spawn(move || {
        // Ends with the parent, however that ends.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ends.notify_one();
    });
    let outcome = runtime.block_on(async {
        let engine = backend.engine().clone();
        let parts =
            Parts { engine: engine.clone(), keys: Arc::new(server::api_keys(&config, None)), metrics: metrics.clone() };
        let started = Server::start(&config, parts).await?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{}", serde_json::to_string(started.addresses())?)?;
        stdout.flush()?;
        let upkeep = Upkeep {
            engine: engine.clone(),
            dispatcher: Arc::clone(backend.dispatcher()),
            archive: Arc::clone(backend.archive()),
            metrics,
        };
        let upkeep_ends = CancellationToken::new();
        let upkeep = tokio::spawn(upkeep.run(upkeep_ends.clone()));
        let lifecycle = Lifecycle {
            signal: async || ended.notified().await,
            failed: engine.failure().raised(),
            stop_engine: async |patience| {
                upkeep_ends.cancel();
                backend.stop(patience).await;
            },
            deadline: config.shutdown.deadline.0,
        };
        let outcome = server::run(started, lifecycle).await;
        upkeep_ends.cancel();
        upkeep.await?;
        anyhow::Ok(outcome)
    })?;
    match outcome {
        Outcome::Stopped | Outcome::CutOff => Ok(()),
        Outcome::Failed(reason) => bail!("the server stopped: {reason}"),
    }
}

/// The child as the load test sees it.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Of the TCP feed.
    pub tcp: String,
    base: String,
    http: reqwest::Client,
}

impl Child {
    /// Starts it on an empty directory and waits until it listens.
    pub async fn start(data: &Path, run: &Run) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("server").arg("--data").arg(data);
        if let Some(shards) = run.shards {
            command.arg("--set").arg(format!("shards={shards}"));
        }
        for (key, value) in &run.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting the server")?;
        let stdout = process.stdout.take().context("the server's stdout is piped")?;
        let first = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = first.await??;
        ensure!(!line.is_empty(), "the server did not start: {}", process.wait()?);
        let addresses: Value = serde_json::from_str(&line)?;
        let address = |key: &str| addresses[key].as_str().map(str::to_owned).context("the server's addresses");
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { process, tcp: address("tcp")?, base: format!("http://{}", address("http")?), http })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Publishes resources.
    pub async fn publish(&self, text: &str) -> anyhow::Result<()> {
        let body = json!({"files": [{"name": "resources.yaml", "text": text}]});
        let response = self.http.post(format!("{}/v1/resources/apply", self.base)).json(&body).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "publishing was answered {status}: {text}");
        Ok(())
    }

    /// Its report over all journeys.
    pub async fn report(&self) -> anyhow::Result<Report> {
        let response = self.http.get(format!("{}/v1/reports", self.base)).send().await?.error_for_status()?;
        Ok(response.json().await?)
    }

    /// Asks it to stop and waits for it; it must end in order.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Fails only for a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
