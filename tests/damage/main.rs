//! What a disk does to data at rest and at any moment of writing: corruptions, crash states, a damaged timer index.
//!
//! All of it stands below the engine, without its threads: [`world`] decides, writes and cuts partitions as the shard and
//! the keeper do, and knows what every prefix of the journal comes to.

mod corruption;
mod crash_states;
mod dice;
mod sled_directory;
mod world;
