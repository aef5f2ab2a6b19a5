//! Decisions as records and state, without a shard around them.

use crate::domain::apply::Firing;
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::event::Event;
use crate::domain::ids::{HashKey, Millis, NodeNo, PartitionId, SandboxId, VersionId};
use crate::domain::step::{MessageOutcome, Step, StepKind};
use crate::runtime::api::EventStatus;
use crate::runtime::partition::Partition;
use crate::runtime::partition::counts::{Counts, Layout};
use crate::runtime::partition::decide::{Circumstances, DecideConfig, Draught};
use crate::runtime::partition::table::{Extent, PAGE_ROWS, Table};
use crate::runtime::report::{Tally, report};
use crate::wire::cursor::Cursor;
use crate::wire::record::{Mark, records};

const JOURNEY: &str = r#"
kind: event
name: go
schema: {}
---
kind: event
name: quit
schema: {}
---
kind: message
name: hello
channel: log
body: "hello"
---
kind: journey
name: j
entry: { event: go }
exit: [ { event: quit } ]
start: pause
nodes:
  pause: { wait: 30m, then: send }
  send: { message: hello, then: later }
  later: { wait: 1h, then: done }
  done: { end: true }
"#;

struct Bench {
    catalog: Catalog,
    config: DecideConfig,
    partition: Partition,
    draught: Draught,
    sequence: u64,
}

impl Bench {
    fn new() -> Self {
        let file = SourceFile { name: "j.yaml".to_owned(), text: JOURNEY.to_owned() };
        let (catalog, _) = Catalog::default().apply(&[file], Millis(0)).expect("has no errors");
        let config = DecideConfig {
            id_window_ms: 60_000,
            ids_max: 1_000,
            outbox_rows_max: 1_000,
            held_max: 100_000,
            entrants_max: 100_000,
            firing: Firing::Engine,
            calls: crate::domain::apply::Calls::Made,
            partitions: 1,
            hash_key: HashKey::FIXED,
        };
        let partition = Partition::new(PartitionId(0));
        Self { catalog, config, partition, draught: Draught::default(), sequence: 0 }
    }

    fn event(&mut self, at_ms: i64, kind: &str) {
        self.sequence += 1;
        let event = Event {
            id: self.sequence.to_string().into(),
            kind: kind.into(),
            profile: "crm:1".into(),
            time: None,
            properties: vec![0x80].into(),
        };
        let key = HashKey::FIXED.profile_key(SandboxId::DEFAULT, "crm", "1");
        let mark = Mark::Stream { producer: 1, epoch: 0, sequence: self.sequence };
        let about = Circumstances { config: &self.config, catalog: &self.catalog, now: Millis(at_ms) };
        let status = self.partition.decide_event(&event, key, mark, about, &mut self.draught).expect("decides");
        assert!(matches!(status, EventStatus::Accepted));
    }

    fn outcomes(&self, outcome: MessageOutcome) -> u64 {
        self.partition.counts.get(VersionId(0)).expect("counted").messages[0].of(outcome)
    }
}

/// An event that comes late finds the timer before it due: the message is decided and taken back in one input.
#[test]
fn a_message_decided_and_taken_back_in_one_input_does_not_leave() {
    let mut bench = Bench::new();
    bench.event(0, "go");
    bench.event(3_600_000, "quit");
    assert_eq!((bench.outcomes(MessageOutcome::Requested), bench.outcomes(MessageOutcome::Cancelled)), (1, 1));
    assert!(bench.partition.outbox.is_empty());
    assert!(bench.draught.sends.is_empty());
    let tally = Tally { counts: bench.partition.counts.clone(), events: 2, hash_sum: 0, now: Millis(0) };
    let message = report(&tally, &bench.catalog, None).journeys["j"].messages["hello"];
    assert_eq!((message.cancelled, message.pending, message.sent), (1, 0, 0));

    let mut recovered = Partition::new(PartitionId(0));
    for record in records(&bench.draught.bytes) {
        recovered.install(&record.expect("reads").1, &bench.catalog).expect("installs");
    }
    assert!(recovered.outbox.is_empty());
    assert_eq!(recovered.counts, bench.partition.counts);
}

/// The same over two inputs: the row is in the outbox, and nobody has tried it.
#[test]
fn a_message_taken_back_later_leaves_the_outbox() {
    let mut bench = Bench::new();
    bench.event(0, "go");
    bench.event(30 * 60_000, "go");
    assert_eq!((bench.partition.outbox.len(), bench.outcomes(MessageOutcome::Requested)), (1, 1));
    bench.event(31 * 60_000, "quit");
    assert_eq!((bench.partition.outbox.len(), bench.outcomes(MessageOutcome::Cancelled)), (0, 1));
}

#[test]
fn a_page_without_rows_or_with_too_many_is_refused() {
    let page = |rows: u128| -> Vec<u8> {
        (0..rows).flat_map(|key| [&key.to_le_bytes()[..], &[13], &[0; 13]].concat()).collect()
    };
    let install = |rows| Table::default().install_page(0, &page(rows), |_| Ok(())).map_err(|error| error.to_string());
    assert_eq!(install(PAGE_ROWS as u128), Ok(()));
    for rows in [0, PAGE_ROWS as u128 + 1] {
        assert!(install(rows).expect_err("no page").contains(&format!("holds {rows} rows")));
    }
}

