//! The nodes of a journey as written. Rules about the graph that they make live in `check`.

use smol_str::SmolStr;

use crate::domain::calendar::{DayTime, Days, Hours};
use crate::domain::event::{FEEDBACK_TYPES, is_feedback};
use crate::domain::journey::action::source_name;
use crate::domain::journey::definition::{
    ArmDefinition, Assignment, AwaitedDefinition, BranchDefinition, Dates, NodeDefinition, NodeForm, RacerDefinition,
    SHARES, ShareDefinition, Since, TestDefinition, WaitDefinition,
};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::bounds;
use crate::domain::journey::source::journey::{Listening, read_filter, read_moment};
use crate::domain::journey::source::optimize;
use crate::domain::journey::source::reader::{MapReader, choice, entries, full_text, items, listed, name, text};
use crate::domain::journey::source::tree::{Shape, Tree};
use crate::domain::limits;
use crate::domain::suggest::did_you_mean;

/// The key that says what a node does.
const FORMS: [&str; 15] = [
    "wait",
    "condition",
    "split",
    "message",
    "event",
    "first_of",
    "update_profile",
    "jump",
    "action",
    "data",
    "lookup",
    "fragment",
    "profile_cap",
    "optimize",
    "end",
];
/// Forms of later releases.
const LATER_FORMS: [&str; 1] = ["offer"];
const FORM_HELP: &str = "a node is one of `wait`, `condition`, `split`, `message`, `event`, `first_of`, `update_profile`, `jump`, `action`, \
     `data`, `lookup`, `fragment`, `profile_cap`, `optimize`, `end`";
const SINCE: [(&str, Since); 3] =
    [("entry", Since::Entry), ("last_message", Since::LastMessage), ("here", Since::Here)];

