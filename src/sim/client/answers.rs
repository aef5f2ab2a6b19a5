//! What senders hear, and what they hold the engine to: acknowledged means durable.

use std::mem::take;

use tokio::sync::oneshot::error::TryRecvError;

use super::{Client, Flight, Item, Source};
use crate::runtime::api::{EventStatus, Refusal};
use crate::sim::Violation;
use crate::sim::history::{History, Key};

impl Client {
    /// Takes in what was answered, and checks it. Answers of one stream are heard in order, as its transport gives them.
    pub fn listen(&mut self, history: &History) -> Result<Vec<String>, Violation> {
        let mut heard = Vec::new();
        let (mut behind, mut over): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for mut flight in take(&mut self.flights) {
            let stream = match flight.source {
                Source::Stream(index) => Some(index),
                Source::Caller => None,
            };
            if stream.is_some_and(|index| over.contains(&index)) {
                continue;
            }
            if stream.is_some_and(|index| behind.contains(&index)) {
                self.flights.push_back(flight);
                continue;
            }
            let verdict = match flight.verdict.try_recv() {
                Err(TryRecvError::Empty) => {
                    behind.extend(stream);
                    self.flights.push_back(flight);
                    continue;
                }
                Err(TryRecvError::Closed) => Err(Refusal::Stopping),
                Ok(verdict) => verdict,
            };
            match verdict {
                Ok(statuses) => {
                    heard.push(format!("acknowledged: {} events of {:?}", statuses.len(), flight.source));
                    self.acknowledged(&flight, &statuses, history)?;
                }
                // The process is going down: what was not acknowledged is sent again to the next one. A stream ends with
                // its first refusal; answers behind that reach nobody.
                Err(refusal) => {
                    heard.push(format!("refused: {refusal}"));
                    match stream {
                        Some(index) => over.push(index),
                        None => self.orphans.extend(flight.keys),
                    }
                }
            }
        }
        over.into_iter().for_each(|index| self.reset(index));
        self.hear_of_time();
        Ok(heard)
    }

    /// Every shard says that time has moved on.
    fn hear_of_time(&mut self) {
        for stream in self.streams.iter_mut().filter(|stream| !stream.advancing.is_empty()) {
            let mut told = 0;
            for done in &mut stream.advancing {
                match done.try_recv() {
                    Ok(()) => told += 1,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            stream.advancing.drain(..told);
            stream.acked += usize::from(stream.advancing.is_empty());
        }
    }

    /// Everything a stream counts as done is durable, or was refused for what it is.
    pub fn check_streams(&self, history: &History) -> Result<(), Violation> {
        let done = self.streams.iter().flat_map(|stream| &stream.items[..stream.acked]);
        let keys = done.filter_map(|item| match item {
            Item::Event(key) => Some(key),
            Item::Advance(_) => None,
        });
        for key in keys {
            let sent = &self.sent[key];
            if !sent.rejected && !history.applied.contains_key(key) {
                return Err(Violation::new(format!(
                    "event {} of {} was passed over",
                    sent.event.id, sent.event.profile
                )));
            }
        }
        Ok(())
    }

    fn acknowledged(&mut self, flight: &Flight, statuses: &[EventStatus], history: &History) -> Result<(), Violation> {
        for (key, status) in flight.keys.iter().zip(statuses) {
            let sent = self.sent.get_mut(key).expect("it was sent");
            match status {
                EventStatus::Accepted | EventStatus::Duplicate => {
                    if !history.applied.contains_key(key) {
                        return Err(Violation::new(format!(
                            "event {} of {} was acknowledged ({status:?}) and is not durable",
                            sent.event.id, sent.event.profile
                        )));
                    }
                    self.acked_count += u64::from(!sent.acked);
                    self.duplicate_count += u64::from(*status == EventStatus::Duplicate);
                    if !sent.acked && matches!(key, Key::Id(_)) {
                        self.known.push(*key);
                    }
                    sent.acked = true;
                }
                EventStatus::Rejected(_) => sent.rejected = true,
                EventStatus::Deferred => {
                    if matches!(key, Key::Stream(..)) {
                        return Err(Violation::new(format!("an event of a stream was put off: {key:?}")));
                    }
                    self.deferred_count += 1;
                    if !sent.acked && !self.unsent.contains(key) && !self.put_off.contains(key) {
                        self.put_off.push(*key);
                    }
                }
            }
        }
        if let Source::Stream(index) = flight.source {
            let stream = &mut self.streams[index];
            stream.in_flight -= 1;
            // Answers of one stream come in order, as those of its transport do.
            stream.acked += flight.keys.len();
        }
        Ok(())
    }
}
