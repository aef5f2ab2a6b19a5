//! `kind: journey`: the graph of named nodes as written. Rules about the graph live in `check`.

use jiff::tz::TimeZone;
use smol_str::SmolStr;

use crate::domain::calendar::{self, DayTime, Days, Hours, Moment};
use crate::domain::event::RESERVED_PREFIXES;
use crate::domain::ids::Millis;
use crate::domain::journey::definition::{
    Assignment, BranchDefinition, Dates, FilterDefinition, JourneyDefinition, LocalTime, NodeDefinition, NodeForm,
    SHARES, ShareDefinition, TestDefinition,
};
use crate::domain::journey::findings::{At, Findings, Place};
use crate::domain::journey::program::Reentry;
use crate::domain::journey::source::reader::{
    MapReader, choice, duration, entries, event_name, full_text, items, listed, name, text,
};
use crate::domain::journey::source::tree::{Shape, Tree};
use crate::domain::limits;
use crate::domain::suggest::did_you_mean;

/// The key that says what a node does.
const FORMS: [&str; 8] = ["wait", "condition", "split", "message", "event", "update_profile", "jump", "end"];
/// Forms of later releases.
const LATER_FORMS: [&str; 6] = ["action", "experiment", "offer", "optimize", "parallel", "profile_cap"];
const FORM_HELP: &str =
    "a node is one of `wait`, `condition`, `split`, `message`, `event`, `update_profile`, `jump`, `end`";
const ENTRY_HELP: &str = "journeys are entered by events: `entry: { event: NAME, when: … }`";
const EVENT_HELP: &str = "await an event of your own, declared with `kind: event`";
const LOCAL_TIMES: [(&str, LocalTime); 2] = [("journey", LocalTime::Journey), ("profile", LocalTime::Profile)];
/// Re-entrance unless given (spec §2.2).
const REENTRY: Reentry = Reentry::After(limits::REENTRY_MS_MIN);

