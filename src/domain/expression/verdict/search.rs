//! Looks for states of all subjects in which formulas come out as wanted. Subjects get their states one after the other;
//! a branch is left as soon as no way of going on can come out so.

use super::formula::{Formula, Outcomes};
use super::subject::{Sort, State, Subject};

/// A formula, and how it should come out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal<'f> {
    pub(super) formula: &'f Formula,
    pub(super) wanted: Outcomes,
}

/// Whether all `goals` can be met at once; none if that took more than the steps left, of which it draws.
pub(super) fn possible(subjects: &[Subject], goals: &[Goal<'_>], steps_left: &mut u64) -> Option<bool> {
    let with_errors = goals.iter().any(|goal| goal.wanted.has(Outcomes::ERROR));
    let mut concerned = vec![false; subjects.len()];
    for goal in goals {
        goal.formula.atoms(None, &mut |subject, _, _| {
            concerned[subject] = true;
            if let Sort::Pair(left, right) = subjects[subject].sort {
                (concerned[left], concerned[right]) = (true, true);
            }
        });
    }
    let mut search = Search {
        goals,
        subjects,
        states: subjects.iter().map(|subject| subject.states(with_errors)).collect(),
        ranks: subjects.iter().map(Subject::ranks).collect(),
        order: (0..subjects.len()).filter(|subject| concerned[*subject]).collect(),
        chosen: vec![None; subjects.len()],
        steps_left,
    };
    search.extend(0)
}

struct Search<'s> {
    goals: &'s [Goal<'s>],
    subjects: &'s [Subject],
    states: Vec<Vec<State>>,
    ranks: Vec<Vec<usize>>,
    /// Subjects that matter; a pair comes after its two.
    order: Vec<usize>,
    chosen: Vec<Option<State>>,
    steps_left: &'s mut u64,
}

impl Search<'_> {
    /// Whether the subjects from the `depth`th on have states that meet the goals.
    fn extend(&mut self, depth: usize) -> Option<bool> {
        if !self.is_open()? {
            return Some(false);
        }
        let Some(&subject) = self.order.get(depth) else { return Some(true) };
        for index in 0..self.states[subject].len() {
            let state = self.states[subject][index];
            if !self.is_consistent(subject, state) {
                continue;
            }
            self.chosen[subject] = Some(state);
            if self.extend(depth + 1)? {
                return Some(true);
            }
        }
        self.chosen[subject] = None;
        Some(false)
    }

    /// Whether every goal may still be met.
    fn is_open(&mut self) -> Option<bool> {
        for goal in self.goals {
            let outcomes = goal.formula.outcomes(&mut |subject, test| {
                *self.steps_left = self.steps_left.saturating_sub(1);
                let ranks = &self.ranks[subject];
                match self.chosen[subject] {
                    Some(state) => test.outcome(state, ranks),
                    None => {
                        let states = self.states[subject].iter();
                        states.fold(Outcomes::NONE, |all, state| all.or(test.outcome(*state, ranks)))
                    }
                }
            });
            if *self.steps_left == 0 {
                return None;
            }
            if !outcomes.has(goal.wanted) {
                return Some(false);
            }
        }
        Some(true)
    }

    /// A pair is null if one of its two is, and an error if one of them is.
    fn is_consistent(&self, subject: usize, state: State) -> bool {
        let Sort::Pair(left, right) = self.subjects[subject].sort else { return true };
        let (Some(left), Some(right)) = (self.chosen[left], self.chosen[right]) else {
            unreachable!("the two of a pair are older than the pair, and concerned where it is")
        };
        if left == State::Error || right == State::Error {
            return state == State::Error;
        }
        state.is_null() == (left.is_null() || right.is_null()) && state != State::Error
    }
}
