//! Places in files, and the list of findings a check builds up. Decides nothing about resources.

use serde::{Deserialize, Serialize};

use crate::domain::finding::{Finding, Severity};

/// Errors kept of one check, and as many others; past that, reading on helps nobody.
const FINDINGS_MAX: usize = 1_000;
/// What a finding names as its file where the resource comes from the catalog, not from a file.
pub const PUBLISHED: &str = "<published>";

/// One file of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, as findings show it.
    pub name: String,
    /// Its text: YAML or JSON, any number of documents.
    pub text: String,
}

/// How a scalar is written: decides how offsets in its value map to the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Not a scalar, or without quotes.
    #[default]
    Plain,
    /// `'…'`.
    SingleQuoted,
    /// `"…"`.
    DoubleQuoted,
    /// `|` or `>`.
    Block,
}

/// Where something stands. The default is "in no file": what was published before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Index of the file plus one; 0 = none.
    file: u32,
    /// Line, from 1.
    line: u32,
    /// Column in characters, from 1.
    column: u32,
    /// Characters before it in the file.
    start: u32,
    style: Style,
}

impl Place {
    /// A place in file `file_index`; `start` counts characters, `line` and `column` from 1.
    pub fn new(file_index: usize, line: usize, column: usize, start: usize, style: Style) -> Self {
        // Files are at most a few MiB and few: all of these fit.
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file: number(file_index + 1), line: number(line), column: number(column), start: number(start), style }
    }
}

impl Place {
    /// Name of the file, line and column; nothing for what stands in no file.
    pub fn find(self, files: &[SourceFile]) -> Option<(&str, u32, u32)> {
        let file = files.get((self.file as usize).wrapping_sub(1))?;
        Some((&file.name, self.line, self.column))
    }
}

