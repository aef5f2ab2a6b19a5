//! Projections of steps: history of profiles, tailed from the journal.

pub mod archive;
pub mod history;
