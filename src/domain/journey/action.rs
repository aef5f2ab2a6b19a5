//! Custom actions: the part that a version of a journey keeps, as written and compiled. What a call says follows from its
//! parameters and from nothing else, so that every attempt says the same.

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use crate::domain::effect::{CallAnswer, CallStatus};
use crate::domain::endpoint::{Endpoint, Method};
use crate::domain::expression::{EvalError, Expr, Fields, SOURCE_PREFIX, Schemas, Scope, Type};
use crate::domain::ids::Millis;
use crate::domain::journey::findings::{At, Findings};
use crate::domain::suggest::did_you_mean;
use crate::domain::value::{Map, Value};
use crate::planted::{Bug, is_planted};

/// Names that every answer has beside its declared fields.
pub const STATUS: &str = "status";
/// The declared fields of an answer that is an error.
pub const ERROR_RESPONSE: &str = "error_response";

/// The name by which a data source is known among actions.
pub fn source_name(name: &str) -> SmolStr {
    format_smolstr!("{SOURCE_PREFIX}{name}")
}

/// What people call it: action `a`, or data source `s`.
pub fn titled(name: &str) -> String {
    match name.strip_prefix(SOURCE_PREFIX) {
        Some(source) => format!("data source `{source}`"),
        None => format!("action `{name}`"),
    }
}

/// `kind: action`, or `kind: data_source`, which is called in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionDefinition {
    /// Its name.
    pub name: At<SmolStr>,
    /// Where it calls; none if that can't be read.
    pub endpoint: Option<Endpoint>,
    /// What it says and hears.
    pub shape: ActionShape,
    /// Something of it could not be read.
    #[serde(skip)]
    pub broken: bool,
}

/// What a call says and what it hears: frozen with the version of a journey.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionShape {
    /// How the request is made.
    pub method: Method,
    /// What nodes give.
    pub parameters: Fields,
    /// Added to the path of the URL; `{name}` is a parameter.
    pub path: Option<At<SmolStr>>,
    /// Query, with parameters as in `path`.
    pub query: Vec<(SmolStr, At<SmolStr>)>,
    /// Headers, with parameters as in `path`.
    pub headers: Vec<(SmolStr, At<SmolStr>)>,
    /// JSON body.
    pub body: Option<BodyDefinition>,
    /// Fields of a good answer.
    pub response: Fields,
    /// Fields of an answer that is an error.
    pub error_response: Fields,
}

/// A JSON body whose leaves are expressions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyDefinition {
    /// `null`.
    Null,
    /// An expression that reads `with.PARAMETER`.
    Value(At<SmolStr>),
    /// A list.
    List(Vec<BodyDefinition>),
    /// An object.
    Object(Vec<(SmolStr, BodyDefinition)>),
}

impl ActionShape {
    /// What expressions of journeys may read of its answers.
    pub fn readable(&self) -> Fields {
        let mut fields = self.response.clone();
        fields.push((SmolStr::new_static(STATUS), Type::String));
        if !self.error_response.is_empty() {
            fields.push((SmolStr::new_static(ERROR_RESPONSE), Type::Object(self.error_response.clone())));
        }
        fields
    }
}

/// An action, compiled.
#[derive(Clone, Debug)]
pub struct Action {
    /// Its name.
    pub name: SmolStr,
    /// The queue of the outbox that its calls wait in: no surface is called so.
    pub queue: SmolStr,
    /// How the request is made.
    pub method: Method,
    path: Vec<Piece>,
    query: Vec<(SmolStr, Vec<Piece>)>,
    headers: Vec<(SmolStr, Vec<Piece>)>,
    body: Option<Body>,
    /// Fields of a good answer.
    pub response: Fields,
    /// Fields of an answer that is an error.
    pub error_response: Fields,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Parameter(SmolStr),
}

#[derive(Clone, Debug)]
enum Body {
    Null,
    Value(Expr),
    List(Vec<Body>),
    Object(Vec<(SmolStr, Body)>),
}

/// What a call says.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Added to the path of the URL; encoded.
    pub path: String,
    /// Query; not encoded.
    pub query: Vec<(SmolStr, String)>,
    /// Headers.
    pub headers: Vec<(SmolStr, String)>,
    /// JSON body.
    pub body: Option<Value>,
}

impl Action {
    /// Fields that are declared of an answer with this status.
    pub fn declared_for(&self, status: CallStatus) -> &Fields {
        if status.is_error() { &self.error_response } else { &self.response }
    }

