//! Functions that make a list of a list, or pick from it. Aggregates are in `aggregates`, loops in `comprehension`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, Expr as Tree, IdedExpr};
use smol_str::SmolStr;

use super::code::{Code, Kind, Owned as _, Run, RunList, Typed, run_list, run_value};
use super::compile::{Compiler, Problem};
use super::comprehension::with_item;
use super::cost;
use super::parse::At;
use super::read;
use super::scope::{Env, Fault, fault};
use super::types::Type;
use crate::domain::value::Value;

impl Compiler<'_> {
    /// The methods of lists, their arguments checked.
    pub(super) fn list_method(
        &mut self,
        at: At,
        call: &CallExpr,
        typed: Typed,
        arguments: Vec<Typed>,
    ) -> Option<Typed> {
        let name = call.func_name.as_str();
        let item = match &typed.ty {
            Type::List(item) => (**item).clone(),
            _ => Type::Null,
        };
        self.spend_walk(&at, name, call, &item);
        let mut arguments = arguments.into_iter();
        let (first, second) = (arguments.next(), arguments.next());
        let code = match (name, first, second) {
            ("sum" | "avg" | "min" | "max" | "count" | "countNull", ..) => {
                return self.aggregate(at, name, item, typed.list());
            }
            ("join", separator, _) => return self.join(at, &item, typed, separator),
            ("first" | "last", ..) => return Some(end_of(name, item, typed)),
            ("flatten", ..) => return self.flatten(at, item, typed.list()),
            ("sort", ..) if !is_sortable(&item) => return self.unsortable(at, name, &item),
            ("intersect", Some(other), _) => return self.intersect(at, &item, typed.list(), other),
            ("sort", ..) => sort(item.clone(), typed.list()),
            ("distinct", ..) => distinct(item.clone(), typed.list()),
            ("reverse", ..) => changed(typed.list(), |items| items.reverse()),
            ("limit", Some(count), _) => {
                part(typed.list(), count.scalar(), |count, size| Ok(0..count_of(count)?.min(size)))
            }
            ("limitLast", Some(count), _) => {
                part(typed.list(), count.scalar(), |count, size| Ok(size - count_of(count)?.min(size)..size))
            }
            (_, Some(begin), Some(end)) => slice(typed.list(), begin.scalar(), end.scalar()),
            _ => return None,
        };
        Some(Typed::code_of(Type::List(Box::new(item)), Code::List(code)))
    }

    /// What a method costs beyond its node and its list.
    fn spend_walk(&mut self, at: &At, name: &str, call: &CallExpr, item: &Type) {
        let Some(list) = &call.target else { return };
        let before = self.spent;
        match (name, call.args.as_slice()) {
            ("sort" | "distinct", _) => self.spend(comparing(name, item, cost::items(list))),
            ("intersect", [other]) => self.spend(comparing(name, item, cost::items(other).max(cost::items(list))) + 2),
            _ => return,
        }
        self.spend_turns(at.clone(), before, cost::items(list));
    }

    fn join(&mut self, at: At, item: &Type, typed: Typed, separator: Option<Typed>) -> Option<Typed> {
        if item.fits(&Type::String) {
            return Some(super::text::join(typed.list(), separator.map(Typed::text)));
        }
        let message = format!("`join` is a function of lists of texts, not of {}", typed.ty);
        let suggestion = "make texts of them first: `list.map(x, string(x)).join(…)`".to_owned();
        self.mismatch(at, message, Some(suggestion))
    }

    fn unsortable(&mut self, at: At, name: &str, item: &Type) -> Option<Typed> {
        let message = format!("`{name}` needs values that have an order, not {item}");
        let suggestion = matches!(item, Type::Object(_)).then(|| "write `list.sortBy(x, x.key)`".to_owned());
        self.mismatch(at, message, suggestion)
    }

    fn flatten(&mut self, at: At, item: Type, list: RunList) -> Option<Typed> {
        if !matches!(item, Type::List(_) | Type::Null) {
            let message = format!("`flatten` is a function of lists of lists, not of [{item}]");
            return self.mismatch(at, message, None);
        }
        let inner = item.clone();
        let code = run_list(move |env| {
            let Some(list) = list(env)? else { return Ok(None) };
            let mut flat = Vec::new();
            for item in list.iter() {
                env.charge(read::weight(item))?;
                match item {
                    Value::List(items) => flat.extend(items.iter().cloned()),
                    Value::Null => {}
                    _ => return Err(read::wrong_type("an item of the list", &inner)),
                }
            }
            Ok(Some(Cow::Owned(flat)))
        });
        let ty = if item == Type::Null { Type::List(Box::new(Type::Null)) } else { item };
        Some(Typed::code_of(ty, Code::List(code)))
    }

    fn intersect(&mut self, at: At, item: &Type, list: RunList, other: Typed) -> Option<Typed> {
        let Some(ty) = Type::List(Box::new(item.clone())).join(&other.ty) else {
            let message = format!("`intersect` takes a list of the same type, [{item}], not {}", other.ty);
            return self.mismatch(at, message, None);
        };
        let joined = match &ty {
            Type::List(joined) => (**joined).clone(),
            _ => Type::Null,
        };
        let other = other.list();
        let code = run_list(move |env| {
            let (Some(list), Some(other)) = (list(env)?, other(env)?) else { return Ok(None) };
            let mut among = Seen::new(&joined);
            for value in other.iter() {
                among.is_new(env, value)?;
            }
            let mut kept = Seen::new(&joined);
            let mut common = Vec::new();
            for value in list.iter() {
                if among.has(env, value)? && kept.is_new(env, value)? {
                    env.charge(read::weight(value))?;
                    common.push(value.clone());
                }
            }
            Ok(Some(Cow::Owned(common)))
        });
        Some(Typed::code_of(ty, Code::List(code)))
    }

    /// `list.sortBy(x, key)` and `list.distinctBy(x, key)`.
    pub(super) fn by_key(&mut self, at: At, name: &str, list: &IdedExpr, nodes: &[IdedExpr]) -> Option<Typed> {
        let [variable, key] = nodes else { return self.wrong_arguments(at, name, "a variable and a key", nodes.len()) };
        let Tree::Ident(variable_name) = &variable.expr else {
            let message = format!("`{name}` takes the name of a variable first");
            let problem =
                Problem { code: "syntax", message, suggestion: Some(format!("write `list.{name}(x, x.key)`")) };
            return self.report(At::Node(variable.id), problem);
        };
        let range = self.node(list)?;
        let item = match &range.ty {
            Type::List(item) => (**item).clone(),
            ty => {
                let message = format!("`{name}` is a function of lists, not of {ty}");
                return self.mismatch(at, message, None);
            }
        };
        self.variables.push((variable_name.clone(), item.clone()));
        let before = self.spent;
        let found = self.node(key);
        let count = cost::items(list);
        if let Some(found) = &found {
            self.spend(comparing(name, &found.ty, count));
        }
        self.spend_turns(at.clone(), before, count);
        self.variables.pop();
        let found = found?;
        let ty = found.ty.clone();
        if name == "sortBy" && !is_sortable(&ty) {
            return self.unsortable(At::Node(key.id), name, &ty);
        }
        let (range, key) = (range.list(), found.code(&ty));
        let code = if name == "sortBy" { sort_by(ty, range, key) } else { distinct_by(ty, range, key) };
        Some(Typed::code_of(Type::List(Box::new(item)), Code::List(code)))
    }
}

