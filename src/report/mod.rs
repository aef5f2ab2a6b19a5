//! Projections of steps.
