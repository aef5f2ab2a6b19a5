//! The checker: walks the syntax tree once, gives every node its type, and turns it into closures.
//!
//! A node that is wrong is reported and becomes `None`; whatever stands on it is then neither reported nor compiled, so
//! that one slip makes one error.

use std::borrow::Cow;
use std::cell::Cell;

use cel::common::ast::{
    CallExpr, EntryExpr, Expr as Tree, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators,
};
use smol_str::SmolStr;

use super::about::Fact;
use super::code::{
    Base, Code, Kind, Literal, Owned as _, Place, RunValue, Typed, run, run_list, run_map, run_text, run_value,
};
use super::cost::{self, Heaviest};
use super::parse::{self, At, Places};
use super::read::Instant;
use super::scope::{Env, Scope};
use super::types::{FieldPath, Fields, Root, Schemas, SourceError, Type};
use crate::domain::limits;
use crate::domain::suggest::{did_you_mean, nearest};
use crate::domain::value::{Map, Value};

/// What compiling gives.
pub(super) struct Compiled {
    pub(super) result: Type,
    pub(super) reads: Vec<FieldPath>,
    pub(super) constants: Vec<Value>,
    pub(super) cost: u64,
    pub(super) code: Code,
}

/// Compiles `source` to a result of type `expected`, or of any unless one is given, if it costs no more than `cost_max`.
pub(super) fn compile(
    source: &str,
    schemas: &Schemas,
    expected: Option<&Type>,
    cost_max: u64,
) -> Result<Compiled, Vec<SourceError>> {
    let tree = parse::parse(source)?;
    let mut compiler = Compiler::new(schemas);
    let typed = compiler.node(&tree);
    if let (Some(typed), Some(expected)) = (&typed, expected)
        && (!typed.ty.fits(expected) || typed.is_null())
    {
        compiler.report::<()>(
            At::Start,
            Problem {
                code: "type_mismatch",
                message: format!("expression is of type {}, but {expected} is needed", typed.ty),
                suggestion: bridge(&typed.ty, expected),
            },
        );
    }
    if compiler.problems.is_empty() {
        compiler.check_cost(cost_max);
    }
    match typed {
        Some(typed) if compiler.problems.is_empty() => {
            let result = expected.cloned().unwrap_or_else(|| typed.ty.clone());
            Ok(Compiled {
                code: typed.code(&result),
                result,
                reads: sorted(compiler.reads),
                constants: compiler.constants,
                cost: compiler.spent,
            })
        }
        _ => {
            let places = Places::new(source);
            let mut errors: Vec<SourceError> =
                compiler.problems.into_iter().map(|(at, problem)| problem.at(places.offset(&at))).collect();
            errors.sort_by_key(|error| error.offset);
            Err(errors)
        }
    }
}

fn sorted(mut reads: Vec<FieldPath>) -> Vec<FieldPath> {
    reads.sort();
    reads.dedup();
    reads
}

/// An error whose place is not yet looked up.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

impl Problem {
    fn at(self, offset: usize) -> SourceError {
        SourceError { offset, code: self.code, message: self.message, suggestion: self.suggestion }
    }
}

/// How a value of one type is made from another, if a function does it.
pub(super) fn bridge(from: &Type, to: &Type) -> Option<String> {
    let text = match (from, to) {
        (Type::String, Type::Timestamp) => "write `timestamp(…)` around the text",
        (Type::String, Type::Duration) => "write `duration(…)` around the text",
        (Type::String, Type::Integer) => "write `int(…)` around the text",
        (Type::String, Type::Number) => "write `double(…)` around the text",
        (Type::String, Type::Boolean) => "compare the text, e.g. `… == 'yes'`",
        (Type::Integer | Type::Number, Type::Boolean) => "compare the number, e.g. `… > 0`",
        (Type::Number, Type::Integer) => "write `int(…)` around it, which drops the fraction",
        (Type::List(_) | Type::Object(_), Type::Boolean) => "ask for its size, e.g. `size(…) > 0`",
        (Type::Timestamp, Type::Boolean) => "compare the instant, e.g. `… < now`",
        (_, Type::String) if !matches!(from, Type::List(_) | Type::Object(_)) => "write `string(…)` around it",
        _ => return None,
    };
    Some(text.to_owned())
}

