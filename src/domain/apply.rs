//! The decision function.
