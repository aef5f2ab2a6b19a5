//! Functions and methods: which there are, what they take, and the code of those on texts and sizes. Conversions live
//! in `conversion`, parts of instants in `time`.

use std::borrow::Cow;

use cel::common::ast::{CallExpr, IdedExpr};

use super::code::{Code, Typed, run_text};
use super::compile::{Compiler, Problem, bridge};
use super::parse::At;
use super::time;
use super::types::Type;
use crate::domain::suggest::{did_you_mean, nearest};

/// Functions called as `name(argument)`.
const GLOBAL: [&str; 8] = ["size", "int", "double", "string", "bool", "timestamp", "duration", "has"];
/// Functions called as `text.name(…)`.
const OF_TEXT: [&str; 8] =
    ["contains", "startsWith", "endsWith", "matches", "size", "lowerAscii", "upperAscii", "trim"];
/// Macros called as `list.name(x, …)`.
const OF_LIST: [&str; 5] = ["all", "exists", "exists_one", "filter", "map"];

/// Bytes of a compiled pattern: the default of the `regex` crate is ten times this, for every expression.
const PATTERN_BYTES_MAX: usize = 1 << 20;

impl Compiler<'_> {
    pub(super) fn function(&mut self, id: u64, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        let Some(target) = &call.target else { return self.global(id, name, &call.args) };
        let at = At::Before(id, name.to_owned());
        let known = OF_TEXT.contains(&name) || time::Part::named(name).is_some();
        if !known {
            return self.unknown_method(at, name);
        }
        let typed = self.node(target);
        let arguments: Vec<Option<Typed>> = call.args.iter().map(|argument| self.node(argument)).collect();
        let typed = typed?;
        let arguments: Vec<Typed> = arguments.into_iter().collect::<Option<_>>()?;
        if let Some(part) = time::Part::named(name) {
            return self.part(&at, name, part, typed, arguments);
        }
        match (name, &typed.ty, arguments.len()) {
            ("size", _, 0) => self.size(at, typed),
            ("size" | "lowerAscii" | "upperAscii" | "trim", _, 1..) => {
                self.wrong_arguments(at, name, "no arguments", arguments.len())
            }
            ("contains" | "startsWith" | "endsWith" | "matches", _, count) if count != 1 => {
                self.wrong_arguments(at, name, "one argument", count)
            }
            (_, Type::String | Type::Null, _) => self.text_method(at, call, typed, arguments),
            (_, ty, _) => {
                let hint = match (name, ty) {
                    ("contains", Type::List(_)) => Some("write `item in list`".to_owned()),
                    (_, ty) => bridge(ty, &Type::String),
                };
                let message = format!("`{name}` is a function of text, not of {ty}");
                self.mismatch(at, message, hint)
            }
        }
    }

    pub(super) fn wrong_arguments<T>(&mut self, at: At, name: &str, wanted: &str, found: usize) -> Option<T> {
        let message = format!("`{name}` takes {wanted}, not {found}");
        self.report(at, Problem { code: "wrong_arguments", message, suggestion: None })
    }

    fn unknown_method(&mut self, at: At, name: &str) -> Option<Typed> {
        let suggestion = if OF_LIST.contains(&name) || name == "existsOne" {
            Some(format!("write `list.{name}(x, …)` with a variable first"))
        } else if GLOBAL.contains(&name) {
            Some(format!("write `{name}(…)` around the value"))
        } else {
            let methods = OF_TEXT.into_iter().chain(OF_LIST).chain(time::Part::NAMES.iter().map(|(name, _)| *name));
            let synonym = match name {
                "toLowerCase" | "toLower" | "lower" | "lowercase" => Some("lowerAscii"),
                "toUpperCase" | "toUpper" | "upper" | "uppercase" => Some("upperAscii"),
                "length" | "len" | "count" => Some("size"),
                "includes" | "has" => Some("contains"),
                "any" | "some" => Some("exists"),
                _ => nearest(name, methods),
            };
            synonym.map(|name| format!("did you mean `{name}`?"))
        };
        let message = format!("unknown function `{name}`");
        self.report(at, Problem { code: "unknown_function", message, suggestion })
    }

    fn global(&mut self, id: u64, name: &str, arguments: &[IdedExpr]) -> Option<Typed> {
        let at = At::Node(id);
        if !GLOBAL.contains(&name) {
            let suggestion = match name {
                "matches" | "contains" | "startsWith" | "endsWith" | "lowerAscii" | "upperAscii" | "trim" => {
                    Some(format!("write `text.{name}(…)`"))
                }
                "length" | "len" | "count" => Some("did you mean `size`?".to_owned()),
                "float" | "number" => Some("did you mean `double`?".to_owned()),
                "uint" => Some("did you mean `int`?".to_owned()),
                "date" | "datetime" | "toDateTime" => Some("did you mean `timestamp`?".to_owned()),
                "now" => Some("write `now` without brackets".to_owned()),
                _ => did_you_mean(name, GLOBAL),
            };
            let message = format!("unknown function `{name}`");
            return self.report(at, Problem { code: "unknown_function", message, suggestion });
        }
        let [argument] = arguments else { return self.wrong_arguments(at, name, "one argument", arguments.len()) };
        let argument = self.node(argument)?;
        match name {
            "size" => self.size(at, argument),
            _ => self.conversion(at, name, argument),
        }
    }

    fn size(&mut self, at: At, typed: Typed) -> Option<Typed> {
        match &typed.ty {
            Type::String => {
                let text = typed.text();
                Some(Typed::integer(move |env| {
                    let Some(text) = text(env)? else { return Ok(None) };
                    env.charge_text(text.len())?;
                    Ok(Some(text.chars().count() as i64))
                }))
            }
            Type::List(_) => {
                let list = typed.list();
                Some(Typed::integer(move |env| Ok(list(env)?.map(|list| list.len() as i64))))
            }
            Type::Object(_) => {
                let map = typed.map();
                Some(Typed::integer(move |env| Ok(map(env)?.map(|map| map.0.len() as i64))))
            }
            ty => {
                let message = format!("`size` is a function of texts, lists and maps, not of {ty}");
                self.mismatch(at, message, None)
            }
        }
    }

    /// The methods of text, their count of arguments checked.
    fn text_method(&mut self, at: At, call: &CallExpr, typed: Typed, arguments: Vec<Typed>) -> Option<Typed> {
        let name = call.func_name.as_str();
        let Some(argument) = arguments.into_iter().next() else { return Some(changed(name, typed)) };
        if !argument.ty.fits(&Type::String) {
            let place = call.args.first().map_or(at, |argument| At::Node(argument.id));
            let message = format!("`{name}` takes a text, not {}", argument.ty);
            return self.mismatch(place, message, bridge(&argument.ty, &Type::String));
        }
        if name == "matches" {
            return self.matches(call, typed, &argument);
        }
        let test: fn(&str, &str) -> bool = match name {
            "contains" => |text, part| text.contains(part),
            "startsWith" => |text, part| text.starts_with(part),
            _ => |text, part| text.ends_with(part),
        };
        let (text, part) = (typed.text(), argument.text());
        Some(Typed::boolean(move |env| {
            let (Some(text), Some(part)) = (text(env)?, part(env)?) else { return Ok(None) };
            env.charge_text(text.len() + part.len())?;
            Ok(Some(test(&text, &part)))
        }))
    }

    /// `text.matches(pattern)`: found anywhere in the text. The pattern is compiled at publish, hence a literal.
    fn matches(&mut self, call: &CallExpr, typed: Typed, pattern: &Typed) -> Option<Typed> {
        let at = At::Node(call.args.first().map_or(0, |argument| argument.id));
        let Some(pattern) = pattern.literal_text() else {
            let message = "the pattern of `matches` is a literal text".to_owned();
            let suggestion = Some("use `contains` for a text that is not known at publish".to_owned());
            return self.report(at, Problem { code: "bad_literal", message, suggestion });
        };
        let built = regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
        let regex = match built {
            Ok(regex) => regex,
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let message = format!("the pattern of `matches` is wrong: {reason}");
                return self.report(at, Problem { code: "bad_literal", message, suggestion: None });
            }
        };
        let text = typed.text();
        Some(Typed::boolean(move |env| {
            let Some(text) = text(env)? else { return Ok(None) };
            // The automaton looks at a byte several times as long as a comparison does.
            env.charge_text(text.len().saturating_mul(8))?;
            Ok(Some(regex.is_match(&text)))
        }))
    }
}

/// `lowerAscii`, `upperAscii` and `trim`.
fn changed(name: &str, typed: Typed) -> Typed {
    let change: fn(Cow<'_, str>) -> Cow<'_, str> = match name {
        "lowerAscii" => {
            |text| if text.bytes().any(|b| b.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text }
        }
        "upperAscii" => {
            |text| if text.bytes().any(|b| b.is_ascii_lowercase()) { text.to_ascii_uppercase().into() } else { text }
        }
        _ => |text| match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        },
    };
    let text = typed.text();
    let code = run_text(move |env| {
        let Some(text) = text(env)? else { return Ok(None) };
        env.charge_text(text.len())?;
        Ok(Some(change(text)))
    });
    Typed::code_of(Type::String, Code::Text(code))
}
