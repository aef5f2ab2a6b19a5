//! What holds for every durable record, whatever the journeys say: each event once and in order, no timer early, one
//! instance per profile and journey, every message accounted for.

use std::collections::BTreeMap;

use crate::domain::apply::Firing;
use crate::domain::effect::OutboxState;
use crate::domain::ids::{Millis, PartitionId, VersionId};
use crate::domain::journey::program::Channel;
use crate::domain::profile::Profile;
use crate::domain::step::{ExitReason, MessageOutcome, Path, Step, StepKind};
use crate::sim::Violation;
use crate::sim::client::Client;
use crate::sim::history::{Applied, Fate, History, Key};
use crate::wire::outbox::OutboxChange;
use crate::wire::record::{Mark, ProfileRecord, Record, RecordKind};

/// Checks a record against everything before it, and makes it part of that.
pub fn check(history: &mut History, record: &Record<'_>, client: &Client) -> Result<(), Violation> {
    let place = format!("record {} of partition {}", record.head.pseq, record.head.partition);
    checked(history, record, client).map_err(|violation| {
        let payload = ProfileRecord::read(&record.payload);
        let content = payload.map(|p| {
            format!("event {:?}, steps {:?}, outbox {:?}", p.event.map(|e| (e.id, e.kind)), p.steps, p.outbox)
        });
        violation.at(&format!("{place} at {}, catalog {}, {content:?}", record.head.engine_time, record.head.catalog))
    })
}

/// A record as a line of the trace.
pub fn line(record: &Record<'_>) -> String {
    let head = &record.head;
    let place = format!(
        "    record {} of partition {} at {}, catalog {}",
        head.pseq, head.partition, head.engine_time, head.catalog
    );
    let Ok(payload) = ProfileRecord::read(&record.payload) else { return format!("{place}: {:?}", head.kind) };
    if head.kind != RecordKind::Profile {
        return format!("{place}: {:?}", head.kind);
    }
    let event = payload.event.map(|event| format!("{} {}", event.kind, event.id)).unwrap_or_default();
    let steps: Vec<String> =
        payload.steps.iter().map(|s| format!("v{} n{} #{} {:?}", s.version, s.node, s.ordinal, s.kind)).collect();
    let outbox: Vec<String> = payload
        .outbox
        .iter()
        .map(|change| match change {
            OutboxChange::Put(row) => format!("put {} {:?}", row.id, row.channel),
            OutboxChange::Gone(id) => format!("gone {id}"),
            OutboxChange::State { id, state, .. } => format!("{state:?} {id}"),
            OutboxChange::Mail(change) => format!("{change:?}"),
        })
        .collect();
    format!("{place}: {:x} {event} [{}] [{}]", head.key.0 >> 112, steps.join(", "), outbox.join(", "))
}

fn checked(history: &mut History, record: &Record<'_>, client: &Client) -> Result<(), Violation> {
    check_head(history, record)?;
    let head = record.head;
    if head.kind != RecordKind::Profile {
        return install(history, record);
    }
    let read = ProfileRecord::read(&record.payload);
    let payload = read.map_err(|error| Violation::new(format!("its payload can't be read: {error}")))?;
    if let Some(mark) = &payload.mark {
        check_event(history, record, &payload, mark, client)?;
    } else if payload.event.is_some() {
        return Err(Violation::new("it holds an event without a mark"));
    }
    let before = wake(history, record)?;
    check_times(&before, &payload.steps, head.engine_time, history)?;
    check_outbox(history, record, &payload)?;
    install(history, record)?;
    history.step_count += payload.steps.len() as u64;
    let after = wake(history, record)?;
    if let Some(after) = &after
        && !payload.components.is_empty()
    {
        check_profile(history, record, &payload.steps, before.as_ref(), after)?;
    }
    check_ends(history, record, &payload, after.as_ref())?;
    let catalog = std::sync::Arc::clone(history.catalog());
    match &mut history.witness {
        Some(witness) => witness.take(record, &catalog),
        None => Ok(()),
    }
}

