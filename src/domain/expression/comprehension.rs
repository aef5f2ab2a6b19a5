//! `all`, `exists`, `exists_one`, `filter` and `map` over lists. The parser has expanded them into folds; this file
//! recognises the folds and runs them as loops, each turn of which draws on the budget.

use std::borrow::Cow;

use cel::common::ast::{ComprehensionExpr, Expr as Tree, IdedExpr, LiteralValue};

use super::code::{Code, Owned as _, Run, RunList, Typed, run_list};
use super::compile::{Compiler, Problem};
use super::parse::At;
use super::read;
use super::scope::{Env, Fault, Frame};
use super::types::Type;
use crate::domain::value::Value;

/// A macro, as its fold tells.
enum Macro<'e> {
    All(&'e IdedExpr),
    Exists(&'e IdedExpr),
    ExistsOne(&'e IdedExpr),
    /// `map(x, result)`, `map(x, predicate, result)` and `filter(x, predicate)`, whose result is the item.
    Map(Option<&'e IdedExpr>, &'e IdedExpr),
}

fn recognise(fold: &ComprehensionExpr) -> Option<Macro<'_>> {
    let Tree::Call(step) = &fold.loop_step.expr else { return None };
    match (&fold.accu_init.expr, step.args.as_slice()) {
        (Tree::Literal(LiteralValue::Boolean(start)), [_, predicate]) => {
            Some(if *start.inner() { Macro::All(predicate) } else { Macro::Exists(predicate) })
        }
        (Tree::Literal(LiteralValue::Int(_)), [predicate, _, _]) => Some(Macro::ExistsOne(predicate)),
        (Tree::List(_), [predicate, append, _]) => Some(Macro::Map(Some(predicate), appended(append)?)),
        (Tree::List(_), [_, _]) => Some(Macro::Map(None, appended(&fold.loop_step)?)),
        _ => None,
    }
}

/// The item that `@result + [item]` appends.
fn appended(append: &IdedExpr) -> Option<&IdedExpr> {
    let Tree::Call(call) = &append.expr else { return None };
    match &call.args.get(1)?.expr {
        Tree::List(list) => list.elements.first(),
        _ => None,
    }
}

impl Compiler<'_> {
    pub(super) fn comprehension(&mut self, id: u64, fold: &ComprehensionExpr) -> Option<Typed> {
        let Some(kind) = recognise(fold) else {
            let message = "comprehension is of no known kind".to_owned();
            return self.report(At::Node(id), Problem { code: "unsupported", message, suggestion: None });
        };
        let range = self.node(&fold.iter_range)?;
        let Type::List(item) = &range.ty else {
            let message = format!("a loop runs over a list, not {}", range.ty);
            return self.mismatch(At::Node(id), message, None);
        };
        self.variables.push((fold.iter_var.clone(), (**item).clone()));
        let before = self.spent;
        let body = self.body(&kind);
        self.spend_fold(id, before, fold);
        self.variables.pop();
        let (predicate, result) = body?;
        let list = range.list();
        Some(match (kind, predicate, result) {
            (Macro::All(_), Some(predicate), _) => absorbing(list, predicate, Ends::AtFalse),
            (Macro::Exists(_), Some(predicate), _) => absorbing(list, predicate, Ends::AtTrue),
            (Macro::ExistsOne(_), Some(predicate), _) => exists_one(list, predicate),
            (_, predicate, Some((ty, code))) => collect(list, predicate, ty, code),
            _ => return None,
        })
    }

    /// Predicate and result of a macro, compiled with its variable in sight.
    #[expect(clippy::type_complexity, reason = "both parts are optional and used at once")]
    fn body(&mut self, kind: &Macro<'_>) -> Option<(Option<Run<bool>>, Option<(Type, Code)>)> {
        match kind {
            Macro::All(predicate) | Macro::Exists(predicate) | Macro::ExistsOne(predicate) => {
                Some((Some(self.condition(predicate, "a predicate")?), None))
            }
            Macro::Map(predicate, result) => {
                let predicate = predicate.map(|predicate| self.condition(predicate, "a predicate"));
                let result = self.node(result)?;
                let ty = result.ty.clone();
                let predicate = match predicate {
                    Some(compiled) => Some(compiled?),
                    None => None,
                };
                Some((predicate, Some((ty.clone(), result.code(&ty)))))
            }
        }
    }
}

/// Runs `body` with `item` as the innermost variable.
pub(super) fn with_item<R>(env: &Env<'_>, item: &Value, body: impl FnOnce(&Env<'_>) -> R) -> R {
    let frame = Frame { value: item, outer: env.locals };
    body(&Env { scope: env.scope, constants: env.constants, locals: Some(&frame), budget: env.budget })
}

/// Which answer of a predicate ends the loop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    AtFalse,
    AtTrue,
}

/// `all` and `exists`: an item that decides outweighs errors of others, as with `&&` and `||`.
fn absorbing(list: RunList, predicate: Run<bool>, ends: Ends) -> Typed {
    Typed::boolean(move |env| {
        let Some(list) = list(env)? else { return Ok(Some(false)) };
        let mut error: Option<Fault> = None;
        for item in list.iter() {
            env.charge(1)?;
            match with_item(env, item, |env| predicate(env)) {
                Ok(answer) if (answer == Some(true)) == (ends == Ends::AtTrue) => {
                    return Ok(Some(ends == Ends::AtTrue));
                }
                Ok(_) => {}
                Err(fault) => error = error.or(Some(fault)),
            }
        }
        match error {
            Some(error) => Err(error),
            None => Ok(Some(ends == Ends::AtFalse)),
        }
    })
}

fn exists_one(list: RunList, predicate: Run<bool>) -> Typed {
    Typed::boolean(move |env| {
        let Some(list) = list(env)? else { return Ok(Some(false)) };
        let mut found = 0_usize;
        for item in list.iter() {
            env.charge(1)?;
            found += usize::from(with_item(env, item, |env| predicate(env))? == Some(true));
        }
        Ok(Some(found == 1))
    })
}

fn collect(list: RunList, predicate: Option<Run<bool>>, ty: Type, result: Code) -> Typed {
    let code = run_list(move |env| {
        let Some(list) = list(env)? else { return Ok(None) };
        let mut items = Vec::new();
        for item in list.iter() {
            env.charge(1)?;
            let kept = with_item(env, item, |env| match &predicate {
                Some(predicate) if predicate(env)? != Some(true) => Ok(None),
                _ => result.owned(env).map(Some),
            })?;
            if let Some(value) = kept {
                env.charge(read::weight(&value))?;
                items.push(value);
            }
        }
        Ok(Some(Cow::Owned(items)))
    });
    Typed::code_of(Type::List(Box::new(ty)), Code::List(code))
}
