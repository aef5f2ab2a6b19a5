//! Each guardrail at its bound and beyond. `docs/guardrails.md` names these tests.

mod counts;

use super::*;
use crate::domain::catalog::SourceFile;
use crate::domain::finding::{Finding, Severity};
use crate::domain::ids::Millis;

const PRELUDE: &str = "\
kind: event
name: go
schema: { n: integer }
---
kind: event
name: quit
schema: {}
---
kind: attribute
name: a
type: integer
---
kind: attribute
name: b
type: integer
---
kind: message
name: hello
channel: log
body: hi
";

const JOURNEY: &str = "\
kind: journey
name: j
entry: { event: go }
start: pause
nodes:
  pause: { wait: 1h, then: send }
  send: { message: hello, then: done }
  done: { end: true }
";

fn files(texts: &[&str]) -> Vec<SourceFile> {
    let name = |index: usize| format!("f{index}.yaml");
    texts.iter().enumerate().map(|(i, text)| SourceFile { name: name(i), text: (*text).to_owned() }).collect()
}

/// What the guardrails, or the bounds below them, say of a journey: code and setting, or place.
fn found(journey: &str, rails: &Guardrails) -> Vec<String> {
    let findings = Catalog::check_within(&files(&[PRELUDE, journey]), rails);
    let of_journey = findings.into_iter().filter(|finding| finding.file == "f1.yaml");
    of_journey
        .map(|finding| format!("{}:{} {}{}", finding.line, finding.column, finding.code, setting(&finding)))
        .collect()
}

fn setting(finding: &Finding) -> String {
    let suggestion = finding.suggestion.as_deref().unwrap_or_default();
    let named = suggestion.split('`').find_map(|word| word.strip_prefix("guardrails."));
    named.map(|name| format!(" {name}")).unwrap_or_default()
}

fn check(from: &str, to: &str, rails: &Guardrails, expected: &[&str]) {
    assert!(JOURNEY.contains(from), "{from}");
    let journey = JOURNEY.replace(from, to);
    assert_eq!(found(&journey, rails), expected, "{journey}");
}

fn codes(result: Result<(Catalog, crate::domain::catalog::ApplyReport), Vec<Finding>>) -> Vec<String> {
    let refused = result.err().unwrap_or_default().into_iter().filter(|finding| finding.severity == Severity::Error);
    refused.map(|finding| format!("{}{}", finding.code, setting(&finding))).collect()
}

const DAY_MS: i64 = 86_400_000;

#[test]
fn nodes_of_a_journey() {
    let chain = |count: usize| {
        let mut text = JOURNEY[..JOURNEY.find("  pause").expect("nodes")].replace("start: pause", "start: n0");
        for i in 0..count {
            text.push_str(&format!("  n{i}: {{ wait: 1s, then: n{} }}\n", i + 1));
        }
        text + &format!("  n{count}: {{ end: true }}\n")
    };
    let rails = Guardrails { journey_nodes_max: 10, journey_nodes_advised: 5, ..Guardrails::DEFAULT };
    assert_eq!(found(&chain(5), &rails), [""; 0]);
    assert_eq!(found(&chain(6), &rails), ["2:7 large_journey journey_nodes_advised"]);
    assert_eq!(found(&chain(11), &rails), ["2:7 guardrail journey_nodes_max"]);
    assert_eq!(found(&chain(25), &Guardrails::DEFAULT), [""; 0]);
    assert_eq!(found(&chain(26), &Guardrails::DEFAULT), ["2:7 large_journey journey_nodes_advised"]);
    assert_eq!(found(&chain(limits::NODES_MAX), &Guardrails::WIDEST), [""; 0]);
    assert_eq!(found(&chain(limits::NODES_MAX + 1), &Guardrails::WIDEST), ["2:7 too_many_nodes journey_nodes_max"]);
}

