//! Caps are never exceeded and never left short, however arrivals, exits, parcels and crashes interleave.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use crate::domain::apply::Firing;
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::event::Event;
use crate::domain::ids::{HashKey, Millis, PartitionId, ProfileKey, Pseq, SandboxId};
use crate::domain::step::{Path, StepKind};
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::{Circumstances, DecideConfig, Draught};
use crate::runtime::partition::mail::{Parcel, ParcelName};
use crate::runtime::partition::table::Extent;
use crate::wire::record::{Mark, ProfileRecord, records};

fn resources(places: u64) -> String {
    format!(
        r#"
kind: event
name: go
schema: {{}}
---
kind: event
name: quit
schema: {{}}
---
kind: journey
name: offer
entry: {{ event: go }}
exit: [ {{ event: quit }} ]
start: gate
nodes:
  gate: {{ profile_cap: {places}, then: gold, otherwise: silver }}
  gold: {{ wait: 30d, then: done }}
  silver: {{ wait: 30d, then: done }}
  done: {{ end: true }}
"#
    )
}

/// Partitions, what is on its way between them, and what is durable of each.
struct World {
    catalog: Catalog,
    config: DecideConfig,
    partitions: Vec<Partition>,
    records: Vec<Vec<u8>>,
    /// Parts and pages of each partition's last snapshot.
    snapshots: Vec<Option<Snapshot>>,
    parcels: BTreeMap<(PartitionId, PartitionId), VecDeque<Parcel>>,
    acknowledged: VecDeque<ParcelName>,
    sequence: u64,
    places: u64,
    within: u64,
    beyond: u64,
}

type Snapshot = (Vec<u8>, Vec<(u32, Vec<u8>)>);

impl World {
    fn new(count: u16, places: u64) -> Self {
        let file = SourceFile { name: "offer.yaml".to_owned(), text: resources(places) };
        let (catalog, _) = Catalog::default().apply(&[file], Millis(0)).expect("has no errors");
        let config = DecideConfig {
            id_window_ms: 60_000,
            ids_max: 1_000,
            outbox_rows_max: 1_000,
            held_max: 1_000,
            entrants_max: 1_000,
            firing: Firing::Engine,
            calls: crate::domain::apply::Calls::Made,
            partitions: count,
            hash_key: HashKey::FIXED,
        };
        Self {
            catalog,
            config,
            partitions: (0..count).map(|id| Partition::new(PartitionId(id))).collect(),
            records: vec![Vec::new(); usize::from(count)],
            snapshots: vec![None; usize::from(count)],
            parcels: BTreeMap::new(),
            acknowledged: VecDeque::new(),
            sequence: 0,
            places,
            within: 0,
            beyond: 0,
        }
    }

