//! A version as it runs in a test: the same nodes, with every wait cut to one length, every split and experiment taken at
//! its top, and no caps (spec §4.7). Changes the program, so that nobody who walks it has to ask.

use crate::domain::event::is_feedback;
use crate::domain::journey::definition::SHARES;
use crate::domain::journey::program::{Arm, Awaited, Method, NodeKind, Pause, Program};
use crate::domain::limits::{TEST_REACTION_MS, UNCAPPED};
use crate::planted::{Bug, is_planted};

impl Program {
    /// This program with every wait, and every timeout of an awaited event, lasting `wait_ms`; where feedback is awaited, alone
    /// or beside others, 40 s at least, since nobody opens a mail sooner. Lifetime, dates and filters stay what they are.
    #[must_use]
    pub fn in_test(mut self, wait_ms: i64) -> Self {
        self.is_in_test = true;
        for node in &mut self.nodes {
            match &mut node.kind {
                NodeKind::Wait { pause, .. } => *pause = Pause::For(wait_ms),
                NodeKind::FirstOf { arms } => {
                    let awaited = arms.iter().filter_map(|(arm, _)| match arm {
                        Arm::Event(awaited) => Some(awaited),
                        Arm::Wait(_) => None,
                    });
                    let lasts_ms = patience_ms(wait_ms, awaited);
                    for (arm, _) in arms {
                        if let Arm::Wait(pause) = arm {
                            *pause = Pause::For(lasts_ms);
                        }
                    }
                }
                NodeKind::Event { awaited, within_ms: Some(within), .. } => *within = patience_ms(wait_ms, [&*awaited]),
                NodeKind::ProfileCap { max, .. } => *max = UNCAPPED,
                NodeKind::Optimize { method: Method::Experiment { ways } } => {
                    ways.iter_mut().for_each(|(_, sum, _)| *sum = SHARES);
                }
                NodeKind::Split { ways } if !is_planted(Bug::TestDrawsSplits) => {
                    let top = ways[0].1;
                    *ways = vec![(SHARES, top)];
                }
                _ => {}
            }
        }
        self
    }
}

/// How long a node in test waits where these events may come.
fn patience_ms<'a>(wait_ms: i64, awaited: impl IntoIterator<Item = &'a Awaited>) -> i64 {
    let reacts = awaited.into_iter().any(|awaited| is_feedback(&awaited.filter.event));
    if reacts { wait_ms.max(TEST_REACTION_MS) } else { wait_ms }
}