/// Reads the nodes of a journey.
pub fn read(tree: &Tree, findings: &mut Findings<'_>) -> Vec<NodeDefinition> {
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
        "first_of" => read_first_of(&mut map, findings),
        "update_profile" => read_update(&mut map, findings),
        "jump" => read_jump(&mut map, findings),
        "fragment" => read_fragment(&mut map, findings),
        "action" => read_action(&mut map, findings),
        "data" => read_data(&mut map, findings),
        "profile_cap" => read_profile_cap(&mut map, findings),
        "optimize" => optimize::read(&mut map, findings),
        "lookup" => read_lookup(&mut map, findings),
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
pub(super) fn read_then(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<At<SmolStr>> {
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
    let wait = read_wait_definition(tree, &map.what, findings);
    Some(NodeForm::Wait { wait: wait?, then: then? })
}

fn read_wait_definition(tree: &Tree, whose: &str, findings: &mut Findings<'_>) -> Option<WaitDefinition> {
    if let Shape::Map(_) = tree.shape {
        let mut inner = MapReader::open(tree, format!("`wait` of {whose}"), findings)?;
        if inner.has("time") || inner.has("days") {
            return read_local_wait(inner, findings);
        }
        let until = inner.required("until", findings).and_then(|tree| full_text(tree, "`until`", findings));
        inner.finish(findings);
        return until.map(WaitDefinition::Until);
    }
    bounds::span(tree, &format!("the `wait` of {whose}"), &bounds::WAIT, findings).map(WaitDefinition::For)
}

/// `wait: { time: "09:00", days: [mon] }`.
fn read_local_wait(mut map: MapReader<'_>, findings: &mut Findings<'_>) -> Option<WaitDefinition> {
    let time = map.optional("time").map(|tree| read_time(tree, "`time`", findings));
    let days = map.optional("days").map(|tree| read_days(tree, findings));
    map.finish(findings);
    let time = time.unwrap_or(Some(DayTime::MIDNIGHT));
    Some(WaitDefinition::Local { time: time?, days: days.unwrap_or(Some(Days::ALL))? })
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
pub(super) fn read_percent(tree: &Tree, findings: &mut Findings<'_>) -> Option<u32> {
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

/// `profile_cap: 1000`, or nothing behind it for the default.
fn read_profile_cap(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("profile_cap")?;
    let then = read_then(map, findings);
    let otherwise = match map.optional("otherwise") {
        Some(tree) => full_text(tree, "`otherwise`", findings),
        None => {
            let message = format!("{} leads nowhere for those who come when its places are taken", map.what);
            findings.error_with(map.place, "missing_otherwise", message, "add `otherwise: NODE`".to_owned());
            None
        }
    };
    let max = match tree.text() {
        None if tree.is_null() => Some(limits::PROFILE_CAP_DEFAULT),
        written => written
            .and_then(|written| written.replace('_', "").parse::<u64>().ok())
            .filter(|max| (1..=limits::PROFILE_CAP_MAX).contains(max)),
    };
    if max.is_none() {
        let message = format!("`profile_cap` of {} is no number of profiles", map.what);
        let suggestion =
            format!("use 1 to {}; nothing stands for {}", limits::PROFILE_CAP_MAX, limits::PROFILE_CAP_DEFAULT);
        findings.error_with(tree.place, "bad_profile_cap", message, suggestion);
    }
    Some(NodeForm::ProfileCap { max: max?, then: then?, otherwise: otherwise? })
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
    let whose = format!("the `within` of {}", map.what);
    let within = map.optional("within").map(|tree| bounds::span(tree, &whose, &bounds::WITHIN, findings));
    let on_timeout = map.optional("on_timeout").map(|tree| (text(tree, "`on_timeout`", findings), tree.place));
    if let (Some((_, place)), None) = (&on_timeout, &within) {
        let message = format!("{} has `on_timeout` but no `within`", map.what);
        findings.error_with(*place, "missing_key", message, "add `within: 30d`, or remove `on_timeout`".to_owned());
    }
    let awaited = read_awaited(map, findings);
    let on_timeout = match on_timeout {
        Some((target, _)) => Some(target?),
        None => None,
    };
    let within_ms = match within {
        Some(within) => Some(within?),
        None => None,
    };
    Some(NodeForm::Event { awaited: awaited?, within_ms, then: then?, on_timeout })
}

/// `event`, `when`, `since` and `of`.
fn read_awaited(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<AwaitedDefinition> {
    let since = map.optional("since").map(|tree| choice(tree, "`since`", &SINCE, findings));
    let of = map.optional("of").map(|tree| full_text(tree, "`of`", findings));
    let filter = read_filter(map, Listening::Inside, findings)?;
    match (is_feedback(&filter.event.value), &of) {
        (true, None) => {
            let message = format!("{} awaits feedback, but not on which message", map.what);
            findings.error_with(
                filter.event.place,
                "missing_key",
                message,
                "add `of: NODE`, a message node".to_owned(),
            );
            return None;
        }
        (false, Some(of)) => {
            let message = format!("`of` goes with feedback on a message, and `{}` is none", filter.event.value);
            let place = of.as_ref().map_or(filter.event.place, |of| of.place);
            let suggestion = format!("remove it, or await one of {}", listed(&FEEDBACK_TYPES));
            findings.error_with(place, "not_feedback", message, suggestion);
            return None;
        }
        _ => {}
    }
    let of = match of {
        Some(of) => Some(of?),
        None => None,
    };
    Some(AwaitedDefinition { filter, since: since.unwrap_or(Some(Since::Here))?, of })
}

/// `first_of: [ { event | wait, then } … ]`.
fn read_first_of(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("first_of")?;
    let items = items(tree, &format!("`first_of` of {}", map.what), findings)?;
    if items.len() < 2 || items.len() > limits::BRANCHES_MAX {
        let message = format!("{} has {} ways; 2 to {} are allowed", map.what, items.len(), limits::BRANCHES_MAX);
        findings.error(tree.place, "bad_first_of", message);
        return None;
    }
    let arms: Vec<_> = items.iter().filter_map(|item| read_arm(item, &map.what, findings)).collect();
    (arms.len() == items.len()).then_some(NodeForm::FirstOf { arms })
}

fn read_arm(item: &Tree, whose: &str, findings: &mut Findings<'_>) -> Option<ArmDefinition> {
    let mut arm = MapReader::open(item, format!("a way of {whose}"), findings)?;
    let then = read_then(&mut arm, findings);
    let what = match (arm.has("event"), arm.optional("wait")) {
        (true, None) => read_awaited(&mut arm, findings).map(RacerDefinition::Event),
        (false, Some(tree)) => read_wait_definition(tree, &arm.what, findings).map(RacerDefinition::Wait),
        _ => {
            let message = format!("{} needs either `event` or `wait`", arm.what);
            findings.error_with(
                arm.place,
                "bad_first_of",
                message,
                "list events and waits, each with `then`".to_owned(),
            );
            return None;
        }
    };
    arm.finish(findings);
    Some(ArmDefinition { what: what?, then: then? })
}

fn read_update(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("update_profile")?;
    let then = read_then(map, findings);
    let fields = read_values(tree, &format!("`update_profile` of {}", map.what), findings)?;
    bounds::count(tree, &map.what, fields.len(), &bounds::UPDATE_FIELDS, findings);
    Some(NodeForm::UpdateProfile { fields, then: then? })
}

fn read_jump(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let journey = map.optional("jump").and_then(|tree| full_text(tree, "`jump`", findings));
    let with = map.optional("with").map(|tree| read_values(tree, &format!("`with` of {}", map.what), findings));
    let then = read_then(map, findings);
    Some(NodeForm::Jump { journey: journey?, with: with.unwrap_or(Some(Vec::new()))?, then: then? })
}

fn read_fragment(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let fragment = map.optional("fragment").and_then(|tree| full_text(tree, "`fragment`", findings));
    let then = read_then(map, findings);
    Some(NodeForm::Fragment { fragment: fragment?, then: then? })
}

fn read_action(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let action = map.optional("action").and_then(|tree| full_text(tree, "`action`", findings));
    read_call(action, map, findings)
}

/// A data source is called as an action is.
fn read_data(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let source = map.optional("data").and_then(|tree| full_text(tree, "`data`", findings));
    read_call(source.map(|source| At::new(source_name(&source.value), source.place)), map, findings)
}

fn read_lookup(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let dataset = map.optional("lookup").and_then(|tree| full_text(tree, "`lookup`", findings));
    let keys = map.required("keys", findings).and_then(|tree| full_text(tree, "`keys`", findings));
    let fields = map.required("fields", findings).and_then(|tree| {
        let written = items(tree, "`fields`", findings)?;
        let fields: Vec<_> = written.iter().filter_map(|item| full_text(item, "a field", findings)).collect();
        bounds::count(tree, &map.what, written.len(), &bounds::LOOKUP_FIELDS, findings);
        (fields.len() == written.len()).then_some(fields)
    });
    let then = read_then(map, findings);
    Some(NodeForm::Lookup { dataset: dataset?, keys: keys?, fields: fields?, then: then? })
}

fn read_call(action: Option<At<SmolStr>>, map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let with = map.optional("with").map(|tree| read_values(tree, &format!("`with` of {}", map.what), findings));
    let then = read_then(map, findings);
    Some(NodeForm::Action { action: action?, with: with.unwrap_or(Some(Vec::new()))?, then: then? })
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
