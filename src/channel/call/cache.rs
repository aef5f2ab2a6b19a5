//! Good answers of a data source that serve again for the same request. In memory, bounded in number and bytes; gone with the
//! process, or when the source is published with other settings.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::effect::CallAnswer;
use crate::domain::limits::{CACHED_ANSWER_BYTES_MAX, CACHED_ANSWERS_MAX};

/// The answers.
pub(super) struct Cache {
    serves_for: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: HashMap<String, (CallAnswer, Instant)>,
    /// Requests in the order of their answers: all serve equally long, so that the first is the first to go.
    order: VecDeque<(Instant, String)>,
}

impl Cache {
    /// None yet; each will serve so long.
    pub(super) fn new(serves_for: Duration) -> Self {
        Self { serves_for, kept: Mutex::default() }
    }

    /// The answer to the same request, if one still serves.
    pub(super) fn get(&self, request: &str) -> Option<CallAnswer> {
        let kept = self.kept.lock();
        let (answer, until) = kept.answers.get(request)?;
        (Instant::now() < *until).then(|| answer.clone())
    }

    /// Keeps `answer` if it is a good one, and not too large.
    pub(super) fn put(&self, request: String, answer: &CallAnswer) {
        let is_small = request.len() + answer.fields.weight() <= CACHED_ANSWER_BYTES_MAX;
        if self.serves_for.is_zero() || answer.status.is_error() || !is_small {
            return;
        }
        let now = Instant::now();
        let until = now + self.serves_for;
        let kept = &mut *self.kept.lock();
        while kept.order.front().is_some_and(|(until, _)| *until <= now) || kept.order.len() >= CACHED_ANSWERS_MAX {
            let Some((until, first)) = kept.order.pop_front() else { break };
            // A later answer to the same request stays.
            if kept.answers.get(&first).is_some_and(|(_, serves)| *serves == until) {
                kept.answers.remove(&first);
            }
        }
        kept.order.push_back((until, request.clone()));
        kept.answers.insert(request, (answer.clone(), until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::CallStatus;

    #[test]
    fn good_answers_serve_again_and_are_bounded() {
        let cache = Cache::new(Duration::from_secs(3_600));
        let good = CallAnswer::empty(CallStatus::Http(200));
        cache.put("a".to_owned(), &good);
        assert_eq!(cache.get("a"), Some(good.clone()));
        assert_eq!(cache.get("b"), None);
        cache.put("b".to_owned(), &CallAnswer::empty(CallStatus::Http(503)));
        assert_eq!(cache.get("b"), None, "an error");
        cache.put("x".repeat(CACHED_ANSWER_BYTES_MAX + 1), &good);
        assert_eq!(cache.kept.lock().answers.len(), 1, "too large");
        for n in 0..CACHED_ANSWERS_MAX {
            cache.put(n.to_string(), &good);
        }
        let kept = cache.kept.lock();
        assert_eq!((kept.answers.len(), kept.order.len()), (CACHED_ANSWERS_MAX, CACHED_ANSWERS_MAX));
        assert!(!kept.answers.contains_key("a") && kept.answers.contains_key("0"));
    }

    #[test]
    fn without_a_time_nothing_serves() {
        let cache = Cache::new(Duration::ZERO);
        cache.put("a".to_owned(), &CallAnswer::empty(CallStatus::Http(200)));
        assert!(cache.kept.lock().answers.is_empty());
    }
}