/// Reads a journey. Whatever can't be read leaves `broken` set and a finding behind.
pub fn read(journey_name: At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> JourneyDefinition {
    let before = findings.count();
    name(&journey_name, "a journey", findings);
    let timezone = map.optional("timezone").and_then(|tree| read_timezone(tree, findings));
    let local_time = map.optional("local_time").and_then(|tree| choice(tree, "`local_time`", &LOCAL_TIMES, findings));
    let starts_at = map.optional("start_date").and_then(|tree| read_instant(tree, "`start_date`", findings));
    let ends_at = map.optional("end_date").and_then(|tree| read_instant(tree, "`end_date`", findings));
    let entry = map.required("entry", findings).and_then(|tree| read_entry(tree, findings));
    let reentry = match map.optional("reentry") {
        Some(tree) => read_reentry(tree, findings),
        None => Some(At::new(REENTRY, journey_name.place)),
    };
    let (exit, exit_when) = map.optional("exit").map(|tree| read_exit(tree, findings)).unwrap_or_default();
    let timeout =
        map.optional("timeout").and_then(|tree| duration(tree, "`timeout`", (1, limits::TIMEOUT_MS_MAX), findings));
    let start = map.required("start", findings).and_then(|tree| full_text(tree, "`start`", findings));
    let nodes = map.required("nodes", findings).map(|tree| read_nodes(tree, findings)).unwrap_or_default();
    for later in ["priority", "rule_set", "holdout"] {
        map.not_available(later, "remove it", findings);
    }
    map.finish(findings);
    JourneyDefinition {
        name: journey_name,
        timezone: timezone.unwrap_or_else(|| SmolStr::new_static("UTC")),
        local_time: local_time.unwrap_or(LocalTime::Journey),
        starts_at: starts_at.map(|at| at.value),
        ends_at,
        entry: entry.unwrap_or_default(),
        reentry: reentry.unwrap_or_else(|| At::new(REENTRY, Place::default())),
        exit,
        exit_when,
        timeout_ms: timeout.map_or(limits::TIMEOUT_MS_MAX, |at| at.value),
        start: start.unwrap_or_default(),
        nodes,
        broken: findings.any_error_since(before),
    }
}

fn read_timezone(tree: &Tree, findings: &mut Findings<'_>) -> Option<SmolStr> {
    let zone = full_text(tree, "`timezone`", findings)?;
    let known = calendar::zone_names();
    if known.iter().any(|name| name.eq_ignore_ascii_case(&zone.value)) {
        return Some(zone.value);
    }
    let suggestion = did_you_mean(&zone.value, known.iter().map(String::as_str))
        .unwrap_or_else(|| "use an IANA name such as `Europe/Paris`".to_owned());
    findings.error_with(zone.place, "unknown_timezone", format!("unknown time zone `{}`", zone.value), suggestion);
    None
}

/// An instant; without an offset in UTC (spec §2.5: not in the journey's zone).
fn read_instant(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<At<Millis>> {
    let moment = read_moment(tree, what, findings)?;
    moment.value.begins(&TimeZone::UTC).map(|instant| At::new(instant, moment.place))
}

fn read_moment(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<At<Moment>> {
    let written = full_text(tree, what, findings)?;
    let moment = Moment::parse(&written.value);
    // Beyond the years that events may come from nothing happens.
    let sane = moment.filter(|moment| {
        let begins = moment.begins(&TimeZone::UTC);
        begins.is_some_and(|at| (limits::EVENT_TIME_MIN..=limits::EVENT_TIME_MAX).contains(&at))
    });
    if sane.is_none() {
        let suggestion = "write it as `2026-12-01`, `2026-12-01T09:00` or `2026-12-01T09:00:00Z`".to_owned();
        findings.error_with(tree.place, "bad_date", format!("{what} can't be `{}`", written.value), suggestion);
    }
    sane.map(|moment| At::new(moment, tree.place))
}

fn read_entry(tree: &Tree, findings: &mut Findings<'_>) -> Option<FilterDefinition> {
    let mut map = MapReader::open(tree, "`entry`", findings)?;
    for later in ["audience", "read_audience", "qualification", "business_event", "schedule"] {
        if map.not_available(later, ENTRY_HELP, findings) {
            return None;
        }
    }
    let filter = read_filter(&mut map, findings);
    map.finish(findings);
    filter
}

/// Those by an event, and those by what the profile is.
fn read_exit(tree: &Tree, findings: &mut Findings<'_>) -> (Vec<FilterDefinition>, Vec<At<SmolStr>>) {
    let (mut exits, mut exits_when) = (Vec::new(), Vec::new());
    let Some(items) = items(tree, "`exit`", findings) else { return (exits, exits_when) };
    if items.len() > limits::EXITS_MAX {
        let message = format!("{} exit criteria; at most {} are allowed", items.len(), limits::EXITS_MAX);
        findings.error(tree.place, "too_many_exits", message);
    }
    for item in items {
        let Some(mut map) = MapReader::open(item, "an exit criterion", findings) else { continue };
        if map.not_available("audience", "exit by an event: `exit: [ { event: NAME, when: … } ]`", findings) {
            continue;
        }
        if map.has("when") && !map.has("event") {
            exits_when.extend(map.optional("when").and_then(|tree| full_text(tree, "`when`", findings)));
            map.optional("event");
        } else {
            exits.extend(read_filter(&mut map, findings));
        }
        map.finish(findings);
    }
    (exits, exits_when)
}

/// `event` and `when`.
fn read_filter(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<FilterDefinition> {
    let event = map.required("event", findings).and_then(|tree| full_text(tree, "`event`", findings));
    let when = map.optional("when").map(|tree| full_text(tree, "`when`", findings));
    let event = event?;
    if !event_name(&event, "an event type", findings) {
        return None;
    }
    if event.value.starts_with("message.") {
        let message = format!("awaiting `{}` is not available in this release", event.value);
        findings.error_with(event.place, "not_available", message, EVENT_HELP.to_owned());
        return None;
    }
    if RESERVED_PREFIXES.iter().any(|prefix| event.value.starts_with(prefix)) {
        let message = format!("events of the reserved type `{}` can't be awaited", event.value);
        findings.error_with(event.place, "reserved_event", message, EVENT_HELP.to_owned());
        return None;
    }
    match when {
        Some(when) => Some(FilterDefinition { event, when: Some(when?) }),
        None => Some(FilterDefinition { event, when: None }),
    }
}

fn read_reentry(tree: &Tree, findings: &mut Findings<'_>) -> Option<At<Reentry>> {
    if tree.text() == Some("never") {
        return Some(At::new(Reentry::Never, tree.place));
    }
    if !matches!(tree.shape, Shape::Map(_)) {
        let suggestion = "write `never` or `{ after: 1d }`".to_owned();
        findings.error_with(tree.place, "unknown_value", "`reentry` can't be read".to_owned(), suggestion);
        return None;
    }
    let mut map = MapReader::open(tree, "`reentry`", findings)?;
    let bounds = (limits::REENTRY_MS_MIN, limits::REENTRY_MS_MAX);
    let after = map.required("after", findings).and_then(|tree| duration(tree, "`after`", bounds, findings));
    map.finish(findings);
    Some(At::new(Reentry::After(after?.value), tree.place))
}

fn read_nodes(tree: &Tree, findings: &mut Findings<'_>) -> Vec<NodeDefinition> {
    let mut nodes = Vec::new();
    for (node_name, place, value) in entries(tree, "`nodes`", findings).unwrap_or_default() {
        let node_name = At::new(SmolStr::new(node_name), place);
        name(&node_name, "a node", findings);
        let (form, on_error) = read_node(&node_name, value, findings);
        nodes.push(NodeDefinition { name: node_name, form: form.unwrap_or(NodeForm::Broken), on_error });
    }
    nodes
}

fn read_node(
    node_name: &At<SmolStr>,
    tree: &Tree,
    findings: &mut Findings<'_>,
) -> (Option<NodeForm>, Option<At<SmolStr>>) {
    let Some(mut map) = MapReader::open(tree, format!("node `{}`", node_name.value), findings) else {
        return (None, None);
    };
    let forms: Vec<&str> = FORMS.into_iter().filter(|form| map.has(form)).collect();
    let form = match forms.as_slice() {
        [form] => *form,
        [] => {
            unknown_form(node_name, &map, findings);
            return (None, None);
        }
        several => {
            let message = format!("node `{}` does several things: {}", node_name.value, listed(several));
            findings.error_with(node_name.place, "ambiguous_node", message, "make each a node of its own".to_owned());
            return (None, None);
        }
    };
    let form = match form {
        "wait" => read_wait(&mut map, findings),
        "condition" => read_condition(&mut map, findings),
        "split" => read_split(&mut map, findings),
        "message" => read_message(&mut map, findings),
        "event" => read_event(&mut map, findings),
        "update_profile" => read_update(&mut map, findings),
        "jump" => read_jump(&mut map, findings),
        _ => read_end(&mut map, findings),
    };
    let on_error = map.optional("on_error").map(|tree| full_text(tree, "`on_error`", findings));
    map.finish(findings);
    match on_error {
        Some(None) => (None, None),
        Some(target) => (form, target),
        None => (form, None),
    }
}

fn unknown_form(node_name: &At<SmolStr>, map: &MapReader<'_>, findings: &mut Findings<'_>) {
    if let Some((later, place)) = map.keys().find(|(key, _)| LATER_FORMS.contains(key)) {
        let message = format!("`{later}` in node `{}` is not available in this release", node_name.value);
        findings.error_with(place, "not_available", message, FORM_HELP.to_owned());
        return;
    }
    let suggestion = map.keys().find_map(|(key, _)| did_you_mean(key, FORMS)).unwrap_or_else(|| FORM_HELP.to_owned());
    let message = format!("node `{}` says nothing that a node can do", node_name.value);
    findings.error_with(node_name.place, "unknown_node_form", message, suggestion);
}

/// `then`: every node but an end has a way on.
fn read_then(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<At<SmolStr>> {
    match map.optional("then") {
        Some(tree) => full_text(tree, "`then`", findings),
        None => {
            let message = format!("{} leads nowhere", map.what);
            let suggestion = "add `then: NODE`; a path stops at a node `{ end: true }`".to_owned();
            findings.error_with(map.place, "missing_end", message, suggestion);
            None
        }
    }
}

fn read_wait(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("wait")?;
    let then = read_then(map, findings);
    if let Shape::Map(_) = tree.shape {
        let mut inner = MapReader::open(tree, format!("`wait` of {}", map.what), findings)?;
        if inner.has("time") || inner.has("days") {
            return read_local_wait(inner, then, findings);
        }
        let until = inner.required("until", findings).and_then(|tree| full_text(tree, "`until`", findings));
        inner.finish(findings);
        return Some(NodeForm::WaitUntil { until: until?, then: then? });
    }
    let duration_ms = duration(tree, "`wait`", (1, limits::WAIT_MS_MAX), findings);
    Some(NodeForm::Wait { duration_ms: duration_ms?, then: then? })
}

/// `wait: { time: "09:00", days: [mon] }`.
fn read_local_wait(mut map: MapReader<'_>, then: Option<At<SmolStr>>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let time = map.optional("time").map(|tree| read_time(tree, "`time`", findings));
    let days = map.optional("days").map(|tree| read_days(tree, findings));
    map.finish(findings);
    let time = time.unwrap_or(Some(DayTime::MIDNIGHT));
    Some(NodeForm::WaitLocal { time: time?, days: days.unwrap_or(Some(Days::ALL))?, then: then? })
}

fn read_time(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<DayTime> {
    let written = full_text(tree, what, findings)?;
    let time = DayTime::parse(&written.value);
    if time.is_none() {
        let message = format!("{what} can't be `{}`", written.value);
        findings.error_with(tree.place, "bad_time", message, "write it as `\"09:00\"`, up to `\"24:00\"`".to_owned());
    }
    time
}

fn read_days(tree: &Tree, findings: &mut Findings<'_>) -> Option<Days> {
    let words: Vec<&str> = items(tree, "`days`", findings)?.iter().filter_map(Tree::text).collect();
    let days = Days::of(words);
    if days.is_none() {
        let message = "`days` can't be read".to_owned();
        findings.error_with(tree.place, "bad_days", message, format!("list some of {}", listed(&Days::NAMES)));
    }
    days
}

fn read_split(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("split")?;
    let items = items(tree, &format!("`split` of {}", map.what), findings)?;
    if items.len() < 2 || items.len() > limits::BRANCHES_MAX {
        let message = format!("{} has {} ways; 2 to {} are allowed", map.what, items.len(), limits::BRANCHES_MAX);
        findings.error(tree.place, "bad_split", message);
        return None;
    }
    let mut shares = Vec::new();
    for item in items {
        let Some(mut way) = MapReader::open(item, format!("a way of {}", map.what), findings) else { continue };
        let share = way.required("percent", findings).and_then(|tree| read_percent(tree, findings));
        let then = read_then(&mut way, findings);
        way.finish(findings);
        if let (Some(share), Some(then)) = (share, then) {
            shares.push(ShareDefinition { share, then });
        }
    }
    if shares.len() < items.len() {
        return None;
    }
    let sum: u32 = shares.iter().map(|way| way.share).sum();
    if sum != SHARES {
        let message = format!("the shares of {} add up to {} %, not 100 %", map.what, f64::from(sum) / 100.0);
        findings.error_with(tree.place, "bad_split", message, "make them 100 together".to_owned());
    }
    Some(NodeForm::Split { shares })
}

/// Hundredths of a percent.
fn read_percent(tree: &Tree, findings: &mut Findings<'_>) -> Option<u32> {
    let written = full_text(tree, "`percent`", findings)?;
    let hundredths = written.value.parse::<f64>().ok().map(|percent| percent * 100.0);
    let share =
        hundredths.filter(|share| (0.0..=f64::from(SHARES)).contains(share) && (share - share.round()).abs() < 1e-6);
    if share.is_none() {
        let message = format!("`percent` can't be `{}`", written.value);
        findings.error_with(tree.place, "bad_percent", message, "use 0 to 100, with at most two decimals".to_owned());
    }
    share.map(|share| share.round() as u32)
}

fn read_condition(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("condition")?;
    let otherwise = map.optional("otherwise").map(|tree| full_text(tree, "`otherwise`", findings));
    let items = items(tree, &format!("`condition` of {}", map.what), findings)?;
    if items.is_empty() {
        let message = format!("condition {} has no branch", map.what);
        findings.error_with(tree.place, "empty_condition", message, "add `- when: …` with `then: NODE`".to_owned());
        return None;
    }
    if items.len() > limits::BRANCHES_MAX {
        let message = format!("{} branches; at most {} are allowed", items.len(), limits::BRANCHES_MAX);
        findings.error(tree.place, "too_many_branches", message);
    }
    let mut branches = Vec::new();
    for item in items {
        let Some(mut branch) = MapReader::open(item, format!("a branch of {}", map.what), findings) else { continue };
        let test = read_test(&mut branch, findings);
        let then = read_then(&mut branch, findings);
        branch.finish(findings);
        if let (Some(test), Some(then)) = (test, then) {
            branches.push(BranchDefinition { test, then });
        }
    }
    let otherwise = match otherwise {
        Some(target) => Some(target?),
        None => None,
    };
    // A branch that could not be read may be the only way to some node: then the node as a whole is broken.
    (branches.len() == items.len()).then_some(NodeForm::Condition { branches, otherwise })
}

/// `when`, `time` or `date`.
fn read_test(branch: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<TestDefinition> {
    let (time, date) = (branch.optional("time"), branch.optional("date"));
    if time.is_some() && date.is_some() || (time.or(date).is_some() && branch.has("when")) {
        let message = format!("{} asks for several things", branch.what);
        let suggestion = "make each a condition of its own, or write all of it as one `when`".to_owned();
        findings.error_with(branch.place, "ambiguous_branch", message, suggestion);
        branch.optional("when");
        return None;
    }
    if let Some(tree) = time {
        let mut map = MapReader::open(tree, format!("`time` of {}", branch.what), findings)?;
        let days = map.optional("days").map(|tree| read_days(tree, findings));
        let from = map.optional("from").map(|tree| read_time(tree, "`from`", findings));
        let to = map.optional("to").map(|tree| read_time(tree, "`to`", findings));
        map.finish(findings);
        let hours = Hours {
            days: days.unwrap_or(Some(Days::ALL))?,
            from: from.unwrap_or(Some(DayTime::MIDNIGHT))?,
            to: to.unwrap_or(Some(DayTime::END))?,
        };
        if hours.from == hours.to {
            let message = format!("`time` of {} begins when it ends", branch.what);
            findings.error_with(tree.place, "bad_time", message, "leave both out for the whole day".to_owned());
            return None;
        }
        return Some(TestDefinition::Time(hours));
    }
    if let Some(tree) = date {
        let mut map = MapReader::open(tree, format!("`date` of {}", branch.what), findings)?;
        let from = map.optional("from").map(|tree| read_moment(tree, "`from`", findings));
        let to = map.optional("to").map(|tree| read_moment(tree, "`to`", findings));
        map.finish(findings);
        let (from, to) = (from.map_or(Some(None), |at| at.map(Some))?, to.map_or(Some(None), |at| at.map(Some))?);
        return Some(TestDefinition::Date(Dates { from: from.map(|at| at.value), to: to.map(|at| at.value) }));
    }
    let when = branch.required("when", findings).and_then(|tree| full_text(tree, "`when`", findings));
    when.map(TestDefinition::When)
}

fn read_message(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("message")?;
    let then = read_then(map, findings);
    let message = full_text(tree, "`message`", findings);
    Some(NodeForm::Message { message: message?, then: then? })
}

fn read_event(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let then = read_then(map, findings);
    let within = map.optional("within").map(|tree| duration(tree, "`within`", (1, limits::WAIT_MS_MAX), findings));
    let on_timeout = map.optional("on_timeout").map(|tree| (text(tree, "`on_timeout`", findings), tree.place));
    if let (Some((_, place)), None) = (&on_timeout, &within) {
        let message = format!("{} has `on_timeout` but no `within`", map.what);
        findings.error_with(*place, "missing_key", message, "add `within: 30d`, or remove `on_timeout`".to_owned());
    }
    // Feedback on a message is the one event that `of` goes with; the event's type says so already.
    let filter = read_filter(map, findings);
    if filter.is_some() {
        map.not_available("of", EVENT_HELP, findings);
    } else {
        map.optional("of");
    }
    let on_timeout = match on_timeout {
        Some((target, _)) => Some(target?),
        None => None,
    };
    let within_ms = match within {
        Some(within) => Some(within?),
        None => None,
    };
    Some(NodeForm::Event { filter: filter?, within_ms, then: then?, on_timeout })
}

fn read_update(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("update_profile")?;
    let then = read_then(map, findings);
    let fields = read_values(tree, &format!("`update_profile` of {}", map.what), findings)?;
    if fields.is_empty() || fields.len() > limits::UPDATE_FIELDS_MAX {
        let message =
            format!("{} sets {} fields; 1 to {} are allowed", map.what, fields.len(), limits::UPDATE_FIELDS_MAX);
        findings.error_with(tree.place, "bad_update", message, "use several nodes for more".to_owned());
    }
    Some(NodeForm::UpdateProfile { fields, then: then? })
}

fn read_jump(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let journey = map.optional("jump").and_then(|tree| full_text(tree, "`jump`", findings));
    let with = map.optional("with").map(|tree| read_values(tree, &format!("`with` of {}", map.what), findings));
    let then = read_then(map, findings);
    Some(NodeForm::Jump { journey: journey?, with: with.unwrap_or(Some(Vec::new()))?, then: then? })
}

/// Names and expressions.
fn read_values(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<Vec<Assignment>> {
    let found = entries(tree, what, findings)?;
    let values: Vec<_> = found
        .iter()
        .filter_map(|(name, place, value)| {
            let value = match value.is_null() {
                true => At::new(SmolStr::new_static("null"), value.place),
                false => full_text(value, &format!("`{name}` in {what}"), findings)?,
            };
            Some((At::new(SmolStr::new(name), *place), value))
        })
        .collect();
    (values.len() == found.len()).then_some(values)
}

fn read_end(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("end")?;
    if matches!(&tree.shape, Shape::Word(word) if word == "true") {
        return Some(NodeForm::End);
    }
    findings.error_with(tree.place, "wrong_type", "`end` can only be `true`", "write `{ end: true }`".to_owned());
    None
}
