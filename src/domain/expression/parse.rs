//! Text to syntax tree, by the `cel` crate, with the bounds that keep hostile text from exhausting the stack, and the
//! way back from a node of the tree to its place in the text.
//!
//! The crate has two parsers. We use its Pratt parser: the ANTLR one needs 70 kB of stack a bracket in a debug build,
//! so that 30 brackets overflow a thread's usual 2 MiB. The Pratt parser's answer lacks the places of nodes; see
//! [`Places`].

use cel::common::ast::{EntryExpr, Expr as Tree, IdedExpr, SourceInfo};
use cel::parser::{ParseError, PrattParser};

use super::types::SourceError;
use crate::domain::limits;

/// Parses `source` into a tree that is safe to walk.
pub(super) fn parse(source: &str) -> Result<IdedExpr, Vec<SourceError>> {
    check_text(source).map_err(|error| vec![error])?;
    let tree = PrattParser::new()
        .max_recursion_depth(limits::EXPRESSION_BRACKETS_MAX)
        .parse(source)
        .map_err(|errors| errors.errors.iter().map(|error| syntax(source, error)).collect::<Vec<_>>())
        .map_err(first_per_place)?;
    check_tree(&tree)?;
    Ok(tree)
}

/// Bounds that hold before any parser sees the text: length, depth of brackets, count of punctuation (each operator,
/// dot and bracket can deepen the tree by one).
fn check_text(source: &str) -> Result<(), SourceError> {
    if source.len() > limits::EXPRESSION_BYTES_MAX {
        return Err(too_complex(
            0,
            format!("expression has {} bytes; at most {} are allowed", source.len(), limits::EXPRESSION_BYTES_MAX),
        ));
    }
    if source.trim().is_empty() {
        return Err(SourceError {
            offset: 0,
            code: "syntax",
            message: "expression is empty".to_owned(),
            suggestion: None,
        });
    }
    let (mut depth, mut marks, mut choices) = (0_usize, 0_usize, 0_usize);
    let bytes = source.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' | b'\'' => at = end_of_text(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let mark = bytes.get(at).copied().unwrap_or(b' ');
        choices += usize::from(mark == b'?');
        marks += usize::from(mark.is_ascii_punctuation() && !matches!(mark, b'_' | b',' | b'\'' | b'"'));
        let bracket_depth_max = usize::from(limits::EXPRESSION_BRACKETS_MAX);
        if depth > bracket_depth_max || choices > bracket_depth_max {
            return Err(too_complex(at, format!("brackets or `?:` nest deeper than {bracket_depth_max}")));
        }
        if marks > limits::EXPRESSION_MARKS_MAX {
            return Err(too_complex(
                at,
                format!("expression has more than {} operators, dots and brackets", limits::EXPRESSION_MARKS_MAX),
            ));
        }
        at += 1;
    }
    Ok(())
}

/// The index of the quote that ends the text literal beginning at `start`; the last byte if none does. A raw literal
/// may end earlier than this says; then more is counted than there is, or less by one literal, and the bounds on the
/// tree still hold.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let triple = bytes[start..].starts_with(&[quote; 3]);
    let mut at = start + if triple { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == quote && !triple => return at,
            byte if byte == quote && bytes[at..].starts_with(&[quote; 3]) => return at + 2,
            _ => {}
        }
        at += 1;
    }
    bytes.len() - 1
}

fn too_complex(offset: usize, message: String) -> SourceError {
    SourceError {
        offset,
        code: "too_complex",
        message,
        suggestion: Some("split it into several conditions".to_owned()),
    }
}

/// Bounds on the tree: the compiler recurses over it, and closures nest as it does.
fn check_tree(tree: &IdedExpr) -> Result<(), Vec<SourceError>> {
    let mut stack = vec![(tree, 1_usize)];
    let mut nodes = 0_usize;
    while let Some((node, depth)) = stack.pop() {
        nodes += 1;
        if depth > limits::EXPRESSION_DEPTH_MAX || nodes > limits::EXPRESSION_NODES_MAX {
            let message = format!(
                "expression has more than {} nodes or nests deeper than {}",
                limits::EXPRESSION_NODES_MAX,
                limits::EXPRESSION_DEPTH_MAX
            );
            return Err(vec![too_complex(0, message)]);
        }
        stack.extend(children(node).into_iter().map(|child| (child, depth + 1)));
    }
    Ok(())
}

