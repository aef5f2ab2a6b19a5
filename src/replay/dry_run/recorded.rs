//! What calls of custom actions were answered, from step events: what a dry run answers them with.

use smol_str::SmolStr;

use crate::domain::apply::{Answers, RecordedAnswer};
use crate::domain::catalog::Responses;
use crate::domain::effect::CallStatus;
use crate::domain::ids::Millis;
use crate::domain::note::fields_of;
use crate::runtime::past::event::StepEvent;

/// Answers in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct RecordedAnswers(Vec<(SmolStr, RecordedAnswer)>);

impl RecordedAnswers {
    /// Takes a step in, if it is the end of a call. Steps of tests are none of the journey's.
    pub fn take(&mut self, event: &StepEvent) {
        let StepEvent { action: Some(action), node: Some(node), reason: Some(reason), .. } = event else { return };
        let (Some(status), Some(at)) = (status(reason), Millis::parse_iso(&event.time)) else { return };
        if event.step != "called" || event.in_test {
            return;
        }
        let profile = event.profile.as_deref().map(SmolStr::new);
        let fields = event.answer.as_ref().and_then(fields_of);
        self.0.push((action.into(), RecordedAnswer { profile, node: node.into(), at, status, fields }));
    }

    /// What calls of a run are answered: as declared, or else as recorded.
    pub(super) fn answers(&self, responses: &Responses) -> Answers {
        let mut answers = Answers::default();
        for (action, declared) in responses {
            declared.iter().for_each(|answer| answers.declare(action, answer.clone()));
        }
        for (action, answer) in &self.0 {
            answers.record(action, answer.clone());
        }
        answers
    }
}

/// The outcome of a word, as [`CallStatus`] is shown.
fn status(word: &str) -> Option<CallStatus> {
    let named = [CallStatus::TimedOut, CallStatus::Capped, CallStatus::InternalError];
    let code = || word.strip_prefix("http_")?.parse().ok().map(CallStatus::Http);
    named.into_iter().find(|status| status.to_string() == word).or_else(code)
}
