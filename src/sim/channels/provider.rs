//! Providers: how they answer an attempt, and how long they take. What the network does to a request on its way is part
//! of the answer: nobody on the sender's side can tell them apart.

use std::time::Duration;

use crate::sim::dice::Dice;

/// Bytes of a provider's answer.
const ANSWER_BYTES: u64 = 40;
/// How long a sender waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long the longest outage lasts.
pub const LONG_OUTAGE: Duration = Duration::from_secs(25 * 3_600);

/// How a provider answers now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// At once, yes.
    Well,
    /// Mostly yes; sometimes 429, 5xx, a reset, late, or taken with no answer.
    Moody,
    /// Nothing is taken, nothing is answered.
    Out,
}

/// What one attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    /// Taken, and nobody heard.
    TakenUnheard,
    /// Not taken, and nobody knows.
    LostUnheard,
    /// Not now; the sender knows.
    Later,
    /// Never.
    Refused,
}

/// An answer, and how long it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub answer: Answer,
    pub after: Duration,
    /// What went wrong, if anything did.
    pub fault: Option<&'static str>,
}

impl Reply {
    /// What a provider in this mood makes of a request of so many bytes.
    pub fn draw(mood: Mood, bytes: u64, dice: &mut Dice) -> Self {
        let at_once = |answer, fault| Self { answer, after: Duration::ZERO, fault };
        match (mood, dice.below(12)) {
            (Mood::Well, _) => at_once(Answer::Taken, None),
            (Mood::Out, 0..6) => at_once(Answer::LostUnheard, Some("provider: down")),
            (Mood::Out, _) | (Mood::Moody, 3) => at_once(Answer::Later, Some("provider: 5xx")),
            (Mood::Moody, 0 | 1) => reset(bytes, dice),
            (Mood::Moody, 2) => at_once(Answer::Later, Some("provider: 429")),
            (Mood::Moody, 4) if dice.chance(30) => at_once(Answer::Refused, Some("provider: refused for good")),
            (Mood::Moody, 5) => {
                let after = TIMEOUT;
                Self { answer: Answer::TakenUnheard, after, fault: Some("provider: accepted, then a timeout") }
            }
            (Mood::Moody, 6) => {
                let after = Duration::from_millis(1 + dice.below(29_999));
                Self { answer: Answer::Taken, after, fault: Some("provider: slow") }
            }
            (Mood::Moody, _) => at_once(Answer::Taken, None),
        }
    }
}

/// The connection ends after some byte of request and answer: any, and more often the last of one.
fn reset(bytes: u64, dice: &mut Dice) -> Reply {
    let all = bytes + ANSWER_BYTES;
    let through = match dice.below(8) {
        0 => 0,
        1 => bytes - 1,
        2 => bytes,
        3 => all - 1,
        _ => dice.below(all),
    };
    let (answer, fault) = if through < bytes {
        (Answer::LostUnheard, "network: provider reset within the request")
    } else {
        (Answer::TakenUnheard, "network: provider reset within the answer")
    };
    Reply { answer, after: Duration::ZERO, fault: Some(fault) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn everything_that_can_go_wrong_does() {
        let mut dice = Dice::new(5);
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        for mood in [Mood::Well, Mood::Moody, Mood::Out] {
            for _ in 0..2_000 {
                let reply = Reply::draw(mood, 100, &mut dice);
                assert_eq!(reply.answer == Answer::Taken, reply.fault.is_none_or(|fault| fault == "provider: slow"));
                assert!(mood != Mood::Well || reply.fault.is_none());
                *seen.entry(reply.fault.unwrap_or_default()).or_default() += 1;
            }
        }
        assert_eq!(seen.len(), 9, "{seen:?}");
        assert!(seen.values().all(|times| *times > 30), "{seen:?}");
    }
}
