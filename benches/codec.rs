//! What bytes cost: a frame of the TCP feed with 1,000 events, and the record of one event. Throughput counts events.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sojourn::domain::event::Event;
use sojourn::domain::ids::{CatalogVersion, Millis, NodeNo, OwnershipEpoch, PartitionId, ProfileKey, Pseq, VersionId};
use sojourn::domain::step::{Entrance, Path, Step, StepKind};
use sojourn::domain::value::{Map, Value};
use sojourn::wire::frame::{ClientFrame, LENGTH_BYTES, decode_client, encode_batch};
use sojourn::wire::record::{Draft, EventView, Head, Mark, ProfileRecord, RecordKind, put_profile_record, records};
use sojourn::wire::value::put_map;

const EVENTS: u64 = 1_000;

fn properties() -> Bytes {
    let mut bytes = Vec::new();
    put_map(
        &mut bytes,
        &Map(vec![("total".into(), Value::Float(59.9)), ("currency".into(), Value::Str("EUR".into()))]),
    );
    bytes.into()
}

fn frames(criterion: &mut Criterion) {
    let event = |number: u64| Event {
        id: format!("e-{number}").into(),
        kind: "cart_add".into(),
        profile: format!("crm:{number}").into(),
        time: None,
        properties: properties(),
    };
    let events: Vec<Event> = (0..EVENTS).map(event).collect();
    let mut frame = Vec::new();
    encode_batch(&mut frame, 1, &events);
    let body = Bytes::from(frame.clone()).slice(LENGTH_BYTES..);
    let ClientFrame::Batch(read) = decode_client(&body).expect("a batch") else { panic!("not a batch") };
    assert_eq!(read.events, events);
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("encode 1,000 events", |b| {
        b.iter(|| {
            frame.clear();
            encode_batch(&mut frame, 1, black_box(&events));
            frame.len()
        });
    });
    group.bench_function("decode 1,000 events", |b| b.iter(|| decode_client(black_box(&body)).expect("a batch")));
    group.finish();
}

fn one_record(criterion: &mut Criterion) {
    let properties = properties();
    let step = |node, kind, due| Step { version: VersionId(1), node: NodeNo(node), ordinal: 1, kind, due };
    let steps = [
        step(0, StepKind::Entered(Entrance::First), Millis::NEVER),
        step(0, StepKind::Arrived, Millis(1)),
        step(0, StepKind::Left(Path::Branch(0)), Millis::NEVER),
        step(1, StepKind::Arrived, Millis(60_000)),
    ];
    let head = Head {
        kind: RecordKind::Profile,
        partition: PartitionId(7),
        pseq: Pseq(42),
        engine_time: Millis(1_700_000_000_000),
        catalog: CatalogVersion(1),
        epoch: OwnershipEpoch(1),
        key: ProfileKey(u128::MAX / 3),
    };
    // As many bytes as the images of a profile that entered the load test's journey.
    let components = [0x5a; 96];
    let draft = Draft {
        head,
        mark: Some(Mark::Stream { producer: 1, epoch: 1, sequence: 1 }),
        event: Some(EventView { id: "e-1", kind: "cart_add", time: None, properties: &properties }),
        steps: &steps,
        notes: &[],
        outbox: &[],
        components: &components,
    };
    let mut block = Vec::new();
    put_profile_record(&mut block, &draft);
    let read = |block: &[u8]| {
        let (_, record) = records(block).next().expect("one").expect("is whole");
        ProfileRecord::read(&record.payload).expect("reads").steps.len()
    };
    assert_eq!(read(&block), steps.len());
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    let mut out = Vec::new();
    group.bench_function("write", |b| {
        b.iter(|| {
            out.clear();
            put_profile_record(&mut out, black_box(&draft));
            out.len()
        });
    });
    group.bench_function("read", |b| b.iter(|| read(black_box(&block))));
    group.finish();
}

criterion_group!(benches, frames, one_record);
criterion_main!(benches);
