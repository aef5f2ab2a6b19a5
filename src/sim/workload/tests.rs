//! Whatever is drawn is valid, and holds everything the language has.

mod language;

use super::*;
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::finding::Severity;
use crate::domain::ids::Millis;
use crate::domain::journey::constant::span_ms;

fn file(text: &str) -> [SourceFile; 1] {
    [SourceFile { name: "drawn.yaml".to_owned(), text: text.to_owned() }]
}

#[test]
fn everything_drawn_can_be_published_and_changed() {
    for seed in 0..2_000 {
        let mut dice = Dice::new(seed);
        let mut workload = Workload::generate(&mut dice);
        let errors: Vec<_> = Catalog::check(&file(&workload.resources))
            .into_iter()
            .filter(|finding| finding.severity == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "seed {seed}: {errors:#?}\n{}", workload.resources);
        if seed % 10 > 0 {
            continue;
        }
        let (mut catalog, _) = Catalog::default().apply(&file(&workload.resources), Millis(0)).expect("was checked");
        for _ in 0..5 {
            let Some(text) = workload.next_publish(&mut dice) else { continue };
            let applied = catalog.apply(&file(&text), Millis(0));
            catalog = applied.unwrap_or_else(|findings| panic!("seed {seed}: {findings:#?}\n{text}")).0;
        }
    }
}

#[test]
fn no_wait_is_drawn_that_is_surely_too_long() {
    let mut dice = Dice::new(5);
    let untils: Vec<String> = (0..40_000).map(|_| expressions::until(&mut dice)).collect();
    let is_too_long = |until: &&String| span_ms(until).is_some_and(|ms| ms > durations::WAIT_MS_MAX);
    assert_eq!(untils.iter().find(is_too_long), None);
    assert!(untils.iter().any(|until| until.contains("'years'")), "what nobody can see is drawn");
}

#[test]
fn events_are_valid_and_of_every_sort() {
    let mut dice = Dice::new(3);
    let mut workload = Workload::generate(&mut dice);
    let events: Vec<ScriptEvent> = (0..4_000).map(|n| workload.next_event(&mut dice, n)).collect();
    let ids: std::collections::BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert!(ids.len() < 3_900, "some are repeats");
    let any = |sort: &dyn Fn(&ScriptEvent) -> bool| events.iter().filter(|event| sort(event)).count() > 2;
    assert!(any(&|e| e.kind == "profile.update" && e.properties.values().any(serde_json::Value::is_null)));
    assert!(any(&|e| e.kind == "unknown") && any(&|e| e.time_ms.is_none()) && any(&|e| e.time_ms < Some(-3_000_000)));
    assert!(
        any(&|e| !e.properties.contains_key("n")) && any(&|e| e.properties.get("n").is_some_and(|n| n.is_string()))
    );
}
