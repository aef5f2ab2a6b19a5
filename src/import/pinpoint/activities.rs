//! One activity of a Pinpoint journey as nodes.

use serde_json::Value;

use super::conditions::Conditions;
use super::messages::{Wanted, message, tell_hook};
use super::read::Library;
use super::shapes::{
    Activity, Condition, ConditionalSplit, ContactCenter, Custom, CustomMessage, Holdout, MessageConfig, MultiBranch,
    MultiCondition, RandomBranch, RandomSplit, Send, Wait, WaitTime,
};
use crate::domain::journey::duration;
use crate::import::bundle::{Bundle, Leaves, Reach};
use crate::import::graph::{self, Form, Graph, Since, Target};
use crate::import::report::Subject;
use crate::import::split::{AT_ONCE_MS, Ask, branches, shares, wait_for};
use crate::import::text::{is_web_address, json, literal};
use crate::import::unread;

/// The activities of one journey.
pub(super) struct Activities<'a> {
    pub(super) journey: &'a Subject,
    pub(super) library: &'a mut Library,
    pub(super) bundle: &'a mut Bundle,
    pub(super) graph: Graph,
}

impl Activities<'_> {
    /// Adds the nodes of an activity.
    pub(super) fn add(&mut self, id: &str, value: &Value) {
        let description = value.get("Description").and_then(Value::as_str);
        let kind = value.as_object().and_then(|fields| fields.keys().find(|key| *key != "Description"));
        let subject = self.journey.part(kind.map_or("activity", String::as_str), id, description);
        let target = match unread::read::<Activity>(value, &subject, &mut self.bundle.report) {
            Ok(activity) => self.activity(&subject, activity),
            Err(error) => {
                let text = format!("can't be read ({error}): it ends the journey. {}", json(value));
                self.bundle.report.lost(&subject, text, "write the node by hand");
                Target::End
            }
        };
        self.graph.enter(id, target);
    }

    fn activity(&mut self, subject: &Subject, activity: Activity) -> Target {
        let Activity {
            custom,
            conditional_split,
            contact_center,
            description: _,
            email,
            holdout,
            multi_condition,
            push,
            random_split,
            sms,
            wait,
        } = activity;
        let mut made = Vec::new();
        made.extend(email.map(|send| self.send(subject, "EMAIL", send)));
        made.extend(sms.map(|send| self.send(subject, "SMS", send)));
        made.extend(push.map(|send| self.send(subject, "PUSH", send)));
        made.extend(custom.map(|custom| self.custom(subject, custom)));
        made.extend(wait.map(|wait| self.wait(subject, wait)));
        made.extend(conditional_split.map(|split| self.conditional_split(subject, split)));
        made.extend(multi_condition.map(|split| self.multi_condition(subject, split)));
        made.extend(random_split.map(|split| self.random_split(subject, split)));
        made.extend(holdout.map(|holdout| self.holdout(subject, holdout)));
        made.extend(contact_center.map(|ContactCenter { next_activity }| {
            let report = &mut self.bundle.report;
            report.lost(
                subject,
                "nobody is called: the next activity follows",
                "call your contact center by an `action` node",
            );
            Target::to(next_activity.as_deref())
        }));
        match made.len() {
            1 => made.remove(0),
            0 => {
                self.bundle.report.lost(
                    subject,
                    "does nothing that is known: it ends the journey",
                    "write the node by hand",
                );
                Target::End
            }
            _ => {
                let text = "does several things: only the first counts";
                self.bundle.report.lost(subject, text, "make each an activity of its own");
                made.remove(0)
            }
        }
    }

    /// The name that a node should have.
    fn wanted(subject: &Subject) -> String {
        subject.name.clone().unwrap_or_else(|| format!("{}_{}", subject.kind, subject.id))
    }

    fn send(&mut self, subject: &Subject, kind: &'static str, send: Send) -> Target {
        let Send { message_config, next_activity, template_name, template_version } = send;
        let config = message_config.unwrap_or_default();
        let MessageConfig {
            from_address,
            time_to_live,
            message_type,
            origination_number,
            sender_id,
            entity_id,
            template_id,
        } = config;
        let left = [
            ("MessageConfig.TimeToLive", time_to_live.map(Value::from)),
            ("MessageConfig.MessageType", message_type.map(Value::from)),
            ("MessageConfig.OriginationNumber", origination_number.map(Value::from)),
            ("MessageConfig.SenderId", sender_id.map(Value::from)),
            ("MessageConfig.EntityId", entity_id.map(Value::from)),
            ("MessageConfig.TemplateId", template_id.map(Value::from)),
        ];
        self.bundle.report.left_out(subject, left, "tell your provider where you send it by a webhook");
        if let Some(version) = template_version {
            let text = format!("`TemplateVersion` {version}: the template is the one that was given");
            self.bundle.report.differs(subject, text, "give that version of it");
        }
        let wanted = Wanted { kind, template: template_name.unwrap_or_default(), from: from_address };
        let message = message(&wanted, subject, self.library, self.bundle);
        let then = Target::to(next_activity.as_deref());
        let (name, target) = self.graph.add(subject, &Self::wanted(subject), Form::Message(message.clone(), then));
        self.bundle.report.mapped(subject, format!("node `{name}`, message `{message}`"));
        target
    }

    fn custom(&mut self, subject: &Subject, custom: Custom) -> Target {
        let Custom { delivery_uri, endpoint_types, message_config, next_activity, template_name, template_version } =
            custom;
        let CustomMessage { data } = message_config.unwrap_or_default();
        let uri = delivery_uri.unwrap_or_default();
        for (field, value) in [("TemplateName", template_name), ("TemplateVersion", template_version)] {
            if let Some(value) = value {
                let text = format!("`{field}` {value} is not read");
                self.bundle.report.lost(subject, text, "write what it holds into the body of the message");
            }
        }
        if let Some(types) = endpoint_types {
            let text = format!("`EndpointTypes` {} are not told apart", json(&types));
            self.bundle.report.lost(subject, text, "ask for them in a condition before");
        }
        let wanted = Self::wanted(subject);
        let leaves = if is_web_address(&uri) {
            let surface = self.bundle.surface(Reach::Hook(uri));
            tell_hook(subject, self.bundle);
            Leaves::Hook { surface }
        } else {
            let text = format!("`{uri}` can't be called: a line of the log instead");
            let help = "put an HTTP endpoint before the function and call it by a webhook or an `action`";
            self.bundle.report.lost(subject, text, help);
            Leaves::Log
        };
        let body = crate::import::template::verbatim(&data.unwrap_or_default());
        let message = self.bundle.message(&wanted, leaves, body);
        let then = Target::to(next_activity.as_deref());
        let (name, target) = self.graph.add(subject, &wanted, Form::Message(message.clone(), then));
        self.bundle.report.mapped(subject, format!("node `{name}`, message `{message}`"));
        target
    }

    /// When a `WaitTime` ends; none where it names no time, or none that is to come.
    fn wait_time(&mut self, subject: &Subject, wait: Option<WaitTime>) -> Option<graph::Wait> {
        let WaitTime { wait_for: span, wait_until } = wait?;
        if let Some(until) = wait_until.filter(|until| !until.is_empty()) {
            if let Some(span) = span {
                self.bundle.report.lost(
                    subject,
                    format!("`WaitFor` {span} beside `WaitUntil` is left out"),
                    "use one of them",
                );
            }
            return match until.parse::<jiff::Timestamp>() {
                Ok(_) => Some(graph::Wait::Until(format!("timestamp({})", literal(&until)))),
                Err(_) => {
                    let text = format!("`WaitUntil` {until:?} is no instant: nobody waits");
                    self.bundle.report.lost(subject, text, "write `wait: { until: … }`");
                    None
                }
            };
        }
        let span = span.filter(|span| !span.is_empty())?;
        match duration::parse(&span) {
            Ok(wait_ms) => wait_for(wait_ms, subject, &mut self.bundle.report),
            Err(error) => {
                let text = format!("`WaitFor` can't be read ({error}): nobody waits");
                self.bundle.report.lost(subject, text, "write `wait: …`; months and years have no fixed length");
                None
            }
        }
    }

    fn wait(&mut self, subject: &Subject, wait: Wait) -> Target {
        let Wait { next_activity, wait_time } = wait;
        let then = Target::to(next_activity.as_deref());
        let target = match self.wait_time(subject, wait_time) {
            Some(wait) => self.graph.add(subject, &Self::wanted(subject), Form::Wait(wait, then)).1,
            None => then,
        };
        self.bundle.report.placed(subject, &target);
        target
    }

    /// What a split waits for before it asks, and since when events count there.
    fn evaluation(&mut self, subject: &Subject, wait: Option<WaitTime>) -> (Option<graph::Wait>, Since) {
        let wait = self.wait_time(subject, wait);
        let since = if wait.is_some() { Since::Here } else { Since::Entry };
        (wait, since)
    }

    fn conditional_split(&mut self, subject: &Subject, split: ConditionalSplit) -> Target {
        let ConditionalSplit { condition, evaluation_wait_time, false_activity, true_activity } = split;
        let Condition { conditions, operator } = condition.unwrap_or_default();
        let (wait, since) = self.evaluation(subject, evaluation_wait_time);
        let mut asks = Conditions { subject, library: self.library, bundle: self.bundle };
        let asked: Vec<Ask> =
            conditions.unwrap_or_default().into_iter().filter_map(|c| asks.simple(c, since)).collect();
        let (yes, no) = (Target::to(true_activity.as_deref()), Target::to(false_activity.as_deref()));
        let wanted = Self::wanted(subject);
        if asked.is_empty() {
            self.bundle.report.lost(
                subject,
                "asks nothing: everybody takes the way of `FalseActivity`",
                "write its condition",
            );
        }
        let all = operator.as_deref().unwrap_or("ALL") == "ALL";
        if !all && operator.as_deref() != Some("ANY") {
            let text =
                format!("`Operator` {:?} is not known: any of the conditions suffices", operator.unwrap_or_default());
            self.bundle.report.lost(subject, text, "write `ALL` or `ANY`");
        }
        let (mut expressions, mut events) = (Vec::new(), Vec::new());
        for ask in asked {
            match ask {
                Ask::Expression(expression) => expressions.push(expression),
                Ask::Events(heard) => events.push(heard),
            }
        }
        self.tell_events(subject, &wait, events.len());
        let join = |sign: &str| match expressions.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(many.iter().map(|e| format!("({e})")).collect::<Vec<_>>().join(sign)),
        };
        let target = if all && events.len() + usize::from(!expressions.is_empty()) > 1 {
            let text = "all that is asked has to come: one thing after the other, each for as long as the split waits";
            self.bundle.report.differs(subject, text, "order them by hand where that matters");
            let last = join(" && ").map(|e| {
                branches(
                    &mut self.graph,
                    (subject, &format!("{wanted}_check")),
                    None,
                    vec![(Ask::Expression(e), yes.clone())],
                    no.clone(),
                )
            });
            events.into_iter().rev().fold(last.unwrap_or(yes), |then, heard| {
                branches(
                    &mut self.graph,
                    (subject, &wanted),
                    wait.clone(),
                    vec![(Ask::Events(heard), then)],
                    no.clone(),
                )
            })
        } else {
            let mut ways: Vec<(Ask, Target)> =
                events.into_iter().map(|heard| (Ask::Events(heard), yes.clone())).collect();
            ways.extend(join(if all { " && " } else { " || " }).map(|e| (Ask::Expression(e), yes)));
            branches(&mut self.graph, (subject, &wanted), wait, ways, no)
        };
        self.bundle.report.placed(subject, &target);
        target
    }

    fn tell_events(&mut self, subject: &Subject, wait: &Option<graph::Wait>, events: usize) {
        let report = &mut self.bundle.report;
        match (events, wait) {
            (0, _) => {}
            (_, Some(_)) => report.differs(
                subject,
                "goes on as soon as the event comes, not when the wait ends",
                "put a `wait` behind it",
            ),
            (_, None) => {
                let text = format!(
                    "asks for events that came before: since the entry, and for {} more",
                    duration::print(AT_ONCE_MS)
                );
                report.differs(subject, text, "change `since` or `within`");
            }
        }
    }

    fn multi_condition(&mut self, subject: &Subject, split: MultiCondition) -> Target {
        let MultiCondition { branches: listed, default_activity, evaluation_wait_time } = split;
        let (wait, since) = self.evaluation(subject, evaluation_wait_time);
        let mut ways = Vec::new();
        for MultiBranch { condition, next_activity } in listed.unwrap_or_default() {
            let mut asks = Conditions { subject, library: self.library, bundle: self.bundle };
            match condition.and_then(|condition| asks.simple(condition, since)) {
                Some(ask) => ways.push((ask, Target::to(next_activity.as_deref()))),
                None => {
                    let text = format!("the branch to `{}` asks nothing: left out", next_activity.unwrap_or_default());
                    self.bundle.report.lost(subject, text, "write its condition");
                }
            }
        }
        let events = ways.iter().filter(|(ask, _)| matches!(ask, Ask::Events(_))).count();
        self.tell_events(subject, &wait, events);
        let first_event = ways.iter().rposition(|(ask, _)| matches!(ask, Ask::Events(_)));
        let first_field = ways.iter().position(|(ask, _)| matches!(ask, Ask::Expression(_)));
        if first_field.zip(first_event).is_some_and(|(field, event)| field < event) {
            let text = "branches that wait for events are asked before those that look at the profile";
            self.bundle.report.differs(subject, text, "order them by hand where that matters");
        }
        let otherwise = Target::to(default_activity.as_deref());
        let target = branches(&mut self.graph, (subject, &Self::wanted(subject)), wait, ways, otherwise);
        self.bundle.report.placed(subject, &target);
        target
    }

    fn random_split(&mut self, subject: &Subject, split: RandomSplit) -> Target {
        let RandomSplit { branches } = split;
        let way = |RandomBranch { next_activity, percentage }| {
            (percentage.unwrap_or_default(), Target::to(next_activity.as_deref()))
        };
        let ways = branches.unwrap_or_default().into_iter().map(way).collect();
        let named = (subject, Self::wanted(subject));
        let target = shares(&mut self.graph, (named.0, &named.1), ways, Target::End, &mut self.bundle.report);
        self.bundle.report.placed(subject, &target);
        target
    }

    fn holdout(&mut self, subject: &Subject, holdout: Holdout) -> Target {
        let Holdout { next_activity, percentage } = holdout;
        let out = percentage.filter(|p| p.is_finite()).unwrap_or_default().clamp(0.0, 100.0);
        let ways = vec![(out, Target::End), (100.0 - out, Target::to(next_activity.as_deref()))];
        let wanted = Self::wanted(subject);
        let target = shares(&mut self.graph, (subject, &wanted), ways, Target::End, &mut self.bundle.report);
        self.bundle.report.placed(subject, &target);
        target
    }
}
