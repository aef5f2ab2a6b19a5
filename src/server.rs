//! Wiring: opens listeners over a running engine and stops everything in order. Decides nothing about events.
//!
//! A stop has one deadline for all its phases:
//! 1. readiness turns false and listeners stop accepting;
//! 2. transports drain: requests and batches in the works end with their acknowledgements;
//! 3. shards finish what they hold;
//! 4. channels let attempts in flight end, while their reports are still taken;
//! 5. a last checkpoint and the journal's end mark are written;
//! 6. everything is closed ([`Backend::stop`] does 3 to 6).
//!
//! Whatever misses the deadline is cut off. Nothing acknowledged is lost by that: every acknowledgement follows its
//! sync, and the next start recovers what the last one could not tidy.

mod backend;
mod upkeep;

pub use backend::Backend;
pub use upkeep::Upkeep;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::channel::log::LogError;
use crate::channel::{CallTls, Unusable};
use crate::config::{Clock, Config};
use crate::report::archive::ArchiveError;
use crate::runtime::engine::Engine;
use crate::store::error::StoreError;
use crate::store::timers::TimerIndexError;
use crate::transport::api_keys::{self, ApiKeys};
use crate::transport::clock::{EventClock, SourceClock};
use crate::transport::grpc::{self, GrpcOptions};
use crate::transport::http::{Api, ApiOptions, HttpListener, ListenerOptions, router};
use crate::transport::keys::KeyRegistry;
use crate::transport::stream::Streams;
use crate::transport::tcp::{self, TcpOptions};

/// Share of the deadline that draining transports may use up.
const DRAIN_SHARE: f32 = 0.6;

/// Why a server can't start; the operator mends the named setting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Anybody could send and read events.
    #[error(
        "{setting} {address} is reachable from other machines, but there is no API key: make one with `sojourn keys new NAME` \
         and put its digest into auth.keys, or listen on 127.0.0.1"
    )]
    Open {
        /// Setting of the listener.
        setting: &'static str,
        /// Its address.
        address: SocketAddr,
    },
    /// Keys and events would cross the network in clear.
    #[error(
        "{setting} {address} is reachable from other machines, but not encrypted: set tls.certificate and tls.key, or \
         allow_plaintext if a proxy in front encrypts, or listen on 127.0.0.1"
    )]
    Plaintext {
        /// Setting of the listener.
        setting: &'static str,
        /// Its address.
        address: SocketAddr,
    },
    /// An address can't be had.
    #[error("{setting} {address}: {source}")]
    Bind {
        /// Setting of the listener.
        setting: &'static str,
        /// Its address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Certificate or key can't be used.
    #[error("{setting}: {message}")]
    Tls {
        /// The setting.
        setting: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The metrics recorder can't be installed.
    #[error("metrics: {0}")]
    Metrics(String),
    /// The data directory can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The timer index can't be used.
    #[error(transparent)]
    Timers(#[from] TimerIndexError),
    /// The archive can't be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file of the log channel can't be used.
    #[error(transparent)]
    Messages(#[from] LogError),
    /// The engine can't start.
    #[error(transparent)]
    Engine(#[from] crate::runtime::engine::start::StartError),
}

/// Records metrics from here on; once a process.
pub fn record_metrics() -> Result<PrometheusHandle, StartError> {
    /// From a commit on a fast disk to a provider that thinks.
    const SECONDS: [f64; 14] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| StartError::Metrics(error.to_string()))
}

/// Refuses listeners that would let strangers in.
pub fn check_exposure(config: &Config, keys: &ApiKeys) -> Result<(), StartError> {
    for (setting, address) in [("http.listen", config.http.listen), ("tcp.listen", config.tcp.listen)] {
        if address.ip().is_loopback() {
            continue;
        }
        if keys.is_empty() {
            return Err(StartError::Open { setting, address });
        }
        if config.tls.certificate.is_none() && !config.engine.allow_plaintext {
            return Err(StartError::Plaintext { setting, address });
        }
    }
    Ok(())
}

/// The keys of the settings, and one in clear from the environment if there is one.
pub fn api_keys(config: &Config, environment_key: Option<&str>) -> ApiKeys {
    let registry = ApiKeys::new();
    for key in &config.auth.keys {
        registry.insert(&key.name, key.digest);
    }
    if let Some(key) = environment_key.filter(|key| !key.is_empty()) {
        registry.insert("environment", api_keys::digest(key));
    }
    registry
}

/// TLS as the settings have it, offering these protocols; `None` without a certificate.
pub fn tls(config: &Config, protocols: &[&[u8]]) -> Result<Option<Arc<rustls::ServerConfig>>, StartError> {
    let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) else { return Ok(None) };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|e| unusable("tls.certificate", certificate, &e))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable("tls.key", key, &e))?;
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|e| unusable("tls.certificate", certificate, &e))?;
    tls.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Ok(Some(Arc::new(tls)))
}

