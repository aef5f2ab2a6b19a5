//! The journal: every acknowledged change, in order, durable with one sync per group.
//!
//! A journal belongs to the data directory and has a fixed number of *lanes*; each partition's records go to one lane, for
//! ever. A lane is a chain of *groups* in *segments*:
//!
//! ```text
//! journal/lane-00/000001.seg  | header, header | group 1 | group 2 | … | group n |
//! journal/lane-00/000002.seg  | header (after group n), header | group n+1 | …        | zeros, or bytes of an earlier use
//! ```
//!
//! | file          | is                                                             |
//! |---------------|----------------------------------------------------------------|
//! | `block`       | what shards hand over, and positions                           |
//! | `group`       | one group in bytes                                             |
//! | `segment`     | a segment's header in bytes, prewriting                        |
//! | `marks`       | how far lanes were durable, for a start that finds less        |
//! | `ledger`      | which segments are still needed                                |
//! | `lane`        | the writer, steppable                                          |
//! | `thread`      | the writer's thread, group commit                              |
//! | `spare`       | prewriting on a thread                                         |
//! | `walk`        | reading one segment                                            |
//! | `chain`       | which of the groups found count                                |
//! | `recovery`    | opening a lane: survey, rewrite, tidy                          |
//! | `tail`        | what was found, for replay                                     |
//! | `handle`      | the journal as a whole                                         |

mod block;
mod chain;
mod group;
mod handle;
mod lane;
mod ledger;
mod marks;
mod recovery;
mod segment;
mod shared;
mod spare;
mod tail;
mod thread;
mod walk;

pub use block::{Block, BlockAt, Position};
pub use handle::{Journal, JournalConfig, SpansOf, SyncMode};
pub use lane::Lane;
pub use marks::{MARKS_FILE, Note};
pub use segment::JOURNAL_FORMAT;
pub use tail::{Tail, TailReader};
pub use thread::{AppendError, Appender, LaneThread, Listener};

#[cfg(test)]
mod tests;
