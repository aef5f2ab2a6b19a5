//! Rows of a table as events: a mapping bound to a header, and cells turned into values by the declared types. Pure:
//! reads no file.

use std::collections::BTreeMap;
use std::sync::Arc;

use csv::StringRecord;
use smol_str::{SmolStr, format_smolstr};

use crate::domain::catalog::Catalog;
use crate::domain::event::{Event, PROFILE_UPDATE};
use crate::domain::expression::{Fields, Type};
use crate::domain::ids::Millis;
use crate::domain::limits::{EVENT_TIME_MAX, EVENT_TIME_MIN};
use crate::domain::value::{Map, Value};
use crate::replay::mapping::{Mapping, Template, Term};
use crate::wire::event::map_to_properties;

/// Makes events of rows.
#[derive(Debug)]
pub(super) struct RowDecoder {
    id: Bound,
    kind: Bound,
    profile: Bound,
    time: Bound,
    properties: Vec<(Vec<SmolStr>, Bound)>,
    catalog: Arc<Catalog>,
    /// Declared types of `properties`, per type of event seen.
    types: BTreeMap<SmolStr, Vec<Option<Type>>>,
}

/// A template whose columns have been found.
#[derive(Debug)]
struct Bound(Vec<BoundTerm>);

#[derive(Debug)]
enum BoundTerm {
    Constant(SmolStr),
    Column { index: usize, name: SmolStr },
    Row,
}

impl RowDecoder {
    /// Finds the columns of `mapping`, or those of the fields' own names where it says nothing.
    pub(super) fn new(header: &StringRecord, mapping: &Mapping, catalog: Arc<Catalog>) -> Result<Self, String> {
        let required = |field: &str, given: &Option<Template>, example: &str| match given {
            Some(template) => Bound::new(template, header),
            None if header.iter().any(|name| name == field) => Bound::new(&Template::column(field), header),
            None => Err(format!(
                "there is no column {field:?}, and --map says nothing of it; columns are {}; add for instance {example}",
                listed(header)
            )),
        };
        let id = match &mapping.id {
            None if !header.iter().any(|name| name == "id") => Bound(vec![BoundTerm::Row]),
            given => required("id", given, "id=#")?,
        };
        let mut properties = Vec::new();
        for (path, template) in &mapping.properties {
            properties.push((path.clone(), Bound::new(template, header)?));
        }
        for name in header {
            let path = name.strip_prefix("properties.").map(|name| name.split('.').map(SmolStr::new).collect());
            let Some(path): Option<Vec<SmolStr>> = path else { continue };
            if !path.iter().any(SmolStr::is_empty) && !mapping.properties.iter().any(|(known, _)| *known == path) {
                properties.push((path, Bound::new(&Template::column(name), header)?));
            }
        }
        Ok(Self {
            id,
            kind: required("type", &mapping.kind, "type='purchase'")?,
            profile: required("profile", &mapping.profile, "profile='crm:'+customer_id")?,
            time: required("time", &mapping.time, "time=date")?,
            properties,
            catalog,
            types: BTreeMap::new(),
        })
    }

    /// The event of row number `row`, which counts from 1. Always has a time.
    pub(super) fn decode(&mut self, record: &StringRecord, row: u64) -> Result<Event, String> {
        let kind = self.kind.text(record, row);
        let time = self.time.text(record, row);
        let time = parse_time(&time).ok_or_else(|| {
            format!("time {time:?} ({}) is no instant; write it like 1997-01-31 or 1997-01-31T09:30:00Z", self.time)
        })?;
        if !self.types.contains_key(&kind) {
            self.types.insert(kind.clone(), self.declared(&kind));
        }
        let types = &self.types[&kind];
        let mut properties = Map::new();
        for ((path, bound), declared) in self.properties.iter().zip(types) {
            let text = bound.text(record, row);
            // An empty cell is no property: absent and null are one thing.
            if text.is_empty() {
                continue;
            }
            let value = match declared {
                Some(declared) => declared_value(&text, declared).ok_or_else(|| {
                    format!(
                        "{text:?} ({bound}) is no {}, as property {:?} of {kind:?} is declared",
                        name_of(declared),
                        path.join(".")
                    )
                })?,
                None => bound.value_by_looks(text),
            };
            properties.insert_path(path, value);
        }
        let event = Event {
            id: self.id.text(record, row),
            profile: self.profile.text(record, row),
            kind,
            time: Some(time),
            properties: map_to_properties(&properties),
        };
        event.validate().map_err(|error| error.to_string())?;
        Ok(event)
    }

    fn declared(&self, kind: &str) -> Vec<Option<Type>> {
        let fields = if kind == PROFILE_UPDATE {
            self.catalog.profile_fields()
        } else {
            self.catalog.events.get(kind).map(|event| event.schema.clone()).unwrap_or_default()
        };
        self.properties.iter().map(|(path, _)| type_at(&fields, path).cloned()).collect()
    }
}

