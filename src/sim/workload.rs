//! What the simulator does to the engine: journeys drawn from the whole language, the events that walk them, and the changes
//! of what is published. Owns chance and text; knows nothing of what the engine should make of it.
//!
//! INVARIANT: everything drawn is valid: resources pass `check`, events pass validation.

mod durations;
mod events;
mod expressions;
mod functions;
mod given;
mod journeys;
mod pauses;
mod supplies;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::sim::dice::Dice;
use durations::drawn_duration;
use expressions::{Roots, condition};
use journeys::{Journey, Origin};
use supplies::{FRAGMENTS, RULE_SETS, RULED, Supplies};

pub use events::ScriptEvent;
pub use given::Given;
pub use pauses::{Pausing, terms};

/// Types of events that journeys may name. `noise` is declared and no journey names it; `unknown` is not even declared.
pub const EVENT_KINDS: [&str; 4] = ["go", "buy", "view", "leave"];

/// Feedback that nodes may await, what is usual more often.
pub const FEEDBACK_KINDS: [&str; 12] = [
    "message.opened",
    "message.clicked",
    "message.opened",
    "message.clicked",
    "message.opened",
    "message.clicked",
    "message.opened",
    "message.clicked",
    "message.delivered",
    "message.bounced",
    "message.complained",
    "message.unsubscribed",
];

/// A drawn set of resources, and the source of events and changes that go with it.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Everything published at first: YAML, many documents.
    pub resources: String,
    /// Profiles, the hottest first.
    pub profiles: Vec<String>,
    /// Of 100 events, those of the first profile.
    pub hot_percent: u64,
    /// Profiles, by rank, that have an event before any has two.
    pub unvisited: Vec<usize>,
    journeys: Vec<Journey>,
    /// How often each message was reworded, by its place in [`MESSAGES`].
    wordings: [u32; MESSAGES.len()],
    journeys_drawn: u32,
    /// Names of those published first: the ones that are surely known later.
    first_names: Vec<String>,
    /// By name: the journeys published first.
    origins: BTreeMap<String, Origin>,
    events_drawn: u64,
    /// Events that may come again under their ids.
    sent: Vec<ScriptEvent>,
    supplies: Supplies,
    /// What was given instead of drawn.
    pub given: Option<Given>,
}

/// An order about a journey that needs no resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Those inside leave at once.
    Stop(String),
    /// Nobody enters any more.
    Close(String),
}

/// Messages: name, and the way they leave.
const MESSAGES: [(&str, &str); 4] = [("hello", "log"), ("reminder", "log"), ("hook", "webhook"), ("letter", "email")];

impl Workload {
    /// Draws journeys, their messages and the profiles that will walk them.
    pub fn generate(dice: &mut Dice) -> Self {
        let profiles = (0..dice.between(1, 12)).map(|n| format!("crm:{n}")).collect();
        let mut workload = Self {
            resources: String::new(),
            profiles,
            hot_percent: 0,
            unvisited: Vec::new(),
            journeys: Vec::new(),
            wordings: [0; MESSAGES.len()],
            journeys_drawn: 0,
            first_names: Vec::new(),
            origins: BTreeMap::new(),
            events_drawn: 0,
            sent: Vec::new(),
            supplies: Supplies::draw(dice),
            given: None,
        };
        let names: Vec<String> = (0..dice.between(1, 5)).map(|_| workload.next_name(dice)).collect();
        workload.first_names.clone_from(&names);
        for name in names {
            workload.journeys.push(Journey::draw(dice, name, &workload.first_names));
        }
        workload.origins =
            workload.journeys.iter().map(|journey| (journey.name.clone(), Origin::of(journey))).collect();
        workload.resources = workload.text();
        workload
    }

    /// Changed resources to publish while journeys run. None where nothing is to change now.
    pub fn next_publish(&mut self, dice: &mut Dice) -> Option<String> {
        match dice.below(10) {
            _ if self.given.is_some() => return None,
            0 => return None,
            1 => self.supplies.redraw(dice),
            2 => {
                // Rewording a message makes new versions of the live journeys that send it, in the files or not.
                let index = dice.index(MESSAGES.len());
                self.wordings[index] += 1;
                if dice.chance(50) {
                    return Some(format!("{}{}", self.supplies.prelude(), self.message_text(index)));
                }
            }
            3 if self.journeys.len() < 8 => self.add_journey(dice),
            _ => {
                let index = dice.index(self.journeys.len());
                let before = &self.journeys[index];
                let (name, reentry_ms) = (before.name.clone(), before.reentry_ms);
                let mut next = match dice.chance(40) {
                    true => before.retimed(dice),
                    false => Journey::draw(dice, name.clone(), &self.first_names),
                };
                next.reentry_ms = reentry_ms;
                self.journeys[index] = next;
                if let Some(origin) = self.origins.get_mut(&name) {
                    self.journeys[index].dispose(dice, origin);
                }
                if dice.chance(50) {
                    // What is in no file any more stays published.
                    return Some(format!("{}---\n{}", self.text_without_journeys(), self.journeys[index].text()));
                }
            }
        }
        Some(self.text())
    }

