//! The shard stepped by hand: what leaves, and when.

mod bench;
mod crossings;
mod migrations;
mod time;

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::apply::Firing;
use crate::domain::catalog::Catalog;
use crate::domain::effect::{DeliveryOutcome, DeliveryReport};
use crate::domain::ids::{DeliveryId, HashKey, Millis, PartitionId, SandboxId, ShardId};
use crate::domain::limits;
use crate::runtime::api::{Deferral, EventStatus};
use crate::runtime::delivery::Recorded;
use crate::runtime::partition::Partition;
use crate::runtime::partition::table::Extent;
use crate::runtime::shard::input::{
    CheckpointMessage, CheckpointResult, EventBatch, Need, Origin, ReportBatch, RoutedEvent, ShardInput,
};
use crate::runtime::ticket::Ticket;
use crate::store::timers::{SLOT_MS, TimerEntry};
use crate::wire::record::{Mark, records};

use bench::*;

#[test]
fn an_ack_waits_for_the_sync_and_so_does_that_of_a_repeat() {
    let mut bench = Bench::new();
    let routed = bench.routed("go", "crm:1");
    let mut first = bench.send_routed(routed.clone());
    let mut repeat = bench.send_routed(routed);
    assert!(is_open(&mut first) && is_open(&mut repeat), "nothing is durable yet");
    bench.sync();
    assert_eq!(first.try_recv().expect("told"), Ok(vec![EventStatus::Accepted]));
    assert_eq!(repeat.try_recv().expect("told"), Ok(vec![EventStatus::Duplicate]));
}

#[test]
fn a_message_leaves_after_the_sync_of_its_decision_and_once() {
    let mut bench = Bench::new();
    bench.send("go", "crm:1");
    bench.sync();
    bench.pass(30 * 60_000);
    assert!(bench.seen.0.lock().offered.is_empty(), "decided, not durable");
    bench.sync();
    assert_eq!(bench.seen.0.lock().offered.len(), 1);
    let id = bench.seen.0.lock().offered[0];
    let (batch, mut recorded) = ReportBatch::of_one(DeliveryReport { id, outcome: DeliveryOutcome::Sent });
    bench.shard.take(ShardInput::Reports(batch));
    bench.turn();
    assert!(recorded.try_recv().is_err(), "the result is not durable yet");
    bench.sync();
    assert_eq!(recorded.try_recv(), Ok(vec![Recorded::Applied]));
    bench.pass(60_000);
    bench.sync();
    assert_eq!(bench.seen.0.lock().offered.len(), 1);
}

#[test]
fn what_a_channel_had_no_room_for_is_offered_again() {
    let mut bench = Bench::new();
    bench.seen.0.lock().refuse_offers = true;
    bench.send("go", "crm:1");
    bench.pass(30 * 60_000);
    bench.sync();
    bench.pass(10);
    assert!(bench.seen.0.lock().offered.is_empty());
    bench.seen.0.lock().refuse_offers = false;
    bench.pass(10);
    bench.pass(10);
    assert_eq!(bench.seen.0.lock().offered.len(), 1);
}

#[test]
fn a_failed_journal_acknowledges_nothing_more() {
    let mut bench = Bench::new();
    let mut receiver = bench.send("go", "crm:1");
    bench.shard.take(ShardInput::Failed);
    bench.shard.take(ShardInput::Durable(1));
    bench.turn();
    assert!(receiver.try_recv().expect("told").is_err());
    let mut later = bench.send("go", "crm:2");
    assert!(later.try_recv().expect("told").is_err());
}

#[test]
fn a_snapshot_is_never_ahead_of_the_journal() {
    let mut bench = Bench::new();
    bench.send("go", "crm:1");
    bench.checkpoint();
    bench.pass(1);
    assert!(!bench.finished(), "its last record is not durable");
    bench.sync();
    assert!(bench.finished());
}

