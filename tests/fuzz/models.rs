//! Operation lists over state machines, beside models as naive as can be.

use std::collections::BTreeMap;

use sojourn::domain::content::RenderInput;
use sojourn::domain::effect::{OutboxRow, OutboxState};
use sojourn::domain::ids::{DeliveryId, InstanceId, MessageId, Millis, NodeNo, PartitionId, ProfileKey, VersionId};
use sojourn::domain::journey::program::Channel;
use sojourn::domain::profile::Profile;
use sojourn::domain::value::Value;
use sojourn::domain::wheel::{Wheel, WheelEntry};
use sojourn::runtime::partition::dedup::{Dedup, Novelty};
use sojourn::runtime::partition::outbox::Outbox;
use sojourn::runtime::partition::table::{Extent, Rewrite, Table};
use sojourn::wire::component::{blank_profile, vacant_instance};
use sojourn::wire::cursor::Cursor;
use sojourn::wire::outbox::OutboxChange;
use sojourn::wire::record::Mark;

/// Instants of many sizes, around 0.
fn instant(bits: i16, scale: u8) -> i64 {
    i64::from(bits) << (scale % 40)
}

#[test]
fn wheel() {
    bolero::check!().with_type::<Vec<(bool, i16, u8)>>().for_each(|operations| {
        let mut wheel = Wheel::new(Millis(0));
        let (mut time, mut inserted) = (0, 0u32);
        // Late ones, and those to come: due and order of insertion.
        let (mut late, mut waiting) = (Vec::<(i64, u32)>::new(), Vec::<(i64, u32)>::new());
        for (is_insert, bits, scale) in operations {
            let at = instant(*bits, *scale);
            if *is_insert {
                inserted += 1;
                wheel.insert(WheelEntry::new(PartitionId(0), ProfileKey(1), inserted, 0, Millis(at)));
                if at <= time { late.push((at, inserted)) } else { waiting.push((at, inserted)) }
            } else {
                time = time.max(at);
                let mut found = Vec::new();
                wheel.advance(Millis(at), &mut found);
                late.sort_unstable();
                waiting.sort_unstable();
                let due = waiting.partition_point(|(due, _)| *due <= time);
                let expected: Vec<(i64, u32)> = late.drain(..).chain(waiting.drain(..due)).collect();
                let found: Vec<(i64, u32)> = found.iter().map(|entry| (entry.due.0, entry.ordinal)).collect();
                assert_eq!(found, expected);
            }
            assert_eq!(wheel.len(), late.len() + waiting.len());
            let next = late.iter().min().or(waiting.iter().min()).map(|(due, _)| Millis(*due));
            assert_eq!(wheel.next_due(), next);
        }
    });
}

#[test]
fn dedup() {
    const IDS_MAX: usize = 6;
    const WINDOW_MS: i64 = 1_000;
    bolero::check!().with_type::<Vec<(bool, u8, u8, u8)>>().for_each(|operations| {
        let mut dedup = Dedup::default();
        let mut now = Millis(0);
        let mut producers: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
        let mut ids: BTreeMap<u128, Millis> = BTreeMap::new();
        for (is_stream, first, second, pause) in operations {
            now = now.plus(i64::from(*pause));
            let mark = if *is_stream {
                let (producer, epoch) = (u64::from(first % 4), u32::from(first / 128));
                Mark::Stream { producer, epoch, sequence: u64::from(*second) }
            } else {
                Mark::Id { hash: u128::from(first % 16), expires: now.plus(WINDOW_MS) }
            };
            ids.retain(|_, expires| *expires > now);
            let expected = match mark {
                Mark::Stream { producer, epoch, sequence } => match producers.get(&producer) {
                    Some(last) if (epoch, sequence) <= *last => Novelty::Repeated,
                    _ => Novelty::New,
                },
                Mark::Id { hash, .. } if ids.contains_key(&hash) => Novelty::Repeated,
                Mark::Id { .. } if ids.len() >= IDS_MAX => Novelty::NoRoom,
                Mark::Id { .. } => Novelty::New,
            };
            assert_eq!(dedup.judge(&mark, now, IDS_MAX), expected, "{mark:?} at {now:?}");
            if expected == Novelty::New {
                dedup.remember(&mark, now);
                match mark {
                    Mark::Stream { producer, epoch, sequence } => drop(producers.insert(producer, (epoch, sequence))),
                    Mark::Id { hash, expires } => drop(ids.insert(hash, expires)),
                }
            }
        }
        let (mut once, mut again) = (Vec::new(), Vec::new());
        dedup.put(&mut once);
        Dedup::read(&mut Cursor::new(&once)).expect("what was written can be read").put(&mut again);
        assert_eq!(once, again);
    });
}

fn row(id: DeliveryId, channel: u8) -> OutboxRow {
    OutboxRow {
        id,
        profile: "crm:1".into(),
        version: VersionId(0),
        node: NodeNo(0),
        entry_ordinal: 1,
        message: 0,
        message_id: MessageId(0),
        channel: [Channel::Log, Channel::Webhook, Channel::Email][usize::from(channel % 3)],
        recipient: "".into(),
        input: RenderInput::default(),
        decided_at: Millis(0),
        state: OutboxState::Pending,
        first_attempt_at: None,
    }
}

