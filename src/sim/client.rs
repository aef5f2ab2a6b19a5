//! Whoever sends events: streams with sequences, callers with ids. They send again what was not acknowledged when the
//! process died, now and then what was, and hold the engine to every acknowledgement.

mod answers;
mod connection;

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::sync::oneshot;

use crate::domain::event::Event;
use crate::domain::ids::{Millis, PartitionId, ProfileKey, SandboxId, stable_hash};
use crate::runtime::api::{Deferral, Origin, Patience, ProducerId, Submission};
use crate::runtime::shard::input::ShardInput;
use crate::runtime::ticket::Verdict;
use crate::sim::dice::Dice;
use crate::sim::history::Key;
use crate::sim::machine::{HASH_KEY, Machine};
use crate::sim::mail::{event_of, submit_now};
use crate::sim::workload::ScriptEvent;

/// An event that was sent, or will be.
#[derive(Clone, Debug)]
pub struct Sent {
    /// As it was sent.
    pub event: Event,
    /// Its profile.
    pub key: ProfileKey,
    /// Its partition.
    pub partition: PartitionId,
    /// Engine time on the events' clock.
    pub engine_time: Millis,
    /// When it was put into a mailbox, in this life of the process; all sendings.
    pub orders: Vec<u64>,
    /// Acknowledged.
    pub acked: bool,
    /// Refused for what it is.
    pub rejected: bool,
}

/// A submission on its way.
struct Flight {
    source: Source,
    keys: Vec<Key>,
    verdict: oneshot::Receiver<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stream(usize),
    Caller,
}

/// One item of a stream.
#[derive(Clone, Copy, Debug)]
enum Item {
    Event(Key),
    /// Events' clock: time moves on to here.
    Advance(Millis),
}

/// A stream: everything in order.
struct Stream {
    producer: u64,
    epoch: u32,
    next_sequence: u64,
    items: Vec<Item>,
    /// Acknowledged up to here.
    acked: usize,
    /// Put into mailboxes up to here, in this life of the process.
    submitted: usize,
    in_flight: usize,
    advancing: Vec<oneshot::Receiver<()>>,
}

/// The senders.
#[expect(missing_debug_implementations, reason = "holds receivers")]
pub struct Client {
    /// How long the engine knows ids.
    pub id_window_ms: i64,
    /// Nothing is sent twice without need.
    pub is_calm: bool,
    partitions: u16,
    sent: HashMap<Key, Sent>,
    streams: Vec<Stream>,
    /// Ids to be sent, in order.
    unsent: VecDeque<Key>,
    /// Ids that were acknowledged, for repeats.
    known: Vec<Key>,
    flights: VecDeque<Flight>,
    /// Put off for want of room for ids, to be tried again later.
    put_off: Vec<Key>,
    /// Refused while the process was going down.
    orphans: Vec<Key>,
    order: u64,
    /// Events' clock: the greatest time so far.
    pub greatest: Millis,
    /// Events acknowledged.
    pub acked_count: u64,
    /// Acknowledged as repeats.
    pub duplicate_count: u64,
    /// Submissions refused.
    pub refused_count: u64,
    /// Events put off for want of room for ids.
    pub deferred_count: u64,
    /// What went wrong on the way, by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

/// Which time an event gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// None: the engine's own clock counts.
    Wall,
    /// The greatest event time so far.
    Events,
}

impl Client {
    /// Senders with this many streams. On the events' clock there is one source, so one stream.
    pub fn new(partitions: u16, id_window_ms: i64, streams: usize) -> Self {
        let stream = |n: usize| Stream {
            producer: 0xa000 + n as u64,
            epoch: 1,
            next_sequence: 1,
            items: Vec::new(),
            acked: 0,
            submitted: 0,
            in_flight: 0,
            advancing: Vec::new(),
        };
        Self {
            id_window_ms,
            is_calm: false,
            partitions,
            sent: HashMap::new(),
            streams: (0..streams).map(stream).collect(),
            unsent: VecDeque::new(),
            known: Vec::new(),
            flights: VecDeque::new(),
            put_off: Vec::new(),
            orphans: Vec::new(),
            order: 0,
            greatest: Millis::MIN,
            acked_count: 0,
            duplicate_count: 0,
            refused_count: 0,
            deferred_count: 0,
            faults: BTreeMap::new(),
        }
    }

