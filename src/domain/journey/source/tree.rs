//! YAML and JSON text to trees whose every part knows its place.
//!
//! INVARIANT: a tree is no deeper than `DEPTH_MAX` and no larger than its file: anchors, aliases and tags are refused,
//! so nothing multiplies. Text that breaks the syntax gives one finding; the documents before it are kept.

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

use crate::domain::journey::findings::{Findings, Place, SourceFile, Style};
use crate::domain::limits;

/// A part of a document.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Where it starts.
    pub place: Place,
    /// What it is.
    pub shape: Shape,
}

/// What a part of a document is.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A text with quotes or in a block, so surely text.
    Text(String),
    /// A bare word: text, number, truth value or null, as its reader wants it.
    Word(String),
    /// A list.
    List(Vec<Tree>),
    /// A map; keys may repeat (its reader says so).
    Map(Vec<(Tree, Tree)>),
}

impl Tree {
    /// What a finding calls it.
    pub fn describe(&self) -> &'static str {
        match &self.shape {
            Shape::Text(_) => "a text",
            Shape::Word(word) if is_null(word) => "nothing",
            Shape::Word(_) => "a scalar",
            Shape::List(_) => "a list",
            Shape::Map(_) => "a map",
        }
    }

    /// The text of a scalar other than null.
    pub fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text(text) => Some(text),
            Shape::Word(word) if !is_null(word) => Some(word),
            _ => None,
        }
    }

    /// Whether nothing is written here.
    pub fn is_null(&self) -> bool {
        matches!(&self.shape, Shape::Word(word) if is_null(word))
    }
}

fn is_null(word: &str) -> bool {
    matches!(word, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether the documents of a file are all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every document was read.
    Whole,
    /// Something was not: what other files name may stand there.
    Partial,
}

/// A list or map that is still open.
struct Open {
    place: Place,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>, Option<Tree>),
}

/// The documents of `files[index]`.
pub fn parse(files: &[SourceFile], index: usize, findings: &mut Findings<'_>) -> (Vec<Tree>, Extent) {
    let text = files[index].text.as_str();
    let whole = Place::new(index, 0, 0, 0, Style::Plain);
    if text.len() > limits::RESOURCE_BYTES_MAX {
        let message = format!("file of {} bytes passes the limit of {}", text.len(), limits::RESOURCE_BYTES_MAX);
        findings.error_with(whole, "file_too_large", message, "split it: references work across files".to_owned());
        return (Vec::new(), Extent::Partial);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let joined = JoinedEscapes::new(text);
    let mut builder = Builder { file_index: index, shifts: joined.shifts, documents: Vec::new(), open: Vec::new() };
    let mut parser = Parser::new(StrInput::new(&joined.text));
    loop {
        let (event, span) = match parser.next_event() {
            None => return (builder.documents, Extent::Whole),
            Some(Ok(next)) => next,
            Some(Err(error)) => {
                let place = builder.place(*error.marker(), Style::Plain);
                findings.error(place, "yaml_syntax", format!("broken YAML: {}", error.info()));
                return (builder.documents, Extent::Partial);
            }
        };
        if let Err((code, message)) = builder.take(event, span.start) {
            findings.error(builder.place(span.start, Style::Plain), code, message);
            return (builder.documents, Extent::Partial);
        }
    }
}

/// JSON writes characters beyond 16 bits as two `\u` escapes, which YAML does not know: it writes `\U` and eight digits.
struct JoinedEscapes<'t> {
    text: Cow<'t, str>,
    /// Where in `text`, in characters, an escape of ten characters stands for two of six each.
    shifts: Vec<usize>,
}

