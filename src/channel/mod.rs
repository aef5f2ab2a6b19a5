//! How effects leave: `log`, `webhook` and `smtp`, behind one [`dispatch::Dispatcher`].
//!
//! A channel takes [`Job`](crate::runtime::delivery::Job)s whose outbox row is durable, tries until it knows the
//! outcome or its horizon ends, and reports it as an input. It never reads or changes the state of a profile, never
//! blocks a shard, and never sends what it must not send twice before the attempt is journaled. Channels do not know
//! each other; `attempt`, `queue`, `pool` and `http` are what they share.

mod address;
mod attempt;
mod call;
pub mod dispatch;
mod http;
pub mod log;
mod metrics;
mod pool;
mod queue;
pub mod reports;
mod secret;
mod smtp;
#[cfg(test)]
mod testing;
mod webhook;

pub use call::{CallBounds, CallTls, Unusable};
