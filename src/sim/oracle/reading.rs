//! Documents to what they say: messages and journeys.

use std::collections::BTreeMap;

use crate::sim::oracle::cel::{Cel, parse};
use crate::sim::oracle::clock;
use crate::sim::oracle::resources::{Arm, Awaited, Filter, Journey, Message, Node, SupplementalId, Test, Wait};
use crate::sim::oracle::yaml::Tree;

/// Milliseconds of units.
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// A message as written.
pub(super) fn message(document: &Tree) -> Result<Message, String> {
    let word = |key| document.word(key).map(str::to_owned);
    let (subject, body) = (word("subject"), document.must("body")?.to_owned());
    let mut reads = Vec::new();
    for text in subject.iter().chain([&body]) {
        for tag in text.split("{{").skip(1) {
            let inside = tag.split("}}").next().unwrap_or("");
            reads.push(inside.split('|').next().unwrap_or("").trim().to_owned());
        }
    }
    let channel = document.must("channel")?.to_owned();
    let usual = match channel.as_str() {
        "email" if body.trim_start().starts_with('<') => "html",
        "webhook" => "json",
        _ => "text",
    };
    let format = document.word("format").unwrap_or(usual).to_owned();
    Ok(Message { channel, surface: word("surface"), subject, body, format, reads })
}

/// A journey as written, with copies of the fragments that it takes over.
pub(super) fn journey(document: &Tree, fragments: &BTreeMap<String, Tree>) -> Result<Journey, String> {
    let reentry_ms = match document.get("reentry") {
        None => Some(5 * MINUTE_MS),
        Some(Tree::Word(_)) => None,
        Some(rule) => Some(duration_ms(rule.must("after")?)?),
    };
    let timeout_ms = document.word("timeout").map_or(Ok(91 * DAY_MS), duration_ms)?;
    let call_timeout_ms = document.word("call_timeout").map_or(Ok(MINUTE_MS / 2), duration_ms)?;
    let (mut nodes, mut on_error) = (BTreeMap::new(), BTreeMap::new());
    let mut entries: Vec<(String, Tree)> = Vec::new();
    for (name, tree) in document.entries("nodes") {
        match tree.get("fragment") {
            None => entries.push((name.clone(), tree.clone())),
            Some(_) => entries.extend(taken_over(name, tree, fragments)?),
        }
    }
    for (name, tree) in &entries {
        let node = node(tree)?;
        let on_error_of = tree.word("on_error").filter(|_| node.may_fail());
        on_error.extend(on_error_of.map(|target| (name.clone(), target.to_owned())));
        nodes.insert(name.clone(), node);
    }
    let supplemental_id = match document.get("entry").and_then(|entry| entry.word("supplemental_id")) {
        Some("event.items.map(i, i.id)") => Some(SupplementalId::Items),
        Some(one) => Some(SupplementalId::One(parse(one)?)),
        None => None,
    };
    let exits = document.items("exit").iter();
    let instant = |key| document.word(key).map(|text| clock::begins_ms(text, "UTC")).transpose();
    Ok(Journey {
        entry: filter(document.get("entry").ok_or("a journey without an entry")?)?,
        supplemental_id,
        exits: exits.clone().filter(|exit| exit.get("event").is_some()).map(filter).collect::<Result<_, _>>()?,
        exits_when: exits
            .filter(|exit| exit.get("event").is_none())
            .map(|exit| parse(exit.must("when")?))
            .collect::<Result<_, _>>()?,
        rule_set: document.word("rule_set").map(str::to_owned),
        priority: document.word("priority").map_or(Ok(50), count)?,
        reentry_ms,
        timeout_ms,
        call_timeout_ms,
        timezone: document.word("timezone").unwrap_or("UTC").to_owned(),
        is_local_to_profile: document.word("local_time") == Some("profile"),
        starts_at_ms: instant("start_date")?,
        ends_at_ms: instant("end_date")?,
        on_error,
        description: document.word("description").map(str::to_owned),
        start: document.must("start")?.to_owned(),
        nodes,
    })
}

fn filter(tree: &Tree) -> Result<Filter, String> {
    Ok(Filter { event: tree.must("event")?.to_owned(), when: tree.word("when").map(parse).transpose()? })
}

