//! Names, literals and paths in our languages' spelling. Owns quoting for expressions and templates; knows no format.

use serde_json::Value;

use crate::domain::limits;

/// Words that CEL keeps to itself, and those that stand for values.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A name of a journey, node, message or surface made of any text: `Welcome mail (2)` is `welcome_mail_2`. Empty where
/// the text holds nothing that a name may hold.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(80) {
        match c {
            c if c.is_ascii_alphanumeric() || c == '-' => slug.push(c.to_ascii_lowercase()),
            _ if slug.ends_with('_') || slug.is_empty() => {}
            _ => slug.push('_'),
        }
    }
    let slug = slug.trim_matches(['_', '-']);
    let begins_well = slug.starts_with(|c: char| c.is_ascii_alphabetic());
    if begins_well || slug.is_empty() { slug.to_owned() } else { format!("_{slug}") }
}

/// Names that are taken, each given out once.
#[derive(Debug, Default)]
pub(super) struct Names(std::collections::BTreeSet<String>);

impl Names {
    /// A name like `wanted`, or like `otherwise` where nothing of that can stand in a name.
    pub(super) fn take(&mut self, wanted: &str, otherwise: &str) -> String {
        let base =
            [slug(wanted), slug(otherwise)].into_iter().find(|s| !s.is_empty()).unwrap_or_else(|| "_".to_owned());
        let mut name = base.clone();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        name
    }
}

/// A text as a literal of CEL, and of templates.
pub(super) fn literal(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str("\\'"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// A number as a literal of CEL. `None` for what is none.
pub(super) fn number(value: f64) -> Option<String> {
    value.is_finite().then(|| format!("{value:?}"))
}

/// `profile.address['post code']`.
pub(super) fn path(root: &str, segments: &[String]) -> String {
    let mut text = root.to_owned();
    for segment in segments {
        let word = segment.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !RESERVED.contains(&segment.as_str());
        text.push_str(&if word { format!(".{segment}") } else { format!("[{}]", literal(segment)) });
    }
    text
}

/// The parts of a path as other engines write them: `$.address.city`, `traits.plan`. `None` for filters, wildcards and
/// places in lists, and for what can't be the name of a field.
pub(super) fn segments(path: &str) -> Option<Vec<String>> {
    let path = path.trim();
    let path = path.strip_prefix("$.").or_else(|| path.strip_prefix('$')).unwrap_or(path);
    let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
    let good =
        |part: &String| !part.is_empty() && !part.chars().any(|c| c.is_control() || "[]*?@()|`\"'{}#".contains(c));
    (parts.iter().all(good) && path.len() <= limits::NAME_BYTES_MAX).then_some(parts)
}

/// Whether mails can come from there: `shop@example.com`, also `"The Shop" <shop@example.com>`.
pub(super) fn is_mail_address(from: &str) -> bool {
    let address = match from.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => from,
    };
    let fine = |c: char| !c.is_whitespace() && !matches!(c, '<' | '>' | ',' | '{' | '}' | '"');
    let parts = address.rsplit_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    parts && address.chars().all(fine) && !from.chars().any(char::is_control)
}

/// Whether a webhook can lead there: an address without placeholders.
pub(super) fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let fine = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '{' | '}');
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(fine))
}

/// The beginning of a text that may be long, on one line.
pub(super) fn shown(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    if text.chars().count() > 200 { line + "…" } else { line }
}

/// Any value as the report shows it: without what is not there.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    without_nulls(&mut value);
    shown(&value.to_string())
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_makes_a_name() {
        let mut names = Names::default();
        assert_eq!(names.take("Welcome mail (2)", "x"), "welcome_mail_2");
        assert_eq!(names.take("welcome  mail 2", "x"), "welcome_mail_2_2");
        assert_eq!(names.take("…", "7up"), "_7up");
        assert_eq!(names.take("", ""), "_");
        assert_eq!(names.take(&"a".repeat(500), "").len(), 80);
    }

    #[test]
    fn literals_and_paths_are_quoted() {
        assert_eq!(literal("it's \\ a\nline\u{1}"), r"'it\'s \\ a\nline\u0001'");
        assert_eq!(path("profile", &["a".to_owned(), "in".to_owned(), "b c".to_owned()]), "profile.a['in']['b c']");
        assert_eq!(segments("$.a.b"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(segments("$[*].x"), None);
        assert_eq!(segments(""), None);
        assert_eq!((number(3.0).as_deref(), number(f64::NAN)), (Some("3.0"), None));
    }
}
