//! What an instance remembers of events: the parts its program reads, and no more.

use smol_str::SmolStr;

use crate::domain::limits;
use crate::domain::profile::Context;
use crate::domain::value::{Map, Value};

/// Whether an instance's memory is within its limit (spec §2.8).
#[inline]
pub(super) fn fits(context: &Context) -> bool {
    let beside = context.extra.as_ref().map_or(0, |extra| {
        let heard = extra.heard.iter().map(|(_, map)| map.weight());
        let kept = extra.kept.iter().map(|(.., map)| map.weight());
        heard.chain(kept).sum::<usize>() + extra.called.weight()
    });
    let weight = context.event.weight() + context.last.as_ref().map_or(0, Map::weight) + beside;
    weight <= limits::INSTANCE_BYTES_MAX
}

/// The parts of `properties` under `paths`.
pub(super) fn kept(properties: &Map, paths: &[Vec<SmolStr>]) -> Map {
    let mut result = Map::new();
    for path in paths {
        copy_path(&mut result, properties, path);
    }
    result
}

/// Copies the value at `path`, if it is there; an empty path copies everything. A value of another type that stands in
/// the way is copied too: reading through it is the same error later as it is now.
pub(super) fn copy_path(target: &mut Map, source: &Map, path: &[SmolStr]) {
    if path.is_empty() {
        *target = source.clone();
        return;
    }
    for end in 1..=path.len() {
        match source.path(&path[..end]) {
            None => return,
            Some(Value::Map(_)) if end < path.len() => {}
            Some(value) => {
                target.insert_path(&path[..end], value.clone());
                return;
            }
        }
    }
}
