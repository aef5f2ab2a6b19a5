//! Which events a connection sends: the n-th one follows from n, without randomness.
//!
//! Profiles are dealt out to connections, so that all events of one come over one connection, in order.

use sojourn::domain::ids::Millis;

use crate::event::{LoadEvent, Profile, Properties};

/// A purchase comes so many customers after the cart it ends.
const PURCHASE_LAG: u64 = 500;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Of three events two are carts of new customers and one is the purchase of an earlier one: half of them buy.
    Carts,
    /// The same, but of a hundred events so many are carts of one profile.
    HotCarts(u8),
    /// One cart a profile.
    EachCart,
    /// One event of this type a profile.
    Each(&'static str),
    /// One event a profile, which says when it is due. They are due from the first instant on, evenly over so many ms.
    EachDue(Millis, u64),
    /// Two events a profile: its address, then one of this type.
    Addressed(&'static str),
}

impl Pattern {
    /// Events that a number of profiles come to, where the pattern sends a fixed number for each.
    pub fn events_for(self, profiles: u64) -> u64 {
        match self {
            Self::Addressed(_) => profiles * 2,
            _ => profiles,
        }
    }
}

/// The events of one connection.
#[derive(Clone, Debug)]
pub struct Source {
    pattern: Pattern,
    connection: u64,
    connections: u64,
    profiles_all: u64,
    /// Of this connection.
    profiles: u64,
    /// Events so far.
    sent: u64,
}

impl Source {
    /// The source of one of so many connections.
    pub fn new(pattern: Pattern, connection: u64, connections: u64, profiles: u64) -> Self {
        let own = part(profiles, connection, connections);
        Self { pattern, connection, connections, profiles_all: profiles, profiles: own, sent: 0 }
    }

    /// Events of this connection until all its profiles have come once.
    pub fn events_once(&self) -> u64 {
        self.pattern.events_for(self.profiles)
    }

    /// The next events.
    pub fn next(&mut self, count: u64) -> Vec<LoadEvent> {
        (0..count).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> LoadEvent {
        let number = self.sent;
        self.sent += 1;
        match self.pattern {
            Pattern::Carts => self.cart_or_purchase(number, number),
            Pattern::HotCarts(percent) => {
                let (hundreds, place) = (number / 100, number % 100);
                // Hot ones are spread over each hundred, so that no batch is all hot.
                let hot = |place: u64| place * u64::from(percent) / 100;
                let hot_before = hundreds * u64::from(percent) + hot(place);
                if hot(place + 1) > hot(place) {
                    let properties = Properties::Cart(number);
                    return LoadEvent { number, kind: "cart_add", profile: Profile::Hot, properties };
                }
                self.cart_or_purchase(number, number - hot_before)
            }
            Pattern::EachCart => self.make(number, number, "cart_add", Properties::Cart(number)),
            Pattern::Each(kind) => self.make(number, number, kind, Properties::None),
            Pattern::EachDue(first, span_ms) => {
                let overall = (number % self.profiles.max(1)) * self.connections + self.connection;
                let offset = u128::from(overall) * u128::from(span_ms) / u128::from(self.profiles_all.max(1));
                let due = first.plus(i64::try_from(offset).expect("less than the span"));
                self.make(number, number, "due", Properties::Due(due))
            }
            Pattern::Addressed(kind) => match number % 2 {
                0 => self.make(number, number / 2, "profile.update", Properties::Email),
                _ => self.make(number, number / 2, kind, Properties::None),
            },
        }
    }

    /// The event at `place` of a sequence of carts and purchases.
    fn cart_or_purchase(&self, number: u64, place: u64) -> LoadEvent {
        let group = place / 3;
        match place % 3 {
            0 => self.make(number, group * 2, "cart_add", Properties::Cart(number)),
            1 => self.make(number, group * 2 + 1, "cart_add", Properties::Cart(number)),
            _ => match (group * 2).checked_sub(PURCHASE_LAG) {
                Some(customer) => self.make(number, customer, "purchase", Properties::None),
                // Nobody has a cart yet: an event that ends nothing.
                None => self.make(number, group * 2, "visit", Properties::None),
            },
        }
    }

    fn make(&self, number: u64, customer: u64, kind: &'static str, properties: Properties) -> LoadEvent {
        let profile = (customer % self.profiles.max(1)) * self.connections + self.connection;
        LoadEvent { number, kind, profile: Profile::Number(profile), properties }
    }
}

/// How many of `total` things, dealt out in turn, the one at `place` of `count` gets.
pub fn part(total: u64, place: u64, count: u64) -> u64 {
    total / count + u64::from(place < total % count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn profiles(events: &[LoadEvent], kind: &str) -> Vec<Profile> {
        events.iter().filter(|event| event.kind == kind).map(|event| event.profile).collect()
    }

    #[test]
    fn half_of_the_customers_buy() {
        let mut source = Source::new(Pattern::Carts, 1, 2, 1_000_000);
        let events = source.next(30_000);
        let (carts, purchases) = (profiles(&events, "cart_add"), profiles(&events, "purchase"));
        assert_eq!((carts.len(), purchases.len()), (20_000, 9_750));
        let carts: BTreeSet<_> = carts.into_iter().collect();
        assert_eq!(carts.len(), 20_000);
        assert!(purchases.iter().all(|profile| carts.contains(profile)));
    }

    #[test]
    fn connections_share_profiles_out() {
        let check = |pattern: Pattern, profiles: u64, connections: u64| {
            let mut seen = Vec::new();
            for connection in 0..connections {
                let mut source = Source::new(pattern, connection, connections, profiles);
                let count = source.events_once();
                seen.extend(source.next(count).into_iter().map(|event| event.profile));
            }
            assert_eq!(seen.len() as u64, pattern.events_for(profiles));
            let distinct: BTreeSet<_> = seen.into_iter().collect();
            assert_eq!(distinct, (0..profiles).map(Profile::Number).collect());
        };
        check(Pattern::EachCart, 10, 3);
        check(Pattern::Each("order"), 2, 3);
        check(Pattern::Addressed("order"), 7, 2);
        check(Pattern::EachDue(Millis(0), 1_000), 7, 2);
    }

    #[test]
    fn a_hot_profile_gets_its_share_and_the_others_still_buy() {
        let events = Source::new(Pattern::HotCarts(50), 0, 1, 1_000_000).next(60_000);
        let hot = events.iter().filter(|event| event.profile == Profile::Hot).count();
        let purchases = profiles(&events, "purchase").len();
        assert_eq!((hot, purchases), (30_000, 9_750));
        let cold: BTreeSet<_> = profiles(&events, "cart_add").into_iter().filter(|p| *p != Profile::Hot).collect();
        assert_eq!(cold.len(), 20_000);
    }

    #[test]
    fn timers_are_due_evenly_over_the_span() {
        let mut dues = Vec::new();
        for connection in 0..2 {
            for event in Source::new(Pattern::EachDue(Millis(100), 1_000), connection, 2, 10).next(5) {
                let Properties::Due(due) = event.properties else { panic!("no due: {event:?}") };
                dues.push(due.0);
            }
        }
        dues.sort_unstable();
        assert_eq!(dues, (0..10).map(|n| 100 + n * 100).collect::<Vec<_>>());
    }
}
