//! What Pinpoint asks: dimensions of segments as expressions, events as awaited events.
//!
//! Attributes of a user are fields of the profile (`profile.X`), those of an endpoint lie under `profile.attributes`, its
//! metrics under `profile.metrics`, the rest as Pinpoint names it (`profile.demographic.platform`). Segments nobody gave are
//! truth values under `profile.segments`.

use serde_json::{Map, Value};

use super::read::Library;
use super::shapes::{
    AttributeDimension, Demographic, EventCondition, EventDimensions, Location, MetricDimension, SegmentDimensions,
    SetDimension, SimpleCondition,
};
use crate::import::bundle::Bundle;
use crate::import::declared::Type;
use crate::import::graph::{Heard, Since};
use crate::import::report::Subject;
use crate::import::split::Ask;
use crate::import::text::{json, literal, number, slug};

/// Where a field is looked for: in the profile below these names, or in an event read by a root.
#[derive(Clone, Copy, Debug)]
pub(super) enum Root<'r> {
    Profile(&'r [&'r str]),
    Event(&'r str, &'r str),
}

/// Reads conditions of one activity.
pub(super) struct Conditions<'c> {
    pub(super) subject: &'c Subject,
    pub(super) library: &'c mut Library,
    pub(super) bundle: &'c mut Bundle,
}