#[test]
fn waits_and_timeouts() {
    let rails = Guardrails {
        wait_max_ms: 10 * DAY_MS,
        event_timeout_max_ms: 5 * DAY_MS,
        timeout_max_ms: 20 * DAY_MS,
        ..Guardrails::DEFAULT
    };
    let with = |from: &str, to: &str, expected: &[&str]| {
        let journey = JOURNEY.replace("start:", "timeout: 20d\nstart:");
        assert!(journey.contains(from), "{from}");
        assert_eq!(found(&journey.replace(from, to), &rails), expected, "{to}");
    };
    with("wait: 1h", "wait: 10d", &[]);
    with("wait: 1h", "wait: 10d1ms", &["7:18 guardrail wait_max"]);
    with(
        "wait: 1h, then: send",
        "first_of: [ { wait: 11d, then: done }, { event: quit, then: send } ]",
        &["7:32 guardrail wait_max"],
    );
    // An instant that is always as far ahead is as long as a wait.
    with("wait: 1h", "wait: { until: \"now + duration('10d')\" }", &[]);
    with("wait: 1h", "wait: { until: \"now + duration('11d')\" }", &["7:27 guardrail wait_max"]);
    with("wait: 1h", "wait: { until: \"meta.time + duration('11d')\" }", &[]);
    with("wait: 1h", "event: quit, within: 5d", &[]);
    with("wait: 1h", "event: quit, within: 6d", &["7:33 guardrail event_timeout_max"]);
    with("timeout: 20d", "timeout: 21d", &["2:7 guardrail timeout_max"]);
    // AJO's own values are what the engine takes.
    assert_eq!((limits::WAIT_MS_MAX, limits::TIMEOUT_MS_MAX), (90 * DAY_MS, 91 * DAY_MS));
    check("wait: 1h", "wait: 90d", &Guardrails::WIDEST, &[]);
    check("wait: 1h", "wait: 90d1ms", &Guardrails::WIDEST, &["6:18 duration_out_of_range wait_max"]);
    let beyond = ["6:33 duration_out_of_range event_timeout_max"];
    check("wait: 1h", "event: quit, within: 90d1ms", &Guardrails::WIDEST, &beyond);
    check("wait: 1h", "wait: { until: \"now + duration('90d')\" }", &Guardrails::WIDEST, &[]);
    check("wait: 1h", "wait: { until: \"now + duration('91d')\" }", &Guardrails::WIDEST, &["6:27 guardrail wait_max"]);
    check("start:", "timeout: 92d\nstart:", &Guardrails::WIDEST, &["4:10 duration_out_of_range timeout_max"]);
}

#[test]
fn re_entrance_periods() {
    let rails = Guardrails { reentry_min_ms: 3_600_000, reentry_max_ms: 7 * DAY_MS, ..Guardrails::DEFAULT };
    let reentry = |reentry: &str| JOURNEY.replace("start:", &format!("reentry: {reentry}\nstart:"));
    for (written, expected) in [
        ("{ after: 1h }", &[][..]),
        ("{ after: 59m }", &["4:10 guardrail reentry_min"]),
        ("{ after: 7d }", &[]),
        ("{ after: 8d }", &["4:10 guardrail reentry_max"]),
        ("never", &[]),
    ] {
        assert_eq!(found(&reentry(written), &rails), expected, "{written}");
    }
    assert_eq!((limits::REENTRY_MS_MIN, limits::REENTRY_MS_MAX), (5 * 60_000, 90 * DAY_MS));
    assert_eq!(found(&reentry("{ after: 5m }"), &Guardrails::DEFAULT), [""; 0]);
    assert_eq!(found(&reentry("{ after: 90d }"), &Guardrails::DEFAULT), [""; 0]);
    assert_eq!(found(&reentry("{ after: 4m59s }"), &Guardrails::WIDEST), ["4:19 duration_out_of_range reentry_min"]);
    let beyond = ["4:19 duration_out_of_range reentry_max"];
    assert_eq!(found(&reentry("{ after: 90d1ms }"), &Guardrails::WIDEST), beyond);
}

