//! `sojourn serve`: opens everything, says where it listens, serves until told to stop, and says by its exit code how
//! it ended.

use std::sync::Arc;

use sojourn::config::Config;
use sojourn::server::{self, Backend, Lifecycle, Outcome, Parts, Server, Upkeep};
use sojourn::store::directory::CreatedBy;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::logging;
use crate::output::print_line;
use crate::settings::SettingsArgs;

/// Serves.
pub fn run(args: SettingsArgs) -> Result<(), Failure> {
    let loaded = args.load()?;
    logging::start(&loaded.config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("sojourn-io")
        .build()
        .map_err(|e| Failure::Failed(format!("can't start: {e}")))?;
    match serve(&loaded.config, &runtime)? {
        Outcome::Stopped => Ok(()),
        Outcome::CutOff => {
            tracing::warn!("cut off; nothing acknowledged is lost, and the next start recovers the rest");
            exit_now(0)
        }
        Outcome::Failed(reason) => {
            tracing::error!(reason, "stopped; start again to recover");
            eprintln!("sojourn: stopped: {reason}; start again to recover");
            exit_now(75)
        }
    }
}

/// Leaves at once: threads that wait for a disk that does not answer would hold up an ordinary return.
fn exit_now(code: i32) -> ! {
    std::process::exit(code)
}

fn serve(config: &Config, runtime: &tokio::runtime::Runtime) -> Result<Outcome, Failure> {
    let failed = |error: server::StartError| Failure::Failed(format!("can't start: {error}"));
    // Everything that a wrong setting can spoil comes before the data directory is touched.
    let keys = Arc::new(server::api_keys(config, std::env::var("SOJOURN_API_KEY").ok().as_deref()));
    server::check_exposure(config, &keys).map_err(|error| Failure::Usage(error.to_string()))?;
    let metrics = server::record_metrics().map_err(failed)?;
    let backend = Backend::open(config, CreatedBy::Serve, runtime.handle()).map_err(failed)?;
    runtime.block_on(async {
        let engine = backend.engine().clone();
        let parts = Parts { engine: engine.clone(), keys, metrics: metrics.clone() };
        let started = match Server::start(config, parts).await {
            Ok(server) => server,
            Err(error) => {
                backend.stop(config.shutdown.deadline.0).await;
                return Err(failed(error));
            }
        };
        let addresses = serde_json::to_string(started.addresses()).expect("addresses are plain values");
        // Handlers before the line: whoever reads it may send a signal at once.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
        print_line(&addresses);
        tracing::info!(addresses, "serving");
        let upkeep_ends = CancellationToken::new();
        let upkeep = Upkeep {
            engine: engine.clone(),
            dispatcher: Arc::clone(backend.dispatcher()),
            archive: Arc::clone(backend.archive()),
            metrics,
        };
        let upkeep = tokio::spawn(upkeep.run(upkeep_ends.clone()));
        let signals = Mutex::new((&mut interrupt, &mut terminate));
        let lifecycle = Lifecycle {
            signal: async || {
                let (interrupt, terminate) = &mut *signals.lock().await;
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            },
            failed: engine.failure().raised(),
            stop_engine: async |patience| {
                upkeep_ends.cancel();
                backend.stop(patience).await;
            },
            deadline: config.shutdown.deadline.0,
        };
        let outcome = server::run(started, lifecycle).await;
        upkeep_ends.cancel();
        if outcome == Outcome::Stopped {
            // It was told to, above.
            let _ = upkeep.await;
        }
        Ok(outcome)
    })
}
