//! Tests of journeys: each runs on a machine of its own, the smallest production machine there is (one shard, one
//! partition, the journal on a memory disk), stepped on the events' clock. There is no second interpreter: `machine` drives
//! the shard that `serve` runs, and what happened is read from the durable records.
//!
//! | file      | is                                                            |
//! |-----------|---------------------------------------------------------------|
//! | `machine` | the machine, and taking a turn until nothing is left to do    |
//! | `run`     | one test from its first event to the end of time              |
//! | `record`  | what happened, as tests ask for it                            |
//! | `calls`   | calls that were expected, against those that were made        |
//! | `judge`   | what was expected and did not happen                          |
//! | `tell`    | differences and timelines as text                             |
//! | `junit`   | results as JUnit XML                                          |

pub mod calls;
pub mod judge;
pub mod junit;
pub mod machine;
pub mod record;
pub mod run;
pub mod tell;

#[cfg(test)]
mod tests;