#[test]
fn a_cut_is_exact_whatever_changes_while_its_pages_are_copied() {
    let mut bench = Bench::new();
    for i in 0..5_000 {
        bench.send("go", &format!("crm:{i}"));
        if i % 100 == 0 {
            bench.sync();
        }
    }
    bench.sync();
    bench.seen.0.lock().blocks.clear();
    bench.checkpoint();
    for i in (0..5_000).step_by(7) {
        bench.send("stop", &format!("crm:{i}"));
        bench.send("go", &format!("crm:new-{i}"));
        bench.sync();
    }
    assert!(bench.finished());
    let recovered = bench.recovered();
    check_same(&recovered, bench.shard.partition(ONLY).expect("is here"));
}

#[test]
fn a_partition_moves_only_when_its_last_block_is_durable() {
    let mut bench = Bench::new();
    let mut receiver = bench.send("go", "crm:1");
    bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    bench.turn();
    assert!(bench.seen.0.lock().handed_over.is_empty(), "a group of it is still with the journal");
    bench.sync();
    assert_eq!(receiver.try_recv().expect("told"), Ok(vec![EventStatus::Accepted]));
    let (to, partition) = bench.seen.0.lock().handed_over.pop().expect("handed over");
    assert_eq!((to, partition.pseq.0), (ShardId(1), 1));

    let mut next = Bench::with(*partition, Origin::Moved, Recorder::default());
    next.sequence = 1;
    next.send("stop", "crm:1");
    let blocks = &next.seen.0.lock().blocks;
    let heads: Vec<_> = records(&blocks[0].bytes).map(|r| r.expect("reads").1.head).collect();
    assert_eq!(heads[0].kind, crate::wire::record::RecordKind::Ownership);
    assert_eq!((heads[0].epoch.0, heads[0].pseq.0, heads[1].pseq.0), (1, 2, 3));
}

#[test]
fn inputs_of_a_partition_on_its_way_wait_for_it_in_order() {
    let mut bench = Bench::new();
    bench.shard.take(ShardInput::Release(ONLY, ShardId(1)));
    bench.turn();
    let (_, partition) = bench.seen.0.lock().handed_over.pop().expect("handed over");
    bench.shard.take(ShardInput::Expect(ONLY));
    let mut first = bench.send("go", "crm:1");
    let mut second = bench.send("stop", "crm:1");
    assert!(is_open(&mut first) && is_open(&mut second));
    bench.shard.take(ShardInput::Arrive(partition, Origin::Moved));
    bench.turn();
    bench.sync();
    assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
    let counts = &bench.shard.partition(ONLY).expect("is here").counts;
    assert!(counts.iter().all(|(_, v)| v.entered == 1 && v.active() == 0));
}

#[test]
fn a_slot_that_opens_during_its_checkpoint_fires_each_timer_once() {
    let mut bench = Bench::new();
    bench.send("go", "crm:1");
    bench.sync();
    bench.checkpoint();
    bench.send("go", "crm:2");
    bench.sync();
    // The checkpoint is not published when the slot of both timers comes near.
    bench.pass(9 * SLOT_MS);
    let taken: Vec<TimerEntry> = bench
        .seen
        .0
        .lock()
        .checkpoints
        .iter()
        .filter_map(|m| match m {
            CheckpointMessage::Begin(cut) => Some(cut.timers.to_vec()),
            _ => None,
        })
        .flatten()
        .collect();
    for (partition, slot) in std::mem::take(&mut bench.seen.0.lock().loads) {
        let held = taken.iter().filter(|t| t.slot() == slot).copied().collect();
        bench.shard.take(ShardInput::SlotLoaded(partition, slot, Some(held)));
    }
    bench.shard.take(ShardInput::CheckpointDone(ONLY, 1, CheckpointResult::Published));
    bench.turn();
    bench.sync();
    bench.pass(2 * SLOT_MS);
    bench.sync();
    let partition = bench.shard.partition(ONLY).expect("is here");
    for (_, version) in partition.counts.iter() {
        assert_eq!((version.entered, version.active(), version.exited[0]), (2, 0, 2));
    }
}

