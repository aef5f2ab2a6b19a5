//! What a running expression sees: the scope it was given, the variables of its comprehensions, its constants and its
//! budget; and the errors it can end in.

use std::cell::Cell;

use crate::domain::expression::about::{About, Facts};
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};

/// What an expression may read while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Properties of the entry event.
    pub event: &'a Map,
    /// Properties of the latest event this instance received (the entry event at first).
    pub last: &'a Map,
    /// The profile document.
    pub profile: &'a Map,
    /// Id of the entry event.
    pub meta_id: &'a str,
    /// Type of the entry event.
    pub meta_type: &'a str,
    /// Time of the entry event.
    pub meta_time: Millis,
    /// Answers of custom actions, by their names; in the expressions of an action itself its parameters.
    pub action: &'a Map,
    /// Engine time.
    pub now: Millis,
    /// The running instance, inside of one.
    pub facts: Option<Facts<'a>>,
}

impl<'a> Scope<'a> {
    /// What is known of the running instance; nothing outside of one.
    pub(super) fn about(&self) -> About<'a> {
        self.facts.map(|facts| facts.source.about(facts.position)).unwrap_or_default()
    }
}

/// An error while an expression runs (null is none).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Division or modulo by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// Integer arithmetic left 64 bits.
    #[error("integer overflow")]
    Overflow,
    /// A stored value has not the type its schema declares.
    #[error("value of {field} is not of its declared type {expected}")]
    WrongType {
        /// The path read.
        field: String,
        /// The declared type.
        expected: String,
    },
    /// Anything else: bad text for a conversion, index out of range, ….
    #[error("{0}")]
    Other(String),
}

/// An error on its way up. Boxed: results of closures then fit two registers.
pub(super) type Fault = Box<EvalError>;

/// A result; `None` is null.
pub(super) type Out<T> = Result<Option<T>, Fault>;

/// An [`EvalError::Other`].
pub(super) fn fault<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Box::new(EvalError::Other(message.into())))
}

/// What closures see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Env<'a> {
    /// What the caller gave.
    pub(super) scope: &'a Scope<'a>,
    /// Literal texts and lists of the expression.
    pub(super) constants: &'a [Value],
    /// Variables of the comprehensions around, innermost first.
    pub(super) locals: Option<&'a Frame<'a>>,
    /// Steps that are left.
    pub(super) budget: &'a Cell<u64>,
}

/// One variable of a comprehension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// The item it stands for.
    pub(super) value: &'a Value,
    /// The variable outside of it.
    pub(super) outer: Option<&'a Frame<'a>>,
}

impl<'a> Env<'a> {
    /// The variable `depth` comprehensions out from the innermost.
    pub(super) fn local(&self, depth: usize) -> &'a Value {
        let mut frame = self.locals.expect("the compiler counts a variable only inside its comprehension");
        for _ in 0..depth {
            frame = frame.outer.expect("the compiler counts a variable only inside its comprehension");
        }
        frame.value
    }

    /// Draws `steps` from the budget.
    ///
    /// INVARIANT: once it is empty it stays empty, so that an error absorbed by `||` can't start a second long loop.
    pub(super) fn charge(&self, steps: usize) -> Result<(), Fault> {
        let left = self.budget.get().saturating_sub(steps as u64);
        self.budget.set(left);
        if left == 0 { fault("expression took too many steps") } else { Ok(()) }
    }

    /// Draws what handling `bytes` bytes of text costs; short text is free.
    pub(super) fn charge_text(&self, bytes: usize) -> Result<(), Fault> {
        const BYTES_PER_STEP: usize = 64;
        if bytes < BYTES_PER_STEP { Ok(()) } else { self.charge(bytes / BYTES_PER_STEP) }
    }
}
