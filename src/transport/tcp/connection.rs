//! One connection: hello, then two loops side by side in one task. The reading loop decodes and submits (waiting there is the
//! backpressure); the writing loop awaits commits in order and writes acks and credit. Neither waits for the other save
//! through bounded queues, so a client that reads no acks stops itself, not us.
//!
//! Ends in order: the reading loop stops, everything it submitted is acknowledged, then the last word (goodbye or an
//! error) is written and the socket closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::length_delimited::LengthDelimitedCodecError;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;

use crate::domain::event::check_name;
use crate::domain::ids::SandboxId;
use crate::domain::limits;
use crate::runtime::ingest::Ingest;
use crate::transport::code::Code;
use crate::transport::stream::{self, Acknowledger, Registration, SANDBOX, StreamError, Submitter, producer_id};
use crate::transport::tcp::server::TcpOptions;
use crate::wire::frame::{
    ClientFrame, FrameError, Hello, ServerFrame, Welcome, decode_client, decode_hello, encode_server,
};

/// Bytes read from the socket at once: a system call costs as much as decoding two events.
const READ_BYTES: usize = 64 << 10;
/// Pings and pongs waiting to be written; a client that sends more is read no further.
const CONTROL_FRAMES_MAX: usize = 16;
/// How long the last word may take, and how long we listen on so that it isn't lost to a reset.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What a connection needs besides its socket.
pub(super) struct Connection<E> {
    pub(super) engine: E,
    pub(super) options: Arc<TcpOptions>,
    pub(super) shutdown: CancellationToken,
    pub(super) peer: SocketAddr,
}

type Frames<S> = FramedRead<ReadHalf<S>, LengthDelimitedCodec>;

/// How a connection ends.
#[derive(Debug)]
enum End {
    /// The client said goodbye.
    Goodbye,
    /// The client is gone.
    Closed,
    /// The server stops.
    Shutdown,
    /// With an error frame.
    Failed(Code, String),
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        Self::Failed((&error).into(), error.to_string())
    }
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        let code = match error {
            FrameError::Version { .. } => Code::Version,
            FrameError::Malformed(_) | FrameError::Elements { .. } => Code::Malformed,
        };
        Self::Failed(code, error.to_string())
    }
}

/// Runs the connection to its end.
pub(super) async fn run<E: Ingest, S>(socket: S, connection: Connection<E>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, mut write) = tokio::io::split(socket);
    let codec = LengthDelimitedCodec::builder().max_frame_length(limits::HELLO_BYTES_MAX).new_codec();
    let mut frames = FramedRead::with_capacity(read, codec, READ_BYTES);
    let place = connection.options.streams.enter();
    let end = if place.is_some() {
        serve(&mut frames, &mut write, &connection).await
    } else {
        End::Failed(Code::TooManyStreams, "as many streams are open as may be; connect again later".to_owned())
    };
    tracing::debug!(peer = %connection.peer, ?end, "tcp connection ends");
    last_word(frames, write, end, &connection.options).await;
    drop(place);
}

async fn serve<E: Ingest, S>(frames: &mut Frames<S>, write: &mut WriteHalf<S>, connection: &Connection<E>) -> End
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let options = &connection.options;
    let greeted = tokio::select! {
        biased;
        () = connection.shutdown.cancelled() => return End::Shutdown,
        greeted = timeout(options.hello_timeout, greet(frames, options)) => greeted,
    };
    let (hello, registration) = match greeted {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(end)) => return end,
        Err(_) => return End::Failed(Code::Idle, "no hello in time".to_owned()),
    };
    tracing::debug!(peer = %connection.peer, ?hello, "tcp connection greeted");
    let welcome = welcome(options, registration.sequence());
    if let Err(end) = write_frames(write, &[welcome], options.idle_timeout).await {
        return end;
    }
    frames.decoder_mut().set_max_frame_length(limits::FRAME_BYTES_MAX);
    exchange(frames, write, connection, &hello, registration).await
}