fn check_head(history: &History, record: &Record<'_>) -> Result<(), Violation> {
    let head = &record.head;
    let book = history.book(head.partition);
    let shadow = &book.shadow;
    if head.engine_time < shadow.engine_time {
        return Err(Violation::new(format!(
            "engine time goes back from {} to {}",
            shadow.engine_time, head.engine_time
        )));
    }
    if head.engine_time > history.time_max {
        return Err(Violation::new(format!(
            "its engine time is {}; no clock has shown more than {}",
            head.engine_time, history.time_max
        )));
    }
    let epoch_due = shadow.epoch.0 + u32::from(head.kind == RecordKind::Ownership);
    if head.epoch.0 != epoch_due {
        return Err(Violation::new(format!("its owner's epoch is {}, and {epoch_due} is due", head.epoch)));
    }
    if head.catalog < book.catalog {
        return Err(Violation::new(format!("it was decided with catalog {} after {}", head.catalog, book.catalog)));
    }
    if !history.catalogs.contains_key(&head.catalog) {
        return Err(Violation::new(format!("it was decided with catalog {}, which is not durable", head.catalog)));
    }
    Ok(())
}

fn install(history: &mut History, record: &Record<'_>) -> Result<(), Violation> {
    let catalog = std::sync::Arc::clone(history.catalog());
    let book = history.books.get_mut(&record.head.partition).expect("its head was checked");
    book.catalog = record.head.catalog;
    book.shadow.install(record, &catalog).map_err(|error| Violation::new(format!("it can't be installed: {error}")))
}

fn wake(history: &History, record: &Record<'_>) -> Result<Option<Profile>, Violation> {
    let table = &history.book(record.head.partition).shadow.table;
    table.wake(record.head.key).map_err(|error| Violation::new(format!("its profile can't be read: {error}")))
}

/// Each event once, with its own content, in the order it was sent.
fn check_event(
    history: &mut History,
    record: &Record<'_>,
    payload: &ProfileRecord<'_>,
    mark: &Mark,
    client: &Client,
) -> Result<(), Violation> {
    let key = Key::of(mark);
    let head = &record.head;
    let Some(sent) = client.sent(&key) else {
        return Err(Violation::new(format!("nobody sent the event of {mark:?}")));
    };
    let Some(event) = &payload.event else {
        return Err(Violation::new("it holds a mark without an event"));
    };
    if (event.id, event.kind, event.time, event.properties)
        != (&*sent.event.id, &*sent.event.kind, sent.event.time, &*sent.event.properties)
    {
        return Err(Violation::new(format!("its event is {event:?}; what was sent is {:?}", sent.event)));
    }
    if head.key != sent.key || head.partition != sent.partition {
        return Err(Violation::new(format!("the event of {} is with another profile", sent.event.profile)));
    }
    if let Some(applied) = history.applied.get(&key)
        && head.engine_time < applied.expires
        && matches!(key, Key::Id(_))
    {
        return Err(Violation::new(format!(
            "event {} of {} was applied before, at {}",
            sent.event.id, sent.event.profile, applied.at
        )));
    }
    let expires = match mark {
        Mark::Stream { .. } => Millis::NEVER,
        Mark::Id { expires, .. } => {
            let due = head.engine_time.plus(client.id_window_ms);
            if *expires != due {
                return Err(Violation::new(format!("its id is known until {expires}, and {due} is due")));
            }
            *expires
        }
    };
    history.applied.insert(key, Applied { at: head.engine_time, expires });
    let book = history.books.get_mut(&head.partition).expect("its head was checked");
    if let Key::Stream(producer, epoch, sequence) = key
        && let Some(last) = book.sequences.insert(producer, (epoch, sequence, head.engine_time))
        && (last.0, last.1) >= (epoch, sequence)
    {
        return Err(Violation::new(format!("producer {producer:x} goes from {last:?} to {:?}", (epoch, sequence))));
    }
    let last = book.last_order.get(&head.key).copied().unwrap_or(0);
    let Some(order) = sent.orders.iter().copied().filter(|order| *order > last).min() else {
        return Err(Violation::new(format!(
            "event {} of {} overtook another: it was number {:?}, and number {last} came before",
            sent.event.id, sent.event.profile, sent.orders
        )));
    };
    book.last_order.insert(head.key, order);
    Ok(())
}

