//! Which functions there are, what they take, and what people who know other languages mean: the names of AJO's functions
//! and common slips, each with what to write instead.

use super::types::Type;
use super::types::Type::{Integer, String as Text};
use crate::domain::suggest::nearest;

/// What a method is a method of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Text,
    List,
    Time,
    /// Texts, lists and objects.
    Sized,
}

impl Of {
    /// Whether a value of `ty` has the method.
    pub(super) fn includes(self, ty: &Type) -> bool {
        match self {
            Self::Text => matches!(ty, Type::String | Type::Null),
            Self::List => matches!(ty, Type::List(_) | Type::Null),
            Self::Time => matches!(ty, Type::Timestamp | Type::Null),
            Self::Sized => matches!(ty, Type::String | Type::List(_) | Type::Object(_) | Type::Null),
        }
    }

    /// As messages name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::List => "lists",
            Self::Time => "timestamps",
            Self::Sized => "texts, lists and objects",
        }
    }
}

/// A method, or a function of a namespace (then `takes` holds all it takes).
#[derive(Debug)]
pub(super) struct Signature<Owner> {
    pub(super) of: Owner,
    pub(super) name: &'static str,
    /// Types of the arguments; [`Type::Null`] is for any, which the function checks itself.
    pub(super) takes: &'static [Type],
    /// How many arguments are needed; the others may be left out.
    pub(super) needs: usize,
}

const fn takes<Owner>(of: Owner, name: &'static str, takes: &'static [Type], needs: usize) -> Signature<Owner> {
    Signature { of, name, takes, needs }
}

/// Methods, called as `value.name(…)`. Accessors of parts of an instant are in [`time`](super::time).
pub(super) const METHODS: [Signature<Of>; 47] = [
    takes(Of::Sized, "size", &[], 0),
    takes(Of::Sized, "isEmpty", &[], 0),
    takes(Of::Text, "contains", &[Text], 1),
    takes(Of::Text, "startsWith", &[Text], 1),
    takes(Of::Text, "endsWith", &[Text], 1),
    takes(Of::Text, "equalsIgnoreCase", &[Text], 1),
    takes(Of::Text, "containsIgnoreCase", &[Text], 1),
    takes(Of::Text, "startsWithIgnoreCase", &[Text], 1),
    takes(Of::Text, "endsWithIgnoreCase", &[Text], 1),
    takes(Of::Text, "matches", &[Text], 1),
    takes(Of::Text, "lowerAscii", &[], 0),
    takes(Of::Text, "upperAscii", &[], 0),
    takes(Of::Text, "lower", &[], 0),
    takes(Of::Text, "upper", &[], 0),
    takes(Of::Text, "trim", &[], 0),
    takes(Of::Text, "reverse", &[], 0),
    takes(Of::Text, "charAt", &[Integer], 1),
    takes(Of::Text, "indexOf", &[Text, Integer], 1),
    takes(Of::Text, "lastIndexOf", &[Text, Integer], 1),
    takes(Of::Text, "replace", &[Text, Text, Integer], 2),
    takes(Of::Text, "split", &[Text, Integer], 1),
    takes(Of::Text, "substring", &[Integer, Integer], 1),
    takes(Of::List, "sum", &[], 0),
    takes(Of::List, "avg", &[], 0),
    takes(Of::List, "min", &[], 0),
    takes(Of::List, "max", &[], 0),
    takes(Of::List, "count", &[], 0),
    takes(Of::List, "countNull", &[], 0),
    takes(Of::List, "distinct", &[], 0),
    takes(Of::List, "sort", &[], 0),
    takes(Of::List, "reverse", &[], 0),
    takes(Of::List, "flatten", &[], 0),
    takes(Of::List, "first", &[], 0),
    takes(Of::List, "last", &[], 0),
    takes(Of::List, "limit", &[Integer], 1),
    takes(Of::List, "limitLast", &[Integer], 1),
    takes(Of::List, "slice", &[Integer, Integer], 2),
    takes(Of::List, "intersect", &[Type::Null], 1),
    takes(Of::List, "join", &[Text], 0),
    takes(Of::Time, "plus", &[Integer, Text, Text], 2),
    takes(Of::Time, "inLast", &[Integer, Text, Text], 2),
    takes(Of::Time, "inNext", &[Integer, Text, Text], 2),
    takes(Of::Time, "daysSince", &[Type::Timestamp, Text], 1),
    takes(Of::Time, "startOfDay", &[Text], 0),
    takes(Of::Time, "setHours", &[Integer, Text], 1),
    takes(Of::Time, "setMinutes", &[Integer, Text], 1),
    takes(Of::Time, "setDate", &[Integer, Text], 1),
];

