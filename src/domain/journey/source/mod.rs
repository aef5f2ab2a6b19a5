//! Resource files to definitions. `tree` knows YAML, `reader` maps and scalars, the rest one kind of resource each.

mod action;
mod capping;
mod fragment;
mod journey;
pub mod literal;
mod message;
mod nodes;
mod reader;
mod resources;
mod rule_set;
mod schema;
mod surface;
mod tree;
mod trial;

pub use resources::{Kind, Resources, read};
pub use tree::Tree;
