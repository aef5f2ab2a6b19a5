//! YAML and JSON text to trees whose every part knows its place.
//!
//! INVARIANT: a tree is no deeper than `DEPTH_MAX` and no larger than its file: anchors, aliases and tags are refused,
//! so nothing multiplies. Text that breaks the syntax gives one finding; the documents before it are kept.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

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
    let mut builder = Builder { file_index: index, documents: Vec::new(), open: Vec::new() };
    let mut parser = Parser::new(StrInput::new(text.strip_prefix('\u{feff}').unwrap_or(text)));
    loop {
        let (event, span) = match parser.next_event() {
            None => return (builder.documents, Extent::Whole),
            Some(Ok(next)) => next,
            Some(Err(error)) => {
                let mark = error.marker();
                let place = Place::new(index, mark.line(), mark.col() + 1, mark.index(), Style::Plain);
                findings.error(place, "yaml_syntax", format!("broken YAML: {}", error.info()));
                return (builder.documents, Extent::Partial);
            }
        };
        if let Err((code, message)) = builder.take(event, span) {
            findings.error(builder.place(span, Style::Plain), code, message);
            return (builder.documents, Extent::Partial);
        }
    }
}

struct Builder {
    file_index: usize,
    documents: Vec<Tree>,
    open: Vec<Open>,
}

impl Builder {
    fn place(&self, span: Span, style: Style) -> Place {
        Place::new(self.file_index, span.start.line(), span.start.col() + 1, span.start.index(), style)
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), (&'static str, String)> {
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
                self.close(Tree { place: self.place(span, style), shape });
                Ok(())
            }
            Event::SequenceStart(..) => self.open(span, OpenKind::List(Vec::new())),
            Event::MappingStart(..) => self.open(span, OpenKind::Map(Vec::new(), None)),
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

    fn open(&mut self, span: Span, kind: OpenKind) -> Result<(), (&'static str, String)> {
        if self.open.len() >= limits::DEPTH_MAX {
            return Err(("too_deep", format!("nesting passes {} levels", limits::DEPTH_MAX)));
        }
        self.open.push(Open { place: self.place(span, Style::Plain), kind });
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