    /// Whether it is a data source, which is asked for what it knows.
    pub fn is_source(&self) -> bool {
        self.name.starts_with(SOURCE_PREFIX)
    }

    /// Compiles what was written. Everything wrong with it is noted.
    pub fn compile(name: &SmolStr, shape: &ActionShape, findings: &mut Findings<'_>) -> Option<Self> {
        let before = findings.count();
        let mut texts = |written: &[(SmolStr, At<SmolStr>)], what: &str| -> Vec<(SmolStr, Vec<Piece>)> {
            written
                .iter()
                .map(|(key, text)| (key.clone(), pieces(text, &format!("{what} `{key}`"), name, shape, findings)))
                .collect()
        };
        let query = texts(&shape.query, "query parameter");
        let headers = texts(&shape.headers, "header");
        let path = shape.path.as_ref().map(|path| pieces(path, "`path`", name, shape, findings)).unwrap_or_default();
        let schemas = Schemas { with: Some(shape.parameters.clone()), ..Schemas::default() };
        let body = shape.body.as_ref().map(|body| compile_body(body, name, &schemas, findings));
        (!findings.any_error_since(before)).then_some(Self {
            name: name.clone(),
            queue: SmolStr::new(format!("action:{name}")),
            method: shape.method,
            path,
            query,
            headers,
            body,
            response: shape.response.clone(),
            error_response: shape.error_response.clone(),
        })
    }

    /// What a call with these parameters says. `decided_at` is what `now` means.
    pub fn request(&self, parameters: &Map, decided_at: Millis) -> Result<Request, EvalError> {
        let scope = Scope {
            event: Map::EMPTY,
            last: Map::EMPTY,
            profile: Map::EMPTY,
            meta_id: "",
            meta_type: "",
            meta_time: decided_at,
            action: parameters,
            now: decided_at,
            facts: None,
        };
        let mut path = String::new();
        for piece in &self.path {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Parameter(name) => match text_of(parameters.get(name)) {
                    Some(text) if is_planted(Bug::PathNotEncoded) => path.push_str(&text),
                    Some(text) => encode(&text, &mut path),
                    None => return Err(EvalError::Other(format!("`{name}` is null, and the path needs it"))),
                },
            }
        }
        // They would be taken for "this" and "above": another place than the author meant.
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(EvalError::Other("a part of the path is `.` or `..`".to_owned()));
        }
        let given = |texts: &[(SmolStr, Vec<Piece>)]| -> Vec<(SmolStr, String)> {
            texts.iter().filter_map(|(name, text)| Some((name.clone(), filled(text, parameters)?))).collect()
        };
        let body = self.body.as_ref().map(|body| body.eval(&scope)).transpose()?;
        Ok(Request { path, query: given(&self.query), headers: given(&self.headers), body })
    }
}

impl Body {
    fn eval(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Value(expr) => expr.eval(scope)?,
            Self::List(items) => Value::List(items.iter().map(|item| item.eval(scope)).collect::<Result<_, _>>()?),
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| Ok((name.clone(), value.eval(scope)?)));
                Value::Map(Map(fields.collect::<Result<_, EvalError>>()?))
            }
        })
    }
}

/// The declared fields of an answer; what is not declared is left out, what is not there is too.
///
/// # Errors
/// The path of a value that is not of its declared type.
pub fn declared(answer: &Map, fields: &Fields) -> Result<Map, String> {
    let mut kept = Map::new();
    for (name, value_type) in fields {
        if let Some(value) = answer.get(name).filter(|value| **value != Value::Null) {
            let value = as_declared(value, value_type)
                .map_err(|below| if below.is_empty() { name.to_string() } else { format!("{name}.{below}") })?;
            kept.insert(name.clone(), value);
        }
    }
    Ok(kept)
}

/// What the channel makes of an answer with these fields.
pub fn answer_of(status: CallStatus, body: &Map, fields: &Fields) -> CallAnswer {
    match declared(body, fields) {
        Ok(fields) => CallAnswer { fields, ..CallAnswer::empty(status) },
        Err(_) if status.is_error() => CallAnswer::empty(status),
        Err(path) => CallAnswer::because(
            CallStatus::InternalError,
            format!("`{path}` of the answer is not of its declared type"),
        ),
    }
}