pub(super) struct Compiler<'s> {
    schemas: &'s Schemas,
    /// Variables of the comprehensions around, innermost last.
    pub(super) variables: Vec<(String, Type)>,
    reads: Vec<FieldPath>,
    constants: Vec<Value>,
    problems: Vec<(At, Problem)>,
    /// The cost of what has been compiled.
    pub(super) spent: u64,
    pub(super) heaviest: Option<Heaviest>,
}

impl<'s> Compiler<'s> {
    pub(super) fn new(schemas: &'s Schemas) -> Self {
        Self {
            schemas,
            variables: Vec::new(),
            reads: Vec::new(),
            constants: Vec::new(),
            problems: Vec::new(),
            spent: 0,
            heaviest: None,
        }
    }
}

impl Compiler<'_> {
    /// The type of a node that stands by itself, and its value in `scope`; none if it is wrong.
    pub(super) fn valued(&mut self, node: &IdedExpr, scope: &Scope<'_>) -> Option<(Type, Option<Value>)> {
        let typed = self.node(node)?;
        let ty = typed.ty.clone();
        if ty == Type::Null {
            return Some((ty, Some(Value::Null)));
        }
        let code = typed.code(&ty);
        let budget = Cell::new(limits::EXPRESSION_STEPS_MAX);
        let env = Env { scope, constants: &self.constants, locals: None, budget: &budget };
        Some((ty, code.owned(&env).ok()))
    }

    /// Notes an error; the `None` is for the caller to return.
    pub(super) fn report<T>(&mut self, at: At, problem: Problem) -> Option<T> {
        self.problems.push((at, problem));
        None
    }

    /// Notes a `type_mismatch`.
    pub(super) fn mismatch<T>(&mut self, at: At, message: String, suggestion: Option<String>) -> Option<T> {
        self.report(at, Problem { code: "type_mismatch", message, suggestion })
    }

    /// Keeps a value for the run; its index.
    pub(super) fn constant(&mut self, value: Value) -> usize {
        self.constants.push(value);
        self.constants.len() - 1
    }

    /// Checks and compiles one node, and notes what it costs.
    pub(super) fn node(&mut self, node: &IdedExpr) -> Option<Typed> {
        self.spend(1);
        let typed = self.compiled(node)?;
        if matches!(typed.ty, Type::List(_)) && !matches!(node.expr, Tree::List(_)) {
            self.spend(cost::items(node));
        }
        Some(typed)
    }

    fn compiled(&mut self, node: &IdedExpr) -> Option<Typed> {
        match &node.expr {
            Tree::Literal(literal) => self.literal(node.id, literal),
            Tree::Ident(name) => self.name(node.id, name),
            Tree::Select(select) => self.select(node.id, select),
            Tree::Call(call) => self.call(node.id, call),
            Tree::List(list) => self.list(list),
            Tree::Map(map) => self.object(node.id, map),
            Tree::Comprehension(comprehension) => self.comprehension(node.id, comprehension),
            Tree::Struct(_) | Tree::Unspecified => self.unsupported(node.id, "messages (`Name{…}`)"),
        }
    }

    fn unsupported<T>(&mut self, id: u64, what: &str) -> Option<T> {
        let message = format!("{what} are not supported");
        self.report(At::Node(id), Problem { code: "unsupported", message, suggestion: None })
    }

    /// A literal text.
    pub(super) fn text_literal(&mut self, text: &str) -> Typed {
        let text = SmolStr::new(text);
        let constant = self.constant(Value::Str(text.clone()));
        Typed::literal(Type::String, Literal::Text(text, constant))
    }

    fn literal(&mut self, id: u64, literal: &LiteralValue) -> Option<Typed> {
        Some(match literal {
            LiteralValue::Boolean(value) => Typed::literal(Type::Boolean, Literal::Bool(*value.inner())),
            LiteralValue::Double(value) => Typed::literal(Type::Number, Literal::Number(*value.inner())),
            LiteralValue::Int(value) => Typed::literal(Type::Integer, Literal::Int(*value.inner())),
            LiteralValue::Null => Typed::literal(Type::Null, Literal::Null),
            LiteralValue::String(value) => self.text_literal(value.inner()),
            LiteralValue::UInt(value) => match i64::try_from(*value.inner()) {
                Ok(value) => Typed::literal(Type::Integer, Literal::Int(value)),
                Err(_) => {
                    let message = "integer literal is beyond 64 bits with a sign".to_owned();
                    return self.report(At::Node(id), Problem { code: "bad_literal", message, suggestion: None });
                }
            },
            LiteralValue::Bytes(_) => return self.unsupported(id, "bytes"),
        })
    }

    /// A variable, `now`, or a root by itself.
    fn name(&mut self, id: u64, name: &str) -> Option<Typed> {
        if let Some((depth, ty)) = self.variable(name) {
            let place = Place { base: Base::Local(depth), path: Vec::new(), name: SmolStr::new(name) };
            return Some(Typed { ty, kind: Kind::Place(place) });
        }
        if name == "now" {
            let now = run(|env| Ok(Some(Instant(env.scope.now.0))));
            return Some(Typed::code_of(Type::Timestamp, Code::Time(now)));
        }
        if let Some(root) = Root::from_word(name) {
            let fields = self.root(id, root)?;
            let suggestion = fields.first().map(|(field, _)| format!("name a field of it, e.g. `{name}.{field}`"));
            return self.mismatch(At::Node(id), format!("`{name}` as a whole is no value"), suggestion);
        }
        let message = format!("unknown name `{name}`");
        let words = Root::ALL.iter().map(|root| root.word()).chain(["now"]);
        let suggestion = did_you_mean(name, words).unwrap_or_else(|| self.home_of(name));
        self.report(At::Node(id), Problem { code: "unknown_root", message, suggestion: Some(suggestion) })
    }

    /// Where a name that stands alone could belong.
    fn home_of(&self, name: &str) -> String {
        for root in Root::ALL {
            let fields = self.schemas.fields(root).unwrap_or_default();
            if fields.iter().any(|(field, _)| field == name) {
                return format!("did you mean `{}.{name}`?", root.word());
            }
        }
        if name.starts_with("current") && name.ends_with("Field") {
            return "name the item yourself: `list.filter(x, x.price > 10.0)`".to_owned();
        }
        "names start with `event`, `last`, `profile`, `meta` or `journey`; texts stand in quotes".to_owned()
    }

    /// The variable `name`: how many comprehensions out it is, and its type.
    pub(super) fn variable(&self, name: &str) -> Option<(usize, Type)> {
        let found = self.variables.iter().rev().enumerate().find(|(_, (variable, _))| variable == name);
        found.map(|(depth, (_, ty))| (depth, ty.clone()))
    }

    /// The fields of a root, or an error that it can't be used here.
    fn root(&mut self, id: u64, root: Root) -> Option<Fields> {
        if let Some(fields) = self.schemas.fields(root) {
            return Some(fields);
        }
        let message = format!("`{}` is not available here", root.word());
        let usable: Vec<String> = Root::ALL
            .iter()
            .filter(|root| self.schemas.fields(**root).is_some())
            .map(|root| format!("`{}`", root.word()))
            .collect();
        let suggestion = Some(format!("use {}", usable.join(", ")));
        self.report(At::Node(id), Problem { code: "root_not_available", message, suggestion })
    }

    /// `operand.field` and `has(operand.field)`.
    fn select(&mut self, id: u64, select: &SelectExpr) -> Option<Typed> {
        let field = SmolStr::new(&select.field);
        // The node of `has(…)` stands where the word `has` does; the search for the field begins behind its operand.
        let at = At::Behind(if select.test { select.operand.id } else { id }, select.field.clone());
        if let Tree::Ident(name) = &select.operand.expr
            && self.variable(name).is_none()
            && let Some(root) = Root::from_word(name)
        {
            let fields = self.root(select.operand.id, root)?;
            let ty = self.field_of(at, name, &fields, &field)?;
            return Some(self.root_field(root, &field, ty, select.test));
        }
        let operand = self.node(&select.operand)?;
        self.field(at, operand, field, select.test)
    }

    /// The type of a declared field, or an error with the nearest one.
    fn field_of(&mut self, at: At, owner: &str, fields: &Fields, field: &str) -> Option<Type> {
        if let Some((_, ty)) = fields.iter().find(|(name, _)| name == field) {
            return Some(ty.clone());
        }
        let message = format!("`{owner}` has no field `{field}`");
        let names = fields.iter().map(|(name, _)| name.as_str());
        let suggestion = match nearest(field, names.clone()) {
            Some(name) => Some(format!("did you mean `{name}`?")),
            None if fields.is_empty() => Some(format!("declare the field in the schema of `{owner}`")),
            None => {
                const SHOWN_MAX: usize = 8;
                let shown: Vec<&str> = names.take(SHOWN_MAX).collect();
                let more = if fields.len() > SHOWN_MAX { ", …" } else { "" };
                Some(format!("declared are: {}{more}", shown.join(", ")))
            }
        };
        self.report(at, Problem { code: "unknown_field", message, suggestion })
    }

    fn root_field(&mut self, root: Root, field: &SmolStr, ty: Type, test: bool) -> Typed {
        let kept_as = root.kept_as(field);
        self.reads.push(FieldPath { root, path: vec![kept_as.clone()] });
        if root == Root::Meta {
            if test {
                return Typed::literal(Type::Boolean, Literal::Bool(true));
            }
            let code = match field.as_str() {
                "id" => Code::Text(run_text(|env| Ok(Some(Cow::Borrowed(env.scope.meta_id))))),
                "type" => Code::Text(run_text(|env| Ok(Some(Cow::Borrowed(env.scope.meta_type))))),
                _ => Code::Time(run(|env| Ok(Some(Instant(env.scope.meta_time.0))))),
            };
            return Typed::code_of(ty, code);
        }
        if root == Root::Journey
            && let Some(fact) = Fact::of(field)
        {
            if test {
                return Typed::code_of(
                    Type::Boolean,
                    Code::Bool(run(move |env| Ok(Some(env.scope.about().text(fact).is_some())))),
                );
            }
            let code = match fact {
                Fact::Version | Fact::ActionMs | Fact::SourceMs => {
                    Code::Int(run(move |env| Ok(env.scope.about().integer(fact))))
                }
                Fact::EnteredAt => Code::Time(run(|env| Ok(Some(Instant(env.scope.about().entered_at.0))))),
                _ => Code::Text(run_text(move |env| Ok(env.scope.about().text(fact)))),
            };
            return Typed::code_of(ty, code);
        }
        let name = smol_str::format_smolstr!("{}.{field}", root.word());
        present_or_read(Place { base: Base::Root(root), path: vec![kept_as], name }, ty, test)
    }

    /// A field of an object that is itself a value.
    pub(super) fn field(&mut self, at: At, operand: Typed, field: SmolStr, test: bool) -> Option<Typed> {
        let Type::Object(fields) = &operand.ty else {
            let message = format!("a value of type {} has no fields", operand.ty);
            return self.mismatch(at, message, None);
        };
        let owner = match &operand.kind {
            Kind::Place(place) => place.name.clone(),
            Kind::Value(_, name) => name.clone(),
            _ => SmolStr::new_static("object"),
        };
        let ty = self.field_of(at, &owner, fields, &field)?;
        let name = smol_str::format_smolstr!("{owner}.{field}");
        if let Kind::Place(mut place) = operand.kind {
            if let Base::Root(root) = place.base {
                // The longer path replaces the one noted on the way to it, which may be read elsewhere as a whole.
                let on_the_way = self.reads.iter().rposition(|read| read.root == root && read.path == place.path);
                if let Some(read) = on_the_way.map(|noted| &mut self.reads[noted]) {
                    read.path.push(field.clone());
                }
            }
            place.path.push(field);
            place.name = name;
            return Some(present_or_read(place, ty, test));
        }
        let map = operand.map();
        if test {
            return Some(Typed::boolean(move |env| Ok(Some(map(env)?.is_some_and(|map| map.get(&field).is_some())))));
        }
        let value: RunValue = run_value(move |env| {
            Ok(match map(env)? {
                Some(Cow::Borrowed(map)) => map.get(&field).map(Cow::Borrowed),
                Some(Cow::Owned(map)) => map.get(&field).cloned().map(Cow::Owned),
                None => None,
            })
        });
        Some(Typed { ty, kind: Kind::Value(value, name) })
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Option<Typed> {
        if call.target.is_none() {
            match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                    return self.logic(&call.func_name, left, right);
                }
                (operators::LOGICAL_NOT, [operand]) => return self.not(operand),
                (operators::CONDITIONAL, [condition, yes, no]) => return self.conditional(id, condition, yes, no),
                (operators::NEGATE, [operand]) => return self.negate(id, operand),
                (operators::INDEX, [operand, index]) => return self.index(id, operand, index),
                (operator, [left, right]) if operator.starts_with('_') || operator.starts_with('@') => {
                    return self.binary(id, operator, left, right);
                }
                _ => {}
            }
        }
        self.function(id, call)
    }

    fn list(&mut self, list: &ListExpr) -> Option<Typed> {
        let items: Vec<Option<Typed>> = list.elements.iter().map(|element| self.node(element)).collect();
        let items: Vec<Typed> = items.into_iter().collect::<Option<_>>()?;
        let mut ty = Type::Null;
        for (item, element) in items.iter().zip(&list.elements) {
            let Some(joined) = ty.join(&item.ty) else {
                let message = format!("a list holds one type; {} follows {ty}", item.ty);
                return self.mismatch(At::Node(element.id), message, bridge(&item.ty, &ty));
            };
            ty = joined;
        }
        let known: Option<Vec<Value>> = items.iter().map(|item| literal_value(&item.kind)).collect();
        let list_type = Type::List(Box::new(ty.clone()));
        if let Some(values) = known {
            let constant = self.constant(Value::List(values));
            return Some(Typed { ty: list_type, kind: Kind::Constant(constant) });
        }
        let items: Vec<Code> = items.into_iter().map(|item| item.code(&ty)).collect();
        let code = run_list(move |env| {
            env.charge(items.len())?;
            Ok(Some(Cow::Owned(items.iter().map(|item| item.owned(env)).collect::<Result<_, _>>()?)))
        });
        Some(Typed::code_of(list_type, Code::List(code)))
    }

    fn object(&mut self, id: u64, map: &MapExpr) -> Option<Typed> {
        let mut fields: Fields = Vec::new();
        let mut codes: Vec<(SmolStr, Code)> = Vec::new();
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { return self.unsupported(id, "messages") };
            let Tree::Literal(LiteralValue::String(key)) = &entry.key.expr else {
                let message = "keys of a map are literal texts".to_owned();
                return self.mismatch(At::Node(entry.key.id), message, None);
            };
            let key = SmolStr::new(key.inner());
            if fields.iter().any(|(name, _)| *name == key) {
                let message = format!("key `{key}` is given twice");
                let problem = Problem { code: "bad_literal", message, suggestion: None };
                return self.report(At::Node(entry.key.id), problem);
            }
            let value = self.node(&entry.value)?;
            let ty = value.ty.clone();
            fields.push((key.clone(), ty.clone()));
            codes.push((key, value.code(&ty)));
        }
        let code = run_map(move |env| {
            env.charge(codes.len())?;
            let entries = codes.iter().map(|(key, code)| code.owned(env).map(|value| (key.clone(), value)));
            Ok(Some(Cow::Owned(Map(entries.collect::<Result<_, _>>()?))))
        });
        Some(Typed::code_of(Type::Object(fields), Code::Map(code)))
    }
}

/// A stored field, or whether its key is there.
fn present_or_read(place: Place, ty: Type, test: bool) -> Typed {
    if test {
        return Typed::boolean(move |env| Ok(Some(place.get(env)?.is_some())));
    }
    Typed { ty, kind: Kind::Place(place) }
}

/// The value of a literal.
fn literal_value(kind: &Kind) -> Option<Value> {
    match kind {
        Kind::Literal(Literal::Null) => Some(Value::Null),
        Kind::Literal(Literal::Bool(value)) => Some(Value::Bool(*value)),
        Kind::Literal(Literal::Int(value)) => Some(Value::Int(*value)),
        Kind::Literal(Literal::Number(value)) => Some(Value::Float(*value)),
        Kind::Literal(Literal::Text(text, _)) => Some(Value::Str(text.clone())),
        Kind::Literal(Literal::Time(time)) => Some(Value::Time(crate::domain::ids::Millis(time.0))),
        Kind::Literal(Literal::Span(span)) => Some(Value::Int(span.0)),
        _ => None,
    }
}
