//! Durability.

pub mod timers;
