//! One row for each finding: files in, place and code out.

mod resources;

use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::finding::Severity;

/// What every journey below may name.
const PRELUDE: &str = "\
kind: event
name: cart_add
schema: { total: number, items: integer, currency: string }
---
kind: event
name: purchase
schema: { amount: number, items: string }
---
kind: attribute
name: tier
type: string
---
kind: message
name: hello
channel: log
body: hi
";

/// A journey that is fine, to be broken by replacing one part.
const JOURNEY: &str = "\
kind: journey
name: j
entry: { event: cart_add }
start: pause
nodes:
  pause: { wait: 1h, then: send }
  send: { message: hello, then: done }
  done: { end: true }
";

fn found(files: &[(&str, &str)]) -> Vec<(String, u32, u32, &'static str)> {
    let files: Vec<SourceFile> =
        files.iter().map(|(name, text)| SourceFile { name: (*name).to_owned(), text: (*text).to_owned() }).collect();
    let findings = Catalog::check(&files);
    for finding in &findings {
        let row = format!("\n| `{}`", finding.code);
        assert!(include_str!("../../../docs/journeys.md").contains(&row), "{} is documented", finding.code);
    }
    // Hints are about what these short texts lack; `lint` tests them.
    let findings = findings.into_iter().filter(|finding| finding.severity != Severity::Hint);
    findings.map(|f| (f.file, f.line, f.column, f.code)).collect()
}

/// Findings of `text` beside the prelude, as `line:column code`.
fn check(text: &str, expected: &[&str]) {
    let found: Vec<String> = found(&[("prelude.yaml", PRELUDE), ("j.yaml", text)])
        .into_iter()
        // Files that are not about messages leave the prelude's unused.
        .filter(|f| f.0 != "prelude.yaml")
        .map(|(_, line, column, code)| format!("{line}:{column} {code}"))
        .collect();
    assert_eq!(found, expected, "{text}");
}

/// As [`check`], for [`JOURNEY`] with `from` replaced by `to`.
fn check_with(from: &str, to: &str, expected: &[&str]) {
    assert!(JOURNEY.contains(from), "{from}");
    check(&JOURNEY.replace(from, to), expected);
}

#[test]
fn a_fine_journey_has_no_findings() {
    check(JOURNEY, &[]);
    assert_eq!(found(&[("prelude.yaml", PRELUDE), ("j.yaml", JOURNEY)]), []);
}

#[test]
fn clocks_dates_and_splits() {
    check_with("{ wait: 1h,", "{ wait: { time: '09:00', days: [mon, sun] },", &[]);
    check_with("{ wait: 1h,", "{ wait: { days: [mon] },", &[]);
    check_with("{ wait: 1h,", "{ wait: { time: '9:00' },", &["6:26 bad_time"]);
    check_with("{ wait: 1h,", "{ wait: { time: '24:01' },", &["6:26 bad_time"]);
    check_with("{ wait: 1h,", "{ wait: { days: [monday] },", &["6:26 bad_days"]);
    check_with("{ wait: 1h,", "{ wait: { days: [] },", &["6:26 bad_days"]);
    check_with("{ wait: 1h,", "{ wait: { time: '09:00', until: now },", &["6:35 unknown_key"]);
    check_with("entry:", "local_time: profile\nentry:", &[]);
    check_with("entry:", "local_time: mine\nentry:", &["3:13 unknown_value"]);
    check_with("entry:", "start_date: 2026-01-01\nend_date: 2026-01-01T00:00:01Z\nentry:", &[]);
    check_with("entry:", "start_date: 2026-01-01\nend_date: 2026-01-01\nentry:", &["4:11 ends_before_start"]);
    check_with("entry:", "end_date: tomorrow\nentry:", &["3:11 bad_date"]);
    check_with("entry:", "end_date: 9999-01-01\nentry:", &["3:11 bad_date"]);
    let branch = |test: &str| format!("{{ condition: [ {{ {test}, then: send }} ],");
    let wait = "{ wait: 1h, then: send }";
    let with =
        |test: &str, expected: &[&str]| check_with(wait, &format!("{} otherwise: done }}", branch(test)), expected);
    with("time: { days: [mon], from: '21:00', to: '09:00' }", &[]);
    with("time: {}", &["6:64 hidden_branch"]);
    with("time: { from: '09:00', to: '09:00' }", &["6:33 bad_time"]);
    with("date: { from: 2026-01-01, to: 2026-01-02T09:00 }", &[]);
    with("date: { from: yesterday }", &["6:41 bad_date"]);
    with("time: {}, when: 'true'", &["6:25 ambiguous_branch"]);
    let split = |ways: &str| format!("{{ split: [ {ways} ] }}");
    let with = |ways: &str, expected: &[&str]| check_with(wait, &split(ways), expected);
    with("{ percent: 33.3, then: send }, { percent: 66.7, then: done }", &[]);
    with("{ percent: 30, then: send }, { percent: 60, then: done }", &["6:19 bad_split"]);
    with("{ percent: 100, then: send }", &["6:19 bad_split"]);
    with("{ percent: 33.333, then: send }, { percent: 66.667, then: done }", &["6:32 bad_percent", "6:65 bad_percent"]);
    with("{ percent: -1, then: send }, { percent: 101, then: done }", &["6:32 bad_percent", "6:61 bad_percent"]);
}

