//! Each rule with what it finds and what it leaves alone.

use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::finding::{Finding, Severity};

/// What every journey below may name.
const PRELUDE: &str = "\
kind: event
name: cart_add
schema: { total: number, items: integer, currency: string }
---
kind: event
name: purchase
schema: { amount: number }
---
kind: attribute
name: tier
type: string
---
kind: attribute
name: email
type: string
---
kind: attribute
name: consents.email
type: boolean
---
kind: surface
name: smtp
channel: email
smtp: { host: 127.0.0.1, port: 25, from: a@b }
---
kind: message
name: hello
channel: log
body: hi
---
kind: message
name: mail
channel: email
surface: smtp
subject: hi
body: hi
";

/// A journey that is fine, to be changed in one part.
const JOURNEY: &str = "\
kind: journey
name: j
entry: { event: cart_add }
start: pause
nodes:
  pause: { wait: 1h, then: ask }
  ask: { condition: [ { when: event.total > 5.0, then: send } ], otherwise: done }
  send: { message: hello, then: done }
  done: { end: true }
";

fn findings(prelude: &str, journey: &str) -> Vec<Finding> {
    let file = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
    Catalog::check(&[file("prelude.yaml", prelude), file("j.yaml", journey)])
}

/// Codes found in `journey`, with the letter of their severity; `of` is how findings are called in the table of the page.
fn codes(prelude: &str, journey: &str) -> Vec<String> {
    let page = include_str!("../../../../docs/journeys.md");
    let of_journey = findings(prelude, journey).into_iter().filter(|finding| finding.file == "j.yaml");
    of_journey
        .map(|finding| {
            let mark = match finding.severity {
                Severity::Error => "",
                Severity::Warning => " (W)",
                Severity::Hint => " (H)",
            };
            let row = format!("\n| `{}`{mark} |", finding.code);
            assert!(page.contains(&row), "{row} stands in the table of findings");
            format!("{}{mark}", finding.code)
        })
        .collect()
}

/// As [`codes`], for [`JOURNEY`] with `from` replaced by `to`.
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(JOURNEY.contains(from), "{from}");
    let journey = JOURNEY.replace(from, to);
    assert_eq!(codes(PRELUDE, &journey), expected, "{journey}");
}

const CONDITION: &str = "condition: [ { when: event.total > 5.0, then: send } ], otherwise: done";

fn branches(branches: &[&str], expected: &[&str]) {
    let branches: Vec<String> = branches.iter().map(|branch| format!("{{ {branch}, then: send }}")).collect();
    check(CONDITION, &format!("condition: [ {} ], otherwise: done", branches.join(", ")), expected);
}

#[test]
fn the_journey_is_fine() {
    assert_eq!(codes(PRELUDE, JOURNEY), [""; 0]);
}

#[test]
fn never_true() {
    let nothing = ["never_true (W)", "never_visited (W)"];
    branches(&["when: event.total > 5.0 && event.total < 3.0"], &nothing);
    branches(&["when: event.total > 5.0 && event.total < 6.0"], &[]);
    branches(&["when: event.items > 5 && event.items < 6"], &nothing);
    branches(&["when: \"profile.tier == 'a' && profile.tier == 'b'\""], &nothing);
    branches(&["when: \"profile.tier == 'a' || profile.tier == 'b'\""], &[]);
    branches(&["when: 1 > 2"], &nothing);
    check("cart_add }", "cart_add, when: event.total > 9.0 && event.total < 9.0 }", &["never_true (W)"]);
    // What the entry asks of its event stays true of it; what it asks of the profile does not.
    check("cart_add }", "cart_add, when: event.total < 5.0 }", &nothing);
    check("cart_add }", "cart_add, when: event.total < 5.5 }", &[]);
    let later = "cart_add, when: profile.tier == 'a' }\nexit: [ { when: profile.tier == 'b' } ]";
    check("cart_add }", later, &[]);
    let purchase = |when: &str| format!("cart_add }}\nexit: [ {{ event: purchase, when: {when} }} ]");
    check("cart_add }", &purchase("last.amount < 1.0 && last.amount > 2.0"), &["never_true (W)"]);
    check("cart_add }", &purchase("last.amount < 2.0 && last.amount > 1.0"), &[]);
    let waits = "event: purchase, when: last.amount < 1.0 && last.amount > 2.0";
    check("wait: 1h", waits, &["never_true (W)", "never_visited (W)"]);
}

