//! What the visitors of JSON share: names, and the refusal of everything they don't expect. Steps over what it refuses
//! without recursion, and keeps nothing of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// The visits of a scalar or container that is no event, all of one mind.
macro_rules! refuse_others {
    ($refuse:expr; $($rest:ident),*) => { $(refuse_others!(@ $rest, $refuse);)* };
    (@ bool, $refuse:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { $refuse(self, "a boolean") }
    };
    (@ number, $refuse:expr) => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { $refuse(self, "a number") }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { $refuse(self, "a number") }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { $refuse(self, "a number") }
    };
    (@ text, $refuse:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { $refuse(self, "text") }
    };
    (@ null, $refuse:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> { $refuse(self, "null") }
    };
    (@ array, $refuse:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            $refuse(self, "an array")
        }
    };
    (@ object, $refuse:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
            drain(&mut fields)?;
            $refuse(self, "an object")
        }
    };
}

pub(super) fn drain<'de, A: MapAccess<'de>>(fields: &mut A) -> Result<(), A::Error> {
    while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

pub(super) use refuse_others;

/// A name of a field or property, borrowed where it holds no escapes.
pub(super) struct Name<'de>(pub(super) Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}
