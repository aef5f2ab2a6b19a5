//! The linter: what compiles and yet can't be meant. One file a family of rules, one function a rule; each notes warnings
//! and hints with a code of its own (`docs/journeys.md`, "Findings", has an example of each). A rule claims only what holds
//! for every profile and every event; it never refuses anything.
//!
//! `ways` puts together what the others found: a way of a node that nobody ever goes.

mod caps;
mod clocks;
mod conditions;
mod consents;
mod cycles;
mod recipients;
mod subject;
mod unused;
mod waits;
mod ways;

pub use caps::lint_rule_set;
pub use subject::{EntryEvent, Subject, lint, lint_rule};
pub use unused::{Used, lint_unused};

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
