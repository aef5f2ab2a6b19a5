//! Dittofeed: journeys, with the segments, message templates and user properties that go with them.

mod journey;
mod messages;
mod nodes;
mod read;
mod segments;
mod shapes;

pub(super) use read::import;
