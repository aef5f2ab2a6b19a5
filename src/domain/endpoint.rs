//! Endpoints of custom actions: where a call goes and how it shows who it comes from. Settings only: the channel reads
//! secrets and opens connections.
//!
//! An endpoint is looked up by name at every call, so a new URL or key counts at once, for running instances too.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::surface::{Network, Secret};

/// How a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Reads; has no body.
    Get,
    /// Sends.
    #[default]
    Post,
    /// Replaces.
    Put,
}

impl Method {
    /// Every one, with its word.
    pub const WORDS: [(&'static str, Self); 3] = [("GET", Self::Get), ("POST", Self::Post), ("PUT", Self::Put)];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, method)| *method == self).map_or("", |(word, _)| word)
    }
}

/// The part of an action that may change under running instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Name of the action.
    pub name: SmolStr,
    /// `http://` or `https://`, the static part.
    pub url: String,
    /// How it shows who calls.
    pub auth: Auth,
    /// Which addresses and ports may be called.
    pub network: Network,
    /// Of a data source: how often it is asked.
    pub asking: Option<Asking>,
}

/// How often a data source is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// Requests within any period; those beyond are refused (spec §5.9).
    pub calls: u32,
    /// Milliseconds.
    pub period_ms: i64,
    /// How long a good answer serves for the same request, in milliseconds; 0: not at all.
    pub cache_ms: i64,
}

/// How a call shows who it comes from (spec §3.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// Name and password.
    Basic {
        /// Name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// A key.
    ApiKey {
        /// Where it stands.
        place: KeyPlace,
        /// The key.
        key: Secret,
    },
    /// A token that another request gets first.
    Token(Box<TokenGrant>),
}

/// Where a key or token stands in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlace {
    /// `Authorization: Bearer …`.
    Bearer,
    /// A header of this name.
    Header(String),
    /// A parameter of the query of this name.
    Query(String),
}

/// A request that gets a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGrant {
    /// Where it goes.
    pub url: String,
    /// GET or POST.
    pub method: Method,
    /// Its headers.
    pub headers: Vec<(String, Secret)>,
    /// What it says.
    pub fields: Vec<(String, Secret)>,
    /// How that is written.
    pub encoding: Encoding,
    /// Path of the token in the answer, which is JSON; empty: the whole answer is the token.
    pub token_in: Vec<SmolStr>,
    /// Where the token stands in a call.
    pub place: KeyPlace,
    /// How long a token is used, in milliseconds.
    pub cache_ms: i64,
    /// Who asks, shown by a private key.
    pub assertion: Option<Assertion>,
}

/// A certificate credential: the server of the token knows the public half of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// Who asks: the client's id.
    pub issuer: String,
    /// Whom it is for.
    pub audience: String,
    /// How it is signed.
    pub algorithm: Algorithm,
    /// The private key, PEM.
    pub key: Secret,
    /// Which of several keys it is.
    pub key_id: Option<String>,
    /// SHA-256 of the certificate, base64url.
    pub thumbprint: Option<String>,
}

/// How an assertion is signed (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// RSA and SHA-256.
    #[default]
    Rs256,
    /// The curve P-256 and SHA-256.
    Es256,
}

impl Algorithm {
    /// Every one, with its word.
    pub const WORDS: [(&'static str, Self); 2] = [("RS256", Self::Rs256), ("ES256", Self::Es256)];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// How the fields of a token request are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `a=1&b=2`.
    Form,
    /// `{"a":"1","b":"2"}`.
    Json,
}

/// How many calls may go to some endpoints: those beyond are refused (spec §3.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capping {
    /// Its name.
    pub name: SmolStr,
    /// Whole URL without query; `*` stands for any text, but not in the host.
    pub url: String,
    /// Of requests by these.
    pub methods: Vec<Method>,
    /// Requests within any period.
    pub calls: u32,
    /// Milliseconds.
    pub period_ms: i64,
}

impl Capping {
    /// Whether it counts a request to `url` (without query).
    pub fn covers(&self, method: Method, url: &str) -> bool {
        self.methods.contains(&method) && matches(&self.url, url)
    }
}

/// Calls of custom actions to some endpoints wait for each other, so that no more than so many a second are made (spec §3.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Its name.
    pub name: SmolStr,
    /// Whole URL without query; `*` stands for any text, but not in the host.
    pub url: String,
    /// Of requests by these.
    pub methods: Vec<Method>,
    /// Requests within any second.
    pub throughput_max: u32,
    /// Whether it counts.
    pub deployment: Deployment,
}

/// Whether a throttling counts. One does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deployment {
    /// It does.
    Deployed,
    /// It is kept, and nothing waits for it.
    Undeployed,
}

impl Throttling {
    /// Whether a request to `url` (without query) waits for its turn.
    pub fn covers(&self, method: Method, url: &str) -> bool {
        self.deployment == Deployment::Deployed && self.methods.contains(&method) && matches(&self.url, url)
    }
}

/// Whether `text` is `pattern`, whose `*` stand for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The earliest place leaves the most for those behind it.
        let Some(place) = text.find(part) else { return false };
        text = &text[place + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_urls() {
        let covers = |pattern: &str, url: &str| {
            let url_pattern = pattern.to_owned();
            let capping =
                Capping { name: "c".into(), url: url_pattern, methods: vec![Method::Post], calls: 1, period_ms: 1 };
            assert!(!capping.covers(Method::Get, url));
            capping.covers(Method::Post, url)
        };
        let url = "https://a.example/members/4711/points";
        for pattern in [
            url,
            "https://a.example/*",
            "https://a.example/members/*/points",
            "https://a.example/*/*s",
            "https://a.example/*47*1*",
        ] {
            assert!(covers(pattern, url), "{pattern}");
        }
        for pattern in
            ["https://a.example", "https://a.example/*/point", "https://b.example/*", "https://a.example/*/x/*"]
        {
            assert!(!covers(pattern, url), "{pattern}");
        }
        assert!(!covers("https://a.example/a*a", "https://a.example/a"), "the parts do not overlap");
    }
}
