//! The log channel: lines of one batch are written together, and their reports handed in at once.

use std::time::Duration;

use super::receipts::report_all;
use super::{Channels, Delivery, Stage};
use crate::domain::effect::{DeliveryOutcome, DeliveryReport};
use crate::domain::journey::program::Channel;
use crate::sim::Violation;
use crate::sim::dice::Dice;
use crate::sim::history::{Fate, History};
use crate::sim::machine::Machine;

/// Lines of the largest batch.
const LINES_MAX: usize = 8;

impl Channels {
    /// Writes the line of a delivery, and of others that are ready.
    pub(super) fn write_lines(
        &mut self,
        first: usize,
        machine: &Machine,
        history: &History,
        dice: &mut Dice,
        steady: Duration,
    ) -> Result<String, Violation> {
        let is_ready = |delivery: &Delivery| {
            delivery.job.row.channel == Channel::Log
                && matches!(delivery.stage, Stage::Waiting { due } if due <= steady)
        };
        let others = (0..self.deliveries.len()).filter(|index| *index != first && is_ready(&self.deliveries[*index]));
        let batch: Vec<usize> = std::iter::once(first).chain(others).take(1 + dice.index(LINES_MAX)).collect();
        self.attempt_count += batch.len() as u64 - 1;
        let mut reports = Vec::new();
        for index in &batch {
            let id = self.deliveries[*index].job.row.id;
            let is_durable = history.book(id.partition).shadow.outbox.get(id).is_some();
            if history.deliveries.get(&id) != Some(&Fate::Open) || !is_durable {
                return Err(Violation::new(format!("delivery {id} is logged and is not open")));
            }
            self.check_content(*index)?;
            // Whose line is in the file already: a start finds it there.
            if self.sink.get(&id).is_none_or(|taken| taken.lives.is_empty()) {
                self.arrive(*index)?;
            }
            reports.push(DeliveryReport { id, outcome: DeliveryOutcome::Sent });
        }
        let text = format!("{} lines are written, {} the first", batch.len(), reports[0].id);
        for (index, receipt) in batch.into_iter().zip(report_all(machine, reports)) {
            self.deliveries[index].stage = Stage::Settling(receipt);
        }
        Ok(text)
    }
}