/// Macros called as `list.name(x, …)` that the parser expands.
pub(super) const FOLDS: [&str; 5] = ["all", "exists", "exists_one", "filter", "map"];
/// Macros called as `list.name(x, key)` that it does not.
pub(super) const BY_KEY: [&str; 2] = ["sortBy", "distinctBy"];
/// Functions called as `name(…)`.
pub(super) const GLOBAL: [&str; 14] = [
    "size",
    "int",
    "double",
    "string",
    "bool",
    "timestamp",
    "duration",
    "has",
    "dyn",
    "millis",
    "timestampMillis",
    "durationMillis",
    "draw",
    "uuid",
];

/// A namespace of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Math,
    Regex,
    Strings,
}

impl Space {
    /// The namespace called `word`.
    pub(super) fn named(word: &str) -> Option<Self> {
        match word {
            "math" => Some(Self::Math),
            "regex" => Some(Self::Regex),
            "strings" => Some(Self::Strings),
            _ => None,
        }
    }
}

/// Functions of namespaces. Those of `math` check their arguments themselves.
pub(super) const SPACED: [Signature<Space>; 11] = [
    takes(Space::Math, "greatest", &[], 1),
    takes(Space::Math, "least", &[], 1),
    takes(Space::Math, "round", &[Type::Number], 1),
    takes(Space::Math, "floor", &[Type::Number], 1),
    takes(Space::Math, "ceil", &[Type::Number], 1),
    takes(Space::Math, "trunc", &[Type::Number], 1),
    takes(Space::Math, "abs", &[Type::Number], 1),
    takes(Space::Math, "sign", &[Type::Number], 1),
    takes(Space::Regex, "replace", &[Text, Text, Text, Integer], 3),
    takes(Space::Regex, "split", &[Text, Text], 2),
    takes(Space::Strings, "quote", &[Text], 1),
];

