//! Events drawn at random: hot profiles, repeats, late times, nulls, absent and wrong properties.

use serde_json::{Map, Value, json};

use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::sim::dice::Dice;
use crate::sim::workload::journeys::ZONES;
use crate::sim::workload::{EVENT_KINDS, FEEDBACK_KINDS, Workload};

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

/// Events remembered for repeats.
const REPEATABLE: usize = 64;
const HOUR_MS: i64 = 3_600_000;

impl Workload {
    /// The next event, sent at `now_ms`. Now and then one that was sent before.
    pub fn next_event(&mut self, dice: &mut Dice, now_ms: i64) -> ScriptEvent {
        if !self.sent.is_empty() && dice.chance(6) {
            return dice.pick(&self.sent).clone();
        }
        // The smallest of three throws: a third of all events are of the first few profiles.
        let count = self.profiles.len();
        let first_of = self.unvisited.pop();
        let rank = match first_of {
            Some(rank) => rank,
            None if dice.chance(self.hot_percent) => 0,
            None => dice.index(count).min(dice.index(count)).min(dice.index(count)),
        };
        let time_ms = match dice.below(20) {
            0..4 => None,
            4..6 => Some(now_ms - dice.between(1, 72) * HOUR_MS),
            6 => Some(now_ms - dice.between(1, 5_000)),
            _ => Some(now_ms),
        };
        // What makes a profile known, where that is what matters.
        let sort = if first_of.is_some() { *dice.pick(&[0, 0, 6]) } else { dice.below(20) };
        let (kind, properties) = match sort {
            0..4 => ("profile.update", patch(dice, now_ms)),
            4 => ("noise", properties(dice, now_ms)),
            5 => ("unknown", properties(dice, now_ms)),
            6..13 => ("go", properties(dice, now_ms)),
            _ => (*dice.pick(&EVENT_KINDS), properties(dice, now_ms)),
        };
        let given = self.given.as_ref().map(|given| match kind {
            "profile.update" => (kind.to_owned(), given.patch(dice, now_ms)),
            _ => given.event(dice, now_ms),
        });
        let (kind, properties) = given.unwrap_or((kind.to_owned(), properties));
        let event = self.script(&kind, rank, time_ms, properties);
        if self.sent.len() < REPEATABLE {
            self.sent.push(event.clone());
        } else {
            let index = dice.index(REPEATABLE);
            self.sent[index] = event.clone();
        }
        event
    }

    /// An event of this type and profile, with everything as it is declared.
    pub fn event_of(&mut self, dice: &mut Dice, now_ms: i64, kind: &str, profile: &str) -> ScriptEvent {
        let properties = properties(dice, now_ms);
        let mut event = self.script(kind, 0, Some(now_ms), properties);
        event.profile = profile.to_owned();
        event
    }

    /// What the receiver of a message does with it, at `now_ms`.
    pub fn feedback(&mut self, dice: &mut Dice, now_ms: i64, (profile, delivery): (String, String)) -> ScriptEvent {
        let mut properties = properties(dice, now_ms);
        properties.insert("delivery".to_owned(), Value::from(delivery));
        if dice.chance(50) {
            let url = *dice.pick(&["https://shop.example/a", "", "mailto:x"]);
            properties.insert("url".to_owned(), Value::from(url));
        }
        if dice.chance(30) {
            properties.insert("reason".to_owned(), Value::from(*dice.pick(&["Mailbox full", "unknown"])));
        }
        let mut event = self.script(dice.pick::<&str>(&FEEDBACK_KINDS), 0, Some(now_ms), properties);
        event.profile = profile;
        event
    }

    /// Whether an event is of the profile that most events are of.
    pub fn is_hot(&self, event: &ScriptEvent) -> bool {
        self.hot_percent > 0 && event.profile == self.profiles[0]
    }

    fn script(&mut self, kind: &str, rank: usize, time_ms: Option<i64>, properties: Map<String, Value>) -> ScriptEvent {
        self.events_drawn += 1;
        let (id, kind, profile) = (format!("e{}", self.events_drawn), kind.to_owned(), self.profiles[rank].clone());
        // What lies beyond is refused before it comes to a router; on the events' clock worlds grow old.
        let time_ms = time_ms.filter(|time_ms| *time_ms < limits::EVENT_TIME_MAX.0);
        ScriptEvent { id, kind, profile, time_ms, properties }
    }
}

/// Text of an instant near `now_ms`, or a date alone.
pub(super) fn instant(dice: &mut Dice, now_ms: i64) -> Value {
    let at_ms = now_ms + dice.between(-3, 40) * HOUR_MS / 2;
    let text = Millis(at_ms).to_iso();
    Value::from(if dice.chance(10) { text[..10].to_owned() } else { text })
}

/// What some clock shows near `now_ms`, mostly without saying where: also at times that clocks skip, or show twice.
fn local(dice: &mut Dice, now_ms: i64) -> Value {
    let text = Millis(now_ms + dice.between(-3, 40) * HOUR_MS / 2).to_iso();
    let (date, time) = (&text[..10], &text[11..23]);
    Value::from(match dice.below(12) {
        0 => text.clone(),
        1 => date.to_owned(),
        2 => format!("{date}T{}+02:00", &time[..8]),
        3 => "soon".to_owned(),
        4..7 => format!("{date}T02:30"),
        7 => format!("{date}T00:00:00"),
        _ => format!("{date}T{}", &time[..5]),
    })
}

