//! What crosses each other: moves, messages, decisions of operators, steady load.

use super::*;
use crate::domain::step::MessageOutcome;
use crate::runtime::report::{Tally, report};
use crate::runtime::view::Resolution;

impl Bench {
    /// Someone enters and has a message decided that is not durable.
    fn with_a_message_in_flight() -> Self {
        let mut bench = Self::new();
        bench.send("go", "crm:1");
        bench.sync();
        bench.pass(30 * 60_000);
        assert!(bench.seen.0.lock().offered.is_empty(), "decided, not durable");
        bench
    }

    /// Reports `outcome` on the only row.
    fn report(&mut self, outcome: DeliveryOutcome) {
        let id = self.row();
        let (batch, _recorded) = ReportBatch::of_one(DeliveryReport { id, outcome });
        self.shard.take(ShardInput::Reports(batch));
        self.turn();
        self.sync();
    }

    fn row(&self) -> DeliveryId {
        self.shard.partition(ONLY).expect("is here").outbox.rows().next().expect("there is a row").id
    }

    fn resolve(&mut self, resolution: Resolution) {
        let (told, _done) = oneshot::channel();
        self.shard.take(ShardInput::Resolve(self.row(), resolution, told));
        self.turn();
    }

    fn counted(&self, outcome: MessageOutcome) -> u64 {
        let counts = &self.shard.partition(ONLY).expect("is here").counts;
        counts.iter().flat_map(|(_, v)| &v.messages).map(|m| m.of(outcome)).sum()
    }
}

#[test]
fn a_message_decided_when_its_partition_leaves_is_offered_once_by_the_next_owner() {
    let mut bench = Bench::with_a_message_in_flight();
    bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    bench.turn();
    bench.sync();
    let (_, partition) = bench.seen.0.lock().handed_over.pop().expect("handed over");
    assert!(bench.seen.0.lock().offered.is_empty());

    let mut next = Bench::with(*partition, Origin::Moved, Recorder::default());
    next.turn();
    next.sync();
    next.pass(10);
    assert_eq!(next.seen.0.lock().offered.len(), 1);
}

#[test]
fn a_message_that_a_channel_has_stays_there_when_its_partition_moves() {
    let mut bench = Bench::with_a_message_in_flight();
    bench.sync();
    assert_eq!(bench.seen.0.lock().offered.len(), 1);
    bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    bench.turn();
    let (_, partition) = bench.seen.0.lock().handed_over.pop().expect("handed over");
    let mut next = Bench::with(*partition, Origin::Moved, Recorder::default());
    next.turn();
    next.sync();
    next.pass(10);
    assert!(next.seen.0.lock().offered.is_empty());
}

#[test]
fn sending_again_what_was_in_doubt_waits_for_the_sync_and_happens_once() {
    let mut bench = Bench::with_a_message_in_flight();
    bench.sync();
    bench.report(DeliveryOutcome::InDoubt { reason: "connection lost".to_owned() });
    let doubtful = bench.row();
    bench.send("go", "crm:2");
    bench.sync();
    bench.pass(30 * 60_000);
    bench.sync();
    bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    bench.turn();
    let (_, partition) = bench.seen.0.lock().handed_over.pop().expect("handed over");
    // As after a restart: no channel has anything, and one has no room for the other message yet.
    let seen = Recorder::default();
    seen.0.lock().refuse_offers = true;
    let mut next = Bench::with(*partition, Origin::Opened, seen);
    next.turn();
    next.seen.0.lock().refuse_offers = false;
    let (told, _done) = oneshot::channel();
    next.shard.take(ShardInput::Resolve(doubtful, Resolution::Resend, told));
    next.turn();
    next.turn();
    assert!(!next.seen.0.lock().offered.contains(&doubtful), "the decision is not durable");
    next.sync();
    next.pass(10);
    next.pass(10);
    let mut offered = next.seen.0.lock().offered.clone();
    assert_eq!(offered.len(), 2);
    offered.dedup();
    assert_eq!(offered.len(), 2);
}

#[test]
fn doubts_are_counted_once_and_resolved_once_whatever_the_channel_does() {
    let in_doubt = || DeliveryOutcome::InDoubt { reason: "no answer".to_owned() };
    let sequences: [&[DeliveryOutcome]; 4] = [
        &[in_doubt(), DeliveryOutcome::AttemptStarted, in_doubt(), in_doubt()],
        &[in_doubt(), DeliveryOutcome::AttemptStarted, in_doubt(), DeliveryOutcome::Sent],
        &[in_doubt(), DeliveryOutcome::AttemptFailed { reason: "refused".to_owned() }, DeliveryOutcome::Sent],
        &[DeliveryOutcome::AttemptStarted, in_doubt(), DeliveryOutcome::Failed { reason: "gone".to_owned() }],
    ];
    for sequence in sequences {
        let mut bench = Bench::with_a_message_in_flight();
        bench.sync();
        for outcome in sequence {
            bench.report(outcome.clone());
        }
        check_doubts(&bench);
        if bench.shard.partition(ONLY).expect("is here").outbox.is_empty() {
            continue;
        }
        for _ in 0..2 {
            bench.resolve(Resolution::Resend);
            bench.sync();
            check_doubts(&bench);
            bench.report(in_doubt());
            check_doubts(&bench);
        }
        bench.resolve(Resolution::Drop);
        bench.sync();
        check_doubts(&bench);
    }
}

