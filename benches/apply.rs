//! What one decision costs: a profile in memory, an input, steps and effects out. Each benchmark checks its steps first.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sojourn::domain::apply::{EventInput, Firing, Outcome, World, apply_event, apply_timers};
use sojourn::domain::catalog::{Catalog, SourceFile};
use sojourn::domain::ids::{Millis, PartitionId, ProfileKey, SandboxId};
use sojourn::domain::profile::Profile;
use sojourn::domain::value::{Map, Value};

/// The journey of the load test: condition, wait, event wait, message.
const RESOURCES: &str = include_str!("../loadtest/src/scenario/cart_abandonment.yaml");
const NOW: Millis = Millis(1_700_000_000_000);
const WAIT_MS: i64 = 60_000;

fn catalog() -> Catalog {
    let file = SourceFile { name: "load.yaml".to_owned(), text: RESOURCES.replace("WAIT", "1m") };
    Catalog::default().apply(&[file], NOW).expect("the load test's journey has no errors").0
}

fn event<'a>(kind: &'a str, properties: &'a Map) -> EventInput<'a> {
    EventInput { id: "e1", kind, time: NOW, properties, also: &[] }
}

fn decisions(criterion: &mut Criterion) {
    let catalog = catalog();
    let room = |_: sojourn::domain::apply::Room<'_>| true;
    let world = World {
        catalog: &catalog,
        sandbox: SandboxId::DEFAULT,
        partition: PartitionId(1),
        calls: &sojourn::domain::apply::Calls::Made,
        firing: Firing::Engine,
        room: &room,
        spent: World::NONE_SPENT,
    };
    let cart = Map(vec![("total".into(), Value::Float(59.9))]);
    let nothing = Map::new();
    let fresh = Profile::new(ProfileKey(1), "crm:1".into());
    let mut waiting = fresh.clone();
    apply_event(&mut waiting, event("cart_add", &cart), NOW, world, &mut Outcome::default());
    let mut awaiting = waiting.clone();
    apply_timers(&mut awaiting, NOW.plus(WAIT_MS), world, &mut Outcome::default());

    type Input<'a> = Box<dyn Fn(&mut Profile, &mut Outcome) + 'a>;
    let cases: [(&str, &Profile, usize, Input<'_>); 5] = [
        (
            "enter, condition, wait",
            &fresh,
            4,
            Box::new(|p, out| apply_event(p, event("cart_add", &cart), NOW, world, out)),
        ),
        ("entry refused", &waiting, 1, Box::new(|p, out| apply_event(p, event("cart_add", &cart), NOW, world, out))),
        (
            "exit by an event",
            &waiting,
            1,
            Box::new(|p, out| apply_event(p, event("purchase", &nothing), NOW, world, out)),
        ),
        (
            "wait ends, event wait begins",
            &waiting,
            2,
            Box::new(|p, out| apply_timers(p, NOW.plus(WAIT_MS), world, out)),
        ),
        ("timeout, message, end", &awaiting, 6, Box::new(|p, out| apply_timers(p, NOW.plus(2 * WAIT_MS), world, out))),
    ];
    let mut group = criterion.benchmark_group("apply");
    for (name, profile, steps, input) in cases {
        let mut out = Outcome::default();
        input(&mut profile.clone(), &mut out);
        assert_eq!(out.steps.len(), steps, "{name}: {:?}", out.steps);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || profile.clone(),
                |profile| {
                    out.clear();
                    input(black_box(profile), &mut out);
                    out.steps.len()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
