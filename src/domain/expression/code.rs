//! The closures an expression becomes, one shape per type, and the steps towards them: a checked node stays a literal
//! or a path as long as it can, so that operators can specialise on it.

use std::borrow::Cow;

use smol_str::SmolStr;

use super::read::{self, Instant, Span};
use super::scope::{Env, Fault, Out};
use super::types::{Root, Type};
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};

pub(super) type Run<T> = Box<dyn Fn(&Env<'_>) -> Out<T> + Send + Sync>;
pub(super) type RunText = Box<dyn for<'a> Fn(&Env<'a>) -> Out<Cow<'a, str>> + Send + Sync>;
pub(super) type RunList = Box<dyn for<'a> Fn(&Env<'a>) -> Out<Cow<'a, [Value]>> + Send + Sync>;
pub(super) type RunMap = Box<dyn for<'a> Fn(&Env<'a>) -> Out<Cow<'a, Map>> + Send + Sync>;
pub(super) type RunValue = Box<dyn for<'a> Fn(&Env<'a>) -> Out<Cow<'a, Value>> + Send + Sync>;

/// Boxes a closure of a scalar. These four functions exist so that closures get their types from the bound.
pub(super) fn run<T>(f: impl Fn(&Env<'_>) -> Out<T> + Send + Sync + 'static) -> Run<T> {
    Box::new(f)
}

/// Boxes a closure of a text.
pub(super) fn run_text(f: impl for<'a> Fn(&Env<'a>) -> Out<Cow<'a, str>> + Send + Sync + 'static) -> RunText {
    Box::new(f)
}

/// Boxes a closure of a list.
pub(super) fn run_list(f: impl for<'a> Fn(&Env<'a>) -> Out<Cow<'a, [Value]>> + Send + Sync + 'static) -> RunList {
    Box::new(f)
}

/// Boxes a closure of a map.
pub(super) fn run_map(f: impl for<'a> Fn(&Env<'a>) -> Out<Cow<'a, Map>> + Send + Sync + 'static) -> RunMap {
    Box::new(f)
}

/// Boxes a closure of an untyped value.
pub(super) fn run_value(f: impl for<'a> Fn(&Env<'a>) -> Out<Cow<'a, Value>> + Send + Sync + 'static) -> RunValue {
    Box::new(f)
}

/// A closure by the type of its result.
pub(super) enum Code {
    Null,
    Bool(Run<bool>),
    Int(Run<i64>),
    Number(Run<f64>),
    Text(RunText),
    Time(Run<Instant>),
    Span(Run<Span>),
    List(RunList),
    Map(RunMap),
}

/// A checked node.
pub(super) struct Typed {
    pub(super) ty: Type,
    pub(super) kind: Kind,
}

/// What is known of a checked node.
pub(super) enum Kind {
    /// Known at publish.
    Literal(Literal),
    /// The constant of this index.
    Constant(usize),
    /// A stored value at a path.
    Place(Place),
    /// A value found while running, to be read as its declared type; the name is for errors.
    Value(RunValue, SmolStr),
    /// Anything else.
    Code(Code),
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Number(f64),
    /// The text, and the index of the constant that holds it too.
    Text(SmolStr, usize),
    Time(Instant),
    Span(Span),
}

/// Where a stored value is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) base: Base,
    /// Names below the base; never empty for a root.
    pub(super) path: Vec<SmolStr>,
    /// As it was written, for errors.
    pub(super) name: SmolStr,
}

/// What a path starts from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    Root(Root),
    /// The variable of the comprehension this many levels out.
    Local(usize),
}

impl Place {
    /// The value there: `None` if the key, or a map above it, is absent.
    pub(super) fn get<'a>(&self, env: &Env<'a>) -> Out<&'a Value> {
        let (mut value, rest) = match self.base {
            Base::Root(root) => {
                let map = match root {
                    Root::Event => env.scope.event,
                    Root::Last => env.scope.last,
                    // What the last two hold is no map: the compiler reads it elsewhere.
                    Root::Profile | Root::Meta | Root::Journey => env.scope.profile,
                    Root::Action | Root::With | Root::Source | Root::Lookup => env.scope.action,
                };
                let Some((first, rest)) = self.path.split_first() else { return Ok(None) };
                (map.get(first), rest)
            }
            Base::Local(depth) => (Some(env.local(depth)), &self.path[..]),
        };
        for key in rest {
            value = match value {
                None | Some(Value::Null) => return Ok(None),
                Some(Value::Map(map)) => map.get(key),
                Some(_) => return Err(read::wrong_type(&self.name, &Type::Object(Vec::new()))),
            };
        }
        Ok(value)
    }

    /// The value there read as `T`.
    pub(super) fn read<T: Scalar>(&self, env: &Env<'_>) -> Out<T> {
        match self.get(env)? {
            Some(value) => T::read(value, &self.name),
            None => Ok(None),
        }
    }

    /// The text there.
    pub(super) fn text<'a>(&self, env: &Env<'a>) -> Out<&'a str> {
        match self.get(env)? {
            Some(value) => read::text(value, &self.name),
            None => Ok(None),
        }
    }
}

