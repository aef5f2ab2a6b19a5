//! Functions of text. Places in a text count characters (code points) from 0, never bytes.

use std::borrow::Cow;

use cel::common::ast::CallExpr;

use super::code::{Code, Run, RunText, Typed, run, run_list, run_text};
use super::compile::Compiler;
use super::scope::{Env, Fault, fault};
use super::types::Type;
use crate::domain::value::Value;

impl Compiler<'_> {
    /// The methods of text, their arguments checked.
    pub(super) fn text_method(&mut self, call: &CallExpr, typed: Typed, arguments: Vec<Typed>) -> Option<Typed> {
        let name = call.func_name.as_str();
        if name == "matches" {
            return self.matches(call, typed, arguments.first()?);
        }
        if name.ends_with("IgnoreCase") {
            self.spend(super::cost::SLOW);
        }
        let mut arguments = arguments.into_iter();
        let (first, second, third) = (arguments.next(), arguments.next(), arguments.next());
        let Some(first) = first else { return Some(changed(name, typed)) };
        let text = typed.text();
        Some(match (name, second) {
            ("charAt", _) => char_at(text, first.scalar()),
            ("substring", end) => substring(text, first.scalar(), end.map(Typed::scalar)),
            ("indexOf", from) => index_of(text, first.text(), from.map(Typed::scalar), first_place),
            ("lastIndexOf", from) => index_of(text, first.text(), from.map(Typed::scalar), last_place),
            ("split", count) => split(text, first.text(), count.map(Typed::scalar)),
            ("replace", Some(by)) => replace(text, first.text(), by.text(), third.map(Typed::scalar)),
            (name, _) => test(name, text, first.text()),
        })
    }
}

/// Every letter in a form that is the same for upper and lower case; unlike `lower`, it does not look at neighbours.
fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

fn test(name: &str, text: RunText, part: RunText) -> Typed {
    let (test, folds): (fn(&str, &str) -> bool, _) = match name {
        "contains" => (|text, part| text.contains(part), false),
        "startsWith" => (|text, part| text.starts_with(part), false),
        "endsWith" => (|text, part| text.ends_with(part), false),
        "containsIgnoreCase" => (|text, part| folded(text).contains(&folded(part)), true),
        "startsWithIgnoreCase" => (|text, part| folded(text).starts_with(&folded(part)), true),
        "endsWithIgnoreCase" => (|text, part| folded(text).ends_with(&folded(part)), true),
        _ => (|text, part| folded(text) == folded(part), true),
    };
    // Folding makes a copy and looks up every letter.
    let weight = if folds { 8 } else { 1 };
    Typed::boolean(move |env| {
        let (Some(text), Some(part)) = (text(env)?, part(env)?) else { return Ok(None) };
        env.charge_text((text.len() + part.len()).saturating_mul(weight))?;
        Ok(Some(test(&text, &part)))
    })
}

