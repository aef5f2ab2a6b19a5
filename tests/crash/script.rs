//! What producers send, drawn from a seed, and what must come of it. Knows nothing of servers, feeds and sinks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sojourn::domain::event::{Event, PROFILE_UPDATE};
use sojourn::domain::value::{Map, Value};
use sojourn::wire::value::put_map;

/// Customers of one producer whose events are not all sent yet: so many stories run side by side.
const OPEN_MAX: usize = 400;

/// The resources; ports of the sinks are filled in.
pub fn resources(hook_port: u16, mail_port: u16) -> String {
    include_str!("resources.yaml")
        .replace("HOOK_PORT", &hook_port.to_string())
        .replace("MAIL_PORT", &mail_port.to_string())
}

/// What must be found at the end. Profiles by their name, events by their id.
#[derive(Default)]
pub struct Expected {
    /// Events sent, updates of profiles included.
    pub events: u64,
    /// Profile → event that a webhook must name, once.
    pub hooks: BTreeMap<String, String>,
    /// Profile → event that a webhook may name, once: a cancellation raced with the wait.
    pub may_hook: BTreeMap<String, String>,
    /// Profile → event that a mail must name, once, unless it is in doubt.
    pub mails: BTreeMap<String, String>,
    /// (Profile, body) of lines in the log, each once.
    pub logs: BTreeSet<(String, String)>,
    /// Entries into `routes`.
    pub routed: u64,
    /// Entries into `trail`.
    pub trailed: u64,
}

impl Expected {
    /// Adds what another producer expects.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.hooks.extend(other.hooks.clone());
        self.may_hook.extend(other.may_hook.clone());
        self.mails.extend(other.mails.clone());
        self.logs.extend(other.logs.iter().cloned());
        self.routed += other.routed;
        self.trailed += other.trailed;
    }
}

/// The stories of one producer's customers.
pub struct Script {
    producer: String,
    random: StdRng,
    customers: u64,
    /// What is still to be sent, per customer, in order.
    open: Vec<VecDeque<Event>>,
    /// What must come of everything drawn so far, once all of it is sent.
    pub expected: Expected,
}

impl Script {
    /// The script of a producer.
    pub fn new(producer: String, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { producer, random, customers: 0, open: Vec::new(), expected: Expected::default() }
    }

    /// The next `count` events: customers take turns at random, each one's events stay in order.
    pub fn next(&mut self, count: usize) -> Vec<Event> {
        (0..count)
            .map(|_| {
                if self.open.len() < OPEN_MAX && (self.open.is_empty() || self.random.random_bool(0.45)) {
                    let story = self.story();
                    self.expected.events += story.len() as u64;
                    self.open.push(story);
                }
                let index = self.random.random_range(0..self.open.len());
                self.take(index)
            })
            .collect()
    }

    /// The ends of all stories begun.
    pub fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while !self.open.is_empty() {
            let index = self.random.random_range(0..self.open.len());
            events.push(self.take(index));
        }
        events
    }

    fn take(&mut self, index: usize) -> Event {
        let event = self.open[index].pop_front().expect("stories with nothing left are removed");
        if self.open[index].is_empty() {
            self.open.swap_remove(index);
        }
        event
    }

    /// One more customer: what they do, and what must come of it.
    fn story(&mut self) -> VecDeque<Event> {
        self.customers += 1;
        let number = self.customers;
        let profile = format!("crash:{}-{number}", self.producer);
        let id = |step: u32| format!("{}-{number}-{step}", self.producer);
        let event = |step: u32, kind: &str, properties: &[(&str, Value)]| Event {
            id: id(step).into(),
            kind: kind.into(),
            profile: profile.as_str().into(),
            time: None,
            properties: packed(properties),
        };
        let order = |step: u32, route: &str, total: f64| {
            event(step, "order", &[("route", Value::Str(route.into())), ("total", Value::Float(total))])
        };
        let expected = &mut self.expected;
        let story = match self.random.random_range(0..100) {
            0..34 => {
                expected.routed += 1;
                expected.logs.insert((profile.clone(), id(0)));
                vec![order(0, "log", 80.0)]
            }
            // Below the filter of the entry: nothing comes of it.
            34..49 => vec![order(0, "hook", 49.5)],
            49..62 => {
                expected.routed += 1;
                expected.hooks.insert(profile.clone(), id(0));
                vec![order(0, "hook", 50.0)]
            }
            // Two orders: the first one counts, whatever happens between them.
            62..68 => {
                expected.routed += 1;
                expected.hooks.insert(profile.clone(), id(0));
                vec![order(0, "hook", 99.0), order(1, "log", 99.0)]
            }
            68..73 => {
                expected.routed += 1;
                expected.may_hook.insert(profile.clone(), id(0));
                vec![order(0, "hook", 70.0), event(1, "cancel", &[])]
            }
            // The address is there because the update came first.
            73..79 => {
                expected.routed += 1;
                expected.mails.insert(profile.clone(), id(1));
                let address = Value::Str(format!("{}-{number}@example.com", self.producer).into());
                vec![event(0, PROFILE_UPDATE, &[("email", address)]), order(1, "mail", 60.0)]
            }
            // Ends only if the three come in order, and names the attribute as it was at the third.
            79..94 => {
                expected.trailed += 1;
                expected.logs.insert((profile.clone(), format!("{} 3 before", id(0))));
                let mark = |step: u32, mark: &str| event(step, PROFILE_UPDATE, &[("mark", Value::Str(mark.into()))]);
                let nth = |step: u32, kind: &str, n: i64| event(step, kind, &[("n", Value::Int(n))]);
                vec![
                    nth(0, "first", 1),
                    mark(1, "early"),
                    nth(2, "second", 2),
                    mark(3, "before"),
                    nth(4, "third", 3),
                    mark(5, "after"),
                ]
            }
            _ => vec![event(0, "cancel", &[])],
        };
        story.into()
    }
}

fn packed(properties: &[(&str, Value)]) -> bytes::Bytes {
    let map = Map(properties.iter().map(|(name, value)| ((*name).into(), value.clone())).collect());
    let mut bytes = Vec::new();
    put_map(&mut bytes, &map);
    bytes.into()
}