    /// Who sends the same, in the same order, from the beginning.
    pub fn replay(&self) -> Self {
        let mut again = Self::new(self.partitions, self.id_window_ms, self.streams.len());
        (again.is_calm, again.greatest) = (true, self.greatest);
        again.sent.clone_from(&self.sent);
        for sent in again.sent.values_mut() {
            (sent.acked, sent.rejected) = (false, false);
            sent.orders.clear();
        }
        for (stream, own) in again.streams.iter_mut().zip(&self.streams) {
            stream.items.clone_from(&own.items);
        }
        again
    }

    /// What was sent under `key`.
    pub fn sent(&self, key: &Key) -> Option<&Sent> {
        self.sent.get(key)
    }

    /// Streams.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Gives an event to a stream, or to the callers.
    pub fn add(&mut self, script: &ScriptEvent, stream: Option<usize>, stamps: Stamps) {
        let event = event_of(script);
        let (namespace, value) = event.identity().expect("scripts hold valid events");
        let profile = HASH_KEY.profile_key(SandboxId::DEFAULT, namespace, value);
        let engine_time = match stamps {
            Stamps::Wall => Millis::MIN,
            Stamps::Events => {
                self.greatest = self.greatest.max(event.time.unwrap_or(Millis::MIN));
                self.greatest
            }
        };
        let key = match stream {
            Some(stream) => {
                let stream = &mut self.streams[stream];
                let key = Key::Stream(stream.producer, stream.epoch, stream.next_sequence);
                stream.next_sequence += 1;
                stream.items.push(Item::Event(key));
                key
            }
            None => {
                let sandbox = SandboxId::DEFAULT.0.to_le_bytes();
                let key = Key::Id(stable_hash(&[&sandbox, event.profile.as_bytes(), event.id.as_bytes()]));
                self.unsent.push_back(key);
                if self.sent.contains_key(&key) {
                    return;
                }
                key
            }
        };
        let sent = Sent {
            event,
            key: profile,
            partition: profile.partition(self.partitions),
            engine_time,
            orders: Vec::new(),
            acked: false,
            rejected: false,
        };
        self.sent.insert(key, sent);
    }

    /// Events' clock: time moves on after everything sent so far.
    pub fn add_advance(&mut self, to: Millis) {
        self.greatest = self.greatest.max(to);
        let greatest = self.greatest;
        self.streams[0].items.push(Item::Advance(greatest));
    }

    /// A producer that has everything acknowledged begins to count anew.
    pub fn begin_epoch(&mut self, stream: usize) -> bool {
        let stream = &mut self.streams[stream];
        let idle = stream.acked == stream.items.len();
        if idle {
            stream.epoch += 1;
            stream.next_sequence = 1;
        }
        idle
    }

    /// Whether anything waits to be put into mailboxes.
    pub fn has_more(&self) -> bool {
        !self.unsent.is_empty() || !self.put_off.is_empty() || self.streams.iter().any(|s| s.submitted < s.items.len())
    }

    /// Whether time is being moved on.
    pub fn is_advancing(&self) -> bool {
        self.streams.iter().any(|stream| !stream.advancing.is_empty())
    }

    /// Whether everything is acknowledged.
    pub fn is_done(&self) -> bool {
        !self.has_more() && self.flights.is_empty() && self.streams.iter().all(|s| s.acked == s.items.len())
    }

    /// An id that was acknowledged is sent once more.
    pub fn repeat(&mut self, key: Key) {
        if !self.unsent.contains(&key) {
            self.unsent.push_back(key);
        }
    }

    /// Ids that were acknowledged.
    pub fn known(&self) -> &[Key] {
        &self.known
    }

    /// What was put off is tried again.
    pub fn try_again(&mut self) {
        self.unsent.extend(self.put_off.drain(..));
    }

    /// Events waiting or on their way.
    pub fn pending(&self) -> usize {
        self.unsent.len() + self.put_off.len() + self.streams.iter().map(|s| s.items.len() - s.acked).sum::<usize>()
    }

    /// Puts one submission into the mailboxes: of a stream, or of callers. Says what it did.
    pub fn submit(&mut self, machine: &Machine, dice: &mut Dice) -> Option<String> {
        let choices = self.streams.len() + 1;
        let first = dice.index(choices);
        let most = if dice.chance(10) { 40 } else { 5 };
        let count = 1 + dice.index(most);
        (0..choices).map(|n| (first + n) % choices).find_map(|choice| {
            if choice < self.streams.len() {
                self.submit_stream(machine, choice, count, dice)
            } else {
                self.submit_ids(machine, count, dice)
            }
        })
    }

