//! Publishing, statuses and the record, through files as users write them.

mod record;

use super::*;
use crate::domain::finding::Severity;

fn files(texts: &[&str]) -> Vec<SourceFile> {
    let name = |index: usize| format!("f{index}.yaml");
    texts.iter().enumerate().map(|(i, text)| SourceFile { name: name(i), text: (*text).to_owned() }).collect()
}

fn apply(catalog: &Catalog, text: &str) -> (Catalog, ApplyReport) {
    match catalog.apply(&files(&[text]), Millis(7)) {
        Ok(done) => done,
        Err(findings) => panic!("{findings:#?}"),
    }
}

const SIMPLE: &str = "
kind: event
name: purchase
schema: { amount: number }
---
kind: message
name: thanks
channel: log
body: hello
---
kind: journey
name: nurture
entry: { event: purchase }
start: pause
nodes:
  pause: { wait: 1h, then: thank }
  thank: { message: thanks, then: await_next }
  await_next: { event: purchase, within: 30d, then: done, on_timeout: pause }
  done: { end: true }
";

#[test]
fn publishes_a_simple_journey() {
    let (catalog, report) = apply(&Catalog::default(), SIMPLE);
    assert_eq!(report.warnings.iter().filter(|f| f.severity == Severity::Error).count(), 0);
    assert_eq!(catalog.entered_by("purchase"), &[VersionId(0)]);
    let program = catalog.program(VersionId(0));
    assert_eq!(program.nodes.len(), 4);
    assert!(program.nodes[0].on_cycle && program.nodes[2].on_cycle && !program.nodes[3].on_cycle);
    assert!(catalog.listens("purchase") && !catalog.listens("other"));
}

const OTHER: &str = "
kind: event
name: signup
schema: {}
---
kind: journey
name: welcome
entry: { event: signup }
reentry: never
start: done
nodes:
  done: { end: true }
";

fn changes(report: &ApplyReport) -> Vec<(&str, Change, Option<u32>)> {
    report.resources.iter().map(|r| (r.name.as_str(), r.change, r.version)).collect()
}

fn codes(result: Result<(Catalog, ApplyReport), Vec<crate::domain::finding::Finding>>) -> Vec<(String, &'static str)> {
    match result {
        Ok(_) => Vec::new(),
        Err(findings) => {
            findings.into_iter().map(|f| (format!("{}:{}:{}", f.file, f.line, f.column), f.code)).collect()
        }
    }
}

fn statuses(catalog: &Catalog) -> Vec<(u32, VersionStatus)> {
    catalog.versions.iter().map(|version| (version.program.number, version.status)).collect()
}

#[test]
fn unchanged_files_make_no_version() {
    let (first, report) = apply(&Catalog::default(), SIMPLE);
    assert_eq!(report.catalog_version, 1);
    assert_eq!(
        changes(&report),
        [("purchase", Change::Created, None), ("thanks", Change::Created, None), ("nurture", Change::Created, Some(1))]
    );
    let (second, report) = apply(&first, SIMPLE);
    assert_eq!(report.catalog_version, 1);
    assert!(report.resources.iter().all(|r| r.change == Change::Unchanged), "{report:?}");
    assert_eq!(first.to_record(), second.to_record());
    // Neither comments nor the order of nodes and keys are a change.
    let moved = SIMPLE
        .replace("  done: { end: true }\n", "")
        .replace("nodes:\n", "nodes:\n  # the end\n  done: { end: true }\n");
    assert_ne!(moved, SIMPLE);
    assert_eq!(apply(&first, &moved).0.versions.len(), 1);
}