impl Bound {
    fn new(template: &Template, header: &StringRecord) -> Result<Self, String> {
        let terms = template.0.iter().map(|term| match term {
            Term::Constant(text) => Ok(BoundTerm::Constant(text.clone())),
            Term::Row => Ok(BoundTerm::Row),
            Term::Column(name) => match header.iter().position(|column| column == name) {
                Some(index) => Ok(BoundTerm::Column { index, name: name.clone() }),
                None if name == "row" => Ok(BoundTerm::Row),
                None => Err(format!(
                    "there is no column {name:?}; columns are {}; a constant stands in quotes: '{name}'",
                    listed(header)
                )),
            },
        });
        Ok(Self(terms.collect::<Result<_, _>>()?))
    }

    /// Its text in this row, without spaces around it.
    fn text(&self, record: &StringRecord, row: u64) -> SmolStr {
        let piece = |term: &BoundTerm| match term {
            BoundTerm::Constant(text) => text.clone(),
            BoundTerm::Column { index, .. } => SmolStr::new(record.get(*index).unwrap_or_default().trim()),
            BoundTerm::Row => format_smolstr!("{row}"),
        };
        match self.0.as_slice() {
            [term] => piece(term),
            terms => {
                // No part of a name may be missing: 'crm:' of an empty cell would be everybody's profile.
                let pieces: Vec<SmolStr> = terms.iter().map(piece).collect();
                let is_whole = pieces.iter().all(|text| !text.is_empty());
                if is_whole { pieces.concat().into() } else { SmolStr::default() }
            }
        }
    }

    /// The value of a property that no schema declares. What was quoted or put together is text.
    fn value_by_looks(&self, text: SmolStr) -> Value {
        match self.0.as_slice() {
            [BoundTerm::Column { .. } | BoundTerm::Row] => value_by_looks(text),
            _ => Value::Str(text),
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, term) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { " + " } else { "" })?;
            match term {
                BoundTerm::Constant(text) => write!(f, "'{text}'")?,
                BoundTerm::Column { name, .. } => write!(f, "column {name}")?,
                BoundTerm::Row => f.write_str("row number")?,
            }
        }
        Ok(())
    }
}

fn listed(header: &StringRecord) -> String {
    header.iter().collect::<Vec<_>>().join(", ")
}

fn type_at<'a>(fields: &'a Fields, path: &[SmolStr]) -> Option<&'a Type> {
    let (first, rest) = path.split_first()?;
    let (_, declared) = fields.iter().find(|(name, _)| name == first)?;
    match (rest.is_empty(), declared) {
        (true, declared) => Some(declared),
        (false, Type::Object(inner)) => type_at(inner, rest),
        (false, _) => None,
    }
}

fn name_of(declared: &Type) -> &'static str {
    match declared {
        Type::String => "text",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean (true, false, t, f, yes, no, 1 or 0)",
        Type::Timestamp => "timestamp",
        Type::List(_) => "list in JSON",
        Type::Object(_) => "object in JSON",
        Type::Duration | Type::Null => "value",
    }
}

/// The cell as its declaration wants it; `None` if it can't be that.
fn declared_value(text: &str, declared: &Type) -> Option<Value> {
    match declared {
        Type::String => Some(Value::Str(text.into())),
        Type::Integer => text.parse().ok().map(Value::Int),
        Type::Number => finite(text).map(Value::Float),
        Type::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "1" => Some(Value::Bool(true)),
            "false" | "f" | "no" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Type::Timestamp => parse_time(text).map(|time| Value::Str(time.to_iso().into())),
        Type::List(_) | Type::Object(_) => {
            let json: serde_json::Value = serde_json::from_str(text).ok()?;
            let fits = matches!((declared, &json), (Type::List(_), serde_json::Value::Array(_)))
                || matches!((declared, &json), (Type::Object(_), serde_json::Value::Object(_)));
            fits.then(|| Value::from_json(&json))
        }
        Type::Duration | Type::Null => None,
    }
}