/// The nodes right below `node`.
pub(super) fn children(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Tree::Unspecified | Tree::Ident(_) | Tree::Literal(_) => Vec::new(),
        Tree::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).collect(),
        Tree::Comprehension(c) => vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result],
        Tree::List(list) => list.elements.iter().collect(),
        Tree::Map(map) => map.entries.iter().flat_map(|entry| entry_children(&entry.expr)).collect(),
        Tree::Select(select) => vec![&select.operand],
        Tree::Struct(object) => object.entries.iter().flat_map(|entry| entry_children(&entry.expr)).collect(),
    }
}

fn entry_children(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

fn syntax(source: &str, error: &ParseError) -> SourceError {
    let place = error.source_info.as_ref().and_then(|info| info.offset_for(error.expr_id));
    let offset = place.map_or_else(|| offset_of(source, error.pos), |(start, _)| start as usize);
    // The lexer reports each byte of a character it does not know.
    let offset = source.floor_char_boundary(offset);
    let message = error.msg.trim_start_matches("Syntax error: ").replace("<EOF>", "end of expression");
    let message = message.replace("mismatched input", "unexpected").replace("'end of expression'", "end of expression");
    let suggestion = match message.as_str() {
        "unable to unescape string" => {
            Some("write `r'…'` for a text with backslashes, as patterns have, or `\\\\`".to_owned())
        }
        "invalid int literal" => {
            Some("integers have 64 bits: at most 9223372036854775807; write a number with `.0`".to_owned())
        }
        _ => slip(source, offset),
    };
    SourceError { offset, code: "syntax", message, suggestion }
}

/// Byte offset of a line and a column, both from 1; the crate counts columns in bytes.
fn offset_of(source: &str, (line, column): (isize, isize)) -> usize {
    let before: usize = source.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0)).map(str::len).sum();
    before + usize::try_from(column - 1).unwrap_or(0)
}

/// How to mend what people of other languages write.
fn slip(source: &str, offset: usize) -> Option<String> {
    let rest = source.get(offset..)?;
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let asked = rest[word.len()..].trim_start();
    let mended = match word.as_str() {
        "is" if ["numeric", "integer", "decimal"].iter().any(|ty| asked.starts_with(ty)) => {
            return Some("leave it out: a field has the type that its schema gives".to_owned());
        }
        "and" => "`&&`",
        "or" => "`||`",
        "not" => "`!`",
        "is" => "`==`: `x == null`, `x != null`",
        "if" | "then" | "else" => "`condition ? value : other`",
        "" if rest.starts_with('=') => "`==` to compare",
        "" if rest.starts_with('&') => "`&&`",
        "" if rest.starts_with('|') => "`||`",
        "" if rest.starts_with('<') => "`!=` for unequal",
        _ if source[..offset].split_whitespace().next_back() == Some("not") => "`!`",
        _ => return None,
    };
    Some(format!("write {mended}"))
}

/// One error a place: what follows the first at the same place is its echo.
fn first_per_place(mut errors: Vec<SourceError>) -> Vec<SourceError> {
    errors.sort_by_key(|error| error.offset);
    errors.dedup_by_key(|error| error.offset);
    errors
}

/// Where nodes stand in the text.
///
/// The Pratt parser hands places out only with errors. So, when there is something to report, the text is parsed once
/// more with a bracket too many behind it: ids are counted in the order of the text, hence every node keeps its own.
pub(super) struct Places {
    source: String,
    offsets: Option<std::sync::Arc<SourceInfo>>,
}

/// The part of a node that an error is about.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// The start of the expression.
    Start,
    /// The node: a literal, a name, an operator.
    Node(u64),
    /// A name at or behind the node's place: a selected field.
    Behind(u64, String),
    /// A name before the node's place: a method, whose place is its bracket.
    Before(u64, String),
}

impl Places {
    /// The places of `source`, which has parsed before.
    pub(super) fn new(source: &str) -> Self {
        let parsed = PrattParser::new().parse(&format!("{source}\n)"));
        let offsets = parsed.err().and_then(|errors| errors.errors.into_iter().find_map(|error| error.source_info));
        Self { source: source.to_owned(), offsets }
    }

    /// The byte offset of `at`.
    pub(super) fn offset(&self, at: &At) -> usize {
        let start = |id: u64| {
            let place = self.offsets.as_ref().and_then(|info| info.offset_for(id));
            place.map_or(0, |(start, _)| start as usize).min(self.source.len())
        };
        match at {
            At::Start => self.source.len() - self.source.trim_start().len(),
            At::Node(id) => start(*id),
            At::Behind(id, name) => {
                let from = start(*id);
                self.source.get(from..).and_then(|rest| rest.find(name.as_str())).map_or(from, |found| from + found)
            }
            At::Before(id, name) => {
                let to = start(*id);
                self.source.get(..to).and_then(|text| text.rfind(name.as_str())).unwrap_or(to)
            }
        }
    }
}