fn as_declared(value: &Value, declared_type: &Type) -> Result<Value, String> {
    /// Beyond this a double no longer tells neighbouring integers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match (declared_type, value) {
        (_, Value::Null) => Ok(Value::Null),
        (Type::String, Value::Str(_)) | (Type::Boolean, Value::Bool(_)) | (Type::Integer, Value::Int(_)) => {
            Ok(value.clone())
        }
        (Type::Integer, Value::Float(f)) if f.fract() == 0.0 && f.abs() <= EXACT => Ok(Value::Int(*f as i64)),
        (Type::Number, Value::Float(_)) => Ok(value.clone()),
        (Type::Number, Value::Int(i)) => Ok(Value::Float(*i as f64)),
        (Type::Timestamp, Value::Str(text)) => Millis::parse_iso(text).map(Value::Time).ok_or_else(String::new),
        (Type::List(item), Value::List(items)) => {
            Ok(Value::List(items.iter().map(|value| as_declared(value, item)).collect::<Result<_, _>>()?))
        }
        (Type::Object(fields), Value::Map(map)) => declared(map, fields).map(Value::Map),
        _ => Err(String::new()),
    }
}

fn compile_body(body: &BodyDefinition, action: &str, schemas: &Schemas, findings: &mut Findings<'_>) -> Body {
    match body {
        BodyDefinition::Null => Body::Null,
        BodyDefinition::List(items) => {
            Body::List(items.iter().map(|item| compile_body(item, action, schemas, findings)).collect())
        }
        BodyDefinition::Object(fields) => {
            let compiled = |(name, value): &(SmolStr, BodyDefinition)| {
                (name.clone(), compile_body(value, action, schemas, findings))
            };
            Body::Object(fields.iter().map(compiled).collect())
        }
        BodyDefinition::Value(source) => match Expr::compile_any(&source.value, schemas) {
            Ok(expr) => Body::Value(expr),
            Err(errors) => {
                for error in errors {
                    let message = format!("`body` of {}: {}", titled(action), error.message);
                    findings.error_within(source, error.offset, error.code, message, error.suggestion);
                }
                Body::Null
            }
        },
    }
}

/// Splits `a/{b}` into its parts; `{{` and `}}` stand for single braces.
fn pieces(
    text: &At<SmolStr>,
    what: &str,
    action: &str,
    shape: &ActionShape,
    findings: &mut Findings<'_>,
) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut plain = String::new();
    let mut rest = text.value.as_str();
    while let Some(c) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            plain.push(c);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('{') {
            let Some((name, behind)) = behind.split_once('}') else {
                let message = format!("{what} of {} has a `{{` that nothing closes", titled(action));
                findings.error_with(
                    text.place,
                    "bad_placeholder",
                    message,
                    "write `{parameter}`, or `{{` for a brace".to_owned(),
                );
                return found;
            };
            check_placeholder(name, text, what, action, shape, findings);
            if !plain.is_empty() {
                found.push(Piece::Text(std::mem::take(&mut plain)));
            }
            found.push(Piece::Parameter(SmolStr::new(name)));
            rest = behind;
        } else {
            plain.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !plain.is_empty() {
        found.push(Piece::Text(plain));
    }
    found
}

fn check_placeholder(
    name: &str,
    text: &At<SmolStr>,
    what: &str,
    action: &str,
    shape: &ActionShape,
    findings: &mut Findings<'_>,
) {
    match shape.parameters.iter().find(|(known, _)| known == name) {
        Some((_, Type::List(_) | Type::Object(_))) => {
            let message = format!("{what} of {} is a text, and parameter `{name}` is not", titled(action));
            findings.error_with(
                text.place,
                "type_mismatch",
                message,
                "send lists and objects in the `body`".to_owned(),
            );
        }
        Some(_) => {}
        None => {
            let known = shape.parameters.iter().map(|(known, _)| known.as_str());
            let suggestion =
                did_you_mean(name, known).unwrap_or_else(|| format!("declare it: `parameters: {{ {name}: string }}`"));
            let message = format!("{what} of {} names the unknown parameter `{name}`", titled(action));
            findings.error_with(text.place, "unknown_parameter", message, suggestion);
        }
    }
}

/// The text with its parameters; none if one of them is null, as if it had not been written.
fn filled(text: &[Piece], parameters: &Map) -> Option<String> {
    let mut filled = String::new();
    for piece in text {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Parameter(name) => match text_of(parameters.get(name)) {
                Some(text) => filled.push_str(&text),
                None if is_planted(Bug::GapSaidEmpty) => {}
                None => return None,
            },
        }
    }
    Some(filled)
}

fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::Str(text) => Some(text.to_string()),
        other => match other.to_json() {
            serde_json::Value::String(text) => Some(text),
            other => Some(other.to_string()),
        },
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986 §2.3.
fn encode(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("a text takes all"),
        }
    }
}

#[cfg(test)]
mod tests;
