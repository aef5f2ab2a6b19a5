//! A condition as a formula over states of subjects. It comes out true, not true (false or null), or as an error, by the
//! rules of the compiled operators: strong Kleene logic, with the error as the unknown.

use std::cmp::Ordering;

use super::super::comparison::Comparison;
use super::subject::State;

/// How a formula may come out: one of the constants, or several of them at once while not all states are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcomes(u8);

impl Outcomes {
    pub(super) const NONE: Self = Self(0);
    pub(super) const TRUE: Self = Self(1);
    pub(super) const FALSE: Self = Self(2);
    pub(super) const ERROR: Self = Self(4);
    /// Not true.
    pub(super) const OTHER: Self = Self(6);

    pub(super) fn of(truth: bool) -> Self {
        if truth { Self::TRUE } else { Self::FALSE }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of `wanted` is among them.
    pub(super) fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 != 0
    }

    fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::NONE }
    }

    fn not(self) -> Self {
        Self::TRUE
            .when(self.has(Self::FALSE))
            .or(Self::FALSE.when(self.has(Self::TRUE)))
            .or(Self::ERROR.when(self.has(Self::ERROR)))
    }

    fn and(self, other: Self) -> Self {
        let open = Self::TRUE.or(Self::ERROR);
        let error = (self.has(Self::ERROR) && other.has(open)) || (self.has(open) && other.has(Self::ERROR));
        Self::TRUE
            .when(self.has(Self::TRUE) && other.has(Self::TRUE))
            .or(Self::FALSE.when(self.has(Self::FALSE) || other.has(Self::FALSE)))
            .or(Self::ERROR.when(error))
    }

    /// Of `?:`, where `self` is the condition.
    fn choose(self, yes: Self, no: Self) -> Self {
        let yes = if self.has(Self::TRUE) { yes } else { Self::NONE };
        let no = if self.has(Self::FALSE) { no } else { Self::NONE };
        yes.or(no).or(Self::ERROR.when(self.has(Self::ERROR)))
    }
}

/// What is asked about a subject. Points are indices of its points.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Compare(Comparison, usize),
    OneOf(Vec<usize>),
    IsNull,
    Has,
}

impl Test {
    /// How it comes out in `state`, where points have the ranks `ranks`.
    pub(super) fn outcome(&self, state: State, ranks: &[usize]) -> Outcomes {
        if state == State::Error {
            return Outcomes::ERROR;
        }
        let position = |point: &usize| 2 * ranks[*point] + 1;
        Outcomes::of(match (self, state) {
            (Self::IsNull, state) => state.is_null(),
            (Self::Has, state) => state != State::Absent,
            (Self::Compare(by, point), State::At(at)) => by.holds(Some(at.cmp(&position(point)))),
            (Self::Compare(by, _), State::Unordered) => by.holds(None),
            (Self::OneOf(points), State::At(at)) => {
                points.iter().any(|point| at.cmp(&position(point)) == Ordering::Equal)
            }
            _ => false,
        })
    }
}

/// A formula.
#[derive(Clone, Debug)]
pub(super) enum Formula {
    Constant(Outcomes),
    Atom { subject: usize, test: Test },
    Not(Box<Formula>),
    And(Box<Formula>, Box<Formula>),
    Or(Box<Formula>, Box<Formula>),
    Choose(Box<Formula>, Box<Formula>, Box<Formula>),
}

impl Formula {
    pub(super) fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// How it may come out, where `atom` says so of its atoms.
    pub(super) fn outcomes(&self, atom: &mut impl FnMut(usize, &Test) -> Outcomes) -> Outcomes {
        match self {
            Self::Constant(outcome) => *outcome,
            Self::Atom { subject, test } => atom(*subject, test),
            Self::Not(inner) => inner.outcomes(atom).not(),
            Self::And(left, right) => {
                let left = left.outcomes(atom);
                if left == Outcomes::FALSE { left } else { left.and(right.outcomes(atom)) }
            }
            Self::Or(left, right) => {
                let left = left.outcomes(atom);
                if left == Outcomes::TRUE { left } else { left.not().and(right.outcomes(atom).not()).not() }
            }
            Self::Choose(condition, yes, no) => {
                let condition = condition.outcomes(atom);
                condition.choose(yes.outcomes(atom), no.outcomes(atom))
            }
        }
    }

    /// Calls `visit` with every atom, and whether it stands where its truth helps the truth of the whole (`Some(true)`),
    /// hinders it (`Some(false)`), or does either (`None`).
    pub(super) fn atoms<'f>(&'f self, helps: Option<bool>, visit: &mut impl FnMut(usize, &'f Test, Option<bool>)) {
        match self {
            Self::Constant(_) => {}
            Self::Atom { subject, test } => visit(*subject, test, helps),
            Self::Not(inner) => inner.atoms(helps.map(|helps| !helps), visit),
            Self::And(left, right) | Self::Or(left, right) => {
                left.atoms(helps, visit);
                right.atoms(helps, visit);
            }
            Self::Choose(condition, yes, no) => {
                condition.atoms(None, visit);
                yes.atoms(helps, visit);
                no.atoms(helps, visit);
            }
        }
    }
}
