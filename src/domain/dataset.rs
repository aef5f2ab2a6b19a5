//! Datasets: records that journeys look up by key. They are part of the catalog, so that a look-up is a decision like any
//! other: it reads no clock, waits for nobody, and comes out the same whenever it is made again.
//!
//! INVARIANT: every record has its key as a text that is not empty, and no field that is not declared or of another type than
//! declared; the bounds of `limits` hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::expression::{Fields, Type};
use crate::domain::ids::Millis;
use crate::domain::journey::action::declared;
use crate::domain::limits;
use crate::domain::value::{Map, Value};

/// What expressions read of a look-up: the records found.
pub const ENTITIES: &str = "entities";

/// A dataset and its records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name.
    pub name: SmolStr,
    /// The field that names a record.
    pub key: SmolStr,
    /// Its fields: texts, numbers, truth values and instants.
    pub schema: Fields,
    /// Records by key.
    pub records: BTreeMap<SmolStr, Record>,
}

/// Fields of one record, as stored.
pub type Record = Vec<(SmolStr, Leaf)>;

/// A value of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaf {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Str(SmolStr),
    /// An instant.
    Time(Millis),
}

impl Leaf {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Int(number) => Self::Int(*number),
            Value::Float(number) => Self::Float(*number),
            Value::Str(text) => Self::Str(text.clone()),
            Value::Time(at) => Self::Time(*at),
            Value::Null | Value::List(_) | Value::Map(_) => return None,
        })
    }

    /// As expressions read it.
    fn value(&self) -> Value {
        match self {
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Str(text) => Value::Str(text.clone()),
            Self::Time(at) => Value::Time(*at),
        }
    }

    fn fits(&self, declared: &Type) -> bool {
        matches!(
            (self, declared),
            (Self::Bool(_), Type::Boolean)
                | (Self::Int(_), Type::Integer)
                | (Self::Float(_), Type::Number)
                | (Self::Str(_), Type::String)
                | (Self::Time(_), Type::Timestamp)
        )
    }

    /// Bytes of it, about as it is stored.
    fn weight(&self) -> usize {
        if let Self::Str(text) = self { text.len() } else { size_of::<i64>() }
    }
}

/// Why records can't be taken. None of them was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// No dataset has this name.
    #[error("there is no dataset `{0}`")]
    Unknown(String),
    /// A record has no key.
    #[error("record {number} has no text as `{key}`, its key")]
    NoKey {
        /// From 1.
        number: usize,
        /// The field.
        key: SmolStr,
    },
    /// Two records have the same key.
    #[error("record {number} has the key `{key}`, as one before it has")]
    SameKey {
        /// From 1.
        number: usize,
        /// The key.
        key: SmolStr,
    },
    /// A field that the schema does not have.
    #[error("record {number} has the field `{field}`, which is not declared")]
    Undeclared {
        /// From 1.
        number: usize,
        /// The field.
        field: SmolStr,
    },
    /// A value of another type.
    #[error("field `{field}` of record {number} is not of its declared type")]
    WrongType {
        /// From 1.
        number: usize,
        /// The field.
        field: String,
    },
    /// More records than a dataset may hold.
    #[error("more than {} records", limits::DATASET_RECORDS_MAX)]
    TooMany,
    /// All datasets together would be too large.
    #[error("all datasets together would take {bytes} bytes, and {} are allowed", limits::DATASETS_BYTES_MAX)]
    TooLarge {
        /// How many.
        bytes: usize,
    },
}

impl Dataset {
    /// Takes `records` in place of those it has.
    ///
    /// # Errors
    /// One of them is not as declared, or there are too many; nothing has changed then.
    pub fn fill(&mut self, records: Vec<Map>) -> Result<(), RecordsError> {
        if records.len() > limits::DATASET_RECORDS_MAX {
            return Err(RecordsError::TooMany);
        }
        let mut by_key = BTreeMap::new();
        for (index, record) in records.into_iter().enumerate() {
            let number = index + 1;
            if let Some((field, _)) = record.0.iter().find(|(name, _)| !self.schema.iter().any(|(n, _)| n == name)) {
                return Err(RecordsError::Undeclared { number, field: field.clone() });
            }
            let wrong = |field| RecordsError::WrongType { number, field };
            let record = declared(&record, &self.schema).map_err(wrong)?;
            let key = match record.get(&self.key) {
                Some(Value::Str(key)) if !key.is_empty() => key.clone(),
                _ => return Err(RecordsError::NoKey { number, key: self.key.clone() }),
            };
            let leaves = record.0.iter().filter_map(|(name, value)| Some((name.clone(), Leaf::of(value)?))).collect();
            if by_key.insert(key.clone(), leaves).is_some() {
                return Err(RecordsError::SameKey { number, key });
            }
        }
        self.records = by_key;
        Ok(())
    }

