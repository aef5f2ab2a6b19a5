//! Filters and functions of templates: those of the engine that can't make much more of a value than there is, and ours
//! for the ones that could, with a limit on what they make.

use minijinja::value::{Kwargs, Rest, StringInput, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters as engine};

use super::escape::{Escape, text_of};
use crate::domain::limits;

/// Filters a template may name.
pub(super) const FILTERS: [&str; 41] = [
    "abs",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
];

/// Filters that `map` may apply to each item: those of one operand.
pub(super) const MAPPED: [&str; 19] = [
    "abs",
    "bool",
    "capitalize",
    "count",
    "e",
    "escape",
    "first",
    "float",
    "int",
    "last",
    "length",
    "lower",
    "round",
    "string",
    "title",
    "tojson",
    "trim",
    "upper",
    "urlencode",
];

/// Tests that a template may name behind `is`.
pub(super) const TESTS: [&str; 31] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "even",
    "false",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];

/// Functions that a template may call.
pub(super) const FUNCTIONS: [&str; 2] = ["range", "dict"];

/// Replaces what could make gigabytes out of a short template, and takes out what shows more than the input.
pub(super) fn install(environment: &mut Environment<'static>, escape: Escape) {
    for name in ["debug", "namespace"] {
        environment.remove_global(name);
    }
    for name in ["batch", "chain", "format", "indent", "pprint", "slice", "zip", "attr"] {
        environment.remove_filter(name);
    }
    for (name, filter) in engine_filters() {
        environment.add_filter(name, move |state: &mut State<'_, '_>, operands: Rest<ValueOrKwargs>| {
            // What is missing is empty behind a filter too, rather than a message that fails for some recipients.
            if operands.first().is_none_or(|value| value.is_undefined() || value.is_none()) {
                return Ok(of_nothing(name));
            }
            let operands: Vec<Value> = operands.into_values();
            filter.call(state, &operands)
        });
    }
    // Behind `e` the text is safe in the place this template is for; a template that escapes nothing means HTML.
    let by_hand = if escape == Escape::None { Escape::Html } else { escape };
    for name in ["e", "escape"] {
        environment.add_filter(name, move |value: &Value| escaped(by_hand, value));
    }
}

/// What a filter makes of a missing value.
fn of_nothing(filter: &str) -> Value {
    match filter {
        "length" | "count" | "sum" => Value::from(0),
        "items" | "list" | "dictsort" | "groupby" | "lines" | "split" => Value::from(Vec::<Value>::new()),
        "bool" => Value::from(false),
        _ => Value::UNDEFINED,
    }
}

/// The filters that get a value to work on; `default` and `safe` are left as they are.
fn engine_filters() -> Vec<(&'static str, Value)> {
    macro_rules! named {
        ($($name:ident)*) => { vec![$((stringify!($name), Value::from_function(engine::$name))),*] };
    }
    let mut filters = named![
        abs bool capitalize dictsort first float groupby int items last length lines list lower map max min reject
        rejectattr reverse round select selectattr sort split string sum title tojson trim unique upper urlencode
    ];
    filters.push(("count", Value::from_function(engine::length)));
    filters.push(("replace", Value::from_function(replace)));
    filters.push(("join", Value::from_function(join)));
    filters
}

fn escaped(escape: Escape, value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let mut text = String::new();
    escape.write(&mut text, &text_of(value)?).map_err(Error::from)?;
    Ok(Value::from_safe_string(text))
}

fn too_long(filter: &str) -> Error {
    let limit = limits::RENDERED_BYTES_MAX;
    Error::new(ErrorKind::InvalidOperation, format!("text made by `{filter}` passes {limit} bytes"))
}

fn replace(
    state: &mut State<'_, '_>,
    value: StringInput<'_>,
    from: StringInput<'_>,
    to: StringInput<'_>,
) -> Result<Value, Error> {
    let text = value.as_str();
    let found = if to.as_str().len() > from.as_str().len() { text.matches(from.as_str()).count() } else { 0 };
    if found.saturating_mul(to.as_str().len()).saturating_add(text.len()) > limits::RENDERED_BYTES_MAX {
        return Err(too_long("replace"));
    }
    engine::replace(state, value, from, to)
}

fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    const SCALAR_BYTES: usize = 32;
    if !value.is_undefined() && !value.is_none() {
        let between = joiner.as_ref().map_or(0, |joiner| joiner.as_str().len());
        let mut bytes = 0_usize;
        for item in value.try_iter()? {
            bytes = bytes.saturating_add(between + item.as_str().map_or(SCALAR_BYTES, str::len));
            if bytes > limits::RENDERED_BYTES_MAX {
                return Err(too_long("join"));
            }
        }
    }
    engine::join(state, value, joiner, attribute, kwargs)
}