/// What a journey says of itself is a part of it where something reads it, and only there.
#[test]
fn a_description_makes_a_version_where_it_is_read() {
    let described = |text: &str, files: &str| files.replace("name: nurture\n", &format!("name: nurture\n{text}\n"));
    let (first, _) = apply(&Catalog::default(), SIMPLE);
    let (second, _) = apply(&first, &described("description: Thanks.", SIMPLE));
    assert_eq!(second.to_record(), first.to_record(), "nobody reads it");
    let reading = SIMPLE.replace("body: hello", "body: \"{{ journey.description }}\"");
    assert_ne!(reading, SIMPLE);
    let (first, _) = apply(&Catalog::default(), &described("description: Thanks.", &reading));
    assert_eq!(first.program(VersionId(0)).description.as_deref(), Some("Thanks."));
    let read = Catalog::from_record(&first.to_record()).expect("reads");
    assert_eq!(read.program(VersionId(0)).description.as_deref(), Some("Thanks."));
    assert_eq!(apply(&read, &described("description: Thanks.", &reading)).0.versions.len(), 1);
    // Nor does the message alone, whose journey is in no file.
    let message = "kind: message\nname: thanks\nchannel: log\nbody: \"{{ journey.description }}\"\n";
    assert_eq!(apply(&read, message).0.versions.len(), 1);
    let (second, report) = apply(&read, &described("description: Thanks all.", &reading));
    assert_eq!(changes(&report).last(), Some(&("nurture", Change::NewVersion, Some(2))));
    let difference = report.resources.last().and_then(|resource| resource.difference.as_ref()).expect("it differs");
    let settings: Vec<(&str, &str, &str)> =
        difference.settings.iter().map(|c| (c.what.as_str(), c.before.as_str(), c.after.as_str())).collect();
    assert_eq!(settings, [("description", "Thanks.", "Thanks all.")]);
    assert_eq!(second.program(VersionId(1)).description.as_deref(), Some("Thanks all."));
    assert_eq!(apply(&second, &reading).0.program(VersionId(2)).description, None);
}

#[test]
fn a_change_closes_the_version_before() {
    let (first, _) = apply(&Catalog::default(), SIMPLE);
    let (second, report) = apply(&first, &SIMPLE.replace("wait: 1h", "wait: 2h"));
    assert_eq!(changes(&report).last(), Some(&("nurture", Change::NewVersion, Some(2))));
    assert_eq!(statuses(&second), [(1, VersionStatus::Closed), (2, VersionStatus::Live)]);
    assert_eq!(second.entered_by("purchase"), &[VersionId(1)]);
    assert_eq!(second.version, CatalogVersion(2));
    assert_eq!(second.program(VersionId(0)).journey, second.program(VersionId(1)).journey);
    assert_eq!(second.get(VersionId(0)).program.nodes.len(), 4, "the old version stays for those inside");
}

#[test]
fn a_message_is_frozen_in_a_version() {
    let (first, _) = apply(&Catalog::default(), SIMPLE);
    // The message alone: the live journey that sends it gets a new version.
    let (second, report) = apply(&first, "kind: message\nname: thanks\nchannel: log\nbody: thank you\n");
    let expected = [
        ("thanks", Change::Updated, None),
        ("nurture", Change::NewVersion, Some(2)),
        ("purchase", Change::Vanished, None),
    ];
    assert_eq!(changes(&report), expected);
    let body = |id: u32| second.program(VersionId(id)).messages[0].body.source().to_owned();
    assert_eq!((body(0), body(1)), ("hello".to_owned(), "thank you".to_owned()));
    assert_eq!(second.latest_message("thanks"), Some(MessageId(1)));
}

#[test]
fn only_a_schema_change_that_is_read_makes_a_version() {
    let reading = SIMPLE.replace("{ event: purchase }", "{ event: purchase, when: event.amount > 1.0 }");
    let (first, _) = apply(&Catalog::default(), &reading);
    let (second, _) = apply(&first, &reading.replace("amount: number }", "amount: number, more: string }"));
    assert_eq!((second.versions.len(), second.version), (1, CatalogVersion(2)));
    let (third, _) = apply(&first, &reading.replace("amount: number }", "amount: integer }"));
    assert_eq!(third.versions.len(), 2);
    // The event alone, changed so that a live journey no longer compiles.
    let broken = first.apply(&files(&["kind: event\nname: purchase\nschema: {}\n"]), Millis(0));
    let told = broken.as_ref().map_err(|findings| findings[0].message.clone()).map(|_| ());
    let named = "journey `nurture`, which is published and in none of these files: ";
    assert!(told.as_ref().is_err_and(|message| message.starts_with(named)), "{told:?}");
    assert_eq!(codes(broken), [("<published>:0:0".to_owned(), "unknown_field")]);
}

#[test]
fn a_vanished_file_closes_nothing() {
    let (first, _) = apply(&Catalog::default(), SIMPLE);
    let (second, report) = apply(&first, OTHER);
    assert_eq!(statuses(&second), [(1, VersionStatus::Live), (1, VersionStatus::Live)]);
    let expected = [
        ("signup", Change::Created, None),
        ("welcome", Change::Created, Some(1)),
        ("purchase", Change::Vanished, None),
        ("thanks", Change::Vanished, None),
        ("nurture", Change::Vanished, Some(1)),
    ];
    assert_eq!(changes(&report), expected);
    assert_eq!((second.journey_id("nurture"), second.journey_id("welcome")), (Some(JourneyId(0)), Some(JourneyId(1))));
    // References resolve against what is published.
    let (third, _) = apply(
        &second,
        &OTHER
            .replace("name: welcome", "name: third")
            .replace("signup", "purchase")
            .replace("schema: {}", "schema: { amount: number }"),
    );
    assert_eq!(third.entered_by("purchase"), &[VersionId(0), VersionId(2)]);
}