#[test]
fn never_true_of_dates() {
    let nothing = ["never_true (W)", "never_visited (W)"];
    branches(&["date: { from: 2026-03-01, to: 2026-02-01 }"], &nothing);
    branches(&["date: { from: 2026-03-01, to: 2026-03-01 }"], &[]);
    branches(&["date: { from: 2026-03-01T10:00, to: 2026-03-01T10:00 }"], &nothing);
    let dated = |dates: &str| {
        let journey = JOURNEY.replace("start: pause", "start_date: 2026-06-01\nend_date: 2026-07-01\nstart: pause");
        codes(PRELUDE, &journey.replace("when: event.total > 5.0", dates))
    };
    assert_eq!(dated("date: { to: 2026-05-30 }"), nothing);
    assert_eq!(dated("date: { to: 2026-06-01 }"), [""; 0]);
    assert_eq!(dated("date: { from: 2026-07-01 }"), nothing);
    assert_eq!(dated("date: { from: 2026-06-30 }"), [""; 0]);
    // A clock of a profile may show another day.
    let local = JOURNEY.replace("start: pause", "local_time: profile\nstart: pause");
    let range = "date: { from: 2026-03-02, to: 2026-03-01 }";
    assert_eq!(codes(PRELUDE, &local.replace("when: event.total > 5.0", range)), [""; 0]);
}

#[test]
fn always_true() {
    check("cart_add }", "cart_add, when: 'true' }", &["always_true (W)"]);
    check("cart_add }", "cart_add, when: event.total == null || has(event.total) }", &["always_true (W)"]);
    check("cart_add }", "cart_add, when: event.total > 0.0 || event.total <= 0.0 }", &[]);
    check(
        "start: pause",
        "exit: [ { when: now >= meta.time || now < meta.time } ]\nstart: pause",
        &["always_true (W)"],
    );
}

#[test]
fn the_type_of_the_entry_event_is_known() {
    let nothing = ["never_true (W)", "never_visited (W)"];
    branches(&["when: meta.type == 'purchase'"], &nothing);
    branches(&["when: meta.type == 'cart_add' && event.total > 1.0"], &[]);
    check("cart_add }", "cart_add, when: meta.type == 'cart_add' }", &["always_true (W)"]);
}

#[test]
fn never_asked() {
    let exit = |sends: &str| {
        let journey = JOURNEY.replace("start: pause", "exit: [ { when: profile.tier == 'a' } ]\nstart: pause");
        codes(PRELUDE, &journey.replace("message: hello", sends))
    };
    assert_eq!(exit("message: hello"), [""; 0]);
    assert_eq!(exit("wait: 1h"), ["never_asked (W)"]);
}

#[test]
fn hidden_branch() {
    let then_done = "then: done }, { when: event.total > 20.0";
    check("then: send } ]", &format!("{then_done}, then: send }} ]"), &["hidden_branch (W)", "never_visited (W)"]);
    branches(&["when: event.total > 20.0", "when: event.total > 10.0"], &[]);
    branches(&["when: event.total > 10.0", "when: event.total > 20.0"], &["hidden_branch (W)"]);
    branches(
        &["when: event.total > 10.0", "when: event.total <= 10.0", "when: event.total < 4.0"],
        &["hidden_branch (W)"],
    );
    branches(&["when: event.total > 10.0", "when: event.total <= 10.0"], &[]);
    branches(&["when: event.total > 10.0", "when: '!(event.total > 10.0)'"], &["hidden_branch (W)"]);
    branches(&["when: event.total > 10.0", "when: 'true'"], &["hidden_branch (W)"]);
}