#[test]
fn a_timer_of_an_earlier_generation_does_nothing() {
    let mut bench = Bench::new();
    bench.send("go", "crm:1");
    bench.sync();
    bench.send("stop", "crm:1");
    bench.send("go", "crm:1");
    bench.sync();
    let before = bench.shard.partition(ONLY).expect("is here").pseq;
    assert_eq!(before.0, 3);
    // Re-entrance is not allowed so soon: nobody is inside, and the old timer must not find anyone.
    bench.pass(31 * 60_000);
    bench.sync();
    assert_eq!(bench.shard.partition(ONLY).expect("is here").pseq, before);
    assert!(bench.seen.0.lock().offered.is_empty());
}

#[test]
fn recovery_from_records_gives_the_state_that_wrote_them() {
    let mut bench = Bench::new();
    for i in 0..200 {
        bench.send("go", &format!("crm:{}", i % 50));
        if i % 3 == 0 {
            bench.send("stop", &format!("crm:{}", i % 50));
        }
        bench.pass(400_000);
        bench.sync();
    }
    let recovered = bench.recovered();
    check_same(&recovered, bench.shard.partition(ONLY).expect("is here"));
}

#[test]
fn what_comes_behind_a_deferred_event_of_its_stream_is_deferred_until_the_stream_comes_again() {
    let mut partition = Partition::new(ONLY);
    for producer in 1_000..1_000 + limits::PRODUCERS_PER_PARTITION_MAX as u64 {
        partition.dedup.remember(&Mark::Stream { producer, epoch: 0, sequence: 1 }, Millis(1_700_000_000_000));
    }
    let mut bench = Bench::with(partition, Origin::Opened, Recorder::default());
    let first = bench.routed("go", "crm:1");
    let second = bench.routed("go", "crm:2");
    let send = |bench: &mut Bench, routed: &RoutedEvent, deferral: &Deferral| {
        let (ticket, mut receiver) = Ticket::of(1, deferral.clone());
        let batch = EventBatch { events: vec![routed.clone()], ticket: Arc::new(ticket) };
        bench.shard.take(ShardInput::Events(batch));
        bench.turn();
        bench.sync();
        receiver.try_recv().expect("told").expect("not refused").remove(0)
    };
    let stream = Deferral::default();
    assert_eq!(send(&mut bench, &first, &stream), EventStatus::Deferred, "the table of producers is full");
    bench.pass(limits::PRODUCER_WINDOW_MS + 2 * 3_600_000);
    assert_eq!(send(&mut bench, &second, &stream), EventStatus::Deferred, "there is room, but not before the first");
    let again = Deferral::default();
    assert_eq!(send(&mut bench, &first, &again), EventStatus::Accepted);
    assert_eq!(send(&mut bench, &second, &again), EventStatus::Accepted);
}

#[test]
fn a_checkpoint_that_failed_is_cut_again_whole_even_if_nothing_changes() {
    let mut bench = Bench::new();
    for i in 0..50 {
        bench.send("go", &format!("crm:{i}"));
    }
    bench.sync();
    bench.checkpoint();
    for _ in 0..3 {
        bench.sync();
    }
    assert!(bench.finished());
    let cuts = |bench: &Bench| {
        let seen = bench.seen.0.lock();
        seen.checkpoints.iter().filter(|m| matches!(m, CheckpointMessage::Begin(_))).count()
    };
    let take = |bench: &mut Bench, result| {
        bench.shard.take(ShardInput::CheckpointDone(ONLY, 1, result));
        bench.shard.take(ShardInput::Checkpoint(ONLY, Extent::Dirty, Need::IfChanged));
        for _ in 0..3 {
            bench.turn();
        }
    };
    assert_eq!(cuts(&bench), 1);
    take(&mut bench, CheckpointResult::Failed);
    assert_eq!(cuts(&bench), 2);
    let live = bench.shard.seats[0].open().expect("is here");
    check_same(&bench.recovered(), live);
}