#[test]
fn an_error_refuses_the_whole_set() {
    let two = format!("{SIMPLE}---{}", OTHER.replace("start: done", "start: dune"));
    let line = two.lines().position(|line| line == "start: dune").expect("there") + 1;
    let refused = Catalog::default().apply(&files(&[&two]), Millis(0));
    assert_eq!(codes(refused), [(format!("f0.yaml:{line}:8"), "unknown_target")]);
}

#[test]
fn reentrance_stays_the_same() {
    let (first, _) = apply(&Catalog::default(), OTHER);
    let changed = OTHER.replace("reentry: never", "reentry: { after: 1d }");
    assert_eq!(codes(first.apply(&files(&[&changed]), Millis(0))), [("f0.yaml:9:10".to_owned(), "reentry_changed")]);
    let omitted = OTHER.replace("reentry: never\n", "");
    assert_eq!(codes(first.apply(&files(&[&omitted]), Millis(0))), [("f0.yaml:7:7".to_owned(), "reentry_changed")]);
}

#[test]
fn surfaces_keep_their_channel() {
    let surface =
        "kind: surface\nname: s\nchannel: webhook\nwebhook: { url: \"https://example.com\", secret_env: KEY }\n";
    let (first, _) = apply(&Catalog::default(), surface);
    let found = first.surface("s").expect("published");
    assert_eq!(found.in_doubt, crate::domain::surface::InDoubt::PreferDuplicate);
    let mail =
        "kind: surface\nname: s\nchannel: email\nsmtp: { host: mail.example.com, port: 587, from: Shop <a@b.c> }\n";
    assert_eq!(codes(first.apply(&files(&[mail]), Millis(0))), [("f0.yaml:2:7".to_owned(), "channel_changed")]);
    let (second, _) = apply(&first, &surface.replace("example.com", "example.org"));
    assert_eq!(second.version, CatalogVersion(2));
}

#[test]
fn a_journey_that_has_ended_is_told_at_each_publish() {
    let ending = SIMPLE.replace("start:", "end_date: 2026-01-01\nstart:");
    let at = |catalog: &Catalog, iso: &str| {
        let now = Millis::parse_iso(iso).expect("an instant");
        let (catalog, report) = catalog.apply(&files(&[&ending]), now).expect("it can be published");
        (catalog, report.warnings.iter().map(|finding| (finding.code, finding.line)).collect::<Vec<_>>())
    };
    let (first, warnings) = at(&Catalog::default(), "2025-12-31T23:59:59.999Z");
    assert_eq!(warnings, []);
    let (second, warnings) = at(&first, "2026-01-01T00:00:00Z");
    assert_eq!(warnings, [("already_ended", 14)], "the same definition as before");
    assert_eq!(second.versions.len(), 1);
}

#[test]
fn stop_and_close() {
    let (first, _) = apply(&Catalog::default(), SIMPLE);
    let (second, _) = apply(&first, &SIMPLE.replace("wait: 1h", "wait: 2h"));

    let closed = second.close("nurture", None).expect("closes");
    assert_eq!(statuses(&closed), [(1, VersionStatus::Closed), (2, VersionStatus::Closed)]);
    assert_eq!((closed.entered_by("purchase").len(), closed.listens("purchase")), (0, true));
    assert_eq!(closed.close("nurture", None).expect("again").version, closed.version);

    // Stopping the second does not reopen the first.
    let stopped = second.stop("nurture", Some(2), Millis(9)).expect("stops");
    assert_eq!(statuses(&stopped), [(1, VersionStatus::Closed), (2, VersionStatus::Stopped)]);
    assert_eq!(stopped.version, CatalogVersion(3));
    let refused = stopped.close("nurture", Some(2));
    assert_eq!(refused.err(), Some(CatalogError::Stopped { name: "nurture".to_owned(), number: 2 }));
    let all = stopped.stop("nurture", None, Millis(9)).expect("stops");
    assert!(statuses(&all).iter().all(|(_, status)| *status == VersionStatus::Stopped) && !all.listens("purchase"));

    // The same files open nothing again, nor does a change of what they name; a change of the journey does.
    let unchanged = SIMPLE.replace("wait: 1h", "wait: 2h");
    let (again, report) = apply(&all, &unchanged);
    assert_eq!((again.versions.len(), report.resources[2].status), (2, Some(VersionStatus::Stopped)));
    assert_eq!(apply(&all, &unchanged.replace("body: hello", "body: hi")).0.versions.len(), 2);
    let (third, _) = apply(&all, SIMPLE);
    assert_eq!(statuses(&third)[2], (3, VersionStatus::Live));

    let message = second.stop("nurtur", None, Millis(9)).expect_err("unknown").to_string();
    assert_eq!(message, "there is no journey `nurtur`; did you mean `nurture`?");
    assert!(matches!(second.stop("nurture", Some(9), Millis(9)), Err(CatalogError::UnknownVersion { latest: 2, .. })));
}

