//! What is found in everything but journeys, and in expressions.

use super::*;

#[test]
fn events_and_attributes() {
    check("kind: event\nname: x\n", &["1:1 missing_key"]);
    check("kind: event\nname: x\nschema: { a: int }\n", &["3:14 unknown_type"]);
    check("kind: event\nname: x\nschema: { a: [string, number] }\n", &["3:14 unknown_type"]);
    check("kind: event\nname: x\nschema: [string]\n", &["3:9 wrong_type"]);
    check("kind: event\nname: x\nschema: { a: { b: [ { c: timestamp } ] } }\n", &[]);
    check("kind: event\nname: message.opened\nschema: {}\n", &["2:7 reserved_event"]);
    check("kind: event\nname: profile.update\nschema: {}\n", &["2:7 reserved_event"]);
    check("kind: attribute\nname: a..b\ntype: string\n", &["2:7 bad_name"]);
    check("kind: attribute\nname: tier.level\ntype: string\n", &["2:7 attribute_conflict"]);
    check("kind: attribute\nname: a.b\ntype: string\n---\nkind: attribute\nname: a.c\ntype: integer\n", &[]);
    check(
        "kind: attribute\nname: a\ntype: { b: string }\n---\nkind: attribute\nname: a.b\ntype: integer\n",
        &["6:7 attribute_conflict"],
    );
    check("kind: attribute\nname: a\ntype: { b: string }\n---\nkind: attribute\nname: a.c\ntype: integer\n", &[]);
}

#[test]
fn messages_and_surfaces() {
    let unused = "2:7 unused_message";
    check(
        "kind: message\nname: m\nchannel: email\nsurface: s\nbody: b\n",
        &["1:1 missing_subject", "2:7 unused_message"],
    );
    check("kind: message\nname: m\nchannel: email\nsubject: s\nbody: b\n", &["1:1 missing_surface", unused]);
    check(
        "kind: message\nname: m\nchannel: webhook\nsurface: s\nsubject: s\nbody: b\n",
        &["1:1 unexpected_subject", "2:7 unused_message"],
    );
    check("kind: message\nname: m\nchannel: log\nsurface: s\nbody: b\n", &["1:1 unexpected_surface", unused]);
    check("kind: message\nname: m\nchannel: sms\nbody: b\n", &[unused, "3:10 not_available"]);
    check("kind: message\nname: m\nchannel: pigeon\nbody: b\n", &[unused, "3:10 unknown_value"]);
    check("kind: message\nname: m\nchannel: log\nbody: b\nformat: xml\n", &[unused, "5:9 unknown_value"]);
    check("kind: message\nname: m\nchannel: log\n", &["1:1 missing_key", unused]);
    check("kind: message\nname: m\nchannel: webhook\nsurface: nope\nbody: b\n", &[unused, "4:10 unknown_surface"]);
    let smtp = "kind: surface\nname: s\nchannel: email\nsmtp: { host: 127.0.0.1, port: 25, from: a@b }\n";
    check(smtp, &[]);
    check(
        &format!("{smtp}---\nkind: message\nname: m\nchannel: webhook\nsurface: s\nbody: b\n"),
        &["7:7 unused_message", "9:10 wrong_surface"],
    );
    check("kind: surface\nname: s\nchannel: log\n", &["3:10 unexpected_surface"]);
    check("kind: surface\nname: s\nchannel: email\n", &["1:1 missing_key"]);
    check("kind: surface\nname: s\nchannel: email\nsmtp: { host: h, port: 0, from: a@b }\n", &["4:24 wrong_type"]);
    check("kind: surface\nname: s\nchannel: email\nsmtp: { host: h, port: 25, from: nobody }\n", &["4:34 bad_address"]);
    check(
        "kind: surface\nname: s\nchannel: email\nsmtp: { host: h, port: 25, from: a@b, tls: yes }\n",
        &["4:44 unknown_value"],
    );
    check(
        "kind: surface\nname: s\nchannel: email\nsmtp: { host: h, port: 25, from: a@b, username: u }\n",
        &["4:7 missing_key"],
    );
    check("kind: surface\nname: s\nchannel: webhook\nwebhook: { url: ftp://x }\n", &["4:17 bad_address"]);
    check(
        "kind: surface\nname: s\nchannel: webhook\nwebhook: { url: \"http://x\", secret: a, secret_env: B }\n",
        &["4:52 duplicate_key"],
    );
    check(
        "kind: surface\nname: s\nchannel: webhook\nwebhook: { url: \"http://x\" }\nin_doubt: guess\n",
        &["5:11 unknown_value"],
    );
    check(
        "kind: surface\nname: s\nchannel: webhook\nwebhook: { url: \"http://x\", allow_private: 1 }\n",
        &["4:44 wrong_type"],
    );
}

