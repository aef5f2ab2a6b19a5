//! Surfaces: how a channel reaches the world. Settings only: the channel reads secrets and opens connections.
//!
//! A surface is looked up by name at every send, so a new host or password counts at once, for running instances too.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::journey::program::Channel;

/// A published surface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surface {
    /// Its name.
    pub name: SmolStr,
    /// Where it leads.
    pub settings: Settings,
    /// What becomes of a delivery that may or may not have happened.
    pub in_doubt: InDoubt,
    /// Longest time for one attempt, in milliseconds.
    pub attempt_timeout_ms: i64,
    /// How long after the first attempt a delivery is tried again, in milliseconds.
    pub retry_for_ms: i64,
}

/// Settings by channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settings {
    /// For [`Channel::Email`].
    Smtp(Smtp),
    /// For [`Channel::Webhook`].
    Webhook(Webhook),
}

/// An SMTP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smtp {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Sender, `a@b` or `Name <a@b>`.
    pub from: String,
    /// Encryption.
    pub tls: Tls,
    /// Login, if the server wants one.
    pub username: Option<String>,
    /// Password of the login.
    pub password: Option<Secret>,
}

/// Encryption of an SMTP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Plain text; the default for loopback hosts only.
    None,
    /// Upgraded by STARTTLS, required; the default elsewhere.
    Starttls,
    /// From the first byte; the default on port 465.
    Implicit,
}

/// A receiver of HTTP POSTs, signed by Standard Webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// `http://` or `https://`.
    pub url: String,
    /// Signing secret (`whsec_…` or its base64); unsigned without.
    pub secret: Option<Secret>,
    /// Whether addresses of private networks may be called.
    pub network: Network,
}

/// Which addresses a webhook may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Public addresses only, after resolution.
    Public,
    /// Any address (`allow_private: true`).
    AllowPrivate,
}

/// A secret, or where the channel finds it. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// Given in the resource.
    Inline(String),
    /// Name of an environment variable, read when sending.
    Env(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Inline(..)"),
            Self::Env(name) => write!(f, "Env({name})"),
        }
    }
}

/// What becomes of a delivery in doubt (design §5, outbox).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InDoubt {
    /// It is listed until someone decides; default of SMTP.
    Hold,
    /// It counts as lost.
    PreferLoss,
    /// It is sent again with the same key; default of webhooks.
    PreferDuplicate,
}

impl Surface {
    /// The channel it serves.
    pub fn channel(&self) -> Channel {
        match self.settings {
            Settings::Smtp(_) => Channel::Email,
            Settings::Webhook(_) => Channel::Webhook,
        }
    }
}
