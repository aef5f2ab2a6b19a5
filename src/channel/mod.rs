//! How effects leave.
