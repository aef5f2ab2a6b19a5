//! The socket of HTTP and gRPC: accepts, encrypts, bounds and drains connections. Knows no route.
//!
//! HTTP/1.1 and HTTP/2 are told apart per connection (by ALPN under TLS, by the preface in clear). A client that is
//! slow with its headers or its TLS handshake is dropped after [`ListenerOptions::header_timeout`]; one slow with its
//! body runs into the deadline of its request.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// Streams of one HTTP/2 connection at once: gRPC clients share one connection for many calls.
const HTTP2_STREAMS_MAX: u32 = 256;
/// An HTTP/2 connection that does not answer a ping for this long is dead.
const HTTP2_KEEPALIVE: Duration = Duration::from_secs(20);

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct ListenerOptions {
    /// Connections at once; more are closed as they come.
    pub connections_max: usize,
    /// Time for the headers of a request, and for a TLS handshake.
    pub header_timeout: Duration,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self { connections_max: 4096, header_timeout: Duration::from_secs(10) }
    }
}

/// A listener at work.
#[derive(Debug)]
pub struct HttpListener {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    task: JoinHandle<io::Result<()>>,
}

impl HttpListener {
    /// Serves `router` on `listener` (bound, so that the caller can name its errors), encrypted if `tls` is given.
    pub fn start(
        listener: TcpListener,
        router: Router,
        tls: Option<Arc<rustls::ServerConfig>>,
        options: ListenerOptions,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let handle = Handle::new();
        let permits = Arc::new(Semaphore::new(options.connections_max));
        let mut server = axum_server::from_tcp(listener)?.handle(handle.clone());
        let builder = server.http_builder();
        let mut http1 = builder.http1();
        http1.timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(options.header_timeout);
        let mut http2 = builder.http2();
        http2
            .timer(hyper_util::rt::TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .keep_alive_interval(HTTP2_KEEPALIVE)
            .keep_alive_timeout(HTTP2_KEEPALIVE);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let plain = BoundedAcceptor { inner: NoDelayAcceptor::new(), permits };
        let task = match tls {
            None => tokio::spawn(server.acceptor(plain).serve(service)),
            Some(config) => {
                let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(config))
                    .handshake_timeout(options.header_timeout)
                    .acceptor(plain);
                tokio::spawn(server.acceptor(acceptor).serve(service))
            }
        };
        Ok(Self { address, handle, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting and lets requests in the works end, for at most `patience`; then cuts them off.
    pub async fn drain(self, patience: Duration) -> io::Result<()> {
        self.handle.graceful_shutdown(Some(patience));
        self.task.await.map_err(io::Error::other)?
    }
}

/// Accepts while there are permits; each connection holds one until it ends.
#[derive(Clone, Debug)]
struct BoundedAcceptor<A> {
    inner: A,
    permits: Arc<Semaphore>,
}

impl<A, S> Accept<TcpStream, S> for BoundedAcceptor<A>
where
    A: Accept<TcpStream, S, Stream = TcpStream, Service = S>,
    A::Future: Send + 'static,
    S: Send + 'static,
{
    type Stream = BoundedStream;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(BoundedStream, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let accepting = self.inner.accept(stream, service);
        Box::pin(async move {
            let permit = permit.map_err(|_| {
                tracing::warn!("connection refused: http.connections_max are open");
                io::Error::other("too many connections")
            })?;
            let (stream, service) = accepting.await?;
            Ok((BoundedStream { stream, _permit: permit }, service))
        })
    }
}

/// A connection and its permit.
#[derive(Debug)]
struct BoundedStream {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for BoundedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