    /// A partition decides; what it wrote is durable at once, and its parcels are on their way.
    fn decide<T>(
        &mut self,
        id: PartitionId,
        decide: impl FnOnce(&mut Partition, Circumstances<'_>, &mut Draught) -> T,
    ) -> T {
        let mut draught = Draught::default();
        let about = Circumstances { config: &self.config, catalog: &self.catalog, now: Millis(1_000) };
        let decided = decide(&mut self.partitions[usize::from(id.0)], about, &mut draught);
        for record in records(&draught.bytes) {
            let record = record.expect("can be read").1;
            for step in ProfileRecord::read(&record.payload).expect("can be read").steps {
                match step.kind {
                    StepKind::Left(Path::Way(0)) => self.within += 1,
                    StepKind::Left(Path::Way(_)) => {
                        self.beyond += 1;
                        assert_eq!(self.within, self.places, "nobody goes the other way while there are places");
                    }
                    _ => {}
                }
            }
        }
        assert!(self.within <= self.places, "{} of {} passed", self.within, self.places);
        self.records[usize::from(id.0)].extend_from_slice(&draught.bytes);
        for name in draught.parcels {
            self.send(name);
        }
        decided
    }

    fn send(&mut self, name: ParcelName) {
        let bodies =
            self.partitions[usize::from(name.from.0)].mail.parcel(name.to, name.pseq).expect("is there").clone();
        self.parcels.entry((name.from, name.to)).or_default().push_back(Parcel { name, bodies });
    }

    fn event(&mut self, kind: &str, who: u8) {
        self.sequence += 1;
        let (value, sequence) = (who.to_string(), self.sequence);
        let event = Event {
            id: sequence.to_string().into(),
            kind: kind.into(),
            profile: format!("crm:{value}").into(),
            time: None,
            properties: vec![0x80].into(),
        };
        let key: ProfileKey = HashKey::FIXED.profile_key(SandboxId::DEFAULT, "crm", &value);
        let id = key.partition(self.config.partitions);
        let mark = Mark::Stream { producer: 1, epoch: 0, sequence };
        let decided =
            self.decide(id, |partition, about, draught| partition.decide_event(&event, key, mark, about, draught));
        decided.expect("can be read");
    }

    /// One parcel comes to where it goes; whether there was one.
    fn deliver(&mut self, which: usize) -> bool {
        let ways: Vec<_> = self.parcels.iter().filter(|(_, queue)| !queue.is_empty()).map(|(way, _)| *way).collect();
        if ways.is_empty() {
            return false;
        }
        let way = ways[which % ways.len()];
        let parcel = self.parcels.get_mut(&way).and_then(VecDeque::pop_front).expect("not empty");
        self.decide(way.1, |partition, about, draught| partition.decide_parcel(&parcel, about, draught));
        self.acknowledged.push_back(parcel.name);
        true
    }

    fn acknowledge(&mut self) -> bool {
        let Some(name) = self.acknowledged.pop_front() else { return false };
        self.decide(name.from, |partition, about, draught| {
            partition.decide_acknowledged(name.to, name.pseq, about, draught);
        });
        true
    }

    fn tell(&mut self, which: usize) -> bool {
        let id = PartitionId((which % self.partitions.len()) as u16);
        self.decide(id, |partition, about, draught| partition.decide_waiter(Millis::NEVER, about, draught))
            .expect("can be read")
    }

    fn snapshot(&mut self, which: usize) {
        let index = which % self.partitions.len();
        let partition = &mut self.partitions[index];
        let (mut parts, mut pages) = (Vec::new(), Vec::new());
        partition.horizon.take_for_checkpoint(1);
        partition.table.begin_capture(Extent::Whole);
        while !partition.table.capture_some(8, &mut pages) {}
        partition.put_parts(&mut parts);
        pages.sort_by_key(|(page, _)| *page);
        partition.horizon.checkpoint_done(1);
        self.snapshots[index] = Some((parts, pages));
    }

    /// The process dies: what was on its way is gone, and each partition says again what nobody acknowledged.
    fn crash(&mut self) {
        self.parcels.clear();
        self.acknowledged.clear();
        for (index, id) in (0..self.config.partitions).map(PartitionId).enumerate() {
            let mut recovered = match &self.snapshots[index] {
                None => Partition::new(id),
                Some((parts, pages)) => {
                    let pages = pages.iter().map(|(page, bytes)| (*page, bytes.as_slice()));
                    Partition::from_snapshot(id, parts, pages, &self.catalog).expect("can be restored")
                }
            };
            for record in records(&self.records[index]) {
                recovered.install(&record.expect("can be read").1, &self.catalog).expect("can be installed");
            }
            assert_eq!(recovered.mail, self.partitions[index].mail, "recovery leaves what deciding left");
            self.partitions[index] = recovered;
            self.say_again(id);
        }
    }

    /// A partition says again what nobody acknowledged, as after a move.
    fn say_again(&mut self, id: PartitionId) {
        let parcels: Vec<(PartitionId, Pseq)> = self.partitions[usize::from(id.0)].mail.parcels().collect();
        for (to, pseq) in parcels {
            self.send(ParcelName { from: id, to, pseq });
        }
    }

    fn settle(&mut self) {
        loop {
            let mut moved = self.deliver(0) | self.acknowledge();
            for which in 0..self.partitions.len() {
                moved |= self.tell(which);
            }
            if !moved {
                return;
            }
        }
    }
}

fn check(count: u16, places: u64, operations: &[(u8, u8)]) {
    let mut world = World::new(count, places);
    for &(operation, who) in operations {
        match operation % 16 {
            0..6 => world.event("go", who % 40),
            6 => world.event("quit", who % 40),
            7..11 => drop(world.deliver(usize::from(who))),
            11 => drop(world.acknowledge()),
            12 | 13 => drop(world.tell(usize::from(who))),
            14 if who % 4 == 0 => world.crash(),
            14 => world.say_again(PartitionId(u16::from(who) % count)),
            _ => world.snapshot(usize::from(who)),
        }
    }
    world.settle();
    assert!(world.beyond == 0 || world.within == places);
    let mut inside = 0;
    for partition in &world.partitions {
        for profile in partition.table.profiles() {
            let instances = profile.expect("can be read").instances;
            inside += instances.iter().filter(|instance| instance.node.0 == 0).count();
        }
        assert_eq!(partition.mail.parcels().count(), 0, "everything was taken in and acknowledged");
    }
    assert_eq!(inside, 0, "everybody was told");
    // Nothing was lost on the way: as many as come now pass, up to the last place.
    for who in 100..200 {
        world.event("go", who);
        world.settle();
    }
    assert_eq!(world.within, places.min(world.within + world.beyond));
    if places <= 100 {
        assert_eq!(world.within, places);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn caps_hold_whatever_happens(
        count in 1_u16..6,
        places in 1_u64..12,
        operations in proptest::collection::vec(any::<(u8, u8)>(), 0..200),
    ) {
        check(count, places, &operations);
    }
}

/// Places go to those who still wait when one that was granted a place has left.
#[test]
fn a_place_of_somebody_who_left_goes_to_another() {
    let mut world = World::new(3, 1);
    world.event("go", 1);
    world.event("go", 2);
    while world.deliver(0) {}
    world.event("quit", 1);
    world.settle();
    assert_eq!((world.within, world.beyond), (1, 0));
    world.event("go", 3);
    world.settle();
    assert_eq!((world.within, world.beyond), (1, 1));
}

/// Who knows that no place is left asks nobody.
#[test]
fn a_spent_cap_costs_no_parcel() {
    let mut world = World::new(1, 2);
    for who in 0..4 {
        world.event("go", who);
        world.settle();
    }
    let before = world.records[0].len();
    world.event("go", 9);
    assert_eq!((world.within, world.beyond), (2, 3));
    assert_eq!(world.partitions[0].mail.parcels().count(), 0);
    assert!(world.records[0].len() > before);
}
