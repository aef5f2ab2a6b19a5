//! What newer versions make of those in older ones (`docs/journeys.md`, "What becomes of those inside").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::sim::oracle::cel::Cel;
use crate::sim::oracle::judge::Judge;
use crate::sim::oracle::person::{Run, Timer};
use crate::sim::oracle::resources::{Arm, Journey, Message, Node, Published, Status, Test, Version, Wait};
use crate::sim::oracle::yaml::Tree;

/// `migration` of a journey.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Migration {
    default: Option<Choice>,
    nodes: BTreeMap<String, Choice>,
}

#[derive(Clone, Debug, PartialEq)]
enum Choice {
    Keep,
    Exit,
    Recompute,
    Move(String),
}

impl Migration {
    pub(super) fn read(tree: &Tree) -> Result<Self, String> {
        let choice = |tree: &Tree| match tree {
            Tree::Word(word) => match word.as_str() {
                "keep" => Ok(Choice::Keep),
                "exit" => Ok(Choice::Exit),
                "recompute" => Ok(Choice::Recompute),
                other => Err(format!("`{other}` is no choice")),
            },
            other => Ok(Choice::Move(other.must("move")?.to_owned())),
        };
        let nodes = tree.entries("nodes").iter().map(|(name, tree)| Ok((name.clone(), choice(tree)?)));
        Ok(Self { default: tree.get("default").map(choice).transpose()?, nodes: nodes.collect::<Result<_, String>>()? })
    }

    /// What it says of an instance at a node of `old`.
    fn choice(&self, old: &Journey, node: &str, new: &Journey) -> Choice {
        let pauses = |journey: &Journey| {
            matches!(journey.nodes.get(node), Some(Node::Wait { .. } | Node::Event { .. } | Node::FirstOf { .. }))
        };
        match self.nodes.get(node).or(self.default.as_ref()) {
            None => Choice::Keep,
            Some(Choice::Recompute) if !pauses(old) || !pauses(new) => Choice::Keep,
            // A run under an id stays with those that have one.
            Some(Choice::Recompute | Choice::Move(_))
                if old.supplemental_id.is_some() != new.supplemental_id.is_some() =>
            {
                Choice::Keep
            }
            Some(choice) => choice.clone(),
        }
    }
}

/// Versions for which the migration of a version after them counts.
pub(super) fn covered(versions: &[Version], journey: &Journey, migration: Option<&Migration>) -> Vec<u32> {
    let Some(latest) = versions.last() else { return Vec::new() };
    // What was carried out with the very same journey is not carried out again.
    if migration.is_none() || (*latest.journey == *journey && latest.migration.as_ref() == migration) {
        return Vec::new();
    }
    versions.iter().filter(|version| version.status != Status::Stopped).map(|version| version.number).collect()
}

/// What an instance has to do.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Stays,
    Leaves,
    /// To this node of this version, as one that comes now, or as one that came when it came to its own.
    Goes(u32, String, Coming),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    Now,
    Then,
}