/// What the counters say of messages is what the outbox says.
fn check_doubts(bench: &Bench) {
    use crate::domain::effect::OutboxState;
    let partition = bench.shard.partition(ONLY).expect("is here");
    let rows = |wanted: fn(OutboxState) -> bool| partition.outbox.rows().filter(|r| wanted(r.state)).count() as u64;
    let mut tally = Tally::default();
    tally.counts.add(&partition.counts);
    let report = report(&tally, &bench.shard.catalog, None);
    let message = &report.journeys["hello"].messages["hello"];
    assert_eq!(message.in_doubt, rows(|s| s == OutboxState::InDoubt));
    assert_eq!(message.pending, rows(|s| s != OutboxState::InDoubt));
}

#[test]
fn an_exit_takes_back_what_the_same_input_decided() {
    let mut bench = Bench::new();
    bench.send("linger", "crm:1");
    bench.sync();
    // The timer is due when the event that ends the journey comes, and fires within it.
    bench.now = bench.now.plus(30 * 60_000);
    bench.send("stop", "crm:1");
    bench.sync();
    bench.pass(10);
    assert!(bench.seen.0.lock().offered.is_empty());
    assert_eq!((bench.counted(MessageOutcome::Requested), bench.counted(MessageOutcome::Cancelled)), (1, 1));
    assert!(bench.shard.partition(ONLY).expect("is here").outbox.is_empty());
    check_same(&bench.recovered(), bench.shard.partition(ONLY).expect("is here"));
}

#[test]
fn a_partition_on_its_way_goes_on_to_where_it_is_sent_meanwhile() {
    let mut bench = Bench::new();
    bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    bench.turn();
    let (_, partition) = bench.seen.0.lock().handed_over.pop().expect("handed over");
    bench.shard.take(ShardInput::Expect(ONLY));
    let mut before = bench.send("go", "crm:1");
    bench.shard.take(ShardInput::Release(ONLY, ShardId(2)));
    bench.shard.take(ShardInput::Expect(ONLY));
    let mut after = bench.send("stop", "crm:1");
    bench.shard.take(ShardInput::Arrive(partition, Origin::Moved));
    bench.turn();
    bench.sync();
    assert!(!is_open(&mut before) && is_open(&mut after));
    let (to, partition) = bench.seen.0.lock().handed_over.pop().expect("handed over");
    assert_eq!((to, partition.events), (ShardId(2), 1));
    bench.shard.take(ShardInput::Arrive(partition, Origin::Moved));
    bench.turn();
    bench.sync();
    assert!(!is_open(&mut after));
    assert_eq!(bench.shard.partition(ONLY).expect("is here").events, 2);
}

#[test]
fn a_failed_journal_tells_those_who_wait_for_a_partition_too() {
    let mut bench = Bench::new();
    bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    bench.turn();
    bench.shard.take(ShardInput::Expect(ONLY));
    let mut waiting = bench.send("go", "crm:1");
    assert!(is_open(&mut waiting));
    bench.shard.take(ShardInput::Failed);
    assert!(waiting.try_recv().expect("told").is_err());
}

#[test]
fn an_exit_after_a_kill_takes_back_no_message_that_may_have_left() {
    for offered in [true, false] {
        let mut bench = Bench::new();
        bench.send("linger", "crm:1");
        bench.pass(30 * 60_000);
        bench.seen.0.lock().refuse_offers = !offered;
        bench.sync();
        // In this life it is known whether a channel has it.
        let recovered = bench.recovered();
        bench.send("stop", "crm:1");
        bench.sync();
        assert_eq!(bench.counted(MessageOutcome::Cancelled), u64::from(!offered));

        let mut next = Bench::with(recovered, Origin::Opened, Recorder::default());
        next.seen.0.lock().refuse_offers = true;
        next.sequence = bench.sequence;
        next.now = bench.now;
        next.send("stop", "crm:1");
        next.sync();
        assert_eq!(next.counted(MessageOutcome::Cancelled), 0, "nobody knows whether it left");
        next.seen.0.lock().refuse_offers = false;
        next.pass(10);
        next.pass(10);
        assert_eq!(next.seen.0.lock().offered.len(), 1, "so it is offered again, with the same key");
    }
}
