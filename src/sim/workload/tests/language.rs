//! Everything the language has is drawn: nodes, options and resources by a look at what was read, functions by their words.
//! A form, an option or a resource that is added does not compile here, a function is asked for by itself. What is not drawn
//! stands in [`NOT_DRAWN`], and in `docs/simulation.md` with the same reason.

mod calls;
mod words;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::catalog::SourceFile;
use crate::domain::expression::{Schemas, every_call, unit_names};
use crate::domain::journey::findings::Findings;
use crate::domain::journey::source;
use crate::sim::dice::Dice;
use crate::sim::workload::Workload;
use crate::sim::workload::expressions::{Roots, condition};

use calls::calls;

/// Worlds that are drawn, each with a few changes of what is published and a draft.
const WORLDS: u64 = 300;
const CHANGES: usize = 5;
/// Expressions that are drawn besides: of more than a hundred functions each is in few worlds.
const EXPRESSIONS: usize = 100_000;
/// How often each word has to come up in them.
const TIMES: u64 = 3;

/// What is not drawn, and why.
const NOT_DRAWN: [(&str, &str); 1] = [(
    "template: a tag",
    "channels, which render, are a model here: the oracle holds what is frozen for a template against what stands in double braces",
)];

/// What was met, and how often.
#[derive(Default)]
pub(super) struct Met(BTreeMap<String, u64>);

impl Met {
    /// `word` is part of the language.
    fn expect(&mut self, word: &str) {
        if !self.0.contains_key(word) {
            self.0.insert(word.to_owned(), 0);
        }
    }

    /// `word` is part of the language, and may have been drawn.
    fn note(&mut self, word: &str, is_drawn: bool) {
        self.expect(word);
        *self.0.get_mut(word).expect("is expected") += u64::from(is_drawn);
    }

    /// The language has these words, and one of them was drawn.
    fn one_of(&mut self, words: &[&str], drawn: &str) {
        words.iter().for_each(|word| self.expect(word));
        self.note(drawn, true);
    }
}

/// What is published at first, and afterwards, and kept as a draft.
fn texts(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let mut workload = Workload::generate(&mut dice);
    let mut texts = vec![workload.resources.clone()];
    texts.extend((0..CHANGES).filter_map(|_| workload.next_publish(&mut dice)));
    texts.push(workload.next_draft(&mut dice));
    texts
}

fn met() -> Met {
    let mut met = Met::default();
    for (name, count) in every_call() {
        met.expect(&format!("{name}/{count}"));
    }
    for unit in unit_names() {
        met.expect(&format!("'{unit}'"));
    }
    for (fact, _) in Schemas::of_instance().unwrap_or_default() {
        met.expect(&format!("journey.{fact}"));
    }
    for text in (0..WORLDS).flat_map(texts) {
        let files = [SourceFile { name: "drawn.yaml".to_owned(), text: text.clone() }];
        let mut findings = Findings::new(&files);
        let resources = source::read(&files, &BTreeMap::new(), &mut findings);
        words::resources(&mut met, &resources);
        written::written(&mut met, &text);
        called(&mut met, &text);
        for word in met
            .0
            .keys()
            .filter(|word| word.starts_with('\'') || word.starts_with("journey."))
            .cloned()
            .collect::<Vec<_>>()
        {
            met.note(&word, text.contains(&word));
        }
    }
    let mut dice = Dice::new(0);
    (0..EXPRESSIONS).for_each(|_| called(&mut met, &condition(&mut dice, Roots::Inside, 1)));
    met
}

/// Notes the functions that a text calls.
fn called(met: &mut Met, text: &str) {
    for (name, count) in calls(text) {
        met.note(&format!("{name}/{count}"), true);
    }
}

#[test]
fn the_whole_language_is_drawn() {
    let met = met();
    let excepted: BTreeSet<&str> = NOT_DRAWN.iter().map(|(word, _)| *word).collect();
    let rare: Vec<_> = met.0.iter().filter(|(word, n)| **n < TIMES && !excepted.contains(word.as_str())).collect();
    assert!(rare.is_empty(), "hardly ever drawn: {rare:#?}");
    let wrong: Vec<_> = excepted.iter().filter(|word| met.0.get(**word) != Some(&0)).collect();
    assert!(wrong.is_empty(), "no exceptions: drawn, or no part of the language: {wrong:?}");
}

/// Every exception has its row in the document, and no other has.
#[test]
fn the_document_lists_what_is_not_drawn() {
    let page = include_str!("../../../../docs/simulation.md");
    let section = page.split("## What is not drawn").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = section.expect("the section is there").lines().filter(|line| line.starts_with("| `"));
    let written: Vec<String> = NOT_DRAWN.iter().map(|(word, why)| format!("| `{word}` | {why} |")).collect();
    assert_eq!(rows.collect::<Vec<_>>(), written);
}