#[test]
fn reaction_timeouts() {
    let reaction = |within: &str| {
        let waits =
            format!("then: seen }}\n  seen: {{ event: message.opened, of: send, within: {within}, then: done }}");
        JOURNEY.replace("message: hello, then: done }", &format!("message: hello, {waits}"))
    };
    assert_eq!(found(&reaction("40s"), &Guardrails::DEFAULT), [""; 0]);
    assert_eq!(found(&reaction("39s"), &Guardrails::DEFAULT), ["8:52 short_reaction reaction_timeout_min"]);
    assert_eq!(found(&reaction("39s"), &Guardrails::WIDEST), [""; 0]);
    // The shortest wait beside it is as long as feedback has.
    let race = |waits: &str| {
        let race = format!(
            "then: seen }}\n  seen: {{ first_of: [ {{ event: message.opened, of: send, then: done }}, {waits} ] }}\n  over: {{ end: true }}"
        );
        JOURNEY.replace("message: hello, then: done }", &format!("message: hello, {race}"))
    };
    assert_eq!(found(&race("{ wait: 40s, then: over }"), &Guardrails::DEFAULT), [""; 0]);
    assert_eq!(
        found(&race("{ wait: 39s, then: over }"), &Guardrails::DEFAULT),
        ["8:80 short_reaction reaction_timeout_min"]
    );
    assert_eq!(found(&race("{ wait: { until: meta.time }, then: over }"), &Guardrails::DEFAULT), [""; 0]);
    check(
        "wait: 1h, then: send",
        "first_of: [ { event: quit, then: send }, { wait: 1s, then: send } ]",
        &Guardrails::DEFAULT,
        &[],
    );
    // An event of one's own may come sooner.
    check("wait: 1h", "event: quit, within: 1s", &Guardrails::DEFAULT, &[]);
}

#[test]
fn fields_of_an_update() {
    let rails = Guardrails { update_fields_max: 1, ..Guardrails::DEFAULT };
    let update = |fields: &str| format!("update_profile: {{ {fields} }}");
    check("wait: 1h", &update("a: event.n"), &rails, &[]);
    check("wait: 1h", &update("a: event.n, b: 1"), &rails, &["6:3 guardrail update_fields_max"]);
    check("wait: 1h", &update("a: event.n, b: 1"), &Guardrails::DEFAULT, &[]);
    assert_eq!(limits::UPDATE_FIELDS_MAX, 5);
    let many = JOURNEY.replace("wait: 1h", &update("a: 1, b: 1, c: 1, d: 1, e: 1, f: 1"));
    assert_eq!(found(&many, &Guardrails::WIDEST)[0], "6:28 bad_update update_fields_max");
}

#[test]
fn size_of_a_definition() {
    let size = |text: &str| {
        let (catalog, _) = Catalog::default().apply(&files(&[PRELUDE, text]), Millis(0)).expect("publishes");
        stored_bytes(&catalog.versions[0].source.definition)
    };
    let bytes = size(JOURNEY);
    let of = |max: usize| Guardrails { journey_bytes_max: max, ..Guardrails::DEFAULT };
    assert_eq!(found(JOURNEY, &of(bytes - 1)), ["2:7 guardrail journey_bytes_max"]);
    assert_eq!(found(JOURNEY, &of(bytes)), ["2:7 near_guardrail journey_bytes_max"]);
    assert_eq!(found(JOURNEY, &of(bytes * 10 / 9)), ["2:7 near_guardrail journey_bytes_max"]);
    assert_eq!(found(JOURNEY, &of(bytes * 10 / 8)), [""; 0]);
    let wide = JOURNEY.replace(
        "wait: 1h",
        "condition: [ { when: event.n > 1, then: done }, { when: event.n > 0, then: send } ], otherwise: done",
    );
    let wide = wide.replace("otherwise: done, then: send", "otherwise: done");
    let findings = Catalog::check_within(&files(&[PRELUDE, &wide]), &of(100));
    let near = findings.iter().find(|finding| finding.code == "guardrail").expect("a finding");
    assert!(near.message.contains("its largest node is `pause`"), "{near}");
    assert_eq!(near.severity, Severity::Error);
}