#[test]
fn a_row_of_a_version_that_the_catalog_lacks_is_refused() {
    let mut bench = Bench::new();
    bench.event(0, "go");
    bench.event(30 * 60_000, "go");
    assert_eq!(bench.partition.outbox.len(), 1);
    let none = Catalog::default();
    let mut recovered = Partition::new(PartitionId(0));
    let mut installed = records(&bench.draught.bytes).map(|r| recovered.install(&r.expect("reads").1, &none));
    assert!(installed.any(|result| result.is_err_and(|error| error.to_string().contains("which the catalog lacks"))));
    bench.partition.horizon.take_for_checkpoint(1);
    let mut parts = Vec::new();
    bench.partition.put_parts(&mut parts);
    assert!(Partition::from_snapshot(PartitionId(0), &parts, std::iter::empty(), &none).is_err());
}

/// A profile that waits, in a version or at a node that the catalog lacks: from the tail and from a snapshot.
#[test]
fn an_instance_in_a_place_that_the_catalog_lacks_is_refused_by_name() {
    let mut bench = Bench::new();
    bench.event(0, "go");
    let mut pages = Vec::new();
    bench.partition.horizon.take_for_checkpoint(1);
    bench.partition.table.begin_capture(Extent::Whole);
    assert!(bench.partition.table.capture_some(usize::MAX, &mut pages));
    let mut parts = Vec::new();
    bench.partition.put_parts(&mut parts);
    let open = |catalog: &Catalog| {
        let pages = pages.iter().map(|(page, bytes)| (*page, bytes.as_slice()));
        let of_snapshot = Partition::from_snapshot(PartitionId(0), &parts, pages, catalog).map(|_| ());
        let mut recovered = Partition::new(PartitionId(0));
        let mut tail = records(&bench.draught.bytes);
        let of_tail = tail.try_for_each(|record| recovered.install(&record.expect("reads").1, catalog));
        let [of_snapshot, of_tail] = [of_snapshot, of_tail].map(|opened| opened.map_err(|error| error.to_string()));
        assert_eq!(of_snapshot, of_tail);
        of_tail
    };
    assert_eq!(open(&bench.catalog), Ok(()));
    let error = open(&Catalog::default()).expect_err("there is no version");
    let told = ["'crm:1'", "journey number 0", "version number 0", "restore"];
    assert!(told.iter().all(|what| error.contains(what)), "{error}");
    // The journey is known, that version of it is not; and a version of fewer nodes.
    let unpublished = Catalog { versions: Vec::new(), ..bench.catalog.clone() };
    assert!(open(&unpublished).expect_err("there is no version").contains("journey `j`"));
    let mut short = bench.catalog.clone();
    let mut program = (*short.versions[0].program).clone();
    program.nodes.clear();
    short.versions[0].program = std::sync::Arc::new(program);
    assert!(open(&short).expect_err("there is no node").contains("of journey `j`, version 1, which has 0"));
}

#[test]
fn counters_of_a_version_that_the_catalog_lacks_are_refused() {
    let mut bench = Bench::new();
    bench.event(0, "go");
    assert_eq!(bench.partition.expect_versions(&bench.catalog), Ok(()));
    let error = bench.partition.expect_versions(&Catalog::default()).expect_err("there is no version");
    assert!(error.to_string().contains("they count version number 0, which the catalog lacks"), "{error}");
}

/// Parts of snapshots before kept events and ends of failed calls were counted.
#[test]
fn counters_of_the_layout_before_read() {
    let mut counts = Counts::default();
    let step = |kind| Step { version: VersionId(3), node: NodeNo(2), ordinal: 1, kind, due: Millis::NEVER };
    counts.count(&step(StepKind::Held(0)));
    let mut before = Vec::new();
    counts.put(&mut before);
    // … · entrants · kept · ends of calls · held nodes · three of them · ways
    before.drain(before.len() - 7..before.len() - 5);
    assert_eq!(Counts::read(&mut Cursor::new(&before), Layout::Before).as_ref(), Ok(&counts));
    counts.count(&step(StepKind::Kept(NodeNo(4))));
    let mut now = Vec::new();
    counts.put(&mut now);
    let read = Counts::read(&mut Cursor::new(&now), Layout::Now).expect("reads");
    assert_eq!((&read, read.get(VersionId(3)).map(|version| version.kept)), (&counts, Some(1)));
    counts.count(&step(StepKind::Released(1)));
    assert_eq!(counts.get(VersionId(3)).map(|version| (version.kept, version.held())), Some((0, 0)));
}

/// A snapshot of format 3 still opens; of older ones none does.
#[test]
fn snapshots_of_the_format_before_are_read() {
    let mut bench = Bench::new();
    bench.event(0, "go");
    let (mut parts, mut behind) = (Vec::new(), Vec::new());
    bench.partition.horizon.take_for_checkpoint(1);
    bench.partition.put_parts(&mut parts);
    bench.partition.mail.put(&mut behind);
    bench.partition.horizon.encode(&mut behind);
    // … · entrants · kept · ends of calls · held nodes · ways
    let end = parts.len() - behind.len();
    let added: Vec<u8> = parts.drain(end - 4..end - 2).collect();
    assert_eq!((parts[0], added), (4, vec![0, 0]), "no events are kept, and nobody has failed at a call");
    parts[0] = 3;
    let read = |parts: &[u8]| {
        Partition::from_snapshot(bench.partition.id, parts, std::iter::empty(), &bench.catalog)
            .map(|partition| partition.counts.clone())
    };
    assert_eq!(read(&parts).expect("is read"), bench.partition.counts);
    parts[0] = 2;
    assert!(read(&parts).is_err());
}
