//! Reports on their way into the journal, and what is heard of them.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::domain::effect::{DeliveryOutcome, DeliveryReport};
use crate::domain::ids::DeliveryId;
use crate::runtime::delivery::Recorded;
use crate::runtime::shard::input::ReportBatch;
use crate::runtime::ticket::ReportTicket;
use crate::sim::machine::Machine;

/// What is heard of reports that were handed in together.
#[derive(Debug)]
enum Hearing {
    Waiting(oneshot::Receiver<Vec<Recorded>>),
    Told(Vec<Recorded>),
}

/// Where one of them is heard of.
#[derive(Debug)]
pub(super) struct Receipt {
    hearing: Arc<Mutex<Hearing>>,
    index: usize,
}

impl Receipt {
    /// What became of the report; nothing yet, or never when the process goes down.
    pub(super) fn hear(&self) -> Option<Recorded> {
        let hearing = &mut *self.hearing.lock();
        if let Hearing::Waiting(told) = hearing {
            *hearing = Hearing::Told(told.try_recv().ok()?);
        }
        let Hearing::Told(recorded) = hearing else { return None };
        Some(recorded[self.index])
    }
}

/// Hands in a report; its receipt.
pub(super) fn report(machine: &Machine, id: DeliveryId, outcome: DeliveryOutcome) -> Receipt {
    report_all(machine, vec![DeliveryReport { id, outcome }]).pop().expect("there is one for each report")
}

/// Hands in reports at once; a receipt for each.
pub(super) fn report_all(machine: &Machine, reports: Vec<DeliveryReport>) -> Vec<Receipt> {
    let (ticket, told) = ReportTicket::new(reports.len());
    let hearing = Arc::new(Mutex::new(Hearing::Waiting(told)));
    let receipts = (0..reports.len()).map(|index| Receipt { hearing: Arc::clone(&hearing), index }).collect();
    let reports = (0..).zip(reports).collect();
    machine.router.report(ReportBatch { reports, ticket: Arc::new(ticket) });
    receipts
}