/// `count` journeys that `go` lets in.
#[test]
fn fragments_treatments_lookups_and_calls() {
    let fragment = |count: usize| {
        let nodes: String = (0..count).map(|n| format!("  n{n}: {{ wait: 1s, then: n{} }}\n", n + 1)).collect();
        format!("kind: fragment\nname: f\nstart: n0\nnodes:\n{nodes}  n{count}: {{ end: true }}\n")
    };
    let rails = Guardrails { fragment_nodes_max: 3, ..Guardrails::DEFAULT };
    assert_eq!(found(&fragment(3), &rails), [""; 0]);
    assert_eq!(found(&fragment(4), &rails), ["2:7 guardrail fragment_nodes_max"]);
    assert_eq!(found(&fragment(limits::FRAGMENT_NODES_MAX), &Guardrails::DEFAULT), [""; 0]);
    let beyond = found(&fragment(limits::FRAGMENT_NODES_MAX + 1), &Guardrails::WIDEST);
    assert_eq!(beyond, ["2:7 bad_fragment fragment_nodes_max"]);
    let (kept, _) = Catalog::default().apply(&files(&[&fragment(4)]), Millis(0)).expect("publishes");
    assert!(kept.apply_within(&files(&[&fragment(4)]), Millis(0), &rails).is_ok(), "it stays");

    let treatments = |count: usize| {
        let ways: Vec<String> = (0..count).map(|n| format!("{{ treatment: t{n}, then: send }}")).collect();
        format!("optimize: {{ experiment: [ {} ] }}", ways.join(", "))
    };
    let rails = Guardrails { treatments_max: 3, ..Guardrails::DEFAULT };
    let with = |count: usize| JOURNEY.replace("wait: 1h, then: send", &treatments(count));
    assert_eq!(found(&with(3), &rails), [""; 0]);
    assert_eq!(found(&with(4), &rails), ["6:3 guardrail treatments_max"]);
    assert_eq!(found(&with(limits::TREATMENTS_RANGE.1), &Guardrails::DEFAULT), [""; 0]);
    let beyond = found(&with(limits::TREATMENTS_RANGE.1 + 1), &Guardrails::WIDEST);
    assert_eq!(beyond.len(), 1);
    assert!(beyond[0].ends_with(" bad_optimize treatments_max"), "{beyond:?}");

    let dataset = "kind: dataset\nname: d\nkey: id\nschema: { id: string, a: integer, b: integer }\n---\n";
    let look = "lookup: d, keys: \"'k'\", fields: [a, b]";
    let looking = |journey: &str, rails: &Guardrails| found(&format!("{dataset}{journey}"), rails);
    let once = JOURNEY.replace("wait: 1h", look);
    let twice =
        once.replace("then: send }", "then: again }\n  again: { lookup: d, keys: \"'k'\", fields: [a], then: send }");
    let (one_node, one_field) = (
        Guardrails { lookups_max: 1, ..Guardrails::DEFAULT },
        Guardrails { lookup_fields_max: 1, ..Guardrails::DEFAULT },
    );
    assert_eq!(looking(&once, &one_node), [""; 0]);
    assert_eq!(looking(&twice, &one_node), ["7:7 guardrail lookups_max"]);
    assert_eq!(looking(&once, &one_field), ["11:3 guardrail lookup_fields_max"]);

    assert_eq!(limits::CALL_TIMEOUT_RANGE_MS, (1_000, 30_000));
    let action = "kind: action\nname: ping\nurl: 'https://api.example.com/'\n---\n";
    let calls = |timeout: &str| {
        let journey = JOURNEY.replace("wait: 1h", "action: ping").replace("start:", &format!("{timeout}start:"));
        found(&format!("{action}{journey}"), &Guardrails { call_timeout_max_ms: 5_000, ..Guardrails::DEFAULT })
    };
    assert_eq!(calls("call_timeout: 5s\n"), [""; 0]);
    assert_eq!(calls("call_timeout: 6s\n"), ["6:7 guardrail call_timeout_max"]);
    assert_eq!(calls(""), ["6:7 guardrail call_timeout_max"], "thirty seconds unless given");
    let quiet = Guardrails { call_timeout_max_ms: 5_000, ..Guardrails::DEFAULT };
    assert_eq!(found(JOURNEY, &quiet), [""; 0], "nothing is called");
}