/// The items as values of their own; copies draw on the budget.
fn owned(env: &Env<'_>, list: Cow<'_, [Value]>) -> Result<Vec<Value>, Fault> {
    if let Cow::Borrowed(items) = &list {
        env.charge(items.iter().map(read::weight).sum())?;
    }
    Ok(list.into_owned())
}

fn changed(list: RunList, change: fn(&mut Vec<Value>)) -> RunList {
    run_list(move |env| {
        let Some(list) = list(env)? else { return Ok(None) };
        let mut items = owned(env, list)?;
        env.charge(items.len())?;
        change(&mut items);
        Ok(Some(Cow::Owned(items)))
    })
}

/// `first()` and `last()`: null of an empty list.
fn end_of(name: &str, item: Type, typed: Typed) -> Typed {
    let named = match &typed.kind {
        Kind::Place(place) => smol_str::format_smolstr!("{}.{name}()", place.name),
        _ => SmolStr::new_static("item"),
    };
    let (list, is_first) = (typed.list(), name == "first");
    let value = run_value(move |env| {
        Ok(match list(env)? {
            None => None,
            Some(Cow::Borrowed(list)) => if is_first { list.first() } else { list.last() }.map(Cow::Borrowed),
            Some(Cow::Owned(mut list)) => {
                let found = if is_first { (!list.is_empty()).then(|| list.swap_remove(0)) } else { list.pop() };
                found.map(Cow::Owned)
            }
        })
    });
    Typed { ty: item, kind: Kind::Value(value, named) }
}