#[test]
fn hidden_rule_of_targeting() {
    let rules = |rules: &str| {
        let node = JOURNEY.lines().find(|line| line.contains("condition:")).expect("has one");
        let name = node.trim().split(':').next().expect("is named");
        let node_of_rules = format!("  {name}: {{ optimize: {{ targeting: [ {rules} ], fallback: done }} }}");
        codes(PRELUDE, &JOURNEY.replace(node, &node_of_rules))
    };
    let rule = |name: &str, when: &str| format!("{{ rule: {name}, when: {when}, then: send }}");
    let (much, more) = (rule("much", "event.total > 10.0"), rule("more", "event.total > 20.0"));
    assert_eq!(rules(&format!("{more}, {much}")), [""; 0]);
    assert_eq!(rules(&format!("{much}, {more}")), ["hidden_branch (W)"]);
    assert_eq!(
        rules(&format!("{}, {much}", rule("none", "'event.total > 3.0 && event.total < 2.0'"))),
        ["never_true (W)"]
    );
    assert_eq!(rules(&rule("all", "'true'")), ["hidden_branch (W)"]);
}

#[test]
fn hidden_branch_of_hours() {
    let hidden = ["hidden_branch (W)"];
    branches(&["time: { from: '09:00' }", "time: { from: '10:00', to: '12:00' }"], &hidden);
    branches(&["time: { from: '10:00' }", "time: { from: '09:00', to: '12:00' }"], &[]);
    branches(&["time: { days: [mon] }", "time: { days: [mon, tue] }"], &[]);
    branches(&["time: { to: '12:00' }", "time: { from: '12:00' }"], &hidden);
    branches(&["time: { from: '21:00', to: '09:00' }", "time: { days: [tue], to: '09:00' }"], &hidden);
    branches(&["time: { days: [mon], from: '21:00', to: '09:00' }", "time: { days: [wed], to: '09:00' }"], &[]);
}

#[test]
fn absent_is_unequal() {
    branches(&["when: profile.tier != 'vip'"], &["absent_is_unequal (H)"]);
    branches(&["when: \"!(profile.tier == 'vip')\""], &[]);
    branches(&["when: has(profile.tier) && profile.tier != 'vip'"], &[]);
    branches(&["when: event.currency != 'EUR'"], &[]);
}

#[test]
fn wait_never_ends() {
    let waits = "wait: 2h, then: two }\n  two: { wait: 3h, then: ask }";
    let journey = JOURNEY.replace("wait: 1h, then: ask }", waits);
    let timed = |timeout: &str| codes(PRELUDE, &journey.replace("start:", &format!("timeout: {timeout}\nstart:")));
    assert_eq!(timed("5h"), [""; 0]);
    assert_eq!(timed("4h59m"), ["wait_never_ends (W)", "never_visited (W)"]);
    let reckoned = journey.replace("wait: 3h", "wait: { until: \"now + duration('3h')\" }");
    let timed = |timeout: &str| codes(PRELUDE, &reckoned.replace("start:", &format!("timeout: {timeout}\nstart:")));
    assert_eq!(timed("5h"), [""; 0]);
    assert_eq!(timed("4h59m"), ["wait_never_ends (W)", "never_visited (W)"]);
    // Whoever gets the event in time is through in time.
    let event = JOURNEY
        .replace("wait: 1h, then: ask }", "event: purchase, within: 2h, then: two }\n  two: { wait: 3h, then: ask }");
    assert_eq!(codes(PRELUDE, &event.replace("start:", "timeout: 4h\nstart:")), ["waits_exceed_timeout (W)"]);
}

#[test]
fn never_visited() {
    let split = |first: &str, second: &str| {
        format!("split: [ {{ percent: {first}, then: send }}, {{ percent: {second}, then: done }} ]")
    };
    check(CONDITION, &split("0", "100"), &["never_visited (W)"]);
    check(CONDITION, &split("0.01", "99.99"), &[]);
    check(CONDITION, &split("100", "0"), &[]);
}

#[test]
fn races() {
    let race = |arms: &str| codes(PRELUDE, &JOURNEY.replace("wait: 1h, then: ask", &format!("first_of: [ {arms} ]")));
    assert_eq!(race("{ event: purchase, then: done }, { wait: 1h, then: ask }"), [""; 0]);
    assert_eq!(race("{ wait: 1h, then: ask }, { wait: 2h, then: done }"), ["hidden_branch (W)"]);
    assert_eq!(race("{ wait: 1h, then: ask }, { wait: { days: [mon] }, then: done }"), [""; 0]);
    let never =
        "{ event: purchase, when: last.amount < 1.0 && last.amount > 2.0, then: ask }, { wait: 1h, then: done }";
    assert_eq!(race(never), ["never_true (W)", "never_visited (W)"]);
}

