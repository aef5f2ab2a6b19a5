//! The decision function: (profile, input, now, catalog) → changed profile, steps, effects.
//!
//! Pure and deterministic. One event that could do several things does them in this order (contract, "Events"):
//! due timers fire; exit criteria; a node awaiting it; entry. A profile's equal timers fire in the order its
//! instances entered. An instance stays on the version it entered.
//!
//! [`inputs`] are what callers name; [`walk`] moves one instance from node to node, [`offer`] shows events to those
//! running, [`entry`] lets profiles in, [`send`] decides messages, [`call`] calls of custom actions, [`chain`] hashes what was decided.

mod act;
mod call;
mod chain;
mod entry;
mod inputs;
mod memory;
mod offer;
mod race;
mod send;
mod walk;
mod world;

pub use call::apply_answer;
pub use inputs::{DocumentTooLarge, apply_event, apply_timers, apply_update, end_stopped};
pub use world::{Calls, EventInput, Firing, Outcome, World};

#[cfg(test)]
mod tests;
