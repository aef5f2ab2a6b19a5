//! The demonstration: a real server on the events' clock, fed with a recorded history over its TCP feed. Owns what is
//! embedded in the binary and the order of the show; decides nothing that `serve` would not.

pub mod embedded;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::runtime::Handle;

use crate::config::{self, Config, ConfigError, Origin, Sources};
use crate::demo::embedded::HISTORY_ROWS;
use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::replay::mapping::{Mapping, MappingError};
use crate::replay::source::{Recording, SourceError};
use crate::runtime::engine::past::PastQuery;
use crate::runtime::engine::{DeliveryFilter, Engine, RequestError};
use crate::runtime::view::{ProfileView, Report};
use crate::server::{self, Addresses, Backend, Parts, Server, StartError};
use crate::store::directory::CreatedBy;
use crate::transport::client::{Client, ClientConfig, ClientError};

/// Settings of the demonstration where nobody says otherwise.
const DEFAULTS: [(&str, &str); 4] = [
    ("limits.events_per_second", "unlimited"),
    // The history is of 1997; a timeline should hold all of it.
    ("archive.retention", "36500d"),
    ("journal.segment_bytes", "16MiB"),
    ("log.filter", "warn"),
];
/// Settings it does not leave to anybody: it must not get into the way of a server on this machine.
const FIXED: [(&str, &str); 3] = [("clock", "events"), ("http.listen", "127.0.0.1:0"), ("tcp.listen", "127.0.0.1:0")];
/// Events handed to the client at once.
const CHUNK_EVENTS: usize = 1_000;
/// How often messages on their way are looked at.
const MESSAGES_POLL: Duration = Duration::from_millis(20);
/// Steps shown of one customer.
const TIMELINE_MAX: usize = 200;
/// A customer worth a look: four purchases, and messages of all three journeys.
pub const CUSTOMER: &str = "cdnow:21975";
/// Name under which the history is fed: a second run in the same directory is recognised by it.
const PRODUCER: &str = "sojourn-demo";

/// How far the show is.
#[derive(Clone, Debug)]
pub enum Scene {
    /// The server listens here; so many journeys are published.
    Serving(Addresses, usize),
    /// So many events were fed, and it is this day.
    Feeding(u64, Millis),
    /// The history is over, timers run on.
    RunningOn,
    /// Messages leave.
    Delivering,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The report.
    pub report: Report,
    /// Events fed.
    pub fed: u64,
    /// Of these, how many an earlier run in this directory had fed.
    pub duplicates: u64,
    /// One customer's way.
    pub customer: ProfileView,
}