/// Reads the hello, checks who it is, and takes the producer's turn.
async fn greet<S: AsyncRead>(frames: &mut Frames<S>, options: &TcpOptions) -> Result<(Hello, Registration), End> {
    let body = next_frame(frames).await?;
    let hello = decode_hello(&body)?;
    if !options.keys.allows(hello.api_key.as_deref()) {
        let what = if hello.api_key.is_some() { "this one is not known" } else { "the hello has none" };
        return Err(StreamError::Unauthenticated(what).into());
    }
    if hello.sandbox != SANDBOX {
        return Err(StreamError::Greeting(format!("sandbox {:?} is not known; {SANDBOX:?} is", hello.sandbox)).into());
    }
    check_name("producer", "bad_producer", &hello.producer, limits::PRODUCER_BYTES_MAX)
        .map_err(|error| StreamError::Greeting(error.message))?;
    let producer = producer_id(SandboxId::DEFAULT, &hello.producer);
    let registration = options.streams.register(producer, hello.epoch).await?;
    Ok((hello, registration))
}

fn welcome(options: &TcpOptions, sequence: u64) -> ServerFrame {
    let limits = [
        ("batch_events_max", options.window.events.min(limits::BATCH_EVENTS_MAX as u64)),
        ("frame_bytes_max", limits::FRAME_BYTES_MAX as u64),
        ("event_bytes_max", limits::EVENT_BYTES_MAX as u64),
        ("idle_ms", options.idle_timeout.as_millis() as u64),
    ];
    ServerFrame::Welcome(Welcome {
        server: concat!("sojourn/", env!("CARGO_PKG_VERSION")).to_owned(),
        credit: options.window.events,
        sequence,
        clock: options.clock.name().to_owned(),
        limits: limits.into_iter().map(|(name, limit)| (name.to_owned(), limit)).collect(),
    })
}

/// Both loops until one ends; then what was submitted is acknowledged.
async fn exchange<E: Ingest, S>(
    frames: &mut Frames<S>,
    write: &mut WriteHalf<S>,
    connection: &Connection<E>,
    hello: &Hello,
    registration: Registration,
) -> End
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let options = &connection.options;
    let engine = connection.engine.clone();
    let (submitter, acknowledger) =
        stream::open(engine, registration, options.clock, hello.engine_time, options.window);
    let (control, controls) = mpsc::channel(CONTROL_FRAMES_MAX);
    let reading = read_loop(frames, submitter, control, options.idle_timeout, &connection.shutdown);
    let writing = write_loop(write, acknowledger, controls, options.idle_timeout);
    let deadline = async {
        connection.shutdown.cancelled().await;
        tokio::time::sleep(options.drain_timeout).await;
    };
    tokio::pin!(reading, writing, deadline);
    tokio::select! {
        biased;
        // A failed write or commit leaves nothing to acknowledge.
        end = &mut writing => end.err().unwrap_or(End::Closed),
        end = &mut reading => match timeout(options.drain_timeout, writing).await {
            Ok(Ok(())) => end,
            Ok(Err(end)) => end,
            Err(_) => End::Failed(Code::Overloaded, "commits took too long; what is unacknowledged is to be sent again".to_owned()),
        },
        () = &mut deadline => End::Failed(Code::Stopping, "the server stops; what is unacknowledged is to be sent again".to_owned()),
    }
}

/// Takes frames and submits their batches. Owns the producer's turn and gives it up on return.
async fn read_loop<E: Ingest, S: AsyncRead>(
    frames: &mut Frames<S>,
    mut submitter: Submitter<E>,
    control: mpsc::Sender<ServerFrame>,
    idle_timeout: Duration,
    shutdown: &CancellationToken,
) -> End {
    let superseded = submitter.registration().superseded();
    let mut pings = 0;
    let mut is_asked = false;
    loop {
        let frame = tokio::select! {
            biased;
            () = shutdown.cancelled() => return End::Shutdown,
            () = superseded.cancelled() => return StreamError::Superseded.into(),
            frame = timeout(idle_timeout / 2, next_frame(frames)) => frame,
        };
        let body = match frame {
            Ok(Ok(body)) => body.freeze(),
            Ok(Err(end)) => return end,
            Err(_) if is_asked => {
                let ms = idle_timeout.as_millis();
                return End::Failed(Code::Idle, format!("no frame for {ms} ms, not even the pong that was asked for"));
            }
            Err(_) => {
                is_asked = true;
                pings += 1;
                if control.send(ServerFrame::Ping(pings)).await.is_err() {
                    return End::Closed;
                }
                continue;
            }
        };
        is_asked = false;
        let heard = match decode_client(&body) {
            Ok(ClientFrame::Batch(batch)) => submitter.submit(batch, body.len()).await,
            Ok(ClientFrame::Ping(token)) => Ok(control.send(ServerFrame::Pong(token)).await.is_ok()),
            Ok(ClientFrame::Pong(_)) => Ok(true),
            Ok(ClientFrame::Goodbye(_)) => return End::Goodbye,
            Err(error) => return error.into(),
        };
        match heard {
            Ok(true) => {}
            Ok(false) => return End::Closed,
            Err(error) => return error.into(),
        }
    }
}