/// A type that is copied rather than borrowed.
pub(super) trait Scalar: Copy + PartialOrd + Send + Sync + 'static {
    /// Reads a stored value.
    fn read(value: &Value, name: &str) -> Out<Self>;
    /// Out of a literal.
    fn literal(literal: &Literal) -> Option<Self>;
    /// Out of code of this type or of one that widens to it.
    fn code(code: Code) -> Run<Self>;
    /// A stored value, read as what it was declared to be before it widens.
    fn stored(of: Stored, _declared: &Type) -> Run<Self> {
        of.read()
    }
}

/// Where a stored value is read.
pub(super) enum Stored {
    /// At a path.
    Place(Place),
    /// Where it was found while running; the name is for errors.
    Value(RunValue, SmolStr),
}

impl Stored {
    fn read<T: Scalar>(self) -> Run<T> {
        match self {
            Self::Place(place) => run(move |env| place.read(env)),
            Self::Value(value, name) => run(move |env| match value(env)? {
                Some(value) => T::read(&value, &name),
                None => Ok(None),
            }),
        }
    }
}

/// The code of another type: the compiler checks types before it asks for code, so this is its error.
#[cold]
fn mixed_up<T>() -> Run<T> {
    unreachable!("code is asked for by the type it was checked to have")
}

macro_rules! scalar {
    ($type:ty, $read:path, $variant:ident) => {
        impl Scalar for $type {
            fn read(value: &Value, name: &str) -> Out<Self> {
                $read(value, name)
            }

            fn literal(literal: &Literal) -> Option<Self> {
                match literal {
                    Literal::$variant(value) => Some(*value),
                    _ => None,
                }
            }

            fn code(code: Code) -> Run<Self> {
                match code {
                    Code::$variant(run) => run,
                    Code::Null => run(|_| Ok(None)),
                    _ => mixed_up(),
                }
            }
        }
    };
}

scalar!(bool, read::boolean, Bool);
scalar!(i64, read::integer, Int);
scalar!(Instant, read::instant, Time);
scalar!(Span, read::span, Span);

impl Scalar for f64 {
    fn read(value: &Value, name: &str) -> Out<Self> {
        read::number(value, name)
    }

