//! Projections of steps.

pub mod archive;

pub mod follow;
pub mod history;
