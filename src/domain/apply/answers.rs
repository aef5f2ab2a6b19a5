//! What calls of custom actions are answered where none may leave the machine: a dry run. Which of several answers a call
//! gets is a lot drawn from names, so that the same run gives the same answers.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::domain::effect::{CallAnswer, CallStatus};

/// Answers by name of the action, each with its weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers(BTreeMap<SmolStr, Vec<(CallAnswer, u64)>>);

impl Answers {
    /// Adds an answer of an action, as likely as `weight` is a part of the sum of all.
    pub fn add(&mut self, action: &str, answer: CallAnswer, weight: u64) {
        self.0.entry(SmolStr::new(action)).or_default().push((answer, weight));
    }

    /// Whether there is any for this action.
    pub fn knows(&self, action: &str) -> bool {
        self.0.contains_key(action)
    }

    /// The answer that `lot` draws; 200 with nothing if there is none to draw from.
    pub fn draw(&self, action: &str, lot: u128) -> CallAnswer {
        let answers = self.0.get(action).map_or(&[][..], Vec::as_slice);
        let total: u128 = answers.iter().map(|(_, weight)| u128::from(*weight)).sum();
        if total == 0 {
            return CallAnswer::empty(CallStatus::Http(200));
        }
        let mut left = lot % total;
        for (answer, weight) in answers {
            match left.checked_sub(u128::from(*weight)) {
                Some(rest) => left = rest,
                None => return answer.clone(),
            }
        }
        unreachable!("what is left is less than the sum of all weights")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_drawn_by_weight_and_none_is_200() {
        let mut answers = Answers::default();
        answers.add("score", CallAnswer::empty(CallStatus::Http(200)), 3);
        answers.add("score", CallAnswer::empty(CallStatus::TimedOut), 1);
        let drawn: Vec<_> = (0..4).map(|lot| answers.draw("score", lot).status).collect();
        assert_eq!(drawn, [CallStatus::Http(200), CallStatus::Http(200), CallStatus::Http(200), CallStatus::TimedOut]);
        assert_eq!(answers.draw("score", 7).status, CallStatus::TimedOut);
        assert_eq!(answers.draw("other", 7).status, CallStatus::Http(200));
        assert!(answers.knows("score") && !answers.knows("other"));
    }
}
