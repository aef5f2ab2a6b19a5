//! `kind: action` and `kind: data_source` as written. Where it calls, how it shows who calls, what it says and hears.

use smol_str::SmolStr;

use crate::domain::endpoint::{Algorithm, Asking, Assertion, Auth, Encoding, Endpoint, KeyPlace, Method, TokenGrant};
use crate::domain::expression::Fields;
use crate::domain::journey::action::{
    Action, ActionDefinition, ActionShape, BodyDefinition, ERROR_RESPONSE, STATUS, source_name,
};
use crate::domain::journey::findings::{At, Findings, Place};
use crate::domain::journey::source::capping::read_rating;
use crate::domain::journey::source::reader::{MapReader, choice, duration, entries, full_text, listed, text, truth};
use crate::domain::journey::source::schema::read_fields;
use crate::domain::journey::source::surface::secret;
use crate::domain::journey::source::tree::{Shape, Tree};
use crate::domain::limits;
use crate::domain::surface::{Network, Secret};

/// Characters of an action's name (spec §3.7).
const NAME_CHARS_MAX: usize = 30;
/// A token is used for an hour unless given (spec §3.7).
const TOKEN_CACHE_MS: i64 = 3_600_000;
/// Bounds of that.
const TOKEN_CACHE_RANGE_MS: (i64, i64) = (1_000, 7 * 86_400_000);
/// How long an answer of a data source may serve.
const ANSWER_CACHE_RANGE_MS: (i64, i64) = (0, 86_400_000);
/// Headers that make a request what it is, or that the engine sets.
const HEADERS_TAKEN: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "idempotency-key", "user-agent"];
const GRANT_METHODS: [(&str, Method); 2] = [("GET", Method::Get), ("POST", Method::Post)];

/// Reads an action. Whatever can't be read leaves `broken` set and a finding behind.
pub fn read(action_name: At<SmolStr>, map: MapReader<'_>, findings: &mut Findings<'_>) -> ActionDefinition {
    let before = findings.count();
    check_name(&action_name, "an action", findings);
    read_callee(action_name, None, map, before, findings)
}

/// Reads a data source: an action that is asked by GET or POST, not too often, and whose answers may serve for a while.
pub fn read_source(name: &At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> ActionDefinition {
    let before = findings.count();
    check_name(name, "a data source", findings);
    let (mut calls, mut period_ms) = (limits::SOURCE_CALLS_MAX, limits::SOURCE_PERIOD_MS);
    if let Some(mut rating) = map.optional("rating").and_then(|tree| MapReader::open(tree, "`rating`", findings)) {
        (calls, period_ms) = read_rating(&mut rating, findings).unwrap_or((calls, period_ms));
        rating.finish(findings);
    }
    let cache = map.optional("cache").and_then(|tree| duration(tree, "`cache`", ANSWER_CACHE_RANGE_MS, findings));
    let asking = Asking { calls, period_ms, cache_ms: cache.map_or(0, |at| at.value) };
    read_callee(At::new(source_name(&name.value), name.place), Some(asking), map, before, findings)
}

fn read_callee(
    action_name: At<SmolStr>,
    asking: Option<Asking>,
    mut map: MapReader<'_>,
    before: usize,
    findings: &mut Findings<'_>,
) -> ActionDefinition {
    let network = match map.optional("allow_private").and_then(|tree| truth(tree, "`allow_private`", findings)) {
        Some(true) => Network::AllowPrivate,
        _ => Network::Public,
    };
    let url = map.required("url", findings).and_then(|tree| full_text(tree, "`url`", findings));
    if let Some(url) = &url {
        check_url(url, network, findings);
    }
    let auth = match map.optional("auth") {
        Some(tree) => read_auth(tree, network, findings),
        None => Some(Auth::None),
    };
    let (methods, usual): (&[(&str, Method)], Method) = match asking {
        None => (&Method::WORDS, Method::default()),
        Some(_) => (&GRANT_METHODS, Method::Get),
    };
    let method = map.optional("method").and_then(|tree| choice(tree, "`method`", methods, findings));
    let shape = read_shape(&mut map, method.unwrap_or(usual), findings);
    map.finish(findings);
    if !findings.any_error_since(before) {
        Action::compile(&action_name.value, &shape, findings);
    }
    let name = action_name.value.clone();
    let endpoint =
        url.zip(auth).map(|(url, auth)| Endpoint { name, url: url.value.to_string(), auth, network, asking });
    ActionDefinition { name: action_name, endpoint, shape, broken: findings.any_error_since(before) }
}

fn read_shape(map: &mut MapReader<'_>, method: Method, findings: &mut Findings<'_>) -> ActionShape {
    let mut fields = |key: &'static str| -> Fields {
        let tree = map.optional(key);
        tree.and_then(|tree| read_fields(tree, &format!("`{key}`"), findings)).unwrap_or_default()
    };
    let (parameters, response) = (fields("parameters"), fields("response"));
    let error_response = fields("error_response");
    let path = map.optional("path").and_then(|tree| full_text(tree, "`path`", findings));
    if let Some(path) = path.as_ref().filter(|path| !path.value.starts_with('/') || path.value.contains(['?', '#'])) {
        let message = format!("`path` can't be `{}`", path.value);
        findings.error_with(
            path.place,
            "bad_address",
            message,
            "begin it with `/`, and write the query as `query`".to_owned(),
        );
    }
    let query = map.optional("query").map(|tree| read_texts(tree, "`query`", findings)).unwrap_or_default();
    let headers = map.optional("headers").map(|tree| read_texts(tree, "`headers`", findings)).unwrap_or_default();
    check_headers(&headers, findings);
    for (name, value) in &query {
        check_query(name, value.place, findings);
    }
    let body = map.optional("body").map(|tree| (read_body(tree, findings), tree.place));
    if let (Some((_, place)), Method::Get) = (&body, method) {
        let suggestion = "use `query`, or `method: POST`".to_owned();
        findings.error_with(*place, "unexpected_body", "a GET request has no body", suggestion);
    }
    for reserved in [STATUS, ERROR_RESPONSE] {
        if response.iter().any(|(name, _)| name == reserved) {
            let message = format!("`{reserved}` can't be a field of `response`: every answer has its own");
            findings.error_with(map.place, "reserved_field", message, "read it as what it is".to_owned());
        }
    }
    let body = body.and_then(|(body, _)| body);
    ActionShape { method, parameters, path, query, headers, body, response, error_response }
}