#[test]
fn ways_that_are_counted() {
    let wait = "{ wait: 1h, then: send }";
    let with = |node: &str, expected: &[&str]| check_with(wait, node, expected);
    with("{ profile_cap: 5, then: send, otherwise: done }", &[]);
    with("{ profile_cap: 1_000_000, then: send, otherwise: done }", &[]);
    with("{ profile_cap: , then: send, otherwise: done }", &[]);
    with("{ profile_cap: 0, then: send, otherwise: done }", &["6:25 bad_profile_cap"]);
    with("{ profile_cap: some, then: send, otherwise: done }", &["6:25 bad_profile_cap"]);
    with("{ profile_cap: 5, then: send }", &["6:10 missing_otherwise"]);
    let experiment = |ways: &str, rest: &str| format!("{{ optimize: {{ experiment: [ {ways} ]{rest} }} }}");
    let two = "{ treatment: a, then: send }, { treatment: b, weight: 3, then: done }";
    with(&experiment(two, ""), &[]);
    with(&experiment(two, ", holdout: { then: done }"), &[]);
    with(&experiment(two, ", holdout: { percent: 101, then: done }"), &["6:131 bad_percent"]);
    with(&experiment(two, ", fallback: done"), &["6:111 unknown_key"]);
    with(&experiment("{ treatment: a, then: send }", ""), &["6:36 bad_optimize"]);
    with(&experiment("{ treatment: a, then: send }, { treatment: a, then: done }", ""), &["6:81 bad_optimize"]);
    with(&experiment("{ treatment: holdout, then: send }, { treatment: b, then: done }", ""), &["6:51 bad_optimize"]);
    with(
        &experiment("{ treatment: a, weight: 0, then: send }, { treatment: b, then: done }", ""),
        &["6:62 bad_weight"],
    );
    let targeting = |rules: &str, rest: &str| format!("{{ optimize: {{ targeting: [ {rules} ]{rest} }} }}");
    let one = "{ rule: gold, when: profile.tier == 'gold', then: send }";
    with(&targeting(one, ""), &[]);
    with(&targeting(one, ", fallback: done"), &[]);
    with(&targeting(one, ", fallback: nowhere"), &["6:107 unknown_target"]);
    with(&targeting("", ""), &["6:35 bad_optimize"]);
    with(&targeting("{ rule: a, when: profile.teir == 'gold', then: send }", ""), &["6:62 unknown_field"]);
    with("{ optimize: { } }", &["6:22 bad_optimize"]);
    with(&format!("{{ optimize: {{ experiment: [ {two} ], targeting: [ {one} ] }} }}"), &["6:22 bad_optimize"]);
}

