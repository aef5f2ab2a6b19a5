//! What is told of the past of profiles: from entries of history and the catalog to step events and to the reasons of what
//! happened. Reads what was recorded; decides nothing, and runs again only expressions, to show what they saw.
//!
//! [`transition`] puts every step of an entry into its context, [`event`] makes step events of them, [`why`] a story with
//! [`rules`].

pub mod event;
mod failures;
mod ids;
mod pauses;
mod rules;
mod tell;
pub mod transition;
pub mod why;
mod words;

#[cfg(test)]
mod tests;
