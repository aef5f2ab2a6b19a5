//! Log lines: structured, on stderr, as text or JSON.

use sojourn::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Sends log lines to stderr from here on.
pub fn start(settings: &Log) -> Result<(), Failure> {
    let filter: EnvFilter = settings.filter.parse().map_err(|e| {
        Failure::Usage(format!("log.filter can't be {:?}: {e}; e.g. info,sojourn=debug", settings.filter))
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
    started.map_err(|e| Failure::Failed(format!("can't start logging: {e}")))
}
