//! YAML as plain trees: maps, lists and words. Knows nothing of what they mean.

use saphyr_parser::{Event, Parser, StrInput};

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    Word(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    pub(super) fn get(&self, key: &str) -> Option<&Tree> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, tree)| tree),
            Self::Word(_) | Self::List(_) => None,
        }
    }

    /// The word under `key`, if there is one.
    pub(super) fn word(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::Word(word) => Some(word),
            Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The word under `key`, which must be there.
    pub(super) fn must(&self, key: &str) -> Result<&str, String> {
        self.word(key).ok_or_else(|| format!("`{key}` is missing in {self:?}"))
    }

    /// The items under `key`; none where it is missing.
    pub(super) fn items(&self, key: &str) -> &[Tree] {
        match self.get(key) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }

    /// The entries under `key`; none where it is missing.
    pub(super) fn entries(&self, key: &str) -> &[(String, Tree)] {
        match self.get(key) {
            Some(Self::Map(entries)) => entries,
            _ => &[],
        }
    }
}

/// Every document of `text`.
pub(super) fn documents(text: &str) -> Result<Vec<Tree>, String> {
    let mut documents = Vec::new();
    // Lists and maps that are still open; a map as the flat list of its keys and values.
    let mut open: Vec<(Shape, Vec<Tree>)> = Vec::new();
    let mut parser = Parser::new(StrInput::new(text));
    while let Some(event) = parser.next_event() {
        let (event, _) = event.map_err(|error| format!("broken YAML: {error}"))?;
        let finished = match event {
            Event::Scalar(word, ..) => Tree::Word(word.to_string()),
            Event::SequenceStart(..) => {
                open.push((Shape::List, Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((Shape::Map, Vec::new()));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (shape, items) = open.pop().ok_or("an end without a beginning")?;
                close(shape, items)?
            }
            _ => continue,
        };
        match open.last_mut() {
            Some((_, items)) => items.push(finished),
            None => documents.push(finished),
        }
    }
    Ok(documents)
}

#[derive(Clone, Copy)]
enum Shape {
    List,
    Map,
}

fn close(shape: Shape, items: Vec<Tree>) -> Result<Tree, String> {
    match shape {
        Shape::List => Ok(Tree::List(items)),
        Shape::Map => {
            let mut entries = Vec::new();
            let mut items = items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                let Tree::Word(key) = key else { return Err(format!("{key:?} is no key")) };
                entries.push((key, value));
            }
            Ok(Tree::Map(entries))
        }
    }
}
