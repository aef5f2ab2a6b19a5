//! Time under load, and time that comes with events.

use super::*;
use crate::domain::effect::{CallAnswer, CallStatus};

#[test]
fn timers_fire_though_every_block_fills_with_inputs() {
    let mut bench = Bench::new();
    for i in 0..100 {
        bench.send("go", &format!("crm:{i}"));
    }
    bench.sync();
    bench.now = bench.now.plus(30 * 60_000);
    // More events than any turn can take; whatever becomes durable makes room for as many.
    let mut receivers = Vec::new();
    for i in 0..40 {
        let events: Vec<RoutedEvent> = (0..1_000)
            .map(|n| {
                let mut routed = bench.routed("unknown", &format!("crm:load-{i}-{n}"));
                routed.event.properties = padded_properties();
                RoutedEvent { index: n, ..routed }
            })
            .collect();
        let (ticket, receiver) = Ticket::new(events.len());
        bench.shard.take(ShardInput::Events(EventBatch { events, ticket: Arc::new(ticket) }));
        receivers.push(receiver);
    }
    let hello_done = |bench: &Bench| {
        let counts = &bench.shard.partition(ONLY).expect("is here").counts;
        counts.iter().any(|(_, version)| version.exited[0] == 100)
    };
    bench.turn();
    while bench.shard.backlog() > 0 && !hello_done(&bench) {
        bench.sync();
    }
    assert!(bench.shard.backlog() > 0, "timers waited until all inputs were handled");
}

/// Found by the simulator: a clock that was set back stands still, and the wheel was not looked at until it had caught up.
#[test]
fn what_is_due_fires_though_time_stands() {
    let mut bench = Bench::new();
    bench.send("go", "crm:1");
    bench.sync();
    bench.now = bench.now.plus(30 * 60_000 - 1);
    bench.turn();
    bench.now = bench.now.plus(1);
    for _ in 0..100 {
        bench.turn();
    }
    bench.sync();
    let counts = &bench.shard.partition(ONLY).expect("is here").counts;
    assert!(counts.iter().any(|(_, version)| version.exited[0] == 1), "the timer fired");
}

/// A map of one text of 1 KB.
fn padded_properties() -> bytes::Bytes {
    let map =
        crate::domain::value::Map(vec![("padding".into(), crate::domain::value::Value::Str("x".repeat(1_024).into()))]);
    let mut bytes = Vec::new();
    crate::wire::value::put_map(&mut bytes, &map);
    bytes.into()
}

const MINUTE: i64 = 60_000;
/// A round hour, so that slots are easily told.
const START: i64 = 1_700_000_000_000 / SLOT_MS * SLOT_MS;

struct EventsBench {
    bench: Bench,
}

impl EventsBench {
    fn new(partitions: u16) -> Self {
        let partitions = (0..partitions).map(|i| Partition::new(PartitionId(i))).collect();
        Self { bench: Bench::of(partitions, Origin::Opened, Recorder::default(), Firing::Due) }
    }

    fn send(&mut self, kind: &str, profile: &str, partition: u16, minute: i64) {
        let routed = self.bench.routed(kind, profile);
        let engine_time = Millis(START + minute * MINUTE);
        self.bench.send_routed(RoutedEvent { partition: PartitionId(partition), engine_time, ..routed });
        self.bench.sync();
    }

    fn advance(&mut self, minute: i64) {
        self.bench.shard.take(ShardInput::Advance(Millis(START + minute * MINUTE), None));
        self.bench.turn();
        self.bench.sync();
    }

    /// Instances of "hello" that have run their course.
    fn done(&self, partition: u16) -> u64 {
        let counts = &self.bench.shard.partition(PartitionId(partition)).expect("is here").counts;
        let hello = self.bench.shard.catalog.journey_id("hello").expect("is published");
        let of_hello = counts.iter().filter(|(v, _)| self.bench.shard.catalog.program(*v).journey == hello);
        of_hello.map(|(_, version)| version.exited[0]).sum()
    }
}

