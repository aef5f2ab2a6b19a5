//! A version as it runs in a test: the same nodes, with every wait cut to one length, every split and experiment taken at
//! its top, and no caps (spec §4.7). Changes the program, so that nobody who walks it has to ask.

use crate::domain::event::is_feedback;
use crate::domain::journey::definition::SHARES;
use crate::domain::journey::program::{Arm, Method, NodeKind, Pause, Program};
use crate::domain::limits::{TEST_REACTION_MS, UNCAPPED};
use crate::planted::{Bug, is_planted};

impl Program {
    /// This program with every wait, and every timeout of an awaited event, lasting `wait_ms`; feedback is waited for 40 s
    /// at least, since nobody opens a mail sooner. Lifetime, dates and filters stay what they are.
    #[must_use]
    pub fn in_test(mut self, wait_ms: i64) -> Self {
        self.is_in_test = true;
        for node in &mut self.nodes {
            match &mut node.kind {
                NodeKind::Wait { pause, .. } => *pause = Pause::For(wait_ms),
                NodeKind::FirstOf { arms } => {
                    for (arm, _) in arms {
                        if let Arm::Wait(pause) = arm {
                            *pause = Pause::For(wait_ms);
                        }
                    }
                }
                NodeKind::Event { awaited, within_ms: Some(within), .. } => {
                    let reaction = if is_feedback(&awaited.filter.event) { TEST_REACTION_MS } else { 0 };
                    *within = wait_ms.max(reaction);
                }
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
