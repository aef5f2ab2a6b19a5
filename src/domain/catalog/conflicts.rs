//! Overlaps of journeys (spec §7.6): which pairs may reach the same profile at the same time, and what arbitrates between them.
//! Reads the catalog only; it counts nobody. Overlaps of audiences come with audiences.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::domain::catalog::Catalog;
use crate::domain::ids::{JourneyId, Millis, VersionId};
use crate::domain::journey::definition::{JourneyDefinition, MessageDefinition};
use crate::domain::journey::program::Channel;

/// A journey that is live, or a draft that might be.
#[derive(Clone, Copy, Debug)]
pub struct Contender<'c> {
    /// What it does.
    pub definition: &'c JourneyDefinition,
    /// Number of its version; none of a draft.
    pub number: Option<u32>,
    journey: JourneyId,
}

/// Two journeys that overlap in at least one respect, while both take entries.
#[derive(Clone, Debug)]
pub struct Conflict<'c> {
    /// The one looked at, or of two the one that goes first.
    pub journey: Contender<'c>,
    /// The other.
    pub with: Contender<'c>,
    /// Both take entries from then on; none: for ever since.
    pub from: Option<Millis>,
    /// And until then; none: for ever.
    pub until: Option<Millis>,
    /// The event, as it is sent, that may let a profile into both.
    pub event: Option<SmolStr>,
    /// Channels that both send by, and the surfaces of them that both use. The log reaches nobody and is none.
    pub channels: BTreeMap<Channel, BTreeSet<SmolStr>>,
    /// The rule set that both carry.
    pub rule_set: Option<SmolStr>,
}

impl Conflict<'_> {
    /// Which of the two an event lets a profile into first, where one event may enter both; `true` is the first, and whether
    /// priority says so rather than the order of publishing. Elsewhere the one that is entered earlier is first.
    pub fn first(&self) -> Option<(bool, bool)> {
        self.event.as_ref()?;
        let (one, other) = (self.journey, self.with);
        let by_priority = one.definition.priority != other.definition.priority;
        Some((one.precedence() < other.precedence(), by_priority))
    }
}

impl Contender<'_> {
    /// As the engine orders entries: see `Program::precedence`.
    fn precedence(&self) -> (std::cmp::Reverse<u32>, JourneyId) {
        (std::cmp::Reverse(self.definition.priority), self.journey)
    }
}

/// A contender with its messages.
struct Side<'c> {
    contender: Contender<'c>,
    messages: Vec<&'c MessageDefinition>,
}

