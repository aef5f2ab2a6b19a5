//! The server under test, as this program runs it in a child process: the production wiring. It ends when its standard
//! input does, so it never outlives the test.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use sojourn::config::{self, Sources};
use sojourn::server::{self, Backend, Lifecycle, Outcome, Parts, Server, Upkeep};
use sojourn::store::directory::CreatedBy;
use sojourn::store::journal::SyncMode;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The child's command line.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    /// Data directory
    #[arg(long)]
    data: PathBuf,
    /// Settings, `KEY=VALUE`
    #[arg(long = "set", value_parser = crate::options::setting)]
    settings: Vec<(String, String)>,
    /// Don't sync the journal
    #[arg(long)]
    no_sync: bool,
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
    let sync = if args.no_sync { SyncMode::Off } else { SyncMode::Always };
    let backend = Backend::open_with(&config, CreatedBy::Serve, runtime.handle(), sync)?;
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
