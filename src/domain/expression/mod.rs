//! CEL expressions: parsed by the `cel` crate, type-checked against declared schemas at publish, compiled to closures
//! over paths that were split beforehand. Nothing here reads a clock, and nothing walks a syntax tree at run time.
//!
//! Roots: `event` (entry event), `last` (latest event this instance received), `profile`, `meta` (`id`, `type`, `time`
//! of the entry event), `journey` (facts of the running instance), `action`, `source` and `lookup` (what was answered and
//! found), `with` (parameters of an action); `now` is the engine time. `docs/expressions.md` is the reference; a test runs
//! its examples.
//!
//! # Null
//!
//! Absent and null are one value, so every type has it. The rules, in the order they are asked:
//!
//! 1. `x == null` and `x != null`, with the word `null`, test for absence. `has(event.x)` is true if the key is there,
//!    even with null in it.
//! 2. Any other comparison (`== != < <= > >= in`) with null on either side is **false**.
//! 3. As an operand of `&&`, `||`, `!`, as the condition of `?:` and as the result of a predicate, null counts as
//!    false.
//! 4. Arithmetic, functions, an index and field selection give null if an operand is null. Two kinds of function differ:
//!    aggregates pass over nulls among what they sum up, and `isEmpty` counts null as empty.
//!
//! # Errors while running
//!
//! `false && error` is false and `true || error` is true, on either side, as CEL has it; `all` and `exists` follow.
//! Everything else passes an error on. Integers are checked; a number that leaves the finite doubles is an overflow,
//! and dividing by zero is an error for numbers too, since no journey means an infinity.
//!
//! # Bounds
//!
//! Source size, bracket depth, token count, tree depth and node count are bounded before compiling. What it may cost at
//! worst is computed and bounded at publish, with an assumed length of lists; and every run has a budget of steps that
//! comprehensions, copies and scans draw on, so nested loops over longer lists end in an error.

mod about;
mod aggregates;
mod code;
mod comparison;
mod compile;
mod comprehension;
mod conversion;
mod cost;
mod dates;
mod draw;
mod expr;
mod functions;
mod lists;
mod math;
mod names;
mod operators;
mod parse;
mod pattern;
mod read;
mod scope;
mod text;
mod time;
mod types;
mod verdict;

#[cfg(test)]
mod tests;

pub use about::{About, Facts, Failed, Knows};
pub use dates::moment;
#[cfg(all(test, feature = "sim"))]
pub(crate) use dates::unit_names;
pub use expr::Expr;
#[cfg(all(test, feature = "sim"))]
pub(crate) use names::every_call;
pub use scope::{EvalError, Scope};
pub use types::{FieldPath, Fields, LOOKUP_PREFIX, Root, SOURCE_PREFIX, Schemas, SourceError, Type};
pub use verdict::{Claim, Part, Reasoner};
