//! Bytes to values and back: versioned, bounded, no I/O. Every decoder checks depth and sizes before it allocates.

pub mod asleep;
pub mod component;
pub mod cursor;
pub mod event;
pub mod frame;
pub mod json;
pub mod mail;
mod memory;
pub mod msgpack;
pub mod outbox;
pub mod record;
pub mod value;
