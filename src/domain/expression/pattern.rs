//! Patterns (regular expressions without look-around or back references, matched in linear time): `text.matches`,
//! `regex.replace` and `regex.split`. Patterns are compiled at publish, hence literals.

use std::borrow::Cow;

use cel::common::ast::CallExpr;
use regex::{Captures, Regex};
use regex_syntax::hir::{Hir, HirKind};

use super::code::{Code, Typed, run_list, run_text};
use super::compile::{Compiler, Problem};
use super::cost;
use super::parse::At;
use super::scope::{Env, Fault, fault};
use super::types::Type;
use crate::domain::value::Value;

/// Bytes of a compiled pattern: the default of the `regex` crate is ten times this, for every expression.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Places of a pattern, repetitions written out, up to which every search is by a table: 2^12 states fit it.
const TABLED_PLACES_MAX: usize = 12;
/// Places of a pattern: at each byte each of them may have to be looked at, 20 to 45 ns long.
const PLACES_MAX: usize = 1_000;

/// A compiled pattern.
struct Pattern {
    regex: Regex,
    places: usize,
}

impl Pattern {
    /// Charges a search through `text`. The automaton looks at a byte several times as long as a comparison does, and at each place of
    /// a pattern that is too long for a table. Each search for a further match may run to the end of the text, so all
    /// matches of a long text may take time by its square: each is charged for what is left.
    fn charge_search(&self, env: &Env<'_>, text: &str) -> Result<(), Fault> {
        let weight = if self.places > TABLED_PLACES_MAX { self.places.saturating_mul(128) } else { 8 };
        env.charge_text(text.len().saturating_mul(weight))
    }

    /// The same where groups are asked for, which no table knows.
    fn charge_captures(&self, env: &Env<'_>, text: &str) -> Result<(), Fault> {
        env.charge_text(text.len().saturating_mul(self.places.saturating_mul(128).max(8)))
    }
}

/// Characters that a pattern names, repetitions written out: `(a{1,3}|b)+` has four.
fn places(pattern: &Hir) -> usize {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            places(&repetition.sub).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => places(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(0, |sum, part| sum.saturating_add(places(part)))
        }
    }
}

