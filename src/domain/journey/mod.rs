//! Journeys: from resource files (`source`) to definitions (`definition`), through the rules (`check`, `graph`) and the
//! compiler (`compile`), past the linter (`lint`), to the program that profiles walk (`program`).

pub mod action;
pub mod check;
pub mod compile;
pub mod constant;
pub mod definition;
pub mod duration;
pub mod findings;
pub mod graph;
mod in_test;
pub mod lint;
pub mod notes;
pub mod program;
pub mod source;
pub mod trial;

#[cfg(test)]
pub(crate) mod laws;
#[cfg(test)]
mod tests;
