//! Durability.

pub mod lock;

pub use lock::{DirectoryLock, LockError};