/// What calls show and trust, as the settings have it. An error names the setting and the file.
pub fn call_tls(config: &Config) -> Result<CallTls, StartError> {
    let read = |setting, path: &Path| std::fs::read(path).map_err(|error| unusable(setting, path, &error));
    let mut tls = CallTls::default();
    if let (Some(certificate), Some(key)) = (&config.calls.client_certificate, &config.calls.client_key) {
        let (chain, private) = (read("calls.client_certificate", certificate)?, read("calls.client_key", key)?);
        tls = tls.showing(&chain, &private).map_err(|which| match which {
            Unusable::Certificate(message) => unusable("calls.client_certificate", certificate, &message),
            Unusable::Key(message) => unusable("calls.client_key", key, &message),
        })?;
    }
    if let Some(ca) = &config.calls.ca {
        tls = tls.trusting(&read("calls.ca", ca)?).map_err(|message| unusable("calls.ca", ca, &message))?;
    }
    Ok(tls)
}

/// The file of a setting can't be used, for this reason.
fn unusable(setting: &'static str, path: &Path, why: &dyn std::fmt::Display) -> StartError {
    StartError::Tls { setting, message: format!("{}: {why}", path.display()) }
}

/// Binds the address of a setting.
pub fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Bind { setting, address, source })
}

/// Where a server listens and lives: the first line of `serve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// gRPC: the same port as HTTP.
    pub grpc: SocketAddr,
    /// The TCP feed.
    pub tcp: SocketAddr,
    /// Data directory.
    pub data: String,
    /// Process id.
    pub pid: u32,
}

/// Listeners over a running engine.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    draining: Arc<AtomicBool>,
    http: HttpListener,
    health: Option<HealthReporter>,
    streams: CancellationToken,
    tasks: TaskTracker,
}

/// What the listeners need besides settings.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The running engine.
    pub engine: Engine,
    /// Who may speak; see [`api_keys()`].
    pub keys: Arc<ApiKeys>,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
}