impl Judge<'_> {
    /// Before anything else: everybody is where the versions published so far want them, and nobody in one that is stopped.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        loop {
            let is_asked = |run: &Run| {
                let is_entrant = run.held.as_ref().is_some_and(|held| held.is_entrant);
                !is_entrant && newer(self.published, &run.journey, run.version, run.settled).next().is_some()
            };
            let Some(index) = self.person.runs.iter().position(is_asked) else { break };
            let (fate, judged) = fate(self.published, &self.person.runs[index]);
            self.asked = true;
            self.person.runs[index].settled = judged;
            match fate {
                Fate::Stays => {}
                Fate::Leaves => self.end(index, "withdrawn")?,
                Fate::Goes(version, node, coming) => self.go_over(index, version, &node, coming)?,
            }
        }
        let (published, now_ms) = (self.published, self.now_ms);
        let stopped_at_ms = |run: &Run| published.stopped_at_ms(&run.journey, run.version, now_ms);
        loop {
            let runs = self.person.runs.iter().enumerate();
            let stopped = runs.filter_map(|(index, run)| Some((stopped_at_ms(run)?, index))).min();
            let Some((_, index)) = stopped else { return Ok(()) };
            self.end(index, "stopped")?;
        }
    }

    /// Leaves the old version, and comes into the new one with what both know.
    fn go_over(&mut self, index: usize, number: u32, node: &str, coming: Coming) -> Result<(), String> {
        let published = self.published;
        self.moved = 0;
        if self.person.runs[index].held.is_some() {
            self.end_hold(index)?;
        }
        self.expect_of(index, "migrated", None)?;
        let run = &mut self.person.runs[index];
        let of = |number| published.version(&run.journey, number).ok_or("an instance of no version");
        let (old, new) = (of(run.version)?, of(number)?);
        carry(run, old, new, coming);
        run.node = node.to_owned();
        let timeout_at_ms = run.timeout_at_ms();
        (run.due_ms, run.timer) = (timeout_at_ms, Timer::Timeout);
        let came_ms = run.came_ms;
        self.expect_of(index, "came over", None)?;
        let run = &self.person.runs[index];
        if timeout_at_ms <= self.now_ms || published.is_stopped(&run.journey, number, self.now_ms) {
            // It only stands there: what ends it comes at once.
            return self.expect_of(index, "arrived", Some(timeout_at_ms));
        }
        if coming == Coming::Now {
            return self.arrive(index);
        }
        let now_ms = std::mem::replace(&mut self.now_ms, came_ms);
        let goes_on = self.act(index);
        self.now_ms = now_ms;
        if goes_on? {
            self.moved = 1;
            self.arrive(index)?;
        }
        Ok(())
    }
}

/// Whether a newer version lets go of somebody who is still where it was.
pub(super) fn lets_go(published: &Published, run: &Run) -> bool {
    let has_begun = run.held.as_ref().is_none_or(|held| !held.is_entrant);
    has_begun && !matches!(fate(published, run).0, Fate::Stays)
}

/// Versions that have something to say about `version`, beyond number `settled`.
fn newer<'p>(
    published: &'p Published,
    journey: &str,
    version: u32,
    settled: u32,
) -> impl Iterator<Item = &'p Version> + use<'p> {
    let known = published.journeys.iter().find(|known| known.name == journey);
    let versions = known.into_iter().flat_map(|known| &known.versions);
    versions.filter(move |newer| newer.number > settled && newer.covers.contains(&version))
}

fn fate(published: &Published, run: &Run) -> (Fate, u32) {
    let (mut version, mut node, mut fate) = (run.version, run.node.clone(), Fate::Stays);
    let mut judged = run.settled;
    loop {
        let Some(newer) = newer(published, &run.journey, version, judged.max(version)).next() else {
            return (fate, judged);
        };
        judged = newer.number;
        let old = published.version(&run.journey, version).map(|old| &old.journey);
        let Some((old, migration)) = old.zip(newer.migration.as_ref()) else { continue };
        match migration.choice(old, &node, &newer.journey) {
            Choice::Keep => {}
            Choice::Exit => return (Fate::Leaves, judged),
            Choice::Move(to) => {
                (version, node) = (newer.number, to);
                fate = Fate::Goes(version, node.clone(), Coming::Now);
            }
            Choice::Recompute => {
                let coming = if matches!(fate, Fate::Goes(_, _, Coming::Now)) { Coming::Now } else { Coming::Then };
                version = newer.number;
                fate = Fate::Goes(version, node.clone(), coming);
            }
        }
    }
}

