//! What waits for a sync: acks, answers and sends, by the block that covers them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::ids::DeliveryId;
use crate::runtime::partition::mail::ParcelName;
use crate::runtime::shard::input::Answer;
use crate::runtime::ticket::{ReportTicket, Ticket};

/// Something that may happen only once a block is durable.
#[expect(missing_debug_implementations, reason = "holds closures")]
pub enum Release {
    /// Events of a submission are durable.
    Settle(Arc<Ticket>, usize),
    /// Reports of a batch are durable.
    Told(Arc<ReportTicket>, usize),
    /// Someone gets an answer.
    Answer(Answer),
    /// An outbox row may leave.
    Offer(DeliveryId),
    /// A parcel may leave.
    Post(ParcelName),
    /// A parcel was taken in.
    Acknowledge(ParcelName),
}

/// Releases by block. INVARIANT: blocks become durable in the order they were sealed.
#[expect(missing_debug_implementations, reason = "holds closures")]
#[derive(Default)]
pub struct Releases {
    /// Of the draught.
    open: VecDeque<Release>,
    /// Of sealed blocks, oldest first.
    sealed: VecDeque<(u64, VecDeque<Release>)>,
    last_number: u64,
    durable_number: u64,
}

impl Releases {
    /// Blocks with the journal.
    pub fn in_flight(&self) -> usize {
        self.sealed.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.sealed.is_empty()
    }

    /// Adds a release: to the draught, or, where the draught is empty, to the last block sealed.
    pub fn push(&mut self, release: Release, draught_is_empty: bool) {
        match self.sealed.back_mut() {
            Some((_, releases)) if draught_is_empty && self.open.is_empty() => releases.push_back(release),
            _ => self.open.push_back(release),
        }
    }

    /// The draught is sealed: its number, from 1.
    pub fn seal(&mut self) -> u64 {
        self.last_number += 1;
        self.sealed.push_back((self.last_number, std::mem::take(&mut self.open)));
        self.last_number
    }

    /// The number the draught will have.
    pub fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    /// The last block sealed.
    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// The last block known durable.
    pub fn durable_number(&self) -> u64 {
        self.durable_number
    }

    /// Blocks up to `number` are durable: what may happen now, in order.
    pub fn durable(&mut self, number: u64) -> VecDeque<Release> {
        self.durable_number = self.durable_number.max(number);
        let mut released = VecDeque::new();
        while self.sealed.front().is_some_and(|(n, _)| *n <= number) {
            let (_, mut releases) = self.sealed.pop_front().expect("there is a front");
            released.append(&mut releases);
        }
        released
    }

    /// Nothing will be durable any more: tickets dropped here refuse their submissions.
    pub fn clear(&mut self) {
        self.open.clear();
        self.sealed.clear();
    }
}
