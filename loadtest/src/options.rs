//! The command line: one run's options. Knows defaults that depend on the scenario or the feed, and does nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use sojourn::config::{Setting as _, Span};

use crate::scenario::Scenario;

/// Connections of a stream feed.
const STREAM_CONNECTIONS: u16 = 2;
/// Connections over HTTP, each with one request at a time: a request waits for its sync, so a few have to overlap.
const HTTP_CONNECTIONS: u16 = 16;
/// The same to overload: a request waits for up to the server's patience, so fewer could not ask for more than it admits.
const OVERLOADING_CONNECTIONS: u16 = 64;
/// A longer wait than this is not waited for: its instances must be there at the end.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// How events reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Feed {
    /// Framed MessagePack, acknowledged as commits happen
    Tcp,
    /// A bidirectional stream of gRPC
    Grpc,
    /// Batches of NDJSON over kept-alive connections, one request at a time on each
    Http,
}

impl Feed {
    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// How fast events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they are acknowledged: a closed loop.
    Max,
    /// So many a second, come what may: an open loop.
    PerSecond(u64),
}

fn pace(text: &str) -> Result<Pace, String> {
    match text {
        "max" => Ok(Pace::Max),
        number => match number.parse() {
            Ok(rate) if rate > 0 => Ok(Pace::PerSecond(rate)),
            _ => Err("`max`, or events per second above 0".to_owned()),
        },
    }
}

/// Whether the server's journal syncs what it acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before it acknowledges.
    Synced,
    /// Never: only to see what syncing costs.
    Unsynced,
}

/// A server that runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Of HTTP and gRPC.
    pub http: String,
    /// Of the TCP feed.
    pub tcp: String,
}

fn address(text: &str) -> Result<Address, String> {
    let (http, tcp) = match text.split_once(',') {
        Some((http, tcp)) => (http, tcp.to_owned()),
        None => {
            let (host, _) = text.rsplit_once(':').ok_or("write it as HOST:PORT or HOST:PORT,HOST:PORT")?;
            (text, format!("{host}:7070"))
        }
    };
    Ok(Address { http: http.to_owned(), tcp })
}

/// How long profiles wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// As the language writes it.
    pub text: String,
    /// The same.
    pub span: Duration,
}

fn wait(text: &str) -> Result<Wait, String> {
    let span = Span::parse(text).ok_or_else(|| format!("it takes {}", Span::EXPECTS))?;
    Ok(Wait { text: text.to_owned(), span: span.0 })
}

/// Reads `KEY=VALUE`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// One run.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// What to do
    pub scenario: Scenario,
    /// How events reach the server
    #[arg(long, value_enum, default_value_t = Feed::Tcp)]
    pub feed: Feed,
    /// Events per second at fixed times (latency counts from those), or `max`: as fast as they are acknowledged.
    /// [default: max; reshard 20000; overload: what the server admits, 20000, of which ten times as much is sent]
    #[arg(long, value_name = "N|max", value_parser = pace)]
    rate: Option<Pace>,
    /// Profiles. Where a run ends by time they come again when all have come, and are refused entry: less work than the
    /// first time. [default: 100000000; waiting, timers 1000000; restart 100000; delivery 20000 a channel]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    profiles: Option<u64>,
    /// Seconds of feeding; scenarios with a number of profiles end when all have come
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    duration: u64,
    /// Connections, each a producer [default: 2; http 16, for overload 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: Option<u16>,
    /// Shards of the server [default: its own, the number of cores; reshard 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    shards: Option<u16>,
    /// Events of one batch
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub batch: u64,
    /// Events unacknowledged at most, per connection; over HTTP the request under way and what waits for the next
    #[arg(long, value_name = "N", default_value_t = 32_768, value_parser = clap::value_parser!(u64).range(1..))]
    pub in_flight: u64,
    /// cart_abandonment, hot_profile: how long profiles wait before the journey looks for the purchase, and then for it;
    /// above 30s they are left waiting
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = wait)]
    pub wait: Wait,
    /// timers: seconds from the start until they are due [default: 5, and one for each 40000 profiles]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    due: Option<u64>,
    /// timers: seconds over which they are due, evenly; 0 = all at one instant
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub within: u64,
    /// hot_profile: percent of all events that belong to one profile
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub hot: u8,
    /// Where the temporary data directory is made; must be on a disk [default: the system's place for those]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A setting of the server, e.g. `checkpoint.interval=10s`; may be repeated [default: none]
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting, conflicts_with = "connect")]
    pub settings: Vec<(String, String)>,
    /// Test a server that runs already: its HTTP address, and after a comma its TCP feed's. It must admit the rate
    /// (`limits.events_per_second`). [default: a server of its own; TCP: the same host, port 7070]
    #[arg(long, value_name = "ADDR[,ADDR]", value_parser = address)]
    pub connect: Option<Address>,
    /// Don't sync the server's journal: to see what durability costs. Nothing it acknowledges then is durable [default: off]
    #[arg(long, conflicts_with = "connect")]
    no_sync: bool,
    /// Write a page with figures and plots, `report.html`, into this directory [default: none]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Print one JSON object as the last line of stdout [default: off]
    #[arg(long)]
    pub json: bool,
}

impl Run {
    /// How long to feed where the scenario ends by time.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.duration)
    }

    /// How fast events are sent. For `overload` the rate that the server admits.
    pub fn pace(&self) -> Pace {
        self.rate.unwrap_or(match self.scenario {
            Scenario::Reshard | Scenario::Overload => Pace::PerSecond(20_000),
            _ => Pace::Max,
        })
    }

    /// How many profiles there are.
    pub fn profiles(&self) -> u64 {
        self.profiles.unwrap_or(match self.scenario {
            Scenario::Waiting | Scenario::Timers => 1_000_000,
            Scenario::Restart => 100_000,
            Scenario::Delivery => 20_000,
            _ => 100_000_000,
        })
    }

    /// How many connections feed.
    pub fn connections(&self) -> u16 {
        self.connections.unwrap_or(match (self.feed, self.scenario) {
            (Feed::Tcp | Feed::Grpc, _) => STREAM_CONNECTIONS,
            (Feed::Http, Scenario::Overload) => OVERLOADING_CONNECTIONS,
            (Feed::Http, _) => HTTP_CONNECTIONS,
        })
    }

    /// How many shards the server starts with; none for its own default.
    pub fn shards(&self) -> Option<u16> {
        self.shards.or((self.scenario == Scenario::Reshard).then_some(1))
    }

    /// Seconds from the start until timers are due.
    pub fn due(&self) -> Duration {
        Duration::from_secs(self.due.unwrap_or(5 + self.profiles() / 40_000))
    }

    /// Whether the server syncs.
    pub fn durability(&self) -> Durability {
        if self.no_sync { Durability::Unsynced } else { Durability::Synced }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_both_listeners() {
        let check = |text: &str, http: &str, tcp: &str| {
            assert_eq!(address(text), Ok(Address { http: http.to_owned(), tcp: tcp.to_owned() }));
        };
        check("localhost:80", "localhost:80", "localhost:7070");
        check("[::1]:80", "[::1]:80", "[::1]:7070");
        check("a:1,b:2", "a:1", "b:2");
        assert!(address("nowhere").is_err());
    }

    #[test]
    fn a_pace_is_a_rate_or_max() {
        assert_eq!((pace("max"), pace("7")), (Ok(Pace::Max), Ok(Pace::PerSecond(7))));
        assert!(pace("0").is_err() && pace("fast").is_err());
    }
}