#[test]
fn updates_jumps_and_exits_by_the_profile() {
    let wait = "{ wait: 1h, then: send }";
    let update = |fields: &str| format!("{{ update_profile: {{ {fields} }}, then: send }}");
    check_with(wait, &update("tier: \"'gold'\""), &[]);
    check_with(wait, &update("tier: null"), &[]);
    check_with(wait, &update("tier: gold"), &["6:36 unknown_root"]);
    check_with(wait, &update("tier: event.items"), &["6:36 type_mismatch"]);
    check_with(wait, &update("teir: null"), &["6:30 unknown_field"]);
    check_with(wait, &update("tier.x: null"), &["6:30 unknown_field"]);
    check_with(wait, &update(""), &["6:28 bad_update"]);
    let jump = |rest: &str| format!("{{ jump: {rest}, then: send }}");
    // To itself: that is no way either.
    let looped = "6:18 jump_loop";
    check_with(wait, &jump("j"), &[looped]);
    check_with(wait, &jump("j, with: { total: event.total, items: null }"), &[looped]);
    check_with(wait, &jump("j, with: { totl: event.total }"), &[looped, "6:29 unknown_field"]);
    check_with(wait, &jump("j, with: { total: meta.id }"), &[looped, "6:36 type_mismatch"]);
    check_with(wait, &jump("i"), &["6:18 unknown_journey"]);
    check_with("entry:", "exit: [ { when: profile.tier == 'x' }, { event: purchase } ]\nentry:", &[]);
    check_with("entry:", "exit: [ { when: profile.teir == 'x' } ]\nentry:", &["3:25 unknown_field"]);
    check_with("entry:", "exit: [ { } ]\nentry:", &["3:9 missing_key"]);
}

#[test]
fn ways_for_errors() {
    let wait = "{ wait: 1h, then: send }";
    check_with(wait, "{ wait: { until: now }, then: send, on_error: done }", &[]);
    check_with(wait, "{ wait: 1h, then: send, on_error: done }", &["6:44 never_fails"]);
    check_with(wait, "{ wait: { until: now }, then: send, on_error: don }", &["6:56 unknown_target"]);
    // Where the instant can't be told, nothing is waited for.
    check_with(wait, "{ wait: { until: now }, then: send, on_error: pause }", &["6:3 cycle_without_wait"]);
}

#[test]
fn syntax() {
    check("kind: journey\nname: [1, 2\nstart: x\n", &["3:6 yaml_syntax"]);
    check("kind: &a event\nname: *a\n", &["1:7 yaml_alias"]);
    check("kind: !!str event\nname: x\n", &["1:7 yaml_tag"]);
    check(&format!("kind: event\nname: x\nschema: {}", "[".repeat(200)), &["3:108 too_deep"]);
    check("- a\n- b\n", &["1:1 wrong_type"]);
    check("just text", &["1:1 wrong_type"]);
    check("", &[]);
    check("---\n---\n", &[]);
    check("kind: event\nname: x\n? [a]\n: 1\nschema: {}\n", &["3:3 wrong_type"]);
}

#[test]
fn keys_and_values() {
    check("name: x\n", &["1:1 missing_key"]);
    check("kind: jurney\nname: x\n", &["1:7 unknown_kind"]);
    check("kind: audience\nname: x\n", &["1:7 not_available"]);
    check_with("start: pause", "strat: pause", &["1:1 missing_key", "4:1 unknown_key"]);
    check_with("start: pause", "start: pause\nstart: send", &["5:1 duplicate_key"]);
    check_with("start: pause\n", "", &["1:1 missing_key"]);
    check_with("entry: { event: cart_add }\n", "", &["1:1 missing_key"]);
    check_with("entry: { event: cart_add }", "entry: cart_add", &["3:8 wrong_type"]);
    check_with("name: j", "name: 9 lives!", &["2:7 bad_name"]);
    check_with("pause: {", "\"a b\": { wait: 1s, then: done }\n  pause: {", &["6:3 bad_name", "6:3 unreachable_node"]);
    check_with("{ end: true }", "{ end: maybe }", &["8:16 wrong_type"]);
    check_with("start: pause", "start: pause\ndescription: [x]", &["5:14 wrong_type"]);
    check_with("start: pause", "start: pause\ntimezone: Europe/Pariss", &["5:11 unknown_timezone"]);
    check_with("start: pause", "start: pause\nholdout: 3", &["5:1 not_available"]);
    check(
        &format!("{PRELUDE}---\n{JOURNEY}"),
        &["2:7 duplicate_resource", "6:7 duplicate_resource", "10:7 duplicate_resource", "14:7 duplicate_resource"],
    );
    check(&format!("{JOURNEY}---\n{JOURNEY}"), &["11:7 duplicate_resource"]);
}

