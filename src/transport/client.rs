//! A client of the TCP feed, for the command line, `loadtest` and other producers in Rust. Keeps what is not yet
//! acknowledged (at most the server's window), honours credit, and after a lost connection sends that again.
//!
//! One task drives the connection: it reads and writes side by side, so that acks are taken while a write waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::transport::code::Code;
use crate::wire::frame::{
    Ack, ClientFrame, FrameError, Hello, Rejection, ServerFrame, Welcome, decode_server, encode_batch, encode_client,
    encode_hello,
};

/// Bytes of a frame that [`Client::send`] aims at: large enough to amortise a system call, small enough to ack often.
const FRAME_BYTES_AIM: usize = 256 << 10;
/// Bytes written at once.
const WRITE_BYTES_AIM: usize = 64 << 10;
/// Bytes of an event's heads at most, beside its texts and properties.
const EVENT_HEAD_BYTES: usize = 32;
/// Rejections kept for [`Client::take_rejections`]; the count goes on.
const REJECTIONS_KEPT_MAX: usize = 10_000;
/// How long a connection, its TLS and its welcome may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest rest between attempts to connect again.
const RECONNECT_REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What a lost connection means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// The end.
    Never,
    /// Try to connect again for this long, then the end.
    For(Duration),
}

/// Who the client is and how it behaves.
#[derive(Clone)]
pub struct ClientConfig {
    /// Its name: sequences count per producer and epoch.
    pub producer: String,
    /// One more each time it counts from 1 anew.
    pub epoch: u32,
    /// Sequence of the first event it will send: 1, or where an earlier run of this epoch stopped.
    pub first_sequence: u64,
    /// Its key, if the server asks for one.
    pub api_key: Option<String>,
    /// On the events' clock: [`Progress::engine_time`] of an earlier run.
    pub engine_time: Option<Millis>,
    /// TLS and the name that the server's certificate is for.
    pub tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    /// What a lost connection means.
    pub reconnect: Reconnect,
    /// Events unacknowledged at most; the server's window may be smaller.
    pub events_in_flight_max: u64,
}

impl std::fmt::Debug for ClientConfig {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("producer", &self.producer)
            .field("epoch", &self.epoch)
            .field("first_sequence", &self.first_sequence)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}

impl ClientConfig {
    /// A client that counts from 1, without key and TLS, and gives up with its connection.
    pub fn new(producer: impl Into<String>, epoch: u32) -> Self {
        Self {
            producer: producer.into(),
            epoch,
            first_sequence: 1,
            api_key: None,
            engine_time: None,
            tls: None,
            reconnect: Reconnect::Never,
            events_in_flight_max: limits::STREAM_EVENTS_IN_FLIGHT_MAX,
        }
    }
}

/// Why a client is at its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No connection: check the address and whether the server runs.
    #[error("no connection to {address}: {reason}")]
    Connect {
        /// As given.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The server sent an error frame.
    #[error("refused by the server: {message}")]
    Refused {
        /// What it means; none for a byte this client doesn't know.
        code: Option<Code>,
        /// The server's words.
        message: String,
    },
    /// The server speaks something else.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// An event passes the limits of a frame.
    #[error("event {id:?} of {bytes} bytes passes the limit of {}", limits::EVENT_BYTES_MAX)]
    EventTooLarge {
        /// Its id.
        id: String,
        /// Its size.
        bytes: usize,
    },
}

impl ClientError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Lost(_) => true,
            Self::Refused { code, .. } => code.is_some_and(Code::is_transient),
            Self::Protocol(_) | Self::EventTooLarge { .. } => false,
        }
    }
}

