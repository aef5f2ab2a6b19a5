//! What is published and what is sent: the n-th event of each connection, without randomness, so that two runs send
//! the same.

use std::sync::Arc;

use bytes::Bytes;
use clap::ValueEnum;
use sojourn::domain::event::Event;
use sojourn::domain::value::{Map, Value};
use sojourn::wire::value::put_map;

/// Different carts: their properties are encoded once.
const CARTS: usize = 64;
/// A purchase comes so many customers after the cart it ends.
const PURCHASE_LAG: u64 = 500;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Scenario {
    /// Enter, condition, wait, wait for an event, message; a purchase ends half of the instances
    CartAbandonment,
    /// Events that enter no journey
    Ingest,
}

impl Scenario {
    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CartAbandonment => "cart_abandonment",
            Self::Ingest => "ingest",
        }
    }

    /// The resources.
    pub fn resources(self, wait: &str) -> String {
        match self {
            Self::CartAbandonment => include_str!("cart_abandonment.yaml").replace("WAIT", wait),
            Self::Ingest => include_str!("ingest.yaml").to_owned(),
        }
    }
}

/// The events of one connection.
#[derive(Debug)]
pub struct Source {
    scenario: Scenario,
    connection: u64,
    connections: u64,
    profiles: u64,
    /// Events so far.
    sent: u64,
    carts: Arc<[Bytes]>,
    empty: Bytes,
}

impl Source {
    /// The source of one of so many connections: each has profiles of its own.
    pub fn new(scenario: Scenario, connection: u64, connections: u64, profiles: u64) -> Self {
        let carts = (0..CARTS).map(|n| packed(&[("total", Value::Float(50.0 + n as f64))])).collect();
        let profiles = profiles.div_ceil(connections);
        Self { scenario, connection, connections, profiles, sent: 0, carts, empty: packed(&[]) }
    }

    /// The next events.
    pub fn next(&mut self, count: u64) -> Vec<Event> {
        (0..count).map(|_| self.event()).collect()
    }

    /// Of three events two are carts and one is the purchase of an earlier one of them, so that half of the customers buy.
    fn event(&mut self) -> Event {
        let number = self.sent;
        self.sent += 1;
        let customer = match self.scenario {
            Scenario::Ingest => number,
            Scenario::CartAbandonment => {
                let (group, place) = (number / 3, number % 3);
                match place {
                    0 => group * 2,
                    1 => group * 2 + 1,
                    _ => match (group * 2).checked_sub(PURCHASE_LAG) {
                        Some(customer) => return self.make(number, customer, "purchase", self.empty.clone()),
                        // Nobody has a cart yet: a purchase that ends nothing.
                        None => return self.make(number, group * 2, "visit", self.empty.clone()),
                    },
                }
            }
        };
        let cart = self.carts[number as usize % CARTS].clone();
        self.make(number, customer, "cart_add", cart)
    }

    fn make(&self, number: u64, customer: u64, kind: &'static str, properties: Bytes) -> Event {
        let profile = (customer % self.profiles) * self.connections + self.connection;
        Event {
            id: format!("{}-{number}", self.connection).into(),
            kind: kind.into(),
            profile: format!("crm:{profile}").into(),
            time: None,
            properties,
        }
    }
}

fn packed(properties: &[(&str, Value)]) -> Bytes {
    let map = Map(properties.iter().map(|(name, value)| ((*name).into(), value.clone())).collect());
    let mut bytes = Vec::new();
    put_map(&mut bytes, &map);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_customers_buy() {
        let mut source = Source::new(Scenario::CartAbandonment, 1, 2, 1_000_000);
        let events = source.next(30_000);
        let count = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
        assert_eq!((count("cart_add"), count("purchase")), (20_000, 9_750));
        let carts: std::collections::BTreeSet<_> =
            events.iter().filter(|event| event.kind == "cart_add").map(|event| event.profile.clone()).collect();
        assert_eq!(carts.len(), 20_000);
        assert!(events.iter().filter(|event| event.kind == "purchase").all(|event| carts.contains(&event.profile)));
    }
}
