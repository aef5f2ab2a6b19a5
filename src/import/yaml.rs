//! Text of resources: a tree of values as YAML that the reader of resources reads back as the same values. Owns quoting
//! and line breaks; knows nothing of what the values mean.

/// Longest line that stays on one line; the width of the code that people keep beside it.
const LINE_MAX: usize = 110;

/// A value to print.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Yaml {
    /// A text, quoted as needed.
    Text(String),
    /// What stands as it is: numbers, booleans, durations, dates.
    Plain(String),
    /// A list.
    List(Vec<Yaml>),
    /// A map, on one line where it fits.
    Map(Vec<(String, Yaml)>),
    /// A map of which each entry has a line of its own.
    Lines(Vec<(String, Yaml)>),
}

impl Yaml {
    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A token that needs no quotes.
    pub(super) fn plain(token: impl Into<String>) -> Self {
        Self::Plain(token.into())
    }
}

/// One document: every entry a line, what is long in blocks.
pub(super) fn document(entries: &[(String, Yaml)], out: &mut String) {
    block(entries, 0, out);
}

fn block(entries: &[(String, Yaml)], indent: usize, out: &mut String) {
    for (key, value) in entries {
        let start = format!("{:indent$}{}:", "", scalar(key));
        out.push_str(&start);
        entry(value, start.chars().count(), indent, out);
    }
}

/// What follows `key:`, with its line end.
fn entry(value: &Yaml, used: usize, indent: usize, out: &mut String) {
    match value {
        Yaml::Text(text) if text.contains('\n') && is_literal(text) => literal(text, indent + 2, out),
        Yaml::Lines(entries) if !entries.is_empty() => {
            out.push('\n');
            block(entries, indent + 2, out);
        }
        _ => {
            let line = flow(value);
            let fits = used + 1 + line.chars().count() <= LINE_MAX;
            match value {
                Yaml::Map(entries) if !fits => {
                    out.push('\n');
                    block(entries, indent + 2, out);
                }
                Yaml::List(items) if !fits => {
                    out.push('\n');
                    for item in items {
                        list_item(item, indent + 2, out);
                    }
                }
                _ => out.push_str(&format!(" {line}\n")),
            }
        }
    }
}

fn list_item(item: &Yaml, indent: usize, out: &mut String) {
    let line = flow(item);
    match item {
        Yaml::Map(entries) | Yaml::Lines(entries) if indent + 2 + line.chars().count() > LINE_MAX => {
            let mut text = String::new();
            block(entries, indent + 2, &mut text);
            out.push_str(&format!("{:indent$}- {}", "", text.trim_start_matches(' ')));
        }
        _ => out.push_str(&format!("{:indent$}- {line}\n", "")),
    }
}

/// A value on one line.
fn flow(value: &Yaml) -> String {
    match value {
        Yaml::Text(text) => scalar(text),
        Yaml::Plain(token) => token.clone(),
        Yaml::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Yaml::Map(entries) | Yaml::Lines(entries) if entries.is_empty() => "{}".to_owned(),
        Yaml::Map(entries) | Yaml::Lines(entries) => {
            let entries: Vec<String> = entries.iter().map(|(k, v)| format!("{}: {}", scalar(k), flow(v))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// Whether the literal style keeps the text: its first line is not indented, and it ends with one line end or none.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let ends_well = !body.is_empty() && !body.ends_with('\n');
    let first = body.chars().next().is_some_and(|c| !c.is_whitespace());
    ends_well && first && text.chars().all(|c| c == '\n' || !needs_escape(c))
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if !line.is_empty() {
            out.push_str(&format!("{:indent$}{line}", ""));
        }
        out.push('\n');
    }
}

/// Characters that only stand escaped between double quotes.
fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A text on one line: as it is, in single quotes or in double ones.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    // Expressions and templates are full of single quotes.
    let doubled = text.contains('\'') && !text.contains(['"', '\\']);
    if !doubled && !text.chars().any(needs_escape) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if needs_escape(c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether YAML reads the bare text as this text, also between brackets.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let inside =
        |c: char| c.is_ascii_alphanumeric() || "_.-/()'=<>&|!+* ".contains(c) || (!c.is_ascii() && c.is_alphanumeric());
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && !text.ends_with(' ')
        && text.chars().all(inside)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All scalars of a text, as the parser of resources reads them.
    fn read_back(text: &str) -> Vec<String> {
        let events = saphyr_parser::Parser::new_from_str(text).map(|event| event.expect("well-formed").0);
        let scalar =
            |event| if let saphyr_parser::Event::Scalar(value, ..) = event { Some(value.into_owned()) } else { None };
        events.filter_map(scalar).collect()
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(scalar(text), expected);
    }

    #[test]
    fn texts_are_quoted_where_they_would_be_read_as_something_else() {
        check("cart_add", "cart_add");
        check("event.total >= 50.0 && profile.tier == 'gold'", "event.total >= 50.0 && profile.tier == 'gold'");
        check("true", "'true'");
        check("09:00", "'09:00'");
        check("", "''");
        check("a, b", "'a, b'");
        check("it's: fine", "\"it's: fine\"");
        check("it's \"fine\"", "'it''s \"fine\"'");
        check("a\tb\u{1}", "\"a\\tb\\u0001\"");
        check("ends ", "'ends '");
    }

    fn check_back(texts: &[String]) {
        let list = Yaml::List(texts.iter().map(Yaml::text).collect());
        let map = Yaml::Map(texts.iter().enumerate().map(|(i, text)| (format!("k{i}"), Yaml::text(text))).collect());
        let mut lines: Vec<_> = texts.iter().map(|text| ("body".to_owned(), Yaml::text(text))).collect();
        lines.extend([("list".to_owned(), list), ("map".to_owned(), map)]);
        let mut text = String::new();
        document(&lines, &mut text);
        let mut expected: Vec<String> = texts.iter().flat_map(|text| ["body".to_owned(), text.clone()]).collect();
        expected.extend(["list".to_owned()].into_iter().chain(texts.iter().cloned()).chain(["map".to_owned()]));
        expected.extend(texts.iter().enumerate().flat_map(|(i, text)| [format!("k{i}"), text.clone()]));
        assert_eq!(read_back(&text), expected, "{text}");
    }

    #[test]
    fn lines_are_kept() {
        check_back(&["<p>\n\n  in\n</p>\n".to_owned(), " starts late\nx".to_owned(), "two ends\n\n".to_owned()]);
        check_back(&["a\u{85}b\nc".to_owned(), "\u{feff}x\ny".to_owned(), "tab\tx\n".to_owned(), "---\nx".to_owned()]);
    }

    proptest! {
        #[test]
        fn every_text_is_read_back(texts in proptest::collection::vec("(\\PC|[\n\t #:'\"{}\\[\\]&*!|>%@`-]){0,30}", 0..4)) {
            check_back(&texts);
        }
    }
}