#[test]
fn rules_of_events() {
    let rule = |rule: &str, expected: &[&str]| check(&format!("kind: event\nname: big\n{rule}"), expected);
    rule("of: cart_add\nwhen: event.total > 5.0\n", &[]);
    rule("of: cart_ad\nwhen: event.total > 5.0\n", &["3:5 unknown_event"]);
    rule("of: big\nwhen: event.total > 5.0\n", &["3:5 rule_of_rule"]);
    rule("of: cart_add\n", &["1:1 missing_key"]);
    rule("of: cart_add\nwhen: event.totl > 5.0\n", &["4:13 unknown_field"]);
    rule("of: cart_add\nwhen: last.total > 5.0\n", &["4:7 root_not_available"]);
    rule("of: cart_add\nwhen: event.total > 5.0\nschema: {}\n", &["5:9 rule_with_schema"]);
}

#[test]
fn rule_sets() {
    let set = |set: &str, expected: &[&str]| check(&format!("kind: rule_set\nname: calm\n{set}"), expected);
    set("entries: { max: 3, per: week }\nconcurrent: 2\n", &[]);
    set("{}\n".trim_start_matches("{}"), &["2:7 empty_rule_set"]);
    set("entries: { max: 0, per: week }\n", &["3:17 bad_number"]);
    set("entries: { max: 1, per: year }\n", &["3:25 unknown_value"]);
    set("concurrent: 201\n", &["3:13 bad_number"]);
    check_with("start: pause", "start: pause\nrule_set: calm", &["5:11 unknown_rule_set"]);
    check_with("start: pause", "start: pause\npriority: 101", &["5:11 bad_number"]);
}

#[test]
fn fragments() {
    let fragment = |nodes: &str, expected: &[&str]| {
        check(&format!("kind: fragment\nname: f\nstart: a\nnodes:\n{nodes}"), expected);
    };
    fragment("  a: { wait: 1h, then: out }\n  out: { end: true }\n", &[]);
    fragment("  a: { wait: 1h, then: b }\n  out: { end: true }\n", &["5:24 bad_fragment"]);
    fragment("  a: { wait: 1h, then: a }\n", &["2:7 bad_fragment"]);
    fragment("  a: { end: true }\n", &["3:8 bad_fragment"]);
    fragment("  a: { jump: j, then: out }\n  out: { end: true }\n", &["5:3 bad_fragment"]);
    fragment("  a: { fragment: f, then: out }\n  out: { end: true }\n", &["5:3 bad_fragment"]);
    let many: String = (0..20).map(|n| format!("  b{n}: {{ wait: 1h, then: out }}\n")).collect();
    fragment(&format!("  a: {{ wait: 1h, then: b0 }}\n{many}  out: {{ end: true }}\n"), &["2:7 bad_fragment"]);
    check_with("wait: 1h", "fragment: f", &["6:22 unknown_fragment"]);
    // The rules of the graph are asked of what comes out.
    let round =
        "kind: fragment\nname: f\nstart: a\nnodes:\n  a: { message: hello, then: out }\n  out: { end: true }\n---\n";
    let user = JOURNEY.replace("wait: 1h, then: send", "fragment: f, then: pause");
    check(
        &format!("{round}{user}"),
        &["13:3 cycle_without_wait", "13:3 no_path_to_end", "14:3 unreachable_node", "15:3 unreachable_node"],
    );
}

/// Spec §3.7: names begin with neither `.` nor `$`. Those of keys and tokens are names of headers and queries too.
#[test]
fn names_in_the_requests_of_actions() {
    let action = "kind: action\nname: a\nurl: 'https://api.example.com'\n";
    check(&format!("{action}headers: {{ X-Shop: a, $b: c, .d: e }}\n"), &["4:27 bad_header", "4:34 bad_header"]);
    check(
        &format!("{action}query: {{ page: a, a.$b: c, $b: c, .d: e, '': f }}\n"),
        &["4:32 bad_query", "4:39 bad_query", "4:46 bad_query"],
    );
    for kind in ["type: api_key, key_env: K", "type: token, url: 'https://login.example.com'"] {
        check(&format!("{action}auth: {{ {kind}, query: key }}\n"), &[]);
        let begin = 9 + kind.len();
        check(&format!("{action}auth: {{ {kind}, query: $key }}\n"), &[&format!("4:{} bad_query", begin + 9)]);
        check(&format!("{action}auth: {{ {kind}, header: $key }}\n"), &[&format!("4:{} bad_header", begin + 10)]);
    }
    let source = "kind: data_source\nname: s\nurl: 'https://api.example.com'\nquery: { $q: a }\n";
    check(source, &["4:14 bad_query"]);
}

