//! Bytes to values and back, versioned, no I/O.
