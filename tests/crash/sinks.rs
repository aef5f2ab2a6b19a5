//! What messages are sent to: a webhook receiver and a mail server on the loopback that remember what they took, and
//! that can be down, slow, hanging or failing. Both are idempotent receivers: they know what they have by its key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Longest pause of a slow sink.
const SLOW_MS_MAX: u64 = 60;
/// A request is at most this large.
const BODY_BYTES_MAX: usize = 64 << 10;

/// How a sink behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes everything at once.
    Healthy,
    /// Nobody listens: connections are refused, those there were are gone.
    Down,
    /// Takes everything, half of it before and half of it after a pause.
    Slow,
    /// Takes everything and never says so.
    Hanging,
    /// Refuses every third, for the moment.
    Failing,
}

impl Mood {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Healthy, Self::Down, Self::Slow, Self::Hanging, Self::Failing];
}

/// What a sink took under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What it said.
    pub content: String,
    /// How often it came.
    pub times: u64,
}

/// What the connections of a sink share.
struct Shared {
    mood: watch::Sender<Mood>,
    taken: Mutex<BTreeMap<String, Taken>>,
    requests: AtomicU64,
}

impl Shared {
    fn mood(&self) -> Mood {
        *self.mood.borrow()
    }

    /// Takes it in. The same key must always say the same.
    fn take(&self, key: String, content: &str) {
        let mut taken = self.taken.lock();
        let entry = taken.entry(key).or_insert_with(|| Taken { content: content.to_owned(), times: 0 });
        assert_eq!(entry.content, content, "one key, one content");
        entry.times += 1;
    }

    /// Takes it in as the mood has it; whether to say so, or `None` to say nothing and hang up.
    async fn receive(&self, key: String, content: String) -> Option<bool> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        match self.mood() {
            Mood::Healthy => self.take(key, &content),
            Mood::Down => return None,
            Mood::Slow => {
                let pause = Duration::from_millis(request * 7 % SLOW_MS_MAX);
                if request.is_multiple_of(2) {
                    self.take(key, &content);
                    tokio::time::sleep(pause).await;
                } else {
                    tokio::time::sleep(pause).await;
                    self.take(key, &content);
                }
            }
            Mood::Hanging => {
                self.take(key, &content);
                // Until the mood changes: then the connection ends without a word.
                let _ = self.mood.subscribe().wait_for(|mood| *mood != Mood::Hanging).await;
                return None;
            }
            Mood::Failing if request.is_multiple_of(3) => return Some(false),
            Mood::Failing => self.take(key, &content),
        }
        Some(true)
    }
}

/// The protocol of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, keyed by `webhook-id`.
    Webhook,
    /// SMTP, keyed by `Message-ID`; the content is the subject.
    Mail,
}

/// A running sink.
pub struct Sink {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
    /// Bound and not listening: holds the port while the sink is down, so that connections are refused.
    _port: TcpSocket,
}

impl Sink {
    /// Starts one on a free port.
    pub fn start(protocol: Protocol) -> Self {
        let (port, address) = socket("127.0.0.1:0".parse().expect("an address"));
        let shared = Arc::new(Shared {
            mood: watch::Sender::new(Mood::Healthy),
            taken: Mutex::default(),
            requests: AtomicU64::new(0),
        });
        let task = tokio::spawn(run(Arc::clone(&shared), protocol, address));
        Self { shared, address, task, _port: port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes its mood.
    pub fn turn(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// What it took, by key.
    pub fn taken(&self) -> BTreeMap<String, Taken> {
        self.shared.taken.lock().clone()
    }

    /// How many it took.
    pub fn count(&self) -> usize {
        self.shared.taken.lock().len()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn socket(address: SocketAddr) -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.set_reuseport(true).expect("an option");
    socket.bind(address).expect("a port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

async fn run(shared: Arc<Shared>, protocol: Protocol, address: SocketAddr) {
    let mut mood = shared.mood.subscribe();
    while mood.wait_for(|mood| *mood != Mood::Down).await.is_ok() {
        let listener = socket(address).0.listen(1024).expect("the port is ours");
        // Dropped at the end of this block, and every connection with it.
        let mut connections = JoinSet::new();
        tokio::select! {
            _ = mood.wait_for(|mood| *mood == Mood::Down) => {}
            () = accept(&listener, &mut connections, &shared, protocol) => {}
        }
    }
}

async fn accept(listener: &TcpListener, connections: &mut JoinSet<()>, shared: &Arc<Shared>, protocol: Protocol) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let shared = Arc::clone(shared);
        connections.spawn(async move {
            // A peer that was killed leaves half a request behind.
            let _ = match protocol {
                Protocol::Webhook => webhook(socket, &shared).await,
                Protocol::Mail => mail(socket, &shared).await,
            };
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn webhook(socket: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(socket);
    loop {
        let (mut key, mut length) = (None, 0);
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "webhook-id" => key = Some(value.trim().to_owned()),
                "content-length" => length = value.trim().parse().expect("a length"),
                _ => {}
            }
        }
        assert!(length <= BODY_BYTES_MAX, "a body of {length} bytes");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let key = key.expect("every delivery has a webhook-id");
        let answer: &[u8] = match shared.receive(key, String::from_utf8(body).expect("UTF-8")).await {
            Some(true) => b"HTTP/1.1 204 No Content\r\n\r\n",
            Some(false) => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            None => return Ok(()),
        };
        stream.write_all(answer).await?;
    }
}

async fn mail(socket: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(socket);
    stream.write_all(b"220 crash sink\r\n").await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.split([' ', ':', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" | "HELO" => b"250 crash sink\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let (key, subject) = data(&mut stream).await?;
                match shared.receive(key, subject).await {
                    Some(true) => b"250 taken\r\n",
                    Some(false) => b"451 not now\r\n",
                    None => return Ok(()),
                }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"250 fine\r\n",
        };
        stream.write_all(reply).await?;
    }
}

/// Reads a mail to its end; its Message-ID and its subject.
async fn data(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, String)> {
    let (mut key, mut subject) = (String::new(), String::new());
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok((key, subject));
        }
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "message-id" => value.clone_into(&mut key),
                "subject" => value.clone_into(&mut subject),
                _ => {}
            }
        }
    }
}