#[test]
fn an_instance_keeps_what_is_read() {
    let text = SIMPLE
        .replace("amount: number", "amount: number, sku: string, cart: { id: string, size: integer }")
        .replace("body: hello", "body: \"{{ event.sku }}\"")
        .replace("event: purchase, within", "event: purchase, when: last.amount > event.cart.size, within");
    let (catalog, _) = apply(&Catalog::default(), &text);
    let program = catalog.program(VersionId(0));
    let paths = |kept: &[Vec<SmolStr>]| kept.iter().map(|path| path.join(".")).collect::<Vec<_>>();
    assert_eq!(paths(&program.keeps_event), ["cart.size", "sku"]);
    assert_eq!(paths(&program.keeps_last), [""; 0], "the filter reads the event that comes in");
}

/// One of everything, for the record.
/// Journeys that jump back to each other are refused, whichever of them are published already; what waits on the way does not
/// help.
#[test]
fn jumps_lead_nowhere_back() {
    let event = "kind: event\nname: go\nschema: {}\n";
    let journey = |name: &str, target: &str| {
        let nodes = match target {
            "" => "a: { wait: 10m, then: c }\n  c: { end: true }",
            target => &format!("a: {{ wait: 10m, then: b }}\n  b: {{ jump: {target}, then: c }}\n  c: {{ end: true }}"),
        };
        format!("---\nkind: journey\nname: {name}\nentry: {{ event: go }}\nstart: a\nnodes:\n  {nodes}\n")
    };
    let found = |before: &str, text: &str| {
        let published = if before.is_empty() { Catalog::default() } else { apply(&Catalog::default(), before).0 };
        let findings =
            published.apply(&files(&[text]), Millis(1)).map_or_else(|findings| findings, |(_, report)| report.warnings);
        findings.into_iter().map(|finding| (finding.code, finding.message)).collect::<Vec<_>>()
    };
    let refused = |message: &str| {
        vec![("jump_loop", format!("journey {message}: a profile that is in them would never be let go"))]
    };
    let (a, b, c) = (journey("a", "b"), journey("b", "c"), journey("c", ""));
    let chain = format!("{event}{a}{b}{c}");
    assert_eq!(found("", &chain), []);
    let closes = journey("c", "a");
    assert_eq!(found("", &format!("{event}{a}{b}{closes}")), refused("`a` jumps to `b`, to `c`, to `a`"));
    assert_eq!(found(&chain, &format!("{event}{closes}")), refused("`c` jumps to `a`, to `b`, to `c`"));
    assert_eq!(found(&chain, &format!("{event}{}", journey("b", "a"))), refused("`b` jumps to `a`, to `b`"));
    let itself = found(&chain, &format!("{event}{}", journey("c", "c")));
    assert_eq!(itself.len(), 1, "{itself:?}");
    assert!(itself[0].1.contains("jumps to itself"), "{itself:?}");
    // Somewhere else in a loop is none of its own.
    let side = format!("{event}{a}{b}{closes}{}", journey("d", "a"));
    assert_eq!(found("", &side).len(), 1);
}

/// As deep as a file may nest: the record reads what the check let pass.
#[test]
fn deep_schemas_are_published() {
    let nested = |open: &str, close: &str, depth: usize| {
        let schema = format!("{}string{}", open.repeat(depth), close.repeat(depth));
        apply(&Catalog::default(), &format!("kind: event\nname: x\nschema: {{ a: {schema} }}\n"))
    };
    assert_eq!(nested("{ a: ", " }", 98).0.events.len(), 1);
    assert_eq!(nested("[ ", " ]", 98).0.events.len(), 1);
}
