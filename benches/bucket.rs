//! What admission costs: one reservation, granted and refused.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sojourn::domain::bucket::{Reservation, TokenBucket};

const RATE_PER_S: u64 = 50_000;
const EVENTS: u64 = 100;
/// Just what refills the bucket between two reservations.
const STEP_NS: u64 = EVENTS * 1_000_000_000 / RATE_PER_S;

fn reservations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token bucket");
    let mut bucket = TokenBucket::new(RATE_PER_S, RATE_PER_S, 0);
    let mut now_ns = 0;
    assert_eq!(bucket.reserve(EVENTS, now_ns, 0), Reservation::Granted { wait_ns: 0 });
    group.bench_function("granted", |b| {
        b.iter(|| {
            now_ns += STEP_NS;
            bucket.reserve(black_box(EVENTS), now_ns, 0)
        });
    });
    assert_eq!(bucket.reserve(EVENTS, now_ns, 0), Reservation::Granted { wait_ns: 0 }, "it never ran short");
    let mut empty = TokenBucket::new(1, 1, 0);
    assert_eq!(empty.reserve(1, 0, 0), Reservation::Granted { wait_ns: 0 });
    group.bench_function("refused", |b| b.iter(|| empty.reserve(black_box(EVENTS), 0, 0)));
    assert!(matches!(empty.reserve(1, 0, 0), Reservation::Refused { .. }));
    group.finish();
}

criterion_group!(benches, reservations);
criterion_main!(benches);
