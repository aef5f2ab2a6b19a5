//! How values become text in a rendered message, and how that text is escaped for the place it stands in.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Error, ErrorKind, Value};

/// How text put into a template is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As it is: subjects, plain text, log lines.
    None,
    /// `< > & " '` become entities.
    Html,
    /// JSON string escapes (webhook bodies).
    Json,
}

impl Escape {
    /// What the template engine calls it. It matters only to the engine's own filters, which ask whether there is any
    /// escaping.
    pub(super) fn mode(self) -> AutoEscape {
        match self {
            Self::None => AutoEscape::None,
            Self::Html => AutoEscape::Html,
            Self::Json => AutoEscape::Json,
        }
    }

    /// Writes `text` escaped.
    pub(super) fn write(self, out: &mut dyn std::fmt::Write, text: &str) -> std::fmt::Result {
        let special: fn(char) -> bool = match self {
            Self::None => return out.write_str(text),
            Self::Html => |c| matches!(c, '<' | '>' | '&' | '"' | '\''),
            Self::Json => |c| matches!(c, '"' | '\\' | '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{2028}' | '\u{2029}'),
        };
        let mut rest = text;
        while let Some(at) = rest.find(special) {
            let (plain, tail) = rest.split_at(at);
            out.write_str(plain)?;
            let Some(c) = tail.chars().next() else { break };
            match (self, c) {
                (_, '<') => out.write_str("&lt;")?,
                (_, '>') => out.write_str("&gt;")?,
                (_, '&') => out.write_str("&amp;")?,
                (Self::Html, '"') => out.write_str("&quot;")?,
                (_, '\'') => out.write_str("&#39;")?,
                (_, '"') => out.write_str("\\\"")?,
                (_, '\\') => out.write_str("\\\\")?,
                (_, '\n') => out.write_str("\\n")?,
                (_, '\r') => out.write_str("\\r")?,
                (_, '\t') => out.write_str("\\t")?,
                (_, other) => write!(out, "\\u{:04x}", u32::from(other))?,
            }
            rest = &tail[c.len_utf8()..];
        }
        out.write_str(rest)
    }
}

/// The text of a value before escaping: nothing for what is absent, numbers in their shortest form, lists and maps as
/// JSON.
pub(super) fn text_of(value: &Value) -> Result<String, Error> {
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => String::new(),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::Number => number_text(value),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => serde_json::to_string(value)
            .map_err(|error| Error::new(ErrorKind::BadSerialization, "value has no JSON form").with_source(error))?,
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    })
}

fn number_text(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    f64::try_from(value.clone()).map_or_else(|_| value.to_string(), |number| number.to_string())
}
