//! How inputs come in.