fn count_of(count: i64) -> Result<usize, Fault> {
    match usize::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => fault(format!("{count} is no number of items")),
    }
}

fn cut(list: Cow<'_, [Value]>, range: std::ops::Range<usize>) -> Cow<'_, [Value]> {
    match list {
        Cow::Borrowed(items) => Cow::Borrowed(&items[range]),
        Cow::Owned(mut items) => {
            items.truncate(range.end);
            items.drain(..range.start);
            Cow::Owned(items)
        }
    }
}

fn part(list: RunList, count: Run<i64>, range: fn(i64, usize) -> Result<std::ops::Range<usize>, Fault>) -> RunList {
    run_list(move |env| {
        let (Some(list), Some(count)) = (list(env)?, count(env)?) else { return Ok(None) };
        let range = range(count, list.len())?;
        Ok(Some(cut(list, range)))
    })
}

fn slice(list: RunList, begin: Run<i64>, end: Run<i64>) -> RunList {
    run_list(move |env| {
        let (Some(list), Some(begin), Some(end)) = (list(env)?, begin(env)?, end(env)?) else { return Ok(None) };
        let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
        match range {
            Some((from, to)) if from <= to && to <= list.len() => Ok(Some(cut(list, from..to))),
            _ => fault(format!("{begin} to {end} is no part of a list of {}", list.len())),
        }
    })
}

/// A scalar in the order of its type; null comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Bool(bool),
    Int(i64),
    Number(Total),
    Text(SmolStr),
    Null,
}

/// A double in its total order; the two zeros are one.
#[derive(Clone, Copy, Debug)]
struct Total(f64);

impl PartialEq for Total {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Total {}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Adding zero makes -0.0 the other zero.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

/// Whether values of `ty` have an order and a [`Key`].
fn is_sortable(ty: &Type) -> bool {
    !matches!(ty, Type::List(_) | Type::Object(_))
}

fn key_of(ty: &Type, value: &Value) -> Result<Key, Fault> {
    const NAME: &str = "an item of the list";
    let key = match ty {
        Type::Boolean => read::boolean(value, NAME)?.map(Key::Bool),
        Type::Integer => read::integer(value, NAME)?.map(Key::Int),
        Type::Number => read::number(value, NAME)?.map(|number| Key::Number(Total(number))),
        Type::Timestamp => read::instant(value, NAME)?.map(|time| Key::Int(time.0)),
        Type::Duration => read::span(value, NAME)?.map(|span| Key::Int(span.0)),
        Type::String => read::text(value, NAME)?.map(|text| Key::Text(text.into())),
        _ => None,
    };
    Ok(key.unwrap_or(Key::Null))
}

/// Values met before: by their order where they have one, else one by one.
struct Seen<'t> {
    ty: &'t Type,
    keys: BTreeSet<Key>,
    whole: Vec<Value>,
}

