//! Fuzz targets of every decoder that reads what lies on a disk or what people write, and of operation lists against
//! models. Those of the wire are in `fuzz_wire`. `cargo test` runs each for a moment; `docs/testing.md` says how to run
//! them for long, and where their corpus is.

mod disk;
mod functions;
mod language;
mod models;
