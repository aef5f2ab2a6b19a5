//! What a timer costs in the wheel: set and fired. Throughput counts timers.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sojourn::domain::ids::{Millis, PartitionId, ProfileKey};
use sojourn::domain::wheel::{Wheel, WheelEntry};

const NOW: i64 = 1_700_000_000_000;

/// Dues so many milliseconds from now, spread over `span_ms` in no order.
fn entries(count: u64, span_ms: u64) -> Vec<WheelEntry> {
    let due = |number: u64| NOW + 1 + (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % span_ms.max(1)) as i64;
    (0..count).map(|n| WheelEntry::new(PartitionId(0), ProfileKey(n.into()), 1, 1, Millis(due(n)))).collect()
}

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel");
    for (name, count, span_ms) in
        [("at one instant", 100_000, 1), ("within a second", 100_000, 1_000), ("within an hour", 100_000, 3_600_000)]
    {
        let entries = entries(count, span_ms);
        let set = || {
            let mut wheel = Wheel::new(Millis(NOW));
            entries.iter().for_each(|entry| wheel.insert(*entry));
            wheel
        };
        let mut fired = Vec::with_capacity(entries.len());
        set().advance(Millis(NOW + 1 + span_ms as i64), &mut fired);
        assert!(fired.len() == entries.len() && fired.is_sorted_by_key(|entry| entry.due), "all fire in order");
        group.throughput(Throughput::Elements(count));
        group.bench_with_input(BenchmarkId::new("set", name), &count, |b, _| b.iter(|| black_box(set()).len()));
        group.bench_with_input(BenchmarkId::new("fire", name), &count, |b, _| {
            b.iter_batched_ref(
                set,
                |wheel| {
                    fired.clear();
                    wheel.advance(Millis(NOW + 1 + span_ms as i64), &mut fired);
                    fired.len()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = timers }
criterion_main!(benches);
