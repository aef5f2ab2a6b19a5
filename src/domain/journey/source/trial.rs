//! `kind: test`: a test as written, and its shape. Whether what it names exists is for the catalog to say.

use smol_str::SmolStr;

use crate::domain::effect::CallStatus;
use crate::domain::endpoint::Method;
use crate::domain::event::{Event, PROFILE_UPDATE, check_name};
use crate::domain::ids::Millis;
use crate::domain::journey::action::source_name;
use crate::domain::journey::duration;
use crate::domain::journey::findings::{At, Findings, Place, SourceFile};
use crate::domain::journey::source::literal;
use crate::domain::journey::source::message::read_channel;
use crate::domain::journey::source::reader::{MapReader, choice, entries, full_text, items, text};
use crate::domain::journey::source::tree::{Shape, Tree, parse};
use crate::domain::journey::trial::{
    CallExpectation, End, Expectation, MessageExpectation, PROFILE, START, TrialAnswer, TrialDefinition, TrialEvent,
    word,
};
use crate::domain::limits;
use crate::domain::step::DiscardReason;

/// The word of the kind.
pub const KIND: &str = "test";
const TIME_HELP: &str = "write a duration since the start, such as `1h`, or an instant, such as `2026-01-05T10:00:00Z`";

/// Reads a test. Whatever can't be read leaves `broken` set and a finding behind.
pub fn read(name: At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> TrialDefinition {
    let before = findings.count();
    if let Err(error) = check_name("a test's name", "bad_name", &name.value, limits::TRIAL_NAME_BYTES_MAX) {
        findings.error(name.place, "bad_name", error.message);
    }
    let journey = map.optional("journey").and_then(|tree| full_text(tree, "`journey`", findings));
    let start = map.optional("start").and_then(|tree| read_start(tree, findings)).unwrap_or(START);
    let profiles = read_profiles(&mut map, &name, findings);
    let mut answers = map.optional("actions").map(|tree| read_answers(tree, findings)).unwrap_or_default();
    let said = map.optional("sources").map(|tree| read_answers(tree, findings)).unwrap_or_default();
    answers.extend(said.into_iter().map(|(name, said)| (At::new(source_name(&name.value), name.place), said)));
    let events = map.required("events", findings).map(|tree| read_events(tree, start, findings)).unwrap_or_default();
    let until = map.optional("until").and_then(|tree| moment(tree, "`until`", start, findings));
    let expectations = map.required("expect", findings).map(|tree| read_expectations(tree, start, findings));
    map.finish(findings);
    TrialDefinition {
        name,
        journey,
        start,
        profiles,
        answers,
        events,
        until: until.map(|at| at.value),
        expectations: expectations.unwrap_or_default(),
        broken: findings.any_error_since(before),
    }
}

fn read_start(tree: &Tree, findings: &mut Findings<'_>) -> Option<Millis> {
    let written = full_text(tree, "`start`", findings)?;
    let found = Millis::parse_iso(&written.value).filter(|at| in_range(*at));
    if found.is_none() {
        let message = format!("`start` can't be {:?}", written.value);
        findings.error_with(
            tree.place,
            "bad_time",
            message,
            "write an instant, such as `2026-01-05T09:00:00Z`".to_owned(),
        );
    }
    found
}

fn in_range(at: Millis) -> bool {
    (limits::EVENT_TIME_MIN..=limits::EVENT_TIME_MAX).contains(&at)
}

/// A duration since the start, or an instant not before it.
fn moment(tree: &Tree, what: &str, start: Millis, findings: &mut Findings<'_>) -> Option<At<Millis>> {
    let written = full_text(tree, what, findings)?;
    let found = Millis::parse_iso(&written.value)
        .or_else(|| duration::parse(&written.value).ok().map(|duration_ms| start.plus(duration_ms)));
    match found {
        Some(at) if at < start => {
            let message = format!("{what} is {}, before the test's start at {start}", written.value);
            let suggestion = "set `start`, or write a duration since it".to_owned();
            findings.error_with(tree.place, "before_start", message, suggestion);
            None
        }
        Some(at) if in_range(at) => Some(At::new(at, tree.place)),
        _ => {
            let message = format!("{what} can't be {:?}", written.value);
            findings.error_with(tree.place, "bad_time", message, TIME_HELP.to_owned());
            None
        }
    }
}

/// `profile` and `given` for one, `profiles` for several.
fn read_profiles(
    map: &mut MapReader<'_>,
    name: &At<SmolStr>,
    findings: &mut Findings<'_>,
) -> Vec<(At<SmolStr>, Option<Tree>)> {
    let (one, given, several) = (map.optional("profile"), map.optional("given"), map.optional("profiles"));
    let Some(several) = several else {
        let identity = match one {
            Some(tree) => read_profile(tree, findings),
            None => Some(At::new(SmolStr::new_static(PROFILE), name.place)),
        };
        return identity.map(|identity| (identity, given.cloned())).into_iter().collect();
    };
    if let Some(other) = one.or(given) {
        let message = "`profiles` stands beside `profile` or `given`";
        let suggestion = "write all of them as `profiles: { NAMESPACE:VALUE: { … } }`".to_owned();
        findings.error_with(other.place, "duplicate_key", message, suggestion);
    }
    let mut profiles = Vec::new();
    for (identity, place, document) in entries(several, "`profiles`", findings).unwrap_or_default() {
        let identity = At::new(SmolStr::new(identity), place);
        if check_profile(&identity, findings) {
            profiles.push((identity, (!document.is_null()).then(|| document.clone())));
        }
    }
    if profiles.len() > limits::TRIAL_EVENTS_MAX {
        too_many(several, "profiles", findings);
    }
    profiles
}

fn too_many(tree: &Tree, what: &str, findings: &mut Findings<'_>) {
    let message = format!("more than {} {what} in one test", limits::TRIAL_EVENTS_MAX);
    findings.error_with(tree.place, "too_many_events", message, "use `sojourn replay` for recordings".to_owned());
}

fn read_profile(tree: &Tree, findings: &mut Findings<'_>) -> Option<At<SmolStr>> {
    full_text(tree, "`profile`", findings).filter(|identity| check_profile(identity, findings))
}

fn check_profile(identity: &At<SmolStr>, findings: &mut Findings<'_>) -> bool {
    let update = Event {
        id: KIND.into(),
        kind: PROFILE_UPDATE.into(),
        profile: identity.value.clone(),
        time: None,
        properties: bytes::Bytes::new(),
    };
    let checked = update.validate();
    if let Err(error) = &checked {
        findings.error(identity.place, error.code, error.message.clone());
    }
    checked.is_ok()
}

/// What custom actions answer, of a file that holds nothing else: its documents are written as `actions` of a test.
pub fn read_responses(files: &[SourceFile], index: usize, findings: &mut Findings<'_>) -> Answered {
    let (documents, _) = parse(files, index, findings);
    documents.iter().filter(|tree| !tree.is_null()).flat_map(|tree| read_answers(tree, findings)).collect()
}

/// Answers by action, as written.
type Answered = Vec<(At<SmolStr>, Vec<TrialAnswer>)>;

/// `{ ACTION: { status, body } }`, or a list of such answers for one call after the other.
fn read_answers(tree: &Tree, findings: &mut Findings<'_>) -> Answered {
    let mut answers = Vec::new();
    for (action, place, written) in entries(tree, "`actions`", findings).unwrap_or_default() {
        let several = match &written.shape {
            Shape::List(items) if !items.is_empty() => items.as_slice(),
            _ => std::slice::from_ref(written),
        };
        let read = several.iter().filter_map(|answer| read_answer(answer, findings)).collect();
        answers.push((At::new(SmolStr::new(action), place), read));
    }
    answers
}

fn read_answer(tree: &Tree, findings: &mut Findings<'_>) -> Option<TrialAnswer> {
    const WORDS: [(&str, CallStatus); 3] = [
        ("timed_out", CallStatus::TimedOut),
        ("capped", CallStatus::Capped),
        ("internal_error", CallStatus::InternalError),
    ];
    let mut map = MapReader::open(tree, "an answer", findings)?;
    let status = match map.optional("status") {
        None => Some(CallStatus::Http(200)),
        Some(tree) => match tree.text().and_then(|text| text.parse::<u16>().ok()) {
            Some(code @ 100..=599) => Some(CallStatus::Http(code)),
            Some(code) => {
                let suggestion = "write one from 100 to 599".to_owned();
                findings.error_with(tree.place, "unknown_value", format!("{code} is no status of HTTP"), suggestion);
                None
            }
            None => choice(tree, "`status`", &WORDS, findings),
        },
    };
    let body = map.optional("body").cloned();
    map.finish(findings);
    Some(TrialAnswer { status: status?, body })
}

fn read_events(tree: &Tree, start: Millis, findings: &mut Findings<'_>) -> Vec<TrialEvent> {
    let Some(items) = items(tree, "`events`", findings) else { return Vec::new() };
    if items.len() > limits::TRIAL_EVENTS_MAX {
        too_many(tree, "events", findings);
    }
    let mut events: Vec<TrialEvent> = Vec::with_capacity(items.len());
    for item in items.iter().take(limits::TRIAL_EVENTS_MAX) {
        let latest = events.last().map_or(start, |event| event.at);
        events.extend(read_event(item, start, latest, findings));
    }
    events
}

/// `latest`: when the event before it comes, and so this one unless it says otherwise.
fn read_event(tree: &Tree, start: Millis, latest: Millis, findings: &mut Findings<'_>) -> Option<TrialEvent> {
    let mut map = MapReader::open(tree, "an event", findings)?;
    let kind = map.required("type", findings).and_then(|tree| full_text(tree, "`type`", findings));
    let at = map.optional("at").map(|tree| moment(tree, "`at`", start, findings));
    let profile = map.optional("profile").and_then(|tree| read_profile(tree, findings));
    let id = map.optional("id").and_then(|tree| full_text(tree, "`id`", findings));
    if let Some(id) = &id
        && let Err(error) = check_name("id", "bad_id", &id.value, limits::EVENT_ID_BYTES_MAX)
    {
        findings.error(id.place, error.code, error.message);
    }
    let properties = map.optional("properties").cloned();
    let of = map.optional("of").and_then(|tree| full_text(tree, "`of`", findings));
    map.finish(findings);
    let at = match at {
        Some(at) => at?.value,
        None => latest,
    };
    Some(TrialEvent { place: tree.place, at, id: id.map(|id| id.value), kind: kind?, profile, properties, of })
}

/// One map, or a list of them.
fn read_expectations(tree: &Tree, start: Millis, findings: &mut Findings<'_>) -> Vec<Expectation> {
    let expected: &[Tree] = match &tree.shape {
        Shape::List(items) => items,
        _ => std::slice::from_ref(tree),
    };
    if expected.is_empty() {
        findings.error_with(tree.place, "missing_key", "`expect` is empty", EXPECT_HELP.to_owned());
    }
    expected.iter().filter_map(|tree| read_expectation(tree, start, findings)).collect()
}

const EXPECT_HELP: &str = "say what must happen: `messages`, `path`, `end`, …";

fn read_expectation(tree: &Tree, start: Millis, findings: &mut Findings<'_>) -> Option<Expectation> {
    let mut map = MapReader::open(tree, "`expect`", findings)?;
    let discarded = map.optional("discarded").and_then(|tree| read_discarded(tree, findings));
    let mut messages = |key, findings: &mut Findings<'_>| {
        let tree = map.optional(key)?;
        let items = items(tree, &format!("`{key}`"), findings)?;
        let read = items.iter().filter_map(|item| read_message(item, start, findings)).collect();
        Some(At::new(read, tree.place))
    };
    let (exactly, among) = (messages("messages", findings), messages("messages_include", findings));
    let mut calls = |key, findings: &mut Findings<'_>| {
        let tree = map.optional(key)?;
        let items = items(tree, &format!("`{key}`"), findings)?;
        Some(At::new(items.iter().filter_map(|item| read_call(item, start, findings)).collect(), tree.place))
    };
    let (calls_exactly, calls_among) = (calls("calls", findings), calls("calls_include", findings));
    let mut names = |key, findings: &mut Findings<'_>| {
        let tree = map.optional(key)?;
        let what = format!("an item of `{key}`");
        let items = items(tree, &format!("`{key}`"), findings)?;
        Some(At::new(items.iter().filter_map(|item| full_text(item, &what, findings)).collect(), tree.place))
    };
    let expectation = Expectation {
        place: tree.place,
        path: names("path", findings),
        path_includes: names("path_includes", findings),
        excluded: names("excluded", findings),
        messages: exactly,
        messages_include: among,
        calls: calls_exactly,
        calls_include: calls_among,
        discarded,
        end: map.optional("end").and_then(|tree| read_end(tree, findings)),
        end_at: map.optional("end_at").and_then(|tree| moment(tree, "`end_at`", start, findings)),
        entries: map.optional("entries").and_then(|tree| count(tree, "`entries`", 0, findings)),
        document: map.optional("document").cloned(),
        profile: map.optional("profile").and_then(|tree| read_profile(tree, findings)),
        journey: map.optional("journey").and_then(|tree| full_text(tree, "`journey`", findings)),
        entry: map.optional("entry").and_then(|tree| count(tree, "`entry`", 1, findings)),
        fields: Default::default(),
    };
    let scopes = ["profile", "journey", "entry"];
    if map.keys().all(|(key, _)| scopes.contains(&key)) {
        findings.error_with(tree.place, "missing_key", "this expects nothing", EXPECT_HELP.to_owned());
    }
    map.finish(findings);
    Some(expectation)
}

