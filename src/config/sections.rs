//! Every setting, by layer. Add one here and it has a flag, a variable, a key in the file and a row in the reference;
//! `docs/reference.md` is compared with this list by a test.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Description;
use super::load::{ConfigError, Values};
use super::value::{ByteSize, Clock, KeyDigest, LogFormat, Rate, Setting, ShardCount, Span};
use crate::domain::guardrails;

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
    /// What may be published ([guardrails.md](guardrails.md)). Tighter than the defaults everywhere, wider only where it says so. What is published already stays.
    Guardrails guardrails "guardrails." {
        /// Nodes of a journey, ends not counted; 50 at most.
        journey_nodes_max: usize = "50",
        /// Nodes beyond which `check` hints that a journey is hard to follow.
        journey_nodes_advised: usize = "25",
        /// Size of a journey's definition as it is stored. From 90 % on there is a warning. May be wider.
        journey_bytes_max: ByteSize = "4000000",
        /// Live journeys. May be wider; a profile is in 200 at once at most.
        journeys_max: usize = "200",
        /// Live journeys that name one event. May be wider: each is asked for every event of the type.
        journeys_per_event_max: usize = "25",
        /// Rule sets. May be wider.
        rule_sets_max: usize = "10",
        /// Shortest re-entrance period.
        reentry_min: Span = "5m",
        /// Longest re-entrance period; `never` is for ever.
        reentry_max: Span = "90d",
        /// Longest wait.
        wait_max: Span = "90d",
        /// Longest time that a node waits for an event.
        event_timeout_max: Span = "90d",
        /// Shortest time to wait for feedback on a message: below, a warning. May be wider.
        reaction_timeout_min: Span = "40s",
        /// Longest life of an instance.
        timeout_max: Span = "91d",
        /// Fields that one node sets in the profile's document; 5 at most.
        update_fields_max: usize = "5",
        /// Least calls a second that a throttling may ask for. May be wider.
        throughput_min: u32 = "200",
        /// Most calls a second that a throttling may ask for. May be wider.
        throughput_max: u32 = "5000",
        /// Longest time of one call of a custom action or data source, its retries included: asked of journeys that call.
        call_timeout_max: Span = "30s",
        /// Requests of one call after the first, where it may be repeated; 3 at most.
        call_retries_max: u32 = "3",
        /// Calls of one host in a minute, over all its actions; beyond, they are capped.
        calls_per_host_max: u32 = "300000",
        /// Calls in half a minute of one action that takes longer than 0.75 s; beyond, they are capped.
        calls_per_slow_action_max: u32 = "150000",
        /// Cappings. May be wider: each is asked for every call.
        cappings_max: usize = "10",
        /// Surfaces of one channel. May be wider: each has a queue and connections of its own.
        surfaces_max: usize = "10",
        /// Nodes of a fragment, ends not counted; 20 at most.
        fragment_nodes_max: usize = "20",
        /// Treatments of an experiment; 10 at most.
        treatments_max: usize = "10",
        /// Nodes of a journey that look up in datasets; 10 at most.
        lookups_max: usize = "10",
        /// Fields that one of them takes; 20 at most.
        lookup_fields_max: usize = "20",
        /// Test profiles; 100 at most.
        test_profiles_max: usize = "100",
        /// Longest pause of a journey, and how long one lasts that names no length; 14 days at most.
        pause_max: Span = "14d",
        /// Profiles that pauses hold at actions, over all journeys; beyond, they leave at their next action. May be wider.
        held_profiles_max: usize = "10000000",
        /// Entrants that wait for the end of a pause, over all journeys; beyond, they are discarded. May be wider.
        held_entrants_max: usize = "1000000",
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
    /// Requests of custom actions and data sources.
    Calls calls "calls." {
        /// Certificate chain, PEM, read at start. With `calls.client_key`: what endpoints are shown that ask who calls (mutual TLS).
        client_certificate: Option<PathBuf> = "",
        /// Its private key, PEM, not encrypted.
        client_key: Option<PathBuf> = "",
        /// Certificates of authorities, PEM, read at start, that are trusted besides the system's: for endpoints with private ones.
        ca: Option<PathBuf> = "",
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

impl Guardrails {
    /// As the domain takes them.
    pub fn limits(&self) -> guardrails::Guardrails {
        guardrails::Guardrails {
            journey_nodes_max: self.journey_nodes_max,
            journey_nodes_advised: self.journey_nodes_advised,
            journey_bytes_max: usize::try_from(self.journey_bytes_max.0).unwrap_or(usize::MAX),
            journeys_max: self.journeys_max,
            journeys_per_event_max: self.journeys_per_event_max,
            rule_sets_max: self.rule_sets_max,
            reentry_min_ms: self.reentry_min.as_millis(),
            reentry_max_ms: self.reentry_max.as_millis(),
            wait_max_ms: self.wait_max.as_millis(),
            event_timeout_max_ms: self.event_timeout_max.as_millis(),
            reaction_timeout_min_ms: self.reaction_timeout_min.as_millis(),
            timeout_max_ms: self.timeout_max.as_millis(),
            update_fields_max: self.update_fields_max,
            throughput_min: self.throughput_min,
            throughput_max: self.throughput_max,
            call_timeout_max_ms: self.call_timeout_max.as_millis(),
            call_retries_max: self.call_retries_max,
            calls_per_host_max: self.calls_per_host_max,
            calls_per_slow_action_max: self.calls_per_slow_action_max,
            cappings_max: self.cappings_max,
            surfaces_max: self.surfaces_max,
            fragment_nodes_max: self.fragment_nodes_max,
            treatments_max: self.treatments_max,
            lookups_max: self.lookups_max,
            lookup_fields_max: self.lookup_fields_max,
            test_profiles_max: self.test_profiles_max,
            pause_max_ms: self.pause_max.as_millis(),
            held_profiles_max: self.held_profiles_max,
            held_entrants_max: self.held_entrants_max,
        }
    }
}

/// The setting with this key.
pub fn setting(key: &str) -> Option<&'static Description> {
    super::descriptions().find(|d| d.key == key)
}