/// AJO's functions that have another name or another form here, with what to write. What AJO calls `f(a, b)` is often
/// `a.f(b)` here; those are told by [`method_hint`].
const OF_AJO: [(&str, &str); 53] = [
    ("avg", "list.avg()"),
    ("count", "list.count()"),
    ("countOnlyNull", "list.countNull()"),
    ("countWithNull", "list.size()"),
    ("distinctCount", "list.distinct().count()"),
    ("distinctCountWithNull", "list.distinct().size()"),
    ("max", "list.max()` or `math.greatest(a, b)"),
    ("min", "list.min()` or `math.least(a, b)"),
    ("sum", "list.sum()"),
    ("toBool", "bool(x)"),
    ("toDateOnly", "timestamp(x).startOfDay()"),
    ("toDateTime", "timestamp(x)` or `timestamp(text, zone)"),
    ("toDateTimeOnly", "timestamp(text, zone)"),
    ("toDecimal", "double(x)"),
    ("toDuration", "duration(text)` or `durationMillis(n)"),
    ("toInteger", "int(x)` or `millis(timestamp)"),
    ("toString", "string(x)"),
    ("currentTimeInMillis", "millis(now)"),
    ("dateDiff", "a - b` or `a.daysSince(b)"),
    ("inLastHours", "t.inLast(n, 'hours')"),
    ("inLastDays", "t.inLast(n, 'days')"),
    ("inLastMonths", "t.inLast(n, 'months')"),
    ("inLastYears", "t.inLast(n, 'years')"),
    ("inNextHours", "t.inNext(n, 'hours')"),
    ("inNextDays", "t.inNext(n, 'days')"),
    ("inNextMonths", "t.inNext(n, 'months')"),
    ("inNextYears", "t.inNext(n, 'years')"),
    ("nowWithDelta", "now.plus(n, 'days', zone)"),
    ("setDays", "t.setDate(day)"),
    ("updateTimeZone", "string(t, zone)"),
    ("distinctWithNull", "list.distinct()"),
    ("filter", "list.filter(x, x.key in values)"),
    ("getListItem", "list[i]"),
    ("at", "list[i]"),
    ("in", "item in list"),
    ("listSize", "size(list)"),
    ("serializeList", "list.join(separator)"),
    ("random", "draw(meta.id)"),
    ("round", "math.round(x)"),
    ("concat", "a + b` or `list.join()"),
    ("contain", "text.contains(part)"),
    ("containIgnoreCase", "text.containsIgnoreCase(part)"),
    ("endWith", "text.endsWith(part)"),
    ("endWithIgnoreCase", "text.endsWithIgnoreCase(part)"),
    ("startWith", "text.startsWith(part)"),
    ("startWithIgnoreCase", "text.startsWithIgnoreCase(part)"),
    ("equalIgnoreCase", "a.equalsIgnoreCase(b)"),
    ("notEqualIgnoreCase", "!a.equalsIgnoreCase(b)"),
    ("isNotEmpty", "!text.isEmpty()"),
    ("length", "size(text)"),
    ("matchRegExp", "text.matches(pattern)"),
    ("replaceAll", "regex.replace(text, pattern, by)"),
    ("substr", "text.substring(begin, end)"),
];

/// Words of other languages.
const SYNONYMS: [(&str, &str); 26] = [
    ("toLowerCase", "lower"),
    ("toLower", "lower"),
    ("lowercase", "lower"),
    ("toUpperCase", "upper"),
    ("toUpper", "upper"),
    ("uppercase", "upper"),
    ("len", "size"),
    ("includes", "contains"),
    ("has", "contains"),
    ("any", "exists"),
    ("some", "exists"),
    ("existsOne", "exists_one"),
    ("average", "avg"),
    ("mean", "avg"),
    ("unique", "distinct"),
    ("take", "limit"),
    ("sorted", "sort"),
    ("reduce", "sum"),
    ("float", "double"),
    ("number", "double"),
    ("uint", "int"),
    ("date", "timestamp"),
    ("datetime", "timestamp"),
    ("rand", "draw"),
    ("addDays", "plus"),
    ("add", "plus"),
];

/// Every function in every form: the word before its bracket, with its namespace, and how many arguments it takes.
#[cfg(all(test, feature = "sim"))]
pub(crate) fn every_call() -> Vec<(String, usize)> {
    let methods = METHODS.iter().flat_map(|method| forms(method.name.to_owned(), method.needs, method.takes.len()));
    let spaced = SPACED.iter().flat_map(|function| {
        let space = match function.of {
            Space::Math => "math",
            Space::Regex => "regex",
            Space::Strings => "strings",
        };
        // Those without a signature compare any number of values.
        forms(format!("{space}.{}", function.name), function.needs, function.takes.len().max(function.needs))
    });
    let folds = FOLDS.into_iter().chain(BY_KEY).map(|name| (name.to_owned(), 2));
    let globals = GLOBAL.into_iter().flat_map(|name| {
        let takes_zone = matches!(name, "timestamp" | "string");
        forms(name.to_owned(), 1, 1 + usize::from(takes_zone))
    });
    let parts = super::time::Part::NAMES.into_iter().flat_map(|(name, _)| forms(name.to_owned(), 0, 1));
    methods.chain(spaced).chain(folds).chain([("map".to_owned(), 3)]).chain(globals).chain(parts).collect()
}