impl Catalog {
    /// Overlaps of live journeys at `now` and after, and of drafts with live journeys; of `only` if given, which then stands
    /// first in each. In the order in which journeys are entered, drafts last.
    pub fn conflicts(&self, only: Option<&str>, now: Millis) -> Vec<Conflict<'_>> {
        let mut live: Vec<Side<'_>> = self.live.values().map(|id| self.live_side(*id)).collect();
        live.sort_by_key(|side| side.contender.precedence());
        let drafts: Vec<Side<'_>> = self.drafts.keys().map(|name| self.draft_side(name)).collect();
        let mut pairs: Vec<(&Side<'_>, &Side<'_>)> = Vec::new();
        for (index, one) in live.iter().enumerate() {
            pairs.extend(live[index + 1..].iter().map(|other| (one, other)));
        }
        for draft in &drafts {
            let others = live.iter().filter(|side| side.name() != draft.name());
            pairs.extend(others.map(|other| (draft, other)));
        }
        let found = pairs.into_iter().filter_map(|(one, other)| match only {
            None => self.overlap(one, other, now),
            Some(name) if one.name() == name => self.overlap(one, other, now),
            Some(name) if other.name() == name => self.overlap(other, one, now),
            Some(_) => None,
        });
        found.collect()
    }

    fn live_side(&self, id: VersionId) -> Side<'_> {
        let version = self.get(id);
        let (journey, number) = (version.program.journey, Some(version.program.number));
        let messages = version.source.messages.iter().map(|id| &**self.message(*id)).collect();
        Side { contender: Contender { definition: &version.source.definition, number, journey }, messages }
    }

    fn draft_side(&self, name: &str) -> Side<'_> {
        let draft = &self.drafts[name];
        // What is new gets the next number when it is published.
        let journey = self.journey_id(name).unwrap_or(JourneyId(self.journeys.len() as u32));
        let messages = draft.messages.iter().map(|message| &**message).collect();
        Side { contender: Contender { definition: &draft.source.definition, number: None, journey }, messages }
    }

    fn overlap<'c>(&'c self, one: &Side<'c>, other: &Side<'c>, now: Millis) -> Option<Conflict<'c>> {
        let (a, b) = (one.contender.definition, other.contender.definition);
        let from = a.starts_at.max(b.starts_at);
        let until = [a, b].iter().filter_map(|definition| Some(definition.ends_at.as_ref()?.value)).min();
        if until.is_some_and(|until| until <= now || from.is_some_and(|from| from >= until)) {
            return None;
        }
        let event =
            Some(self.sent_as(&a.entry.event.value)).filter(|event| *event == self.sent_as(&b.entry.event.value));
        let rule_set = a.rule_set.as_ref().filter(|set| b.rule_set.as_ref() == Some(set));
        let (mut channels, others) = (one.channels(), other.channels());
        channels.retain(|channel, _| others.contains_key(channel));
        for (channel, surfaces) in &mut channels {
            surfaces.retain(|surface| others[channel].contains(surface));
        }
        if event.is_none() && rule_set.is_none() && channels.is_empty() {
            return None;
        }
        let (event, rule_set) = (event.cloned(), rule_set.map(|set| set.value.clone()));
        Some(Conflict { journey: one.contender, with: other.contender, from, until, event, channels, rule_set })
    }

    /// The type as which events of type `event` come in: a rule recognises them among others.
    fn sent_as<'c>(&'c self, event: &'c SmolStr) -> &'c SmolStr {
        let rule = self.events.get(event).and_then(|known| known.rule.as_ref());
        rule.map_or(event, |rule| &rule.of.value)
    }
}

