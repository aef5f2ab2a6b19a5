//! Nodes and filters: what each becomes in a program.

use std::sync::Arc;

use jiff::tz::TimeZone;
use smol_str::SmolStr;

use super::{Compiler, Entrance, node_no, taken};
use crate::domain::expression::{Expr, FieldPath, Root, Schemas, Type, moment};
use crate::domain::ids::{Millis, NodeNo};
use crate::domain::journey::action::{Action, ActionShape, titled};
use crate::domain::journey::constant::value_at;
use crate::domain::journey::definition::{
    Assignment, AwaitedDefinition, FilterDefinition, NodeDefinition, NodeForm, OptimizeMethod, RacerDefinition, SHARES,
    ShareDefinition, Since, TestDefinition, WaitDefinition,
};
use crate::domain::journey::findings::At;
use crate::domain::journey::graph::Graph;
use crate::domain::journey::program::{
    Arm, Awaited, EventFilter, Lookup, Message, Method, Node, NodeKind, Pause, Test,
};
use crate::domain::journey::source::HOLDOUT;
use crate::domain::suggest::did_you_mean;
use crate::domain::value::Value;

impl<'c> Compiler<'c, '_> {
    pub(super) fn entry(&mut self) -> Option<EventFilter> {
        let entry = &self.definition.entry;
        let when = match &entry.when {
            None => None,
            Some(when) => {
                let (last, journey, action, source, lookup) = (None, None, None, None, None);
                let schemas = Schemas { last, journey, action, source, lookup, ..self.inside.clone() };
                let blurred = self.blurred_roots(&[]);
                let expr = self.expression(when, &schemas, &blurred, &Type::Boolean, "entry")?;
                self.reads.extend(expr.reads().iter().cloned());
                Some(expr)
            }
        };
        Some(EventFilter { event: entry.event.value.clone(), when, of: None })
    }

    /// The ids a profile enters under: a text or texts.
    pub(super) fn supplemental_id(&mut self, id: &At<SmolStr>) -> Option<Expr> {
        let schemas = Schemas { last: None, journey: None, ..self.inside.clone() };
        let texts = Type::List(Box::new(Type::String));
        let expected = match Expr::compile(&id.value, &schemas, &texts) {
            Ok(_) => texts,
            Err(_) => Type::String,
        };
        let blurred = self.blurred_roots(&[]);
        let expr = self.expression(id, &schemas, &blurred, &expected, "supplemental id")?;
        self.reads.extend(expr.reads().iter().cloned());
        Some(expr)
    }

    /// A filter inside a journey: `last` is the event that comes in.
    pub(super) fn filter(&mut self, filter: &FilterDefinition, whence: &str) -> Option<EventFilter> {
        let when = match &filter.when {
            None => None,
            Some(when) => {
                let last = self.vocabulary.events.get(&filter.event.value).cloned();
                let schemas = Schemas { last, ..self.inside.clone() };
                let blurred = self.blurred_roots(&[&filter.event.value]);
                let expr = self.expression(when, &schemas, &blurred, &Type::Boolean, whence)?;
                self.reads.extend(expr.reads().iter().cloned());
                // `last` is here the event that comes in, which needs no remembering.
                self.kept.extend(expr.reads().iter().filter(|read| read.root != Root::Last).cloned());
                Some(expr)
            }
        };
        Some(EventFilter { event: filter.event.value.clone(), when, of: None })
    }

    fn awaited(&mut self, awaited: &AwaitedDefinition, whence: &str) -> Option<Awaited> {
        let mut filter = self.filter(&awaited.filter, whence)?;
        if let Some(of) = &awaited.of {
            filter.of = Some(self.target(of)?);
            self.followed.extend(filter.of);
        }
        let slot = match awaited.since {
            Since::Here => None,
            since => {
                self.heard.push((filter.clone(), since));
                Some(u16::try_from(self.heard.len() - 1).ok()?)
            }
        };
        Some(Awaited { filter, slot })
    }

    fn pause(&mut self, wait: &WaitDefinition, whence: &str) -> Option<Pause> {
        Some(match wait {
            WaitDefinition::For(duration_ms) => Pause::For(duration_ms.value),
            WaitDefinition::Until(until) => Pause::Until(self.until(until, whence)?),
            WaitDefinition::Local { time, days } => Pause::Local { time: *time, days: *days },
        })
    }

    /// When a wait ends: a timestamp, or text that is read by the clock of the instance (spec §3.4).
    fn until(&mut self, until: &At<SmolStr>, whence: &str) -> Option<Expr> {
        let is_text = Expr::compile(&until.value, &self.inside, &Type::String).is_ok();
        let expr = self.inside(until, if is_text { &Type::String } else { &Type::Timestamp }, whence)?;
        if let Some(Value::Str(text)) = value_at(&expr, Millis(0))
            && let Err(error) = moment(&text, &TimeZone::UTC)
        {
            let message = format!("{whence} in journey `{}`: {error}", self.definition.name.value);
            let suggestion = "write it like '2026-12-24T18:00', or '2026-12-24T18:00:00+01:00'".to_owned();
            self.findings.error_within(until, 0, "bad_literal", message, Some(suggestion));
            return None;
        }
        Some(expr)
    }

    /// All nodes in the order of the definition; those that have errors are `None`.
    pub(super) fn nodes(
        &mut self,
        graph: Option<&Graph>,
        messages: &[Option<Arc<Message>>],
        actions: &[Arc<Action>],
    ) -> Vec<Option<Node>> {
        let on_cycle = graph.map(Graph::on_cycle);
        let definition = self.definition;
        let compiled = definition.nodes.iter().enumerate().map(|(index, node)| {
            let kind = self.node(node, messages, actions);
            let on_cycle = on_cycle.as_ref().is_some_and(|on_cycle| on_cycle[index]);
            let on_error = node.on_error.as_ref().and_then(|target| self.target(target));
            Some(Node { name: node.name.value.clone(), kind: kind?, on_error, on_cycle })
        });
        compiled.collect()
    }

    fn node(
        &mut self,
        node: &NodeDefinition,
        messages: &[Option<Arc<Message>>],
        actions: &[Arc<Action>],
    ) -> Option<NodeKind> {
        let whence = format!("node `{}`", node.name.value);
        match &node.form {
            NodeForm::Wait { wait, then } => {
                let pause = self.pause(wait, &whence);
                Some(NodeKind::Wait { pause: pause?, then: self.target(then)? })
            }
            NodeForm::Split { shares } => Some(NodeKind::Split { ways: self.shares(shares)? }),
            NodeForm::Condition { branches, otherwise } => {
                let compiled: Vec<_> = branches
                    .iter()
                    .map(|branch| Some((self.test(&branch.test, &whence)?, self.target(&branch.then)?)))
                    .collect();
                let otherwise = self.target_if_any(otherwise.as_ref())?;
                Some(NodeKind::Condition { branches: compiled.into_iter().collect::<Option<_>>()?, otherwise })
            }
            NodeForm::FirstOf { arms } => {
                let compiled: Vec<_> =
                    arms.iter().map(|arm| Some((self.arm(&arm.what, &whence)?, self.target(&arm.then)?))).collect();
                Some(NodeKind::FirstOf { arms: compiled.into_iter().collect::<Option<_>>()? })
            }
            NodeForm::Event { awaited, within_ms, then, on_timeout } => {
                let awaited = self.awaited(awaited, &whence);
                let on_timeout = self.target_if_any(on_timeout.as_ref())?;
                let within_ms = within_ms.as_ref().map(|at| at.value);
                Some(NodeKind::Event { awaited: awaited?, within_ms, then: self.target(then)?, on_timeout })
            }
            NodeForm::Message { message, then } => {
                let is_named = |found: &Option<Arc<Message>>| found.as_ref().is_some_and(|m| m.name == message.value);
                let index = messages.iter().position(is_named)?;
                Some(NodeKind::Message { message: u16::try_from(index).ok()?, then: self.target(then)? })
            }
            NodeForm::UpdateProfile { fields, then } => {
                let fields: Vec<_> = fields.iter().map(|(path, value)| self.update(path, value, &whence)).collect();
                Some(NodeKind::UpdateProfile {
                    fields: fields.into_iter().collect::<Option<_>>()?,
                    then: self.target(then)?,
                })
            }
            NodeForm::Jump { journey, with, then } => self.jump(journey, with, then, &whence),
            NodeForm::Action { action, with, then } => {
                let shape = self.vocabulary.actions.get(&action.value)?;
                let with = self.parameters(action, shape, with, &whence);
                let index = actions.iter().position(|known| known.name == action.value)?;
                Some(NodeKind::Action { action: u16::try_from(index).ok()?, with: with?, then: self.target(then)? })
            }
            NodeForm::Optimize { method } => Some(NodeKind::Optimize { method: self.method(method, &whence)? }),
            NodeForm::ProfileCap { max, then, otherwise } => {
                let (then, otherwise) = (self.target(then), self.target(otherwise));
                Some(NodeKind::ProfileCap { max: *max, then: then?, otherwise: otherwise? })
            }
            NodeForm::Lookup { dataset, keys, fields, then } => {
                let (keys, fields) = self.looked_up(dataset, keys, fields, &whence)?;
                let (dataset, then) = (dataset.value.clone(), self.target(then)?);
                Some(NodeKind::Lookup(Box::new(Lookup { dataset, keys, fields, then })))
            }
            NodeForm::End => Some(NodeKind::End),
            NodeForm::Fragment { .. } | NodeForm::Broken => None,
        }
    }

    /// Where each way of a split ends, as a sum of the shares up to it, and where it leads.
    fn shares(&mut self, shares: &[ShareDefinition]) -> Option<Vec<(u32, NodeNo)>> {
        let mut sum = 0;
        let ways = shares.iter().map(|way| {
            sum += way.share;
            Some((sum, self.target(&way.then)?))
        });
        ways.collect()
    }

    fn target_if_any(&mut self, target: Option<&At<SmolStr>>) -> Option<Option<NodeNo>> {
        target.map_or(Some(None), |target| self.target(target).map(Some))
    }

    fn arm(&mut self, racer: &RacerDefinition, whence: &str) -> Option<Arm> {
        Some(match racer {
            RacerDefinition::Event(awaited) => Arm::Event(self.awaited(awaited, whence)?),
            RacerDefinition::Wait(wait) => Arm::Wait(self.pause(wait, whence)?),
        })
    }

    fn jump(
        &mut self,
        journey: &At<SmolStr>,
        with: &[Assignment],
        then: &At<SmolStr>,
        whence: &str,
    ) -> Option<NodeKind> {
        let entrance = self.vocabulary.entrances.get(&journey.value)?;
        let with: Vec<_> = with.iter().map(|(name, value)| self.handed(entrance, name, value, whence)).collect();
        Some(NodeKind::Jump {
            journey: journey.value.clone(),
            event: entrance.event.clone(),
            with: with.into_iter().collect::<Option<_>>()?,
            then: self.target(then)?,
        })
    }

    /// The keys of a look-up, and the fields it takes.
    fn looked_up(
        &mut self,
        dataset: &At<SmolStr>,
        keys: &At<SmolStr>,
        fields: &[At<SmolStr>],
        whence: &str,
    ) -> Option<(Expr, Vec<(SmolStr, Type)>)> {
        let schema = self.vocabulary.datasets.get(&dataset.value);
        for field in fields {
            if let Some(schema) = schema.filter(|schema| !schema.iter().any(|(name, _)| *name == field.value)) {
                let known = schema.iter().map(|(name, _)| name.as_str());
                let message = format!("{whence}: dataset `{}` has no field `{}`", dataset.value, field.value);
                let suggestion =
                    did_you_mean(&field.value, known).unwrap_or_else(|| "declare it, or remove it".to_owned());
                self.findings.error_with(field.place, "unknown_field", message, suggestion);
            }
        }
        let keys = self.text_or_texts(keys, whence);
        let fields = taken(schema?, fields);
        Some((keys?, fields))
    }

    /// An expression for a text or a list of texts.
    fn text_or_texts(&mut self, source: &At<SmolStr>, whence: &str) -> Option<Expr> {
        let texts = Type::List(Box::new(Type::String));
        let expected = if Expr::compile(&source.value, &self.inside, &texts).is_ok() { texts } else { Type::String };
        self.inside(source, &expected, whence)
    }

    /// A field of the document and the value it gets.
    fn update(
        &mut self,
        path: &At<SmolStr>,
        value: &At<SmolStr>,
        whence: &str,
    ) -> Option<(Vec<SmolStr>, Option<Expr>)> {
        let names: Vec<SmolStr> = path.value.split('.').map(SmolStr::new).collect();
        let mut declared = Type::Object(self.vocabulary.profile.clone());
        for name in &names {
            let Type::Object(fields) = &declared else { return self.undeclared(path, "profile", &[]) };
            let Some((_, found)) = fields.iter().find(|(known, _)| known == name) else {
                let known: Vec<SmolStr> = fields.iter().map(|(known, _)| known.clone()).collect();
                return self.undeclared(path, "profile", &known);
            };
            declared = found.clone();
        }
        self.reads.insert(FieldPath { root: Root::Profile, path: names.clone() });
        Some((names, self.value(value, &declared, whence)?))
    }

    /// What a node gives to an action: all its parameters and no others.
    fn parameters(
        &mut self,
        action: &At<SmolStr>,
        shape: &ActionShape,
        with: &[Assignment],
        whence: &str,
    ) -> Option<Vec<(SmolStr, Option<Expr>)>> {
        for (name, _) in &shape.parameters {
            if !with.iter().any(|(given, _)| given.value == *name) {
                let message = format!("{whence} does not give `{name}` to {}", titled(&action.value));
                let suggestion = format!("add `{name}: …` to `with`; `null` is for none");
                self.findings.error_with(action.place, "missing_parameter", message, suggestion);
            }
        }
        let given = with.iter().map(|(name, value)| {
            let Some((_, declared)) = shape.parameters.iter().find(|(known, _)| *known == name.value) else {
                let known = shape.parameters.iter().map(|(known, _)| known.as_str());
                let suggestion =
                    did_you_mean(&name.value, known).unwrap_or_else(|| "declare it, or remove it".to_owned());
                let message = format!("{} has no parameter `{}`", titled(&action.value), name.value);
                self.findings.error_with(name.place, "unknown_parameter", message, suggestion);
                return None;
            };
            Some((name.value.clone(), self.value(value, declared, whence)?))
        });
        let given: Vec<_> = given.collect();
        given.into_iter().collect()
    }

    /// A property of the event that lets the profile into another journey, and its value.
    fn handed(
        &mut self,
        entrance: &'c Entrance,
        name: &At<SmolStr>,
        value: &At<SmolStr>,
        whence: &str,
    ) -> Option<(SmolStr, Option<Expr>)> {
        let Some((_, declared)) = entrance.fields.iter().find(|(known, _)| *known == name.value) else {
            let known: Vec<SmolStr> = entrance.fields.iter().map(|(known, _)| known.clone()).collect();
            return self.undeclared(name, &format!("event `{}`", entrance.event), &known);
        };
        Some((name.value.clone(), self.value(value, declared, whence)?))
    }

    /// A value of a declared type; no expression for the word `null`.
    fn value(&mut self, value: &At<SmolStr>, declared: &Type, whence: &str) -> Option<Option<Expr>> {
        if value.value.trim() == "null" { Some(None) } else { self.inside(value, declared, whence).map(Some) }
    }

    /// A field that nobody declared; what can't be known for an earlier finding is none.
    fn undeclared<T>(&mut self, field: &At<SmolStr>, of: &str, known: &[SmolStr]) -> Option<T> {
        if !(of == "profile" && self.vocabulary.blurred_profile) {
            let message = format!("{of} has no field `{}`", field.value);
            let suggestion = did_you_mean(&field.value, known.iter().map(SmolStr::as_str))
                .unwrap_or_else(|| "declare it, or name one that is".to_owned());
            self.findings.error_with(field.place, "unknown_field", message, suggestion);
        }
        None
    }

    fn method(&mut self, method: &OptimizeMethod, whence: &str) -> Option<Method> {
        match method {
            OptimizeMethod::Experiment { treatments, holdout } => {
                let held_out = holdout.as_ref().map_or(0, |(share, _)| *share);
                let total: u32 = treatments.iter().map(|treatment| treatment.weight).sum();
                let mut weight = 0;
                let mut ways = Vec::new();
                for treatment in treatments {
                    weight += treatment.weight;
                    // Below 2^64: shares and weights are of 10,000 each.
                    let sum = u64::from(SHARES - held_out) * u64::from(weight) / u64::from(total);
                    ways.push((treatment.name.value.clone(), sum as u32, self.target(&treatment.then)?));
                }
                if let Some((_, then)) = holdout {
                    ways.push((SmolStr::new_static(HOLDOUT), SHARES, self.target(then)?));
                }
                Some(Method::Experiment { ways })
            }
            OptimizeMethod::Targeting { rules, fallback } => {
                let compiled: Vec<_> = rules
                    .iter()
                    .map(|rule| {
                        let when = self.inside(&rule.when, &Type::Boolean, whence)?;
                        Some((rule.name.value.clone(), when, self.target(&rule.then)?))
                    })
                    .collect();
                let fallback = self.target_if_any(fallback.as_ref())?;
                Some(Method::Targeting { rules: compiled.into_iter().collect::<Option<_>>()?, fallback })
            }
        }
    }

    fn test(&mut self, test: &TestDefinition, whence: &str) -> Option<Test> {
        Some(match test {
            TestDefinition::When(when) => Test::When(self.inside(when, &Type::Boolean, whence)?),
            TestDefinition::Time(hours) => Test::Time(*hours),
            TestDefinition::Date(dates) => Test::Date(*dates),
        })
    }

    pub(super) fn target(&self, target: &At<SmolStr>) -> Option<NodeNo> {
        self.numbers.get(target.value.as_str()).map(|index| node_no(*index))
    }
}