#[test]
fn durations_and_periods() {
    check_with("wait: 1h", "wait: 1 hour", &["6:18 bad_duration"]);
    check_with("wait: 1h", "wait: 30", &["6:18 bad_duration"]);
    check_with("wait: 1h", "wait: 91d", &["6:18 duration_out_of_range"]);
    check_with("wait: 1h", "wait: 0s", &["6:18 duration_out_of_range"]);
    check_with("wait: 1h", "wait:", &["6:16 wrong_type"]);
    check_with("wait: 1h", "event: purchase, within: 90d1ms", &["6:37 duration_out_of_range"]);
    check_with("wait: 1h", "event: purchase, within: 90d", &[]);
    check_with("start: pause", "start: pause\ntimeout: 92d", &["5:10 duration_out_of_range"]);
    check_with("start: pause", "start: pause\ntimeout: 0s", &["5:10 duration_out_of_range"]);
    check_with("start: pause", "start: pause\ntimeout: 59m", &["7:18 wait_exceeds_timeout"]);
    check_with("start: pause", "start: pause\ntimeout: 60m", &[]);
    check_with("start: pause", "start: pause\nreentry: always", &["5:10 unknown_value"]);
    check_with("start: pause", "start: pause\nreentry: never", &[]);
    check_with("start: pause", "start: pause\nreentry: { after: 4m59s }", &["5:19 duration_out_of_range"]);
    check_with("start: pause", "start: pause\nreentry: { after: 91d }", &["5:19 duration_out_of_range"]);
    check_with("start: pause", "start: pause\nreentry: { after: 90d }", &[]);
}

#[test]
fn waits_that_add_up() {
    let text = JOURNEY.replace(
        "then: send }",
        "then: two }\n  two: { wait: 50d, then: three }\n  three: { event: purchase, within: 42d, then: send }",
    );
    check(&text, &["8:37 wait_never_ends"]);
    check(&text.replace("42d", "40d"), &[]);
    // By the event's own way no time passes, so only the timeout's counts.
    check(&text.replace("42d, then: send", "42d, then: send, on_timeout: done"), &["8:37 wait_never_ends"]);
    let text = text.replace("within: 42d, then: send", "within: 5d, then: four, on_timeout: done");
    let four = |wait: &str| text.replace("  send:", &format!("  four: {{ wait: {wait}, then: send }}\n  send:"));
    check(&four("41d12h"), &["9:17 wait_never_ends", "10:3 never_visited"]);
    // Whoever stays away for two days comes too late, whoever comes at once does not.
    check(&four("40d").replace(", on_timeout: done", ""), &["9:17 waits_exceed_timeout"]);
    check(&text.replace("  send:", "  four: { wait: 40d, then: send }\n  send:"), &[]);
}

#[test]
fn graph() {
    check_with("then: done", "then: dnoe", &["7:33 unknown_target"]);
    check_with("start: pause", "start: paws", &["4:8 unknown_target"]);
    check_with("then: done", "then: pause", &["6:3 no_path_to_end", "8:3 unreachable_node"]);
    check_with("{ message: hello, then: done }", "{ message: hello }", &["7:9 missing_end"]);
    check_with("start: pause", "start: send", &["6:3 unreachable_node"]);
    check_with(
        "{ message: hello, then: done }",
        "{ message: hello, then: send }",
        &["7:3 cycle_without_wait", "7:3 no_path_to_end", "8:3 unreachable_node"],
    );
    check_with("{ message: hello, then: done }", "{ message: hello, wait: 1h, then: done }", &["7:3 ambiguous_node"]);
    check_with("{ message: hello, then: done }", "{ mesage: hello, then: done }", &["7:3 unknown_node_form"]);
    check_with("{ message: hello, then: done }", "{ experiment: other, then: done }", &["7:3 unknown_node_form"]);
    check_with("{ message: hello, then: done }", "{ condition: [], otherwise: done }", &["7:22 empty_condition"]);
    check_with("{ message: hello, then: done }", "{ condition: { when: a }, otherwise: done }", &["7:22 wrong_type"]);
    check_with("nodes:\n", "nodes: {}\nnoodles:\n", &["6:1 unknown_key"]);
    check("kind: journey\nname: j\nentry: { event: cart_add }\nstart: a\nnodes: {}\n", &["2:7 missing_end"]);
}

