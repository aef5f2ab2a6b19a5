//! One step of a Parcelvoy journey as nodes of ours.

use serde_json::Value;

use super::journey::{Parts, declare_timezone};
use super::messages;
use super::read::Library;
use super::rules;
use super::shapes::{Child, Data, Step};
use crate::import::bundle::{Bundle, Clock};
use crate::import::declared::Type;
use crate::import::graph::{Form, Graph, Target, Wait};
use crate::import::report::Subject;
use crate::import::split::{AT_ONCE_MS, Ask, branches, shares, wait_for};
use crate::import::text::{json, literal, number};
use crate::import::unread;

/// Fields that one node can set.
const FIELDS_MAX: usize = 5;

/// The steps behind one entrance.
pub(super) struct Steps<'s> {
    /// The name of the journey here.
    pub(super) journey: &'s str,
    pub(super) library: &'s mut Library,
    pub(super) bundle: &'s mut Bundle,
    pub(super) graph: Graph,
    pub(super) clock: Clock,
    /// The entry event, and the name that the entrance's data has in templates.
    pub(super) entry: (&'s str, Option<&'s str>),
    pub(super) steps: &'s Parts,
    pub(super) end_on_failure: bool,
}

impl Steps<'_> {
    /// Adds every step that a way from the entrance leads to.
    pub(super) fn enter(&mut self, entrance: &str) {
        let (mut open, mut seen) = (vec![entrance.to_owned()], std::collections::BTreeSet::new());
        while let Some(id) = open.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            let Some((_, subject, step)) = self.steps.iter().find(|(known, _, _)| *known == id) else { continue };
            open.extend(step.children.iter().flatten().filter_map(|child| child.external_id.clone()));
            if id != entrance {
                let (subject, step) = (subject.clone(), step.clone());
                let target = self.step(&subject, step);
                self.graph.enter(&id, target);
            }
        }
    }

    fn lost(&mut self, subject: &Subject, text: impl Into<String>, help: &str) {
        self.bundle.report.lost(subject, text, help);
    }

    fn wanted(subject: &Subject) -> String {
        subject.name.clone().unwrap_or_else(|| format!("{}_{}", subject.kind, subject.id))
    }

    fn step(&mut self, subject: &Subject, step: Step) -> Target {
        let kind = step.r#type.clone().unwrap_or_default();
        let (data, children) = (step.data.unwrap_or_default(), step.children.unwrap_or_default());
        self.beside(subject, &kind, &data);
        let then = Target::to(children.first().and_then(|child| child.external_id.as_deref()));
        if children.len() > 1 && !matches!(kind.as_str(), "gate" | "experiment" | "balancer") {
            self.lost(subject, "leads to several steps: only the first counts", "split the way by hand");
        }
        let target = match kind.as_str() {
            "delay" => self.delay(subject, &data, then),
            "action" => {
                self.end_on_failure = true;
                let entry = self.entry;
                let message =
                    messages::message(data.campaign_id.unwrap_or_default(), subject, entry, self.library, self.bundle);
                self.graph.add(subject, &Self::wanted(subject), Form::Message(message, then)).1
            }
            "gate" => self.gate(subject, &data, &children),
            "experiment" => self.experiment(subject, &children),
            "balancer" => {
                let limit = json(&(data.rate_limit, data.rate_interval));
                self.lost(
                    subject,
                    format!("the rate {limit} is left out"),
                    "bound what a channel takes at its provider",
                );
                let even = |child: &Child| (100.0 / children.len() as f64, Target::to(child.external_id.as_deref()));
                let ways = children.iter().map(even).collect();
                shares(&mut self.graph, (subject, &Self::wanted(subject)), ways, Target::End, &mut self.bundle.report)
            }
            "link" => self.link(subject, &data, then),
            "update" => self.update(subject, &data, then),
            "event" => {
                let text =
                    format!("no event is sent from within a journey: {}", json(&(data.event_name, data.template)));
                self.lost(subject, text, "let a `jump` lead to the journeys that the event would let in");
                return then;
            }
            // Exit criteria hold everywhere; a way to one ends the journey.
            "exit" => return Target::End,
            "entrance" => {
                let text = "a way leads back to an entrance: it ends the journey";
                self.lost(subject, text, "lead to the step behind it");
                return Target::End;
            }
            _ => {
                self.lost(
                    subject,
                    format!("is not known: the next step follows. {}", json(&data)),
                    "write the node by hand",
                );
                return then;
            }
        };
        self.bundle.report.placed(subject, &target);
        target
    }

    /// Tells of what belongs to another type of step.
    fn beside(&mut self, subject: &Subject, kind: &str, data: &Data) {
        let allowed: &[&str] = match (kind, data.format.as_deref()) {
            ("delay", Some("time")) => &["format", "time"],
            ("delay", Some("date")) => &["format", "date"],
            ("delay", _) => &["format", "minutes", "hours", "days"],
            ("action", _) => &["campaign_id"],
            ("gate", _) => &["rule"],
            ("experiment", _) => &[],
            ("balancer", _) => &["rate_interval", "rate_limit"],
            ("link", _) => &["delay", "target_id"],
            ("update", _) => &["template"],
            ("event", _) => &["event_name", "template"],
            // Entrances and exits are read elsewhere, others are told as a whole.
            _ => return,
        };
        unread::beside(data, allowed, subject, &mut self.bundle.report);
    }

    fn delay(&mut self, subject: &Subject, data: &Data, then: Target) -> Target {
        let Data { format, minutes, hours, days, time, date, .. } = data;
        let wait = match format.as_deref().unwrap_or("duration") {
            "duration" => {
                let unit =
                    |count: &Option<f64>, unit_ms: f64| count.filter(|c| c.is_finite()).unwrap_or_default() * unit_ms;
                let wait_ms = unit(minutes, 6e4) + unit(hours, 3.6e6) + unit(days, 8.64e7);
                wait_for(wait_ms.clamp(0.0, 1e15) as i64, subject, &mut self.bundle.report)
            }
            "time" => self.time(subject, time.as_deref().unwrap_or_default().trim()),
            "date" => self.date(subject, date.as_deref().unwrap_or_default().trim()),
            other => {
                self.lost(subject, format!("a delay by `{other}` is not known: nobody waits"), "write `wait: …`");
                None
            }
        };
        match wait {
            Some(wait) => self.graph.add(subject, &Self::wanted(subject), Form::Wait(wait, then)).1,
            None => then,
        }
    }

    fn time(&mut self, subject: &Subject, time: &str) -> Option<Wait> {
        let Ok(read) = jiff::civil::Time::strptime("%H:%M", time) else {
            self.lost(
                subject,
                format!("{time:?} is no time of day: nobody waits"),
                "write `wait: { time: \"09:00\" }`",
            );
            return None;
        };
        self.clock = Clock::Profile;
        declare_timezone(self.bundle);
        let text = "waits until the clock next shows that time; there a time up to 30 minutes past counts as now";
        self.bundle.report.differs(subject, text, "set the journey's `timezone` to the project's");
        Some(Wait::At(read.strftime("%H:%M").to_string(), Vec::new()))
    }

    fn date(&mut self, subject: &Subject, date: &str) -> Option<Wait> {
        let expression = match date.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            Some(path) => messages::field(path.trim(), self.entry, Some(Type::Timestamp), self.bundle),
            None => {
                let local = date.trim_end_matches('Z');
                let read = local
                    .parse::<jiff::civil::DateTime>()
                    .or_else(|_| local.parse::<jiff::civil::Date>().map(Into::into));
                declare_timezone(self.bundle);
                let zone = "profile.timezone != null ? profile.timezone : 'UTC'";
                let written = |at: jiff::civil::DateTime| {
                    format!("timestamp({}, {zone})", literal(&at.strftime("%Y-%m-%dT%H:%M:%S").to_string()))
                };
                read.map(written).map_err(|_| "it is no date".to_owned())
            }
        };
        match expression {
            Ok(expression) => {
                let text = "the zone is that of `profile.timezone`, else UTC; an instant keeps its own";
                self.bundle.report.differs(subject, text, "name the project's zone in place of UTC");
                Some(Wait::Until(expression))
            }
            Err(error) => {
                let text = format!("nobody waits for {date:?}: {error}");
                self.lost(subject, text, "write `wait: { until: … }`");
                None
            }
        }
    }

    fn gate(&mut self, subject: &Subject, data: &Data, children: &[Child]) -> Target {
        let way = |path: &str| {
            let child = children.iter().find(|child| child.path.as_deref() == Some(path));
            Target::to(child.and_then(|child| child.external_id.as_deref()))
        };
        for child in children.iter().filter(|child| !matches!(child.path.as_deref(), Some("yes" | "no"))) {
            let text = format!("the way {} is neither `yes` nor `no`: nobody takes it", json(child));
            self.lost(subject, text, "ask for it in a condition");
        }
        let ask = match data.rule.as_ref().map(|rule| rules::ask(rule, self.bundle)) {
            Some(Ok(ask)) => ask,
            Some(Err(error)) => {
                let text = format!("its rule is not asked ({error}), so nobody passes: {}", json(&data.rule));
                self.lost(subject, text, "write it as a condition");
                Ask::Expression("false".to_owned())
            }
            None => {
                self.lost(subject, "has no rule: the journey ends, as it does there", "write it as a condition");
                return Target::End;
            }
        };
        if matches!(ask, Ask::Events(_)) {
            let text = "asks for events since the entry, not for those of all time";
            self.bundle.report.differs(subject, text, "keep what came before in an attribute");
        }
        let wait = matches!(ask, Ask::Events(_)).then_some(Wait::For(AT_ONCE_MS));
        branches(&mut self.graph, (subject, &Self::wanted(subject)), wait, vec![(ask, way("yes"))], way("no"))
    }

    fn experiment(&mut self, subject: &Subject, children: &[Child]) -> Target {
        let ratio =
            |child: &Child| child.data.as_ref().and_then(|data| data.ratio).filter(|r| r.is_finite() && *r > 0.0);
        // As many as a ratio begins to count there.
        let total: f64 = children.iter().filter_map(ratio).map(f64::ceil).sum();
        let mut ways = Vec::new();
        for child in children {
            match ratio(child) {
                Some(share) => ways.push((share.ceil() / total * 100.0, Target::to(child.external_id.as_deref()))),
                None => {
                    let text = format!("the way {} has no share: nobody takes it", json(child));
                    self.lost(subject, text, "give it a percentage");
                }
            }
        }
        if ways.is_empty() {
            return Target::End;
        }
        shares(&mut self.graph, (subject, &Self::wanted(subject)), ways, Target::End, &mut self.bundle.report)
    }

    fn link(&mut self, subject: &Subject, data: &Data, then: Target) -> Target {
        let (target, delay) = (data.target_id.unwrap_or_default(), data.delay.as_deref().unwrap_or("1 day"));
        let journey = match self.library.journeys.get(&target) {
            Some(journey) if journey != self.journey => journey.clone(),
            Some(_) => {
                let text = format!("leads back to its own journey after {delay}: the next step follows");
                self.lost(subject, text, "send its entry event again, or lead back to a node by hand, with a wait");
                return then;
            }
            None => {
                let text = format!("its target {target} is not there: the next step follows ({delay})");
                self.lost(subject, text, "import that journey together with this one, or write a `jump`");
                return then;
            }
        };
        let wait_ms = match delay {
            "1 minute" => 60_000,
            "15 minutes" => 900_000,
            "1 hour" => 3_600_000,
            _ => 86_400_000,
        };
        let wanted = Self::wanted(subject);
        if then != Target::End {
            let text = format!("what follows comes {delay} later too: the wait is before the jump");
            self.bundle.report.differs(subject, text, "put the wait at the start of the other journey");
        }
        let text = "the other journey's own rules of entry hold here, also its event's filter";
        self.bundle.report.differs(subject, text, "give what it reads in the jump's `with`");
        let (_, jump) = self.graph.add(subject, &format!("{wanted}_jump"), Form::Jump(journey, then));
        self.graph.add(subject, &wanted, Form::Wait(Wait::For(wait_ms), jump)).1
    }

    fn update(&mut self, subject: &Subject, data: &Data, then: Target) -> Target {
        let template = data.template.as_deref().unwrap_or_default();
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(template) else {
            if !template.trim().is_empty() {
                let text = format!(
                    "sets nothing: its template is no plain JSON object. {}",
                    crate::import::text::shown(template)
                );
                self.lost(subject, text, "write `update_profile`");
            }
            return then;
        };
        let mut sets = Vec::new();
        for (name, value) in fields {
            match self.value(&name, &value) {
                Ok(set) => sets.push(set),
                Err(error) => {
                    let text = format!("`{name}` is not set to {}: {error}", json(&value));
                    self.lost(subject, text, "write it in `update_profile`");
                }
            }
        }
        let wanted = Self::wanted(subject);
        let parts: Vec<Vec<(String, String)>> = sets.chunks(FIELDS_MAX).map(<[_]>::to_vec).collect();
        parts.into_iter().rev().fold(then, |then, part| self.graph.add(subject, &wanted, Form::Update(part, then)).1)
    }

    /// A field and the expression it is set to.
    fn value(&mut self, name: &str, value: &Value) -> Result<(String, String), String> {
        let path = vec![name.to_owned()];
        if name.contains('.') {
            return Err("its name has a dot".to_owned());
        }
        let set = match value {
            Value::Null => {
                self.bundle.declared.profile(&path, None)?;
                "null".to_owned()
            }
            Value::Bool(truth) => {
                self.bundle.declared.profile(&path, Some(Type::Boolean))?;
                truth.to_string()
            }
            Value::Number(given) => {
                self.bundle.declared.profile(&path, Some(Type::Number))?;
                given.as_f64().and_then(number).ok_or("it is no number")?
            }
            Value::String(text) => match text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
                Some(read) if !read.contains(['{', '}']) => {
                    let field = messages::field(read.trim(), self.entry, Some(Type::Text), self.bundle)?;
                    self.bundle.declared.profile(&path, Some(Type::Text))?;
                    field
                }
                _ if text.contains("{{") => return Err("it mixes text and placeholders".to_owned()),
                _ => {
                    self.bundle.declared.profile(&path, Some(Type::Text))?;
                    literal(text)
                }
            },
            Value::Array(_) | Value::Object(_) => return Err("it is no plain value".to_owned()),
        };
        Ok((name.to_owned(), set))
    }
}
