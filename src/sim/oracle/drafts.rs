//! Drafts and their tests (`docs/journeys.md`, "Drafts and test mode").

use std::sync::Arc;

use crate::sim::observe::{DraftAct, TESTS_FROM};
use crate::sim::oracle::migrations::covered;
use crate::sim::oracle::resources::{Arm, Journey, Node, Published, Status, Version, Wait};

/// How long a test waits for feedback at least.
const REACTION_MS: i64 = 40_000;
/// What shares of a split add up to.
const SHARES: u32 = 10_000;

impl Published {
    /// What is published and kept once this was done.
    pub(super) fn act(&self, act: &DraftAct) -> Result<Self, String> {
        let mut next = self.clone();
        match act {
            DraftAct::Keep(text) => return self.keep(text),
            DraftAct::Start(name, wait_ms) => {
                let (draft, test) = next.drafts.get_mut(name).ok_or_else(|| no_draft(name))?;
                let number = draft.number % TESTS_FROM + TESTS_FROM * (self.tests.len() as u32 + 1);
                *test = Some(number);
                let journey = Arc::new(draft.journey.in_test(*wait_ms));
                let version = Version { number, status: Status::Live, journey, covers: Vec::new(), ..draft.clone() };
                next.tests.push((name.clone(), version));
            }
            DraftAct::Stop(name) => next.end_test(name)?,
            DraftAct::Publish(name) => {
                next.end_test(name)?;
                let (draft, _) = next.drafts.remove(name).ok_or_else(|| no_draft(name))?;
                next.publish_draft(name, draft);
            }
            DraftAct::Flag(profiles) => next.flagged.clone_from(profiles),
        }
        for (name, (draft, _)) in &mut next.drafts {
            let known = next.journeys.iter().find(|known| known.name == *name);
            draft.number = known.map_or(0, |known| known.versions.len() as u32) + 1;
        }
        Ok(next)
    }

    /// Journeys of `text` that publishing would change are kept; what else is new in it is published.
    fn keep(&self, text: &str) -> Result<Self, String> {
        let published = self.publish(text)?;
        let given = crate::sim::oracle::yaml::documents(text)?;
        let mut next = self.clone();
        next.types.clone_from(&published.types);
        next.rules.clone_from(&published.rules);
        next.rule_sets.clone_from(&published.rule_sets);
        next.datasets.clone_from(&published.datasets);
        next.callees.clone_from(&published.callees);
        for document in given.iter().filter(|document| document.word("kind") == Some("journey")) {
            let name = document.must("name")?;
            let count = |of: &Self| of.journeys.iter().find(|known| known.name == name).map_or(0, |k| k.versions.len());
            if count(&published) == count(self) {
                continue;
            }
            let versions = published.journeys.iter().find(|known| known.name == name);
            let version = versions.and_then(|known| known.versions.last()).expect("it has a version more");
            if next
                .drafts
                .get(name)
                .is_some_and(|(draft, _)| same(draft, version) && draft.migration == version.migration)
            {
                continue;
            }
            next.drafts.insert(name.to_owned(), (version.clone(), None));
        }
        Ok(next)
    }

    fn end_test(&mut self, name: &str) -> Result<(), String> {
        let (_, test) = self.drafts.get_mut(name).ok_or_else(|| no_draft(name))?;
        if let Some(number) = test.take() {
            let test = self.tests.iter_mut().find(|(_, version)| version.number == number);
            test.expect("it was started").1.status = Status::Stopped;
        }
        Ok(())
    }

    fn publish_draft(&mut self, name: &str, mut draft: Version) {
        for (message, wording) in &mut draft.wordings {
            let found = Arc::clone(&draft.messages[message]);
            if self.messages.get(message).is_none_or(|(_, latest)| *latest != found) {
                let next = self.messages.get(message).map_or(0, |(wording, _)| wording + 1);
                self.messages.insert(message.clone(), (next, found));
            }
            *wording = self.messages[message].0;
        }
        let versions = self.versions_of(name);
        draft.covers = covered(versions, &draft.journey, draft.migration.as_ref());
        for version in versions.iter_mut().filter(|version| version.status == Status::Live) {
            version.status = Status::Closed;
        }
        draft.number = versions.len() as u32 + 1;
        versions.push(draft);
    }

    /// Drafts that say what is live are none any more, and their tests end.
    pub(super) fn forget_published_drafts(&mut self) {
        let (journeys, tests) = (&self.journeys, &mut self.tests);
        self.drafts.retain(|name, (draft, test)| {
            let known = journeys.iter().find(|known| known.name == *name);
            let live = known.and_then(|known| known.versions.last()).filter(|latest| latest.status == Status::Live);
            let is_published = live.is_some_and(|latest| same(draft, latest));
            let ends = |(_, version): &&mut (String, Version)| is_published && Some(version.number) == *test;
            if let Some((_, version)) = tests.iter_mut().find(ends) {
                version.status = Status::Stopped;
            }
            !is_published
        });
        for (name, (draft, _)) in &mut self.drafts {
            let known = journeys.iter().find(|known| known.name == *name);
            draft.number = known.map_or(0, |known| known.versions.len() as u32) + 1;
        }
    }
}

/// Whether two versions mean the same.
fn same(one: &Version, other: &Version) -> bool {
    let same_references = one.entrances == other.entrances && one.calls == other.calls;
    one.journey == other.journey && one.messages == other.messages && same_references
}

fn no_draft(name: &str) -> String {
    format!("there is no draft of `{name}`")
}

impl Journey {
    /// The same journey as it walks in a test.
    fn in_test(&self, wait_ms: i64) -> Self {
        let mut journey = self.clone();
        for node in journey.nodes.values_mut() {
            match node {
                Node::Wait { wait, .. } => *wait = Wait::For(wait_ms),
                Node::FirstOf { arms } => {
                    let mut least_ms = wait_ms;
                    for (arm, _) in arms.iter() {
                        if matches!(arm, Arm::Event(awaited) if awaited.filter.event.starts_with("message.")) {
                            least_ms = wait_ms.max(REACTION_MS);
                        }
                    }
                    for (arm, _) in arms {
                        if let Arm::Wait(wait) = arm {
                            *wait = Wait::For(least_ms);
                        }
                    }
                }
                Node::Event { awaited, within_ms: Some(within_ms), .. } => {
                    let is_feedback = awaited.filter.event.starts_with("message.");
                    *within_ms = if is_feedback { wait_ms.max(REACTION_MS) } else { wait_ms };
                }
                Node::ProfileCap { max, .. } => *max = u64::MAX,
                Node::Experiment { ways } => ways.truncate(1),
                Node::Split { shares } => *shares = vec![(SHARES, shares[0].1.clone())],
                _ => {}
            }
        }
        journey
    }
}