impl Server {
    /// Opens all listeners, or none. To be called on the runtime that serves them, after the recorder of metrics.
    pub async fn start(config: &Config, parts: Parts) -> Result<Self, StartError> {
        check_exposure(config, &parts.keys)?;
        let web_tls = tls(config, &[b"h2", b"http/1.1"])?;
        let feed_tls = tls(config, &[])?;
        let web_socket = bind("http.listen", config.http.listen)?;
        let feed_socket = bind("tcp.listen", config.tcp.listen)?;
        let refuse = |setting, address| move |source| StartError::Bind { setting, address, source };

        let streams = Streams::new(config.tcp.connections_max);
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let event_clock = match config.engine.clock {
            Clock::Wall => EventClock::Wall,
            Clock::Events => EventClock::Events,
        };
        let api_options = ApiOptions {
            request_timeout: config.http.request_timeout.0,
            patience: config.http.patience.0,
            requests_max: config.http.requests_max,
        };
        let registry: Arc<dyn KeyRegistry> = Arc::clone(&parts.keys) as _;
        let grpc = grpc::routes(
            parts.engine.clone(),
            GrpcOptions {
                clock: event_clock,
                patience: config.http.patience.0,
                tasks: tasks.clone(),
                ..GrpcOptions::new(Arc::clone(&registry), Arc::clone(&streams), shutdown.clone())
            },
        )
        .await;
        let api =
            Api::new(parts.engine.clone(), parts.keys, SourceClock::new(event_clock, None), parts.metrics, api_options);
        let draining = Arc::clone(&api.draining);
        // Both have an answer for unknown paths; that of the API stays, and gRPC clients read its 404 as "unimplemented".
        let routes = router(api).merge(grpc.routes.into_axum_router().reset_fallback());
        let listener_options = ListenerOptions {
            connections_max: config.http.connections_max,
            header_timeout: config.http.header_timeout.0,
        };
        let http = HttpListener::start(web_socket, routes, web_tls, listener_options)
            .map_err(refuse("http.listen", config.http.listen))?;

        feed_socket.set_nonblocking(true).map_err(refuse("tcp.listen", config.tcp.listen))?;
        let feed = tokio::net::TcpListener::from_std(feed_socket).map_err(refuse("tcp.listen", config.tcp.listen))?;
        let feed_address = feed.local_addr().map_err(refuse("tcp.listen", config.tcp.listen))?;
        let feed_options = TcpOptions { clock: event_clock, tls: feed_tls, ..TcpOptions::new(registry, streams) };
        let serving = tcp::serve(feed, parts.engine, feed_options, shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the TCP feed ended with an error");
            }
        });
        let addresses = Addresses {
            http: http.address(),
            grpc: http.address(),
            tcp: feed_address,
            data: config.engine.data.display().to_string(),
            pid: std::process::id(),
        };
        Ok(Self { addresses, draining, http, health: Some(grpc.health), streams: shutdown, tasks })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Phases 1 and 2 of a stop: not ready, no new connections, then what is under way ends, for at most `patience`.
    pub async fn drain(self, patience: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        if let Some(health) = &self.health {
            for service in ["", "sojourn.v1.IngestService"] {
                health.set_service_status(service, ServingStatus::NotServing).await;
            }
        }
        self.streams.cancel();
        self.tasks.close();
        let (http, streams) =
            tokio::join!(self.http.drain(patience), tokio::time::timeout(patience, self.tasks.wait()));
        if let Err(error) = http {
            tracing::warn!(%error, "the HTTP listener ended with an error");
        }
        if streams.is_err() {
            tracing::warn!("streams did not end in time; what they were not told is durable or will be sent again");
        }
    }
}

/// How a server came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In order, and whole.
    Stopped,
    /// The deadline passed, or a second signal came: the next start recovers what is untidy.
    CutOff,
    /// The engine failed, for this reason: start again.
    Failed(String),
}

/// What a server's end depends on.
#[derive(Debug)]
pub struct Lifecycle<S, F, E> {
    /// Resolves at each signal to stop.
    pub signal: S,
    /// Resolves with the reason once the engine can't go on.
    pub failed: F,
    /// Stops the engine in order (phases 3 to 6), within the time given.
    pub stop_engine: E,
    /// For all phases of a stop together.
    pub deadline: Duration,
}

/// Serves until a signal or a failure; then stops in order.
///
/// After a failure nothing is drained: what was not acknowledged never will be, and every second counts for the restart.
pub async fn run<S, F, E>(server: Server, lifecycle: Lifecycle<S, F, E>) -> Outcome
where
    S: AsyncFn(),
    F: Future<Output = String>,
    E: AsyncFnOnce(Duration),
{
    let Lifecycle { signal, failed, stop_engine, deadline } = lifecycle;
    let mut failed = std::pin::pin!(failed);
    // Cancel safe: both branches are only awaited, never half done.
    tokio::select! {
        biased;
        reason = &mut failed => return Outcome::Failed(reason),
        () = signal() => {}
    }
    let ends_at = tokio::time::Instant::now() + deadline;
    tracing::info!(deadline_ms = deadline.as_millis(), "stopping in order; a second signal stops at once");
    let stopping = async {
        // Draining gets most of the time, never all of it: the last checkpoint saves the next start its replay.
        server.drain(deadline.mul_f32(DRAIN_SHARE)).await;
        tracing::info!("transports have drained");
        stop_engine(ends_at.saturating_duration_since(tokio::time::Instant::now())).await;
        tracing::info!("the engine has stopped");
    };
    tokio::select! {
        biased;
        reason = &mut failed => Outcome::Failed(reason),
        () = signal() => Outcome::CutOff,
        stopped = tokio::time::timeout_at(ends_at, stopping) => match stopped {
            Ok(()) => Outcome::Stopped,
            Err(_) => Outcome::CutOff,
        },
    }
}

#[cfg(test)]
mod tests;