fn count(tree: &Tree, what: &str, min: u32, findings: &mut Findings<'_>) -> Option<At<u32>> {
    let found = tree.text().and_then(|text| text.parse::<u32>().ok()).filter(|count| *count >= min);
    if found.is_none() {
        findings.error(tree.place, "wrong_type", format!("{what} must be a whole number from {min}"));
    }
    Some(At::new(found?, tree.place))
}

fn read_end(tree: &Tree, findings: &mut Findings<'_>) -> Option<At<End>> {
    if let Some(reason) = tree.text().and_then(|text| text.strip_prefix("discarded:")) {
        let message = "`end` says how an instance ended, and who is discarded has none";
        let suggestion = format!("write `discarded: [{}]`, and `entries: 0` if nobody entered", reason.trim());
        findings.error_with(tree.place, "unknown_value", message, suggestion);
        return None;
    }
    let words = End::words();
    let words: Vec<(&str, End)> = words.iter().map(|(word, end)| (word.as_str(), *end)).collect();
    choice(tree, "`end`", &words, findings).map(|end| At::new(end, tree.place))
}

fn read_discarded(tree: &Tree, findings: &mut Findings<'_>) -> Option<At<Vec<DiscardReason>>> {
    let words = DiscardReason::ALL.map(|reason| (word(reason), reason));
    let words = words.each_ref().map(|(word, reason)| (word.as_str(), *reason));
    let items = items(tree, "`discarded`", findings)?;
    let reasons = items.iter().filter_map(|item| choice(item, "a reason", &words, findings)).collect();
    Some(At::new(reasons, tree.place))
}

