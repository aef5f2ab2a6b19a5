//! Every setting, by layer. Add one here and it has a flag, a variable, a key in the file and a row in the reference;
//! `docs/reference.md` is compared with this list by a test.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Description;
use super::load::{ConfigError, Values};
use super::value::{ByteSize, Clock, KeyDigest, LogFormat, Rate, Setting, ShardCount, Span};

/// Settings that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Heading in the reference.
    pub title: &'static str,
    /// What they are about.
    pub doc: &'static str,
    /// The settings.
    pub settings: &'static [Description],
}

macro_rules! sections {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $member:ident $prefix:literal {
            $( $(#[doc = $field_doc:literal])+ $field:ident : $kind:ty = $default:literal, )*
        }
    )*) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name {
                $( $(#[doc = $field_doc])+ pub $field: $kind, )*
            }

            impl $name {
                fn read(values: &Values) -> Result<Self, ConfigError> {
                    Ok(Self { $( $field: values.read(concat!($prefix, stringify!($field)))?, )* })
                }
            }
        )*

        /// All sections, in the order of the reference page.
        pub const SECTIONS: &[Section] = &[ $( Section {
            title: stringify!($member),
            doc: concat!($($doc),+),
            settings: &[ $( Description {
                key: concat!($prefix, stringify!($field)),
                default: $default,
                expects: <$kind as Setting>::EXPECTS,
                doc: concat!($($field_doc),+),
            }, )* ],
        }, )* ];

        /// All settings of a server.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $( $(#[doc = $doc])+ pub $member: $name, )*
        }

        impl Config {
            pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
                Ok(Self { $( $member: $name::read(values)?, )* })
            }
        }
    };
}

sections! {
    /// Where the state lives and what drives it.
    Engine engine "" {
        /// Data directory: journal, snapshots, timers, archive. One process at a time.
        data: PathBuf = "./sojourn-data",
        /// What moves timers: the machine's clock, or the times of the events themselves.
        clock: Clock = "wall",
        /// Shard threads at start. `sojourn shards set` changes it while running; restarts come back to this setting.
        shards: ShardCount = "cores",
        /// Partitions of a new data directory. Fixed at creation: an existing directory keeps its own number.
        partitions: u16 = "1024",
        /// Lets a listener beyond loopback go without TLS (a proxy in front may do it).
        allow_plaintext: bool = "false",
    }
    /// HTTP and gRPC, which share one port.
    Http http "http." {
        /// Address of HTTP and gRPC. Port 0 takes a free one; the first line of stdout names it.
        listen: SocketAddr = "127.0.0.1:8080",
        /// A request that takes longer, reading its body included, is answered 503. Streams of gRPC are exempt.
        request_timeout: Span = "30s",
        /// Headers of a request, or the TLS handshake, must be complete by then.
        header_timeout: Span = "10s",
        /// How long a batch waits for room before it is refused with 429.
        patience: Span = "1s",
        /// Requests in the works at once; more are answered 503.
        requests_max: usize = "1024",
        /// Connections at once; more are closed.
        connections_max: usize = "4096",
    }
    /// The TCP feed.
    Tcp tcp "tcp." {
        /// Address of the TCP feed. Port 0 takes a free one.
        listen: SocketAddr = "127.0.0.1:7070",
        /// Connections at once; more are refused in the hello.
        connections_max: usize = "1024",
    }
    /// Encryption of all listeners.
    Tls tls "tls." {
        /// Certificate chain, PEM. With `tls.key`: HTTP, gRPC and TCP speak TLS.
        certificate: Option<PathBuf> = "",
        /// Private key, PEM.
        key: Option<PathBuf> = "",
    }
    /// Who may speak to the server. With no key at all everyone who reaches a listener may; beyond loopback that is refused at start.
    Auth auth "auth." {
        /// API keys as digests. The variable `SOJOURN_API_KEY` adds one in clear, named `environment`.
        keys: Vec<KeyDigest> = "",
    }
    /// What is admitted.
    Limits limits "limits." {
        /// Token bucket of native events (profile updates and feedback excepted); a burst is one second's worth.
        events_per_second: Rate = "5000",
    }
    /// How repeats of events without a sequence (HTTP, unary gRPC) are recognised.
    Dedup dedup "dedup." {
        /// How long the id of an event is remembered.
        window: Span = "1h",
        /// Ids remembered at once, over all partitions; when full, new events are refused with 429 rather than ids forgotten early.
        ids_max: u64 = "20000000",
    }
    /// The journal.
    Journal journal "journal." {
        /// Size of a segment file; segments are written once in full and then reused.
        segment_bytes: ByteSize = "64MiB",
        /// Journal kept since the last snapshots; when reached, events wait until a snapshot frees some.
        tail_bytes_max: ByteSize = "2GiB",
    }
    /// Snapshots.
    Checkpoint checkpoint "checkpoint." {
        /// Time between two snapshots of a partition that changed.
        interval: Span = "60s",
    }
    /// History of steps and events.
    Archive archive "archive." {
        /// How long steps and events are kept for timelines.
        retention: Span = "30d",
        /// Bytes kept; the oldest go first.
        bytes_max: ByteSize = "10GiB",
    }
    /// Messages on their way out.
    Outbox outbox "outbox." {
        /// Messages waiting per surface; beyond, profiles wait at their message node (with `--clock events` the feed waits instead).
        rows_max: usize = "100000",
        /// Messages in flight to one surface at once.
        in_flight_max: usize = "64",
    }
    /// Stopping.
    Shutdown shutdown "shutdown." {
        /// Deadline of an orderly stop, all phases together. What is not done by then is recovered at the next start.
        deadline: Span = "30s",
    }
    /// Logs, on stderr.
    Log log "log." {
        /// How lines look.
        format: LogFormat = "text",
        /// What is logged: a level, or levels per module as in `info,sojourn::transport=debug`.
        filter: String = "info",
    }
}

/// The setting with this key.
pub fn setting(key: &str) -> Option<&'static Description> {
    super::descriptions().find(|d| d.key == key)
}
