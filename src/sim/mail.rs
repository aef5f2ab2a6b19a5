//! Between the client and the mailboxes: a submission goes in now or not at all, and a script's event becomes a native one.

use tokio::sync::oneshot;

use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};
use crate::runtime::api::{Refusal, Submission};
use crate::runtime::router::{Room, Router};
use crate::runtime::stepped::Post;
use crate::runtime::ticket::Verdict;
use crate::sim::machine::Machine;
use crate::sim::workload::ScriptEvent;
use crate::wire::value::put_map;

/// Puts a submission into mailboxes now, or not at all.
pub(super) fn submit_now(
    router: &Router<Post>,
    submission: Submission,
    machine: &Machine,
) -> Option<oneshot::Receiver<Verdict>> {
    let room = || {
        if machine.failure.is_raised() {
            return Err(Refusal::Stopping);
        }
        if machine.journal.is_full() {
            return Err(Refusal::DiskFull);
        }
        Ok(if machine.journal.must_wait() { Room::Later } else { Room::Now })
    };
    router.submit_now(submission, room).ok()
}

/// A script's event as producers send it.
pub(super) fn event_of(script: &ScriptEvent) -> Event {
    let mut properties = Vec::new();
    let map = Value::from_json(&serde_json::Value::Object(script.properties.clone()));
    match map {
        Value::Map(map) => put_map(&mut properties, &map),
        _ => put_map(&mut properties, &Map::default()),
    }
    Event {
        id: script.id.as_str().into(),
        kind: script.kind.as_str().into(),
        profile: script.profile.as_str().into(),
        time: script.time_ms.map(Millis),
        properties: properties.into(),
    }
}