/// What an instance remembers in another version: only what both read.
fn carry(run: &mut Run, old: &Version, new: &Version, coming: Coming) {
    let (from, to) = (Reads::of(old), Reads::of(new));
    let cut = |map: &Map<String, Json>, root: &str| pruned(&pruned(map, &from.below(root)), &to.below(root));
    run.event = cut(&run.event, "event");
    run.last = cut(&run.last, "last");
    // What is called, asked and found is kept in one place, each by names of its own.
    run.answers = ["action", "source", "lookup"].iter().fold(Map::new(), |mut all, root| {
        let prefix = if *root == "action" { String::new() } else { format!("{root}:") };
        let of_root = |name: &String| if prefix.is_empty() { !name.contains(':') } else { name.starts_with(&prefix) };
        let plain = run.answers.iter().filter(|(name, _)| of_root(name));
        let plain = plain.map(|(name, value)| (name[prefix.len()..].to_owned(), value.clone())).collect();
        all.extend(cut(&plain, root).into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
        all
    });
    run.kept.clear();
    let nodes = &new.journey.nodes;
    let awaited = |journey: &Journey, (node, way): &(String, usize)| {
        let awaited = journey.nodes.get(node).map(Node::awaited).unwrap_or_default();
        let found = awaited.into_iter().find(|(known, awaited)| known == way && awaited.since != "here");
        found.map(|(_, awaited)| awaited.filter.event.clone())
    };
    run.heard.retain(|place, _| {
        awaited(&new.journey, place).is_some_and(|event| awaited(&old.journey, place) == Some(event))
    });
    for heard in run.heard.values_mut() {
        *heard = cut(heard, "last");
    }
    run.sent.retain(|node, _| followed(&old.journey, node) && followed(&new.journey, node));
    run.visits.retain(|node, _| nodes.contains_key(node));
    run.previous_node = match coming {
        Coming::Now => Some(run.node.clone()),
        Coming::Then => run.previous_node.take().filter(|_| from.reads("journey", "previous_node")),
    }
    .filter(|node| nodes.contains_key(node));
    let knows = |fact: &str| from.reads("journey", fact);
    let knows_error = ["error", "error_code", "error_node", "error_node_kind"].into_iter().any(knows);
    run.error = run.error.take().filter(|wrong| knows_error && nodes.contains_key(&wrong.node));
    for (asking, root) in run.asked.iter_mut().zip(["action", "source"]) {
        asking.error.take_if(|_| !knows(&format!("{root}_error_code")));
        asking.took_ms.take_if(|_| !knows(&format!("{root}_ms")));
    }
    run.calling = None;
    (run.version, run.program) = (new.number, new.journey.clone());
}

/// Whether feedback on the message of a node is awaited.
fn followed(journey: &Journey, node: &str) -> bool {
    journey.nodes.values().flat_map(Node::awaited).any(|(_, awaited)| awaited.of.as_deref() == Some(node))
}

/// The parts of `map` at `paths`; what stands in the way of a path comes along.
fn pruned(map: &Map<String, Json>, paths: &[&[String]]) -> Map<String, Json> {
    let mut kept = Map::new();
    for path in paths {
        let Some((first, rest)) = path.split_first() else { return map.clone() };
        let Some(value) = map.get(first) else { continue };
        let part = match value {
            Json::Object(inner) if !rest.is_empty() => {
                let part = pruned(inner, &[rest]);
                if part.is_empty() {
                    continue;
                }
                Json::Object(part)
            }
            whole => whole.clone(),
        };
        match (kept.get_mut(first), part) {
            (Some(Json::Object(known)), Json::Object(part)) => merged(known, part),
            (_, part) => drop(kept.insert(first.clone(), part)),
        }
    }
    kept
}

fn merged(target: &mut Map<String, Json>, part: Map<String, Json>) {
    for (name, value) in part {
        match (target.get_mut(&name), value) {
            (Some(Json::Object(known)), Json::Object(part)) => merged(known, part),
            (_, value) => drop(target.insert(name, value)),
        }
    }
}

/// Every path that an instance of a version has to remember, root first.
struct Reads(BTreeSet<Vec<String>>);

/// Whether anything in a journey reads what it says of itself.
pub(super) fn reads_description(journey: &Journey, messages: &BTreeMap<String, Arc<Message>>) -> bool {
    Reads::within(journey, messages).reads("journey", "description")
}

impl Reads {
    fn of(version: &Version) -> Self {
        Self::within(&version.journey, &version.messages)
    }

    fn within(journey: &Journey, messages: &BTreeMap<String, Arc<Message>>) -> Self {
        let mut reads = Self(BTreeSet::new());
        for exit in &journey.exits {
            reads.filter(exit.when.as_ref());
        }
        journey.exits_when.iter().for_each(|when| reads.take(when));
        for node in journey.nodes.values() {
            reads.node(node);
        }
        for path in messages.values().flat_map(|message| &message.reads) {
            reads.0.insert(path.split('.').map(str::to_owned).collect());
        }
        reads
    }

    fn below(&self, root: &str) -> Vec<&[String]> {
        self.0.iter().filter(|path| path[0] == root).map(|path| &path[1..]).collect()
    }

    fn reads(&self, root: &str, name: &str) -> bool {
        self.below(root).iter().any(|path| path.first().is_none_or(|first| first == name))
    }

    fn node(&mut self, node: &Node) {
        for (_, awaited) in node.awaited() {
            self.filter(awaited.filter.when.as_ref());
        }
        let wait = |reads: &mut Self, wait: &Wait| {
            if let Wait::Until(until) = wait {
                reads.take(until);
            }
        };
        match node {
            Node::Wait { wait: pause, .. } => wait(self, pause),
            Node::FirstOf { arms } => {
                for (arm, _) in arms {
                    if let Arm::Wait(pause) = arm {
                        wait(self, pause);
                    }
                }
            }
            Node::Condition { branches, .. } => {
                for (test, _) in branches {
                    if let Test::When(when) = test {
                        self.take(when);
                    }
                }
            }
            Node::Update { fields: values, .. }
            | Node::Action { with: values, .. }
            | Node::Jump { with: values, .. } => {
                values.iter().for_each(|(_, value)| self.take(value));
            }
            Node::Targeting { rules, .. } => rules.iter().for_each(|(when, _)| self.take(when)),
            Node::Lookup { keys, .. } => self.take(keys),
            Node::Split { .. }
            | Node::Experiment { .. }
            | Node::ProfileCap { .. }
            | Node::Event { .. }
            | Node::Message { .. }
            | Node::End => {}
        }
    }

    /// In a filter `last` is the event that comes in.
    fn filter(&mut self, when: Option<&Cel>) {
        let mut own = Self(BTreeSet::new());
        when.into_iter().for_each(|when| own.take(when));
        self.0.extend(own.0.into_iter().filter(|path| path[0] != "last"));
    }

    fn take(&mut self, cel: &Cel) {
        match cel {
            Cel::Path(path) | Cel::Has(path) => drop(self.0.insert(path.clone())),
            Cel::Null | Cel::Boolean(_) | Cel::Integer(_) | Cel::Number(_) | Cel::Text(_) => {}
            Cel::List(items) | Cel::Call(_, items) => items.iter().for_each(|item| self.take(item)),
            Cel::Map(entries) => entries.iter().for_each(|(_, value)| self.take(value)),
            Cel::Not(one) | Cel::Minus(one) | Cel::Select(one, _) => self.take(one),
            Cel::Method(receiver, _, arguments) => {
                self.take(receiver);
                arguments.iter().for_each(|argument| self.take(argument));
            }
            Cel::Binary(_, left, right) | Cel::Index(left, right) => {
                [left, right].into_iter().for_each(|side| self.take(side));
            }
            Cel::Choice(condition, yes, no) => [condition, yes, no].into_iter().for_each(|part| self.take(part)),
        }
    }
}
