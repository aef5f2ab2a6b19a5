//! Nodes that send profiles several ways: by a draw, or to the first rule that holds.

use crate::domain::ids::stable_hash;
use crate::sim::oracle::eval::holds;
use crate::sim::oracle::judge::Judge;
use crate::sim::oracle::nodes::Doing;
use crate::sim::oracle::resources::Node;

impl Judge<'_> {
    /// Which of 10,000 shares falls to the profile at its node.
    fn drawn(&self, index: usize) -> u32 {
        let run = &self.person.runs[index];
        let parts = [self.observed.profile.as_bytes(), run.journey.as_bytes(), run.node.as_bytes()];
        ((stable_hash(&parts) as u64 as u128 * 10_000) >> 64) as u32
    }

    /// The way from a split, an experiment or targeting.
    pub(super) fn drawn_or_targeted(&self, index: usize) -> Result<Doing, String> {
        let run = &self.person.runs[index];
        Ok(match &run.program.nodes[&run.node] {
            Node::Split { shares } => {
                let (drawn, mut sum) = (self.drawn(index), 0);
                let way = shares.iter().position(|(share, _)| {
                    sum += share;
                    drawn < sum
                });
                let way = way.ok_or("shares that are not 100 %")?;
                Doing::Go(shares[way].1.clone(), format!("branch {way}"))
            }
            Node::Experiment { ways } => {
                // In a test there is the first alone.
                let drawn = self.drawn(index);
                let way = ways.iter().position(|(sum, _)| drawn < *sum).unwrap_or(0);
                Doing::Go(ways[way].1.clone(), format!("way {way}"))
            }
            Node::Targeting { rules, fallback } => {
                for (way, (when, then)) in rules.iter().enumerate() {
                    if holds(when, &self.scope(index))? {
                        return Ok(Doing::Go(then.clone(), format!("way {way}")));
                    }
                }
                match fallback {
                    Some(then) => Doing::Go(then.clone(), format!("way {}", rules.len())),
                    None => Doing::End("completed"),
                }
            }
            other => return Err(format!("the model is wrong: {other:?} draws nothing")),
        })
    }
}
