//! Both ends: a server whose engine commits when told, and a client without manners.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::transport::client::{Client, ClientConfig, ClientError};
use crate::transport::code::Code;
use crate::transport::fake::{FakeEngine, events};
use crate::transport::stream::Streams;
use crate::transport::tcp::{TcpOptions, serve};
use crate::wire::frame::{
    Ack, ClientFrame, Hello, LENGTH_BYTES, ServerFrame, decode_server, encode_batch, encode_client, encode_hello,
};

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) engine: FakeEngine,
    pub(super) options: TcpOptions,
    pub(super) shutdown: CancellationToken,
    pub(super) serving: JoinHandle<std::io::Result<()>>,
}

pub(super) fn options() -> TcpOptions {
    TcpOptions::new(Arc::new(|key: Option<&str>| key != Some("wrong")), Streams::new(8))
}

pub(super) async fn server_on(address: &str, engine: FakeEngine, options: TcpOptions) -> Server {
    let listener = loop {
        // The port of a server that was just killed is free a moment later.
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let address = listener.local_addr().expect("address");
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, engine.clone(), options.clone(), shutdown.clone()));
    Server { address, engine, options, shutdown, serving }
}

pub(super) async fn server(options: TcpOptions) -> Server {
    server_on("127.0.0.1:0", FakeEngine::new(), options).await
}

impl Server {
    pub(super) async fn stop(self) -> FakeEngine {
        self.shutdown.cancel();
        self.serving.await.expect("no panic").expect("served");
        self.engine
    }

    pub(super) async fn client(&self, config: ClientConfig) -> Result<Client, ClientError> {
        Client::connect(self.address.to_string(), config).await
    }
}

/// A client without manners: any bytes at any time.
pub(super) struct Raw(pub(super) TcpStream);

pub(super) fn hello(producer: &str) -> Hello {
    Hello {
        sandbox: "default".to_owned(),
        producer: producer.to_owned(),
        epoch: 1,
        api_key: None,
        engine_time: None,
        options: BTreeMap::new(),
    }
}

impl Raw {
    pub(super) async fn connect(server: &Server) -> Self {
        Self(TcpStream::connect(server.address).await.expect("connect"))
    }

    pub(super) async fn greeted(server: &Server, hello: &Hello) -> Self {
        let mut raw = Self::connect(server).await;
        raw.hello(hello).await;
        assert!(matches!(raw.frame().await, ServerFrame::Welcome(_)));
        raw
    }

    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("write");
    }

    /// A frame of any body.
    pub(super) async fn body(&mut self, body: &[u8]) {
        let frame = [&(body.len() as u32).to_be_bytes()[..], body].concat();
        self.bytes(&frame).await;
    }

    pub(super) async fn hello(&mut self, hello: &Hello) {
        let mut out = Vec::new();
        encode_hello(&mut out, hello);
        self.bytes(&out).await;
    }

    pub(super) async fn batch(&mut self, first_sequence: u64, count: u64) {
        let mut out = Vec::new();
        encode_batch(&mut out, first_sequence, &events(first_sequence, count));
        self.bytes(&out).await;
    }

    pub(super) async fn send(&mut self, frame: ClientFrame) {
        let mut out = Vec::new();
        encode_client(&mut out, &frame);
        self.bytes(&out).await;
    }

    pub(super) async fn frame(&mut self) -> ServerFrame {
        let mut length = [0; LENGTH_BYTES];
        self.0.read_exact(&mut length).await.expect("a frame");
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).await.expect("a whole frame");
        decode_server(&body).expect("well formed")
    }

    /// The next ack, with the credit that comes with it.
    pub(super) async fn ack(&mut self) -> (Ack, u64) {
        let ServerFrame::Ack(ack) = self.frame().await else { panic!("an ack is due") };
        let ServerFrame::Credit(credit) = self.frame().await else { panic!("credit is due") };
        (ack, credit)
    }

    /// Acks until `sequence`; the credit of all of them.
    pub(super) async fn ack_to(&mut self, sequence: u64) -> u64 {
        let mut credits = 0;
        loop {
            let (ack, credit) = self.ack().await;
            credits += credit;
            assert!(ack.sequence <= sequence);
            if ack.sequence == sequence {
                return credits;
            }
        }
    }

    pub(super) async fn error(mut self) -> (Code, String) {
        match self.frame().await {
            ServerFrame::Error { code, message } => {
                assert_eq!(self.0.read(&mut [0; 1]).await.expect("closed"), 0, "nothing follows an error");
                (Code::from_byte(code).expect("known"), message)
            }
            other => panic!("an error is due, not {other:?}"),
        }
    }
}