fn node(tree: &Tree) -> Result<Node, String> {
    let then = || tree.must("then").map(str::to_owned);
    Ok(match tree {
        _ if tree.get("end").is_some() => Node::End,
        _ if tree.get("message").is_some() => {
            Node::Message { message: tree.must("message")?.to_owned(), then: then()? }
        }
        _ if tree.get("update_profile").is_some() => {
            Node::Update { fields: values(tree.entries("update_profile"))?, then: then()? }
        }
        _ if tree.get("action").is_some() => {
            Node::Action { action: tree.must("action")?.to_owned(), with: values(tree.entries("with"))?, then: then()? }
        }
        _ if tree.get("data").is_some() => Node::Action {
            action: format!("source:{}", tree.must("data")?),
            with: values(tree.entries("with"))?,
            then: then()?,
        },
        _ if tree.get("lookup").is_some() => Node::Lookup {
            dataset: tree.must("lookup")?.to_owned(),
            keys: parse(tree.must("keys")?)?,
            fields: tree.items("fields").iter().filter_map(text_of).collect(),
            then: then()?,
        },
        _ if tree.get("jump").is_some() => {
            Node::Jump { journey: tree.must("jump")?.to_owned(), with: values(tree.entries("with"))?, then: then()? }
        }
        _ if tree.get("condition").is_some() => {
            let branch = |tree: &Tree| Ok((test(tree)?, tree.must("then")?.to_owned()));
            let branches = tree.items("condition").iter().map(branch).collect::<Result<_, String>>()?;
            Node::Condition { branches, otherwise: tree.word("otherwise").map(str::to_owned) }
        }
        _ if tree.get("optimize").is_some() => optimize(tree.get("optimize").ok_or("no method")?)?,
        _ if tree.get("profile_cap").is_some() => Node::ProfileCap {
            max: match tree.must("profile_cap")? {
                "" | "~" | "null" => 1_000,
                max => max.parse().map_err(|_| "no number of profiles".to_owned())?,
            },
            then: then()?,
            otherwise: tree.must("otherwise")?.to_owned(),
        },
        _ if tree.get("split").is_some() => {
            let share = |tree: &Tree| {
                let percent: f64 = tree.must("percent")?.parse().map_err(|_| "no percentage".to_owned())?;
                Ok(((percent * 100.0).round() as u32, tree.must("then")?.to_owned()))
            };
            Node::Split { shares: tree.items("split").iter().map(share).collect::<Result<_, String>>()? }
        }
        _ if tree.get("first_of").is_some() => {
            let arm = |tree: &Tree| {
                let arm = match tree.get("wait") {
                    Some(wait_tree) => Arm::Wait(wait(wait_tree)?),
                    None => Arm::Event(awaited(tree)?),
                };
                Ok((arm, tree.must("then")?.to_owned()))
            };
            Node::FirstOf { arms: tree.items("first_of").iter().map(arm).collect::<Result<_, String>>()? }
        }
        _ if tree.get("event").is_some() => Node::Event {
            awaited: awaited(tree)?,
            within_ms: tree.word("within").map(duration_ms).transpose()?,
            then: then()?,
            on_timeout: tree.word("on_timeout").map(str::to_owned),
        },
        _ => match tree.get("wait") {
            Some(tree) => Node::Wait { wait: wait(tree)?, then: then()? },
            None => return Err(format!("a node that does nothing: {tree:?}")),
        },
    })
}

fn wait(tree: &Tree) -> Result<Wait, String> {
    Ok(match tree {
        Tree::Word(wait) => Wait::For(duration_ms(wait)?),
        clock if clock.get("until").is_none() => {
            Wait::Clock { time_ms: clock.word("time").map_or(Ok(0), clock::time_ms)?, days: clock::days(clock)? }
        }
        until => Wait::Until(parse(until.must("until")?)?),
    })
}

fn awaited(tree: &Tree) -> Result<Awaited, String> {
    let since = tree.word("since").unwrap_or("here").to_owned();
    Ok(Awaited { filter: filter(tree)?, since, of: tree.word("of").map(str::to_owned) })
}

/// The nodes of a fragment as the journey has them: the first under the name of the node that takes it over, the others
/// behind it; where it ends that node's way on.
fn taken_over(name: &str, user: &Tree, fragments: &BTreeMap<String, Tree>) -> Result<Vec<(String, Tree)>, String> {
    let fragment = fragments.get(user.must("fragment")?).ok_or("an unknown fragment")?;
    let (start, then) = (fragment.must("start")?, user.must("then")?);
    let inner = fragment.entries("nodes");
    let renamed = |inner: &str| if inner == start { name.to_owned() } else { format!("{name}.{inner}") };
    let target = |to: &str| {
        let is_end = inner.iter().any(|(known, tree)| known == to && tree.get("end").is_some());
        if is_end { then.to_owned() } else { renamed(to) }
    };
    let nodes = inner.iter().filter(|(_, tree)| tree.get("end").is_none());
    let copy = |tree: &Tree| match (retargeted(tree, &target), user.get("on_error")) {
        // What fails and has no way of its own takes that of the node.
        (Tree::Map(mut entries), Some(on_error)) if tree.get("on_error").is_none() => {
            entries.push(("on_error".to_owned(), on_error.clone()));
            Tree::Map(entries)
        }
        (copy, _) => copy,
    };
    Ok(nodes.map(|(inner, tree)| (renamed(inner), copy(tree))).collect())
}