/// A name, or a map that says more.
fn read_message(tree: &Tree, start: Millis, findings: &mut Findings<'_>) -> Option<MessageExpectation> {
    if let Some(name) = tree.text() {
        return Some(blank(At::new(SmolStr::new(name), tree.place)));
    }
    let mut map = MapReader::open(tree, "an expected message", findings)?;
    let message = map.required("message", findings).and_then(|tree| full_text(tree, "`message`", findings));
    let at = map.optional("at").and_then(|tree| moment(tree, "`at`", start, findings));
    let channel = map.optional("channel").and_then(|tree| Some(At::new(read_channel(tree, findings)?, tree.place)));
    let mut one =
        |key, findings: &mut Findings<'_>| map.optional(key).and_then(|tree| text(tree, &format!("`{key}`"), findings));
    let (to, node) = (one("to", findings), one("node", findings));
    let (subject, body) = (one("subject", findings), one("body", findings));
    let mut parts = |key, findings: &mut Findings<'_>| read_parts(map.optional(key), key, findings);
    let subject_contains = parts("subject_contains", findings);
    let (body_contains, body_lacks) = (parts("body_contains", findings), parts("body_lacks", findings));
    map.finish(findings);
    Some(MessageExpectation {
        at,
        to,
        channel,
        node,
        subject,
        subject_contains,
        body,
        body_contains,
        body_lacks,
        place: tree.place,
        ..blank(message?)
    })
}