/// No timer is early, and none of an earlier arrival counts.
fn check_times(before: &Option<Profile>, steps: &[Step], now: Millis, history: &mut History) -> Result<(), Violation> {
    let mut dues: BTreeMap<u32, Millis> =
        before.iter().flat_map(|profile| profile.instances.iter().map(|i| (i.ordinal, i.due))).collect();
    for (index, step) in steps.iter().enumerate() {
        let arrived_just_now = index > 0
            && steps[index - 1].kind == StepKind::Arrived
            && (steps[index - 1].ordinal, steps[index - 1].node) == (step.ordinal, step.node);
        match step.kind {
            // A wait until an instant that is past passes at once, without a timer.
            StepKind::Left(Path::WaitEnded) if arrived_just_now => {}
            StepKind::Arrived => {
                dues.insert(step.ordinal, step.due);
            }
            StepKind::Left(Path::WaitEnded | Path::TimedOut) | StepKind::Exited(ExitReason::Timeout) => {
                history.fired_count += 1;
                match dues.get(&step.ordinal) {
                    Some(due) if *due <= now => {}
                    due => {
                        return Err(Violation::new(format!(
                            "a timer of entry {} fired at {now}, and it is due at {due:?}: {step:?}",
                            step.ordinal
                        )));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The profile after the record: one instance per journey and supplemental id, nothing due left behind, nobody in another version without a step that says so.
fn check_profile(
    history: &History,
    record: &Record<'_>,
    steps: &[Step],
    before: Option<&Profile>,
    after: &Profile,
) -> Result<(), Violation> {
    let (who, now) = (&after.identity, record.head.engine_time);
    let tells = |step: &Step| matches!(step.kind, StepKind::Left(Path::Way(_)) | StepKind::Called(_));
    let is_told = steps.iter().any(tells);
    for (index, instance) in after.instances.iter().enumerate() {
        if after.instances[..index]
            .iter()
            .any(|other| other.journey == instance.journey && other.supplemental_id() == instance.supplemental_id())
        {
            return Err(Violation::new(format!("{who} is twice in journey {:?}", instance.journey)));
        }
        // On the events' clock messages and answers come first, and then time passes.
        let comes_first = history.firing == Firing::Due && is_told && instance.due == now;
        if instance.due <= now && !comes_first {
            return Err(Violation::new(format!(
                "{who} was handled at {now}, and what was due at {} has not happened: {instance:?}",
                instance.due
            )));
        }
        let stood = before.and_then(|b| b.instances.iter().find(|other| other.ordinal == instance.ordinal));
        let is_migration =
            |step: &Step| step.kind == StepKind::Exited(ExitReason::Migrated) && step.ordinal == instance.ordinal;
        if let Some(stood) = stood
            && ((stood.version != instance.version) != steps.iter().any(is_migration)
                || stood.version > instance.version
                || stood.entered_at != instance.entered_at
                || stood.sends > instance.sends)
        {
            return Err(Violation::new(format!("{who} was moved: {stood:?} became {instance:?}")));
        }
        if stood.is_none() {
            let catalog = &history.catalogs[&record.head.catalog];
            let mut open = catalog.entries.values().chain(catalog.in_test.values());
            let live = open.any(|versions| versions.contains(&instance.version));
            if !live {
                return Err(Violation::new(format!("{who} entered {:?}, which takes no entries", instance.version)));
            }
        }
    }
    Ok(())
}

/// Rows come once, go once, and each that goes is accounted for.
fn check_outbox(history: &mut History, record: &Record<'_>, payload: &ProfileRecord<'_>) -> Result<(), Violation> {
    let mut finals: Vec<(MessageOutcome, VersionId, u32)> = Vec::new();
    for step in &payload.steps {
        if let StepKind::Message { outcome, .. } = step.kind
            && matches!(outcome, MessageOutcome::Sent | MessageOutcome::Failed | MessageOutcome::Cancelled)
        {
            finals.push((outcome, step.version, step.ordinal));
        }
    }
    for change in &payload.outbox {
        match change {
            OutboxChange::Put(row) => {
                if row.id.partition != record.head.partition {
                    return Err(Violation::new(format!("delivery {} is in another partition", row.id)));
                }
                history.decided.insert(row.id);
                if history.deliveries.insert(row.id, Fate::Open).is_some() {
                    return Err(Violation::new(format!("delivery {} was decided before", row.id)));
                }
            }
            OutboxChange::Gone(id) => {
                let row = history.book(record.head.partition).shadow.outbox.get(*id).cloned();
                let Some(row) = row else {
                    return Err(Violation::new(format!("delivery {id} goes and was not there")));
                };
                if row.channel == Channel::Call {
                    history.deliveries.insert(*id, Fate::Called);
                    continue;
                }
                let of_it = |f: &(MessageOutcome, VersionId, u32)| f.1 == row.version && f.2 == row.entry_ordinal;
                let Some(found) = finals.iter().position(of_it) else {
                    return Err(Violation::new(format!("delivery {id} goes and no step says why")));
                };
                let fate = match finals.swap_remove(found).0 {
                    MessageOutcome::Sent => Fate::Sent,
                    MessageOutcome::Cancelled => Fate::Cancelled,
                    _ => Fate::Failed,
                };
                if fate == Fate::Cancelled && row.state != OutboxState::Pending {
                    return Err(Violation::new(format!("delivery {id} was attempted and then taken back")));
                }
                history.deliveries.insert(*id, fate);
            }
            OutboxChange::Mail(_) => {}
            OutboxChange::State { id, .. } => {
                if history.book(record.head.partition).shadow.outbox.get(*id).is_none() {
                    return Err(Violation::new(format!("delivery {id} changes and is not there")));
                }
            }
        }
    }
    // One decided and taken back by the same input never comes to the outbox.
    if let Some(extra) = finals.iter().find(|(outcome, ..)| *outcome != MessageOutcome::Cancelled) {
        return Err(Violation::new(format!("a step says {extra:?} of a delivery that does not go")));
    }
    Ok(())
}

/// An instance that ended is gone; one that left early has taken back what nobody tried.
fn check_ends(
    history: &History,
    record: &Record<'_>,
    payload: &ProfileRecord<'_>,
    after: Option<&Profile>,
) -> Result<(), Violation> {
    let outbox = &history.book(record.head.partition).shadow.outbox;
    for step in &payload.steps {
        let early = match step.kind {
            StepKind::Exited(ExitReason::Migrated) => continue,
            StepKind::Exited(ExitReason::Criteria | ExitReason::Stopped | ExitReason::Withdrawn) => true,
            StepKind::Exited(_) | StepKind::Failed(_) => false,
            _ => continue,
        };
        let Some(after) = after else { continue };
        if after.instances.iter().any(|i| i.ordinal == step.ordinal) {
            return Err(Violation::new(format!(
                "entry {} of {} ended and is still there",
                step.ordinal, after.identity
            )));
        }
        // On the events' clock channels count as having tried everything at once.
        if !early || history.firing == Firing::Due {
            continue;
        }
        let left = outbox.rows().find(|row| {
            row.profile == after.identity
                && row.entry_ordinal == step.ordinal
                && row.state == OutboxState::Pending
                && (row.channel == Channel::Email
                    || (history.decided.contains(&row.id) && !history.offered.contains(&row.id)))
        });
        if let Some(row) = left {
            return Err(Violation::new(format!(
                "entry {} of {} left early, and its message {}, which nobody tried, stays",
                step.ordinal, after.identity, row.id
            )));
        }
    }
    Ok(())
}

/// Counters of a partition agree with its profiles (at any time) and add up.
pub fn check_counts(history: &History) -> Result<(), Violation> {
    for (id, book) in &history.books {
        let mut inside: BTreeMap<(VersionId, u16), u64> = BTreeMap::new();
        let mut kept: BTreeMap<VersionId, u64> = BTreeMap::new();
        for profile in book.shadow.table.profiles() {
            let profile = profile.map_err(|error| Violation::new(format!("a profile can't be read: {error}")))?;
            // Who waits to enter has not entered.
            for instance in profile.instances.iter().filter(|instance| !instance.is_entrant()) {
                *inside.entry((instance.version, instance.node.0)).or_default() += 1;
                if instance.held().is_some() {
                    *kept.entry(instance.version).or_default() += instance.kept_events().len() as u64;
                }
            }
        }
        for (version, counts) in book.shadow.counts.iter() {
            let active: u64 = inside.iter().filter(|((v, _), _)| *v == version).map(|(_, n)| n).sum();
            let ended = counts.exited.iter().sum::<u64>() + counts.errors();
            check_sum(*id, version, "it", counts.entered, active + ended)?;
            let there = kept.get(&version).copied().unwrap_or(0);
            if counts.kept != there {
                let told = format!("{there} events are kept for those held, and {} are counted", counts.kept);
                return Err(Violation::new(format!("partition {id}, version {version}: {told}")));
            }
            for (node, n) in counts.nodes.iter().enumerate() {
                let there = inside.get(&(version, node as u16)).copied().unwrap_or(0);
                check_sum(*id, version, &format!("node {node}"), n.entered, there + n.left + n.exited + n.errors)?;
            }
        }
    }
    Ok(())
}

fn check_sum(id: PartitionId, version: VersionId, what: &str, entered: u64, others: u64) -> Result<(), Violation> {
    if entered == others {
        return Ok(());
    }
    Err(Violation::new(format!(
        "partition {id}, version {version}: {entered} entered {what}, and {others} are there or have left"
    )))
}
