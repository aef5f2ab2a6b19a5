//! Connections of producers, and how they end: the bytes of a stream's batches as they travel, cut after any of them;
//! answers that nobody hears; a process that is gone. Afterwards everything unacknowledged is sent again.

use bytes::Bytes;

use super::{Client, Source};
use crate::domain::event::Event;
use crate::sim::dice::Dice;
use crate::sim::history::Key;
use crate::wire::frame::{ClientFrame, LENGTH_BYTES, decode_client, encode_batch};

/// Events in one frame.
const FRAME_EVENTS: usize = 2;

/// Where a connection ends, as a part of all bytes: mostly it does not.
pub(super) fn draw_cut(dice: &mut Dice) -> Option<u64> {
    dice.chance(8).then(|| dice.throw())
}

/// Sends events as frames of the TCP feed, of which the first bytes arrive; how many events are whole on the other side.
/// Panics if they are not what was sent.
pub(super) fn over_the_wire(first_sequence: u64, events: &[Event], cut: Option<u64>) -> usize {
    let mut bytes = Vec::new();
    for (index, frame) in events.chunks(FRAME_EVENTS).enumerate() {
        encode_batch(&mut bytes, first_sequence + (index * FRAME_EVENTS) as u64, frame);
    }
    if let Some(cut) = cut {
        bytes.truncate(cut as usize % bytes.len());
    }
    let bytes = Bytes::from(bytes);
    let (mut at, mut arrived) = (0, 0);
    while let Some(length) = bytes.get(at..at + LENGTH_BYTES) {
        let length = u32::from_be_bytes(length.try_into().expect("so many were asked for")) as usize;
        at += LENGTH_BYTES;
        if bytes.len() < at + length {
            break;
        }
        let frame = decode_client(&bytes.slice(at..at + length)).expect("a whole frame can be read");
        let ClientFrame::Batch(batch) = frame else { panic!("a batch was sent, and {frame:?} arrived") };
        assert_eq!(batch.first_sequence, first_sequence + arrived as u64);
        assert_eq!(batch.events, events[arrived..arrived + batch.events.len()], "events change on their way");
        assert!(batch.rejected.is_empty(), "{:?}", batch.rejected);
        at += length;
        arrived += batch.events.len();
    }
    arrived
}

impl Client {
    pub(super) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// A stream's connection ends: what it has under way may be decided, and nobody hears of it.
    pub(super) fn reset(&mut self, index: usize) {
        self.flights.retain(|flight| flight.source != Source::Stream(index));
        let stream = &mut self.streams[index];
        stream.submitted = stream.acked;
        stream.in_flight = 0;
    }

    /// Somebody who waits for an answer loses its connection. Whether anybody waited.
    pub fn lose_answer(&mut self, dice: &mut Dice) -> bool {
        if self.flights.is_empty() {
            return false;
        }
        let place = dice.index(self.flights.len());
        match self.flights[place].source {
            Source::Stream(index) => self.reset(index),
            Source::Caller => {
                let Some(flight) = self.flights.remove(place) else { return false };
                self.send_again(flight.keys);
            }
        }
        self.fault("network: producer reset before its answer");
        true
    }

    fn send_again(&mut self, mut keys: Vec<Key>) {
        keys.retain(|key| !self.sent[key].acked && !self.sent[key].rejected);
        keys.dedup();
        for key in keys.into_iter().rev() {
            if !self.unsent.contains(&key) {
                self.unsent.push_front(key);
            }
        }
    }

    /// The process died: whatever was not acknowledged is sent again.
    pub fn new_life(&mut self) {
        let mut again: Vec<Key> = std::mem::take(&mut self.orphans);
        for flight in self.flights.drain(..).filter(|flight| flight.source == Source::Caller) {
            again.extend(flight.keys);
        }
        self.send_again(again);
        for stream in &mut self.streams {
            stream.submitted = stream.acked;
            stream.in_flight = 0;
            stream.advancing.clear();
        }
        for sent in self.sent.values_mut() {
            sent.orders.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Event> {
        let event = |n: u8| Event {
            id: format!("e{n}").into(),
            kind: "go".into(),
            profile: "crm:1".into(),
            time: None,
            properties: vec![0x80].into(),
        };
        (0..5).map(event).collect()
    }

    #[test]
    fn of_what_is_cut_after_any_byte_whole_frames_arrive() {
        let events = events();
        assert_eq!(over_the_wire(7, &events, None), 5);
        let mut counts: Vec<usize> = (0..400).map(|cut| over_the_wire(7, &events, Some(cut))).collect();
        counts.sort_unstable();
        counts.dedup();
        assert_eq!(counts, [0, 2, 4], "every cut leaves whole frames, and never the last one");
    }
}