    fn literal(literal: &Literal) -> Option<Self> {
        match literal {
            Literal::Number(value) => Some(*value),
            Literal::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    fn code(code: Code) -> Run<Self> {
        match code {
            Code::Number(run) => run,
            Code::Int(int) => run(move |env| Ok(int(env)?.map(|int| int as f64))),
            Code::Null => run(|_| Ok(None)),
            _ => mixed_up(),
        }
    }

    fn stored(of: Stored, declared: &Type) -> Run<Self> {
        if *declared == Type::Integer {
            return Self::code(Code::Int(i64::stored(of, declared)));
        }
        of.read()
    }
}

impl Typed {
    /// A node known only as code.
    pub(super) fn code_of(ty: Type, code: Code) -> Self {
        Self { ty, kind: Kind::Code(code) }
    }

    /// A boolean.
    pub(super) fn boolean(f: impl Fn(&Env<'_>) -> Out<bool> + Send + Sync + 'static) -> Self {
        Self::code_of(Type::Boolean, Code::Bool(run(f)))
    }

    /// An integer.
    pub(super) fn integer(f: impl Fn(&Env<'_>) -> Out<i64> + Send + Sync + 'static) -> Self {
        Self::code_of(Type::Integer, Code::Int(run(f)))
    }

    /// A literal of `ty`.
    pub(super) fn literal(ty: Type, literal: Literal) -> Self {
        Self { ty, kind: Kind::Literal(literal) }
    }

    /// Whether it is the word `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Literal(Literal::Null))
    }

    /// The text, if it is a literal one.
    pub(super) fn literal_text(&self) -> Option<&SmolStr> {
        match &self.kind {
            Kind::Literal(Literal::Text(text, _)) => Some(text),
            _ => None,
        }
    }

    /// As a scalar closure. Its type must have been checked to be `T` or to widen to it.
    pub(super) fn scalar<T: Scalar>(self) -> Run<T> {
        match self.kind {
            Kind::Literal(literal) => {
                let value = T::literal(&literal);
                run(move |_| Ok(value))
            }
            Kind::Place(place) => T::stored(Stored::Place(place), &self.ty),
            Kind::Value(value, name) => T::stored(Stored::Value(value, name), &self.ty),
            Kind::Code(code) => T::code(code),
            Kind::Constant(_) => mixed_up(),
        }
    }

    /// As a closure of text.
    pub(super) fn text(self) -> RunText {
        match self.kind {
            Kind::Literal(Literal::Text(_, constant)) => run_text(move |env| match &env.constants[constant] {
                Value::Str(text) => Ok(Some(Cow::Borrowed(text.as_str()))),
                _ => Ok(None),
            }),
            Kind::Place(place) => run_text(move |env| Ok(place.text(env)?.map(Cow::Borrowed))),
            Kind::Value(value, name) => run_text(move |env| match value(env)? {
                Some(Cow::Borrowed(value)) => Ok(read::text(value, &name)?.map(Cow::Borrowed)),
                Some(Cow::Owned(value)) => Ok(read::text(&value, &name)?.map(|text| Cow::Owned(text.to_owned()))),
                None => Ok(None),
            }),
            Kind::Code(Code::Text(text)) => text,
            _ => run_text(|_| Ok(None)),
        }
    }

    /// As a closure of a list.
    pub(super) fn list(self) -> RunList {
        let ty = self.ty;
        match self.kind {
            Kind::Constant(constant) => run_list(move |env| match &env.constants[constant] {
                Value::List(items) => Ok(Some(Cow::Borrowed(items.as_slice()))),
                _ => Ok(None),
            }),
            Kind::Place(place) => run_list(move |env| match place.get(env)? {
                Some(value) => read::list(Cow::Borrowed(value), &place.name, &ty),
                None => Ok(None),
            }),
            Kind::Value(value, name) => run_list(move |env| match value(env)? {
                Some(value) => read::list(value, &name, &ty),
                None => Ok(None),
            }),
            Kind::Code(Code::List(list)) => list,
            _ => run_list(|_| Ok(None)),
        }
    }

    /// As a closure of a map.
    pub(super) fn map(self) -> RunMap {
        let ty = self.ty;
        match self.kind {
            Kind::Place(place) => run_map(move |env| match place.get(env)? {
                Some(value) => read::map(Cow::Borrowed(value), &place.name, &ty),
                None => Ok(None),
            }),
            Kind::Value(value, name) => run_map(move |env| match value(env)? {
                Some(value) => read::map(value, &name, &ty),
                None => Ok(None),
            }),
            Kind::Code(Code::Map(map)) => map,
            _ => run_map(|_| Ok(None)),
        }
    }

    /// As a closure of the type it has been checked to have, or of `wanted`, to which that type widens.
    pub(super) fn code(self, wanted: &Type) -> Code {
        match wanted {
            Type::Boolean => Code::Bool(self.scalar()),
            Type::Integer => Code::Int(self.scalar()),
            Type::Number => Code::Number(self.scalar()),
            Type::Timestamp => Code::Time(self.scalar()),
            Type::Duration => Code::Span(self.scalar()),
            Type::String => Code::Text(self.text()),
            Type::List(_) => Code::List(self.list()),
            Type::Object(_) => Code::Map(self.map()),
            Type::Null => Code::Null,
        }
    }
}

/// Running to a value of its own.
pub(super) trait Owned {
    /// The value; [`Value::Null`] for null. Copies draw on the budget.
    fn owned(&self, env: &Env<'_>) -> Result<Value, Fault>;
}

impl Owned for Code {
    fn owned(&self, env: &Env<'_>) -> Result<Value, Fault> {
        let value = match self {
            Self::Null => None,
            Self::Bool(run) => run(env)?.map(Value::Bool),
            Self::Int(run) => run(env)?.map(Value::Int),
            Self::Number(run) => run(env)?.map(Value::Float),
            Self::Time(run) => run(env)?.map(|time| Value::Time(Millis(time.0))),
            Self::Span(run) => run(env)?.map(|span| Value::Int(span.0)),
            Self::Text(run) => match run(env)? {
                Some(text) => {
                    env.charge_text(text.len())?;
                    Some(Value::Str(SmolStr::new(text)))
                }
                None => None,
            },
            Self::List(run) => match run(env)? {
                Some(items) => {
                    if let Cow::Borrowed(items) = &items {
                        env.charge(items.iter().map(read::weight).sum())?;
                    }
                    Some(Value::List(items.into_owned()))
                }
                None => None,
            },
            Self::Map(run) => match run(env)? {
                Some(map) => {
                    if let Cow::Borrowed(map) = &map {
                        env.charge(map.0.iter().map(|(_, value)| read::weight(value)).sum())?;
                    }
                    Some(Value::Map(map.into_owned()))
                }
                None => None,
            },
        };
        Ok(value.unwrap_or(Value::Null))
    }
}