#[test]
fn cycle_exceeds_visits() {
    let round = |wait: &str, timeout: &str| {
        let journey = JOURNEY.replace("wait: 1h", &format!("wait: {wait}")).replace("then: send }", "then: pause }");
        let journey = journey.replace("otherwise: done", "otherwise: send");
        codes(PRELUDE, &journey.replace("start:", &format!("timeout: {timeout}\nstart:")))
    };
    assert_eq!(round("1h", "91d"), ["cycle_exceeds_visits (W)"]);
    assert_eq!(round("1h", "41d"), [""; 0]);
    assert_eq!(round("1m", "16h40m"), [""; 0]);
    assert_eq!(round("1m", "17h"), ["cycle_exceeds_visits (W)"]);
}

#[test]
fn cycle_may_not_wait() {
    let round = |wait: &str, back: &str| {
        let journey = JOURNEY.replace("pause: { wait: 1h, then: ask }", &format!("pause: {{ {wait} }}"));
        codes(PRELUDE, &journey.replace("message: hello, then: done", &format!("message: hello, then: {back}")))
    };
    let warned = ["cycle_may_not_wait (W)"];
    assert_eq!(round("wait: { until: meta.time }, then: ask", "pause"), warned);
    assert_eq!(round("wait: { until: now }, then: ask", "pause"), warned);
    assert_eq!(
        round("first_of: [ { wait: { until: meta.time }, then: ask }, { wait: 1d, then: done } ]", "pause"),
        warned
    );
    // The race ends some other way, or not by an instant.
    assert_eq!(
        round("first_of: [ { wait: { until: meta.time }, then: done }, { wait: 1d, then: ask } ]", "pause"),
        [""; 0]
    );
    assert_eq!(round("wait: { until: meta.time }, then: ask", "done"), [""; 0]);
    assert_eq!(round("wait: { until: now - duration('1d') }, then: ask", "pause"), warned);
    assert_eq!(round("wait: { until: now + duration('1d') }, then: ask", "pause"), [""; 0]);
    assert_eq!(round("wait: { time: '09:00' }, then: ask", "pause"), [""; 0]);
}

#[test]
fn addresses() {
    let asks = "condition: [ { when: profile.consents.email, then: send } ], otherwise: done";
    let mails = JOURNEY.replace("message: hello", "message: mail").replace(CONDITION, asks);
    assert_eq!(codes(PRELUDE, &mails), [""; 0]);
    let email = "kind: attribute\nname: email\ntype: string\n---\n";
    assert_eq!(codes(&PRELUDE.replace(email, ""), &mails), ["undeclared_address (H)"]);
    let numbered = PRELUDE.replace(email, &email.replace("string", "integer"));
    assert_eq!(codes(&numbered, &mails), ["wrong_address_type (W)"]);
    let asking = |when: &str| codes(PRELUDE, &mails.replace("when: profile.consents.email", &format!("when: {when}")));
    assert_eq!(asking("profile.consents.email && profile.email == null"), ["always_excluded (W)"]);
    assert_eq!(asking("profile.consents.email && profile.email != null"), [""; 0]);
    let after = "profile.email != null, then: done }, { when: profile.consents.email";
    assert_eq!(asking(after), ["always_excluded (W)"]);
}

#[test]
fn unasked_consent() {
    let mails = JOURNEY.replace("message: hello", "message: mail");
    assert_eq!(codes(PRELUDE, &mails), ["unasked_consent (H)"]);
    let consent = "kind: attribute\nname: consents.email\ntype: boolean\n---\n";
    assert_eq!(codes(&PRELUDE.replace(consent, ""), &mails), [""; 0], "nothing is declared about consent");
    let anywhere = mails.replace("start: pause", "exit: [ { when: '!profile.consents.email' } ]\nstart: pause");
    assert_eq!(codes(PRELUDE, &anywhere), [""; 0]);
    let entry = mails.replace("cart_add }", "cart_add, when: profile.consents.email }");
    assert_eq!(codes(PRELUDE, &entry), [""; 0]);
}

