//! Replays: the same report and hash for any number of shards and any batching, whatever order events come in; the
//! recorded history of the demonstration comes to known figures.

use std::fmt::Write as _;
use std::io::{Cursor, Read as _};
use std::process::Command;

use proptest::prelude::*;
use sojourn::domain::ids::Millis;
use sojourn::replay::balance::imbalances;
use sojourn::replay::mapping::Mapping;
use sojourn::replay::run::{BadRows, Options, Outcome, ReplayError, replay};
use sojourn::replay::source::Recording;
use sojourn::replay::timeline::Order;

const MAP: &str = "id=row,type='purchase',profile='cdnow:'+customer_id,time=date,\
    properties.amount=amount_usd,properties.quantity=quantity";
const HISTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/cdnow.csv.gz");

fn resources(directory: &str) -> Vec<(String, String)> {
    let directory = format!("{}/{directory}", env!("CARGO_MANIFEST_DIR"));
    let paths = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).expect("text")))
        .collect();
    files.sort();
    files
}

fn options(shards: u16) -> Options {
    Options { shards, mapping: None, order: Order::AsRead, until: None, bad_rows: BadRows::Stop }
}

fn table(shards: u16) -> Options {
    Options { mapping: Some(Mapping::parse(MAP).expect("reads")), ..options(shards) }
}

fn run(resources: &[(String, String)], text: String, options: &Options) -> Result<Outcome, ReplayError> {
    let directory = tempfile::tempdir().expect("a directory");
    let recording = Recording::new("events", Box::new(Cursor::new(text.into_bytes())), None);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
    runtime.block_on(replay(directory.path(), resources.to_vec(), recording, options, |_| {}))
}

/// The first rows of the history, with their header.
fn history(rows: usize) -> String {
    let file = std::fs::File::open(HISTORY).expect("the history");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    text.lines().take(rows + 1).fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn real_purchases_come_to_the_same_with_any_number_of_shards_and_in_any_order_of_input() {
    let (demo, text) = (resources("examples/demo"), history(3_000));
    let one = run(&demo, text.clone(), &table(1)).expect("replays");
    assert_eq!((one.submitted, one.report.events, one.late, one.duplicates), (3_000, 3_000, 0, 0));
    assert_eq!(imbalances(&one.report), Vec::<String>::new());
    assert!(one.report.journeys.values().all(|journey| journey.entered > 0 && journey.active == 0));
    for shards in [2, 7] {
        assert_eq!(run(&demo, text.clone(), &table(shards)).expect("replays").report, one.report, "{shards} shards");
    }

    // As the history was before it was sorted: by customer.
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].sort_by_key(|line| line.split(',').next().and_then(|row| row.parse::<u64>().ok()));
    let by_customer = lines.join("\n");
    let sorted = run(&demo, by_customer.clone(), &Options { order: Order::ByTime, ..table(2) }).expect("replays");
    assert_eq!(sorted.report, one.report);
    let unsorted = run(&demo, by_customer.clone(), &table(2)).expect("replays");
    assert!(unsorted.late > 1_000);
    assert_eq!(unsorted.report, run(&demo, by_customer, &table(7)).expect("replays").report);
    assert_eq!(imbalances(&unsorted.report), Vec::<String>::new());
}

#[test]
fn a_replay_may_end_before_its_instances() {
    let (demo, text) = (resources("examples/demo"), history(3_000));
    let until = Millis::parse_iso("1997-01-08");
    let ended = run(&demo, text.clone(), &Options { until, ..table(2) }).expect("replays");
    let before = text.lines().skip(1).filter(|line| line.split(',').nth(2) <= Some("1997-01-08")).count() as u64;
    assert_eq!((ended.submitted, ended.report.events), (before, before));
    assert_eq!(imbalances(&ended.report), Vec::<String>::new());
    let win_back = &ended.report.journeys["win_back"];
    assert_eq!(win_back.active, win_back.nodes["silence"].in_node);
    assert!(win_back.active > 1_000, "{win_back:?}");
    // Timers due at the end have fired, later ones have not.
    let nurture = &ended.report.journeys["post_purchase_nurture"];
    let thanked = text.lines().skip(1).filter(|line| line.split(',').nth(2) <= Some("1997-01-05"));
    let customers: std::collections::BTreeSet<_> = thanked.map(|line| line.split(',').nth(1)).collect();
    assert_eq!(nurture.messages["thank_you"].sent, customers.len() as u64);
    assert_eq!(ended.report, run(&demo, text, &Options { until, ..table(7) }).expect("replays").report);
}

#[test]
fn the_history_of_the_demonstration_comes_to_known_figures() {
    let outcome = run(&resources("examples/demo"), history(69_659), &table(2)).expect("replays");
    assert_eq!(imbalances(&outcome.report), Vec::<String>::new());
    insta::assert_snapshot!(serde_json::to_string_pretty(&outcome.report).expect("text keys"));
}

const RANDOM: &str = r#"
kind: event
name: browse
schema: { rank: integer }
---
kind: event
name: order
schema: { total: number }
---
kind: attribute
name: tier
type: string
---
kind: message
name: hint
channel: log
subject: "Hint {{ event.rank }}"
body: "For {{ profile.tier }}"
---
kind: journey
name: chase
entry: { event: browse, when: "event.rank > 2" }
reentry: { after: 6h }
exit: [ { event: order, when: "last.total > 80" } ]
timeout: 4d
start: rest
nodes:
  rest: { wait: 6h, then: ask }
  ask:
    condition: [ { when: "profile.tier == 'gold'", then: hint } ]
    otherwise: heard
  hint: { message: hint, then: heard }
  heard: { event: browse, when: "last.rank < 9", within: 1d, then: rest, on_timeout: pick }
  pick: { wait: { until: "meta.time + duration('60h')" }, then: done }
  done: { end: true }
