//! What can be said of conditions before they run: which can never be true, which always are, which exclude each other.
//!
//! Sound, not complete: what is claimed holds for every document; what is not claimed may hold too. A property test draws
//! conditions and documents and holds the claims against what the compiled conditions come to. Roots are taken to be what
//! their schemas declare in one claim only, "always": a value of another type makes any condition an error.

mod formula;
mod print;
mod search;
mod subject;
#[cfg(test)]
mod tests;
mod translate;

use cel::common::ast::IdedExpr;

use self::formula::{Formula, Outcomes, Test};
use self::search::{Goal, possible};
use self::subject::{Origin, Subject};
use super::comparison::Comparison;
use super::compile::Compiler;
use super::parse::{self, At, Places};
use super::types::{Schemas, Type};
use crate::domain::limits;

/// Conditions that are asked at one instant about one document.
#[derive(Debug)]
pub struct Reasoner<'s> {
    schemas: &'s Schemas,
    subjects: Vec<Subject>,
    conditions: Vec<Condition>,
    /// What holds anyway, with its text.
    given: Vec<(Formula, String)>,
    steps_left: u64,
}

/// A condition that a [`Reasoner`] has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim(usize);

/// A part of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins: byte offset in its condition; none for what was given.
    pub offset: Option<usize>,
    /// Its text.
    pub text: String,
}

#[derive(Debug)]
struct Condition {
    source: String,
    formula: Formula,
    /// What `&&` joins at its top: formula, text, node of its beginning.
    parts: Vec<(Formula, String, u64)>,
}

impl<'s> Reasoner<'s> {
    /// One that knows nothing but what is declared.
    pub fn new(schemas: &'s Schemas) -> Self {
        let steps_left = limits::REASONING_STEPS_MAX;
        Self { schemas, subjects: Vec::new(), conditions: Vec::new(), given: Vec::new(), steps_left }
    }

    /// Reads a condition; none if it is wrong.
    pub fn read(&mut self, source: &str) -> Option<Claim> {
        let tree = self.parse(source)?;
        let formula = self.formula(&tree);
        let nodes = translate::joined(&tree);
        let parts = nodes.into_iter().map(|node| (self.formula(node), print::text_of(node), translate::first(node).id));
        let parts = parts.collect();
        self.conditions.push(Condition { source: source.to_owned(), formula, parts });
        Some(Claim(self.conditions.len() - 1))
    }

    /// Takes for granted what `source`, the filter that let the instance in, says about the entry event: that stays true.
    pub fn entered_by(&mut self, source: &str) {
        let Some(tree) = self.parse(source) else { return };
        for part in translate::joined(&tree) {
            if translate::roots(part).iter().all(|root| root == "event" || root == "meta") {
                let formula = self.formula(part);
                self.given.push((formula, print::text_of(part)));
            }
        }
    }

    /// Whether it is certain that what is taken for granted is never true.
    pub fn is_contradicted(&mut self) -> bool {
        self.never_all(&[], &[])
    }

    /// Whether it is certain that `claim` is never true where none of `denied` is.
    pub fn never(&mut self, claim: Claim, denied: &[Claim]) -> bool {
        self.never_all(&[claim], denied)
    }

    /// Whether it is certain that `claims` are never all true where none of `denied` is.
    pub fn never_all(&mut self, claims: &[Claim], denied: &[Claim]) -> bool {
        let wanted = |claim: &Claim, wanted| Goal { formula: &self.conditions[claim.0].formula, wanted };
        let mut goals: Vec<Goal<'_>> = claims.iter().map(|claim| wanted(claim, Outcomes::TRUE)).collect();
        goals.extend(denied.iter().map(|claim| wanted(claim, Outcomes::FALSE)));
        goals.extend(self.given.iter().map(|(formula, _)| Goal { formula, wanted: Outcomes::TRUE }));
        possible(&self.subjects, &goals, &mut self.steps_left) == Some(false)
    }

    /// Whether it is certain that one of `claims` is true.
    pub fn always_one(&mut self, claims: &[Claim]) -> bool {
        let others = |claim: &Claim| Goal { formula: &self.conditions[claim.0].formula, wanted: Outcomes::OTHER };
        let mut goals: Vec<Goal<'_>> = claims.iter().map(others).collect();
        goals.extend(self.given.iter().map(|(formula, _)| Goal { formula, wanted: Outcomes::TRUE }));
        possible(&self.subjects, &goals, &mut self.steps_left) == Some(false)
    }

    /// Of a claim that is never true: the fewest of its parts, and of what is given, that exclude each other.
    pub fn conflict(&mut self, claim: Claim) -> Vec<Part> {
        let condition = &self.conditions[claim.0];
        let own = condition.parts.iter().map(|(formula, text, id)| (formula, text, Some(*id)));
        let mut kept: Vec<_> = own.chain(self.given.iter().map(|(formula, text)| (formula, text, None))).collect();
        let mut index = 0;
        while index < kept.len() && kept.len() > 1 {
            let without: Vec<Goal<'_>> = kept
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .map(|(_, (formula, ..))| Goal { formula, wanted: Outcomes::TRUE })
                .collect();
            if possible(&self.subjects, &without, &mut self.steps_left) == Some(false) {
                kept.remove(index);
            } else {
                index += 1;
            }
        }
        let places = Places::new(&condition.source);
        kept.into_iter()
            .map(|(_, text, id)| Part { offset: id.map(|id| places.offset(&At::Node(id))), text: text.clone() })
            .collect()
    }

    /// Fields below `root` of which `claim` asks only whether they differ from something: where such a field is absent the
    /// answer is no, which few expect.
    pub fn unguarded(&self, claim: Claim, root: &str) -> Vec<String> {
        let mut asked: Vec<(usize, bool)> = Vec::new();
        self.conditions[claim.0].formula.atoms(Some(true), &mut |subject, test, helps| {
            let differs = matches!(test, Test::Compare(Comparison::Unequal, _)) && helps == Some(true);
            asked.push((subject, differs));
        });
        let is_field = |subject: &Subject| {
            subject.origin == Origin::Field
                && subject.key.strip_prefix(root).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        let fields = self.subjects.iter().enumerate().filter(|(_, subject)| is_field(subject));
        fields
            .filter(|(index, _)| {
                let mut of_it = asked.iter().filter(|(subject, _)| subject == index).peekable();
                of_it.peek().is_some() && of_it.all(|(_, differs)| *differs)
            })
            .map(|(_, subject)| subject.key.clone())
            .collect()
    }

    /// The tree of a condition that compiles.
    fn parse(&self, source: &str) -> Option<IdedExpr> {
        let tree = parse::parse(source).ok()?;
        let typed = Compiler::new(self.schemas).node(&tree)?;
        typed.ty.fits(&Type::Boolean).then_some(tree)
    }
}
