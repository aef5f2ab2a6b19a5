//! Dry runs: a draft over what really happened, with nothing sent and nothing published. The engine of a replay, fed with the
//! recorded events of real profiles, beside what the live version did with them (docs/testing.md, ADR 22).
//!
//! | file        | is                                                                 |
//! |-------------|--------------------------------------------------------------------|
//! | `past`      | recorded events and profiles, and what documents were at the start |
//! | `recorded`  | what calls were answered                                           |
//! | `account`   | what happened, by node, channel and day: of the draft or the live  |
//! | `observe`   | follows the run's journal: its account, and sample timelines       |
//! | `run`       | the run from its first event to its end                            |
//! | `doubts`    | what a dry run could not know                                      |
//! | `view`      | what came of it                                                    |
//!
//! It must never hold a way to reach anybody: its sink accepts and counts, and calls are answered where they are decided.

pub mod account;
mod doubts;
mod observe;
pub mod past;
pub mod recorded;
pub mod run;
pub mod view;

#[cfg(test)]
mod tests;
