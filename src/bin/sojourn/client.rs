//! The HTTP side of client commands: one request, one typed answer, failures with their exit code.

use std::time::Duration;

use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use sojourn::transport::http::error::ErrorBody;

use crate::cli::ServerArgs;
use crate::failure::Failure;

/// A server's API.
#[derive(Debug)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
    // One for the client's whole life: pooled connections belong to the runtime they were made on.
    runtime: tokio::runtime::Runtime,
    key: Option<String>,
}

/// Answer of a server that may be a refusal with details of its own.
#[derive(Debug)]
pub enum Answer<T> {
    /// As asked.
    Ok(T),
    /// A refusal: status, body, and the body as sent, which may hold more.
    Refused(u16, Box<ErrorBody>, Value),
}

impl Client {
    /// A client of the server named by flags and environment.
    pub fn new(args: &ServerArgs) -> Result<Self, Failure> {
        let base: Url = args.server.parse().map_err(|e| {
            Failure::Usage(format!("--server {:?} is no URL: {e}; e.g. http://127.0.0.1:8080", args.server))
        })?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Failure::Usage(format!("--server {base} must begin with http:// or https://")));
        }
        let mut builder = reqwest::Client::builder().connect_timeout(Duration::from_secs(10));
        let mut roots = Vec::new();
        if let Some(path) = &args.ca {
            let pem = std::fs::read(path).map_err(|e| Failure::Usage(format!("--ca {}: {e}", path.display())))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem);
            roots = certificates.map_err(|e| Failure::Usage(format!("--ca {}: {e}", path.display())))?;
        }
        for root in roots {
            builder = builder.add_root_certificate(root);
        }
        let http = builder.build().map_err(|e| Failure::Failed(format!("can't build an HTTP client: {e}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::Failed(format!("can't start: {e}")))?;
        Ok(Self { base, http, runtime, key: args.api_key.clone() })
    }

    /// The URL of these path segments (encoded here) with a query.
    pub fn url(&self, segments: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("http and https URLs have a path").pop_if_empty().extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// One request; a refusal by the server is a failure.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        match self.ask(method, url, body)? {
            Answer::Ok(value) => Ok(value),
            Answer::Refused(_, body, _) => Err(refused(*body)),
        }
    }

    /// One GET.
    pub fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, Failure> {
        self.call(Method::GET, url, None::<&()>)
    }

    /// One request; refusals are for the caller.
    pub fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
    ) -> Result<Answer<T>, Failure> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.finish(request).map(|(_, answer)| answer)
    }

    /// Lets the server be for a while, as it asked.
    pub fn rest(&self, wait: Duration) {
        self.runtime.block_on(tokio::time::sleep(wait));
    }

    /// Posts raw bytes; also says when to try again, in seconds, if the server does.
    pub fn post_bytes<T: DeserializeOwned>(
        &self,
        url: Url,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<(Option<u64>, Answer<T>), Failure> {
        self.finish(self.http.post(url).header("content-type", media_type).body(body))
    }

    /// GETs lines, each as it comes; `take` is given them without their ends.
    pub fn lines(&self, url: Url, mut take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut request = self.http.get(url);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        self.runtime.block_on(async {
            let mut response = request.send().await.map_err(|e| self.unreachable(&e))?;
            if !response.status().is_success() {
                let status = response.status();
                let bytes = response.bytes().await.map_err(|e| self.unreachable(&e))?;
                let body: ErrorBody = serde_json::from_slice(&bytes).map_err(|e| self.strange(status, &e))?;
                return Err(refused(body));
            }
            let mut rest = Vec::new();
            let broken = |e: reqwest::Error| Failure::Unreachable(format!("{} broke off: {}", self.base, causes(&e)));
            while let Some(bytes) = response.chunk().await.map_err(broken)? {
                rest.extend_from_slice(&bytes);
                let mut taken = 0;
                while let Some(length) = rest[taken..].iter().position(|byte| *byte == b'\n') {
                    take(&rest[taken..taken + length])?;
                    taken += length + 1;
                }
                rest.drain(..taken);
            }
            if rest.is_empty() { Ok(()) } else { Err(Failure::Unreachable(format!("{} broke off", self.base))) }
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::Unreachable(format!("no server at {}: {}", self.base, causes(error)))
    }

    fn strange(&self, status: reqwest::StatusCode, error: &serde_json::Error) -> Failure {
        Failure::Failed(format!("{} answered {status}, but not as Sojourn does: {error}", self.base))
    }

    fn finish<T: DeserializeOwned>(
        &self,
        mut request: reqwest::RequestBuilder,
    ) -> Result<(Option<u64>, Answer<T>), Failure> {
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|e| self.unreachable(&e))?;
            let status = response.status();
            let retry =
                response.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
            let bytes = response.bytes().await.map_err(|e| self.unreachable(&e))?;
            let strange = |e: serde_json::Error| self.strange(status, &e);
            if status.is_success() {
                return Ok((retry, Answer::Ok(serde_json::from_slice(&bytes).map_err(strange)?)));
            }
            let raw: Value = serde_json::from_slice(&bytes).map_err(strange)?;
            let body = ErrorBody::deserialize(&raw).map_err(strange)?;
            Ok((retry, Answer::Refused(status.as_u16(), Box::new(body), raw)))
        })
    }
}

/// The failure a refusal amounts to.
pub fn refused(body: ErrorBody) -> Failure {
    Failure::Refused { code: body.error.code, message: body.error.message, suggestion: body.error.suggestion }
}

/// An error with all its causes: the outermost alone says nothing of use.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
