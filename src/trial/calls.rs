//! Calls that were expected, against those that were made.

use smol_str::SmolStr;

use crate::domain::journey::findings::{At, Place};
use crate::domain::journey::trial::{CallExpectation, Trial};
use crate::domain::value::{Map, Value};
use crate::trial::judge::compare;
use crate::trial::record::Call;
use crate::trial::tell::{side_by_side, since_start, texts};

/// What is wrong: where that stands, in one line, and more.
pub type Difference = (Place, String, String);

/// These calls and no others.
pub fn exactly(trial: &Trial, whose: &str, expected: &At<Vec<CallExpectation>>, calls: &[&Call]) -> Vec<Difference> {
    if expected.value.iter().map(|call| &call.action.value).eq(calls.iter().map(|call| &call.action)) {
        let pairs = expected.value.iter().zip(calls);
        return pairs.flat_map(|(expected, call)| differences(trial, expected, call)).collect();
    }
    let message = format!("calls for {whose} are not those expected");
    vec![(expected.place, message, lists(trial, &expected.value, calls))]
}

/// Each expected call is found behind the one before it.
pub fn among(trial: &Trial, whose: &str, among: &At<Vec<CallExpectation>>, calls: &[&Call]) -> Vec<Difference> {
    let (mut from, mut found) = (0, Vec::new());
    for expected in &among.value {
        let is_named = |call: &&&Call| call.action == expected.action.value;
        let fits = |call: &&Call| is_named(&call) && differences(trial, expected, call).is_empty();
        if let Some(index) = calls[from..].iter().position(fits) {
            from += index + 1;
            continue;
        }
        match calls[from..].iter().find(is_named) {
            // The nearest there is says best what is wrong.
            Some(nearest) => found.extend(differences(trial, expected, nearest)),
            None => {
                let message = format!("a call of `{}` for {whose} is missing", expected.action.value);
                found.push((expected.place, message, lists(trial, &among.value, calls)));
            }
        }
    }
    found
}

fn lists(trial: &Trial, expected: &[CallExpectation], calls: &[&Call]) -> String {
    let line = |at, action: &SmolStr| format!("{} {action}", since_start(trial, at));
    // A line of what was expected can only equal one of what happened if it says as much.
    let shown = |expected: &CallExpectation| {
        let action = &expected.action.value;
        let named = calls.iter().find(|call| call.action == *action);
        match expected.at.as_ref().map(|at| at.value).or(named.map(|call| call.at)) {
            Some(at) => line(at, action),
            None => action.to_string(),
        }
    };
    let expected: Vec<String> = expected.iter().map(shown).collect();
    let actual: Vec<String> = calls.iter().map(|call| line(call.at, &call.action)).collect();
    side_by_side(&expected, &actual)
}

/// How a call is not as expected; names are equal.
fn differences(trial: &Trial, expected: &CallExpectation, call: &Call) -> Vec<Difference> {
    let (name, mut found) = (&call.action, Vec::new());
    if let Some(at) = expected.at.as_ref().filter(|at| at.value != call.at) {
        let (actual, expected) = (since_start(trial, call.at), since_start(trial, at.value));
        found.push((at.place, format!("the call of `{name}` was made at {actual}, not at {expected}"), String::new()));
    }
    if let Some(node) = expected.node.as_ref().filter(|node| node.value != call.node) {
        let text = format!("the call of `{name}` came from node `{}`, not from `{}`", call.node, node.value);
        found.push((node.place, text, String::new()));
    }
    if let Some(method) = expected.method.as_ref().filter(|method| method.value != call.method) {
        let (actual, expected) = (call.method.word(), method.value.word());
        found.push((method.place, format!("the call of `{name}` was a {actual}, not a {expected}"), String::new()));
    }
    let request = match &call.request {
        Ok(request) => request,
        Err(error) => {
            found.push((expected.place, format!("the call of `{name}` can't be made: {error}"), String::new()));
            return found;
        }
    };
    if let Some(path) = expected.path.as_ref().filter(|path| *path.value != request.path) {
        let text = format!("the path of the call of `{name}` is another");
        found.push((path.place, text, texts(&path.value, &request.path)));
    }
    for (what, expected, actual) in
        [("query parameter", &expected.query, &request.query), ("header", &expected.headers, &request.headers)]
    {
        for (key, value) in expected {
            let actual = actual.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value);
            if actual.is_none_or(|actual| *actual != *value.value) {
                let actual = actual.map_or_else(|| "not there".to_owned(), |actual| format!("{actual:?}"));
                let text = format!("{what} `{key}` of the call of `{name}` is {actual}, not {:?}", value.value);
                found.push((value.place, text, String::new()));
            }
        }
    }
    if let Some(body) = &expected.body {
        let actual = request.body.clone().unwrap_or(Value::Null);
        let root = |value: Value| Map(vec![("body".into(), value)]);
        let mut fields = Vec::new();
        compare(&root(body.value.clone()), &root(actual), "", &mut fields);
        for (field, expected, actual) in fields {
            found.push((
                body.place,
                format!("`{field}` of the call of `{name}` is {actual}, not {expected}"),
                String::new(),
            ));
        }
    }
    found
}
