//! A small fixed set of journeys that has every kind of node, and events that walk them.

use serde_json::{Map, Value, json};

use crate::sim::dice::Dice;

/// An event of the script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScriptEvent {
    /// Producer's id.
    pub id: String,
    /// Type.
    pub kind: String,
    /// `namespace:value`.
    pub profile: String,
    /// `event.time` in milliseconds, if it says one.
    pub time_ms: Option<i64>,
    /// Properties.
    pub properties: Map<String, Value>,
}

/// Journeys and profiles.
#[derive(Clone, Debug)]
pub struct Script {
    /// What is published at first.
    pub resources: String,
    /// Profiles, the hottest first.
    pub profiles: Vec<String>,
    drawn: u64,
    version: u32,
}

impl Script {
    /// Profiles by chance, journeys as they are.
    pub fn generate(dice: &mut Dice) -> Self {
        let count = if dice.chance(20) { 1_500 } else { dice.between(2, 60) };
        let profiles = (0..count).map(|n| format!("crm:{n}")).collect();
        Self { resources: resources(30), profiles, drawn: 0, version: 30 }
    }

    /// The next event, sent at `now_ms`.
    pub fn next_event(&mut self, dice: &mut Dice, now_ms: i64) -> ScriptEvent {
        self.drawn += 1;
        let hot = dice.chance(40);
        let rank = if hot { dice.index(self.profiles.len().min(4)) } else { dice.index(self.profiles.len()) };
        let kind = *dice.pick(&["go", "go", "go", "look", "look", "buy", "ping", "profile.update"]);
        let mut properties = Map::new();
        if kind == "profile.update" {
            properties.insert("email".to_owned(), json!(format!("p{rank}@example.com")));
            properties.insert("tier".to_owned(), json!(*dice.pick(&["gold", "none"])));
        } else {
            properties.insert("total".to_owned(), json!(dice.between(0, 100) as f64));
        }
        let time_ms = match dice.below(10) {
            0 => Some(now_ms - dice.between(0, 100) * 3_600_000),
            _ => Some(now_ms),
        };
        ScriptEvent {
            id: format!("e{}", self.drawn),
            kind: kind.to_owned(),
            profile: self.profiles[rank].clone(),
            time_ms,
            properties,
        }
    }

    /// Changed journeys to publish.
    pub fn next_publish(&mut self) -> String {
        self.version += 1;
        resources(self.version)
    }
}

fn resources(minutes: u32) -> String {
    let mut text = String::new();
    for name in ["go", "look", "buy"] {
        text.push_str(&format!("kind: event\nname: {name}\nschema: {{ total: number }}\n---\n"));
    }
    text.push_str(&REST.replace("MINUTES", &minutes.to_string()));
    text
}

const REST: &str = r#"kind: attribute
name: tier
type: string
---
kind: attribute
name: email
type: string
---
kind: surface
name: hooks
channel: webhook
webhook: { url: "http://127.0.0.1:9/hooks", allow_private: true }
---
kind: surface
name: mails
channel: email
smtp: { host: 127.0.0.1, port: 25, from: "shop@example.com" }
---
kind: message
name: note
channel: log
body: "note {{ event.total }} {{ profile.tier }}"
---
kind: message
name: hook
channel: webhook
surface: hooks
body: "{{ event.total }}"
---
kind: message
name: letter
channel: email
surface: mails
subject: "Hello"
body: "Hello {{ profile.tier }}, {{ event.total }}"
---
kind: journey
name: main
entry: { event: go, when: event.total >= 10.0 }
reentry: { after: 5m }
exit: [ { event: buy } ]
timeout: 20d
start: pause
nodes:
  pause: { wait: MINUTESm, then: worth }
  worth:
    condition:
      - { when: event.total >= 60.0, then: letter }
      - { when: "profile.tier == 'gold'", then: hook }
    otherwise: note
  letter: { message: letter, then: looks }
  hook: { message: hook, then: looks }
  note: { message: note, then: looks }
  looks: { event: look, within: 2d, then: second, on_timeout: note_again }
  note_again: { message: note, then: long }
  second: { message: letter, then: long }
  long: { wait: 3d, then: done }
  done: { end: true }
---
kind: journey
name: short
entry: { event: look }
reentry: { after: 6m }
exit: [ { event: buy, when: event.total >= 50.0 } ]
start: hook
nodes:
  hook: { message: hook, then: blink }
  blink: { wait: 2s, then: letter }
  letter: { message: letter, then: hours }
  hours: { wait: 5h, then: done }
  done: { end: true }
---
kind: journey
name: never
entry: { event: go }
reentry: never
start: months
nodes:
  months: { wait: 9d, then: note }
  note: { message: note, then: done }
  done: { end: true }
"#;