/// A name, or a map that says more.
fn read_call(tree: &Tree, start: Millis, findings: &mut Findings<'_>) -> Option<CallExpectation> {
    let named = |action: At<SmolStr>| CallExpectation {
        place: action.place,
        action,
        at: None,
        node: None,
        method: None,
        path: None,
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
    };
    if let Some(name) = tree.text() {
        return Some(named(At::new(SmolStr::new(name), tree.place)));
    }
    let mut map = MapReader::open(tree, "an expected call", findings)?;
    let action = match map.optional("source").and_then(|tree| full_text(tree, "`source`", findings)) {
        Some(source) => Some(At::new(source_name(&source.value), source.place)),
        None => map.required("action", findings).and_then(|tree| full_text(tree, "`action`", findings)),
    };
    let at = map.optional("at").and_then(|tree| moment(tree, "`at`", start, findings));
    let method = map
        .optional("method")
        .and_then(|tree| choice(tree, "`method`", &Method::WORDS, findings).map(|method| At::new(method, tree.place)));
    let mut one =
        |key, findings: &mut Findings<'_>| map.optional(key).and_then(|tree| text(tree, &format!("`{key}`"), findings));
    let (node, path) = (one("node", findings), one("path", findings));
    let mut texts = |key, findings: &mut Findings<'_>| -> Vec<(SmolStr, At<SmolStr>)> {
        let Some(tree) = map.optional(key) else { return Vec::new() };
        let found = entries(tree, &format!("`{key}`"), findings).unwrap_or_default();
        let read = |(name, _, value): (&str, Place, &Tree)| {
            Some((SmolStr::new(name), text(value, &format!("`{name}` in `{key}`"), findings)?))
        };
        found.into_iter().filter_map(read).collect()
    };
    let (query, headers) = (texts("query", findings), texts("headers", findings));
    let body = map.optional("body").map(|tree| At::new(literal::untyped(tree), tree.place));
    map.finish(findings);
    Some(CallExpectation { place: tree.place, at, node, method, path, query, headers, body, ..named(action?) })
}

fn blank(message: At<SmolStr>) -> MessageExpectation {
    MessageExpectation {
        place: message.place,
        message,
        at: None,
        to: None,
        channel: None,
        node: None,
        subject: None,
        subject_contains: Vec::new(),
        body: None,
        body_contains: Vec::new(),
        body_lacks: Vec::new(),
    }
}

/// One text, or a list of them.
fn read_parts(tree: Option<&Tree>, key: &str, findings: &mut Findings<'_>) -> Vec<At<SmolStr>> {
    let Some(tree) = tree else { return Vec::new() };
    let parts: &[Tree] = match &tree.shape {
        Shape::List(items) => items,
        _ => std::slice::from_ref(tree),
    };
    parts.iter().filter_map(|part| full_text(part, &format!("`{key}`"), findings)).collect()
}
