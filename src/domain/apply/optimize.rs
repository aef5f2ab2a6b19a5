//! A node that sends profiles several ways: by a draw that stays, or by rules.

use crate::domain::apply::walk::{Flow, Walk, drawn_share};
use crate::domain::journey::program::{Method, Node, Program};
use crate::domain::step::{ExitReason, Path, StepKind};
use crate::planted::{Bug, is_planted};

impl<'w> Walk<'_, 'w> {
    /// The way of a treatment or rule; nobody's way ends the instance.
    pub(super) fn optimize(&mut self, position: usize, program: &'w Program, node: &Node, method: &Method) -> Flow {
        let way = match method {
            Method::Experiment { ways } => {
                let mut who = self.profile.identity.clone();
                if is_planted(Bug::TreatmentDrawnAnew) {
                    who = smol_str::format_smolstr!("{who}/{}", self.profile.instances[position].ordinal);
                }
                let drawn = drawn_share(&who, &program.name, &node.name);
                let way = ways.partition_point(|(_, sum, _)| *sum <= drawn);
                Some((way, ways[way].2))
            }
            Method::Targeting { rules, fallback } => {
                let mut found = None;
                for (way, (_, when, target)) in rules.iter().enumerate() {
                    match when.eval_bool(&self.scope(position)) {
                        Ok(true) => {
                            found = Some((way, *target));
                            if !is_planted(Bug::LastRuleWins) {
                                break;
                            }
                        }
                        Ok(false) => {}
                        Err(error) => return self.arrive_and_fail(position, node, &error),
                    }
                }
                found.or_else(|| Some((rules.len(), (*fallback)?)))
            }
        };
        self.step(position, StepKind::Arrived);
        match way {
            Some((way, target)) => Flow::Go(target, Path::Way(way as u16)),
            None => {
                self.exit(position, ExitReason::Completed);
                Flow::Gone
            }
        }
    }
}