fn check_name(name: &At<SmolStr>, what: &str, findings: &mut Findings<'_>) {
    let begins_well = name.value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on_well = name.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !begins_well || !goes_on_well || name.value.len() > NAME_CHARS_MAX {
        let message = format!("{what} can't be called `{}`", name.value);
        let suggestion =
            format!("use letters, digits and `_`, beginning with a letter or `_`, at most {NAME_CHARS_MAX}");
        findings.error_with(name.place, "bad_name", message, suggestion);
    }
}

/// A web address without query; unless private ones are allowed, on the ports of the web and by name (spec §3.7).
fn check_url(url: &At<SmolStr>, network: Network, findings: &mut Findings<'_>) {
    let rest = url.value.strip_prefix("https://").or_else(|| url.value.strip_prefix("http://"));
    let authority = rest.map_or("", |rest| rest.split('/').next().unwrap_or_default());
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@' | '{' | '}');
    if host.is_empty() || url.value.contains(strange) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        let message = "`url` is no web address, or more than its static part".to_owned();
        let suggestion =
            "write `https://api.example.com/members`, and the rest as `path`, `query` and `auth`".to_owned();
        findings.error_with(url.place, "bad_address", message, suggestion);
        return;
    }
    // Where the last label begins with a digit, an address is meant, in whatever form (WHATWG URL, "ends in a number").
    let last_label = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = host.starts_with('[') || last_label.starts_with(|c: char| c.is_ascii_digit());
    if network == Network::Public && (is_number || port.is_some_and(|port| !matches!(port, "80" | "443"))) {
        let message = format!("`{authority}` is not called: actions and data sources reach names, on port 80 or 443");
        let suggestion = "set `allow_private: true` if it is meant".to_owned();
        findings.error_with(url.place, "bad_address", message, suggestion);
    }
}

fn check_headers(headers: &[(SmolStr, At<SmolStr>)], findings: &mut Findings<'_>) {
    for (name, value) in headers {
        let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let lower = name.to_ascii_lowercase();
        let problem = if name.is_empty() || !name.chars().all(is_token) {
            Some("is no name of a header")
        } else if HEADERS_TAKEN.contains(&lower.as_str()) {
            Some("is set by the engine")
        } else if lower == "content-type" && !value.value.contains("json") {
            Some("must name a JSON type: bodies are JSON")
        } else {
            None
        };
        if let Some(problem) = problem {
            let message = format!("header `{name}` {problem}");
            findings.error_with(value.place, "bad_header", message, "remove it, or rename it".to_owned());
        }
    }
}