#[cfg(all(test, feature = "sim"))]
fn forms(name: String, least: usize, most: usize) -> impl Iterator<Item = (String, usize)> {
    (least..=most).map(move |count| (name.clone(), count))
}

/// AJO's names, for the test that the page lists them all.
#[cfg(test)]
pub(super) fn of_ajo() -> impl Iterator<Item = &'static str> {
    OF_AJO.into_iter().map(|(name, _)| name).chain(["inAudience", "inSegment"])
}

fn ajo(name: &str) -> Option<String> {
    if matches!(name, "inAudience" | "inSegment") {
        return Some("audiences can't be asked for yet: ask for a field of the profile".to_owned());
    }
    OF_AJO.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| format!("write `{ours}`"))
}

fn synonym(name: &str) -> Option<&'static str> {
    SYNONYMS.iter().find(|(word, _)| *word == name).map(|(_, ours)| *ours)
}

/// What to write instead of the unknown method `name`.
pub(super) fn method_hint(name: &str) -> Option<String> {
    if name == "all" {
        // AJO's `all` gives the items.
        return Some(
            "write `list.all(x, …)` to ask whether it holds for all, `list.filter(x, …)` for those that it holds for"
                .to_owned(),
        );
    }
    if FOLDS.contains(&name) || name == "existsOne" {
        return Some(format!("write `list.{name}(x, …)` with a variable first"));
    }
    if GLOBAL.contains(&name) && name != "has" {
        return Some(format!("write `{name}(…)` around the value"));
    }
    if let Some(hint) = ajo(name) {
        return Some(hint);
    }
    let methods = METHODS.iter().map(|method| method.name).chain(FOLDS).chain(BY_KEY);
    let methods = methods.chain(super::time::Part::NAMES.iter().map(|(name, _)| *name));
    synonym(name).or_else(|| nearest(name, methods)).map(|name| format!("did you mean `{name}`?"))
}

/// What to write instead of the unknown function `name`.
pub(super) fn function_hint(name: &str) -> Option<String> {
    if name == "now" {
        return Some("write `now` without brackets".to_owned());
    }
    if let Some(hint) = ajo(name) {
        return Some(hint);
    }
    if let Some(space) = SPACED.iter().find(|function| function.name == name) {
        return match space.of {
            Space::Math => Some(format!("write `math.{name}(…)`")),
            Space::Regex if METHODS.iter().any(|method| method.name == name) => {
                Some(format!("write `text.{name}(…)`, or `regex.{name}(text, pattern, …)`"))
            }
            Space::Regex => Some(format!("write `regex.{name}(…)`")),
            Space::Strings => Some(format!("write `strings.{name}(…)`")),
        };
    }
    if let Some(method) = METHODS.iter().find(|method| method.name == name) {
        let value = match method.of {
            Of::Text => "text",
            Of::List => "list",
            Of::Time => "timestamp",
            Of::Sized => "value",
        };
        return Some(format!("write `{value}.{name}(…)`"));
    }
    if FOLDS.contains(&name) || BY_KEY.contains(&name) {
        return Some(format!("write `list.{name}(x, …)`"));
    }
    synonym(name).or_else(|| nearest(name, GLOBAL)).map(|name| format!("did you mean `{name}`?"))
}

/// What to write instead of the unknown function `name` of a namespace.
pub(super) fn spaced_hint(space: Space, word: &str, name: &str) -> Option<String> {
    let names = SPACED.iter().filter(|function| function.of == space).map(|function| function.name);
    nearest(name, names).map(|name| format!("did you mean `{word}.{name}`?"))
}