#[test]
fn every_timer_up_to_an_instant_has_fired_when_time_is_there() {
    // Whatever the order of partitions, slots and moments of arrival.
    for seed in 0..200_u64 {
        let mut dice = seed;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let mut bench = EventsBench::new(4);
        let mut minute = 0;
        let mut entered: Vec<(u16, i64)> = Vec::new();
        for n in 0..30 {
            minute += roll(25) as i64;
            let partition = roll(4) as u16;
            bench.send("go", &format!("crm:{n}"), partition, minute);
            entered.push((partition, minute));
            if roll(3) == 0 {
                minute += roll(40) as i64;
                bench.advance(minute);
            }
            for partition in 0..4 {
                let due = entered.iter().filter(|(p, m)| *p == partition && m + 30 <= minute).count() as u64;
                assert_eq!(bench.done(partition), due, "seed {seed}, partition {partition}, minute {minute}");
            }
        }
    }
}

#[test]
fn a_partition_from_a_shard_that_was_behind_catches_up() {
    let mut behind = EventsBench::new(1);
    behind.send("go", "crm:1", 0, 0);
    behind.bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    behind.bench.turn();
    let (_, partition) = behind.bench.seen.0.lock().handed_over.pop().expect("handed over");
    let mut ahead = EventsBench::new(1);
    ahead.send("unknown", "crm:2", 0, 100);
    ahead.bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    ahead.bench.turn();
    ahead.bench.shard.take(ShardInput::Arrive(partition, Origin::Moved));
    ahead.advance(100);
    assert_eq!(ahead.done(0), 1);
    // Its records carry the instants at which things were due, not the time of the shard that took it over.
    let seen = ahead.bench.seen.0.lock();
    let blocks = seen.blocks.iter().flat_map(|block| records(&block.bytes));
    let of_it = blocks.map(|record| record.expect("reads").1.head).filter(|head| head.epoch.0 == 1);
    let minutes: Vec<i64> = of_it.map(|head| (head.engine_time.0 - START) / MINUTE).collect();
    assert_eq!(minutes, [0, 30]);
}

#[test]
fn what_a_partition_catches_up_on_is_recorded_in_the_order_of_time() {
    let mut behind = EventsBench::new(1);
    behind.send("hop", "crm:1", 0, 0);
    behind.send("go", "crm:2", 0, 0);
    behind.bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    behind.bench.turn();
    let (_, partition) = behind.bench.seen.0.lock().handed_over.pop().expect("handed over");
    let mut ahead = EventsBench::new(1);
    ahead.send("unknown", "crm:3", 0, 100);
    ahead.bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    ahead.bench.turn();
    ahead.bench.shard.take(ShardInput::Arrive(partition, Origin::Moved));
    ahead.advance(100);
    let seen = ahead.bench.seen.0.lock();
    let blocks = seen.blocks.iter().flat_map(|block| records(&block.bytes));
    let of_it = blocks.map(|record| record.expect("reads").1.head).filter(|head| head.epoch.0 == 1);
    let minutes: Vec<i64> = of_it.map(|head| (head.engine_time.0 - START) / MINUTE).collect();
    assert_eq!(minutes, [0, 5, 10, 30]);
}

#[test]
fn waits_that_end_before_they_are_due_do_not_fill_the_wheel() {
    let mut bench = Bench::new();
    for i in 0..6_000 {
        // Enters with a timer in half an hour, and is out again before it is due.
        bench.send("linger", &format!("crm:{i}"));
        bench.send("stop", &format!("crm:{i}"));
        bench.sync();
    }
    let most = bench.shard.timer_count();
    assert!(most <= 4_200, "{most} timers");
}

/// After a restart the clock may be behind what was journaled: a sweep then decides at the partition's time, as events and
/// timers do, or the record would say another instant than the waits that begin with it.
#[test]
fn a_sweep_never_decides_before_what_is_journaled() {
    let mut before = Bench::new();
    before.send("linger", "crm:1");
    let mut partition = before.recovered();
    partition.engine_time = before.now.plus(3 * 60 * MINUTE);
    let mut bench = Bench::with(partition, Origin::Opened, Recorder::default());
    let key = HashKey::FIXED.profile_key(SandboxId::DEFAULT, "crm", "1");
    bench.shard.decide_due(ONLY, key);
    bench.turn();
    let timers: Vec<_> = bench.shard.partition(ONLY).expect("is here").table.timers().collect();
    assert_eq!(timers.len(), 1);
    assert_eq!(timers[0].due, before.now.plus((3 + 10) * 60 * MINUTE), "ten hours of rest from the sweep on");
}

