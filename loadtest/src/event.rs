//! One event of the load, small until it is sent, and its form in each feed. Names are plain ASCII, so nothing needs
//! escaping. No randomness: two runs send the same.

use std::io::Write as _;

use bytes::Bytes;
use smol_str::{SmolStr, format_smolstr};
use sojourn::domain::event::Event;
use sojourn::domain::ids::Millis;
use sojourn::domain::value::{Map, Value};
use sojourn::transport::grpc::proto;
use sojourn::transport::grpc::proto::event::PropertiesForm;
use sojourn::wire::value::put_map;

/// Different carts: their properties are encoded once.
const CARTS: usize = 64;

/// Whose event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// One of many.
    Number(u64),
    /// The one that gets a large share.
    Hot,
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Properties {
    /// Nothing.
    None,
    /// A total; the number picks one of a few.
    Cart(u64),
    /// An instant.
    Due(Millis),
    /// The address of its profile.
    Email,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadEvent {
    /// Its place among the events of its connection.
    pub number: u64,
    /// Its type.
    pub kind: &'static str,
    /// Whose.
    pub profile: Profile,
    /// What it says.
    pub properties: Properties,
}

/// What the names of one connection's events have in common, and properties encoded once.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Makes ids and profiles of a run differ from those of earlier ones on the same server.
    tag: SmolStr,
    connection: u64,
    carts: Vec<Bytes>,
    empty: Bytes,
}

impl Encoder {
    /// For one connection.
    pub fn new(tag: &str, connection: u64) -> Self {
        let carts = (0..CARTS).map(|n| packed("total", Value::Float(total(n as u64)))).collect();
        let mut empty = Vec::new();
        put_map(&mut empty, &Map(Vec::new()));
        Self { tag: tag.into(), connection, carts, empty: empty.into() }
    }

    fn id(&self, event: &LoadEvent) -> SmolStr {
        format_smolstr!("{}{}-{}", self.tag, self.connection, event.number)
    }

    fn profile(&self, event: &LoadEvent) -> SmolStr {
        match event.profile {
            Profile::Number(number) => format_smolstr!("crm:{}{number}", self.tag),
            Profile::Hot => format_smolstr!("crm:{}hot", self.tag),
        }
    }

    fn email(&self, event: &LoadEvent) -> String {
        match event.profile {
            Profile::Number(number) => format!("c{}{number}@example.test", self.tag),
            Profile::Hot => format!("c{}hot@example.test", self.tag),
        }
    }

    fn packed(&self, event: &LoadEvent) -> Bytes {
        match event.properties {
            Properties::None => self.empty.clone(),
            Properties::Cart(number) => self.carts[number as usize % CARTS].clone(),
            Properties::Due(due) => packed("due", Value::Time(due)),
            Properties::Email => packed("email", Value::Str(self.email(event).into())),
        }
    }

    /// For the TCP feed.
    pub fn event(&self, event: &LoadEvent) -> Event {
        Event {
            id: self.id(event),
            kind: SmolStr::new_static(event.kind),
            profile: self.profile(event),
            time: None,
            properties: self.packed(event),
        }
    }

    /// For gRPC.
    pub fn message(&self, event: &LoadEvent) -> proto::Event {
        proto::Event {
            id: self.id(event).into(),
            r#type: event.kind.to_owned(),
            profile: self.profile(event).into(),
            time: None,
            properties_form: Some(PropertiesForm::PropertiesMsgpack(self.packed(event))),
        }
    }

    /// Appends a line of NDJSON.
    pub fn line(&self, out: &mut Vec<u8>, event: &LoadEvent) {
        let (id, profile, kind) = (self.id(event), self.profile(event), event.kind);
        let written =
            write!(out, r#"{{"id":"{id}","type":"{kind}","profile":"{profile}","properties":"#).and_then(|()| {
                match event.properties {
                    Properties::None => write!(out, "{{}}"),
                    Properties::Cart(number) => write!(out, r#"{{"total":{:?}}}"#, total(number)),
                    Properties::Due(due) => write!(out, r#"{{"due":"{}"}}"#, due.to_iso()),
                    Properties::Email => write!(out, r#"{{"email":"{}"}}"#, self.email(event)),
                }
            });
        written.expect("a vector takes everything");
        out.extend_from_slice(b"}\n");
    }
}

/// What a cart is worth: always enough to enter.
fn total(number: u64) -> f64 {
    50.0 + (number % CARTS as u64) as f64
}

fn packed(name: &str, value: Value) -> Bytes {
    let mut bytes = Vec::new();
    put_map(&mut bytes, &Map(vec![(name.into(), value)]));
    bytes.into()
}

#[cfg(test)]
mod tests {
    use sojourn::wire::event::{BatchFormat, decode_json_batch, properties_to_map};

    use super::*;

    /// The three forms of an event say the same.
    fn check(profile: Profile, properties: Properties) {
        let encoder = Encoder::new("t-", 3);
        let made = LoadEvent { number: 7, kind: "cart_add", profile, properties };
        let event = encoder.event(&made);
        let message = encoder.message(&made);
        let mut line = Vec::new();
        encoder.line(&mut line, &made);
        let read = decode_json_batch(&line, BatchFormat::Ndjson).expect("a batch").remove(0).expect("an event");
        assert_eq!((&event.id, &event.kind, &event.profile), (&read.id, &read.kind, &read.profile));
        assert_eq!((message.id.as_str(), message.profile.as_str()), (event.id.as_str(), event.profile.as_str()));
        assert_eq!(message.properties_form, Some(PropertiesForm::PropertiesMsgpack(event.properties.clone())));
        let (sent, read) = (properties_to_map(&event.properties), properties_to_map(&read.properties));
        match properties {
            // Text in JSON; the schema makes it an instant.
            Properties::Due(_) => assert_ne!(sent, read),
            _ => assert_eq!(sent, read),
        }
    }

    #[test]
    fn all_feeds_send_the_same() {
        check(Profile::Number(1), Properties::Cart(70));
        check(Profile::Hot, Properties::None);
        check(Profile::Number(2), Properties::Email);
        check(Profile::Number(2), Properties::Due(Millis(1_700_000_000_123)));
    }
}
