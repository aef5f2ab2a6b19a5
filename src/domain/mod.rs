//! Pure decisions. No clock, randomness, I/O, async or logging here: `now` is an argument and the same
//! inputs always give the same outputs. Everything above this layer may be rebuilt around it.

pub mod apply;
pub mod bucket;
pub mod calendar;
pub mod catalog;
pub mod content;
pub mod dataset;
pub mod effect;
pub mod endpoint;
pub mod event;
pub mod expression;
pub mod finding;
pub mod guardrails;
pub mod ids;
pub mod journey;
pub mod limits;
pub mod note;
pub mod pause;
pub mod profile;
pub mod step;
pub mod suggest;
pub mod surface;
pub mod value;
pub mod wheel;
pub mod window;
