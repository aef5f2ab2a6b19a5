//! The `log` channel: an NDJSON file, one object a line, exactly once through crashes.
//!
//! ```text
//! {"id":"d-0001-…-0","time":"2026-01-31T09:00:00.000Z","channel":"log","profile":"crm:4711","version":3,"node":2,
//!  "message":"cart_reminder","subject":"…","body":"…"}\n
//! ```
//!
//! One task writes batches: write, `fdatasync`, then report *sent* for every line. The report may be lost in a crash,
//! the line not; so the file itself remembers what was written: [`LogFile::open`] reads the lines behind the confirmed
//! offset and a delivery found among them is reported without being written again.
//!
//! INVARIANT: the confirmed offset never passes a line whose report is not durable. What lies behind it was written
//! by one write and synced before any report, so a line that does not parse there never was reported.

mod file;
#[cfg(test)]
mod tests;
mod writer;

pub use file::{LogError, LogFile};
pub use writer::LogChannel;
