//! Durability.

pub mod lock;
pub mod timers;

pub use lock::{DirectoryLock, LockError};
