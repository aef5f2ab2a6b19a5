//! `properties` straight into MessagePack, within the bounds of names, depth and counts. The first flaw is noted and
//! what follows it stepped over; nothing half-written is handed on.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use super::visits::{Name, drain, refuse_others};
use crate::domain::event::EventError;
use crate::domain::limits;
use crate::wire::msgpack::{
    Container, check_property_name, close_head, duplicate_property, first_duplicate, number_too_large, open_head,
    properties_are, too_deep, too_many_properties, write_bool, write_float, write_int, write_nil, write_text,
};

/// The value of `properties`: MessagePack, none for null, or what is wrong.
pub(super) struct PropertiesSeed;

impl PropertiesSeed {
    fn refuse<E>(self, found: &str) -> Result<Result<Option<Vec<u8>>, EventError>, E> {
        Ok(Err(properties_are(found)))
    }
}

impl<'de> DeserializeSeed<'de> for PropertiesSeed {
    type Value = Result<Option<Vec<u8>>, EventError>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PropertiesSeed {
    type Value = Result<Option<Vec<u8>>, EventError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("properties")
    }

    refuse_others!(Self::refuse; bool, number, text, array);

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Ok(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::with_capacity(64);
        let mut flaw = None;
        ValueSeed { out: &mut out, depth: 0, flaw: &mut flaw }.visit_map(fields)?;
        Ok(flaw.map_or(Ok(Some(out)), Err))
    }
}

/// One value inside `properties`, appended to `out`. The first flaw is noted and everything after it stepped over.
struct ValueSeed<'a> {
    out: &'a mut Vec<u8>,
    /// Containers around this value.
    depth: usize,
    flaw: &'a mut Option<EventError>,
}

impl ValueSeed<'_> {
    fn inner(&mut self) -> ValueSeed<'_> {
        ValueSeed { out: self.out, depth: self.depth + 1, flaw: self.flaw }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.flaw.is_some() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        write_nil(self.out);
        Ok(())
    }

    fn visit_bool<E>(self, bool: bool) -> Result<(), E> {
        write_bool(self.out, bool);
        Ok(())
    }

    fn visit_i64<E>(self, int: i64) -> Result<(), E> {
        write_int(self.out, int);
        Ok(())
    }

    fn visit_u64<E>(self, int: u64) -> Result<(), E> {
        match i64::try_from(int) {
            Ok(int) => write_int(self.out, int),
            Err(_) => *self.flaw = Some(number_too_large(int)),
        }
        Ok(())
    }

    fn visit_f64<E>(self, float: f64) -> Result<(), E> {
        write_float(self.out, float);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        write_text(self.out, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        if self.depth >= limits::DEPTH_MAX {
            *self.flaw = Some(too_deep());
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let head = open_head(self.out);
        let mut count = 0;
        while items.next_element_seed(self.inner())?.is_some() {
            count += 1;
        }
        close_head(self.out, head, Container::Array, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        if self.depth >= limits::DEPTH_MAX {
            *self.flaw = Some(too_deep());
            return drain(&mut fields);
        }
        let head = open_head(self.out);
        let mut names: SmallVec<[Cow<'de, str>; 16]> = SmallVec::new();
        while let Some(Name(name)) = fields.next_key::<Name<'de>>()? {
            if names.len() == limits::MAP_KEYS_MAX {
                self.flaw.get_or_insert_with(|| too_many_properties(limits::MAP_KEYS_MAX + 1));
            }
            if let Err(error) = check_property_name(&name) {
                self.flaw.get_or_insert(error);
            }
            if self.flaw.is_some() {
                fields.next_value::<IgnoredAny>()?;
                return drain(&mut fields);
            }
            write_text(self.out, &name);
            names.push(name);
            fields.next_value_seed(self.inner())?;
        }
        let mut borrowed: SmallVec<[&str; 16]> = names.iter().map(AsRef::as_ref).collect();
        if let Some(name) = first_duplicate(&mut borrowed) {
            self.flaw.get_or_insert_with(|| duplicate_property(name));
        }
        close_head(self.out, head, Container::Map, names.len());
        Ok(())
    }
}