    /// Resources to keep as drafts: what is published, with one journey drawn anew or an own one, and now and then a message
    /// in other words. Nothing of it counts as published afterwards.
    pub fn next_draft(&mut self, dice: &mut Dice) -> String {
        if let Some(given) = &self.given {
            return given.resources.clone();
        }
        let index = dice.index(self.journeys.len());
        let (name, reentry_ms) = (self.journeys[index].name.clone(), self.journeys[index].reentry_ms);
        let mut journey = Journey::draw(dice, name.clone(), &self.first_names);
        journey.reentry_ms = reentry_ms;
        if dice.chance(40) {
            journey.begin_with_split();
        }
        if let Some(origin) = self.origins.get_mut(&name) {
            journey.dispose(dice, origin);
        }
        let wordings = self.wordings;
        if dice.chance(40) {
            self.wordings[dice.index(MESSAGES.len())] += 1_000;
        }
        let text = format!("{}---\n{}", self.text_without_journeys(), journey.text());
        self.wordings = wordings;
        text
    }

    /// Profiles to walk in tests: some of the hottest.
    pub fn next_flagged(&self, dice: &mut Dice) -> Vec<String> {
        let count = 1 + dice.index(self.profiles.len().min(6));
        self.profiles.iter().take(count).cloned().collect()
    }

    /// A journey to stop or close, of those ever drawn.
    pub fn next_closing(&mut self, dice: &mut Dice) -> Option<Closing> {
        let name = self.any_journey(dice);
        match dice.below(3) {
            0 => None,
            1 => Some(Closing::Stop(name)),
            _ => Some(Closing::Close(name)),
        }
    }

    /// The name of a journey.
    fn any_journey(&self, dice: &mut Dice) -> String {
        match &self.given {
            Some(given) => dice.pick(&given.journeys).clone(),
            None => dice.pick(&self.journeys).name.clone(),
        }
    }

    /// How long until the next event, in milliseconds: often none at all, and often exactly as long as something in a
    /// journey takes, give or take one.
    pub fn next_gap_ms(&self, dice: &mut Dice) -> i64 {
        match dice.below(20) {
            0..7 => 0,
            7..9 => dice.between(1, 1_000),
            9..12 => dice.between(0, 10) * 60_000,
            12 => dice.between(1, 48) * 3_600_000,
            13 => dice.between(1, 40) * 86_400_000,
            _ => {
                let spans: Vec<i64> = self.journeys.iter().flat_map(Journey::spans_ms).collect();
                (dice.pick(&spans) + dice.between(-1, 1)).max(0)
            }
        }
    }

    fn add_journey(&mut self, dice: &mut Dice) {
        let name = self.next_name(dice);
        self.journeys.push(Journey::draw(dice, name, &self.first_names));
    }

    /// Names in no order, so that the order of publishing and of names differ.
    fn next_name(&mut self, dice: &mut Dice) -> String {
        let name = format!("{}{}", dice.pick(&["j", "a-", "z.", "_m"]), self.journeys_drawn);
        self.journeys_drawn += 1;
        name
    }

    /// A message. Every other rewording changes its form alone.
    fn message_text(&self, index: usize) -> String {
        let (name, channel) = MESSAGES[index];
        let (body, is_other) = (self.wordings[index] / 2, self.wordings[index] % 2 == 1);
        let form = match (channel, is_other) {
            ("email", false) => "channel: email\nsurface: mails\nsubject: \"Hi {{ profile.tier }}\"",
            ("email", true) => "channel: email\nsurface: mails\nsubject: \"Hi {{ profile.tier }}\"\nformat: html",
            ("webhook", false) => "channel: webhook\nsurface: hooks",
            ("webhook", true) => "channel: webhook\nsurface: hooks\nformat: text",
            (_, false) => "channel: log",
            (_, true) => "channel: log\nformat: json",
        };
        let tag = if channel == "email" && body % 2 == 1 { "<p>" } else { "" };
        format!(
            "---\nkind: message\nname: {name}\n{form}\nbody: \"{tag}{body} {{{{ event.n }}}} {{{{ last.total }}}} {{{{ profile.consents.email }}}} {{{{ profile.tier|upper }}}} {{{{ meta.id }}}} {{{{ event.cart.id }}}}\"\n"
        )
    }

    fn text_without_journeys(&self) -> String {
        let mut text = self.supplies.text();
        for index in 0..MESSAGES.len() {
            text.push_str(&self.message_text(index));
        }
        text
    }

    fn text(&self) -> String {
        let mut text = self.text_without_journeys();
        for journey in &self.journeys {
            text.push_str("---\n");
            text.push_str(&journey.text());
        }
        text
    }
}