/// Spec §5.9.
#[test]
fn a_data_source_is_asked_15_times_a_second_unless_it_says_otherwise() {
    assert_eq!((limits::SOURCE_CALLS_MAX, limits::SOURCE_PERIOD_MS), (15, 1_000));
    let asked = |rating: &str| {
        let text = format!("kind: data_source\nname: weather\nurl: 'https://weather.example.com/now'\n{rating}");
        let (catalog, _) = Catalog::default().apply(&files(&[&text]), Millis(0)).expect("publishes");
        let asking = catalog.actions.values().next().and_then(|action| action.endpoint.as_ref()?.asking);
        asking.map(|asking| (asking.calls, asking.period_ms))
    };
    assert_eq!(asked(""), Some((limits::SOURCE_CALLS_MAX, limits::SOURCE_PERIOD_MS)));
    assert_eq!(asked("rating: { max_calls: 40, per: 2s }\n"), Some((40, 2_000)));
}

/// Spec §9.
#[test]
fn an_experiment_holds_a_tenth_out_unless_it_says_otherwise() {
    let share = |holdout: &str| {
        let node = format!(
            "optimize: {{ experiment: [ {{ treatment: a, then: send }}, {{ treatment: b, then: done }} ], holdout: {{ {holdout}then: done }} }}"
        );
        let text = JOURNEY.replace("wait: 1h, then: send", &node);
        let (catalog, _) = Catalog::default().apply(&files(&[PRELUDE, &text]), Millis(0)).expect("publishes");
        match &catalog.versions[0].source.definition.nodes[0].form {
            NodeForm::Optimize { method: OptimizeMethod::Experiment { holdout, .. } } => {
                holdout.as_ref().map(|(share, _)| *share)
            }
            _ => None,
        }
    };
    assert_eq!(limits::HOLDOUT_SHARE_DEFAULT, 1_000, "hundredths of a percent");
    assert_eq!(share(""), Some(limits::HOLDOUT_SHARE_DEFAULT));
    assert_eq!(share("percent: 25, "), Some(2_500));
}

/// Whoever passes a bound of the engine learns which, at which node, and what an operator may do about it.
#[test]
fn bounds_of_the_engine_name_the_limit_and_the_node() {
    let text = |from: &str, to: &str| {
        assert!(JOURNEY.contains(from), "{from}");
        let findings = Catalog::check(&files(&[PRELUDE, &JOURNEY.replace(from, to)]));
        let finding = findings.iter().find(|finding| finding.severity == Severity::Error).expect("a finding");
        format!("{}; {}", finding.message, finding.suggestion.as_deref().unwrap_or_default())
    };
    let check = |from: &str, to: &str, words: &[&str]| {
        let text = text(from, to);
        for word in words {
            assert!(text.contains(word), "`{word}` in: {text}");
        }
    };
    let wait = ["the `wait` of node `pause` is 91d", "the limit is 90d", "AJO", "`guardrails.wait_max`"];
    check("wait: 1h", "wait: 91d", &wait);
    let within = ["the `within` of node `pause` is 91d", "the limit is 90d", "AJO", "`guardrails.event_timeout_max`"];
    check("wait: 1h", "event: quit, within: 91d", &within);
    let race = "first_of: [ { wait: 91d, then: done }, { event: quit, then: send } ]";
    check("wait: 1h, then: send", race, &["a way of node `pause`", "the limit is 90d"]);
    let timeout = ["the `timeout` of journey `j` is 92d", "the limit is 91d", "AJO", "`guardrails.timeout_max`"];
    check("start:", "timeout: 92d\nstart:", &timeout);
    let often = ["the re-entrance period of journey `j` is 1m", "the limit is 5m", "`guardrails.reentry_min`"];
    check("start:", "reentry: { after: 1m }\nstart:", &often);
    let seldom = ["the re-entrance period of journey `j` is 91d", "the limit is 90d", "`guardrails.reentry_max`"];
    check("start:", "reentry: { after: 91d }\nstart:", &seldom);
    let call = ["the `call_timeout` of journey `j` is 31s", "the limit is 30s", "`guardrails.call_timeout_max`"];
    check("start:", "call_timeout: 31s\nstart:", &call);
    let fields = ["node `pause` sets 6 fields", "the limit is 5", "AJO", "`guardrails.update_fields_max`"];
    check("wait: 1h", "update_profile: { a: 1, b: 1, c: 1, d: 1, e: 1, f: 1 }", &fields);
    let chain: String = (0..49).map(|n| format!("  n{n}: {{ wait: 1s, then: n{} }}\n", n + 1)).collect();
    let nodes = ["journey `j` has 51 nodes", "the limit is 50", "AJO", "`guardrails.journey_nodes_max`"];
    let chain = format!("{chain}  n49: {{ message: hello, then: done }}\n");
    let long = JOURNEY
        .replace("then: send }\n", &format!("then: n0 }}\n{chain}"))
        .replace("  send: { message: hello, then: done }\n", "");
    check(JOURNEY, &long, &nodes);
}

