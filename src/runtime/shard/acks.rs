//! Acknowledgements by the block that covers them. They are settled by whoever learns first that it is durable, which in an
//! engine is the thread of the journal: a client does not wait for the turn that the shard is in.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::runtime::ticket::Ticket;

/// So many events of a submission.
pub type Ack = (Arc<Ticket>, usize);

/// Those of sealed blocks, oldest first. Shared by a shard and the listener of its journal.
#[derive(Debug, Default)]
pub struct Acks(Mutex<VecDeque<(u64, Vec<Ack>)>>);

impl Acks {
    /// These are durable with the block `number`, which is about to be sent.
    pub(super) fn seal(&self, number: u64, acks: Vec<Ack>) {
        if !acks.is_empty() {
            self.0.lock().push_back((number, acks));
        }
    }

    /// Blocks up to `number` are durable.
    pub fn settle(&self, number: u64) {
        loop {
            let due = self.0.lock().pop_front_if(|(sealed, _)| *sealed <= number);
            let Some((_, acks)) = due else { return };
            for (ticket, count) in acks {
                ticket.settle(count);
            }
        }
    }

    /// Nothing will be durable any more: tickets dropped here refuse their submissions.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}
