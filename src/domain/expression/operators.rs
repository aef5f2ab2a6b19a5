//! Logic, arithmetic, index and `?:`. Comparisons and `in` live in `comparison`.

use std::borrow::Cow;

use cel::common::ast::{IdedExpr, operators};
use smol_str::SmolStr;

use super::code::{Code, Kind, Run, RunList, Scalar, Typed, run, run_list, run_map, run_text, run_value};
use super::comparison::Comparison;
use super::compile::{Compiler, bridge};
use super::parse::At;
use super::read::{self, Instant, Span};
use super::scope::{EvalError, Fault, fault};
use super::types::Type;

/// How an operator is written.
pub(super) fn sign(operator: &str) -> &str {
    operator.trim_matches(|c| c == '_' || c == '@')
}

impl Compiler<'_> {
    /// An operand of logic, which must be boolean.
    pub(super) fn condition(&mut self, node: &IdedExpr, of: &str) -> Option<Run<bool>> {
        let typed = self.node(node)?;
        if typed.ty.fits(&Type::Boolean) {
            return Some(typed.scalar());
        }
        let message = format!("{of} takes a boolean, not {}", typed.ty);
        self.mismatch(At::Node(node.id), message, bridge(&typed.ty, &Type::Boolean))
    }

    pub(super) fn logic(&mut self, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Option<Typed> {
        let of = format!("`{}`", sign(operator));
        let (left, right) = (self.condition(left, &of), self.condition(right, &of));
        let (left, right) = (left?, right?);
        // The operand that decides alone: false for `&&`, true for `||`.
        Some(if operator == operators::LOGICAL_AND {
            Typed::boolean(move |env| match left(env) {
                Ok(Some(true)) => Ok(Some(right(env)? == Some(true))),
                Ok(_) => Ok(Some(false)),
                Err(error) => match right(env) {
                    Ok(Some(false) | None) => Ok(Some(false)),
                    _ => Err(error),
                },
            })
        } else {
            Typed::boolean(move |env| match left(env) {
                Ok(Some(true)) => Ok(Some(true)),
                Ok(_) => Ok(Some(right(env)? == Some(true))),
                Err(error) => match right(env) {
                    Ok(Some(true)) => Ok(Some(true)),
                    _ => Err(error),
                },
            })
        })
    }

    pub(super) fn not(&mut self, operand: &IdedExpr) -> Option<Typed> {
        let operand = self.condition(operand, "`!`")?;
        Some(Typed::boolean(move |env| Ok(Some(operand(env)? != Some(true)))))
    }

    pub(super) fn conditional(
        &mut self,
        id: u64,
        condition: &IdedExpr,
        yes: &IdedExpr,
        no: &IdedExpr,
    ) -> Option<Typed> {
        let condition = self.condition(condition, "`?:`");
        let (yes, no) = (self.node(yes), self.node(no));
        let (condition, yes, no) = (condition?, yes?, no?);
        let Some(ty) = yes.ty.join(&no.ty) else {
            let message = format!("the branches of `?:` are of different types, {} and {}", yes.ty, no.ty);
            return self.mismatch(At::Node(id), message, bridge(&no.ty, &yes.ty).or_else(|| bridge(&yes.ty, &no.ty)));
        };
        macro_rules! choose {
            ($box:ident, $yes:expr, $no:expr) => {{
                let (yes, no) = ($yes, $no);
                $box(move |env| if condition(env)? == Some(true) { yes(env) } else { no(env) })
            }};
        }
        let code = match (yes.code(&ty), no.code(&ty)) {
            (Code::Bool(a), Code::Bool(b)) => Code::Bool(choose!(run, a, b)),
            (Code::Int(a), Code::Int(b)) => Code::Int(choose!(run, a, b)),
            (Code::Number(a), Code::Number(b)) => Code::Number(choose!(run, a, b)),
            (Code::Time(a), Code::Time(b)) => Code::Time(choose!(run, a, b)),
            (Code::Span(a), Code::Span(b)) => Code::Span(choose!(run, a, b)),
            (Code::Text(a), Code::Text(b)) => Code::Text(choose!(run_text, a, b)),
            (Code::List(a), Code::List(b)) => Code::List(choose!(run_list, a, b)),
            (Code::Map(a), Code::Map(b)) => Code::Map(choose!(run_map, a, b)),
            _ => Code::Null,
        };
        Some(Typed::code_of(ty, code))
    }

    pub(super) fn binary(&mut self, id: u64, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Option<Typed> {
        let (left, right) = (self.node(left), self.node(right));
        let (left, right) = (left?, right?);
        if let Some(comparison) = Comparison::of(operator) {
            return self.comparison(id, comparison, operator, left, right);
        }
        match operator {
            operators::IN => self.contained(id, left, right),
            operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO => {
                self.arithmetic(id, operator, left, right)
            }
            _ => self.mismatch(At::Node(id), format!("operator `{}` is not supported", sign(operator)), None),
        }
    }

    pub(super) fn cannot<T>(&mut self, id: u64, operator: &str, left: &Type, right: &Type) -> Option<T> {
        let message = format!("`{}` can't be applied to {left} and {right}", sign(operator));
        // A text is more often a number or an instant in disguise than a number is a text; only `+` also joins texts.
        let (text, other) = if *left == Type::String { (left, right) } else { (right, left) };
        let suggestion = if operator == operators::ADD { bridge(other, text) } else { bridge(text, other) };
        self.mismatch(At::Node(id), message, suggestion)
    }

    pub(super) fn negate(&mut self, id: u64, operand: &IdedExpr) -> Option<Typed> {
        let operand = self.node(operand)?;
        match operand.ty {
            Type::Integer => {
                let operand = operand.scalar::<i64>();
                Some(Typed::integer(move |env| match operand(env)? {
                    Some(value) => value.checked_neg().map(Some).ok_or_else(overflow),
                    None => Ok(None),
                }))
            }
            Type::Number => {
                let operand = operand.scalar::<f64>();
                Some(Typed::code_of(Type::Number, Code::Number(run(move |env| Ok(operand(env)?.map(|value| -value))))))
            }
            Type::Duration => {
                let operand = operand.scalar::<Span>();
                Some(Typed::code_of(
                    Type::Duration,
                    Code::Span(run(move |env| match operand(env)? {
                        Some(span) => span.0.checked_neg().map(|ms| Some(Span(ms))).ok_or_else(overflow),
                        None => Ok(None),
                    })),
                ))
            }
            ty => self.mismatch(At::Node(id), format!("`-` can't be applied to {ty}"), None),
        }
    }

    fn arithmetic(&mut self, id: u64, operator: &str, left: Typed, right: Typed) -> Option<Typed> {
        use operators::{ADD, DIVIDE, MODULO, MULTIPLY, SUBSTRACT};
        let (a, b) = (left.ty.clone(), right.ty.clone());
        let code = match (operator, &a, &b) {
            (_, Type::Integer, Type::Integer) => {
                let apply: fn(i64, i64) -> Result<i64, Fault> = match operator {
                    ADD => |a, b| a.checked_add(b).ok_or_else(overflow),
                    SUBSTRACT => |a, b| a.checked_sub(b).ok_or_else(overflow),
                    MULTIPLY => |a, b| a.checked_mul(b).ok_or_else(overflow),
                    DIVIDE => |a, b| if b == 0 { Err(by_zero()) } else { a.checked_div(b).ok_or_else(overflow) },
                    _ => |a, b| if b == 0 { Err(by_zero()) } else { a.checked_rem(b).ok_or_else(overflow) },
                };
                Code::Int(both(left.scalar(), right.scalar(), apply))
            }
            (ADD | SUBSTRACT | MULTIPLY | DIVIDE, a, b) if a.is_numeric() && b.is_numeric() => {
                let apply: fn(f64, f64) -> Result<f64, Fault> = match operator {
                    ADD => |a, b| finite(a + b),
                    SUBSTRACT => |a, b| finite(a - b),
                    MULTIPLY => |a, b| finite(a * b),
                    _ => |a, b| if b == 0.0 { Err(by_zero()) } else { finite(a / b) },
                };
                Code::Number(both(left.scalar(), right.scalar(), apply))
            }
            (MODULO, a, b) if a.is_numeric() && b.is_numeric() => {
                let suggestion = Some("write `int(…)` around the number".to_owned());
                return self.mismatch(At::Node(id), format!("`%` takes integers, not {a} and {b}"), suggestion);
            }
            (ADD, Type::String, Type::String) => concat_texts(left, right),
            (ADD, Type::List(_), Type::List(_)) => {
                let Some(ty) = a.join(&b) else { return self.cannot(id, operator, &a, &b) };
                return Some(Typed::code_of(ty, concat_lists(left.list(), right.list())));
            }
            (ADD, Type::Timestamp, Type::Duration) => moved(left.scalar(), right.scalar(), i64::checked_add),
            (ADD, Type::Duration, Type::Timestamp) => moved(right.scalar(), left.scalar(), i64::checked_add),
            (SUBSTRACT, Type::Timestamp, Type::Duration) => moved(left.scalar(), right.scalar(), i64::checked_sub),
            (SUBSTRACT, Type::Timestamp, Type::Timestamp) => {
                Code::Span(both(left.scalar::<Instant>(), right.scalar::<Instant>(), |a, b| {
                    a.0.checked_sub(b.0).map(Span).ok_or_else(overflow)
                }))
            }
            (ADD | SUBSTRACT, Type::Duration, Type::Duration) => {
                let apply = if operator == ADD { i64::checked_add } else { i64::checked_sub };
                Code::Span(both(left.scalar::<Span>(), right.scalar::<Span>(), move |a, b| {
                    apply(a.0, b.0).map(Span).ok_or_else(overflow)
                }))
            }
            (_, a, b) => return self.cannot(id, operator, a, b),
        };
        let ty = match &code {
            Code::Int(_) => Type::Integer,
            Code::Number(_) => Type::Number,
            Code::Time(_) => Type::Timestamp,
            Code::Span(_) => Type::Duration,
            _ => Type::String,
        };
        Some(Typed::code_of(ty, code))
    }

    pub(super) fn index(&mut self, id: u64, operand: &IdedExpr, index: &IdedExpr) -> Option<Typed> {
        if let cel::common::ast::Expr::Literal(cel::common::ast::LiteralValue::String(key)) = &index.expr {
            // `event['total']` is `event.total`, so that names no identifier can spell are within reach.
            let select = cel::common::ast::SelectExpr {
                operand: Box::new(operand.clone()),
                field: key.inner().to_owned(),
                test: false,
            };
            return self.node(&IdedExpr { id, expr: cel::common::ast::Expr::Select(select) });
        }
        let (list, at) = (self.node(operand), self.node(index));
        let (list, at) = (list?, at?);
        let Type::List(item) = &list.ty else {
            let message = format!("a value of type {} has no index", list.ty);
            let suggestion =
                matches!(list.ty, Type::Object(_)).then(|| "write the name of a field in quotes".to_owned());
            return self.mismatch(At::Node(id), message, suggestion);
        };
        if !at.ty.fits(&Type::Integer) {
            let message = format!("the index of a list is an integer, not {}", at.ty);
            return self.mismatch(At::Node(index.id), message, bridge(&at.ty, &Type::Integer));
        }
        let ty = (**item).clone();
        let name = match &list.kind {
            Kind::Place(place) => smol_str::format_smolstr!("{}[…]", place.name),
            _ => SmolStr::new_static("item"),
        };
        let (list, at) = (list.list(), at.scalar::<i64>());
        let value = run_value(move |env| {
            let (Some(list), Some(at)) = (list(env)?, at(env)?) else { return Ok(None) };
            let found = usize::try_from(at).ok().filter(|at| *at < list.len());
            let Some(found) = found else {
                return fault(format!("index {at} is outside a list of {}", list.len()));
            };
            Ok(Some(match list {
                Cow::Borrowed(list) => Cow::Borrowed(&list[found]),
                Cow::Owned(mut list) => Cow::Owned(list.swap_remove(found)),
            }))
        });
        Some(Typed { ty, kind: Kind::Value(value, name) })
    }
}

pub(super) fn overflow() -> Fault {
    Box::new(EvalError::Overflow)
}

fn by_zero() -> Fault {
    Box::new(EvalError::DivisionByZero)
}

pub(super) fn finite(value: f64) -> Result<f64, Fault> {
    if value.is_finite() { Ok(value) } else { Err(overflow()) }
}

/// Applies `f` where neither operand is null.
pub(super) fn both<A: Scalar, B: Scalar, R: 'static>(
    left: Run<A>,
    right: Run<B>,
    f: impl Fn(A, B) -> Result<R, Fault> + Send + Sync + 'static,
) -> Run<R> {
    run(move |env| match (left(env)?, right(env)?) {
        (Some(a), Some(b)) => f(a, b).map(Some),
        _ => Ok(None),
    })
}

fn moved(time: Run<Instant>, span: Run<Span>, by: fn(i64, i64) -> Option<i64>) -> Code {
    Code::Time(both(time, span, move |time, span| by(time.0, span.0).map(Instant).ok_or_else(overflow)))
}

fn concat_texts(left: Typed, right: Typed) -> Code {
    let (left, right) = (left.text(), right.text());
    Code::Text(run_text(move |env| {
        let (Some(a), Some(b)) = (left(env)?, right(env)?) else { return Ok(None) };
        env.charge_text(a.len() + b.len())?;
        let mut text = a.into_owned();
        text.push_str(&b);
        Ok(Some(Cow::Owned(text)))
    }))
}

fn concat_lists(left: RunList, right: RunList) -> Code {
    Code::List(run_list(move |env| {
        let (Some(a), Some(b)) = (left(env)?, right(env)?) else { return Ok(None) };
        env.charge(a.iter().chain(b.iter()).map(read::weight).sum())?;
        let mut list = a.into_owned();
        list.extend(b.into_owned());
        Ok(Some(Cow::Owned(list)))
    }))
}
