//! On the events' clock the same input gives the same decisions, however it is cut into batches, shards and lives of the
//! process: a world's input is given to a quiet one once more.

use std::collections::BTreeMap;

use crate::domain::ids::ProfileKey;
use crate::sim::Violation;
use crate::sim::history::History;
use crate::sim::simulation::Simulation;

/// More than any world writes.
const TAIL_BYTES: u64 = 1 << 40;
/// Enough that a hundred thousand messages leave in few rounds.
const CHANNEL_HELD_MAX: usize = 1_000;

impl Simulation {
    /// The same events through one shard that nothing happens to, in the world `quiet` (this one before it began), end with the
    /// same decision hash. If they do not, the trace ends with what the quiet world's records say about the profile that differs.
    pub fn check_replay(&mut self, mut quiet: Self) -> Result<(), Violation> {
        (quiet.shards, quiet.calm, quiet.client.is_calm) = (1, true, true);
        // Nothing happens to its journal either: it is long enough, and no checkpoint writes what channels still hold again
        // and again.
        quiet.plan.machine.keeper.tail_bytes = TAIL_BYTES;
        quiet.plan.machine.journal.tail_bytes_max = TAIL_BYTES;
        quiet.plan.machine.channel_held_max = CHANNEL_HELD_MAX;
        quiet.history.lines = self.history.lines.as_ref().map(|_| Vec::new());
        let resources = quiet.workload.resources.clone();
        quiet.start()?;
        quiet.publish(resources);
        quiet.settle()?;
        quiet.pause_ahead()?;
        quiet.client = self.client.replay();
        quiet.settle()?;
        let (found, due) = (self.history.hash_sum(), quiet.history.hash_sum());
        if found == due {
            return Ok(());
        }
        let who = different_profile(&self.history, &quiet.history);
        if let (Some(lines), Some(others)) = (&mut self.history.lines, quiet.history.lines) {
            lines.push("without crashes and moves:".to_owned());
            lines.extend(others);
        }
        Err(Violation::new(format!("the decision hash is {found:x}; without crashes and moves it is {due:x}: {who}")))
    }
}

/// A profile whose decisions are not the same in both.
fn different_profile(one: &History, other: &History) -> String {
    let (one, other) = (chains(one), chains(other));
    let keys = one.keys().chain(other.keys());
    let differs = keys.into_iter().find(|key| one.get(key) != other.get(key));
    let Some(key) = differs else { return "every profile is alike".to_owned() };
    let told = |found: Option<&(String, u64)>| match found {
        Some((name, chain)) => format!("{name} with chain {chain:x}"),
        None => "nobody".to_owned(),
    };
    format!("profile {:x} is {}, and there {}", key.0 >> 112, told(one.get(key)), told(other.get(key)))
}

/// The chains of decisions, with names.
fn chains(history: &History) -> BTreeMap<ProfileKey, (String, u64)> {
    let profiles = history.books.values().flat_map(|book| book.shadow.table.profiles().map_while(Result::ok));
    profiles.map(|profile| (profile.key, (profile.identity.to_string(), profile.chain))).collect()
}
