//! The compiled expression and its run.

use std::cell::Cell;
use std::sync::Arc;

use smol_str::SmolStr;

use super::code::{Code, Owned};
use super::compile;
use super::scope::{Env, EvalError, Fault, Scope};
use super::types::{FieldPath, Schemas, SourceError, Type};
use crate::domain::limits;
use crate::domain::value::Value;

/// A compiled expression. Cloning is cheap.
#[derive(Clone)]
pub struct Expr {
    source: SmolStr,
    result: Type,
    reads: Arc<[FieldPath]>,
    constants: Arc<[Value]>,
    cost: u64,
    code: Arc<Code>,
}

impl std::fmt::Debug for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expr({})", self.source)
    }
}

impl Expr {
    /// Parses, type-checks and compiles `source`, which must be of type `expected`.
    ///
    /// # Errors
    /// Everything wrong with it, in the order of its places: codes `syntax`, `too_complex`, `unknown_root`,
    /// `root_not_available`, `unknown_field`, `unknown_function`, `wrong_arguments`, `type_mismatch`, `bad_literal`
    /// and `unsupported`; or, if all is right otherwise, `too_costly`.
    pub fn compile(source: &str, schemas: &Schemas, expected: &Type) -> Result<Self, Vec<SourceError>> {
        Self::costing(source, schemas, Some(expected), limits::EXPRESSION_COST_MAX)
    }

    /// The same, of whatever type it has.
    ///
    /// # Errors
    /// As [`Expr::compile`].
    pub fn compile_any(source: &str, schemas: &Schemas) -> Result<Self, Vec<SourceError>> {
        Self::costing(source, schemas, None, limits::EXPRESSION_COST_MAX)
    }

    /// The same with another bound on its cost.
    pub(super) fn costing(
        source: &str,
        schemas: &Schemas,
        expected: Option<&Type>,
        cost_max: u64,
    ) -> Result<Self, Vec<SourceError>> {
        let compiled = compile::compile(source, schemas, expected, cost_max)?;
        Ok(Self {
            source: SmolStr::new(source),
            result: compiled.result,
            reads: compiled.reads.into(),
            constants: compiled.constants.into(),
            cost: compiled.cost,
            code: Arc::new(compiled.code),
        })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The type it was checked to have.
    pub fn result_type(&self) -> &Type {
        &self.result
    }

    /// Every field it may read, each once, sorted.
    pub fn reads(&self) -> &[FieldPath] {
        &self.reads
    }

    /// What it costs at worst, in nodes evaluated, where lists have no more items than are assumed of them.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Runs it. A duration comes as integer milliseconds.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        self.run(scope, |code, env| code.owned(env))
    }

    /// Runs a boolean expression; null is false.
    pub fn eval_bool(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        match &*self.code {
            Code::Bool(run) => self.run(scope, |_, env| Ok(run(env)? == Some(true))),
            _ => Ok(matches!(self.eval(scope)?, Value::Bool(true))),
        }
    }

    /// How much of the budget a run draws.
    #[cfg(test)]
    pub(super) fn steps(&self, scope: &Scope<'_>) -> u64 {
        let budget = Cell::new(limits::EXPRESSION_STEPS_MAX);
        let env = Env { scope, constants: &self.constants, locals: None, budget: &budget };
        drop(self.code.owned(&env));
        limits::EXPRESSION_STEPS_MAX - budget.get()
    }

    fn run<T>(
        &self,
        scope: &Scope<'_>,
        body: impl FnOnce(&Code, &Env<'_>) -> Result<T, Fault>,
    ) -> Result<T, EvalError> {
        let budget = Cell::new(limits::EXPRESSION_STEPS_MAX);
        let env = Env { scope, constants: &self.constants, locals: None, budget: &budget };
        body(&self.code, &env).map_err(|fault| *fault)
    }
}