#[test]
fn guardrails_go_no_wider_than_the_engine() {
    assert_eq!(Guardrails::DEFAULT.beyond(), None);
    assert_eq!(Guardrails::WIDEST.beyond(), None);
    let day_more = limits::WAIT_MS_MAX + DAY_MS;
    for (rails, name) in [
        (Guardrails { wait_max_ms: day_more, ..Guardrails::DEFAULT }, "wait_max"),
        (Guardrails { event_timeout_max_ms: day_more, ..Guardrails::DEFAULT }, "event_timeout_max"),
        (Guardrails { timeout_max_ms: limits::TIMEOUT_MS_MAX + 1, ..Guardrails::DEFAULT }, "timeout_max"),
        (Guardrails { reentry_max_ms: day_more, ..Guardrails::DEFAULT }, "reentry_max"),
        (Guardrails { reentry_min_ms: 1, ..Guardrails::DEFAULT }, "reentry_min"),
        (Guardrails { reentry_min_ms: day_more, ..Guardrails::DEFAULT }, "reentry_min"),
        (Guardrails { journey_nodes_max: 51, ..Guardrails::DEFAULT }, "journey_nodes_max"),
        (Guardrails { update_fields_max: 6, ..Guardrails::DEFAULT }, "update_fields_max"),
        (Guardrails { call_timeout_max_ms: 30_001, ..Guardrails::DEFAULT }, "call_timeout_max"),
        (Guardrails { call_timeout_max_ms: 999, ..Guardrails::DEFAULT }, "call_timeout_max"),
        (Guardrails { call_retries_max: 4, ..Guardrails::DEFAULT }, "call_retries_max"),
        (Guardrails { calls_per_host_max: 300_001, ..Guardrails::DEFAULT }, "calls_per_host_max"),
        (Guardrails { calls_per_slow_action_max: 150_001, ..Guardrails::DEFAULT }, "calls_per_slow_action_max"),
        (Guardrails { fragment_nodes_max: 21, ..Guardrails::DEFAULT }, "fragment_nodes_max"),
        (Guardrails { treatments_max: 11, ..Guardrails::DEFAULT }, "treatments_max"),
        (Guardrails { lookups_max: 11, ..Guardrails::DEFAULT }, "lookups_max"),
        (Guardrails { lookup_fields_max: 21, ..Guardrails::DEFAULT }, "lookup_fields_max"),
        (Guardrails { test_profiles_max: 101, ..Guardrails::DEFAULT }, "test_profiles_max"),
        (Guardrails { pause_max_ms: 14 * DAY_MS + 1, ..Guardrails::DEFAULT }, "pause_max"),
        (Guardrails { pause_max_ms: 0, ..Guardrails::DEFAULT }, "pause_max"),
    ] {
        assert_eq!(rails.beyond().map(|(name, _)| name), Some(name));
    }
}