impl Compiler<'_> {
    fn bad_pattern<T>(&mut self, at: At, message: String, suggestion: Option<String>) -> Option<T> {
        self.report(at, Problem { code: "bad_literal", message, suggestion })
    }

    /// The pattern that argument `place` of the call is.
    fn pattern(&mut self, call: &CallExpr, place: usize, pattern: &Typed) -> Option<Pattern> {
        self.spend(cost::SLOW);
        let at = At::Node(call.args.get(place).map_or(0, |argument| argument.id));
        let name = &call.func_name;
        let Some(pattern) = pattern.literal_text() else {
            let message = format!("the pattern of `{name}` is a literal text");
            let plain = if name == "matches" { "contains" } else { name };
            let suggestion = Some(format!("use `text.{plain}(…)` for a text that is not known at publish"));
            return self.bad_pattern(at, message, suggestion);
        };
        let known = regex_syntax::parse(pattern).map_err(|error| error.to_string());
        let places = known.map(|known| places(&known));
        let built = places.and_then(|places| {
            if places > PLACES_MAX {
                return Err(format!(
                    "it stands for {places} characters, repetitions written out; at most {PLACES_MAX}"
                ));
            }
            let regex = regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
            regex.map(|regex| Pattern { regex, places }).map_err(|error| error.to_string())
        });
        match built {
            Ok(pattern) => {
                self.spend((pattern.places / TABLED_PLACES_MAX) as u64);
                Some(pattern)
            }
            Err(reason) => {
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.bad_pattern(at, format!("the pattern of `{name}` is wrong: {reason}"), None)
            }
        }
    }

    /// `text.matches(pattern)`: found anywhere in the text.
    pub(super) fn matches(&mut self, call: &CallExpr, typed: Typed, pattern: &Typed) -> Option<Typed> {
        let pattern = self.pattern(call, 0, pattern)?;
        let text = typed.text();
        Some(Typed::boolean(move |env| {
            let Some(text) = text(env)? else { return Ok(None) };
            pattern.charge_search(env, &text)?;
            Ok(Some(pattern.regex.is_match(&text)))
        }))
    }

    /// `regex.split(text, pattern)`.
    pub(super) fn split_at_matches(&mut self, call: &CallExpr, arguments: Vec<Typed>) -> Option<Typed> {
        let pattern = self.pattern(call, 1, arguments.get(1)?)?;
        let text = arguments.into_iter().next()?.text();
        let code = run_list(move |env| {
            let Some(text) = text(env)? else { return Ok(None) };
            pattern.charge_search(env, &text)?;
            let mut parts = Vec::new();
            let mut copied = 0;
            for found in pattern.regex.find_iter(&text) {
                env.charge(1)?;
                pattern.charge_search(env, &text[found.end()..])?;
                parts.push(Value::Str(text[copied..found.start()].into()));
                copied = found.end();
            }
            parts.push(Value::Str(text[copied..].into()));
            Ok(Some(Cow::Owned(parts)))
        });
        Some(Typed::code_of(Type::List(Box::new(Type::String)), Code::List(code)))
    }

    /// `regex.replace(text, pattern, by)` and `regex.replace(text, pattern, by, count)`.
    pub(super) fn replace_matches(&mut self, call: &CallExpr, arguments: Vec<Typed>) -> Option<Typed> {
        let pattern = self.pattern(call, 1, arguments.get(1)?)?;
        let by = arguments.get(2)?;
        let Some(by) = by.literal_text() else {
            let at = At::Node(call.args.get(2).map_or(0, |argument| argument.id));
            let suggestion = Some("use `text.replace(…)` for a text that is not known at publish".to_owned());
            return self.bad_pattern(at, "the replacement is a literal text".to_owned(), suggestion);
        };
        let pieces = match pieces(by, pattern.regex.captures_len()) {
            Ok(pieces) => pieces,
            Err(message) => {
                let at = At::Node(call.args.get(2).map_or(0, |argument| argument.id));
                return self.bad_pattern(at, message, None);
            }
        };
        let mut arguments = arguments.into_iter();
        let text = arguments.next()?.text();
        let count = arguments.nth(2).map(Typed::scalar::<i64>);
        let code = run_text(move |env| {
            let (Some(text), Some(count)) = (text(env)?, super::text::bound(&count, env)?) else { return Ok(None) };
            pattern.charge_captures(env, &text)?;
            let mut replaced = String::new();
            let mut copied = 0;
            for captures in pattern.regex.captures_iter(&text).take(count) {
                let Some(whole) = captures.get(0) else { return fault("a match without a text") };
                env.charge(1)?;
                pattern.charge_captures(env, &text[whole.end()..])?;
                replaced.push_str(&text[copied..whole.start()]);
                copied = whole.end();
                for piece in &pieces {
                    let part = piece.of(&captures);
                    env.charge_text(part.len())?;
                    replaced.push_str(part);
                }
            }
            replaced.push_str(&text[copied..]);
            Ok(Some(Cow::Owned(replaced)))
        });
        Some(Typed::code_of(Type::String, Code::Text(code)))
    }
}

/// A piece of a replacement.
enum Piece {
    Text(String),
    /// What the bracket of this number found; 0 is all that was found.
    Group(usize),
}

impl Piece {
    fn of<'p>(&'p self, captures: &'p Captures<'_>) -> &'p str {
        match self {
            Self::Text(text) => text,
            Self::Group(group) => captures.get(*group).map_or("", |found| found.as_str()),
        }
    }
}

/// `\0` to `\9` are groups, `\\` is a backslash, as in cel-go.
fn pieces(by: &str, group_count: usize) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut letters = by.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('\\') => text.push('\\'),
            Some(digit) if digit.is_ascii_digit() => {
                let group = digit as usize - '0' as usize;
                if group >= group_count {
                    return Err(format!("the replacement names group {group}; the pattern has {}", group_count - 1));
                }
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Group(group));
            }
            _ => return Err("a backslash in the replacement stands before a digit or another one".to_owned()),
        }
    }
    pieces.push(Piece::Text(text));
    Ok(pieces)
}