/// A value and where it stands. Equality and encoding look at the value only.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T> At<T> {
    /// `value` at `place`.
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// The findings of one check.
#[derive(Debug)]
pub struct Findings<'a> {
    files: &'a [SourceFile],
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    /// None yet, about `files`.
    pub fn new(files: &'a [SourceFile]) -> Self {
        Self { files, list: Vec::new() }
    }

    /// Notes an error.
    pub fn error(&mut self, place: Place, code: &'static str, message: impl Into<String>) {
        self.push(place, (place.line, place.column), (code, Severity::Error), message.into(), None);
    }

    /// Notes an error and how to mend it.
    pub fn error_with(
        &mut self,
        place: Place,
        code: &'static str,
        message: impl Into<String>,
        suggestion: impl Into<Option<String>>,
    ) {
        self.push(place, (place.line, place.column), (code, Severity::Error), message.into(), suggestion.into());
    }

    /// Notes a warning and how to mend it.
    pub fn warning(
        &mut self,
        place: Place,
        code: &'static str,
        message: impl Into<String>,
        suggestion: impl Into<Option<String>>,
    ) {
        self.push(place, (place.line, place.column), (code, Severity::Warning), message.into(), suggestion.into());
    }

    /// Notes a hint and what to do about it.
    pub fn hint(&mut self, place: Place, code: &'static str, message: impl Into<String>, suggestion: String) {
        self.push(place, (place.line, place.column), (code, Severity::Hint), message.into(), Some(suggestion));
    }

    /// Notes an error at byte `offset` of the text `within`.
    pub fn error_within(
        &mut self,
        within: &At<impl AsRef<str>>,
        offset: usize,
        code: &'static str,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) {
        let at = self.locate(within, offset);
        self.push(within.place, at, (code, Severity::Error), message.into(), suggestion);
    }

    /// Notes a warning at byte `offset` of the text `within`.
    pub fn warning_within(
        &mut self,
        within: &At<impl AsRef<str>>,
        offset: usize,
        code: &'static str,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) {
        let at = self.locate(within, offset);
        self.push(within.place, at, (code, Severity::Warning), message.into(), suggestion);
    }

    fn locate(&self, within: &At<impl AsRef<str>>, offset: usize) -> (u32, u32) {
        let place = within.place;
        match self.files.get((place.file as usize).wrapping_sub(1)) {
            Some(file) => locate(&file.text, place, within.value.as_ref(), offset),
            None => (place.line, place.column),
        }
    }

    /// File, line and column of a place in the files.
    pub fn find(&self, place: Place) -> Option<(String, u32, u32)> {
        place.find(self.files).map(|(file, line, column)| (file.to_owned(), line, column))
    }

    /// Whether any is an error.
    pub fn any_error(&self) -> bool {
        self.list.iter().any(|f| f.severity == Severity::Error)
    }

    /// Whether errors came after the first `count` findings.
    pub fn any_error_since(&self, count: usize) -> bool {
        self.list.iter().skip(count).any(|f| f.severity == Severity::Error)
    }

    /// Says of what came after the first `count` findings and stands in no file that it is about `what`.
    pub fn name_published(&mut self, count: usize, what: &str) {
        let of_no_file = |finding: &&mut Finding| finding.file == PUBLISHED;
        for finding in self.list.iter_mut().skip(count).filter(of_no_file) {
            finding.message = format!("{what}, which is published and in none of these files: {}", finding.message);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// `file:line` of a place, for messages that name a second place.
    pub fn name_place(&self, place: Place) -> String {
        match self.files.get((place.file as usize).wrapping_sub(1)) {
            Some(file) => format!("{}:{}", file.name, place.line),
            None => PUBLISHED.to_owned(),
        }
    }

    /// All of them: in order of files, then lines; each once.
    pub fn into_sorted(self) -> Vec<Finding> {
        let mut list = self.list;
        let order = |f: &Finding| self.files.iter().position(|file| file.name == f.file).unwrap_or(usize::MAX);
        list.sort_by_cached_key(|f| (order(f), f.line, f.column, f.code, f.message.clone()));
        list.dedup();
        list
    }

    fn push(
        &mut self,
        place: Place,
        (line, column): (u32, u32),
        (code, severity): (&'static str, Severity),
        message: String,
        suggestion: Option<String>,
    ) {
        // What does not hinder must neither crowd out errors nor, by its number, become one.
        let is_error = |severity: Severity| severity == Severity::Error;
        let count = self.list.iter().filter(|f| is_error(f.severity) == is_error(severity)).count();
        if count > FINDINGS_MAX {
            return;
        }
        let file = match self.files.get((place.file as usize).wrapping_sub(1)) {
            Some(file) => file.name.clone(),
            None => PUBLISHED.to_owned(),
        };
        if count == FINDINGS_MAX {
            self.list.push(Finding {
                file,
                line,
                column,
                code: "too_many_findings",
                severity: if is_error(severity) { Severity::Error } else { Severity::Warning },
                message: format!("more than {FINDINGS_MAX} findings; the rest is not shown"),
                suggestion: Some("mend these first".to_owned()),
            });
            return;
        }
        self.list.push(Finding { file, line, column, code, severity, message, suggestion });
    }
}

/// Line and column of byte `offset` of `value`, a scalar that stands at `place` in `source`.
///
/// Walks both texts side by side. Every character of the value that is no white space stands in the source in the
/// same order, whatever the style folds, strips or indents; so positions of those are exact.
fn locate(source: &str, place: Place, value: &str, offset: usize) -> (u32, u32) {
    let mut cursor = Cursor {
        rest: skip_chars(source.strip_prefix('\u{feff}').unwrap_or(source), place.start),
        line: place.line,
        column: place.column,
    };
    match place.style {
        Style::Plain => {}
        Style::SingleQuoted | Style::DoubleQuoted => cursor.advance(),
        Style::Block => {
            if matches!(cursor.peek(), Some('|' | '>')) {
                while cursor.peek().is_some_and(|c| c != '\n') {
                    cursor.advance();
                }
            }
        }
    }
    let before = value.char_indices().take_while(|(at, _)| *at < offset);
    for (_, c) in before {
        cursor.pass(c, place.style);
    }
    if !value.get(offset..).and_then(|rest| rest.chars().next()).is_none_or(char::is_whitespace) {
        cursor.skip_white(place.style);
    }
    (cursor.line, cursor.column)
}

fn skip_chars(text: &str, count: u32) -> &str {
    text.char_indices().nth(count as usize).map_or("", |(at, _)| &text[at..])
}

struct Cursor<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self) {
        let Some(c) = self.peek() else { return };
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
    }

    fn skip_white(&mut self, style: Style) {
        loop {
            match self.peek() {
                Some(c) if c.is_whitespace() => self.advance(),
                // An escaped line break joins two lines and stands for nothing.
                Some('\\') if style == Style::DoubleQuoted && self.rest[1..].starts_with(['\n', '\r']) => {
                    self.advance();
                }
                _ => return,
            }
        }
    }

    /// Goes past the source of one character of the value.
    fn pass(&mut self, c: char, style: Style) {
        if c.is_whitespace() {
            match self.peek() {
                Some('\\') if style == Style::DoubleQuoted => self.pass_escape(),
                Some(found) if found.is_whitespace() => self.advance(),
                _ => {}
            }
            return;
        }
        self.skip_white(style);
        match (style, self.peek()) {
            (Style::DoubleQuoted, Some('\\')) => self.pass_escape(),
            (Style::SingleQuoted, Some('\'')) => {
                self.advance();
                self.advance();
            }
            _ => self.advance(),
        }
    }

    fn pass_escape(&mut self) {
        // JSON writes one character beyond 16 bits as two escapes.
        let is_high = |rest: &str| {
            let unit = rest.strip_prefix("\\u").and_then(|digits| digits.get(..4));
            unit.and_then(|digits| u32::from_str_radix(digits, 16).ok()).is_some_and(|u| (0xD800..0xDC00).contains(&u))
        };
        let escapes = if is_high(self.rest) { 2 } else { 1 };
        for _ in 0..escapes {
            self.advance();
            let digits = match self.peek() {
                Some('x') => 2,
                Some('u') => 4,
                Some('U') => 8,
                _ => 0,
            };
            for _ in 0..=digits {
                self.advance();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scalar starts at the first of `source`'s quotes, block headers or other characters after `k: `.
    fn check(source: &str, style: Style, value: &str, at: &str, expected: (u32, u32)) {
        let place = Place::new(0, 1, 4, 3, style);
        let offset = value.find(at).expect("part of the value");
        assert_eq!(locate(source, place, value, offset), expected, "{source:?}");
    }

    #[test]
    fn offsets_map_to_the_file() {
        check("k: event.x > 1", Style::Plain, "event.x > 1", "x", (1, 10));
        check("k: event.x\n  > yy", Style::Plain, "event.x > yy", "yy", (2, 5));
        check("k: 'it''s yy'", Style::SingleQuoted, "it's yy", "yy", (1, 11));
        check("k: \"a\\\"\\u0041 yy\"", Style::DoubleQuoted, "a\"A yy", "yy", (1, 15));
        check("k: \"a \\\n   yy\"", Style::DoubleQuoted, "a yy", "yy", (2, 4));
        check("k: |\n  a\n    b\n  yy\n", Style::Block, "a\n  b\nyy\n", "yy", (4, 3));
        check("k: >-\n  a\n  b\n\n  yy\n", Style::Block, "a b\nyy", "yy", (5, 3));
        check("k: é yy", Style::Plain, "é yy", "yy", (1, 6));
    }

    #[test]
    fn offsets_past_the_end_stay_in_the_file() {
        let place = Place::new(0, 1, 4, 3, Style::Plain);
        assert_eq!(locate("k: ab", place, "ab", 99), (1, 6));
        assert_eq!(locate("", place, "ab", 1), (1, 4));
    }
}
