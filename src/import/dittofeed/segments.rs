//! Segments of Dittofeed as questions: traits as expressions, events as awaited events, the rest as attributes to set.

use super::read::Library;
use super::shapes::{Operator, Property, Segment, SegmentDefinition, SegmentNode};
use crate::import::bundle::Bundle;
use crate::import::declared::Type;
use crate::import::graph::{Heard, Since};
use crate::import::report::Subject;
use crate::import::split::Ask;
use crate::import::text::{json, literal, number, segments, slug};
use crate::import::unread::is_nothing;
use serde_json::Value;

/// Segments within segments: more is a circle or beyond reading.
const DEPTH_MAX: usize = 32;

/// Asks for segments on behalf of one node.
pub(super) struct Segments<'s> {
    pub(super) subject: &'s Subject,
    pub(super) library: &'s mut Library,
    pub(super) bundle: &'s mut Bundle,
    /// The property of the entry event that keys the journey, and the entry event.
    pub(super) key: Option<(String, String)>,
}

/// What a segment asks, or why that can't be asked.
type Asked = Result<Ask, String>;

/// Where a field lies: in the profile, or in an event read by `last`.
#[derive(Clone, Copy)]
enum Root<'r> {
    Profile,
    Event(&'r str),
}

impl Segments<'_> {
    /// The name of a segment in attributes and events of ours.
    pub(super) fn called(&self, id: &str) -> String {
        let name = self
            .library
            .segments
            .get(&self.library.segment(id))
            .and_then(|known| known.shape.name.clone())
            .unwrap_or_default();
        [slug(&name), slug(id)].into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "unnamed".to_owned())
    }

    /// Whether a profile is in the segment.
    pub(super) fn ask(&mut self, id: &str) -> Ask {
        let known = self.library.segment(id);
        let asked = match self.library.segments.get_mut(&known) {
            None => Err("it was not given".to_owned()),
            Some(known) => {
                known.is_used = true;
                let Segment { definition, .. } = known.shape.clone();
                let SegmentDefinition { entry_node, nodes } = definition.unwrap_or_default();
                let entry = entry_node.unwrap_or_default();
                let asked = self.node(&entry, &nodes.clone().unwrap_or_default(), 0);
                asked.map_err(|error| format!("{error}; it says {}", json(&(entry, nodes))))
            }
        };
        match asked {
            Ok(ask) => {
                if matches!(ask, Ask::Events(_)) {
                    let text = format!(
                        "segment `{id}` is asked for by one of its events since the entry, not by all of all time"
                    );
                    self.bundle.report.differs(self.subject, text, "keep what came before in an attribute");
                }
                ask
            }
            Err(reason) => {
                let path = ["segments".to_owned(), self.called(id)];
                let text = format!("segment `{id}` is asked for as `profile.segments.{}`: {reason}", path[1]);
                let help =
                    "set that attribute of its members by `profile.update`, or write the segment's rule in its place";
                self.bundle.report.lost(self.subject, text, help);
                let asked = self.bundle.declared.profile(&path, Some(Type::Boolean));
                Ask::Expression(asked.unwrap_or_else(|_| "false".to_owned()))
            }
        }
    }

    fn node(&mut self, node: &SegmentNode, nodes: &[SegmentNode], depth: usize) -> Asked {
        if depth > DEPTH_MAX {
            return Err("it nests too deep".to_owned());
        }
        self.beside(node);
        match node.r#type.as_deref().unwrap_or_default() {
            "Everyone" => Ok(Ask::Expression("true".to_owned())),
            "Trait" => {
                let operator = node.operator.clone().unwrap_or_default();
                Ok(Ask::Expression(self.compare(node.path.as_deref().unwrap_or_default(), &operator, Root::Profile)?))
            }
            "Includes" => {
                let path = segments(node.path.as_deref().unwrap_or_default()).ok_or("its path is no field")?;
                let field = self.bundle.declared.profile(&path, Some(Type::Texts))?;
                Ok(Ask::Expression(format!("{} in {field}", literal(node.item.as_deref().unwrap_or_default()))))
            }
            "And" | "Or" => self.group(node, nodes, depth),
            "Performed" | "KeyedPerformed" => self.performed(node),
            "Email" => Err("it asks for reactions to a template".to_owned()),
            "Manual" => Err("its members are chosen by hand".to_owned()),
            "RandomBucket" => Err("its members are drawn by lot (a `split` does that)".to_owned()),
            "SubscriptionGroup" | "SubscriptionGroupUnsubscribed" => Err("it asks for subscriptions".to_owned()),
            other => Err(format!("`{other}` is not known here")),
        }
    }

    /// Tells of fields that belong to another type of node.
    fn beside(&mut self, node: &SegmentNode) {
        let fields: &[&str] = match node.r#type.as_deref().unwrap_or_default() {
            "Everyone" => &[],
            "Trait" => &["operator", "path"],
            "Includes" => &["item", "path"],
            "And" | "Or" => &["children"],
            "Performed" | "KeyedPerformed" => &[
                "absoluteTimestamp",
                "event",
                "key",
                "properties",
                "timeOperator",
                "times",
                "timesOperator",
                "withinSeconds",
            ],
            // Others are told as a whole.
            _ => return,
        };
        let allowed: Vec<&str> = fields.iter().chain(&["id", "type"]).copied().collect();
        crate::import::unread::beside(node, &allowed, self.subject, &mut self.bundle.report);
    }

    fn group(&mut self, node: &SegmentNode, nodes: &[SegmentNode], depth: usize) -> Asked {
        let (mut expressions, mut events) = (Vec::new(), Vec::new());
        let is_and = node.r#type.as_deref() == Some("And");
        for id in node.children.iter().flatten() {
            let child = nodes.iter().find(|node| node.id.as_ref() == Some(id)).ok_or("a part of it is missing")?;
            match self.node(&child.clone(), nodes, depth + 1)? {
                Ask::Expression(expression) => expressions.push(expression),
                Ask::Events(heard) => events.extend(heard),
            }
            if expressions.iter().map(String::len).sum::<usize>() > crate::domain::limits::RESOURCE_BYTES_MAX {
                return Err("it says too much".to_owned());
            }
        }
        match (expressions.len(), events.len(), is_and) {
            (0, 0, _) => Ok(Ask::Expression(is_and.to_string())),
            (_, 0, _) => {
                let sign = if is_and { " && " } else { " || " };
                let joined = expressions.iter().map(|e| format!("({e})")).collect::<Vec<_>>().join(sign);
                Ok(Ask::Expression(if expressions.len() == 1 { expressions.remove(0) } else { joined }))
            }
            (0, 1, _) | (0, _, false) => Ok(Ask::Events(events)),
            _ => Err("it asks for events and other things together".to_owned()),
        }
    }

    fn performed(&mut self, node: &SegmentNode) -> Asked {
        let SegmentNode { event, properties, times, times_operator, time_operator, key, .. } = node;
        // Exactly once is at least once in the moment when the first one comes.
        if times.is_some_and(|times| times != 1.0) || !matches!(times_operator.as_deref(), None | Some("=" | ">=")) {
            return Err("it counts events".to_owned());
        }
        if time_operator.is_some() {
            return Err("it asks when events came".to_owned());
        }
        let event = self.bundle.declared.event(event.as_deref().unwrap_or_default())?;
        let mut rules = Vec::new();
        if let Some(key) = key {
            let (of_entry, entry_event) = self.key.clone().ok_or("the journey is not keyed")?;
            let (path, of_entry) = (segments(key).ok_or("its key is no field")?, segments(&of_entry).ok_or("no key")?);
            let here = self.bundle.declared.property((&event, "last"), &path, Some(Type::Text))?;
            let there = self.bundle.declared.property((&entry_event, "event"), &of_entry, Some(Type::Text))?;
            rules.push(format!("{here} == {there}"));
        }
        for Property { operator, path } in properties.iter().flatten() {
            let operator = operator.clone().unwrap_or_default();
            rules.push(self.compare(path.as_deref().unwrap_or_default(), &operator, Root::Event(&event))?);
        }
        let when = (!rules.is_empty()).then(|| rules.join(" && "));
        Ok(Ask::Events(vec![Heard { event, of: None, when, since: Since::Entry }]))
    }

    fn field(&mut self, path: &[String], root: Root<'_>, ty: Option<Type>) -> Result<String, String> {
        match root {
            Root::Profile => self.bundle.declared.profile(path, ty),
            Root::Event(event) => self.bundle.declared.property((event, "last"), path, ty),
        }
    }

    fn compare(&mut self, path: &str, operator: &Operator, root: Root<'_>) -> Result<String, String> {
        let Operator { absolute_timestamp, comparator: _, direction, r#type, value, window_seconds } = operator;
        let path = segments(path).ok_or_else(|| format!("`{path}` is no field"))?;
        let number_of = |value: &Option<Value>| {
            value.as_ref().and_then(Value::as_f64).and_then(number).ok_or("there is no number to compare with")
        };
        match r#type.as_deref().unwrap_or_default() {
            kind @ ("Equals" | "NotEquals") => {
                let (constant, ty) = match value {
                    Some(Value::String(text)) => (literal(text), Type::Text),
                    Some(Value::Bool(truth)) => (truth.to_string(), Type::Boolean),
                    value => (number_of(value)?, Type::Number),
                };
                let equal = format!("{} == {constant}", self.field(&path, root, Some(ty))?);
                Ok(if kind == "Equals" { equal } else { format!("!({equal})") })
            }
            "Exists" => Ok(format!("{} != null", self.field(&path, root, None)?)),
            "NotExists" => Ok(format!("{} == null", self.field(&path, root, None)?)),
            "GreaterThanOrEqual" => {
                Ok(format!("{} >= {}", self.field(&path, root, Some(Type::Number))?, number_of(value)?))
            }
            "LessThan" => Ok(format!("{} < {}", self.field(&path, root, Some(Type::Number))?, number_of(value)?)),
            "Within" => {
                let seconds =
                    window_seconds.filter(|s| s.is_finite() && *s >= 0.0 && *s < 1e10).ok_or("there is no window")?;
                let field = self.field(&path, root, Some(Type::Timestamp))?;
                Ok(format!("{field} >= now - duration('{}s') && {field} <= now", seconds as i64))
            }
            "AbsoluteTimestamp" => {
                let instant = absolute_timestamp.clone().unwrap_or_default();
                if instant.parse::<jiff::Timestamp>().is_err() || is_nothing(&Value::from(instant.as_str())) {
                    return Err(format!("`{instant}` is no instant"));
                }
                let sign = if direction.as_deref() == Some("before") { "<" } else { ">=" };
                Ok(format!(
                    "{} {sign} timestamp({})",
                    self.field(&path, root, Some(Type::Timestamp))?,
                    literal(&instant)
                ))
            }
            "HasBeen" => Err("it asks how long a value has stood".to_owned()),
            other => Err(format!("`{other}` is no comparison known here")),
        }
    }
}