/// What a cell without a declaration seems to be. `007` and `+1` are names that happen to hold digits.
fn value_by_looks(text: SmolStr) -> Value {
    match text.as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let is_plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && !(digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."));
    if is_plain {
        if let Ok(integer) = text.parse() {
            return Value::Int(integer);
        }
        if let Some(number) = finite(&text) {
            return Value::Float(number);
        }
    }
    Value::Str(text)
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The instant of a cell: ISO-8601, with a space for the `T` and UTC where no zone is given; a date alone, also without
/// dashes (00:00Z); seconds or milliseconds since 1970, told apart by their number of digits.
fn parse_time(text: &str) -> Option<Millis> {
    let time = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        match text.len() {
            8 => Millis::parse_iso(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]))?,
            9 | 10 => Millis(text.parse::<i64>().ok()? * 1000),
            12 | 13 => Millis(text.parse().ok()?),
            _ => return None,
        }
    } else {
        Millis::parse_iso(text).or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(Millis(zoned.timestamp().as_millisecond()))
        })?
    };
    (EVENT_TIME_MIN..=EVENT_TIME_MAX).contains(&time).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::SourceFile;
    use crate::wire::event::properties_to_map;

    const SCHEMA: &str = "kind: event\nname: order\nschema: { sku: string, total: number, count: integer, gift: boolean, at: timestamp, tags: [string], ship: { zip: string } }\n";

    fn decoder(header: &[&str], map: &str) -> Result<RowDecoder, String> {
        let file = SourceFile { name: "schema.yaml".to_owned(), text: SCHEMA.to_owned() };
        let (catalog, _) = Catalog::default().apply(&[file], Millis(0)).expect("publishes");
        let mapping = if map.is_empty() { Mapping::default() } else { Mapping::parse(map).expect("reads") };
        RowDecoder::new(&StringRecord::from(header.to_vec()), &mapping, Arc::new(catalog))
    }

    fn check(header: &[&str], map: &str, row: &[&str], expected: Result<(&str, &str, &str, &str), &str>) {
        let decoded = decoder(header, map).and_then(|mut d| d.decode(&StringRecord::from(row.to_vec()), 7));
        match (decoded, expected) {
            (Ok(event), Ok((id, profile, time, properties))) => {
                let map = properties_to_map(&event.properties).expect("a map");
                let shown = Value::Map(map).to_json().to_string();
                let time_shown = event.time.expect("a time").to_iso();
                assert_eq!((&*event.id, &*event.profile, &*time_shown, &*shown), (id, profile, time, properties));
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (decoded, expected) => panic!("{decoded:?}, expected {expected:?}"),
        }
    }

    const MAP: &str = "type='order',profile='crm:'+who,time=day,properties.sku=a,properties.total=b";

    #[test]
    fn declared_types_decide() {
        let header = ["who", "day", "a", "b"];
        let at = "1997-01-31T00:00:00.000Z";
        check(&header, MAP, &["1", "1997-01-31", "12", "12"], Ok(("7", "crm:1", at, r#"{"sku":"12","total":12.0}"#)));
        check(&header, MAP, &["1", "19970131", "", " "], Ok(("7", "crm:1", at, "{}")));
        check(&header, MAP, &["1", "1997-01-31", "x", "12,5"], Err("is no number"));
        check(&header, MAP, &["1", "1997-01-31", "x", "inf"], Err("is no number"));
        check(&header, MAP, &["", "1997-01-31", "x", "1"], Err("no namespace"));
        check(&header, MAP, &["1", "31.1.1997", "x", "1"], Err("column day"));
        let map = "type='order',profile='c:x',time=t,properties.gift=g,properties.count=c,properties.at=a,properties.tags=l,properties.ship.zip=z";
        check(
            &["t", "g", "c", "a", "l", "z"],
            map,
            &["852076800", "YES", "3", "1997-01-31 09:30:00", r#"["a"]"#, "01234"],
            Ok((
                "7",
                "c:x",
                "1997-01-01T00:00:00.000Z",
                r#"{"gift":true,"count":3,"at":"1997-01-31T09:30:00.000Z","tags":["a"],"ship":{"zip":"01234"}}"#,
            )),
        );
        check(&["t", "g", "c", "a", "l", "z"], map, &["852076800000", "", "3.5", "", "", ""], Err("is no integer"));
        check(&["t", "g", "c", "a", "l", "z"], map, &["852076800000", "", "", "", "{}", ""], Err("is no list"));
    }

    #[test]
    fn undeclared_properties_go_by_their_looks() {
        for (cell, expected) in [
            ("5", "5"),
            ("-5.50", "-5.5"),
            ("1e3", "1000.0"),
            ("007", "\"007\""),
            ("+1", "\"+1\""),
            ("0.5", "0.5"),
            ("true", "true"),
            ("nan", "\"nan\""),
            ("1.2.3", "\"1.2.3\""),
        ] {
            let properties = format!(r#"{{"x":{expected}}}"#);
            let ok = Ok(("e7", "c:1", "1997-01-31T00:00:00.000Z", &*properties));
            let map = "id='e'+row,type='other',profile='c:1',time=t,properties.x=x";
            check(&["t", "x"], map, &["1997-01-31", cell], ok);
        }
    }

    #[test]
    fn columns_of_the_fields_own_names_need_no_map() {
        let header = ["id", "type", "profile", "time", "properties.total", "note"];
        let row = ["e", "order", "crm:1", "1997-01-31T10:00:00+01:00", "5", "n"];
        check(&header, "", &row, Ok(("e", "crm:1", "1997-01-31T09:00:00.000Z", r#"{"total":5.0}"#)));
        check(&header, "id=#", &row, Ok(("7", "crm:1", "1997-01-31T09:00:00.000Z", r#"{"total":5.0}"#)));
        check(&["a", "b"], "", &["", ""], Err("no column \"type\""));
        check(&["a", "b"], "type=order", &["", ""], Err("'order'"));
    }
}