impl<'t> JoinedEscapes<'t> {
    fn new(text: &'t str) -> Self {
        // Only JSON: in YAML's blocks and bare words a backslash is a backslash.
        if !text.trim_start().starts_with(['{', '[']) || !text.contains("\\u") {
            return Self { text: Cow::Borrowed(text), shifts: Vec::new() };
        }
        let mut joined = String::with_capacity(text.len());
        let (mut shifts, mut count, mut rest) = (Vec::new(), 0, text);
        while let Some(c) = rest.chars().next() {
            if let Some(code) = surrogate_pair(rest) {
                shifts.push(count);
                joined.push_str(&format!("\\U{code:08X}"));
                count += 10;
                rest = &rest[12..];
                continue;
            }
            // A backslash takes the next character with it, so that `\\\\u` is no escape.
            let taken = if c == '\\' { rest.chars().take(2).map(char::len_utf8).sum() } else { c.len_utf8() };
            joined.push_str(&rest[..taken]);
            count += rest[..taken].chars().count();
            rest = &rest[taken..];
        }
        Self { text: Cow::Owned(joined), shifts }
    }
}

/// The character of `\uD83D\uDE00` at the beginning of `text`.
fn surrogate_pair(text: &str) -> Option<u32> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        if digits.bytes().all(|b| b.is_ascii_hexdigit()) { u32::from_str_radix(digits, 16).ok() } else { None }
    };
    let high = unit(0).filter(|unit| (0xD800..0xDC00).contains(unit))?;
    let low = unit(6).filter(|unit| (0xDC00..0xE000).contains(unit))?;
    Some(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}

struct Builder {
    file_index: usize,
    shifts: Vec<usize>,
    documents: Vec<Tree>,
    open: Vec<Open>,
}

impl Builder {
    fn place(&self, mark: Marker, style: Style) -> Place {
        let before = self.shifts.partition_point(|shift| *shift < mark.index());
        let before_line = self.shifts.partition_point(|shift| *shift < mark.index().saturating_sub(mark.col()));
        let column = mark.col() + 1 + 2 * (before - before_line);
        Place::new(self.file_index, mark.line(), column, mark.index() + 2 * before, style)
    }

    fn take(&mut self, event: Event<'_>, mark: Marker) -> Result<(), (&'static str, String)> {
        match event {
            Event::Alias(_) => {
                Err(("yaml_alias", "anchors and aliases are not supported; write the value out".to_owned()))
            }
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                Err(("yaml_alias", "anchors and aliases are not supported; write the value out".to_owned()))
            }
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, Some(tag))
            | Event::MappingStart(_, Some(tag)) => {
                Err(("yaml_tag", format!("tag {tag} is not supported; leave it out")))
            }
            Event::Scalar(text, style, _, None) => {
                let (style, shape) = match style {
                    ScalarStyle::Plain => (Style::Plain, Shape::Word(text.into_owned())),
                    ScalarStyle::SingleQuoted => (Style::SingleQuoted, Shape::Text(text.into_owned())),
                    ScalarStyle::DoubleQuoted => (Style::DoubleQuoted, Shape::Text(text.into_owned())),
                    ScalarStyle::Literal | ScalarStyle::Folded => (Style::Block, Shape::Text(text.into_owned())),
                };
                self.close(Tree { place: self.place(mark, style), shape });
                Ok(())
            }
            Event::SequenceStart(..) => self.open(mark, OpenKind::List(Vec::new())),
            Event::MappingStart(..) => self.open(mark, OpenKind::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { place, kind }) = self.open.pop() {
                    let shape = match kind {
                        OpenKind::List(items) => Shape::List(items),
                        OpenKind::Map(entries, _) => Shape::Map(entries),
                    };
                    self.close(Tree { place, shape });
                }
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn open(&mut self, mark: Marker, kind: OpenKind) -> Result<(), (&'static str, String)> {
        if self.open.len() >= limits::DEPTH_MAX {
            return Err(("too_deep", format!("nesting passes {} levels", limits::DEPTH_MAX)));
        }
        self.open.push(Open { place: self.place(mark, Style::Plain), kind });
        Ok(())
    }

    /// A finished part goes into what is open around it.
    fn close(&mut self, tree: Tree) {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.documents.push(tree),
            Some(OpenKind::List(items)) => items.push(tree),
            Some(OpenKind::Map(entries, key)) => match key.take() {
                None => *key = Some(tree),
                Some(key) => entries.push((key, tree)),
            },
        }
    }
}
