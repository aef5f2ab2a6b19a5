//! How events reach the server and how the time of every acknowledgement is taken.
//!
//! | file | owns |
//! |---|---|
//! | `drive` | the open and the closed loop |
//! | `schedule` | when events are due |
//! | `ticker` | the moments at which they are |
//! | `underway` | what is sent and not yet answered |
//! | `meter` | counts and latencies over time |
//! | `window` | room for more on one connection |
//! | `link` | one connection of any feed |
//! | `tcp`, `grpc`, `http` | one connection of that feed |

mod drive;
mod grpc;
mod http;
mod link;
pub mod meter;
mod schedule;
mod tcp;
mod ticker;
mod underway;
mod window;

pub use drive::{Fed, Plan, Until, feed};
pub use link::Overflow;