/// Writes acks as commits happen, and what the reading loop has to say, until that one is gone and all is acknowledged.
async fn write_loop<S: AsyncWrite>(
    write: &mut WriteHalf<S>,
    mut acknowledger: Acknowledger,
    mut controls: mpsc::Receiver<ServerFrame>,
    patience: Duration,
) -> Result<(), End> {
    let mut is_reading = true;
    loop {
        // Both arms are cancel safe: a frame or a commit not taken here is taken in the next round.
        tokio::select! {
            biased;
            control = controls.recv(), if is_reading => match control {
                Some(frame) => write_frames(write, &[frame], patience).await?,
                None => is_reading = false,
            },
            acknowledged = acknowledger.next() => match acknowledged {
                Some(Ok(next)) => {
                    let frames = [ServerFrame::Ack(next.ack), ServerFrame::Credit(next.credit)];
                    write_frames(write, &frames, patience).await?;
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
        }
    }
}

async fn write_frames<S: AsyncWrite>(
    write: &mut WriteHalf<S>,
    frames: &[ServerFrame],
    patience: Duration,
) -> Result<(), End> {
    let mut bytes = Vec::with_capacity(64);
    for frame in frames {
        encode_server(&mut bytes, frame);
    }
    match timeout(patience, write.write_all(&bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Closed),
    }
}

async fn next_frame<S: AsyncRead>(frames: &mut Frames<S>) -> Result<BytesMut, End> {
    match frames.next().await {
        Some(Ok(body)) => Ok(body),
        None => Err(End::Closed),
        Some(Err(error)) => Err(unreadable(&error, frames.decoder().max_frame_length())),
    }
}

fn unreadable(error: &io::Error, frame_bytes_max: usize) -> End {
    if error.get_ref().is_some_and(|inner| inner.is::<LengthDelimitedCodecError>()) {
        return End::Failed(Code::TooLarge, format!("a frame passes the limit of {frame_bytes_max} bytes"));
    }
    End::Closed
}

/// Says how it ends, then listens on for a moment: closing with unread bytes would reset the connection, and the reset
/// could overtake the last word.
async fn last_word<S>(mut frames: Frames<S>, mut write: WriteHalf<S>, end: End, options: &TcpOptions)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let frame = match end {
        End::Closed => None,
        End::Goodbye => Some(ServerFrame::Goodbye("all acknowledged".to_owned())),
        End::Shutdown => {
            Some(ServerFrame::Goodbye("the server stops; all that it accepted is acknowledged".to_owned()))
        }
        End::Failed(code, message) => {
            options.streams.count_error(code);
            Some(ServerFrame::Error { code: code.byte(), message })
        }
    };
    let Some(frame) = frame else { return };
    let farewell = async {
        write_frames(&mut write, &[frame], LAST_WORD).await.ok();
        write.shutdown().await.ok();
        let mut left = limits::FRAME_BYTES_MAX;
        let mut unread = BytesMut::with_capacity(READ_BYTES);
        while left > 0 {
            unread.clear();
            match frames.get_mut().read_buf(&mut unread).await {
                Ok(1..) => left = left.saturating_sub(unread.len()),
                Ok(0) | Err(_) => break,
            }
        }
    };
    timeout(LAST_WORD, farewell).await.ok();
}
