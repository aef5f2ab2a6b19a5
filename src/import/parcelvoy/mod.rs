//! Parcelvoy: journeys and their steps, with the campaigns that go with them.

mod journey;
mod messages;
mod read;
mod rules;
mod shapes;
mod steps;

pub(super) use read::import;
