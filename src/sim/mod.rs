//! The simulator: production shards, journal, keeper and recovery on a simulated clock, disk and network, single-threaded,
//! from one seed (feature `sim`).
//!
//! [`simulation`] picks the next step by [`dice`]: a shard's turn, a group's write, a checkpoint, a delivery, a crash
//! between two I/Os, an hour that passes. [`history`] keeps what is durable as an outsider sees it; [`laws`] judge every
//! record, [`rest`] what must hold when nothing is left to do. [`damage`] starts processes on damaged copies of the disk.
//! [`workload`] draws journeys and events, [`observe`] reads durable records as a person would, [`oracle`] knows from the
//! documents alone what must happen. Must never ask the system for time or chance.

pub mod acts;
pub mod changes;
pub mod channels;
pub mod client;
pub mod damage;
pub mod dice;
pub mod history;
pub mod index;
pub mod laws;
pub mod machine;
mod mail;
pub mod observe;
pub mod oracle;
pub mod pauses;
pub mod plan;
pub mod replay;
pub mod rest;
pub mod run;
pub mod simulation;
pub mod witness;
pub mod workload;

/// Something that must not happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl Violation {
    /// With what is wrong.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same, with the place.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}