    fn submit_stream(&mut self, machine: &Machine, index: usize, count: usize, dice: &mut Dice) -> Option<String> {
        let stream = &self.streams[index];
        if !stream.advancing.is_empty() {
            return None;
        }
        let waiting = &stream.items[stream.submitted..];
        if let Item::Advance(to) = waiting.first()? {
            return self.advance(machine, index, *to);
        }
        let keys: Vec<Key> = waiting
            .iter()
            .take(count)
            .map_while(|item| match item {
                Item::Event(key) => Some(*key),
                Item::Advance(_) => None,
            })
            .collect();
        // One submission has one epoch.
        let Key::Stream(producer, epoch, first_sequence) = keys[0] else { unreachable!("streams have sequences") };
        let same = |key: &&Key| matches!(key, Key::Stream(_, e, _) if *e == epoch);
        let keys: Vec<Key> = keys.iter().take_while(same).copied().collect();
        let events: Vec<Event> = keys.iter().map(|key| self.sent[key].event.clone()).collect();
        let cut = if self.is_calm { None } else { connection::draw_cut(dice) };
        let arrived = connection::over_the_wire(first_sequence, &events, cut);
        let is_reset = arrived < keys.len();
        let keys = keys[..arrived].to_vec();
        let origin = Origin::Stream { producer: ProducerId(producer), epoch, first_sequence };
        let mut told = format!("stream {index} sends {arrived} from {first_sequence}");
        if arrived > 0 {
            let taken = self.put(machine, Source::Stream(index), keys, origin)?;
            let stream = &mut self.streams[index];
            stream.submitted += taken;
            stream.in_flight += 1;
        }
        if is_reset {
            self.fault("network: producer reset within a frame");
            self.reset(index);
            told.push_str(", and its connection ends");
        }
        Some(told)
    }

    fn advance(&mut self, machine: &Machine, index: usize, to: Millis) -> Option<String> {
        let stream = &mut self.streams[index];
        // Partitions do not move meanwhile: one from a shard whose time is still behind would miss its timers.
        if machine.is_moving || stream.acked < stream.submitted || stream.in_flight > 0 {
            return None;
        }
        for post in &machine.posts {
            let (told, done) = oneshot::channel();
            crate::runtime::handle::Mailbox::send(post, ShardInput::Advance(to, Some(told)));
            stream.advancing.push(done);
        }
        stream.submitted += 1;
        Some(format!("stream {index} moves time to {to}"))
    }

    fn submit_ids(&mut self, machine: &Machine, count: usize, dice: &mut Dice) -> Option<String> {
        let mut keys: Vec<Key> = Vec::new();
        while keys.len() < count
            && let Some(key) = self.unsent.pop_front()
        {
            keys.push(key);
        }
        let fresh = keys.len();
        if !self.is_calm && dice.chance(15) && !self.known.is_empty() {
            keys.push(*dice.pick(&self.known));
        }
        if !self.is_calm && dice.chance(10) && !keys.is_empty() {
            keys.push(keys[0]);
        }
        if keys.is_empty() {
            return None;
        }
        let back: Vec<Key> = keys[..fresh].to_vec();
        match self.put(machine, Source::Caller, keys, Origin::Unsequenced) {
            Some(taken) => Some(format!("callers send {taken}, {fresh} of them new")),
            None => {
                for key in back.into_iter().rev() {
                    self.unsent.push_front(key);
                }
                None
            }
        }
    }

    /// How many were taken: all or none.
    fn put(&mut self, machine: &Machine, source: Source, keys: Vec<Key>, origin: Origin) -> Option<usize> {
        let sent: Vec<&Sent> = keys.iter().map(|key| &self.sent[key]).collect();
        let stamped = sent.iter().any(|s| s.engine_time > Millis::MIN);
        let engine_times = if stamped { sent.iter().map(|s| s.engine_time).collect() } else { Vec::new() };
        let events = sent.iter().map(|s| s.event.clone()).collect();
        let patience = Patience::UpTo(std::time::Duration::ZERO);
        let submission = Submission { events, origin, engine_times, patience, deferral: Deferral::default() };
        let together = stamped && machine.catalog.counts_together();
        if together && machine.is_moving {
            return None;
        }
        let Some(verdict) = submit_now(&machine.router, submission, machine) else {
            self.refused_count += 1;
            return None;
        };
        // As the engine does: partitions that count together wait for the slowest.
        if let Some(latest) = sent.iter().map(|sent| sent.engine_time).max().filter(|_| together) {
            machine.router.pass_time(latest);
        }
        for key in &keys {
            self.order += 1;
            let order = self.order;
            self.sent.get_mut(key).expect("it was just read").orders.push(order);
        }
        let count = keys.len();
        self.flights.push_back(Flight { source, keys, verdict });
        Some(count)
    }
}