#[test]
fn counts() {
    let chain = |count: usize| {
        let mut text = JOURNEY[..JOURNEY.find("  pause").expect("nodes")].replace("start: pause", "start: n0");
        for i in 0..count {
            text.push_str(&format!("  n{i}: {{ wait: 1s, then: n{} }}\n", i + 1));
        }
        text + &format!("  n{count}: {{ end: true }}\n")
    };
    check(&chain(50), &[]);
    check(&chain(51), &["2:7 too_many_nodes"]);
    let exits = "{ event: purchase }, ".repeat(51);
    check_with("start: pause", &format!("start: pause\nexit: [ {exits} ]"), &["5:7 too_many_exits"]);
    let branches = "{ when: \"true\", then: done }, ".repeat(101);
    let to = format!("{{ condition: [ {branches} ] }}");
    check_with("{ message: hello, then: done }", &to, &["7:22 too_many_branches"]);
}

#[test]
fn races() {
    let race = |arms: &str, expected: &[&str]| {
        check_with("{ wait: 1h, then: send }", &format!("{{ first_of: [ {arms} ] }}"), expected);
    };
    race("{ event: purchase, then: done }, { wait: 1h, then: send }", &[]);
    race("{ event: purchase, since: entry, then: done }, { wait: { days: [mon] }, then: send }", &[]);
    race("{ wait: 1h, then: send }", &["6:22 bad_first_of"]);
    race("{ wait: 1h, then: send }, { then: send }", &["6:50 bad_first_of"]);
    race("{ wait: 1h, event: purchase, then: send }, { wait: 1h, then: send }", &["6:24 bad_first_of"]);
    race("{ wait: 92d, then: send }, { event: purchase, then: done }", &["6:32 duration_out_of_range"]);
    race("{ event: purchase, since: ever, then: done }, { wait: 1h, then: send }", &["6:50 unknown_value"]);
    race("{ event: purchase, within: 1h, then: done }, { wait: 1h, then: send }", &["6:43 unknown_key"]);
}

#[test]
fn references() {
    check_with("cart_add", "cart_ad", &["3:17 unknown_event"]);
    check_with("hello", "helo", &["7:20 unknown_message"]);
    check_with("start: pause", "start: pause\nexit: [ { event: nope } ]", &["5:18 unknown_event"]);
    check_with("wait: 1h", "event: nope", &["6:19 unknown_event"]);
    check_with("wait: 1h", "event: message.opened, of: hello", &["6:39 unknown_target"]);
    check_with("wait: 1h", "event: message.opened, of: done", &["6:39 not_a_message"]);
    check_with("wait: 1h", "event: message.opened, of: send", &["6:39 feedback_before_message"]);
    check_with("wait: 1h", "event: message.opened", &["6:19 missing_key"]);
    check_with("wait: 1h", "event: message.sent, of: send", &["6:19 reserved_event"]);
    check_with("wait: 1h", "event: purchase, of: send", &["6:33 not_feedback"]);
    check_with("start: pause", "start: pause\nexit: [ { event: message.opened } ]", &["5:18 feedback_outside"]);
    check_with("wait: 1h", "event: profile.update", &["6:19 reserved_event"]);
    check_with("wait: 1h", "event: purchase, on_timeout: done", &["6:41 missing_key"]);
    check_with("{ event: cart_add }", "{ audience: vips }", &["3:10 not_available"]);
    check_with("start: pause", "start: pause\nexit: [ { audience: vips } ]", &["5:11 not_available"]);
    let heard = JOURNEY.replace("wait: 1h", "event: purchase").replace("start", "exit: [ { event: purchase } ]\nstart");
    check(&heard, &["7:19 never_received", "8:3 never_visited"]);
    // What a broken file hides is not called unknown.
    let files = [("a.yaml", "kind: ["), ("j.yaml", JOURNEY)];
    assert_eq!(found(&files), [("a.yaml".to_owned(), 2, 1, "yaml_syntax")]);
}

