//! The decision function: (profile, input, now, catalog) → changed profile, steps, effects.
//!
//! Pure and deterministic. One event that could do several things does them in this order (contract, "Events"):
//! due timers fire; exit criteria; a node awaiting it; entry. A profile's equal timers fire in the order its
//! instances entered. An instance stays on the version it entered, unless a newer
//! one says otherwise ([`migrate`]).
//!
//! [`inputs`] are what callers name; [`walk`] moves one instance from node to node, [`offer`] shows events to those
//! running, [`entry`] lets profiles in, [`send`] decides messages, [`call`] calls of custom actions
//! ([`answers`]: what they are told where none is made), [`lookup`] reads datasets, [`pause`] who is held and let go,
//! [`cap`] claims places under a cap, [`chain`] hashes what was decided.

mod act;
mod answers;
mod call;
mod cap;
mod chain;
mod entry;
mod inputs;
mod lookup;
mod memory;
mod migrate;
mod offer;
mod optimize;
mod pause;
mod race;
mod rule_set;
mod send;
mod walk;
mod world;

pub use answers::{Answers, RecordedAnswer};
pub use call::apply_answer;
pub use cap::apply_place;
pub use entry::supplemental_ids;
pub use inputs::{DocumentTooLarge, apply_event, apply_timers, apply_update};
pub use world::{Calls, EventInput, Firing, Outcome, Room, World};

#[cfg(test)]
mod tests;
