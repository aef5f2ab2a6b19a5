//! Projections of steps.

pub mod archive;
pub mod history;
