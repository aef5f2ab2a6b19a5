//! One connection: made, perhaps over TLS, and greeted. Tries once; patience is the driver's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use super::config::ClientConfig;
use super::error::ClientError;
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::transport::code::Code;
use crate::transport::stream::SANDBOX;
use crate::wire::frame::{Hello, ServerFrame, Welcome, decode_server, encode_hello};

/// How long a connection, its TLS and its welcome may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection that was welcomed.
pub(super) struct Connection {
    pub(super) frames: FramedRead<ReadHalf<Box<dyn Socket>>, LengthDelimitedCodec>,
    pub(super) write: WriteHalf<Box<dyn Socket>>,
    pub(super) welcome: Welcome,
}

pub(super) async fn read_frame<R: AsyncRead + Unpin>(
    frames: &mut FramedRead<R, LengthDelimitedCodec>,
) -> Result<ServerFrame, ClientError> {
    match frames.next().await {
        Some(Ok(body)) => Ok(decode_server(&body)?),
        Some(Err(error)) => Err(ClientError::Lost(error.to_string())),
        None => Err(ClientError::Lost("the server closed it".to_owned())),
    }
}

/// Connects and greets within [`CONNECT_TIMEOUT`]; stamps go on from `engine_time`.
pub(super) async fn connect_within(
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
            sandbox: SANDBOX.to_owned(),
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
