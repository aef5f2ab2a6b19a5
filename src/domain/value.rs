//! Dynamic values: properties of events, fields of profile documents, results of expressions.
//! Decoding from MessagePack and JSON lives in `wire`; this file owns the shape and its laws (RFC 7396 merge).

use smol_str::SmolStr;

use crate::domain::ids::Millis;

/// A dynamic value. Maps keep insertion order and have unique keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Absent and null are one thing; `has()` tells a null field from none.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// UTF-8 text.
    Str(SmolStr),
    /// An instant, UTC.
    Time(Millis),
    /// A list.
    List(Vec<Value>),
    /// A map with unique keys.
    Map(Map),
}

/// A map with text keys; small, so look-ups are linear. It keeps the order in which keys came, which means nothing: what a
/// recovery puts together again may have another.
#[derive(Clone, Debug, Default)]
pub struct Map(pub Vec<(SmolStr, Value)>);

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl Map {
    /// An empty map to refer to.
    pub const EMPTY: &'static Self = &Self::new();

    /// An empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value under `key`, if the key is there (it may be [`Value::Null`]).
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Sets `key`, replacing what was there.
    pub fn insert(&mut self, key: impl Into<SmolStr>, value: Value) {
        let key = key.into();
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((key, value)),
        }
    }

    /// Removes `key`; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(k, _)| k != key);
        self.0.len() != before
    }

    /// The value at a path of nested keys.
    pub fn path(&self, path: &[SmolStr]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        let value = self.get(first)?;
        match (rest.is_empty(), value) {
            (true, value) => Some(value),
            (false, Value::Map(map)) => map.path(rest),
            (false, _) => None,
        }
    }

    /// Sets the value at a path, making the maps on the way (replacing what is no map).
    pub fn insert_path(&mut self, path: &[SmolStr], value: Value) {
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.insert(first.clone(), value);
            return;
        }
        if !matches!(self.get(first), Some(Value::Map(_))) {
            self.insert(first.clone(), Value::Map(Self::new()));
        }
        if let Some((_, Value::Map(inner))) = self.0.iter_mut().find(|(k, _)| k == first) {
            inner.insert_path(rest, value);
        }
    }

    /// Merges `patch` into this map by RFC 7396: deep, null deletes.
    pub fn merge(&mut self, patch: &Map) {
        for (key, change) in &patch.0 {
            match change {
                Value::Null => {
                    self.remove(key);
                }
                Value::Map(inner) => {
                    let mut target = match self.get(key) {
                        Some(Value::Map(existing)) => existing.clone(),
                        _ => Self::new(),
                    };
                    target.merge(inner);
                    self.insert(key.clone(), Value::Map(target));
                }
                other => self.insert(key.clone(), other.clone()),
            }
        }
    }

    /// About how many bytes it holds: for limits.
    pub fn weight(&self) -> usize {
        self.0.iter().map(|(k, v)| k.len() + 2 + v.weight()).sum()
    }

    /// Names in the largest map: this one or any inside it.
    pub fn names_max(&self) -> usize {
        self.0.iter().map(|(_, value)| value.names_max()).fold(self.0.len(), usize::max)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value {
    /// About how many bytes it holds.
    pub fn weight(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 1,
            Self::Int(_) | Self::Float(_) | Self::Time(_) => 9,
            Self::Str(s) => s.len() + 2,
            Self::List(items) => 3 + items.iter().map(Self::weight).sum::<usize>(),
            Self::Map(map) => 3 + map.weight(),
        }
    }

    fn names_max(&self) -> usize {
        match self {
            Self::List(items) => items.iter().map(Self::names_max).max().unwrap_or(0),
            Self::Map(map) => map.names_max(),
            _ => 0,
        }
    }

    /// Text of this value as a template shows it: nothing for null, ISO-8601 for instants.
    pub fn to_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(b) => b.to_string(),
            Self::Int(i) => i.to_string(),
            Self::Float(f) => f.to_string(),
            Self::Str(s) => s.to_string(),
            Self::Time(t) => t.to_iso(),
            Self::List(_) | Self::Map(_) => self.to_json().to_string(),
        }
    }

    /// As JSON; instants become ISO-8601 text, numbers that JSON lacks become null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(i) => Json::from(*i),
            Self::Float(f) => serde_json::Number::from_f64(*f).map_or(Json::Null, Json::Number),
            Self::Str(s) => Json::String(s.to_string()),
            Self::Time(t) => Json::String(t.to_iso()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(map) => Json::Object(map.0.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect()),
        }
    }

    /// From JSON. Whole numbers beyond 64 bits become doubles.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => n.as_i64().map_or_else(|| n.as_f64().map_or(Self::Null, Self::Float), Self::Int),
            Json::String(s) => Self::Str(SmolStr::new(s)),
            Json::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => {
                Self::Map(Map(map.iter().map(|(k, v)| (SmolStr::new(k), Self::from_json(v))).collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: &str) -> Map {
        match Value::from_json(&serde_json::from_str(json).expect("json")) {
            Value::Map(map) => map,
            other => panic!("not a map: {other:?}"),
        }
    }

    /// RFC 7396, appendix A, the rows whose target and patch are objects.
    #[test]
    fn the_order_of_keys_means_nothing() {
        let map = |pairs: &[(&str, i64)]| Map(pairs.iter().map(|(k, n)| (SmolStr::new(k), Value::Int(*n))).collect());
        assert_eq!(map(&[("a", 1), ("b", 2)]), map(&[("b", 2), ("a", 1)]));
        assert_ne!(map(&[("a", 1), ("b", 2)]), map(&[("b", 1), ("a", 2)]));
        assert_ne!(map(&[("a", 1), ("b", 2)]), map(&[("a", 1)]));
        assert_ne!(map(&[("a", 1)]), map(&[("a", 1), ("b", 2)]));
    }

    #[test]
    fn merges_as_rfc_7396() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r"{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r"{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let mut merged = map(target);
            merged.merge(&map(patch));
            assert_eq!(merged, map(result), "{target} + {patch}");
        }
    }

    #[test]
    fn paths_reach_nested_fields() {
        let mut m = map(r#"{"a":{"b":{"c":1}},"s":"x"}"#);
        let path: Vec<SmolStr> = ["a", "b", "c"].iter().map(|s| SmolStr::new(*s)).collect();
        assert_eq!(m.path(&path), Some(&Value::Int(1)));
        assert_eq!(m.path(&["s".into(), "t".into()]), None);
        m.insert_path(&["s".into(), "t".into()], Value::Bool(true));
        assert_eq!(m.path(&["s".into(), "t".into()]), Some(&Value::Bool(true)));
    }
}