#[test]
fn without_consent() {
    let asking = |form: &str, rest: &str| {
        let mails = JOURNEY.replace("message: hello", "message: mail").replace(CONDITION, form);
        let found = findings(PRELUDE, &mails.replace("  done:", &format!("{rest}  done:")));
        let of_journey = found.into_iter().filter(|finding| finding.file == "j.yaml");
        let codes = of_journey.map(|finding| (finding.code, finding.line));
        codes.filter(|(code, _)| *code != "absent_is_unequal").collect::<Vec<_>>()
    };
    let wrong = [("without_consent", 7)];
    let to_those_who_have_not = |when: &str| {
        let yes = format!("condition: [ {{ when: {when}, then: done }} ], otherwise: send");
        asking(&yes, "")
    };
    assert_eq!(to_those_who_have_not("profile.consents.email"), wrong);
    assert_eq!(to_those_who_have_not("profile.consents.email || profile.tier == 'a'"), wrong);
    assert_eq!(to_those_who_have_not("profile.consents.email == true"), wrong);
    // Others may come that way who have agreed.
    assert_eq!(to_those_who_have_not("profile.consents.email && profile.tier == 'a'"), []);
    assert_eq!(to_those_who_have_not("'!profile.consents.email'"), []);
    assert_eq!(to_those_who_have_not("profile.consents.email != true"), []);
    let to = |when: &str| asking(&format!("condition: [ {{ when: {when}, then: send }} ], otherwise: done"), "");
    assert_eq!(to("'!profile.consents.email'"), wrong);
    assert_eq!(to("profile.consents.email == null"), wrong);
    assert_eq!(to("profile.consents.email"), []);
    let targeting =
        "optimize: { targeting: [ { rule: yes, when: profile.consents.email, then: done } ], fallback: send }";
    assert_eq!(asking(targeting, ""), wrong);
    let split = "  draw: { split: [ { percent: 50, then: send }, { percent: 50, then: done } ] }\n";
    let refused = "condition: [ { when: profile.consents.email, then: done } ], otherwise: draw";
    assert_eq!(asking(refused, split), wrong, "by a node that keeps nobody");
    // Whoever is asked again, or agrees on the way, is not meant; in the time of a wait some may agree.
    let again = "  draw: { condition: [ { when: profile.consents.email, then: send } ], otherwise: done }\n";
    assert_eq!(asking(refused, again), []);
    let agrees = |value: &str| format!("  draw: {{ update_profile: {{ consents.email: '{value}' }}, then: send }}\n");
    assert_eq!(asking(refused, &agrees("true")), []);
    assert_eq!(asking(refused, &agrees("false")), wrong);
    let later = "  draw: { wait: 1d, then: send }\n";
    assert_eq!(asking(refused, later), [("unasked_consent", 8)]);
    // Ways that nobody goes are left out.
    let never =
        "condition: [ { when: profile.consents.email, then: done }, { when: 1 > 2, then: send } ], otherwise: done";
    assert_eq!(asking(never, "").iter().find(|(code, _)| *code == "without_consent"), None);
}

#[test]
fn entries_without_consent() {
    let mails = |head: &str, first: &str| {
        let text = format!(
            "kind: journey\nname: j\nentry: {{ event: cart_add, when: '!profile.consents.email' }}\n{head}start: first\nnodes:\n\
             \x20 first: {first}\n  send: {{ message: mail, then: done }}\n  done: {{ end: true }}\n"
        );
        codes(PRELUDE, &text)
    };
    let at_once = "{ split: [ { percent: 50, then: send }, { percent: 50, then: done } ] }";
    assert_eq!(mails("", at_once), ["without_consent (W)"]);
    assert_eq!(mails("exit: [ { when: '!profile.consents.email' } ]\n", at_once), [""; 0]);
    assert_eq!(mails("", "{ wait: 1h, then: send }"), ["unasked_consent (H)"], "who waits may agree");
}