/// Names of parameters of a query (spec §3.7).
fn check_query(name: &str, place: Place, findings: &mut Findings<'_>) {
    let problem = match name.chars().next() {
        None => "has no name",
        Some('.' | '$') => "begins with `.` or `$`",
        Some(_) => return,
    };
    let message = format!("query parameter `{name}` {problem}");
    findings.error_with(place, "bad_query", message, "remove it, or rename it".to_owned());
}

/// Names and texts.
fn read_texts(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Vec<(SmolStr, At<SmolStr>)> {
    let found = entries(tree, what, findings).unwrap_or_default();
    found
        .into_iter()
        .filter_map(|(name, _, value)| {
            Some((SmolStr::new(name), text(value, &format!("`{name}` in {what}"), findings)?))
        })
        .collect()
}

/// Depth is bounded by the tree's.
fn read_body(tree: &Tree, findings: &mut Findings<'_>) -> Option<BodyDefinition> {
    Some(match &tree.shape {
        _ if tree.is_null() => BodyDefinition::Null,
        Shape::Text(_) | Shape::Word(_) => BodyDefinition::Value(full_text(tree, "a value in `body`", findings)?),
        Shape::List(items) => {
            BodyDefinition::List(items.iter().map(|item| read_body(item, findings)).collect::<Option<_>>()?)
        }
        Shape::Map(_) => {
            let fields = entries(tree, "`body`", findings)?;
            let read =
                fields.into_iter().map(|(name, _, value)| Some((SmolStr::new(name), read_body(value, findings)?)));
            BodyDefinition::Object(read.collect::<Option<_>>()?)
        }
    })
}

fn read_auth(tree: &Tree, network: Network, findings: &mut Findings<'_>) -> Option<Auth> {
    const TYPES: [&str; 5] = ["none", "basic", "api_key", "token", "certificate"];
    let mut map = MapReader::open(tree, "`auth`", findings)?;
    let written = map.required("type", findings).and_then(|tree| full_text(tree, "`type` of `auth`", findings))?;
    let auth = match written.value.as_str() {
        "none" => Some(Auth::None),
        "basic" => read_basic(&mut map, findings),
        "api_key" => read_key(&mut map, findings),
        "token" => read_grant(&mut map, network, None, findings).map(|grant| Auth::Token(Box::new(grant))),
        "certificate" => {
            let assertion = read_assertion(&mut map, findings);
            let grant = read_grant(&mut map, network, assertion, findings);
            grant.filter(|grant| grant.assertion.is_some()).map(|grant| Auth::Token(Box::new(grant)))
        }
        other => {
            let suggestion = format!("write one of {}", listed(&TYPES));
            let message = format!("`type` of `auth` can't be `{other}`");
            findings.error_with(written.place, "unknown_value", message, suggestion);
            return None;
        }
    };
    map.finish(findings);
    auth
}

fn read_basic(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<Auth> {
    let username = map.required("username", findings).and_then(|tree| full_text(tree, "`username`", findings));
    let password = required_secret(map, "password", "password_env", findings);
    Some(Auth::Basic { username: username?.value.to_string(), password: password? })
}

fn read_key(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<Auth> {
    let key = required_secret(map, "key", "key_env", findings);
    let place = read_key_place(map, findings);
    Some(Auth::ApiKey { place: place?.unwrap_or_else(|| KeyPlace::Header("X-Api-Key".to_owned())), key: key? })
}

/// `header: NAME` or `query: NAME`; neither is none.
fn read_key_place(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<Option<KeyPlace>> {
    let header = map.optional("header").map(|tree| full_text(tree, "`header`", findings));
    let query = map.optional("query").map(|tree| full_text(tree, "`query`", findings));
    match (header, query) {
        (Some(_), Some(_)) => {
            let suggestion = "keep one of them".to_owned();
            findings.error_with(map.place, "duplicate_key", "`header` and `query` are both given", suggestion);
            None
        }
        (Some(header), None) => {
            let header = header?;
            check_headers(&[(header.value.clone(), At::new("json".into(), header.place))], findings);
            Some(Some(KeyPlace::Header(header.value.to_string())))
        }
        (None, Some(query)) => {
            let query = query?;
            check_query(&query.value, query.place, findings);
            Some(Some(KeyPlace::Query(query.value.to_string())))
        }
        (None, None) => Some(None),
    }
}

/// Who asks, and the key that shows it. Whom it is for is the token's server unless given.
fn read_assertion(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<Assertion> {
    let key = required_secret(map, "key", "key_env", findings);
    let issuer = map.required("issuer", findings).and_then(|tree| full_text(tree, "`issuer`", findings));
    let mut optional = |key: &'static str, findings: &mut Findings<'_>| {
        let text = map.optional(key).and_then(|tree| full_text(tree, &format!("`{key}`"), findings));
        text.map(|text| text.value.to_string())
    };
    let audience = optional("audience", findings).unwrap_or_default();
    let (key_id, thumbprint) = (optional("key_id", findings), optional("thumbprint", findings));
    let algorithm = map.optional("algorithm").and_then(|tree| choice(tree, "`algorithm`", &Algorithm::WORDS, findings));
    let (issuer, algorithm) = (issuer?.value.to_string(), algorithm.unwrap_or_default());
    Some(Assertion { issuer, audience, algorithm, key: key?, key_id, thumbprint })
}

fn read_grant(
    map: &mut MapReader<'_>,
    network: Network,
    mut assertion: Option<Assertion>,
    findings: &mut Findings<'_>,
) -> Option<TokenGrant> {
    let url = map.required("url", findings).and_then(|tree| full_text(tree, "`url` of `auth`", findings));
    if let Some(url) = &url {
        check_url(url, network, findings);
    }
    let method = map.optional("method").and_then(|tree| choice(tree, "`method`", &GRANT_METHODS, findings));
    let headers = read_secrets(map, "headers", "headers_env", findings);
    for (name, _) in &headers {
        check_headers(&[(name.as_str().into(), At::new("json".into(), map.place))], findings);
    }
    let form = read_secrets(map, "form", "form_env", findings);
    let json = read_secrets(map, "json", "json_env", findings);
    if !form.is_empty() && !json.is_empty() {
        let suggestion = "keep one of them".to_owned();
        findings.error_with(map.place, "duplicate_key", "`form` and `json` are both given", suggestion);
    }
    let token_in = map.optional("token_in").and_then(|tree| full_text(tree, "`token_in`", findings));
    let token_in = token_in.map_or_else(|| SmolStr::new_static("access_token"), |at| at.value);
    let cache = map.optional("cache").and_then(|tree| duration(tree, "`cache`", TOKEN_CACHE_RANGE_MS, findings));
    let place = read_key_place(map, findings);
    let url = url?.value.to_string();
    if let Some(assertion) = assertion.as_mut().filter(|assertion| assertion.audience.is_empty()) {
        assertion.audience.clone_from(&url);
    }
    let encoding = if json.is_empty() { Encoding::Form } else { Encoding::Json };
    Some(TokenGrant {
        url,
        assertion,
        method: method.unwrap_or(Method::Post),
        headers,
        fields: if json.is_empty() { form } else { json },
        encoding,
        token_in: if token_in == "response" { Vec::new() } else { token_in.split('.').map(SmolStr::new).collect() },
        place: place?.unwrap_or(KeyPlace::Bearer),
        cache_ms: cache.map_or(TOKEN_CACHE_MS, |at| at.value),
    })
}

/// Names and values, and names and environment variables of the server.
fn read_secrets(
    map: &mut MapReader<'_>,
    inline: &'static str,
    env: &'static str,
    findings: &mut Findings<'_>,
) -> Vec<(String, Secret)> {
    let mut read = |key: &'static str, make: fn(String) -> Secret| -> Vec<(String, Secret)> {
        let texts = map.optional(key).map(|tree| read_texts(tree, &format!("`{key}`"), findings)).unwrap_or_default();
        texts.into_iter().map(|(name, text)| (name.to_string(), make(text.value.to_string()))).collect()
    };
    let mut all = read(inline, Secret::Inline);
    all.extend(read(env, Secret::Env));
    all
}

fn required_secret(
    map: &mut MapReader<'_>,
    inline: &'static str,
    env: &'static str,
    findings: &mut Findings<'_>,
) -> Option<Secret> {
    let found = secret(map, inline, env, findings);
    if found.is_none() {
        let message = format!("{} has no `{env}`", map.what);
        findings.error_with(map.place, "missing_key", message, format!("add `{env}: NAME`, or `{inline}: …`"));
    }
    found
}
