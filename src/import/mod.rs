//! Definitions of other engines to resources of ours: text in, text and a report out.
//!
//! Each format has a folder of its own, with the shapes of its JSON in `shapes.rs`. What all share lies beside: the graph
//! of nodes, the fields that get declared, templates, YAML, the report. Nothing here reads a file, keeps a clock or
//! decides what a journey does: what comes out is checked by the very checker that `sojourn check` runs.
//!
//! INVARIANT: nothing of a source is lost silently. What a shape does not know is found by comparing the source with
//! what was understood (`unread`), what it knows is mapped or reported, and what has no meaning here is listed in
//! `docs/importing.md`; a test takes away every single field of the examples and looks whether anything changes.

#[macro_use]
mod shape;

mod bundle;
mod declared;
mod dittofeed;
mod graph;
mod parcelvoy;
mod pinpoint;
mod report;
mod run;
mod split;
mod template;
mod text;
mod unread;
mod yaml;

pub use report::{Item, Outcome};
pub use run::{Format, ImportError, Imported, import, translate};
