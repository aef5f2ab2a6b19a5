//! Values of settings: how each kind is written and read. Owns parsing and printing, nothing about which settings exist.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A kind of value that a setting may have.
pub trait Setting: Sized {
    /// What a value looks like, for error messages and the reference page.
    const EXPECTS: &'static str;

    /// Reads a value; `None` if the text is none of this kind.
    fn parse(text: &str) -> Option<Self>;
}

macro_rules! from_str {
    ($($kind:ty => $expects:literal),* $(,)?) => {
        $(impl Setting for $kind {
            const EXPECTS: &'static str = $expects;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        })*
    };
}

from_str! {
    u16 => "a whole number up to 65535",
    u32 => "a whole number",
    u64 => "a whole number",
    usize => "a whole number",
    SocketAddr => "address:port, e.g. `127.0.0.1:8080` or `[::1]:0`",
    bool => "`true` or `false`",
    String => "text",
}

impl Setting for PathBuf {
    const EXPECTS: &'static str = "a path";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::from(text))
    }
}

impl<T: Setting> Setting for Option<T> {
    const EXPECTS: &'static str = T::EXPECTS;

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }
}

impl<T: Setting> Setting for Vec<T> {
    const EXPECTS: &'static str = T::EXPECTS;

    fn parse(text: &str) -> Option<Self> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::parse).collect()
    }
}

/// A size in bytes: `64MiB`, `10GiB`, `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl Setting for ByteSize {
    const EXPECTS: &'static str = "bytes, e.g. `64MiB`, `10GiB`, `4096`";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let scale: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(scale).map(Self)
    }
}

/// A span of time: `30s`, `1d12h`, `PT5M`. A day has 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Setting for Span {
    const EXPECTS: &'static str = "a duration, e.g. `200ms`, `30s`, `1d12h`";

    fn parse(text: &str) -> Option<Self> {
        let span: jiff::Span = text.trim().parse().ok()?;
        let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
        Duration::try_from(duration).ok().map(Self)
    }
}

impl Span {
    /// In milliseconds, saturating.
    pub fn as_millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A rate per second, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// At most this many each second; never 0.
    PerSecond(u64),
    /// No bound.
    Unlimited,
}

impl Setting for Rate {
    const EXPECTS: &'static str = "a whole number above 0, or `unlimited`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "unlimited" => Some(Self::Unlimited),
            number => number.parse().ok().filter(|n| *n > 0).map(Self::PerSecond),
        }
    }
}

impl Rate {
    /// The rate, if there is a bound.
    pub fn limit(self) -> Option<u64> {
        match self {
            Self::PerSecond(rate) => Some(rate),
            Self::Unlimited => None,
        }
    }
}

/// How many shards: one a core, or so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardCount {
    /// As many as cores.
    Cores,
    /// So many; never 0.
    Exactly(u16),
}

impl Setting for ShardCount {
    const EXPECTS: &'static str = "a whole number above 0, or `cores`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "cores" => Some(Self::Cores),
            number => number.parse().ok().filter(|n| *n > 0).map(Self::Exactly),
        }
    }
}

impl ShardCount {
    /// The count on this machine.
    pub fn resolve(self) -> u16 {
        match self {
            Self::Exactly(count) => count,
            Self::Cores => {
                std::thread::available_parallelism().map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX))
            }
        }
    }
}

/// What moves timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock; the time of an event is data.
    Wall,
    /// The greatest time of an event so far, as in `replay`.
    Events,
}

impl Setting for Clock {
    const EXPECTS: &'static str = "`wall` or `events`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "wall" => Some(Self::Wall),
            "events" => Some(Self::Events),
            _ => None,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl Setting for LogFormat {
    const EXPECTS: &'static str = "`json` or `text`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

/// An API key as the server knows it: a name for the logs and the SHA-256 of the key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyDigest {
    /// Who holds the key.
    pub name: String,
    /// SHA-256 of the key's text.
    pub digest: [u8; 32],
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({})", self.name)
    }
}

impl Setting for KeyDigest {
    const EXPECTS: &'static str =
        "`name=sha256:<64 hex digits>`, several with commas between (`sojourn keys new` prints one)";

    fn parse(text: &str) -> Option<Self> {
        let (name, digest) = text.split_once('=')?;
        let hex = digest.strip_prefix("sha256:")?;
        if name.is_empty() || hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut bytes = [0u8; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self { name: name.to_owned(), digest: bytes })
    }
}
