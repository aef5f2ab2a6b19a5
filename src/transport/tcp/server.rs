//! Accepts connections and owns their tasks until the last has ended. Reads no frame itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::runtime::ingest::Ingest;
use crate::transport::clock::EventClock;
use crate::transport::keys::KeyRegistry;
use crate::transport::stream::{Streams, Window};
use crate::transport::tcp::connection::{self, Connection};

/// A rest after a failed accept (no file descriptors left, for one), so that the loop doesn't spin until it is over.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How the TCP feed behaves.
#[derive(Clone)]
pub struct TcpOptions {
    /// What moves timers.
    pub clock: EventClock,
    /// Who may send.
    pub keys: Arc<dyn KeyRegistry>,
    /// TLS, if the feed speaks it.
    pub tls: Option<Arc<ServerConfig>>,
    /// All streams of the server: shared with gRPC, since a producer has one stream over all feeds.
    pub streams: Arc<Streams>,
    /// What each connection may have unacknowledged.
    pub window: Window,
    /// A connection must complete TLS and its hello within this.
    pub hello_timeout: Duration,
    /// A connection that completes no frame for this long is closed; half-way it is asked by a ping. Also how long one write may take.
    pub idle_timeout: Duration,
    /// At shutdown, how long acks of what was accepted are awaited.
    pub drain_timeout: Duration,
}

impl std::fmt::Debug for TcpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpOptions")
            .field("clock", &self.clock)
            .field("tls", &self.tls.is_some())
            .field("window", &self.window)
            .field("hello_timeout", &self.hello_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("drain_timeout", &self.drain_timeout)
            .finish_non_exhaustive()
    }
}

impl TcpOptions {
    /// The defaults: wall clock, no TLS.
    pub fn new(keys: Arc<dyn KeyRegistry>, streams: Arc<Streams>) -> Self {
        Self {
            clock: EventClock::Wall,
            keys,
            tls: None,
            streams,
            window: Window::default(),
            hello_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves the feed until `shutdown`; then reads no more, acknowledges what was accepted, says goodbye on every
/// connection, and returns when all are closed.
///
/// # Errors
/// The listener has no address any more.
pub async fn serve<E: Ingest>(
    listener: TcpListener,
    engine: E,
    options: TcpOptions,
    shutdown: CancellationToken,
) -> io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, tls = options.tls.is_some(), "tcp feed listens");
    let connections = TaskTracker::new();
    let options = Arc::new(options);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let connection = Connection {
                    engine: engine.clone(),
                    options: Arc::clone(&options),
                    shutdown: shutdown.clone(),
                    peer,
                };
                connections.spawn(start(socket, connection));
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a tcp connection");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn start<E: Ingest>(socket: TcpStream, connection: Connection<E>) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, peer = %connection.peer, "failed to set nodelay");
    }
    let Some(tls) = connection.options.tls.clone() else {
        return connection::run(socket, connection).await;
    };
    let handshake = TlsAcceptor::from(tls).accept(socket);
    match tokio::time::timeout(connection.options.hello_timeout, handshake).await {
        Ok(Ok(socket)) => connection::run(socket, connection).await,
        Ok(Err(error)) => tracing::debug!(%error, peer = %connection.peer, "tls handshake failed"),
        Err(_) => tracing::debug!(peer = %connection.peer, "tls handshake took too long"),
    }
}