impl Side<'_> {
    fn name(&self) -> &SmolStr {
        &self.contender.definition.name.value
    }

    fn channels(&self) -> BTreeMap<Channel, BTreeSet<SmolStr>> {
        let mut channels: BTreeMap<Channel, BTreeSet<SmolStr>> = BTreeMap::new();
        for message in self.messages.iter().filter(|message| message.channel != Channel::Log) {
            let surfaces = channels.entry(message.channel).or_default();
            surfaces.extend(message.surface.iter().map(|surface| surface.value.clone()));
        }
        channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::SourceFile;
    use crate::domain::guardrails::Guardrails;

    const RESOURCES: &str = "kind: event\nname: go\nschema: { n: integer }\n---\nkind: event\nname: went\nof: go\nwhen: event.n > 3\n\
        ---\nkind: event\nname: other\nschema: {}\n---\nkind: rule_set\nname: calm\nconcurrent: 1\n\
        ---\nkind: surface\nname: crm\nchannel: webhook\nwebhook: { url: 'https://crm.example/' }\n\
        ---\nkind: surface\nname: shop\nchannel: webhook\nwebhook: { url: 'https://shop.example/' }\n\
        ---\nkind: message\nname: to_crm\nchannel: webhook\nsurface: crm\nbody: hi\n\
        ---\nkind: message\nname: to_shop\nchannel: webhook\nsurface: shop\nbody: hi\n\
        ---\nkind: message\nname: note\nchannel: log\nbody: hi\n";

    fn journey(name: &str, head: &str, message: &str) -> String {
        format!(
            "---\nkind: journey\nname: {name}\n{head}\nstart: send\nnodes:\n  send: {{ message: {message}, then: done }}\n  done: {{ end: true }}\n"
        )
    }

    fn catalog(journeys: &[String], drafts: &[String]) -> Catalog {
        let file =
            |parts: &[String]| SourceFile { name: "f.yaml".to_owned(), text: format!("{RESOURCES}{}", parts.concat()) };
        let (catalog, _) = Catalog::default().apply(&[file(journeys)], Millis(0)).expect("valid");
        if drafts.is_empty() {
            return catalog;
        }
        catalog.apply_draft_within(&[file(drafts)], Millis(1), &Guardrails::DEFAULT).expect("valid").0
    }

    /// A line for each overlap.
    fn lines(catalog: &Catalog, only: Option<&str>) -> Vec<String> {
        let now = Millis::parse_iso("2026-01-01").expect("a date");
        let line = |conflict: &Conflict<'_>| {
            let mut words = vec![conflict.journey.definition.name.value.to_string()];
            words.push(conflict.with.definition.name.value.to_string());
            words.extend(conflict.event.as_ref().map(|event| format!("event {event}")));
            words.extend(conflict.channels.iter().map(|(channel, surfaces)| {
                format!("{channel:?} {}", surfaces.iter().map(SmolStr::as_str).collect::<Vec<_>>().join("+"))
            }));
            words.extend(conflict.rule_set.as_ref().map(|set| format!("rules {set}")));
            words.extend(conflict.first().map(|(first, by)| format!("first {first} {by}")));
            words.join("; ")
        };
        catalog.conflicts(only, now).iter().map(line).collect()
    }

    #[test]
    fn journeys_overlap_by_event_channel_and_rule_set() {
        let journeys = [
            journey("low", "entry: { event: go }\npriority: 20", "to_crm"),
            journey("high", "entry: { event: went }\npriority: 80\nrule_set: calm", "to_crm"),
            journey("elsewhere", "entry: { event: other }\nrule_set: calm", "to_shop"),
            journey("quiet", "entry: { event: other }", "note"),
        ];
        let catalog = catalog(&journeys, &[]);
        let expected = [
            "high; elsewhere; Webhook ; rules calm",
            "high; low; event go; Webhook crm; first true true",
            "elsewhere; quiet; event other; first true false",
            "elsewhere; low; Webhook ",
        ];
        assert_eq!(lines(&catalog, None), expected);
        let of_low = ["low; high; event go; Webhook crm; first false true", "low; elsewhere; Webhook "];
        assert_eq!(lines(&catalog, Some("low")), of_low);
        assert_eq!(lines(&catalog, Some("nobody")), [""; 0]);
    }

    #[test]
    fn journeys_overlap_only_while_both_take_entries() {
        let dated = |name: &str, dates: &str| journey(name, &format!("entry: {{ event: other }}\n{dates}"), "note");
        let journeys = [
            dated("always", ""),
            dated("past", "end_date: 2025-06-01T00:00:00Z"),
            dated("spring", "start_date: 2026-03-01T00:00:00Z\nend_date: 2026-06-01T00:00:00Z"),
            dated("summer", "start_date: 2026-06-01T00:00:00Z\nend_date: 2026-09-01T00:00:00Z"),
        ];
        let catalog = catalog(&journeys, &[]);
        let found = catalog.conflicts(None, Millis::parse_iso("2026-01-01").expect("a date"));
        let pairs: Vec<(&str, &str)> =
            found.iter().map(|c| (&*c.journey.definition.name.value, &*c.with.definition.name.value)).collect();
        assert_eq!(pairs, [("always", "spring"), ("always", "summer")]);
        assert_eq!(found[0].from.map(Millis::to_iso).as_deref(), Some("2026-03-01T00:00:00.000Z"));
        assert_eq!(found[0].until.map(Millis::to_iso).as_deref(), Some("2026-06-01T00:00:00.000Z"));
    }

    #[test]
    fn drafts_are_held_against_what_is_live() {
        let live = [journey("one", "entry: { event: other }", "note"), journey("two", "entry: { event: go }", "note")];
        let drafts = [
            journey("one", "entry: { event: go }\npriority: 90", "note"),
            journey("new", "entry: { event: other }", "note"),
        ];
        let catalog = catalog(&live, &drafts);
        let found = lines(&catalog, None);
        assert_eq!(found, ["new; one; event other; first false false", "one; two; event go; first true true"]);
        let numbers = |only| -> Vec<_> {
            let of = |c: &Conflict<'_>| (c.journey.number, c.with.number);
            catalog.conflicts(Some(only), Millis(0)).iter().map(of).collect()
        };
        assert_eq!(numbers("one"), [(Some(1), None), (None, Some(1))]);
        assert_eq!(numbers("new"), [(None, Some(1))]);
    }
}