impl From<FrameError> for ClientError {
    fn from(error: FrameError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// How far the server has confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Every event up to this sequence is durable or refused for good.
    pub sequence: u64,
    /// Events refused so far.
    pub rejected: u64,
    /// Events so far that had been durable before.
    pub duplicates: u64,
    /// On the events' clock: engine time of `sequence`.
    pub engine_time: Option<Millis>,
    /// Connections made so far.
    pub connections: u32,
}

/// A producer's end of the TCP feed.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    driver: Option<JoinHandle<()>>,
    progress: watch::Receiver<Progress>,
    next_sequence: u64,
    clock: String,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The writing side has something to do.
    work: Notify,
    /// There may be room to send, or all may be done.
    room: Notify,
    progress: watch::Sender<Progress>,
}

/// A frame that is not acknowledged.
#[derive(Debug)]
struct Unacknowledged {
    first_sequence: u64,
    last_sequence: u64,
    frame: Bytes,
}

impl Unacknowledged {
    fn count(&self) -> u64 {
        self.last_sequence + 1 - self.first_sequence
    }
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Unacknowledged>,
    /// How many of `queue`, from its head, were written to this connection.
    written: usize,
    events: u64,
    events_max: u64,
    batch_events_max: usize,
    credit: u64,
    pongs: Vec<u64>,
    is_leaving: bool,
    rejections: Vec<Rejection>,
    failed: Option<ClientError>,
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection that was welcomed.
struct Connection {
    frames: FramedRead<ReadHalf<Box<dyn Socket>>, LengthDelimitedCodec>,
    write: WriteHalf<Box<dyn Socket>>,
    welcome: Welcome,
}

impl Client {
    /// Connects to `address` (`host:port`) and greets the server.
    ///
    /// # Errors
    /// No connection, or the server refuses the hello.
    pub async fn connect(address: impl Into<String>, config: ClientConfig) -> Result<Self, ClientError> {
        let address = address.into();
        let connection = connect_within(&address, &config, config.engine_time).await?;
        let first = Progress {
            sequence: config.first_sequence.saturating_sub(1),
            engine_time: config.engine_time,
            connections: 1,
            ..Progress::default()
        };
        let (sender, progress) = watch::channel(first);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            work: Notify::new(),
            room: Notify::new(),
            progress: sender,
        });
        let clock = connection.welcome.clock.clone();
        let next_sequence = config.first_sequence;
        shared.welcomed(&connection.welcome, &config);
        let driver = tokio::spawn(drive(Arc::clone(&shared), address, config, connection));
        Ok(Self { shared, driver: Some(driver), progress, next_sequence, clock })
    }

    /// The server's clock: `wall` or `events`.
    pub fn clock(&self) -> &str {
        &self.clock
    }

    /// Sequence of the next event to be sent.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Sends events in order, in as many batches as it takes; waits for acks where the window is full. Returns when they
    /// are on their way, not when they are durable.
    ///
    /// # Errors
    /// The client is at its end; what [`Progress::sequence`] does not cover may or may not be durable.
    pub async fn send(&mut self, events: &[Event]) -> Result<(), ClientError> {
        let mut rest = events;
        while !rest.is_empty() {
            let (batch_events_max, events_max) = {
                let state = self.shared.state.lock();
                (state.batch_events_max, state.events_max)
            };
            let count = batch_length(rest, batch_events_max.min(events_max as usize))?;
            let (batch, behind) = rest.split_at(count);
            self.send_batch(batch).await?;
            rest = behind;
        }
        Ok(())
    }

    /// Waits until `count` events more have room in the window.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn ready(&mut self, count: u64) -> Result<(), ClientError> {
        self.wait_until(|state| state.queue.is_empty() || state.events + count <= state.events_max).await
    }

    async fn send_batch(&mut self, batch: &[Event]) -> Result<(), ClientError> {
        let mut frame = Vec::with_capacity(batch.iter().map(size_of_event).sum::<usize>() + EVENT_HEAD_BYTES);
        encode_batch(&mut frame, self.next_sequence, batch);
        let unacknowledged = Unacknowledged {
            first_sequence: self.next_sequence,
            last_sequence: self.next_sequence + batch.len() as u64 - 1,
            frame: frame.into(),
        };
        self.ready(batch.len() as u64).await?;
        let mut state = self.shared.state.lock();
        state.events += unacknowledged.count();
        state.queue.push_back(unacknowledged);
        drop(state);
        self.next_sequence += batch.len() as u64;
        self.shared.work.notify_one();
        Ok(())
    }

    /// Progress as it happens.
    pub fn acknowledged(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Takes the rejections that came since the last call; at most 10,000 are kept, the count goes on.
    pub fn take_rejections(&self) -> Vec<Rejection> {
        std::mem::take(&mut self.shared.state.lock().rejections)
    }

    /// Waits until everything sent is acknowledged.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn flush(&mut self) -> Result<Progress, ClientError> {
        self.wait_until(|state| state.queue.is_empty()).await?;
        Ok(*self.progress.borrow())
    }

    /// Waits until everything sent is acknowledged, then says goodbye and closes.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn finish(mut self) -> Result<Progress, ClientError> {
        let progress = self.flush().await?;
        self.shared.state.lock().is_leaving = true;
        self.shared.work.notify_one();
        if let Some(driver) = self.driver.take() {
            driver.await.map_err(|error| ClientError::Lost(error.to_string()))?;
        }
        Ok(progress)
    }

    async fn wait_until(&mut self, is_met: impl Fn(&State) -> bool) -> Result<(), ClientError> {
        loop {
            {
                let state = self.shared.state.lock();
                if let Some(error) = &state.failed {
                    return Err(error.clone());
                }
                if is_met(&state) {
                    return Ok(());
                }
            }
            // A permit given between the look and this line is kept, so no wake-up is lost.
            self.shared.room.notified().await;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

fn size_of_event(event: &Event) -> usize {
    EVENT_HEAD_BYTES + event.id.len() + event.kind.len() + event.profile.len() + event.properties.len()
}

/// How many events from the head make the next batch.
fn batch_length(events: &[Event], events_max: usize) -> Result<usize, ClientError> {
    let mut bytes = 0;
    for (index, event) in events.iter().enumerate().take(events_max.max(1)) {
        let size = size_of_event(event);
        if event.properties.len() > limits::EVENT_BYTES_MAX {
            return Err(ClientError::EventTooLarge { id: event.id.to_string(), bytes: size });
        }
        bytes += size;
        if bytes > FRAME_BYTES_AIM && index > 0 {
            return Ok(index);
        }
    }
    Ok(events.len().min(events_max.max(1)))
}

impl Shared {
    /// A new connection: everything unacknowledged is to be written again, with the credit it brings.
    fn welcomed(&self, welcome: &Welcome, config: &ClientConfig) {
        let mut state = self.state.lock();
        let batch_events_max = welcome.limits.get("batch_events_max").copied().unwrap_or(1);
        state.batch_events_max = limits::BATCH_EVENTS_MAX.min(batch_events_max as usize);
        state.events_max = welcome.credit.min(config.events_in_flight_max).max(1);
        state.credit = welcome.credit;
        state.written = 0;
        state.pongs.clear();
    }

    /// Whether a batch made under an earlier, larger window can never be sent.
    fn is_stuck(&self) -> bool {
        let state = self.state.lock();
        state.queue.iter().any(|batch| batch.count() > state.credit)
    }

    fn acknowledge(&self, ack: Ack) -> Result<(), ClientError> {
        let mut state = self.state.lock();
        let sent = state.written.checked_sub(1).and_then(|last| state.queue.get(last)).map(|last| last.last_sequence);
        let known = self.progress.borrow().sequence;
        if ack.sequence > sent.unwrap_or(known) {
            return Err(ClientError::Protocol(format!("sequence {} was acknowledged and never sent", ack.sequence)));
        }
        while state.queue.front().is_some_and(|head| head.last_sequence <= ack.sequence) {
            if let Some(head) = state.queue.pop_front() {
                state.events -= head.count();
                state.written -= 1;
            }
        }
        let rejected = ack.rejected.len() as u64;
        let room = REJECTIONS_KEPT_MAX - state.rejections.len().min(REJECTIONS_KEPT_MAX);
        state.rejections.extend(ack.rejected.into_iter().take(room));
        drop(state);
        self.progress.send_modify(|progress| {
            progress.sequence = progress.sequence.max(ack.sequence);
            progress.rejected += rejected;
            progress.duplicates += ack.duplicates;
            progress.engine_time = ack.engine_time.or(progress.engine_time);
        });
        self.room.notify_one();
        Ok(())
    }

    fn fail(&self, error: ClientError) {
        self.state.lock().failed = Some(error);
        self.room.notify_one();
    }

    /// Gathers what may be written now. `None` once the goodbye is in `out`.
    fn gather(&self, out: &mut BytesMut) -> Option<()> {
        let mut control = Vec::new();
        let mut state = self.state.lock();
        for token in state.pongs.drain(..) {
            encode_client(&mut control, &ClientFrame::Pong(token));
        }
        out.extend_from_slice(&control);
        while out.len() < WRITE_BYTES_AIM {
            let Some(next) = state.queue.get(state.written) else { break };
            let count = next.count();
            if count > state.credit {
                break;
            }
            out.extend_from_slice(&next.frame);
            state.credit -= count;
            state.written += 1;
        }
        if state.is_leaving && state.queue.is_empty() {
            control.clear();
            encode_client(&mut control, &ClientFrame::Goodbye(String::new()));
            out.extend_from_slice(&control);
            return None;
        }
        Some(())
    }
}

/// Keeps the connection, and makes new ones where the config says so, until the client leaves or fails.
async fn drive(shared: Arc<Shared>, address: String, config: ClientConfig, first: Connection) {
    let mut connection = first;
    loop {
        let Err(error) = exchange(&shared, connection).await else { return };
        if shared.state.lock().is_leaving {
            // Everything is acknowledged: how the other side closed no longer matters.
            return;
        }
        match reconnect(&shared, &address, &config, error).await {
            Ok(next) => {
                shared.welcomed(&next.welcome, &config);
                if shared.is_stuck() {
                    let message = "its window is now smaller than a batch that is to be sent again";
                    return shared.fail(ClientError::Protocol(message.to_owned()));
                }
                shared.progress.send_modify(|progress| progress.connections += 1);
                shared.work.notify_one();
                connection = next;
            }
            Err(error) => return shared.fail(error),
        }
    }
}

async fn reconnect(
    shared: &Shared,
    address: &str,
    config: &ClientConfig,
    lost: ClientError,
) -> Result<Connection, ClientError> {
    let Reconnect::For(patience) = config.reconnect else { return Err(lost) };
    let (first, longest) = RECONNECT_REST;
    let mut rests = ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build();
    let engine_time = shared.progress.borrow().engine_time;
    let attempts = async {
        let mut error = lost.clone();
        while error.is_transient() {
            tokio::time::sleep(rests.next().unwrap_or(longest)).await;
            match connect_within(address, config, engine_time).await {
                Ok(connection) => return Ok(connection),
                Err(next) => error = next,
            }
        }
        Err(error)
    };
    tokio::time::timeout(patience, attempts).await.unwrap_or(Err(lost.clone()))
}

/// Reads and writes side by side until the connection is lost (an error) or both sides said goodbye.
async fn exchange(shared: &Shared, connection: Connection) -> Result<(), ClientError> {
    let Connection { mut frames, mut write, .. } = connection;
    let reading = async {
        loop {
            match read_frame(&mut frames).await? {
                ServerFrame::Ack(ack) => {
                    shared.acknowledge(ack)?;
                    shared.work.notify_one();
                }
                ServerFrame::Credit(events) => {
                    shared.state.lock().credit += events;
                    shared.work.notify_one();
                }
                ServerFrame::Ping(token) => {
                    shared.state.lock().pongs.push(token);
                    shared.work.notify_one();
                }
                ServerFrame::Pong(_) => {}
                ServerFrame::Goodbye(_) if shared.state.lock().is_leaving => return Ok(()),
                ServerFrame::Goodbye(message) => return Err(ClientError::Lost(message)),
                ServerFrame::Error { code, message } => {
                    return Err(ClientError::Refused { code: Code::from_byte(code), message });
                }
                ServerFrame::Welcome(_) => return Err(ClientError::Protocol("a second welcome".to_owned())),
            }
        }
    };
    let writing = async {
        let mut out = BytesMut::with_capacity(WRITE_BYTES_AIM);
        loop {
            out.clear();
            let more = shared.gather(&mut out);
            if !out.is_empty() {
                write.write_all(&out).await?;
            } else if more.is_some() {
                shared.work.notified().await;
            }
            if more.is_none() {
                return Ok::<(), std::io::Error>(());
            }
        }
    };
    tokio::pin!(reading, writing);
    tokio::select! {
        biased;
        end = &mut reading => end,
        written = &mut writing => match written {
            Ok(()) => reading.await,
            // The server's last word says more than a broken pipe does.
            Err(error) => match tokio::time::timeout(CONNECT_TIMEOUT, reading).await {
                Ok(Err(end @ (ClientError::Refused { .. } | ClientError::Protocol(_)))) => Err(end),
                _ => Err(ClientError::Lost(error.to_string())),
            },
        },
    }
}

async fn read_frame<R: AsyncRead + Unpin>(
    frames: &mut FramedRead<R, LengthDelimitedCodec>,
) -> Result<ServerFrame, ClientError> {
    match frames.next().await {
        Some(Ok(body)) => Ok(decode_server(&body)?),
        Some(Err(error)) => Err(ClientError::Lost(error.to_string())),
        None => Err(ClientError::Lost("the server closed it".to_owned())),
    }
}

async fn connect_within(
    address: &str,
    config: &ClientConfig,
    engine_time: Option<Millis>,
) -> Result<Connection, ClientError> {
    let late = |_| ClientError::Connect { address: address.to_owned(), reason: "no welcome in time".to_owned() };
    tokio::time::timeout(CONNECT_TIMEOUT, connect(address, config, engine_time)).await.map_err(late)?
}

async fn connect(address: &str, config: &ClientConfig, engine_time: Option<Millis>) -> Result<Connection, ClientError> {
    let failed =
        |error: std::io::Error| ClientError::Connect { address: address.to_owned(), reason: error.to_string() };
    let socket = TcpStream::connect(address).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let socket: Box<dyn Socket> = match &config.tls {
        None => Box::new(socket),
        Some((tls, name)) => {
            let connector = TlsConnector::from(Arc::clone(tls));
            Box::new(connector.connect(name.clone(), socket).await.map_err(failed)?)
        }
    };
    let (read, mut write) = tokio::io::split(socket);
    let mut hello = Vec::with_capacity(128);
    encode_hello(
        &mut hello,
        &Hello {
            sandbox: crate::transport::stream::SANDBOX.to_owned(),
            producer: config.producer.clone(),
            epoch: config.epoch,
            api_key: config.api_key.clone(),
            engine_time,
            options: BTreeMap::from([("client".to_owned(), concat!("sojourn/", env!("CARGO_PKG_VERSION")).to_owned())]),
        },
    );
    let lost = |error: std::io::Error| ClientError::Lost(error.to_string());
    write.write_all(&hello).await.map_err(lost)?;
    let codec = LengthDelimitedCodec::builder().max_frame_length(limits::FRAME_BYTES_MAX).new_codec();
    let mut frames = FramedRead::new(read, codec);
    match read_frame(&mut frames).await? {
        ServerFrame::Welcome(welcome) => Ok(Connection { frames, write, welcome }),
        ServerFrame::Error { code, message } => Err(ClientError::Refused { code: Code::from_byte(code), message }),
        ServerFrame::Goodbye(message) => Err(ClientError::Lost(message)),
        other => Err(ClientError::Protocol(format!("{other:?} where a welcome is due"))),
    }
}