---
kind: journey
name: once
entry: { event: order }
reentry: never
timeout: 2d
start: heard
nodes:
  heard: { event: browse, when: "last.rank > 0", within: 30h, then: again, on_timeout: done }
  again: { wait: 1h, then: heard }
  done: { end: true }
---
kind: journey
name: first_come
entry: { event: order }
exit: [ { event: browse, when: "last.rank == 7" } ]
start: gate
nodes:
  gate: { profile_cap: 6, then: later, otherwise: soon }
  soon: { wait: 1m, then: second }
  later: { wait: 1h, then: second }
  second: { profile_cap: 9, then: done, otherwise: beyond }
  beyond: { wait: 1d, then: done }
  done: { end: true }
"#;

/// Customer, what, figure, minutes since the start. Ids repeat now and then.
type Random = (u8, u8, u8, u32, u16);

fn lines(events: &[Random]) -> String {
    let start = Millis::parse_iso("2024-03-30T00:00:00Z").expect("an instant");
    events.iter().fold(String::new(), |mut text, (customer, what, figure, minutes, id)| {
        let time = start.plus(i64::from(*minutes) * 60_000).to_iso();
        let (kind, properties) = match what % 8 {
            0..=4 => ("browse", format!(r#"{{"rank":{figure}}}"#)),
            5 | 6 => ("order", format!(r#"{{"total":{}}}"#, f64::from(*figure) * 10.5)),
            _ => ("profile.update", format!(r#"{{"tier":"{}"}}"#, if figure % 2 == 0 { "gold" } else { "tin" })),
        };
        writeln!(
            text,
            r#"{{"id":"{id}","type":"{kind}","profile":"c:{customer}","time":"{time}","properties":{properties}}}"#
        )
        .expect("memory");
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn random_events_come_to_the_same_with_any_number_of_shards(
        events in prop::collection::vec((0u8..12, any::<u8>(), 0u8..11, 0u32..20_000, 0u16..3_000), 1..250),
    ) {
        let (resources, text) = (vec![("random.yaml".to_owned(), RANDOM.to_owned())], lines(&events));
        for order in [Order::AsRead, Order::ByTime] {
            let run = |shards| run(&resources, text.clone(), &Options { order, ..options(shards) }).expect("replays");
            let one = run(1);
            prop_assert_eq!(imbalances(&one.report), Vec::<String>::new());
            prop_assert_eq!(one.report.events + one.duplicates, events.len() as u64);
            for (node, places) in [("gate", 6), ("second", 9)] {
                let gate = &one.report.journeys["first_come"].nodes[node];
                prop_assert_eq!(gate.ways["within"], gate.left.min(places), "{} of {:?}", node, gate);
            }
            for shards in [2, 7] {
                prop_assert_eq!(&run(shards).report, &one.report, "{} shards, {:?}", shards, order);
            }
        }
    }
}

/// Runs the program; exit code, last line of stdout, stderr.
fn program(args: &[&str], stdin: &str) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let journeys = directory.path().join("journeys.yaml");
    std::fs::write(&journeys, RANDOM).expect("written");
    let input = directory.path().join("events");
    std::fs::write(&input, stdin).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_sojourn"))
        .args(["replay", "--shards", "1", "--events", "-", "--journeys"])
        .arg(&journeys)
        .args(args)
        .stdin(std::fs::File::open(&input).expect("opens"))
        .output()
        .expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let stdout = text(output.stdout);
    (output.status.code(), stdout.lines().last().unwrap_or_default().to_owned(), text(output.stderr))
}

#[test]
fn the_program_reports_on_one_line_and_says_what_is_wrong() {
    let late = lines(&[(1, 0, 5, 100, 1), (2, 0, 5, 50, 2), (2, 0, 5, 100, 2)]);
    let (code, json, told) = program(&["--json"], &late);
    let report: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!((code, &report["events"], &report["journeys"]["chase"]["entered"]), (Some(0), &2.into(), &2.into()));
    assert!(told.contains("1 came after later ones") && told.contains("--sort"), "{told}");
    assert!(told.contains("1 had an id that was known"), "{told}");

    let timeless = late.clone() + "{\"id\":\"x\",\"type\":\"order\",\"profile\":\"c:1\"}\n";
    let (code, _, told) = program(&[], &timeless);
    assert!(code == Some(1) && told.contains("stdin:4: event \"x\" has no time"), "{told}");
    let (code, json, told) = program(&["--json", "--skip-bad"], &timeless);
    let skipped: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!((code, &skipped), (Some(0), &report));
    assert!(told.contains("1 could not be read") && told.contains("stdin:4"), "{told}");

    let (code, _, told) = program(&["--until", "soon"], &late);
    assert!(code == Some(2) && told.contains("--until"), "{told}");
    let (code, _, told) = program(&["--map", "id"], &late);
    assert!(code == Some(2) && told.contains("there is no `=`"), "{told}");
    let (code, json, _) = program(&["--json", "--until", "2024-03-30T00:59:00Z"], &late);
    let early: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!((code, &early["events"]), (Some(0), &0.into()), "the first event lies beyond the end");

    let broken = tempfile::NamedTempFile::with_suffix(".yaml").expect("a file");
    std::fs::write(broken.path(), "kind: journey\nname: x\n").expect("written");
    let (code, last, _) = program(&["--journeys", &broken.path().display().to_string()], &late);
    assert!(code == Some(1) && last.contains("nothing was replayed"), "{last}");
}