#[test]
fn expressions() {
    let when = |text: &str| format!("{{ condition: [ {{ when: {text}, then: done }} ], otherwise: done }}");
    let node = "{ message: hello, then: done }";
    check_with(node, &when("event.total > 5.0 && profile.tier == 'gold'"), &[]);
    check_with(node, &when("\"event.total > 5 && \\\"a\\\" in [\\\"a\\\"]\""), &[]);
    check_with(node, &when("event.totl > 5.0"), &["7:38 unknown_field"]);
    check_with(node, &when("\"event.currency == \\\"EUR\\\" && event.totl > 5.0\""), &["7:68 unknown_field"]);
    check_with(node, &when("'event.currency == ''EUR'' && event.totl > 5.0'"), &["7:68 unknown_field"]);
    check_with(node, &when("event.total +"), &["7:45 syntax"]);
    check_with(node, &when("event.total"), &["7:32 type_mismatch"]);
    check_with(node, &when("evnt.total > 1.0"), &["7:32 unknown_root"]);
    check_with(node, &when("profile.teir == 'x'"), &["7:40 unknown_field"]);
    let block = "
    condition:
      - when: >-
          event.total > 5.0
          && event.totl > 6.0
        then: done
      - when: |
          # no CEL comment
          event.total > 5.0
        then: done
    otherwise: done";
    check_with(node, block, &["11:20 unknown_field", "14:11 syntax", "14:13 syntax"]);
    check_with("wait: 1h", "wait: { until: meta.time + duration('1h') }", &[]);
    check_with("wait: 1h", "wait: { until: event.total }", &["6:27 type_mismatch"]);
    check_with("wait: 1h", "wait: { until: event.currency }", &[]);
    check_with("wait: 1h", "wait: { until: \"'2026-12-24T18:00'\" }", &[]);
    check_with("wait: 1h", "wait: { until: \"'2026-12-24T18:00+01:00'\" }", &[]);
    check_with("wait: 1h", "wait: { until: \"event.items > 1 ? event.currency : '2026-12-24'\" }", &[]);
    check_with("wait: 1h", "wait: { until: \"timestamp('2026-12-24T18:00', journey.timezone)\" }", &[]);
    check_with("wait: 1h", "wait: { until: \"'tomorrow'\" }", &["6:28 bad_literal"]);
    check_with("wait: 1h", "wait: { until: \"'2026-12-' + '32'\" }", &["6:28 bad_literal"]);
    check_with("wait: 1h", "wait: { until: \"timestamp('2026-12-24T18:00')\" }", &["6:28 bad_literal"]);
    check_with("wait: 1h", "wait: { untill: event.total }", &["6:18 missing_key", "6:20 unknown_key"]);
}

#[test]
fn roots_of_expressions() {
    check_with("cart_add }", "cart_add, when: event.total > 5.0 }", &[]);
    check_with("cart_add }", "cart_add, when: last.total > 5.0 }", &["3:33 root_not_available"]);
    // A filter inside a journey sees the event that comes in as `last`, and its type alone.
    check_with("start: pause", "start: pause\nexit: [ { event: purchase, when: last.amount > event.total } ]", &[]);
    check_with(
        "start: pause",
        "start: pause\nexit: [ { event: purchase, when: last.total > 5.0 } ]",
        &["5:39 unknown_field"],
    );
    check_with("wait: 1h", "event: purchase, when: last.amount > event.total && last.items == 'x'", &[]);
    check_with("wait: 1h", "event: purchase, when: event.amount > 1.0", &["6:41 unknown_field"]);
    // A node sees what any received event declares, unless two declare it differently; an exit's event is not received.
    let condition = |when: &str| {
        let node = format!("condition: [ {{ when: {when}, then: done }} ], otherwise: done");
        JOURNEY.replace("wait: 1h", "event: purchase").replace("message: hello, then: done", &node)
    };
    check(&condition("last.amount > 1.0 || last.total > 1.0"), &[]);
    check(&condition("true && last.items == 1"), &["7:40 conflicting_field"]);
    let exits = condition("last.items == 1").replace("event: purchase", "wait: 1h");
    check(&exits.replace("start", "exit: [ { event: purchase } ]\nstart"), &[]);
}