    /// Bytes of its records, about as they are stored.
    pub fn weight(&self) -> usize {
        let of_record = |record: &Record| record.iter().map(|(name, leaf)| name.len() + leaf.weight()).sum::<usize>();
        self.records.iter().map(|(key, record)| key.len() + of_record(record)).sum()
    }

    /// Its records as they could be given: instants are texts there.
    pub fn given(&self) -> Vec<Map> {
        let given = |leaf: &Leaf| match leaf {
            Leaf::Time(at) => Value::Str(SmolStr::new(at.to_iso())),
            other => other.value(),
        };
        let of_record = |record: &Record| Map(record.iter().map(|(name, leaf)| (name.clone(), given(leaf))).collect());
        self.records.values().map(of_record).collect()
    }

    /// These fields of the records with `keys`, in the order of the keys; a key that no record has is left out.
    ///
    /// # Errors
    /// The name of a value that is not of the type in `fields`: the dataset was declared anew since.
    pub fn look_up<'k>(&self, keys: impl Iterator<Item = &'k str>, fields: &Fields) -> Result<Vec<Value>, SmolStr> {
        let mut found = Vec::new();
        for record in keys.filter_map(|key| self.records.get(key)) {
            let mut entity = Map::new();
            for (name, declared) in fields {
                match record.iter().find(|(known, _)| known == name) {
                    Some((_, leaf)) if leaf.fits(declared) => entity.insert(name.clone(), leaf.value()),
                    Some(_) => return Err(name.clone()),
                    None => {}
                }
            }
            found.push(Value::Map(entity));
        }
        Ok(found)
    }
}

/// Whether a field of a dataset may have this type.
pub fn is_leaf(field: &Type) -> bool {
    !matches!(field, Type::List(_) | Type::Object(_) | Type::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset() -> Dataset {
        let schema =
            vec![("sku".into(), Type::String), ("price".into(), Type::Number), ("since".into(), Type::Timestamp)];
        Dataset { name: "products".into(), key: "sku".into(), schema, records: BTreeMap::new() }
    }

    fn record(json: &serde_json::Value) -> Map {
        match Value::from_json(json) {
            Value::Map(map) => map,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_are_found_by_key_in_the_order_asked() {
        let mut products = dataset();
        let given = ["a", "b", "c"].map(|sku| record(&serde_json::json!({ "sku": sku, "price": 3 })));
        products.fill(given.into()).expect("fits");
        let fields = vec![("price".into(), Type::Number)];
        let found = products.look_up(["c", "x", "a", "c"].into_iter(), &fields).expect("as declared");
        let price = Value::Map(Map(vec![("price".into(), Value::Float(3.0))]));
        assert_eq!(found, [price.clone(), price.clone(), price], "`x` is no key, and `c` was asked for twice");
        let other = vec![("price".into(), Type::String)];
        assert_eq!(products.look_up(["a"].into_iter(), &other), Err("price".into()));
    }

    #[test]
    fn what_is_not_as_declared_changes_nothing() {
        let mut products = dataset();
        let good = record(&serde_json::json!({ "sku": "a", "price": 1.5, "since": "2026-01-05T09:00:00Z" }));
        products.fill(vec![good.clone()]).expect("fits");
        let before = products.clone();
        let number = 2;
        for (json, error) in [
            (serde_json::json!({ "price": 1 }), RecordsError::NoKey { number, key: "sku".into() }),
            (serde_json::json!({ "sku": "" }), RecordsError::NoKey { number, key: "sku".into() }),
            (serde_json::json!({ "sku": 7 }), RecordsError::WrongType { number, field: "sku".into() }),
            (serde_json::json!({ "sku": "a" }), RecordsError::SameKey { number, key: "a".into() }),
            (serde_json::json!({ "sku": "b", "x": 1 }), RecordsError::Undeclared { number, field: "x".into() }),
            (
                serde_json::json!({ "sku": "b", "price": "1" }),
                RecordsError::WrongType { number, field: "price".into() },
            ),
        ] {
            assert_eq!(products.fill(vec![good.clone(), record(&json)]), Err(error), "{json}");
            assert_eq!(products, before);
        }
        assert_eq!(products.fill(vec![good; limits::DATASET_RECORDS_MAX + 1]), Err(RecordsError::TooMany));
    }
}