#[test]
fn unused() {
    let unused = |prelude: &str, journey: &str| -> Vec<(u32, &str)> {
        let found = findings(prelude, journey).into_iter();
        found.filter(|finding| finding.file == "prelude.yaml").map(|finding| (finding.line, finding.code)).collect()
    };
    let expected = [(6, "unused_event"), (10, "unused_attribute"), (18, "unused_attribute"), (32, "unused_message")];
    assert_eq!(unused(PRELUDE, JOURNEY), expected);
    let reads = JOURNEY.replace("event.total > 5.0", "\"profile.tier == 'a' && profile.consents.email\"");
    let uses = reads.replace("wait: 1h", "event: purchase").replace("message: hello", "message: mail");
    assert_eq!(unused(PRELUDE, &uses), [(27, "unused_message")]);
    let unnamed = PRELUDE.replace("surface: smtp", "surface: other").replace("name: smtp", "name: other");
    assert_eq!(unused(&unnamed, &uses), [(27, "unused_message")]);
    let spare =
        format!("{PRELUDE}---\nkind: surface\nname: spare\nchannel: email\nsmtp: {{ host: h, port: 25, from: a@b }}\n");
    assert_eq!(unused(&spare, &uses), [(27, "unused_message"), (39, "unused_surface")]);
    let more = format!(
        "{PRELUDE}---\nkind: action\nname: ask\nurl: 'https://example.com/a'\n---\nkind: dataset\nname: products\nkey: id\n\
         schema: {{ id: string, price: number }}\n---\nkind: fragment\nname: calm\nstart: a\nnodes: {{ a: {{ wait: 1h, then: b }}, b: {{ end: true }} }}\n"
    );
    let spare = [(27, "unused_message"), (39, "unused_action"), (43, "unused_dataset"), (48, "unused_fragment")];
    assert_eq!(unused(&more, &uses), spare);
    let taken = "  ask_them: { action: ask, then: find }\n  find: { lookup: products, keys: event.currency, fields: [price], then: rest }\n  \
                 rest: { fragment: calm, then: send }\n  send:";
    let all = uses.replace("then: send }", "then: ask_them }").replace("  send:", taken);
    assert_eq!(unused(&more, &all), [(27, "unused_message")]);
    assert!(unused(PRELUDE, "").iter().all(|(_, code)| *code == "unused_message"), "a set without journeys is a part");
}

#[test]
fn caps() {
    let carried = JOURNEY.replace("start: pause", "rule_set: calm\nreentry: { after: 1d }\nstart: pause");
    let with = |journey: &str, caps: &str| {
        let set = format!("{PRELUDE}---\nkind: rule_set\nname: calm\n{caps}\n");
        let found = findings(&set, journey).into_iter().filter(|finding| finding.line > 36);
        found.map(|finding| finding.code).collect::<Vec<_>>()
    };
    let two = format!("{carried}---\n{}", carried.replace("name: j", "name: k"));
    let never = ["cap_never_met"];
    assert_eq!(with(&carried, "concurrent: 1"), never);
    assert_eq!(with(&two, "concurrent: 1"), [""; 0]);
    assert_eq!(with(&two, "concurrent: 2"), never);
    assert_eq!(with(&carried, "entries: { max: 6, per: week }"), [""; 0]);
    assert_eq!(with(&carried, "entries: { max: 7, per: week }"), never);
    assert_eq!(with(&two, "entries: { max: 7, per: week }"), [""; 0]);
    assert_eq!(with(&carried.replace("{ after: 1d }", "never"), "entries: { max: 1, per: month }"), never);
    let ids = carried.replace("cart_add }", "cart_add, supplemental_id: event.currency }");
    assert_eq!(with(&ids, "concurrent: 1"), never);
    assert_eq!(with(&ids, "entries: { max: 7, per: week }"), [""; 0]);
    assert_eq!(with(JOURNEY, "concurrent: 1"), ["unused_rule_set"]);
}

#[test]
fn findings_say_where_and_why() {
    let journey =
        JOURNEY.replace("event.total > 5.0", "\"profile.tier == 'x' && event.total > 5.0 && event.total < 3.0\"");
    let found = findings(PRELUDE, &journey);
    let found = found.iter().find(|finding| finding.code == "never_true").expect("a finding");
    assert_eq!((found.line, found.column), (7, 55), "the first part of the conflict");
    assert!(found.message.contains("`event.total > 5.0` and `event.total < 3.0` are never true together"), "{found}");
    assert!(found.message.contains("nobody goes from `ask` to `send`"), "{found}");
}
