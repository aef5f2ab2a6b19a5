//! Recorded events through journeys on their own clock, as fast as the machine goes: the same engine, shards, journal
//! and codecs as `serve`, in a directory that is thrown away. Owns how files become events (`source`, `table`,
//! `mapping`), which engine time each has (`timeline`) and the run itself (`run`). It must never decide anything about
//! a journey: same input, same output, for any number of shards.

pub mod balance;
pub mod dry_run;
pub mod mapping;
pub mod run;
pub mod sink;
pub mod source;
mod table;
pub mod timeline;