impl Conditions<'_> {
    fn lost(&mut self, text: impl Into<String>, help: &str) {
        self.bundle.report.lost(self.subject, text, help);
    }

    /// One condition of a split. `None` if nothing is asked.
    pub(super) fn simple(&mut self, condition: SimpleCondition, since: Since) -> Option<Ask> {
        let SimpleCondition { event_condition, segment_condition, segment_dimensions } = condition;
        if [event_condition.is_some(), segment_condition.is_some(), segment_dimensions.is_some()]
            .iter()
            .filter(|x| **x)
            .count()
            > 1
        {
            self.lost(
                "asks for several things in one condition: only the first is asked",
                "ask for the others by hand",
            );
        }
        if let Some(EventCondition { dimensions, message_activity }) = event_condition {
            return Some(self.events(dimensions.unwrap_or_default(), message_activity.as_deref(), since));
        }
        if let Some(segment) = segment_condition {
            return Some(Ask::Expression(self.segment(&segment.segment_id.unwrap_or_default())));
        }
        segment_dimensions.map(|dimensions| Ask::Expression(self.dimensions(dimensions)))
    }

    /// Whether the profile is in a segment.
    pub(super) fn segment(&mut self, id: &str) -> String {
        if let Some(known) = self.library.segments.get_mut(id) {
            known.is_used = true;
            let (of_segment, segment) = (known.subject.clone(), known.shape.clone());
            let is_whole = segment.segment_groups.as_ref().is_none_or(crate::import::unread::is_nothing)
                && segment.import_definition.as_ref().is_none_or(crate::import::unread::is_nothing);
            if let Some(kind) = segment.segment_type.as_ref().filter(|kind| *kind != "DIMENSIONAL") {
                let text = format!("is of type {kind}: only what its dimensions say is asked for");
                self.bundle.report.lost(&of_segment, text, "write its rule by hand");
            }
            if let (true, Some(dimensions)) = (is_whole, segment.dimensions) {
                let text = format!("segment `{id}` is asked for by what it says");
                let report = &mut self.bundle.report;
                report.differs(
                    self.subject,
                    text,
                    "segments were computed now and then; this looks at the profile as it is",
                );
                let mut of_segment = Conditions { subject: &of_segment, library: self.library, bundle: self.bundle };
                return of_segment.dimensions(dimensions);
            }
            let what = json(&(segment.segment_type, segment.segment_groups, segment.import_definition));
            self.bundle.report.lost(&of_segment, format!("no one set of dimensions: {what}"), "write its rule by hand");
        }
        let name = slug(id);
        let path = ["segments".to_owned(), if name.is_empty() { "unnamed".to_owned() } else { name }];
        let help = "set that attribute of its members by `profile.update`, or write the segment's rule in its place";
        self.lost(format!("segment `{id}` is asked for as `profile.segments.{}`", path[1]), help);
        self.bundle.declared.profile(&path, Some(Type::Boolean)).unwrap_or_else(|_| "false".to_owned())
    }

    /// All dimensions together. True if there are none.
    fn dimensions(&mut self, dimensions: SegmentDimensions) -> String {
        let SegmentDimensions { attributes, behavior, demographic, location, metrics, user_attributes } = dimensions;
        let mut all = Vec::new();
        all.extend(self.attributes(user_attributes, Root::Profile(&[])));
        all.extend(self.attributes(attributes, Root::Profile(&["attributes"])));
        all.extend(self.metrics(metrics, Root::Profile(&["metrics"])));
        let Demographic { app_version, channel, device_type, make, model, platform } = demographic.unwrap_or_default();
        let Location { country, gps_point } = location.unwrap_or_default();
        let sets = [
            (["demographic", "app_version"], app_version),
            (["demographic", "channel"], channel),
            (["demographic", "device_type"], device_type),
            (["demographic", "make"], make),
            (["demographic", "model"], model),
            (["demographic", "platform"], platform),
            (["location", "country"], country),
        ];
        for (path, set) in sets {
            let Some(SetDimension { dimension_type, values }) = set else { continue };
            let one = AttributeDimension { attribute_type: dimension_type, values };
            all.push(self.attribute(path[1], one, Root::Profile(&path[..1])));
        }
        for (name, value) in [("Behavior", behavior), ("Location.GPSPoint", gps_point)] {
            if let Some(value) = value.filter(|value| !crate::import::unread::is_nothing(value)) {
                self.lost(
                    format!("`{name}` is not asked for: {}", json(&value)),
                    "keep it as an attribute and ask for that",
                );
            }
        }
        if all.is_empty() { "true".to_owned() } else { all.join(" && ") }
    }

    /// `Attributes` of segments and events.
    pub(super) fn attributes(&mut self, attributes: Option<Map<String, Value>>, root: Root<'_>) -> Vec<String> {
        let mut all = Vec::new();
        for (name, value) in attributes.unwrap_or_default() {
            match crate::import::unread::read::<AttributeDimension>(&value, self.subject, &mut self.bundle.report) {
                Ok(dimension) => all.push(self.attribute(&name, dimension, root)),
                Err(error) => all.push(self.unclear(&name, &value, &error)),
            }
        }
        all
    }

    /// `Metrics` of segments and events.
    pub(super) fn metrics(&mut self, metrics: Option<Map<String, Value>>, root: Root<'_>) -> Vec<String> {
        let mut all = Vec::new();
        for (name, value) in metrics.unwrap_or_default() {
            let metric = crate::import::unread::read::<MetricDimension>(&value, self.subject, &mut self.bundle.report);
            let made = metric.and_then(|MetricDimension { comparison_operator, value }| {
                let comparison = comparison_operator.unwrap_or_default();
                let sign = match comparison.as_str() {
                    "GREATER_THAN" => ">",
                    "LESS_THAN" => "<",
                    "GREATER_THAN_OR_EQUAL" => ">=",
                    "LESS_THAN_OR_EQUAL" => "<=",
                    "EQUAL" => "==",
                    _ => return Err(format!("`{comparison}` is no comparison")),
                };
                let number = value.and_then(number).ok_or("there is no value")?;
                Ok(format!("{} {sign} {number}", self.field(&name, root, Type::Number)?))
            });
            all.push(made.unwrap_or_else(|error| self.unclear(&name, &value, &error)));
        }
        all
    }

    /// What can't be asked is never so.
    fn unclear(&mut self, name: &str, value: &Value, error: &str) -> String {
        self.lost(
            format!("`{name}` is not asked for, so nobody passes: {} ({error})", json(value)),
            "ask for it by hand",
        );
        "false".to_owned()
    }

    fn field(&mut self, name: &str, root: Root<'_>, ty: Type) -> Result<String, String> {
        match root {
            Root::Profile(above) => {
                let mut path: Vec<String> = above.iter().map(|part| (*part).to_owned()).collect();
                path.push(name.to_owned());
                self.bundle.declared.profile(&path, Some(ty))
            }
            Root::Event(event, root) => self.bundle.declared.property((event, root), &[name.to_owned()], Some(ty)),
        }
    }

    fn attribute(&mut self, name: &str, dimension: AttributeDimension, root: Root<'_>) -> String {
        let shown = json(&dimension);
        let AttributeDimension { attribute_type, values } = dimension;
        let (kind, values) = (attribute_type.unwrap_or_else(|| "INCLUSIVE".to_owned()), values.unwrap_or_default());
        match self.comparison(name, &kind, &values, root) {
            Ok(expression) => expression,
            Err(error) => {
                let value = Value::String(shown);
                self.unclear(name, &value, &error)
            }
        }
    }

    fn comparison(&mut self, name: &str, kind: &str, values: &[String], root: Root<'_>) -> Result<String, String> {
        let any_of = |field: &str| match values {
            [one] => format!("{field} == {}", literal(one)),
            many => format!("{field} in [{}]", many.iter().map(|v| literal(v)).collect::<Vec<_>>().join(", ")),
        };
        let instant = |text: &String| match text.parse::<jiff::Timestamp>() {
            Ok(_) => Ok(format!("timestamp({})", literal(text))),
            Err(_) => Err(format!("`{text}` is no instant")),
        };
        match (kind, values) {
            (_, []) => Err("there are no values".to_owned()),
            ("INCLUSIVE", _) => Ok(any_of(&self.field(name, root, Type::Text)?)),
            ("EXCLUSIVE", _) => Ok(format!("!({})", any_of(&self.field(name, root, Type::Text)?))),
            ("CONTAINS", _) => {
                let field = self.field(name, root, Type::Text)?;
                let parts: Vec<String> = values.iter().map(|v| format!("{field}.contains({})", literal(v))).collect();
                Ok(if parts.len() == 1 { parts[0].clone() } else { format!("({})", parts.join(" || ")) })
            }
            ("BEFORE" | "AFTER", [one]) => {
                let (sign, instant) = (if kind == "BEFORE" { '<' } else { '>' }, instant(one)?);
                Ok(format!("{} {sign} {instant}", self.field(name, root, Type::Timestamp)?))
            }
            ("BETWEEN", [from, to]) => {
                let (from, to) = (instant(from)?, instant(to)?);
                let field = self.field(name, root, Type::Timestamp)?;
                Ok(format!("{field} >= {from} && {field} <= {to}"))
            }
            ("ON", [day]) => {
                let start = instant(day)?;
                let field = self.field(name, root, Type::Timestamp)?;
                Ok(format!("{field}.startOfDay() == {start}.startOfDay()"))
            }
            _ => Err(format!("`{kind}` with {} values is not known", values.len())),
        }
    }

    /// Conditions on what an event holds, read by `root`. `None` if there are none.
    pub(super) fn event_rule(
        &mut self,
        (event, root): (&str, &str),
        attributes: Option<Map<String, Value>>,
        metrics: Option<Map<String, Value>>,
    ) -> Option<String> {
        let mut all = self.attributes(attributes, Root::Event(event, root));
        all.extend(self.metrics(metrics, Root::Event(event, root)));
        (!all.is_empty()).then(|| all.join(" && "))
    }

    /// Events that are waited for.
    fn events(&mut self, dimensions: EventDimensions, message: Option<&str>, since: Since) -> Ask {
        let EventDimensions { attributes, event_type, metrics } = dimensions;
        let SetDimension { dimension_type, values } = event_type.unwrap_or_default();
        if dimension_type.as_deref().is_some_and(|kind| kind != "INCLUSIVE") {
            self.lost(
                format!(
                    "events other than {} can't be waited for: nobody passes",
                    json(&(values, attributes, metrics))
                ),
                "name those that count",
            );
            return Ask::Expression("false".to_owned());
        }
        let mut heard = Vec::new();
        for name in values.unwrap_or_default() {
            match (self.feedback(&name), message) {
                (Some(event), Some(message)) => {
                    if attributes.is_some() || metrics.is_some() {
                        let held = json(&(&attributes, &metrics));
                        self.lost(
                            format!("what `{name}` holds is not asked for: {held}"),
                            "ask for `last.url` or `last.reason` by hand",
                        );
                    }
                    let event = event.to_owned();
                    heard.push(Heard { event, of: Some(message.to_owned()), when: None, since: Since::Entry });
                }
                (Some(_), None) => {
                    self.lost(format!("`{name}` without `MessageActivity` is about no message"), "name it in `of`");
                }
                (None, _) if name.starts_with('_') => {
                    self.lost(
                        format!("`{name}` is an event of Pinpoint: nothing sends it here"),
                        "send one of your own",
                    );
                    heard.extend(self.custom(&format!("pinpoint{name}"), &attributes, &metrics, since));
                }
                (None, _) => {
                    if let Some(message) = message {
                        self.lost(
                            format!("`MessageActivity` {message}: any `{name}` counts"),
                            "ask for what tells them apart in `when`",
                        );
                    }
                    heard.extend(self.custom(&name, &attributes, &metrics, since));
                }
            }
        }
        if heard.is_empty() { Ask::Expression("false".to_owned()) } else { Ask::Events(heard) }
    }

    fn custom(
        &mut self,
        name: &str,
        attributes: &Option<Map<String, Value>>,
        metrics: &Option<Map<String, Value>>,
        since: Since,
    ) -> Option<Heard> {
        match self.bundle.declared.event(name) {
            Ok(event) => {
                let when = self.event_rule((&event, "last"), attributes.clone(), metrics.clone());
                Some(Heard { event, of: None, when, since })
            }
            Err(error) => {
                self.lost(format!("not waited for: {error}"), "rename the event");
                None
            }
        }
    }

    /// What Pinpoint's events of messages are called here.
    fn feedback(&mut self, name: &str) -> Option<&'static str> {
        let event = match name {
            "_email.open" => "message.opened",
            "_email.click" => "message.clicked",
            "_email.delivered" | "_SMS.SUCCESS" => "message.delivered",
            "_email.hardbounce" | "_email.softbounce" | "_SMS.FAILURE" => "message.bounced",
            "_email.complaint" => "message.complained",
            "_email.unsubscribe" => "message.unsubscribed",
            _ => return None,
        };
        if matches!(name, "_email.softbounce" | "_email.hardbounce") {
            let report = &mut self.bundle.report;
            report.differs(
                self.subject,
                format!("`{name}` is any `message.bounced`"),
                "ask for `last.reason` to tell them apart",
            );
        }
        Some(event)
    }
}
