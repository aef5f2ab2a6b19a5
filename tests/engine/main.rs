//! The engine as a whole, in process: publishing, events, timers, messages, restarts, moves.

mod crashes;
mod feeds;
mod harness;
mod journeys;
mod log;
mod outbox;
mod pauses;
mod space;
mod testing;
mod timers;
mod traffic;