fn surface_of(row: &OutboxRow) -> Option<smol_str::SmolStr> {
    (row.channel != Channel::Log).then(|| format!("{:?}", row.channel).into())
}

#[test]
fn outbox() {
    bolero::check!().with_type::<Vec<(u8, u8, u8)>>().for_each(|operations| {
        let mut outbox = Outbox::default();
        let mut model: BTreeMap<DeliveryId, OutboxRow> = BTreeMap::new();
        for (operation, number, more) in operations {
            let instance = InstanceId(u128::from(number % 8));
            let id = DeliveryId { partition: PartitionId(0), instance, ordinal: u16::from(number / 128) };
            let change = match operation % 4 {
                0 | 1 => OutboxChange::Put(Box::new(row(id, *more))),
                2 => OutboxChange::Gone(id),
                _ => {
                    let states = [OutboxState::Pending, OutboxState::Started, OutboxState::InDoubt];
                    let first_attempt_at = (*more > 100).then_some(Millis(i64::from(*more)));
                    OutboxChange::State { id, state: states[usize::from(more % 3)], first_attempt_at }
                }
            };
            // Installing a change twice is installing it once.
            outbox.install(change.clone(), surface_of);
            outbox.install(change.clone(), surface_of);
            match change {
                OutboxChange::Put(row) => drop(model.insert(id, *row)),
                OutboxChange::Gone(id) => drop(model.remove(&id)),
                OutboxChange::Mail(_) => {}
                OutboxChange::State { id, state, first_attempt_at } => {
                    if let Some(row) = model.get_mut(&id) {
                        (row.state, row.first_attempt_at) = (state, first_attempt_at);
                    }
                }
            }
            assert!(outbox.rows().map(|row| &**row).eq(model.values()));
            for surface in [None, Some("Webhook"), Some("Email")] {
                let waiting = model.values().filter(|row| surface_of(row).as_deref() == surface).count();
                assert_eq!(outbox.waiting(surface), waiting);
            }
        }
        let mut bytes = Vec::new();
        outbox.put(&mut bytes);
        let read = Outbox::read(&mut Cursor::new(&bytes), surface_of).expect("what was written can be read");
        assert!(read.rows().eq(outbox.rows()));
    });
}

/// Profiles that are there from the start: more than one page.
const PROFILES: u128 = 300;

fn profile(key: u128, total: u8) -> Profile {
    let mut profile = blank_profile(ProfileKey(key));
    profile.document.insert("total", Value::Int(i64::from(total)));
    profile.instances.extend((0..total % 3).map(|ordinal| vacant_instance(u32::from(ordinal) + 1)));
    profile
}

#[test]
fn table() {
    bolero::check!().with_iterations(100).with_type::<Vec<(u8, u16, u8)>>().for_each(|operations| {
        let mut table = Table::default();
        let mut model: BTreeMap<u128, Profile> = BTreeMap::new();
        let store = |table: &mut Table, model: &mut BTreeMap<u128, Profile>, key: u128, total: u8| {
            let profile = profile(key, total);
            let slot = table.find(profile.key);
            assert_eq!(slot.is_some(), model.contains_key(&key));
            table.store(slot, &profile, Rewrite::Whole);
            model.insert(key, profile);
        };
        for key in 0..PROFILES {
            store(&mut table, &mut model, key, key as u8);
        }
        // What a snapshot holds, the cut in progress, and the model when that began.
        let (mut saved, mut copied, mut cut) = (BTreeMap::new(), Vec::new(), None);
        for (operation, key, total) in operations {
            match operation % 8 {
                0 if cut.is_none() => {
                    let extent = if saved.is_empty() { Extent::Whole } else { Extent::Dirty };
                    table.begin_capture(extent);
                    cut = Some(model.clone());
                }
                1 if cut.is_some() => {
                    if table.capture_some(usize::from(*total % 3), &mut copied) {
                        saved.extend(copied.drain(..));
                        let at_the_cut = cut.take().expect("begun");
                        check_pages(&saved, &at_the_cut);
                    }
                }
                _ => store(&mut table, &mut model, u128::from(*key % 600), *total),
            }
        }
        assert_eq!(table.len(), model.len());
        assert_eq!(table.timer_count(), model.values().map(|profile| profile.instances.len()).sum::<usize>());
        for (key, expected) in &model {
            assert_eq!(table.wake(ProfileKey(*key)).expect("wakes").as_ref(), Some(expected));
        }
    });
}

/// The pages of a snapshot come to what was there at its cut.
fn check_pages(saved: &BTreeMap<u32, Vec<u8>>, at_the_cut: &BTreeMap<u128, Profile>) {
    let mut table = Table::default();
    for (page, bytes) in saved {
        table.install_page(*page, bytes, |_| Ok(())).expect("installs");
    }
    assert_eq!(table.len(), at_the_cut.len());
    for (key, expected) in at_the_cut {
        assert_eq!(table.wake(ProfileKey(*key)).expect("wakes").as_ref(), Some(expected));
    }
}
