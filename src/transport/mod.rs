//! How inputs come in. Each transport translates, submits and translates back; none decides anything, none knows another.

pub mod api_keys;
pub mod clock;
pub mod http;
