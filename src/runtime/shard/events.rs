//! Events in a shard: in order, as many as the block takes, each handed to its partition or kept until that is here.

use std::sync::Arc;

use crate::domain::apply::Firing;
use crate::domain::ids::{Millis, PartitionId, ProfileKey};
use crate::planted::{Bug, is_planted};
use crate::runtime::api::EventStatus;
use crate::runtime::partition::decide::Circumstances;
use crate::runtime::shard::input::{EventBatch, RoutedEvent};
use crate::runtime::shard::releases::Release;
use crate::runtime::shard::{Seat, Shard, Waiting};
use crate::runtime::ticket::Ticket;
use crate::wire::record::Mark;

/// Profiles whose rows are touched in one go: enough to overlap their misses, few enough to stay in the first cache.
const APPROACHED_AT_ONCE: usize = 32;

impl Shard {
    /// Handles events in order; gives back those that no longer fit the block.
    pub(super) fn handle_events(&mut self, batch: EventBatch) -> Option<EventBatch> {
        self.mail.at_end = false;
        let EventBatch { events, ticket } = batch;
        let mut events = events.into_iter();
        let mut handled = 0;
        let mut unfinished = None;
        let mut near = 0;
        while let Some(routed) = events.next() {
            if near == 0 {
                let ahead = std::iter::once(&routed).chain(events.as_slice());
                near = self.approach(ahead.map(|ahead| (ahead.partition, ahead.key)));
            }
            near -= 1;
            if !self.has_room() || !self.time_reaches(routed.engine_time) || self.is_held(&routed) {
                let rest = std::iter::once(routed).chain(events).collect();
                unfinished = Some(EventBatch { events: rest, ticket: Arc::clone(&ticket) });
                break;
            }
            handled += self.handle_event(routed, &ticket);
        }
        if handled > 0 {
            self.release_when_durable(Release::Settle(ticket, handled));
        }
        unfinished
    }

    /// Touches the rows of the profiles that come next, as many as one go takes, and then their cold records; how many
    /// profiles that were (1 or more). Their cache misses overlap, where handling each by itself would wait for each.
    pub(super) fn approach(&self, ahead: impl Iterator<Item = (PartitionId, ProfileKey)>) -> usize {
        let mut found = [None; APPROACHED_AT_ONCE];
        let mut count = 0;
        for ((partition, key), place) in ahead.zip(&mut found) {
            *place = self.partition(partition).and_then(|p| Some((&p.table, p.table.find(key)?)));
            count += 1;
        }
        for (table, slot) in found.iter().flatten() {
            std::hint::black_box(table.first_byte(*slot));
        }
        count
    }

    /// On the events' clock nothing may overtake an event whose partition is on its way: its time would pass.
    fn is_held(&self, routed: &RoutedEvent) -> bool {
        self.config.decide.firing == Firing::Due && matches!(self.seat(routed.partition), Some(Seat::Expected(_)))
    }

    /// Handles one event; how many of the ticket's events that settles (0 if it has to wait).
    pub(super) fn handle_event(&mut self, routed: RoutedEvent, ticket: &Arc<Ticket>) -> usize {
        let about = Circumstances { config: &self.config.decide, catalog: &self.catalog, now: self.now };
        let partition = match &mut self.seats[usize::from(routed.partition.0)] {
            Seat::Open(partition) => partition,
            Seat::Expected(waiting) => {
                if waiting.is_empty() {
                    self.ports.want(routed.partition);
                }
                waiting.push_back(Waiting::Event(routed, Arc::clone(ticket)));
                return 0;
            }
            Seat::Absent => unreachable!("the router sends only to the owner"),
        };
        let floor = if is_planted(Bug::TimeGoesBack) { Millis::MIN } else { partition.engine_time };
        let about = Circumstances { now: about.now.max(floor), ..about };
        let mark = match routed.mark {
            Mark::Id { hash, .. } => Mark::Id { hash, expires: about.now.plus(about.config.id_window_ms) },
            stream => stream,
        };
        let room = crate::runtime::handle::weight(&routed.event);
        let decided = match ticket.deferral.has_begun() {
            true => Ok(EventStatus::Deferred),
            false => partition.decide_event(&routed.event, routed.key, mark, about, &mut self.draught),
        };
        match decided {
            Ok(EventStatus::Accepted) => {}
            Ok(other) => {
                if other == EventStatus::Deferred && matches!(mark, Mark::Stream { .. }) {
                    ticket.deferral.begin();
                }
                ticket.set(routed.index, other);
            }
            Err(error) => self.corrupt(routed.partition, &error),
        }
        self.take_draught();
        self.lower_next_slot(routed.partition);
        if !is_planted(Bug::WeightKept) {
            self.ports.handled(room);
        }
        1
    }
}