/// Something of another type than was asked for.
fn wrong(dice: &mut Dice) -> Value {
    dice.pick(&[json!("x"), json!(2.5), json!(true), json!([1, "a"]), json!({ "size": 1 }), json!(7)]).clone()
}

/// Sets `name`: mostly as declared, sometimes to null or to something else, sometimes not at all.
pub(super) fn set(dice: &mut Dice, into: &mut Map<String, Value>, name: &str, value: Value) {
    match dice.below(40) {
        0..6 => {}
        6..9 => drop(into.insert(name.to_owned(), Value::Null)),
        9 => drop(into.insert(name.to_owned(), wrong(dice))),
        _ => drop(into.insert(name.to_owned(), value)),
    }
}

fn integer(dice: &mut Dice) -> Value {
    match dice.below(30) {
        0 => Value::from(i64::MAX),
        1 => json!(4.0),
        2 => Value::from(i64::MIN),
        _ => Value::from(dice.between(-1, 5)),
    }
}

fn number(dice: &mut Dice) -> Value {
    if dice.chance(30) { Value::from(dice.between(-1, 4)) } else { json!(dice.between(-4, 12) as f64 / 4.0) }
}

fn properties(dice: &mut Dice, now_ms: i64) -> Map<String, Value> {
    let mut map = Map::new();
    let n = integer(dice);
    set(dice, &mut map, "n", n);
    let total = number(dice);
    set(dice, &mut map, "total", total);
    let tag = if dice.chance(90) { *dice.pick(&["a", "b", "c", "gold", ""]) } else { *dice.pick(&ODD) };
    set(dice, &mut map, "tag", Value::from(tag));
    let flag = Value::from(dice.chance(50));
    set(dice, &mut map, "flag", flag);
    let at = instant(dice, now_ms);
    set(dice, &mut map, "at", at);
    let local = local(dice, now_ms);
    set(dice, &mut map, "local", local);
    let mut cart = Map::new();
    let id = Value::from(*dice.pick(&["a", "k1", "gold"]));
    set(dice, &mut cart, "id", id);
    let size = integer(dice);
    set(dice, &mut cart, "size", size);
    set(dice, &mut map, "cart", Value::Object(cart));
    let items: Vec<Value> = (0..dice.below(4))
        .map(|_| match dice.below(12) {
            0 => Value::Null,
            1 => json!({ "id": "" }),
            _ => json!({ "id": *dice.pick::<&str>(&["k1", "k2", "k3", "gold"]) }),
        })
        .collect();
    set(dice, &mut map, "items", Value::Array(items));
    let tags = texts(dice);
    set(dice, &mut map, "tags", tags);
    let sizes = (0..dice.below(5)).map(|_| if dice.chance(95) { integer(dice) } else { wrong(dice) }).collect();
    set(dice, &mut map, "sizes", Value::Array(sizes));
    if dice.chance(10) {
        map.insert("undeclared".to_owned(), json!({ "deep": [1, null, { "x": "y" }] }));
    }
    map
}

/// Texts whose letters are not all small and English.
const ODD: [&str; 7] = ["k7", "Éa", " k12 ", "ß", "Ann Lee", "a\"b\\", "GOLD"];

/// A list of texts: now and then with something else in it.
fn texts(dice: &mut Dice) -> Value {
    let item = |dice: &mut Dice| match dice.below(25) {
        0 => Value::Null,
        1 => wrong(dice),
        2 => Value::from(*dice.pick(&ODD)),
        _ => Value::from(*dice.pick(&["a", "b", "gold", "k1"])),
    };
    (0..dice.below(5)).map(|_| item(dice)).collect()
}

/// A merge patch of the profile's document.
fn patch(dice: &mut Dice, now_ms: i64) -> Map<String, Value> {
    let mut map = Map::new();
    let tier = Value::from(*dice.pick(&["gold", "a", "b"]));
    set(dice, &mut map, "tier", tier);
    let zone = Value::from(if dice.chance(85) { *dice.pick(&ZONES) } else { "Mars/Olympus" });
    set(dice, &mut map, "timezone", zone);
    let points = integer(dice);
    set(dice, &mut map, "points", points);
    let score = number(dice);
    set(dice, &mut map, "score", score);
    let renewal = instant(dice, now_ms);
    set(dice, &mut map, "renewal", renewal);
    let email = Value::from(*dice.pick(&["ann@example.com", "bob@example.com", ""]));
    set(dice, &mut map, "email", email);
    let badges = texts(dice);
    set(dice, &mut map, "badges", badges);
    let mut consents = Map::new();
    let given = Value::from(dice.chance(60));
    set(dice, &mut consents, "email", given);
    set(dice, &mut consents, "sms", Value::from(true));
    set(dice, &mut map, "consents", Value::Object(consents));
    // Most updates are about little.
    let kept = dice.index(4);
    if dice.chance(70) {
        let names: Vec<String> = map.keys().cloned().collect();
        for (place, name) in names.into_iter().enumerate() {
            if place % 4 != kept {
                map.remove(&name);
            }
        }
    }
    map
}
