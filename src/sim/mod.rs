//! The simulator: what is drawn from a seed, and the judge of what the engine did with it (feature `sim`).
//!
//! [`workload`] draws journeys and events, [`observe`] reads durable records as a person would, [`oracle`] knows from the
//! documents alone what must happen, and [`dice`] is the only source of chance.

pub mod dice;
pub mod observe;
pub mod oracle;
pub mod workload;
