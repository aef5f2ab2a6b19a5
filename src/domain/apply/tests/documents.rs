//! `profile.update`: the document, and who sees it.

use super::*;
use crate::domain::limits;

#[track_caller]
fn merges(script: &str, document: &str) -> Rig {
    let rig = Rig::new(&journey("", &["done: { end: true }"])).run(script);
    assert_eq!(rig.profile.document, properties(document));
    rig
}

/// RFC 7396: deep, null deletes.
#[test]
fn updates_merge() {
    merges(
        r#"
        0 profile.update {"tier": "gold", "consents": {"email": true, "sms": false}, "tags": [1, 2]}
        1 profile.update {"consents": {"sms": null, "push": {"ios": true}}, "tags": [3]}
        "#
        .replace("1 profile", "1s profile")
        .as_str(),
        r#"{"tier": "gold", "consents": {"email": true, "push": {"ios": true}}, "tags": [3]}"#,
    );
    merges(
        r#"
        0  profile.update {"a": {"b": 1}, "c": 2}
        1s profile.update {"a": null, "c": {"d": {"e": null, "f": 1}}, "x": null}
        "#,
        r#"{"c": {"d": {"f": 1}}}"#,
    );
}

#[test]
fn the_very_next_event_sees_it() {
    check(
        &journey("entry: { event: go, when: profile.points >= 10 }", &["done: { end: true }"]),
        r#"
        0 profile.update {"points": 9}
        0 go
        0 profile.update {"points": 10}
        0 go
        0 profile.update {"points": null}
        5m go
        "#,
        "0 j#1: enter done =completed",
    );
}

#[test]
fn an_update_is_no_decision() {
    let rig = merges(r#"0 profile.update {"a": 1}"#, r#"{"a": 1}"#);
    assert_eq!((rig.profile.chain, rig.log.len()), (0, 0));
}

#[test]
fn a_document_too_large_is_refused_whole() {
    let half = "x".repeat(limits::DOCUMENT_BYTES_MAX / 2);
    let rig = merges(
        &format!("0 profile.update {{\"a\": \"{half}\"}}\n1s profile.update {{\"b\": \"{half}\", \"a\": \"small\"}}"),
        &format!(r#"{{"a": "small", "b": "{half}"}}"#),
    );
    assert_eq!(rig.refused, 0, "the size is that of the result");
    let rig = rig.run(&format!("2s profile.update {{\"c\": \"{half}\", \"d\": 1, \"a\": null}}"));
    assert_eq!(rig.refused, 1);
    assert_eq!(rig.profile.document, properties(&format!(r#"{{"a": "small", "b": "{half}"}}"#)));
}

/// Names are looked up one by one, so that a document of very many would hold up its shard, however few bytes it has.
#[test]
fn a_document_of_too_many_names_is_refused() {
    let names = |from: usize, to: usize| (from..to).map(|n| format!("\"k{n}\": 1")).collect::<Vec<_>>().join(", ");
    let full = names(0, limits::MAP_KEYS_MAX);
    let rig = merges(&format!("0 profile.update {{{full}}}"), &format!("{{{full}}}"));
    let rig = rig.run("1s profile.update {\"one_more\": 1}");
    assert_eq!(rig.refused, 1);
    let rig = rig.run("1s profile.update {\"k0\": null, \"in_its_place\": 1}");
    assert_eq!(rig.refused, 1);
    let rig =
        rig.run(&format!("2s profile.update {{\"k1\": {{{full}}}}}")).run("3s profile.update {\"k1\": {\"deep\": 1}}");
    assert_eq!(rig.refused, 2, "maps inside are bounded too");
}