#[test]
fn what_is_live_is_not_refused_when_a_guardrail_moves() {
    let tighter = Guardrails { wait_max_ms: 1, journey_bytes_max: 10, ..Guardrails::DEFAULT };
    let (live, _) = Catalog::default().apply(&files(&[PRELUDE, JOURNEY]), Millis(0)).expect("publishes");
    let (again, _) = live.apply_within(&files(&[PRELUDE, JOURNEY]), Millis(0), &tighter).expect("is live as it is");
    assert_eq!(again.version, live.version);
    let changed = JOURNEY.replace("wait: 1h", "wait: 2h");
    let refused = codes(live.apply_within(&files(&[PRELUDE, &changed]), Millis(0), &tighter));
    assert_eq!(refused, ["guardrail journey_bytes_max", "guardrail wait_max"]);
}

/// As long as the contract allows, in any letters; Adobe's are 30 of a few.
#[test]
fn names_of_events() {
    let named = |name: &str| {
        let text = format!("kind: event\nname: {name}\nschema: {{}}\n");
        let codes = Catalog::check(&files(&[&text])).into_iter().map(|finding| finding.code);
        codes.collect::<Vec<_>>()
    };
    assert_eq!(named(&"é".repeat(limits::NAME_BYTES_MAX / 2)), [""; 0]);
    assert_eq!(named(&"e".repeat(limits::NAME_BYTES_MAX + 1)), ["bad_name"]);
}

/// Spec §3.7, §16.17: 200 to 5,000 calls a second, and one throttling for all.
#[test]
fn throttlings_are_one_of_200_to_5000_a_second() {
    let text = |name: &str, rate: u32, deployed: bool| {
        format!(
            "kind: throttling\nname: {name}\nurl: 'https://api.example.com/*'\nmax_throughput: {rate}\ndeployed: {deployed}\n"
        )
    };
    let found = |rate: u32, rails: &Guardrails| -> Vec<String> {
        let findings = Catalog::check_within(&files(&[&text("t", rate, true)]), rails);
        findings.iter().map(|finding| format!("{}{}", finding.code, setting(finding))).collect()
    };
    for rate in [200, 5_000] {
        assert_eq!(found(rate, &Guardrails::DEFAULT), [""; 0]);
    }
    assert_eq!(found(199, &Guardrails::DEFAULT), ["guardrail throughput_min"]);
    assert_eq!(found(5_001, &Guardrails::DEFAULT), ["guardrail throughput_max"]);
    assert_eq!(found(1, &Guardrails::WIDEST), [""; 0]);
    assert_eq!(found(0, &Guardrails::WIDEST), ["bad_number"]);
    assert_eq!(limits::THROTTLED_MS_MAX, 6 * 3_600_000, "so long a call waits for its turn");
    let two = Catalog::check(&files(&[&text("a", 300, true), &text("b", 300, true)]));
    assert_eq!(two[0].code, "second_throttling");
    assert!(two[0].message.contains("`b` and `a`"), "{two:?}");
    // Another one goes beside it once the first is not deployed any more, and what is published stays when a guardrail moves.
    let publish = |catalog: &Catalog, texts: &[&str], rails: &Guardrails| {
        catalog.apply_within(&files(texts), Millis(0), rails).map(|(catalog, _)| catalog)
    };
    let first = publish(&Catalog::default(), &[&text("a", 300, true)], &Guardrails::DEFAULT).expect("publishes");
    let refused = publish(&first, &[&text("b", 400, true)], &Guardrails::DEFAULT).expect_err("two would be deployed");
    assert_eq!(refused[0].code, "second_throttling");
    let both = [text("a", 300, false), text("b", 400, true)];
    let second = publish(&first, &[&both[0], &both[1]], &Guardrails::DEFAULT).expect("publishes");
    assert_eq!(second.throttling().map(|throttling| throttling.throughput_max), Some(400));
    let tight = Guardrails { throughput_max: 250, ..Guardrails::DEFAULT };
    assert!(publish(&second, &[&both[0], &both[1]], &tight).is_ok());
    assert!(publish(&second, &[&text("b", 401, true)], &tight).is_err());
}
