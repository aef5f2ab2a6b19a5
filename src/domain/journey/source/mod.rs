//! Resource files to definitions. `tree` knows YAML, `reader` maps and scalars, the rest one kind of resource each.

mod action;
mod bounds;
mod capping;
mod dataset;
mod fragment;
mod journey;
pub mod literal;
mod message;
mod migration;
mod nodes;
mod optimize;
mod reader;
mod resources;
mod rule_set;
mod schema;
mod surface;
mod tree;
mod trial;

pub use dataset::{DatasetFile, Records};
pub use optimize::{FALLBACK, HOLDOUT};
pub use resources::{Kind, Resources, read};
pub use tree::Tree;
pub use trial::read_responses;
