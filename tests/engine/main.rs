//! The engine as a whole, in process: publishing, events, timers, messages, restarts, moves.

mod feeds;
mod harness;
mod journeys;
