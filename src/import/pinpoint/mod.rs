//! Amazon Pinpoint: journeys, with the message templates and segments that go with them.

mod activities;
mod conditions;
mod journey;
mod messages;
mod read;
mod shapes;

pub(super) use read::import;
