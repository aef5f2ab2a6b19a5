//! One node of a Dittofeed journey as nodes of ours.

use serde_json::Value;

use super::messages;
use super::read::Library;
use super::segments::Segments;
use super::shapes::{Cohort, Node, SegmentChild, Variant};
use crate::domain::limits;
use crate::import::bundle::{Bundle, Clock};
use crate::import::declared::Type;
use crate::import::graph::{Form, Graph, Heard, Since, Target, Wait};
use crate::import::report::Subject;
use crate::import::split::{AT_ONCE_MS, Ask, branches, shares, wait_for};
use crate::import::text::{json, slug};
use crate::import::unread;

/// Days of the week as Dittofeed counts them.
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The nodes of one journey.
pub(super) struct Nodes<'n> {
    pub(super) journey: &'n Subject,
    pub(super) library: &'n mut Library,
    pub(super) bundle: &'n mut Bundle,
    pub(super) graph: Graph,
    /// The property that keys the journey, and its entry event.
    pub(super) key: Option<(String, String)>,
    pub(super) timezone: Option<String>,
    pub(super) clock: Clock,
    /// Message nodes that go on where they did not there.
    pub(super) going_on: Vec<String>,
}

impl Nodes<'_> {
    /// Adds a node.
    pub(super) fn add(&mut self, value: &Value) {
        let word = |key: &str| value.get(key).and_then(Value::as_str);
        let id = word("id").unwrap_or_default();
        let subject = self.journey.part(word("type").unwrap_or("node"), id, word("name"));
        let target = match unread::read::<Node>(value, &subject, &mut self.bundle.report) {
            Ok(node) => self.node(&subject, &node),
            Err(error) => {
                let text = format!("can't be read ({error}): it ends the journey. {}", json(value));
                self.bundle.report.lost(&subject, text, "write the node by hand");
                Target::End
            }
        };
        self.graph.enter(id, target);
    }

    fn lost(&mut self, subject: &Subject, text: impl Into<String>, help: &str) {
        self.bundle.report.lost(subject, text, help);
    }

    fn node(&mut self, subject: &Subject, node: &Node) -> Target {
        let (kind, then) = (node.r#type.clone().unwrap_or_default(), Target::to(node.child.as_deref()));
        let target = match kind.as_str() {
            "DelayNode" => self.delay(subject, &node.variant.clone().unwrap_or_default(), then),
            "MessageNode" => self.message(subject, node, then),
            "SegmentSplitNode" => self.split(subject, node.variant.clone().unwrap_or_default()),
            "RandomCohortNode" => self.cohorts(subject, node.children.clone().unwrap_or_default()),
            "WaitForNode" => self.wait_for(subject, node),
            "ExitNode" => Target::End,
            "RateLimitNode" => {
                self.lost(subject, "limits nothing: it ends the journey, as it does there", "lead on, or leave it out");
                Target::End
            }
            _ => {
                self.lost(
                    subject,
                    format!("is not known: it ends the journey. {}", json(node)),
                    "write the node by hand",
                );
                Target::End
            }
        };
        self.bundle.report.placed(subject, &target);
        self.beside(subject, &kind, node);
        target
    }

    /// Tells of fields that belong to another type of node, or of variant.
    fn beside(&mut self, subject: &Subject, kind: &str, node: &Node) {
        let fields: &[&str] = match kind {
            "DelayNode" => &["child", "variant"],
            "MessageNode" => {
                &["child", "variant", "retryCount", "skipOnFailure", "subscriptionGroupId", "syncProperties"]
            }
            "SegmentSplitNode" => &["variant"],
            "RandomCohortNode" => &["children"],
            "WaitForNode" => &["segmentChildren", "timeoutChild", "timeoutSeconds"],
            "ExitNode" | "RateLimitNode" => &[],
            // An unknown node is told as a whole.
            _ => return,
        };
        let allowed: Vec<&str> = fields.iter().chain(&["id", "name", "type"]).copied().collect();
        unread::beside(node, &allowed, subject, &mut self.bundle.report);
        let Some(variant) = node.variant.as_ref().filter(|_| fields.contains(&"variant")) else { return };
        let fields: &[&str] = match variant.r#type.as_deref().unwrap_or_default() {
            "Second" => &["seconds"],
            "LocalTime" => &["allowedDaysOfWeek", "defaultTimezone", "hour", "minute"],
            "UserProperty" => &["offsetDirection", "offsetSeconds", "userProperty"],
            "Boolean" => &["falseChild", "segment", "trueChild"],
            _ => &["providerOverride", "senderOverride", "templateId"],
        };
        let allowed: Vec<&str> = fields.iter().chain(&["type"]).copied().collect();
        unread::beside(variant, &allowed, subject, &mut self.bundle.report);
    }

    fn wanted(subject: &Subject) -> String {
        subject.name.clone().unwrap_or_else(|| format!("{}_{}", subject.kind.trim_end_matches("Node"), subject.id))
    }

    fn delay(&mut self, subject: &Subject, variant: &Variant, then: Target) -> Target {
        let wait = match variant.r#type.as_deref().unwrap_or_default() {
            "Second" => {
                let seconds = variant.seconds.filter(|s| s.is_finite()).unwrap_or_default().clamp(0.0, 1e12);
                wait_for((seconds * 1000.0) as i64, subject, &mut self.bundle.report)
            }
            "LocalTime" => self.local_time(subject, variant),
            "UserProperty" => self.until_property(subject, variant),
            other => {
                self.lost(subject, format!("a delay `{other}` is not known: nobody waits"), "write `wait: …`");
                None
            }
        };
        match wait {
            Some(wait) => self.graph.add(subject, &Self::wanted(subject), Form::Wait(wait, then)).1,
            None => then,
        }
    }

    fn local_time(&mut self, subject: &Subject, variant: &Variant) -> Option<Wait> {
        let Variant { hour, minute, allowed_days_of_week, default_timezone, .. } = variant;
        let (hour, minute) = (hour.unwrap_or_default(), minute.unwrap_or_default());
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) {
            self.lost(subject, format!("{hour}:{minute} is no time of day: nobody waits"), "write `wait: { time: … }`");
            return None;
        }
        let listed = allowed_days_of_week.clone().unwrap_or_default();
        let mut days: Vec<&str> = Vec::new();
        for day in &listed {
            match DAYS.get(usize::from(*day)) {
                Some(day) if !days.contains(day) => days.push(day),
                Some(_) => {}
                None => self.lost(subject, format!("{day} is no day of the week"), "write `days`"),
            }
        }
        self.clock = Clock::Profile;
        let _ = self.bundle.declared.profile(&["timezone".to_owned()], Some(Type::Text));
        let text = "the zone is that of `profile.timezone`; a place (`latLon`) is not looked up";
        self.bundle.report.differs(subject, text, "keep the zone in `profile.timezone`");
        if let Some(zone) = default_timezone.clone().filter(|zone| !zone.is_empty()) {
            let known = jiff::tz::TimeZone::get(&zone).is_ok();
            match &self.timezone {
                None if known => self.timezone = Some(zone),
                Some(other) if *other == zone => {}
                _ => self.lost(
                    subject,
                    format!("`defaultTimezone` {zone} is left out"),
                    "a journey has one `timezone`, an IANA name",
                ),
            }
        }
        let days = if days.len() == DAYS.len() { Vec::new() } else { days };
        Some(Wait::At(format!("{hour:02}:{minute:02}"), days))
    }

    fn until_property(&mut self, subject: &Subject, variant: &Variant) -> Option<Wait> {
        let Variant { user_property, offset_seconds, offset_direction, .. } = variant;
        let called = user_property.clone().unwrap_or_default();
        let path = match messages::property_path(self.library, &called) {
            Some(path) => path,
            None => {
                let name = slug(&called);
                let path =
                    vec!["user_properties".to_owned(), if name.is_empty() { "unnamed".to_owned() } else { name }];
                let text =
                    format!("user property `{called}` was not given, or is no trait: `profile.{}`", path.join("."));
                self.lost(subject, text, "write the field in its place");
                path
            }
        };
        let field = match self.bundle.declared.profile(&path, Some(Type::Timestamp)) {
            Ok(field) => field,
            Err(error) => {
                self.lost(subject, format!("nobody waits: {error}"), "write `wait: { until: … }`");
                return None;
            }
        };
        let text = "the property has to be a timestamp, not a number of seconds";
        self.bundle.report.differs(subject, text, "send it as `2026-12-01T09:00:00Z`");
        let offset = offset_seconds.filter(|s| s.is_finite()).unwrap_or_default().clamp(-1e9, 1e9) as i64;
        let offset = if offset_direction.as_deref() == Some("before") { -offset } else { offset };
        Some(Wait::Until(match offset {
            0 => field,
            _ if offset < 0 => format!("{field} - duration('{}s')", -offset),
            _ => format!("{field} + duration('{offset}s')"),
        }))
    }

    fn message(&mut self, subject: &Subject, node: &Node, then: Target) -> Target {
        let variant = node.variant.clone().unwrap_or_default();
        if let Some(group) = node.subscription_group_id.as_ref().filter(|group| !group.is_empty()) {
            let text = format!("subscription group `{group}` is not asked for");
            self.lost(
                subject,
                text,
                "keep the choice in an attribute, and ask for it in a condition before the message",
            );
        }
        if let Some(count) = node.retry_count.as_ref().filter(|count| !unread::is_nothing(count)) {
            let text = format!("`retryCount` {}: the surface says how long a message is tried", json(count));
            self.bundle.report.differs(subject, text, "set `retry_for` in surfaces.yaml");
        }
        if node.skip_on_failure != Some(true) {
            self.going_on.push(format!("`{}`", subject.id));
        }
        for (field, value) in
            [("providerOverride", variant.provider_override), ("senderOverride", variant.sender_override)]
        {
            if let Some(value) = value.filter(|value| !unread::is_nothing(value)) {
                self.lost(
                    subject,
                    format!("`{field}` {} is left out", json(&value)),
                    "give the message a surface of its own",
                );
            }
        }
        let kind = variant.r#type.unwrap_or_default();
        let template = variant.template_id.unwrap_or_default();
        let message = messages::message(&kind, &template, subject, self.library, self.bundle);
        let (_, target) = self.graph.add(subject, &Self::wanted(subject), Form::Message(message, then));
        target
    }

    fn asks(&mut self, subject: &Subject, segment: &str) -> Ask {
        let key = self.key.clone();
        Segments { subject, library: self.library, bundle: self.bundle, key }.ask(segment)
    }

    fn split(&mut self, subject: &Subject, variant: Variant) -> Target {
        let Variant { segment, true_child, false_child, .. } = variant;
        let ask = self.asks(subject, &segment.unwrap_or_default());
        let (yes, no) = (Target::to(true_child.as_deref()), Target::to(false_child.as_deref()));
        let wait = matches!(ask, Ask::Events(_)).then_some(Wait::For(AT_ONCE_MS));
        branches(&mut self.graph, (subject, &Self::wanted(subject)), wait, vec![(ask, yes)], no)
    }

    fn cohorts(&mut self, subject: &Subject, children: Vec<Cohort>) -> Target {
        let way = |Cohort { id, name, percent }| {
            // The name of a cohort is a note for people.
            drop::<Option<String>>(name);
            (percent.unwrap_or_default(), Target::to(id.as_deref()))
        };
        let ways = children.into_iter().map(way).collect();
        shares(&mut self.graph, (subject, &Self::wanted(subject)), ways, Target::End, &mut self.bundle.report)
    }

    fn wait_for(&mut self, subject: &Subject, node: &Node) -> Target {
        let seconds = node.timeout_seconds.filter(|s| s.is_finite()).unwrap_or_default().clamp(0.0, 1e12);
        let timeout = wait_for((seconds * 1000.0) as i64, subject, &mut self.bundle.report);
        let otherwise = Target::to(node.timeout_child.as_deref());
        let wanted = Self::wanted(subject);
        let mut now: Vec<(Ask, Target)> = Vec::new();
        let mut later: Vec<(Ask, Target)> = Vec::new();
        for SegmentChild { id, segment_id } in node.segment_children.clone().unwrap_or_default() {
            let (segment, target) = (segment_id.unwrap_or_default(), Target::to(id.as_deref()));
            match self.asks(subject, &segment) {
                Ask::Events(heard) => later.push((Ask::Events(heard), target)),
                ask @ Ask::Expression(_) => {
                    now.push((ask, target.clone()));
                    let key = self.key.clone();
                    let called = Segments { subject, library: self.library, bundle: self.bundle, key }.called(&segment);
                    let Ok(event) = self.bundle.declared.event(&format!("segment_{called}")) else { continue };
                    let text = format!("who comes into segment `{segment}` is not seen: event `{event}` ends the wait");
                    self.lost(subject, text, "send that event when they come into it, or await one of your own");
                    let heard = Heard { event, of: None, when: None, since: Since::Here };
                    later.push((Ask::Events(vec![heard]), target));
                }
            }
        }
        let wait = timeout.or(Some(Wait::For(AT_ONCE_MS.min(limits::WAIT_MS_MAX))));
        let waits = branches(&mut self.graph, (subject, &format!("{wanted}_wait")), wait, later, otherwise);
        branches(&mut self.graph, (subject, &wanted), None, now, waits)
    }
}
