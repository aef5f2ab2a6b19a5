//! Projections of steps.

pub mod archive;
