//! Resources that somebody wrote, in the place of drawn ones, and events by what they declare.

use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::expression::{Fields, Type};
use crate::domain::finding::Finding;
use crate::domain::ids::Millis;
use crate::sim::dice::Dice;
use crate::sim::workload::events::{instant, set};

/// What somebody wrote. It stays as it is published first.
#[derive(Clone, Debug)]
pub struct Given {
    /// The resources: YAML, many documents.
    pub resources: String,
    /// Names of the journeys that take entries.
    pub journeys: Vec<String>,
    /// The last of their start dates, if any has one.
    pub starts_at: Option<Millis>,
    /// Events that can be sent: type, properties, and what the documents name that name it.
    events: Vec<(String, Fields, Named)>,
    /// Attributes, by path.
    attributes: Vec<(SmolStr, Type)>,
    /// What all of them name.
    named: Named,
}

/// Values in a text: what is drawn is often one of them.
#[derive(Clone, Debug)]
struct Named {
    /// Text in expressions.
    words: Vec<String>,
    /// Integers that expressions compare with.
    numbers: Vec<i64>,
}

impl Named {
    fn read(text: &str) -> Self {
        let words = text.lines().flat_map(|line| line.split('\'').skip(1).step_by(2)).map(str::to_owned);
        let compared = text.split(['<', '>', '=']).skip(1).map(str::trim_start);
        let numbers = compared.filter_map(|text| text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        Self {
            words: std::iter::once("a".to_owned()).chain(words).collect(),
            numbers: std::iter::once(0).chain(numbers).collect(),
        }
    }

    /// What is named where an event is.
    fn with_event(resources: &str, event: &str) -> Self {
        let names =
            |document: &&str| document.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|word| word == event);
        Self::read(&resources.split("\n---\n").filter(names).collect::<Vec<_>>().join("\n"))
    }

    fn declared(&self, dice: &mut Dice, now_ms: i64, fields: &Fields) -> Map<String, Value> {
        let mut drawn = Map::new();
        for (name, declared_type) in fields {
            let value = self.value(dice, now_ms, declared_type);
            set(dice, &mut drawn, name, value);
        }
        drawn
    }

    fn value(&self, dice: &mut Dice, now_ms: i64, declared_type: &Type) -> Value {
        match declared_type {
            Type::String => Value::from(dice.pick(&self.words).clone()),
            Type::Integer => Value::from(self.number(dice)),
            Type::Number => Value::from(self.number(dice) as f64 + dice.between(-1, 1) as f64 / 2.0),
            Type::Boolean => Value::from(dice.chance(60)),
            Type::Timestamp => instant(dice, now_ms),
            Type::List(of) => (0..dice.below(4)).map(|_| self.value(dice, now_ms, of)).collect(),
            Type::Object(fields) => Value::Object(self.declared(dice, now_ms, fields)),
            Type::Duration | Type::Null => Value::Null,
        }
    }

    /// Often next to one that is named.
    fn number(&self, dice: &mut Dice) -> i64 {
        match dice.chance(50) {
            true => dice.pick(&self.numbers).saturating_add(dice.between(-1, 1)),
            false => dice.between(-2, 200),
        }
    }
}

impl Given {
    /// Reads resources.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(resources: &str) -> Result<Self, Vec<Finding>> {
        let file = SourceFile { name: "given.yaml".to_owned(), text: resources.to_owned() };
        let (catalog, _) = Catalog::default().apply(&[file], Millis(0))?;
        let events = catalog.events.iter().filter(|(_, event)| event.rule.is_none());
        let events =
            events.map(|(name, event)| (name.to_string(), event.schema.clone(), Named::with_event(resources, name)));
        Ok(Self {
            resources: resources.to_owned(),
            journeys: catalog.live.keys().map(ToString::to_string).collect(),
            starts_at: catalog.live.values().filter_map(|version| catalog.program(*version).starts_at).max(),
            events: events.collect(),
            attributes: catalog.attributes.iter().map(|(path, of)| (path.clone(), of.value_type.clone())).collect(),
            named: Named::read(resources),
        })
    }

    /// Type and properties of an event: mostly as declared.
    pub fn event(&self, dice: &mut Dice, now_ms: i64) -> (String, Map<String, Value>) {
        let (kind, fields, named) = dice.pick(&self.events);
        (kind.clone(), named.declared(dice, now_ms, fields))
    }

    /// A merge patch of the profile's document, of a few attributes or all.
    pub fn patch(&self, dice: &mut Dice, now_ms: i64) -> Map<String, Value> {
        let mut drawn = Map::new();
        let percent = *dice.pick(&[10, 50, 100]);
        for (path, declared_type) in &self.attributes {
            if !dice.chance(percent) {
                continue;
            }
            let mut names: Vec<&str> = path.split('.').collect();
            let last = names.pop().unwrap_or_default();
            let inner = names
                .into_iter()
                .try_fold(&mut drawn, |map, name| map.entry(name).or_insert_with(|| json!({})).as_object_mut());
            let value = self.named.value(dice, now_ms, declared_type);
            // None if what is above was drawn as something else.
            if let Some(inner) = inner {
                set(dice, inner, last, value);
            }
        }
        drawn
    }
}
