//! The `call` channel: calls of custom actions. One pool an action makes them, a few at once; each ends in one report, the
//! answer, which is an input like any other.
//!
//! INVARIANT: every attempt of a call carries the same key, the delivery id, and says the same. Nothing is journaled in
//! between: a call whose answer is not durable is made again with that key after a restart.

mod assertion;
mod cache;
mod caller;
mod client;
mod limits;
mod pool;
#[cfg(test)]
mod tests;
mod throttle;
mod tls;

pub(super) use caller::pause_before_retry;
pub use limits::CallBounds;
pub(super) use limits::Limits;
pub(super) use pool::CallPool;
pub use tls::{CallTls, Unusable};