#[test]
fn all_findings_of_all_files_come_in_order() {
    let a = JOURNEY.replace("then: done", "then: dnoe").replace("1h", "1x");
    let b = JOURNEY.replace("name: j", "name: k").replace("hello", "helo");
    let found = found(&[("prelude.yaml", PRELUDE), ("b.yaml", &b), ("a.yaml", &a)]);
    let places: Vec<_> = found.iter().map(|f| (f.0.as_str(), f.3)).collect();
    assert_eq!(places, [("b.yaml", "unknown_message"), ("a.yaml", "bad_duration"), ("a.yaml", "unknown_target")]);
}

#[test]
fn too_many_findings_are_cut_off() {
    let text: String = (0..3000).map(|i| format!("key{i}: 1\n")).collect();
    let found = found(&[("f.yaml", &format!("kind: event\nname: x\nschema: {{}}\n{text}"))]);
    assert_eq!(found.len(), 1_001);
    assert!(found.iter().any(|f| f.3 == "too_many_findings"));
}

#[test]
fn a_file_may_be_json() {
    let json = r#"{"kind": "journey", "name": "j", "entry": {"event": "cart_add"}, "start": "done",
	"nodes": {"done": {"end": true}}}"#;
    check(json, &[]);
}

#[test]
fn warnings_do_not_hinder() {
    let files = [SourceFile { name: "p".to_owned(), text: PRELUDE.to_owned() }];
    let findings = Catalog::check(&files);
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].code, findings[0].severity), ("unused_message", Severity::Warning));
}

#[test]
fn earlier_errors_hide_no_later_ones_and_cause_none() {
    // The unknown event's fields are not called unknown, but the profile's still are.
    check_with("cart_add }", "crt_add, when: event.whatever > profile.nope }", &["3:17 unknown_event"]);
    check_with("cart_add }", "crt_add, when: profile.nope == '' }", &["3:17 unknown_event", "3:40 unknown_field"]);
    check(
        &format!(
            "kind: event\nname: b\nschema: {{ x: int }}\n---\n{}",
            JOURNEY.replace("cart_add }", "b, when: event.y > 1 }")
        ),
        &["3:14 unknown_type"],
    );
}

#[test]
fn json_escapes_of_two_units() {
    let json = r#"{"kind": "message", "name": "m", "channel": "log", "body": "\ud83d\ude00 \/ é \\ud83d"}"#;
    check(json, &["1:29 unused_message"]);
    let json = r#"{"kind": "message", "channel": "log", "body": "\ud83d\ude00", "name": "m", "oh": "\uD83D"}"#;
    check(json, &["1:82 yaml_syntax"]);
    let json = r#"{"kind": "journey", "name": "j", "entry": {"event": "cart_add",
        "description": 1, "when": "'\ud83d\ude00' == event.currency && event.totl > 1"},
        "start": "done", "nodes": {"done": {"end": true}}}"#;
    check(json, &["2:9 unknown_key", "2:78 unknown_field"]);
}

#[test]
fn templates() {
    let message = |body: &str| {
        format!("{JOURNEY}---\nkind: message\nname: m\nchannel: log\nbody: {body}\n").replace("hello", "m")
    };
    check(&message("'{{ event.total }} {{ profile.tier }} {{ last.currency }} {{ meta.id }}'"), &[]);
    check(&message("'it''s {{ event.totl }}'"), &["13:23 unknown_field"]);
    check(&message("|\n  first\n  and {{ profile.teir }}\n"), &["15:18 unknown_field"]);
    check(&message("'{{ event.total'"), &["13:17 template_syntax"]);
    // A message that no journey sends sees what any event declares.
    let alone = "kind: message\nname: m\nchannel: log\nbody: '{{ event.amount }} {{ event.total }} {{ event.nope }}'\n";
    check(alone, &["2:7 unused_message", "4:54 unknown_field"]);
}
