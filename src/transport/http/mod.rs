//! HTTP: the REST API, health, metrics and the API's own description. Translates requests for the
//! [`Engine`](crate::runtime::engine::Engine) and its answers back; decides nothing and keeps no state of its own.
//!
//! One file per resource; [`router()`] joins them, [`body`] bounds what is read, [`error`] is the one shape of every
//! refusal, [`listener`] owns sockets. gRPC routes are handed in by `server`, which is how both share one port.

pub mod body;
pub mod clock;
pub mod datasets;
pub mod deliveries;
pub mod error;
pub mod events;
pub mod guard;
pub mod health;
pub mod history;
pub mod journeys;
pub mod listener;
pub mod pauses;
pub mod profiles;
pub mod reports;
pub mod resources;
pub mod router;
pub mod schema;
pub mod shards;
pub mod steps;
pub mod testing;

pub use listener::{HttpListener, ListenerOptions};
pub use router::{Api, ApiOptions, router};

#[cfg(test)]
mod tests;