/// A tree with every target in it replaced.
fn retargeted(tree: &Tree, target: &impl Fn(&str) -> String) -> Tree {
    match tree {
        Tree::Map(entries) => Tree::Map(
            entries
                .iter()
                .map(|(key, value)| match (key.as_str(), value) {
                    ("then" | "otherwise" | "on_timeout" | "on_error" | "of" | "fallback", Tree::Word(to)) => {
                        (key.clone(), Tree::Word(target(to)))
                    }
                    (_, value) => (key.clone(), retargeted(value, target)),
                })
                .collect(),
        ),
        Tree::List(items) => Tree::List(items.iter().map(|item| retargeted(item, target)).collect()),
        Tree::Word(_) => tree.clone(),
    }
}

/// A whole number.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn values(entries: &[(String, Tree)]) -> Result<Vec<(String, Cel)>, String> {
    let value = |(name, tree): &(String, Tree)| match tree {
        Tree::Word(word) => Ok((name.clone(), parse(word)?)),
        other => Err(format!("{other:?} is no expression")),
    };
    entries.iter().map(value).collect()
}

fn test(tree: &Tree) -> Result<Test, String> {
    if let Some(time) = tree.get("time") {
        return Ok(Test::Time {
            days: clock::days(time)?,
            from_ms: time.word("from").map_or(Ok(0), clock::time_ms)?,
            to_ms: time.word("to").map_or(Ok(DAY_MS), clock::time_ms)?,
        });
    }
    if let Some(date) = tree.get("date") {
        let text = |key| date.word(key).map(str::to_owned);
        return Ok(Test::Date { from: text("from"), to: text("to") });
    }
    Ok(Test::When(parse(tree.must("when")?)?))
}

/// Milliseconds of a duration as the documents write it: `1d12h`, `PT5M`.
pub(super) fn duration_ms(text: &str) -> Result<i64, String> {
    let mut total_ms = 0;
    let mut rest = text.trim_start_matches('P').trim_start_matches('T');
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(|| format!("`{text}` has no unit"))?;
        let count: i64 = rest[..digits].parse().map_err(|_| format!("`{text}` is no duration"))?;
        rest = &rest[digits..];
        let unit_size = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit_ms = match rest[..unit_size].trim_end_matches('T') {
            "d" | "D" => DAY_MS,
            "h" | "H" => 60 * MINUTE_MS,
            "m" | "M" => MINUTE_MS,
            "s" | "S" => 1_000,
            "ms" => 1,
            unit => return Err(format!("`{unit}` in `{text}` is no unit")),
        };
        total_ms += count * unit_ms;
        rest = &rest[unit_size..];
    }
    Ok(total_ms)
}

/// An experiment, or targeting.
fn optimize(tree: &Tree) -> Result<Node, String> {
    if tree.get("targeting").is_some() {
        let rule = |tree: &Tree| Ok((parse(tree.must("when")?)?, tree.must("then")?.to_owned()));
        let rules = tree.items("targeting").iter().map(rule).collect::<Result<_, String>>()?;
        return Ok(Node::Targeting { rules, fallback: tree.word("fallback").map(str::to_owned) });
    }
    let number = |text: &str| text.parse::<f64>().map_err(|_| format!("no number: {text}"));
    let holdout = match tree.get("holdout") {
        Some(holdout) => {
            let percent = number(holdout.word("percent").unwrap_or("10"))?;
            Some(((percent * 100.0).round() as u64, holdout.must("then")?.to_owned()))
        }
        None => None,
    };
    let treated = 10_000 - holdout.as_ref().map_or(0, |(share, _)| *share);
    let weight = |tree: &Tree| Ok((count(tree.word("weight").unwrap_or("1"))? as u64, tree.must("then")?.to_owned()));
    let weights = tree.items("experiment").iter().map(weight).collect::<Result<Vec<_>, String>>()?;
    let total: u64 = weights.iter().map(|(weight, _)| weight).sum();
    let mut before = 0;
    let mut ways = Vec::new();
    for (weight, then) in weights {
        before += weight;
        ways.push(((treated * before / total) as u32, then));
    }
    ways.extend(holdout.map(|(_, then)| (10_000, then)));
    Ok(Node::Experiment { ways })
}

fn text_of(tree: &Tree) -> Option<String> {
    match tree {
        Tree::Word(word) => Some(word.clone()),
        Tree::List(_) | Tree::Map(_) => None,
    }
}