/// On the events' clock a start may bring a partition that has come to an instant at which not all has happened yet.
#[test]
fn a_sweep_waits_for_what_comes_before_it() {
    let mut before = EventsBench::new(1);
    before.send("linger", "crm:1", 0, 0);
    let mut partition = before.bench.recovered();
    partition.engine_time = Millis(START + 30 * MINUTE);
    let stopped = published(&Catalog::default(), JOURNEY).stop("lingering", None, Millis::MIN).expect("is live");
    let bench = Bench::under(stopped, vec![partition], Origin::Opened, Recorder::default(), Firing::Due);
    let mut after = EventsBench { bench };
    let waiting = |bench: &EventsBench| bench.bench.shard.partition(ONLY).expect("is here").table.timers().count();
    after.bench.turn();
    assert_eq!(waiting(&after), 1, "the wait that ends just then has not ended: nobody has said that it is time");
    after.advance(30);
    after.bench.turn();
    assert_eq!(waiting(&after), 0);
}

/// Found by the simulator: on the events' clock an answer counts at its partition's own time, and nothing fired what was due
/// between that and the time of the shard until the next event came, if ever one did.
#[test]
fn what_an_answer_leads_to_fires_though_its_time_has_passed() {
    for wait in [30, 5 * 60] {
        let text = format!(
            "kind: event\nname: go\nschema: {{}}\n---\n\
             kind: action\nname: loyalty\nurl: https://api.example.com\n---\n\
             kind: journey\nname: hello\nentry: {{ event: go }}\nstart: ask\nnodes:\n  \
             ask: {{ action: loyalty, then: pause }}\n  pause: {{ wait: {wait}m, then: done }}\n  done: {{ end: true }}\n"
        );
        let (catalog, partition) = (published(&Catalog::default(), &text), Partition::new(ONLY));
        let bench = Bench::under(catalog, vec![partition], Origin::Opened, Recorder::default(), Firing::Due);
        let mut bench = EventsBench { bench };
        bench.send("go", "crm:1", 0, 0);
        bench.advance(10 * 60);
        let id = bench.bench.shard.partition(ONLY).expect("is here").outbox.rows().next().expect("a call").id;
        let outcome = DeliveryOutcome::Answered(Box::new(CallAnswer::empty(CallStatus::Http(200))));
        let (batch, _recorded) = ReportBatch::of_one(DeliveryReport { id, outcome });
        bench.bench.shard.take(ShardInput::Reports(batch));
        assert_eq!(bench.done(0), 0);
        bench.bench.turn();
        assert_eq!(bench.done(0), 1, "a wait of {wait} minutes was over long ago");
    }
}

/// Found by the simulator: timers due together fired in the order in which they were set, which a start forgets. Where profiles
/// compete for the places of a cap, it decided who got one.
#[test]
fn timers_due_together_fire_in_an_order_that_no_start_changes() {
    let fired = |bench: &mut EventsBench| {
        bench.bench.seen.0.lock().blocks.clear();
        bench.advance(30);
        let seen = bench.bench.seen.0.lock();
        let all = seen.blocks.iter().flat_map(|block| records(&block.bytes));
        all.map(|record| record.expect("reads").1.head.key).collect::<Vec<_>>()
    };
    let mut before = EventsBench::new(1);
    for n in 0..20 {
        before.send("linger", &format!("crm:{n}"), 0, 0);
    }
    let bench = Bench::of(vec![before.bench.recovered()], Origin::Opened, Recorder::default(), Firing::Due);
    let mut after = EventsBench { bench };
    after.bench.shard.take(ShardInput::Advance(Millis(START), None));
    let keys = fired(&mut before);
    assert_eq!((keys.len(), fired(&mut after)), (20, keys));
}
