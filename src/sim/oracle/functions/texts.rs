//! Functions of texts. Places count characters from 0; one outside of a text is an error.

use crate::sim::oracle::eval::Value;
use crate::sim::oracle::functions::patterns::{Pattern, replaced, split_at};

/// `text.name(arguments)`.
pub(super) fn of_text(text: &str, name: &str, arguments: &[Value]) -> Result<Value, String> {
    let characters: Vec<char> = text.chars().collect();
    let place = |n: i64| usize::try_from(n).ok().filter(|n| *n <= characters.len()).ok_or("a place outside the text");
    let part = |from: usize, to: usize| Value::Text(characters[from..to].iter().collect());
    Ok(match (name, arguments) {
        ("size", []) => Value::Integer(characters.len() as i64),
        ("isEmpty", []) => Value::Boolean(text.is_empty()),
        ("lower", []) => Value::Text(text.to_lowercase()),
        ("upper", []) => Value::Text(text.to_uppercase()),
        ("lowerAscii", []) => Value::Text(characters.iter().map(char::to_ascii_lowercase).collect()),
        ("upperAscii", []) => Value::Text(characters.iter().map(char::to_ascii_uppercase).collect()),
        ("trim", []) => Value::Text(text.trim().to_owned()),
        ("reverse", []) => Value::Text(characters.into_iter().rev().collect()),
        ("contains", [Value::Text(part)]) => Value::Boolean(text.contains(part)),
        ("startsWith", [Value::Text(part)]) => Value::Boolean(text.starts_with(part)),
        ("endsWith", [Value::Text(part)]) => Value::Boolean(text.ends_with(part)),
        // What is the same in capitals is the same.
        ("equalsIgnoreCase", [Value::Text(other)]) => Value::Boolean(capitals(text) == capitals(other)),
        ("containsIgnoreCase", [Value::Text(other)]) => Value::Boolean(capitals(text).contains(&capitals(other))),
        ("startsWithIgnoreCase", [Value::Text(other)]) => Value::Boolean(capitals(text).starts_with(&capitals(other))),
        ("endsWithIgnoreCase", [Value::Text(other)]) => Value::Boolean(capitals(text).ends_with(&capitals(other))),
        ("charAt", [Value::Integer(at)]) => {
            let at = place(*at)?;
            part(at, characters.len().min(at + 1))
        }
        ("indexOf", [Value::Text(part)]) => found(places(&characters, part).first()),
        ("indexOf", [Value::Text(part), Value::Integer(from)]) => {
            let from = place(*from)?;
            found(places(&characters, part).iter().find(|at| **at >= from))
        }
        ("lastIndexOf", [Value::Text(part)]) => found(places(&characters, part).last()),
        ("lastIndexOf", [Value::Text(part), Value::Integer(from)]) => {
            let from = place(*from)?;
            found(places(&characters, part).iter().rfind(|at| **at <= from))
        }
        ("substring", [Value::Integer(from)]) => part(place(*from)?, characters.len()),
        ("substring", [Value::Integer(from), Value::Integer(to)]) => {
            let (from, to) = (place(*from)?, place(*to)?);
            if to < from {
                return Err("a text that ends before it begins".to_owned());
            }
            part(from, to)
        }
        ("replace", [Value::Text(from), Value::Text(to)]) => Value::Text(text.replace(from, to)),
        ("replace", [Value::Text(from), Value::Text(to), Value::Integer(most)]) => {
            Value::Text(text.replacen(from, to, at_most(*most)))
        }
        ("split", [Value::Text(by)]) => split(text, by, usize::MAX),
        ("split", [Value::Text(by), Value::Integer(most)]) => split(text, by, at_most(*most)),
        ("matches", [Value::Text(pattern)]) => Value::Boolean(!Pattern::of(pattern)?.matches(&characters).is_empty()),
        (name, arguments) => return Err(format!("{text:?}.{name}({arguments:?}) is not known here")),
    })
}

/// `strings.quote(text)`.
pub(super) fn quoted(text: &str) -> Value {
    Value::Text(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// `regex.name(text, pattern, …)`.
pub(super) fn by_pattern(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let [Value::Text(text), Value::Text(pattern), rest @ ..] = arguments else {
        return Err(format!("regex.{name}({arguments:?}) is not known here"));
    };
    let characters: Vec<char> = text.chars().collect();
    let pattern = Pattern::of(pattern)?;
    Ok(match (name, rest) {
        ("split", []) => Value::List(split_at(&characters, pattern).into_iter().map(Value::Text).collect()),
        ("replace", [Value::Text(by)]) => Value::Text(replaced(&characters, pattern, by, usize::MAX)?),
        ("replace", [Value::Text(by), Value::Integer(most)]) => {
            Value::Text(replaced(&characters, pattern, by, at_most(*most))?)
        }
        (name, rest) => return Err(format!("regex.{name} with {rest:?} is not known here")),
    })
}

fn capitals(text: &str) -> String {
    text.to_uppercase()
}

/// How often at most; a number below 0 is no bound.
fn at_most(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Everywhere that `part` begins.
fn places(characters: &[char], part: &str) -> Vec<usize> {
    let part: Vec<char> = part.chars().collect();
    (0..=characters.len()).filter(|at| characters[*at..].starts_with(&part)).collect()
}

fn found(place: Option<&usize>) -> Value {
    Value::Integer(place.map_or(-1, |at| *at as i64))
}

/// At most so many parts, the rest in the last; an empty text has one part, and no characters.
fn split(text: &str, by: &str, most: usize) -> Value {
    let texts: Vec<String> = match by {
        _ if most == 0 => Vec::new(),
        "" => {
            let characters: Vec<char> = text.chars().collect();
            let alone = characters.len().min(most.saturating_sub(1));
            let mut parts: Vec<String> = characters[..alone].iter().map(char::to_string).collect();
            let rest: String = characters[alone..].iter().collect();
            parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
            parts
        }
        by => text.splitn(most, by).map(str::to_owned).collect(),
    };
    Value::List(texts.into_iter().map(Value::Text).collect())
}
