//! What channels and operators say of deliveries: results and decisions, each an input like any other.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::apply::Firing;
use crate::domain::effect::DeliveryReport;
use crate::domain::ids::{DeliveryId, Millis};
use crate::planted::{Bug, is_planted};
use crate::runtime::partition::decide::Circumstances;
use crate::runtime::shard::input::{ReportBatch, ShardInput};
use crate::runtime::shard::releases::Release;
use crate::runtime::shard::{Seat, Shard};
use crate::runtime::ticket::ReportTicket;
use crate::runtime::view::Resolution;

impl Shard {
    /// Handles reports in order; gives back those that no longer fit the block. The first always does.
    pub(super) fn handle_reports(&mut self, batch: ReportBatch) -> Option<ReportBatch> {
        let ReportBatch { reports, ticket } = batch;
        let mut reports = reports.into_iter();
        let (mut handled, mut is_first) = (0, true);
        let mut unfinished = None;
        while let Some((index, report)) = reports.next() {
            if !std::mem::take(&mut is_first) && !self.has_room() {
                let rest = std::iter::once((index, report)).chain(reports).collect();
                unfinished = Some(ReportBatch { reports: rest, ticket: Arc::clone(&ticket) });
                break;
            }
            handled += self.handle_report(index, report, &ticket);
        }
        if handled > 0 {
            self.release_when_durable(Release::Told(ticket, handled));
        }
        unfinished
    }

    /// Handles one report; how many of the ticket's that settles (0 if it has to wait for its partition, or has none).
    fn handle_report(&mut self, index: u32, report: DeliveryReport, ticket: &Arc<ReportTicket>) -> usize {
        let id = report.id;
        let now = self.now_of_reports();
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.partition.0)) else {
            let alone = ReportBatch { reports: vec![(index, report)], ticket: Arc::clone(ticket) };
            // Of a partition that is nobody's here: dropped, which the ticket tells.
            drop(self.waits(id.partition, ShardInput::Reports(alone)));
            return 0;
        };
        if partition.outbox.get(id).is_none() {
            ticket.row_gone(index);
        }
        let now = now.max(partition.engine_time);
        let about = Circumstances { config: &self.config.decide, catalog: &self.catalog, now };
        if let Err(error) = partition.decide_report(&report, about, &mut self.draught) {
            self.corrupt(id.partition, &error);
        }
        self.take_draught();
        if self.config.decide.firing == Firing::Due {
            if !is_planted(Bug::AnsweredTooLate) {
                self.lower_next_slot(id.partition);
            }
            self.has_answered = true;
        }
        1
    }

    /// When a report comes. On the events' clock that says nothing, and the partition's own time counts: it may have come
    /// from an owner who was behind, with timers still to fire.
    pub(super) fn now_of_reports(&self) -> Millis {
        match self.config.decide.firing {
            Firing::Engine => self.now,
            Firing::Due => Millis::MIN,
        }
    }

    pub(super) fn handle_resolution(&mut self, id: DeliveryId, resolution: Resolution, told: oneshot::Sender<bool>) {
        let now = self.now_of_reports();
        let mut done = false;
        if let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.partition.0)) {
            let now = now.max(partition.engine_time);
            let about = Circumstances { config: &self.config.decide, catalog: &self.catalog, now };
            done = partition.decide_resolution(id, resolution, about, &mut self.draught);
        }
        self.take_draught();
        self.release_when_durable(Release::Answer(Box::new(move || {
            let _ = told.send(done);
        })));
    }
}