/// Why the show was over early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The configuration can't be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server did not start: most likely the directory is not the demonstration's.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The embedded resources were refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The embedded mapping can't be read.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The embedded history can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The feed broke.
    #[error(transparent)]
    Feed(#[from] ClientError),
    /// The server refused events.
    #[error("the server refused {0} of the events")]
    Rejected(u64),
    /// The server stopped.
    #[error("the server stopped: {0}")]
    Stopped(String),
    /// The embedded files could not be copied into the directory.
    #[error("can't write the example files: {0}")]
    Examples(#[from] std::io::Error),
}

/// The settings of a demonstration in `data`: those of the sources, with its own defaults.
///
/// # Errors
/// A setting can't be what it is said to be.
pub fn settings(mut sources: Sources, data: &Path, shards: Option<u16>) -> Result<Config, ConfigError> {
    let given = config::load(&sources)?;
    let is_default = |key: &str| given.values.iter().any(|(d, _, origin)| d.key == key && *origin == Origin::Default);
    let mut set = |key: &str, value: String| sources.flags.push((key.to_owned(), value));
    for (key, value) in DEFAULTS.into_iter().filter(|(key, _)| is_default(key)) {
        set(key, value.to_owned());
    }
    for (key, value) in FIXED {
        set(key, value.to_owned());
    }
    set("data", data.display().to_string());
    if let Some(shards) = shards {
        set("shards", shards.to_string());
    }
    let mut config = config::load(&sources)?.config;
    // It listens on the loopback address only, and its own client brings no certificate authority.
    (config.tls.certificate, config.tls.key) = (None, None);
    Ok(config)
}

/// Starts a server in the directory of the settings, gives the show, and stops the server in order.
///
/// # Errors
/// What went wrong; the directory can be used again.
pub async fn show(
    config: &Config,
    api_key: Option<String>,
    metrics: PrometheusHandle,
    mut observe: impl FnMut(Scene),
) -> Result<Outcome, DemoError> {
    let keys = Arc::new(server::api_keys(config, api_key.as_deref()));
    let (opened, runtime) = (config.clone(), Handle::current());
    let opening = tokio::task::spawn_blocking(move || Backend::open(&opened, CreatedBy::Demo, &runtime));
    let backend = opening.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let parts = Parts { engine: backend.engine().clone(), keys, metrics };
    let deadline = config.shutdown.deadline.0;
    let server = match Server::start(config, parts).await {
        Ok(server) => server,
        Err(error) => {
            backend.stop(deadline).await;
            return Err(error.into());
        }
    };
    let outcome = perform(backend.engine(), server.addresses().clone(), api_key, &mut observe).await;
    server.drain(deadline.mul_f32(0.5)).await;
    backend.stop(deadline.mul_f32(0.5)).await;
    embedded::unpack(&config.engine.data)?;
    outcome.map_err(|error| match backend.engine().failure().reason() {
        Some(reason) => DemoError::Stopped(reason),
        None => error,
    })
}

async fn perform(
    engine: &Engine,
    addresses: Addresses,
    api_key: Option<String>,
    observe: &mut impl FnMut(Scene),
) -> Result<Outcome, DemoError> {
    engine.apply(embedded::resources()).await?;
    let tcp = addresses.tcp.to_string();
    observe(Scene::Serving(addresses, engine.catalog().journeys.len()));
    let config = ClientConfig { api_key, ..ClientConfig::new(PRODUCER, 0) };
    let mut client = Client::connect(tcp, config).await?;
    let mapping = Mapping::parse(embedded::MAPPING)?;
    let recording = Recording::new(embedded::HISTORY_NAME, Box::new(embedded::HISTORY), None);
    let (mut fed, mut chunk) = (0, Vec::with_capacity(CHUNK_EVENTS));
    for event in recording.events(Some(&mapping), engine.catalog())? {
        chunk.push(event?);
        if chunk.len() == CHUNK_EVENTS {
            feed(&mut client, &mut chunk, &mut fed, observe).await?;
        }
    }
    feed(&mut client, &mut chunk, &mut fed, observe).await?;
    assert_eq!(fed, HISTORY_ROWS, "the embedded history is whole");
    let progress = client.finish().await?;
    if progress.rejected > 0 {
        return Err(DemoError::Rejected(progress.rejected));
    }
    observe(Scene::RunningOn);
    engine.advance_clock(None).await?;
    observe(Scene::Delivering);
    deliver(engine).await?;
    let report = engine.report(None).await?;
    let customer = engine.profile(CUSTOMER, &PastQuery { limit: Some(TIMELINE_MAX), ..PastQuery::default() }).await?;
    Ok(Outcome { report, fed, duplicates: progress.duplicates, customer })
}

async fn feed(
    client: &mut Client,
    chunk: &mut Vec<Event>,
    fed: &mut u64,
    observe: &mut impl FnMut(Scene),
) -> Result<(), ClientError> {
    client.send(chunk).await?;
    *fed += chunk.len() as u64;
    if let Some(time) = chunk.last().and_then(|event| event.time) {
        observe(Scene::Feeding(*fed, time));
    }
    chunk.clear();
    Ok(())
}

/// Waits until every message has its result.
async fn deliver(engine: &Engine) -> Result<(), DemoError> {
    loop {
        engine.drain().await;
        if let Some(reason) = engine.failure().reason() {
            return Err(DemoError::Stopped(reason));
        }
        if engine.deliveries(DeliveryFilter::All, 1).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(MESSAGES_POLL).await;
    }
}