/// `lower`, `upperAscii`, `trim` and their like.
fn changed(name: &str, typed: Typed) -> Typed {
    let change: fn(Cow<'_, str>) -> Cow<'_, str> = match name {
        "lowerAscii" => {
            |text| if text.bytes().any(|b| b.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text }
        }
        "upperAscii" => {
            |text| if text.bytes().any(|b| b.is_ascii_lowercase()) { text.to_ascii_uppercase().into() } else { text }
        }
        "lower" => |text| text.to_lowercase().into(),
        "upper" => |text| text.to_uppercase().into(),
        "reverse" => |text| text.chars().rev().collect::<String>().into(),
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

/// Whether there is nothing in it. Absent counts as empty: who asks for an empty phone number means a missing one too.
pub(super) fn is_empty(typed: Typed) -> Typed {
    match &typed.ty {
        Type::List(_) => {
            let list = typed.list();
            Typed::boolean(move |env| Ok(Some(list(env)?.is_none_or(|list| list.is_empty()))))
        }
        Type::Object(_) => {
            let map = typed.map();
            Typed::boolean(move |env| Ok(Some(map(env)?.is_none_or(|map| map.is_empty()))))
        }
        _ => {
            let text = typed.text();
            Typed::boolean(move |env| Ok(Some(text(env)?.is_none_or(|text| text.is_empty()))))
        }
    }
}

/// The byte at which character `at` begins; the end of the text counts as one.
fn byte_of(text: &str, at: i64) -> Result<usize, Fault> {
    let found =
        usize::try_from(at).ok().and_then(|at| text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(at));
    match found {
        Some(byte) => Ok(byte),
        None => fault(format!("place {at} is outside a text of {} characters", text.chars().count())),
    }
}

fn char_at(text: RunText, at: Run<i64>) -> Typed {
    let code = run_text(move |env| {
        let (Some(text), Some(at)) = (text(env)?, at(env)?) else { return Ok(None) };
        env.charge_text(text.len())?;
        let rest = &text[byte_of(&text, at)?..];
        Ok(Some(Cow::Owned(rest.chars().next().map(String::from).unwrap_or_default())))
    });
    Typed::code_of(Type::String, Code::Text(code))
}

fn substring(text: RunText, begin: Run<i64>, end: Option<Run<i64>>) -> Typed {
    let code = run_text(move |env| {
        let (text, begin, end) = (text(env)?, begin(env)?, given(&end, env)?);
        let (Some(text), Some(begin), Some(end)) = (text, begin, end) else { return Ok(None) };
        env.charge_text(text.len().saturating_mul(2))?;
        let from = byte_of(&text, begin)?;
        let to = match end {
            None => text.len(),
            Some(end) if end < begin => return fault(format!("text from {begin} to {end} ends before it begins")),
            Some(end) => byte_of(&text, end)?,
        };
        Ok(Some(match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[from..to]),
            Cow::Owned(text) => Cow::Owned(text[from..to].to_owned()),
        }))
    });
    Typed::code_of(Type::String, Code::Text(code))
}

/// The first byte at or behind `from` where `part` begins.
fn first_place(text: &str, part: &str, from: Option<usize>) -> Option<usize> {
    let from = from.unwrap_or(0);
    text[from..].find(part).map(|found| from + found)
}

/// The last byte at or before `from` where `part` begins.
fn last_place(text: &str, part: &str, from: Option<usize>) -> Option<usize> {
    let end = from.map_or(text.len(), |from| text.floor_char_boundary((from + part.len()).min(text.len())));
    text[..end].rfind(part)
}

fn index_of(
    text: RunText,
    part: RunText,
    from: Option<Run<i64>>,
    find: fn(&str, &str, Option<usize>) -> Option<usize>,
) -> Typed {
    Typed::integer(move |env| {
        let (text, part, from) = (text(env)?, part(env)?, given(&from, env)?);
        let (Some(text), Some(part), Some(from)) = (text, part, from) else { return Ok(None) };
        env.charge_text(text.len().saturating_mul(2) + part.len())?;
        let from = from.map(|from| byte_of(&text, from)).transpose()?;
        Ok(Some(find(&text, &part, from).map_or(-1, |byte| text[..byte].chars().count() as i64)))
    })
}

/// An argument that may be left out: `None` if it is null, `Some(None)` if it is not there. It is asked for whatever the
/// others are, for an error outweighs a null.
fn given(argument: &Option<Run<i64>>, env: &Env<'_>) -> Result<Option<Option<i64>>, Fault> {
    Ok(match argument {
        None => Some(None),
        Some(argument) => argument(env)?.map(Some),
    })
}

/// How often at most; below 0 is without a bound, as in cel-go.
pub(super) fn bound(count: &Option<Run<i64>>, env: &Env<'_>) -> Result<Option<usize>, Fault> {
    let at_most = |count: i64| usize::try_from(count).unwrap_or(usize::MAX);
    Ok(given(count, env)?.map(|count| count.map_or(usize::MAX, at_most)))
}

/// `text.split(by)` and `text.split(by, count)`: into so many parts at most, the rest in the last. Nothing as `by` splits
/// between characters.
fn split(text: RunText, by: RunText, count: Option<Run<i64>>) -> Typed {
    let code = run_list(move |env| {
        let (text, by, count) = (text(env)?, by(env)?, bound(&count, env)?);
        let (Some(text), Some(by), Some(count)) = (text, by, count) else { return Ok(None) };
        env.charge_text(text.len().saturating_mul(2))?;
        let mut parts = Vec::new();
        let mut rest: &str = &text;
        while parts.len() + 1 < count {
            let found = if by.is_empty() {
                rest.char_indices().nth(1).map(|(byte, _)| (byte, byte))
            } else {
                rest.find(by.as_ref()).map(|byte| (byte, byte + by.len()))
            };
            let Some((end, next)) = found else { break };
            env.charge(1)?;
            parts.push(Value::Str(rest[..end].into()));
            rest = &rest[next..];
        }
        if count > 0 && !(by.is_empty() && rest.is_empty()) {
            parts.push(Value::Str(rest.into()));
        }
        Ok(Some(Cow::Owned(parts)))
    });
    Typed::code_of(Type::List(Box::new(Type::String)), Code::List(code))
}

/// `text.replace(old, new)` and `text.replace(old, new, count)`: the first so many.
fn replace(text: RunText, old: RunText, new: RunText, count: Option<Run<i64>>) -> Typed {
    let code = run_text(move |env| {
        let (text, old, new, count) = (text(env)?, old(env)?, new(env)?, bound(&count, env)?);
        let (Some(text), Some(old), Some(new), Some(count)) = (text, old, new, count) else { return Ok(None) };
        env.charge_text(text.len().saturating_mul(2))?;
        let found = text.matches(old.as_ref()).take(count).count();
        env.charge_text(found.saturating_mul(new.len()))?;
        Ok(Some(if found == 0 { text } else { Cow::Owned(text.replacen(old.as_ref(), &new, count)) }))
    });
    Typed::code_of(Type::String, Code::Text(code))
}

/// `strings.quote(text)`: in double quotes, with what would end or break them escaped.
pub(super) fn quote(arguments: Vec<Typed>) -> Typed {
    let text = arguments.into_iter().next().map(Typed::text);
    let text = text.unwrap_or_else(|| run_text(|_| Ok(None)));
    let code = run_text(move |env| {
        let Some(text) = text(env)? else { return Ok(None) };
        env.charge_text(text.len().saturating_mul(2))?;
        let mut quoted = String::with_capacity(text.len() + 2);
        quoted.push('"');
        for c in text.chars() {
            match escape(c) {
                Some(letter) => quoted.extend(['\\', letter]),
                None => quoted.push(c),
            }
        }
        quoted.push('"');
        Ok(Some(Cow::Owned(quoted)))
    });
    Typed::code_of(Type::String, Code::Text(code))
}

/// The letter behind the backslash where `c` needs one.
fn escape(c: char) -> Option<char> {
    Some(match c {
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{b}' => 'v',
        '\\' | '"' => c,
        _ => return None,
    })
}

/// `list.join(separator)`: texts that are there, one behind the other.
pub(super) fn join(list: super::code::RunList, separator: Option<RunText>) -> Typed {
    let code = run_text(move |env| {
        let (list, separator) = match &separator {
            None => (list(env)?, Some(Cow::Borrowed(""))),
            Some(separator) => (list(env)?, separator(env)?),
        };
        let (Some(list), Some(separator)) = (list, separator) else { return Ok(None) };
        env.charge(list.len())?;
        let mut joined = String::new();
        let mut is_first = true;
        for item in list.iter() {
            let Some(part) = super::read::text(item, "an item of the list")? else { continue };
            env.charge_text(part.len() + separator.len())?;
            if !is_first {
                joined.push_str(&separator);
            }
            is_first = false;
            joined.push_str(part);
        }
        Ok(Some(Cow::Owned(joined)))
    });
    Typed::code_of(Type::String, Code::Text(code))
}

/// `f` of a text that is there.
pub(super) fn of_text<T: 'static>(
    text: RunText,
    f: impl Fn(&str) -> Result<T, Fault> + Send + Sync + 'static,
) -> Run<T> {
    run(move |env| text(env)?.map(|text| f(&text)).transpose())
}