impl<'t> Seen<'t> {
    fn new(ty: &'t Type) -> Self {
        Self { ty, keys: BTreeSet::new(), whole: Vec::new() }
    }

    fn has(&self, env: &Env<'_>, value: &Value) -> Result<bool, Fault> {
        if is_sortable(self.ty) {
            env.charge(read::weight(value))?;
            return Ok(self.keys.contains(&key_of(self.ty, value)?));
        }
        env.charge(read::weight(value).saturating_mul(1 + self.whole.len()))?;
        Ok(self.whole.iter().any(|other| read::equal(other, value, self.ty)))
    }

    /// Notes the value; whether it was not there.
    fn is_new(&mut self, env: &Env<'_>, value: &Value) -> Result<bool, Fault> {
        if is_sortable(self.ty) {
            env.charge(read::weight(value))?;
            return Ok(self.keys.insert(key_of(self.ty, value)?));
        }
        let is_new = !self.has(env, value)?;
        if is_new {
            self.whole.push(value.clone());
        }
        Ok(is_new)
    }
}

/// What finding the place of one value of `ty` among so many costs: those without an order are compared one by one.
fn comparing(name: &str, ty: &Type, count: u64) -> u64 {
    match name {
        "sort" | "sortBy" => cost::depth(count),
        _ if is_sortable(ty) => 3,
        _ => count.saturating_add(1).saturating_mul(cost::weight(ty)),
    }
}

/// Steps of sorting so many values.
fn sorting(count: usize) -> usize {
    count.saturating_mul(count.max(2).ilog2() as usize + 1)
}

fn sort(ty: Type, list: RunList) -> RunList {
    run_list(move |env| {
        let Some(list) = list(env)? else { return Ok(None) };
        env.charge(sorting(list.len()))?;
        let items = owned(env, list)?;
        let keyed = items.into_iter().map(|item| Ok((key_of(&ty, &item)?, item)));
        Ok(Some(Cow::Owned(in_order(keyed.collect::<Result<_, Fault>>()?))))
    })
}

fn in_order(mut keyed: Vec<(Key, Value)>) -> Vec<Value> {
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.into_iter().map(|(_, item)| item).collect()
}

fn sort_by(ty: Type, list: RunList, key: Code) -> RunList {
    run_list(move |env| {
        let Some(list) = list(env)? else { return Ok(None) };
        env.charge(sorting(list.len()))?;
        let keys = list.iter().map(|item| key_of(&ty, &with_item(env, item, |env| key.owned(env))?));
        let keys = keys.collect::<Result<Vec<Key>, Fault>>()?;
        Ok(Some(Cow::Owned(in_order(keys.into_iter().zip(owned(env, list)?).collect()))))
    })
}

fn distinct(ty: Type, list: RunList) -> RunList {
    run_list(move |env| {
        let Some(list) = list(env)? else { return Ok(None) };
        let mut seen = Seen::new(&ty);
        let mut kept = Vec::new();
        for item in list.iter() {
            if seen.is_new(env, item)? {
                env.charge(read::weight(item))?;
                kept.push(item.clone());
            }
        }
        Ok(Some(Cow::Owned(kept)))
    })
}

fn distinct_by(ty: Type, list: RunList, key: Code) -> RunList {
    run_list(move |env| {
        let Some(list) = list(env)? else { return Ok(None) };
        let mut seen = Seen::new(&ty);
        let mut kept = Vec::new();
        for item in list.iter() {
            env.charge(1)?;
            let key = with_item(env, item, |env| key.owned(env))?;
            if seen.is_new(env, &key)? {
                env.charge(read::weight(item))?;
                kept.push(item.clone());
            }
        }
        Ok(Some(Cow::Owned(kept)))
    })
}
